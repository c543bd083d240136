# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFINTERRUPT: one message, or the line; its ISR, DPC and lock.

The lock. While its ISR runs, and while somebody holds it, the processor's CR8 is at least the
interrupt's SynchronizeIrql: there the interrupt is masked, which with one processor is the whole
lock. With several, a mutex keeps the others out: it is taken after the raise, and released before
the IRQL falls. Which of the two it is, is decided when the interrupt is connected.
"""

from collections.abc import Callable
from enum import Enum
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from pydriver.ke.bugcheck import DRIVER_VERIFIER_DETECTED_VIOLATION, SPIN_LOCK_ALREADY_OWNED
from pydriver.ke.dpc import KDpc
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
    NtStatusError,
)
from pydriver.wdf.ddi import (
    DISPATCH_LEVEL,
    HIGH_LEVEL,
    PASSIVE_LEVEL,
    creation_ddi,
    ddi,
    irql_violation,
)
from pydriver.wdf.interrupt_config import (
    IRQLS,
    InterruptConfig,
    InterruptInfo,
    InterruptPolicy,
    InterruptPriority,
)
from pydriver.wdf.object import Object, ObjectAttributes, ParentRule
from pydriver.wdf.service import line_routine, message_routine
from pydriver.wdf.work_item import QueuedWork

if TYPE_CHECKING:
    from pydriver.ke.processor import Processor
    from pydriver.wdf.device import Device
    from pydriver.wdf.resource import InterruptDescriptor

__all__ = ("Interrupt", "InterruptState")


class InterruptState(Enum):
    """Where an interrupt object is between creation and service."""

    CREATED = 0
    CONNECTED = 1
    ENABLED = 2
    DISCONNECTING = 3


class Interrupt(Object):
    """An interrupt object.

    :ivar message_number: index on the device, in the order of creation
    :ivar vector: that it arrives on; 0: no resource
    :ivar irql: its DIRQL
    :ivar synchronize_irql: of its ISR and of the holder of its lock
    :ivar interrupts: how often its ISR was called
    :ivar unclaimed: how often the ISR said that the interrupt was not its device's
    :ivar dpcs_queued: how often its DPC was queued
    :ivar dpcs_coalesced: how often its DPC was asked for while it was queued already
    """

    __slots__ = (
        "_kdpc",
        "_name",
        "_routine",
        "_saved",
        "_take_dpc",
        "_work",
        "config",
        "descriptor",
        "device",
        "dpcs_coalesced",
        "dpcs_queued",
        "force_disconnected",
        "holder",
        "interrupts",
        "irql",
        "message_number",
        "mutex",
        "policy",
        "prepared",
        "priority",
        "processor",
        "state",
        "synchronize_irql",
        "target_processors",
        "unclaimed",
        "vector",
    )

    fx_type: ClassVar[int] = 0x1027
    held_rule: ClassVar[str] = "WdfInterruptLockRelease"
    passive_disposal: ClassVar[bool] = True

    def __init__(
        self,
        device: "Device",
        parent: Object,
        config: InterruptConfig,
        attributes: ObjectAttributes,
    ) -> None:
        super().__init__(device._kernel, parent, attributes, deletable=False)
        self.device = device
        self.config = config
        self.message_number = len(device.interrupts)
        self._name = f"interrupt {self.message_number} of {device}"
        self.descriptor: InterruptDescriptor | None = None
        self.prepared = False
        self.force_disconnected = False
        self.vector = 0
        self.irql = 0
        self.synchronize_irql = 0
        self.processor: Processor | None = None
        self.state = InterruptState.CREATED
        self.policy = InterruptPolicy.MACHINE_DEFAULT
        self.priority = InterruptPriority.UNDEFINED
        self.target_processors = 0
        self.mutex: Lock | None = None
        self.holder: Processor | None = None
        self._saved = 0
        self._routine: Callable[[], Any] | None = None
        self.interrupts = 0
        self.unclaimed = 0
        self.dpcs_queued = 0
        self.dpcs_coalesced = 0
        self._work: QueuedWork | None = None
        if config.evt_interrupt_work_item is not None:
            self._work = QueuedWork(self, partial(config.evt_interrupt_work_item, self, device))
            routine: Callable[[], object] = self._work.enqueue
        elif config.evt_interrupt_dpc is not None:
            routine = partial(config.evt_interrupt_dpc, self, device)
        else:
            routine = self._no_dpc
        self._kdpc = KDpc(self._kernel, routine, self)
        self._take_dpc = self._kdpc.take_flag

    def __str__(self) -> str:
        return self._name

    # DDIs

    @classmethod
    @creation_ddi(
        "WdfInterruptCreate",
        "NTSTATUS (WDFDEVICE, PWDF_INTERRUPT_CONFIG, PWDF_OBJECT_ATTRIBUTES, WDFINTERRUPT *)",
    )
    def create(
        cls,
        device: "Device",
        config: InterruptConfig,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Creates an interrupt object, in EvtDriverDeviceAdd or in EvtDevicePrepareHardware.

        :param device: that interrupts
        :param config: its callbacks
        :param attributes: a parent only with automatic serialization: the device or its queue
        :raises NtStatusError: a check failed [fxinterruptapi.cpp, WdfInterruptCreate]
        """
        what = "WdfInterruptCreate"
        if config.evt_interrupt_isr is None:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: no EvtInterruptIsr")
        attributes = cls.check_attributes(attributes, ParentRule.OPTIONAL, what)
        parent = attributes.parent_object
        if parent is not None and not config.automatic_serialization:
            raise NtStatusError(STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED, what)
        preparing = device.preparing_hardware
        if not preparing and not device.initializing:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{what}: {device} has started")
        raw, translated = config.interrupt_raw, config.interrupt_translated
        if not preparing and (raw is not None or translated is not None):
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: no resources exist yet")
        if preparing and (raw is None or translated is None):
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{what}: no resource is given")
        if config.evt_interrupt_dpc is not None and config.evt_interrupt_work_item is not None:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: DPC and work item")
        if config.passive_handling:
            raise NtStatusError(STATUS_NOT_SUPPORTED, f"{what}: PassiveHandling")
        if parent is not None and parent is not device and parent not in device.queues:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: {parent} is no queue of it")
        interrupt = cls(device, parent or device, config, attributes)
        if config.spin_lock is not None:
            config.spin_lock.interrupt_lock = True
        if parent is not None:
            parent.deletable = False
        device.interrupts.append(interrupt)
        if translated is not None:
            interrupt.prepared = True
            interrupt.assign(translated)
        return interrupt

    @ddi("WdfInterruptQueueDpcForIsr", "BOOLEAN (WDFINTERRUPT Interrupt)", highest=HIGH_LEVEL)
    def queue_dpc_for_isr(self) -> bool:
        """Queues EvtInterruptDpc on this processor.

        :return: ``False`` if it was queued already: the two requests become one
        """
        # KDpc.insert, for a DPC without target and importance, without a second call.
        if not self._take_dpc(False):
            self.dpcs_coalesced += 1
            return False
        self.dpcs_queued += 1
        processor = self._current.processor
        dpc = self._kdpc
        if processor is None:
            dpc.insert_taken()
            return True
        dpc.processor = processor
        processor.dpcs.append(dpc)
        if not processor.draining and processor.state.irql < DISPATCH_LEVEL:
            processor.request_dispatch()
        return True

    @ddi("WdfInterruptQueueWorkItemForIsr", "BOOLEAN (WDFINTERRUPT Interrupt)", highest=HIGH_LEVEL)
    def queue_work_item_for_isr(self) -> bool:
        """Queues EvtInterruptWorkItem: above DISPATCH_LEVEL through the interrupt's DPC.

        :return: ``False`` if the DPC, or at or below DISPATCH_LEVEL the work item, was queued
        """
        if self._work is None:
            self._violation("WdfInterruptQueueWorkItemForIsr without EvtInterruptWorkItem", "")
        elif self._kernel.irql() <= DISPATCH_LEVEL:
            return self._work.enqueue()
        return self.queue_dpc_for_isr()

    @ddi("WdfInterruptAcquireLock", "VOID (WDFINTERRUPT Interrupt)", unchecked=True)
    def acquire_lock(self) -> None:
        """Raises to SynchronizeIrql and takes the interrupt's lock. Not recursive."""
        processor = self._current.processor
        irql = PASSIVE_LEVEL if processor is None else processor.state.irql
        level = self.synchronize_irql
        if self.state is InterruptState.CREATED:
            self._violation("WdfInterruptAcquireLock while it is not connected", "WdfInterruptLock")
        if irql > level:
            irql_violation(self._kernel, "WdfInterruptAcquireLock", irql, self, level)
        if processor is not None and self.lock_holder is processor:
            self._kernel.bug_check(
                SPIN_LOCK_ALREADY_OWNED,
                id(self),
                rule="WdfInterruptLock",
                message=f"the lock of {self} is acquired on the processor that holds it",
            )
        if irql != level:
            irql = self._kernel.raise_irql(level)
            processor = self._current.processor
        if self.mutex is not None:
            self.mutex.acquire()
        self.set_holder(processor)
        self._saved = irql

    @ddi(
        "WdfInterruptReleaseLock",
        "VOID (WDFINTERRUPT Interrupt)",
        highest=HIGH_LEVEL,
        unchecked=True,
    )
    def release_lock(self) -> None:
        """Releases the lock; restores the IRQL: a pending interrupt arrives before it returns."""
        processor = self._current.processor
        if processor is None or self.lock_holder is not processor:
            self._violation("WdfInterruptReleaseLock by one who does not hold it", "")
        saved = self._saved
        if self.mutex is not None:
            processor.link.flush()
            self.set_holder(None)
            self.mutex.release()
        else:
            self.set_holder(None)
        if saved != self.synchronize_irql:
            self._kernel.lower_irql(saved)

    @ddi(
        "WdfInterruptSynchronize",
        "BOOLEAN (WDFINTERRUPT, PFN_WDF_INTERRUPT_SYNCHRONIZE Callback, WDFCONTEXT Context)",
        unchecked=True,
    )
    def synchronize(
        self, callback: "Callable[[Interrupt, Any], bool]", context: Any = None
    ) -> bool:
        """Calls EvtInterruptSynchronize(interrupt, context) under the lock, at SynchronizeIrql.

        :return: what the callback returned
        """
        self.acquire_lock()
        try:
            result = callback(self, context)
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            self._kernel.escaped(error)
        self.release_lock()
        return bool(result)

    @ddi("WdfInterruptEnable", "VOID (WDFINTERRUPT Interrupt)", highest=PASSIVE_LEVEL, refusal=None)
    def enable(self) -> None:
        """Connects the interrupt again after :meth:`disable`, and calls EvtInterruptEnable."""
        self.force_disconnected = False
        self.connect()

    @ddi(
        "WdfInterruptDisable", "VOID (WDFINTERRUPT Interrupt)", highest=PASSIVE_LEVEL, refusal=None
    )
    def disable(self) -> None:
        """Calls EvtInterruptDisable and disconnects, until :meth:`enable`."""
        self.force_disconnected = True
        self.disconnect()

    @ddi("WdfInterruptGetDevice", "WDFDEVICE (WDFINTERRUPT Interrupt)", highest=HIGH_LEVEL)
    def get_device(self) -> "Device":
        """The device that interrupts, even when the parent is a queue."""
        return self.device

    @ddi("WdfInterruptGetInfo", "VOID (WDFINTERRUPT Interrupt, PWDF_INTERRUPT_INFO Info)")
    def get_info(self) -> InterruptInfo:
        """What was assigned to the interrupt."""
        descriptor = self.descriptor
        return InterruptInfo(
            self.message_number,
            self.vector,
            self.irql,
            0 if descriptor is None else descriptor.affinity,
            descriptor is not None and descriptor.message_signaled,
        )

    @ddi(
        "WdfInterruptSetPolicy",
        "VOID (WDFINTERRUPT, WDF_INTERRUPT_POLICY, WDF_INTERRUPT_PRIORITY, KAFFINITY)",
    )
    def set_policy(
        self,
        policy: InterruptPolicy,
        priority: InterruptPriority,
        target_processor_set: int = 0,
    ) -> None:
        """Says where the interrupt should arrive; in EvtDriverDeviceAdd.

        :param policy: SPECIFIED_PROCESSORS uses ``target_processor_set``; all others spread
        :param priority: decides on the DIRQL
        :param target_processor_set: one bit for each processor
        """
        self.policy = InterruptPolicy(policy)
        self.priority = InterruptPriority(priority)
        self.target_processors = target_processor_set

    @property
    def lock_holder(self) -> "Processor | None":
        """The processor that holds the lock, in an ISR of it too."""
        lock = self.config.spin_lock
        if lock is not None:
            return lock._owner
        return self.holder

    def set_holder(self, processor: "Processor | None") -> None:
        """Notes who holds the lock; by the holder."""
        lock = self.config.spin_lock
        if lock is not None:
            lock._owner = processor
        else:
            self.holder = processor

    # Resources and connection: by the device's PnP sequence, at PASSIVE_LEVEL

    @property
    def preferred_irqls(self) -> tuple[int, ...]:
        """DIRQLs in the order in which a vector is looked for."""
        priority = self.priority or InterruptPriority.NORMAL
        return IRQLS[priority]

    def assign(self, descriptor: "InterruptDescriptor | None") -> None:
        """Takes a resource, or loses it."""
        self.descriptor = descriptor
        if descriptor is None:
            self.vector = self.irql = self.synchronize_irql = 0
            self.processor = None
            return
        self.vector = descriptor.vector
        self.irql = self.synchronize_irql = descriptor.level
        self.processor = self._kernel.processors[descriptor.processor]

    def connect(self) -> int:
        """Connects and enables the interrupt [IoConnectInterruptEx, EvtInterruptEnable].

        :return: NTSTATUS of EvtInterruptEnable; success without a resource
        """
        descriptor = self.descriptor
        if descriptor is None or self.force_disconnected:
            return STATUS_SUCCESS
        if self.state is not InterruptState.CREATED:
            return STATUS_SUCCESS
        lock = self.config.spin_lock
        several = len(self._kernel.processors) > 1
        self.mutex = (Lock() if several else None) if lock is None else lock._mutex
        self.device.connect_vector(self, descriptor)
        self.state = InterruptState.CONNECTED
        status = self._call_locked(self.config.evt_interrupt_enable)
        if status < 0x80000000:
            self.state = InterruptState.ENABLED
        return status

    def disconnect(self) -> int:
        """Disables the interrupt, waits for what it queued, disconnects [interruptobject.cpp].

        :return: NTSTATUS of EvtInterruptDisable
        """
        descriptor = self.descriptor
        if descriptor is None or self.state is InterruptState.CREATED:
            return STATUS_SUCCESS
        status = STATUS_SUCCESS
        if self.state is InterruptState.ENABLED:
            status = self._call_locked(self.config.evt_interrupt_disable)
        self.state = InterruptState.DISCONNECTING
        self._kernel.flush_queued_dpcs()
        if self._work is not None:
            self._work.flush()
        self.device.disconnect_vector(self, descriptor)
        self.state = InterruptState.CREATED
        return status

    def service_routine(self) -> Callable[[], int]:
        """What serves the interrupt's own vector, for a message."""
        return message_routine(self)

    def chained_routine(self) -> Callable[[], bool]:
        """What serves the interrupt on a line."""
        self._routine = line_routine(self)
        return self._routine

    def _call_locked(self, callback: "Callable[[Interrupt, Device], int | None] | None") -> int:
        if callback is None:
            return STATUS_SUCCESS
        self.acquire_lock()
        try:
            status = callback(self, self.device)
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            self._kernel.escaped(error)
        self.release_lock()
        return STATUS_SUCCESS if status is None else status

    def _no_dpc(self) -> None:
        self._violation("WdfInterruptQueueDpcForIsr without EvtInterruptDpc", "")

    def _violation(self, what: str, rule: str) -> NoReturn:
        self._kernel.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            0,
            self._kernel.irql(),
            rule=rule or "WdfInterruptLockRelease",
            message=f"{what}: {self}",
        )

    def _on_dispose(self) -> None:
        self.disconnect()
        if self._work is not None:
            self._work.flush()
