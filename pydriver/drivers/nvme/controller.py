# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The NVMe controller: reset and enable, queues, interrupts, and recovery.

With MSI-X each I/O queue pair has a message of its own, and the admin queue has message 0. If there
are fewer messages, or only the line, queues share them.

A late command is aborted if the controller can do that. Otherwise the work item `_recover` resets
the controller and hands over again each command that it had, at most three times in all.
"""

import contextlib
from collections.abc import Callable

from pydriver.drivers.nvme.admin import AdminQueue
from pydriver.drivers.nvme.queue import IoQueuePair
from pydriver.drivers.nvme.spec import (
    COMMAND_BYTES,
    COMPLETION_BYTES,
    NvmeRegisters,
    ShutdownStatus,
)
from pydriver.drivers.nvme.state import WATCH_MS, ControllerState, Parameters
from pydriver.ke import NtStatusError, delay_execution_thread
from pydriver.ke.status import (
    STATUS_DEVICE_NOT_READY,
    STATUS_IO_DEVICE_ERROR,
    STATUS_IO_TIMEOUT,
    STATUS_NO_SUCH_DEVICE,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
)
from pydriver.wdf import (
    WDF_REL_TIMEOUT_IN_MS,
    Device,
    DmaEnabler,
    DmaEnablerConfig,
    DmaProfile,
    Interrupt,
    InterruptConfig,
    InterruptPolicy,
    InterruptPriority,
    MappedRegisters,
    ObjectAttributes,
    Request,
    ResourceList,
    SpinLock,
    Timer,
    TimerConfig,
    WorkItem,
    WorkItemConfig,
)

__all__ = ("NvmeController",)

ALL_ONES = 0xFFFFFFFF
MILLISECOND = WDF_REL_TIMEOUT_IN_MS(1)
SHUTDOWN_MS = 5000
NORMAL_SHUTDOWN = 1


class NvmeController(ControllerState):
    """The device's context.

    :ivar admin: the admin queue
    :ivar queues: all I/O queue pairs, in use or not
    :ivar used: I/O queue pairs that the controller granted
    :ivar aborts: commands that the controller was asked to abort
    :ivar resets: number of times that the controller was reset while in use
    """

    registers: NvmeRegisters

    def __init__(self) -> None:
        super().__init__()
        self.used: list[IoQueuePair] = []
        self.aborts = self.resets = 0
        self._by_vector: list[list[IoQueuePair]] = [[]]
        self._messages = True
        self._reset_requests: list[Request] = []

    # Objects, in EvtDriverDeviceAdd

    def create(self, device: Device, parameters: Parameters) -> None:
        """Creates the objects that the driver needs for a device.

        :param device: the device that has this context
        :param parameters: the driver's parameters
        """
        self.device = device
        self.parameters = parameters
        self._kernel = device.system.kernel
        self.enabler = DmaEnabler.create(
            device, DmaEnablerConfig(DmaProfile.SCATTER_GATHER64_DUPLEX, parameters.max_transfer)
        )
        self.admin = AdminQueue(self)
        numbers = range(1, parameters.queues + 1)
        self.queues = [IoQueuePair(device, self, number) for number in numbers]
        for message in (0, *numbers):
            interrupt = Interrupt.create(
                device,
                InterruptConfig(
                    evt_interrupt_isr=self._evt_interrupt_isr,
                    evt_interrupt_dpc=self._evt_interrupt_dpc,
                ),
            )
            interrupt.set_policy(
                InterruptPolicy.SPREAD_MESSAGES_ACROSS_ALL_PROCESSORS,
                InterruptPriority.NORMAL,
            )
            assert interrupt.message_number == message
        below = ObjectAttributes(parent_object=device)
        self._lock = SpinLock.create(below)
        self._watch = Timer.create(TimerConfig(self._evt_watch, WATCH_MS), below)
        self._recover = WorkItem.create(WorkItemConfig(self._evt_recover), below)

    # Power

    def prepare_hardware(self, translated: ResourceList) -> int:
        """EvtDevicePrepareHardware."""
        self._mapped = mapped = translated.memory[0].map()
        self.registers = registers = NvmeRegisters(_Registers(mapped), 0)
        capabilities = registers.CAP.read()
        if int(capabilities) == (1 << 64) - 1:
            return STATUS_NO_SUCH_DEVICE
        if capabilities.min_page or capabilities.max_queue_entries < self.parameters.depth:
            return STATUS_NOT_SUPPORTED
        self._stride = capabilities.doorbell_stride
        self._timeout_ms = 500 * max(1, capabilities.timeout)
        self._vectors = max(1, len(translated.interrupts))
        self._messages = any(each.message_signaled for each in translated.interrupts)
        return STATUS_SUCCESS

    def d0_entry(self) -> int:
        """EvtDeviceD0Entry: from reset to a controller that is ready."""
        self.gone = False
        try:
            self._disable()
            self._enable()
            self._identify()
        except NtStatusError as error:
            return error.status
        return STATUS_SUCCESS

    def d0_entry_post_interrupts_enabled(self) -> int:
        """EvtDeviceD0EntryPostInterruptsEnabled: creates queues, which need their vectors."""
        if not self._messages:
            self._line = self.device.interrupts[0]
            self.unmask()
        try:
            self._create_queues()
        except NtStatusError as error:
            return error.status
        self._watch.start(WDF_REL_TIMEOUT_IN_MS(WATCH_MS))
        return STATUS_SUCCESS

    def d0_exit_pre_interrupts_disabled(self) -> None:
        """EvtDeviceD0ExitPreInterruptsDisabled. The queues have nothing in flight now."""
        self._watch.stop(wait=True)
        self._recover.flush()
        line = self._line
        if line is not None:
            line.acquire_lock()
            self._line = None
            self._mask()
            line.release_lock()

    def d0_exit(self) -> int:
        """EvtDeviceD0Exit: a normal shutdown."""
        if self.gone:
            return STATUS_SUCCESS
        self._delete_queues()
        registers = self.registers
        try:
            registers.CC.set(shutdown=NORMAL_SHUTDOWN)
            self._wait_for(
                lambda: registers.CSTS.read().shutdown is ShutdownStatus.COMPLETE, SHUTDOWN_MS
            )
            self._disable()
        except NtStatusError as error:
            return error.status
        return STATUS_SUCCESS

    def surprise_removal(self) -> None:
        """EvtDeviceSurpriseRemoval: the controller will not complete the commands that it has."""
        self._give_up(STATUS_NO_SUCH_DEVICE)

    def _give_up(self, status: int) -> None:
        self.gone = True
        for queue in self.queues:
            queue.give_up(status)

    def _disable(self) -> None:
        registers = self.registers
        registers.CC.set(enable=0, shutdown=0)
        self._wait_for(lambda: not registers.CSTS.read().ready, self._timeout_ms)

    def _enable(self) -> None:
        registers = self.registers
        pair = self.admin.pair
        self.admin.start(self._mapped, self._stride)
        registers.AQA.write(submission=pair.entries - 1, completion=pair.entries - 1)
        registers.ASQ.write(pair.submission_address)
        registers.ACQ.write(pair.completion_address)
        if not self._messages and self._line is None:
            self._mask()
        registers.CC.write(
            enable=1,
            submission_entry=COMMAND_BYTES.bit_length() - 1,
            completion_entry=COMPLETION_BYTES.bit_length() - 1,
        )
        self._wait_for(lambda: registers.CSTS.read().ready == 1, self._timeout_ms)

    def _wait_for(self, condition: Callable[[], bool], milliseconds: int) -> None:
        for _ in range(milliseconds):
            status = self.registers.CSTS.read()
            if int(status) == ALL_ONES:
                raise NtStatusError(STATUS_NO_SUCH_DEVICE, "CSTS")
            if status.fatal:
                raise NtStatusError(STATUS_IO_DEVICE_ERROR, "CSTS.CFS")
            if condition():
                return
            delay_execution_thread(self._kernel, MILLISECOND)
        raise NtStatusError(STATUS_DEVICE_NOT_READY, f"CSTS is {status!r}")

    def _identify(self) -> None:
        self.identity = identity = self.admin.identify_controller()
        namespaces = self.admin.identify_namespaces()
        # A namespace that vanished while it was open stays: the controller refuses its commands.
        self.by_name.update({f"n{each.identifier}": each for each in namespaces})
        if namespaces:
            self.by_name[""] = namespaces[0]
        limit = self.parameters.max_transfer
        self.max_transfer = min(limit, identity.max_transfer or limit)

    def _create_queues(self) -> None:
        """Makes the I/O queues known to the controller and resumes them."""
        granted = self.admin.set_number_of_queues(len(self.queues))
        self.used = self.queues[:granted]
        self._by_vector = [[] for _ in range(self._vectors)]
        for queue in self.used:
            vector = queue.number % self._vectors
            queue.restart(self._mapped, self._stride)
            self.admin.create_queues(queue.pair, vector)
            self._by_vector[vector].append(queue)
        for queue in self.used:
            queue.resume()

    def _delete_queues(self) -> None:
        """Deletes the I/O queues of the controller, as far as it still responds."""
        for queue in self.used:
            queue.hold()
        with contextlib.suppress(NtStatusError):
            for queue in self.used:
                self.admin.delete_submission_queue(queue.pair)
        for queue in self.used:
            queue.retire()
        with contextlib.suppress(NtStatusError):
            for queue in self.used:
                self.admin.delete_completion_queue(queue.pair)

    # Interrupts

    def _evt_interrupt_isr(self, interrupt: Interrupt, message: int) -> bool:
        found = False
        for queue in self._by_vector[message]:
            found |= queue.queue_dpc()
        if not message and self.admin.pair.pending:
            interrupt.queue_dpc_for_isr()
            found = True
        if found and self._line is not None:
            self._mask()  # the line stays asserted until the completions have been taken
        return found or self._messages

    def _evt_interrupt_dpc(self, interrupt: Interrupt, device: Device) -> None:
        self.admin.interrupted()

    # Recovery

    def _evt_watch(self, timer: Timer) -> None:
        self._tick += 1
        for queue in self.used:
            if queue.in_flight:
                queue.queue_dpc_if_forgotten()
                if queue.late(self._tick):
                    self._recover.enqueue()

    def reset_for(self, request: Request) -> None:
        """Resets the controller in the work item and then completes a request."""
        with self._lock:
            self._reset_requests.append(request)
        self._recover.enqueue()

    def _evt_recover(self, work_item: WorkItem) -> None:
        with self._lock:
            requests, self._reset_requests = self._reset_requests, []
        status = STATUS_SUCCESS
        if requests or not self._abort_late():
            status = self._reset()
        for request in requests:
            request.complete(status)

    def _abort_late(self) -> bool:
        """Asks the controller to abort late commands.

        :return: ``False`` if it was asked before without success, or does not answer
        """
        for queue in self.used:
            late = queue.late(self._tick)
            if any(slot.aborted for slot in late):
                return False
            for slot in late:
                self.aborts += 1
                queue.grant_time(slot)
                if self.admin.abort(queue.number, slot.index) == STATUS_IO_TIMEOUT:
                    return False
        return True

    def _reset(self) -> int:
        """Resets the controller and hands over again the commands that it had."""
        if self.gone:
            return STATUS_NO_SUCH_DEVICE
        self.resets += 1
        self._delete_queues()
        try:
            self._disable()
            self._enable()
            self._create_queues()
        except NtStatusError as error:
            self._give_up(error.status)
            return error.status
        return STATUS_SUCCESS


class _Registers:
    """BAR0 for a register map: 64-bit registers in two halves, which every controller accepts."""

    def __init__(self, mapped: MappedRegisters) -> None:
        self.read8, self.read16 = mapped.read8, mapped.read16
        self.write8, self.write16 = mapped.write8, mapped.write16
        self.read32, self.write32 = mapped.read32, mapped.write32

    def read64(self, offset: int) -> int:
        """The lower half first."""
        return self.read32(offset) | self.read32(offset + 4) << 32

    def write64(self, offset: int, value: int) -> None:
        """The lower half first."""
        self.write32(offset, value & ALL_ONES)
        self.write32(offset + 4, value >> 32)
