# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDEVICE: a function device object, its resources and its PnP and power sequences.

All sequences run at PASSIVE_LEVEL on the caller's thread, one at a time per device.
"""

from collections.abc import Callable
from threading import Lock
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    NT_SUCCESS,
    STATUS_DEVICE_NOT_READY,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    STATUS_WDF_BUSY,
    NtStatusError,
    status_name,
)
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.ddi import RAISES, creation_ddi, ddi
from pydriver.wdf.device_init import DeviceInit, DeviceState, PowerDeviceState
from pydriver.wdf.file import File
from pydriver.wdf.interrupt_resources import InterruptResources
from pydriver.wdf.io_queue_config import IoStopAction
from pydriver.wdf.irp import RequestType
from pydriver.wdf.object import ExecutionLevel, ObjectAttributes, ParentRule, SynchronizationScope
from pydriver.wdf.resource import MemoryDescriptor, PortDescriptor, ResourceList
from pydriver.wdf.serialization import (
    CallbackKind,
    PresentationLock,
    Presenting,
    effective_level,
    effective_scope,
    make_lock,
)

if TYPE_CHECKING:
    from pydriver.ke.system import System
    from pydriver.wdf.dma_enabler import DmaEnabler
    from pydriver.wdf.driver import Driver
    from pydriver.wdf.interrupt import Interrupt
    from pydriver.wdf.io_queue import IoQueue

__all__ = ("Device",)


class Device(Presenting):
    """A device.

    :ivar function: the PCI function
    :ivar driver: that it belongs to
    :ivar state: where it is in its life
    :ivar interrupts: interrupt objects, in the order of creation
    :ivar queues: queues, in the order of creation
    :ivar dma_enablers: DMA enablers, in the order of creation
    :ivar io_lock: guards the queues and the requests; nothing waits under it
    :ivar powered: it is in D0, and the queues present requests
    :ivar device_lock: for its own callbacks, and for queues whose scope is DEVICE
    """

    __slots__ = (
        "_alignment_requirement",
        "_callbacks_table",
        "_dispatched",
        "_sequence",
        "_started_once",
        "control_queue",
        "default_queue",
        "device_lock",
        "dma_enablers",
        "driver",
        "file_attributes",
        "file_config",
        "function",
        "internal_queue",
        "interrupt_resources",
        "interrupts",
        "io_lock",
        "powered",
        "queues",
        "read_queue",
        "resources",
        "state",
        "system",
        "write_queue",
    )

    fx_type: ClassVar[int] = 0x1002
    allows_level: ClassVar[bool] = True
    allows_scope: ClassVar[bool] = True
    passive_disposal: ClassVar[bool] = True

    def __init__(self, init: DeviceInit, attributes: ObjectAttributes) -> None:
        driver = init.driver
        super().__init__(driver._kernel, driver, attributes, deletable=False)
        self.driver = driver
        self.execution_level = effective_level(attributes, driver.execution_level)
        self.synchronization_scope = effective_scope(attributes, driver.synchronization_scope)
        # A quirk of the framework: a level that is inherited from the driver does not count here.
        passive = attributes.execution_level is ExecutionLevel.PASSIVE
        self.callback_kind = CallbackKind.PASSIVE if passive else CallbackKind.DISPATCH
        self.device_lock: PresentationLock = make_lock(self, self.execution_level)
        unlocked = self.synchronization_scope is SynchronizationScope.NONE
        self.serialization_lock = None if unlocked else self.device_lock
        self.system: System = driver.system
        self.function = init.function
        self.interrupt_resources = InterruptResources(
            self.system, init.function, init.interrupt_mode, init.message_limit
        )
        self.file_config = init.file_config
        self.file_attributes = init.file_attributes
        self.state = DeviceState.INIT
        self.interrupts: list[Interrupt] = []
        self.queues: list[IoQueue] = []
        self.dma_enablers: list[DmaEnabler] = []
        self._alignment_requirement = 0
        self.resources = ResourceList(())
        self.io_lock = Lock()
        self.powered = False
        self.default_queue: IoQueue | None = None
        self.read_queue: IoQueue | None = None
        self.write_queue: IoQueue | None = None
        self.control_queue: IoQueue | None = None
        self.internal_queue: IoQueue | None = None
        self._dispatched: dict[RequestType, IoQueue] = {}
        self._callbacks_table = init.callbacks
        # One PnP or power sequence at a time.
        self._sequence = Lock()
        self._started_once = False
        init.device = self

    def __str__(self) -> str:
        return f"{self.driver.name} {self.function.address}"

    @property
    def device_above(self) -> "Device":
        """The device itself."""
        return self

    @property
    def initializing(self) -> bool:
        """EvtDriverDeviceAdd has not returned yet, or the device has not been started."""
        return self.state is DeviceState.INIT

    @property
    def preparing_hardware(self) -> bool:
        """EvtDevicePrepareHardware is running."""
        return self.state is DeviceState.PREPARING

    # DDIs

    @classmethod
    @creation_ddi(
        "WdfDeviceCreate",
        "NTSTATUS (PWDFDEVICE_INIT *, PWDF_OBJECT_ATTRIBUTES, WDFDEVICE *)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create(cls, device_init: DeviceInit, attributes: ObjectAttributes | None = None) -> Self:
        """Creates the device; in EvtDriverDeviceAdd.

        :param device_init: given to that callback; consumed
        :param attributes: without a parent
        :raises NtStatusError: the attributes are not valid, or ``device_init`` is consumed
        """
        what = "WdfDeviceCreate"
        attributes = cls.check_attributes(attributes, ParentRule.FORBIDDEN, what)
        if device_init.device is not None:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, what)
        return cls(device_init, attributes)

    @ddi("WdfDeviceGetDriver", "WDFDRIVER (WDFDEVICE Device)")
    def get_driver(self) -> "Driver":
        """The driver that the device belongs to."""
        return self.driver

    @ddi("WdfDeviceSetAlignmentRequirement", "VOID (WDFDEVICE Device, ULONG AlignmentRequirement)")
    def set_alignment_requirement(self, alignment_requirement: int) -> None:
        """Says how the device wants its buffers aligned.

        :param alignment_requirement: a mask: the alignment in bytes, less one
        """
        self._alignment_requirement = alignment_requirement

    @ddi("WdfDeviceGetAlignmentRequirement", "ULONG (WDFDEVICE Device)")
    def get_alignment_requirement(self) -> int:
        """How the device wants its buffers aligned: a mask."""
        return self._alignment_requirement

    @ddi("WdfDeviceGetDefaultQueue", "WDFQUEUE (WDFDEVICE Device)")
    def get_default_queue(self) -> "IoQueue | None":
        """The default queue, if there is one."""
        return self.default_queue

    @ddi(
        "WdfDeviceConfigureRequestDispatching",
        "NTSTATUS (WDFDEVICE, WDFQUEUE Queue, WDF_REQUEST_TYPE RequestType)",
    )
    def configure_request_dispatching(self, queue: "IoQueue", request_type: RequestType) -> None:
        """Has a queue take all requests of a type; in EvtDriverDeviceAdd.

        :param queue: of this device, not its default queue
        :param request_type: READ, WRITE, DEVICE_CONTROL or DEVICE_CONTROL_INTERNAL
        :raises NtStatusError: that is not possible [fxdeviceapi.cpp]
        """
        what = "WdfDeviceConfigureRequestDispatching"
        possible = {
            RequestType.READ,
            RequestType.WRITE,
            RequestType.DEVICE_CONTROL,
            RequestType.DEVICE_CONTROL_INTERNAL,
        }
        if request_type not in possible:
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        if queue.device is not self or queue is self.default_queue:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
        if not self.initializing:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, what)
        if not queue.handles(request_type):
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: no handler in {queue}")
        if request_type in self._dispatched:
            raise NtStatusError(STATUS_WDF_BUSY, what)
        self._dispatched[request_type] = queue
        queue.deletable = False
        self._update_dispatch()

    def set_default_queue(self, queue: "IoQueue") -> None:
        """Has a queue take what no other takes; by its creation."""
        self.default_queue = queue
        self._update_dispatch()

    def _update_dispatch(self) -> None:
        find = self._dispatched.get
        self.read_queue = find(RequestType.READ, self.default_queue)
        self.write_queue = find(RequestType.WRITE, self.default_queue)
        self.control_queue = find(RequestType.DEVICE_CONTROL, self.default_queue)
        self.internal_queue = find(RequestType.DEVICE_CONTROL_INTERNAL, self.default_queue)

    # The application

    def open(self, name: str = "") -> File:
        """Opens the device [CreateFile].

        :param name: of what to open on it
        :raises NtStatusError: it is not started, or the driver refuses
        """
        if self.state not in {DeviceState.STARTED, DeviceState.LOW_POWER}:
            raise NtStatusError(STATUS_DEVICE_NOT_READY, f"{self} is {self.state.value}")
        file = File(self, name)
        create = self.file_config.evt_device_file_create
        if create is not None:
            status = self._call("EvtDeviceFileCreate", create, self, file)
            if not NT_SUCCESS(status):
                file._delete()
                raise NtStatusError(status, f"opening {self}")
        return file

    # Sequences

    def start(self) -> None:
        """Starts the device: the order of [A User Plugs In a Device], or its unwinding.

        :raises NtStatusError: a callback failed
        """
        with self._sequence:
            self._start()

    def _start(self) -> None:
        callbacks = self._callbacks_table
        first = self.state is DeviceState.INIT
        self._note("start")
        try:
            self._assign_resources()
        except BaseException:
            self.state = DeviceState.FAILED
            raise
        self.state = DeviceState.PREPARING
        prepare = callbacks.evt_device_prepare_hardware
        status = STATUS_SUCCESS
        if prepare is not None:
            status = self._call(
                "EvtDevicePrepareHardware", prepare, self, self.resources, self.resources
            )
        failed = "EvtDevicePrepareHardware"
        if NT_SUCCESS(status):
            self.state = DeviceState.STARTING
            self._compute_synchronize_irqls()
            failed, status = self._power_up(PowerDeviceState.D3_FINAL, first=first)
        if NT_SUCCESS(status):
            self.state = DeviceState.STARTED
            return
        self._note(f"start failed: {failed}: {status_name(status)}")
        self._release_hardware()
        self.state = DeviceState.FAILED
        raise NtStatusError(status, f"{self} does not start: {failed}")

    def _assign_resources(self) -> None:
        kernel = self._kernel
        resources = self.function.resources()
        self.function.enable_memory()
        self.function.enable_ports()
        bars: list[MemoryDescriptor | PortDescriptor] = [
            *(
                MemoryDescriptor(each.bar, each.start, each.length, each.prefetchable, kernel)
                for each in resources.memory
            ),
            *(
                PortDescriptor(each.bar, each.start, each.length, kernel)
                for each in resources.ports
            ),
        ]
        bars.sort(key=lambda each: each.bar)
        granted = self.interrupt_resources.allocate(self.interrupts)
        for index, interrupt in enumerate(self.interrupts):
            interrupt.assign(granted[index] if index < len(granted) else None)
        self.resources = ResourceList((*bars, *granted))

    def _compute_synchronize_irqls(self) -> None:
        groups: dict[int, list[Interrupt]] = {}
        for interrupt in self.interrupts:
            lock = interrupt.config.spin_lock
            key = id(interrupt) if lock is None else id(lock)
            groups.setdefault(key, []).append(interrupt)
        for group in groups.values():
            highest = max(interrupt.irql for interrupt in group)
            for interrupt in group:
                interrupt.synchronize_irql = highest

    def _power_up(self, previous: PowerDeviceState, *, first: bool) -> tuple[str, int]:
        """Enters D0; what failed, and its status."""
        callbacks = self._callbacks_table
        self.function.enable_bus_master()
        entry = callbacks.evt_device_d0_entry
        if entry is not None:
            status = self._call("EvtDeviceD0Entry", entry, self, previous)
            if not NT_SUCCESS(status):
                return "EvtDeviceD0Entry", status
        self.interrupt_resources.enable()
        failed, status = self._connect_interrupts(previous)
        if not NT_SUCCESS(status):
            self._disconnect_interrupts()
            self._d0_exit(PowerDeviceState.D3_FINAL)
            return failed, status
        self.powered = True
        for queue in tuple(self.queues):
            queue.power_up()
        if first or not self._started_once:
            name, callback = (
                "EvtDeviceSelfManagedIoInit",
                callbacks.evt_device_self_managed_io_init,
            )
        else:
            name, callback = (
                "EvtDeviceSelfManagedIoRestart",
                callbacks.evt_device_self_managed_io_restart,
            )
        if callback is not None:
            status = self._call(name, callback, self)
            if not NT_SUCCESS(status):
                self._stop_queues(IoStopAction.PURGE)
                self._pre_interrupts_disabled(PowerDeviceState.D3_FINAL)
                self._disconnect_interrupts()
                self._d0_exit(PowerDeviceState.D3_FINAL)
                return name, status
        self._started_once = True
        return "", STATUS_SUCCESS

    def _connect_interrupts(self, previous: PowerDeviceState) -> tuple[str, int]:
        for interrupt in self.interrupts:
            status = interrupt.connect()
            if not NT_SUCCESS(status):
                return f"connection of {interrupt}", status
        post = self._callbacks_table.evt_device_d0_entry_post_interrupts_enabled
        name = "EvtDeviceD0EntryPostInterruptsEnabled"
        if post is not None:
            return name, self._call(name, post, self, previous)
        return name, STATUS_SUCCESS

    def _power_down(self, target: PowerDeviceState, action: IoStopAction) -> None:
        """Leaves D0; goes on after a failure."""
        suspend = self._callbacks_table.evt_device_self_managed_io_suspend
        if suspend is not None:
            self._call("EvtDeviceSelfManagedIoSuspend", suspend, self)
        self._stop_queues(action)
        self._pre_interrupts_disabled(target)
        self._disconnect_interrupts()
        self._d0_exit(target)

    def _stop_queues(self, action: IoStopAction) -> None:
        self.powered = False
        queues = tuple(self.queues)
        for queue in queues:
            queue.hold()
        for queue in queues:
            queue.power_down(action)

    def _pre_interrupts_disabled(self, target: PowerDeviceState) -> None:
        callback = self._callbacks_table.evt_device_d0_exit_pre_interrupts_disabled
        if callback is not None:
            self._call("EvtDeviceD0ExitPreInterruptsDisabled", callback, self, target)

    def _disconnect_interrupts(self) -> None:
        for interrupt in reversed(self.interrupts):
            interrupt.disconnect()

    def _d0_exit(self, target: PowerDeviceState) -> None:
        callback = self._callbacks_table.evt_device_d0_exit
        if callback is not None:
            self._call("EvtDeviceD0Exit", callback, self, target)
        self.interrupt_resources.disable()
        self.function.disable_bus_master()

    def _release_hardware(self) -> None:
        release = self._callbacks_table.evt_device_release_hardware
        if release is not None:
            self._call("EvtDeviceReleaseHardware", release, self, self.resources)
        for interrupt in reversed(self.interrupts[:]):
            if interrupt.prepared:
                self.interrupts.remove(interrupt)
                interrupt._delete()
            else:
                interrupt.assign(None)
        self.interrupt_resources.free()
        self.function.disable()
        self.resources = ResourceList(())

    def exit_d0(self, target: PowerDeviceState = PowerDeviceState.D3) -> None:
        """Has the device leave D0, as for idle or sleep [powerstatemachine.cpp].

        :param target: D1, D2 or D3
        """
        with self._sequence:
            if self.state is not DeviceState.STARTED:
                raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{self} is {self.state.value}")
            self._note(f"exit D0 to {target.name}")
            self._power_down(target, IoStopAction.SUSPEND)
            self.state = DeviceState.LOW_POWER

    def enter_d0(self, previous: PowerDeviceState = PowerDeviceState.D3) -> None:
        """Has the device return to D0 [powerstatemachine.cpp].

        :raises NtStatusError: a callback failed; the device has failed then
        """
        with self._sequence:
            if self.state is not DeviceState.LOW_POWER:
                raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{self} is {self.state.value}")
            self._note(f"enter D0 from {previous.name}")
            failed, status = self._power_up(previous, first=False)
            if NT_SUCCESS(status):
                self.state = DeviceState.STARTED
                return
            self._release_hardware()
            self.state = DeviceState.FAILED
            raise NtStatusError(status, f"{self} does not return to D0: {failed}")

    def stop(self) -> None:
        """Stops the device for new resources; :meth:`start` gives them."""
        with self._sequence:
            if self.state is not DeviceState.STARTED:
                raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{self} is {self.state.value}")
            self._note("stop")
            self._power_down(PowerDeviceState.D3_FINAL, IoStopAction.SUSPEND)
            self._release_hardware()
            self.state = DeviceState.STOPPED

    def remove(self) -> None:
        """Removes the device in order, and deletes it [A User Unplugs a Device]."""
        with self._sequence:
            if self.state is DeviceState.REMOVED:
                return
            self._note("remove")
            if self.state is DeviceState.STARTED:
                self._power_down(PowerDeviceState.D3_FINAL, IoStopAction.PURGE)
            if self.state in {DeviceState.STARTED, DeviceState.LOW_POWER}:
                self._release_hardware()
            self.state = DeviceState.REMOVED
            callbacks = self._callbacks_table
            for managed in (True, False):
                for queue in tuple(self.queues):
                    if queue.config.power_managed is managed:
                        queue.shut_down()
                flush = callbacks.evt_device_self_managed_io_flush
                if managed and flush is not None and self._started_once:
                    self._kernel.invoke(flush, self)
            cleanup = callbacks.evt_device_self_managed_io_cleanup
            if cleanup is not None and self._started_once:
                self._kernel.invoke(cleanup, self)
        self._delete()

    def _call(self, name: str, callback: Callable[..., int | None], *arguments: Any) -> int:
        self._note(name)
        with self._kernel.watchdog.limit(name, self):
            return self._kernel.invoke_status(callback, *arguments)

    def _note(self, step: str) -> None:
        kernel = self._kernel
        irql = kernel.irql()
        kernel.record((perf_counter_ns(), Event.PNP, NO_PROCESSOR, irql, self, step))
