# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The adapter: reset and configuration, its interrupt, its link, and recovery.

The ISR takes the causes from the device, which releases the line when all are acknowledged, and
leaves the rest to the DPC. `_hardware` serializes long operations: the work item that looks at the
link, the one that resets the device, and the device controls that need the device.
"""

from pydriver.drivers.i8255x.eeprom import Eeprom
from pydriver.drivers.i8255x.phy import LinkState, PhyDevice
from pydriver.drivers.i8255x.receive import ReceiveRing
from pydriver.drivers.i8255x.scb import SystemControlBlock
from pydriver.drivers.i8255x.spec import (
    ACKNOWLEDGE,
    ALL_ONES,
    CAUSES,
    COMMAND_BLOCK,
    COMMAND_COMPLETE,
    CONFIGURATION,
    END_OF_LIST,
    STATISTICS,
    STATISTICS_DUMPED,
    Action,
    Cause,
    CommandUnit,
    I8255xRegisters,
    Port,
    ReceiveUnit,
)
from pydriver.drivers.i8255x.transmit import TransmitRing
from pydriver.ke import NtStatusError, delay_execution_thread, stall_execution_processor
from pydriver.ke.status import (
    STATUS_IO_TIMEOUT,
    STATUS_NO_SUCH_DEVICE,
    STATUS_SUCCESS,
)
from pydriver.wdf import (
    WDF_REL_TIMEOUT_IN_MS,
    CommonBuffer,
    Device,
    DmaEnabler,
    DmaEnablerConfig,
    DmaProfile,
    Interrupt,
    InterruptConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    MappedRegisters,
    ObjectAttributes,
    ResourceList,
    Timer,
    TimerConfig,
    WaitLock,
    WorkItem,
    WorkItemConfig,
)

__all__ = ("I8255x",)

WATCH_MS = 250
MILLISECOND = WDF_REL_TIMEOUT_IN_MS(1)
COMMAND_MS = 100
RESET_US = 10
COMMAND_BYTES = 64
STATISTICS_BYTES = STATISTICS.size + 4


class I8255x:
    """The device's context.

    :ivar address: the station's MAC address, from the EEPROM
    :ivar transmit: frames on their way out
    :ivar receive: frames on their way in
    :ivar link: state of the link at the last look of the work item
    :ivar link_changes: queue of the requests that end when the link changes
    :ivar isrs: interrupts of the device
    :ivar resets: number of times that the device was reset while in use
    :ivar gone: whether the device has been pulled out
    """

    def __init__(self) -> None:
        self.address = b""
        self.link = LinkState()
        self.isrs = self.resets = 0
        self.gone = False
        self._causes = 0

    # Objects, in EvtDriverDeviceAdd

    def create(self, device: Device) -> None:
        """Creates the objects that the driver needs for a device.

        :param device: the device that has this context
        """
        self._kernel = device.system.kernel
        enabler = DmaEnabler.create(device, DmaEnablerConfig(DmaProfile.SCATTER_GATHER, 4096))
        self._scb = SystemControlBlock(device)
        self.transmit = TransmitRing(device, enabler, self._scb)
        self.receive = ReceiveRing(device, enabler, self._scb)
        self._command = CommonBuffer.create(enabler, COMMAND_BYTES)
        self._statistics = CommonBuffer.create(enabler, STATISTICS_BYTES)
        Interrupt.create(
            device,
            InterruptConfig(
                evt_interrupt_isr=self._evt_interrupt_isr,
                evt_interrupt_dpc=self._evt_interrupt_dpc,
                evt_interrupt_enable=self._evt_interrupt_enable,
                evt_interrupt_disable=self._evt_interrupt_disable,
            ),
        )
        below = ObjectAttributes(parent_object=device)
        self._hardware = WaitLock.create(below)
        self._watch = Timer.create(TimerConfig(self._evt_watch, WATCH_MS), below)
        self._look = WorkItem.create(WorkItemConfig(self._evt_look), below)
        self._recover = WorkItem.create(WorkItemConfig(self._evt_recover), below)
        self.link_changes = IoQueue.create(
            device, IoQueueConfig(IoQueueDispatchType.MANUAL, power_managed=False)
        )

    # Power

    def prepare_hardware(self, translated: ResourceList) -> int:
        """EvtDevicePrepareHardware."""
        self._mapped: MappedRegisters = translated.memory[0].map()
        self._registers = registers = I8255xRegisters(self._mapped)
        if int(registers.STATUS.read()) == ALL_ONES:
            return STATUS_NO_SUCH_DEVICE
        self._scb.registers = registers
        self._phy = PhyDevice(self._kernel, registers)
        self._reset()
        try:
            words = Eeprom(self._kernel, registers).read()
        except NtStatusError as error:
            return error.status
        self.address = b"".join(word.to_bytes(2, "little") for word in words[:3])
        return STATUS_SUCCESS

    def d0_entry(self) -> int:
        """EvtDeviceD0Entry: starts everything except interrupts and frames."""
        self.gone = False
        try:
            self._start()
            self._phy.start()
        except NtStatusError as error:
            return error.status
        return STATUS_SUCCESS

    def d0_entry_post_interrupts_enabled(self) -> int:
        """EvtDeviceD0EntryPostInterruptsEnabled."""
        try:
            self.receive.resume()
        except NtStatusError as error:
            return error.status
        self.transmit.resume()
        self._look_at_link()
        self._watch.start(WDF_REL_TIMEOUT_IN_MS(WATCH_MS))
        return STATUS_SUCCESS

    def d0_exit_pre_interrupts_disabled(self) -> None:
        """EvtDeviceD0ExitPreInterruptsDisabled. All writes have ended."""
        self._watch.stop(wait=True)
        self._look.flush()
        self._recover.flush()
        self.receive.hold()
        self.transmit.hold()

    def d0_exit(self) -> int:
        """EvtDeviceD0Exit."""
        self._reset()
        return STATUS_SUCCESS

    def surprise_removal(self) -> None:
        """EvtDeviceSurpriseRemoval: the device will not send the frames that it has."""
        with self._hardware:
            self.gone = True
            self.transmit.give_up()

    # The device, of which the caller has exclusive use

    def _reset(self) -> None:
        """Stops both units, then all other parts; masks interrupts [8255x manual, 6.3.3.1]."""
        for function in (Port.SELECTIVE_RESET, Port.SOFTWARE_RESET):
            self._registers.PORT.write(function)
            stall_execution_processor(self._kernel, RESET_US)
        self._registers.INTERRUPT_MASK.write(all=1)

    def _unmask(self) -> None:
        """Unmasks all causes except the two that the driver does not handle."""
        self._registers.INTERRUPT_MASK.write(flow_control=1, early_receive=1)

    def _start(self) -> None:
        """Resets the device and prepares it to send and receive.

        :raises NtStatusError: the device does not execute a command
        """
        self._reset()
        self._scb.command_unit(CommandUnit.LOAD_BASE)
        self._scb.receive_unit(ReceiveUnit.LOAD_BASE)
        self._scb.command_unit(
            CommandUnit.LOAD_DUMP_COUNTERS_ADDRESS, self._statistics.logical_address
        )
        self._execute(Action.CONFIGURE, CONFIGURATION)
        self._execute(Action.INDIVIDUAL_ADDRESS_SETUP, self.address)

    def _execute(self, action: Action, data: bytes) -> None:
        """Makes the idle command unit execute one block and waits for its end."""
        view = self._command.view
        COMMAND_BLOCK.pack_into(view, 0, 0, END_OF_LIST | action, 0)
        view[COMMAND_BLOCK.size : COMMAND_BLOCK.size + len(data)] = data
        self._scb.command_unit(CommandUnit.START, self._command.logical_address)
        for _ in range(COMMAND_MS):
            status, _, _ = COMMAND_BLOCK.unpack_from(view)
            if status & COMMAND_COMPLETE:
                return
            delay_execution_thread(self._kernel, MILLISECOND)
        raise NtStatusError(STATUS_IO_TIMEOUT, action.name)

    def dump_statistics(self) -> bytes:
        """The device's counters, as they are in memory [8255x manual, 6.3.2.4].

        :raises NtStatusError: STATUS_IO_TIMEOUT
        """
        view = self._statistics.view
        with self._hardware:
            view[STATISTICS.size : STATISTICS_BYTES] = bytes(4)
            self._scb.command_unit(CommandUnit.DUMP_STATISTICAL_COUNTERS)
            for _ in range(COMMAND_MS):
                mark = int.from_bytes(view[STATISTICS.size : STATISTICS_BYTES], "little")
                if mark == STATISTICS_DUMPED:
                    return bytes(view[: STATISTICS.size])
                delay_execution_thread(self._kernel, MILLISECOND)
        raise NtStatusError(STATUS_IO_TIMEOUT, "statistical counters")

    # Interrupts

    def _evt_interrupt_isr(self, interrupt: Interrupt, message: int) -> bool:
        mapped = self._mapped
        causes = mapped.read8(ACKNOWLEDGE)
        if causes in {0, ALL_ONES}:
            return False
        # All of them: in QEMU a masked cause keeps the line asserted that another cause asserted.
        mapped.write8(ACKNOWLEDGE, causes)
        if not causes & CAUSES:
            return False
        self._causes |= causes
        self.isrs += 1
        interrupt.queue_dpc_for_isr()
        return True

    def _evt_interrupt_dpc(self, interrupt: Interrupt, device: Device) -> None:
        interrupt.acquire_lock()
        causes, self._causes = self._causes, 0
        interrupt.release_lock()
        if causes & (Cause.COMMAND_UNIT_NOT_ACTIVE | Cause.COMMAND_COMPLETED):
            self.transmit.reap()
        if causes & (Cause.FRAME_RECEIVED | Cause.RECEIVE_NOT_READY):
            self.receive.deliver(stopped=bool(causes & Cause.RECEIVE_NOT_READY))

    def _evt_interrupt_enable(self, interrupt: Interrupt, device: Device) -> None:
        self._unmask()

    def _evt_interrupt_disable(self, interrupt: Interrupt, device: Device) -> None:
        self._registers.INTERRUPT_MASK.write(all=1)

    # Link and recovery

    def _evt_watch(self, timer: Timer) -> None:
        self._look.enqueue()
        self.receive.deliver()  # in case the receive unit did not accept its last command
        if self.transmit.stuck:
            self._recover.enqueue()

    def _evt_look(self, work_item: WorkItem) -> None:
        self._look_at_link()

    def _look_at_link(self) -> None:
        """Completes the requests that wait for a change of the link, if it has changed."""
        try:
            with self._hardware:
                link = self._phy.link_state()
        except NtStatusError:
            link = LinkState()  # the state is unknown
        if link == self.link:
            return
        self.link = link
        while (request := self.link_changes.retrieve_next_request()) is not None:
            request.retrieve_output_buffer()[: LinkState.SIZE] = link.pack()
            request.complete_with_information(STATUS_SUCCESS, LinkState.SIZE)

    def _evt_recover(self, work_item: WorkItem) -> None:
        self.reset()

    def reset(self) -> int:
        """Resets the device and then sends the frames that it had not sent; at PASSIVE_LEVEL.

        :return: NTSTATUS
        """
        with self._hardware:
            if self.gone:
                return STATUS_NO_SUCH_DEVICE
            self.resets += 1
            self.transmit.hold()
            self.receive.hold()
            try:
                self._start()
                self.receive.resume()
            except NtStatusError as error:
                self.transmit.give_up()
                return error.status
            self.transmit.resume()
            self._unmask()
        return STATUS_SUCCESS
