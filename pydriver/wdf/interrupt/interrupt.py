# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFINTERRUPT: one message, or the line; its ISR, and the DPC or work item the ISR queues.

The lock of an interrupt is in `lock`, its connection in `connection`.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

from pydriver.declarations.registry import handle
from pydriver.ke.dpc import KDpc
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    NtStatusError,
)
from pydriver.wdf.interrupt.config import (
    IRQLS,
    InterruptConfig,
    InterruptExtendedPolicy,
    InterruptInfo,
    InterruptPolarity,
    InterruptPolicy,
    InterruptPriority,
    KInterruptMode,
    ShareDisposition,
)
from pydriver.wdf.interrupt.connection import InterruptConnection, InterruptState
from pydriver.wdf.object.ddi import DISPATCH_LEVEL, HIGH_LEVEL, creation_ddi, ddi
from pydriver.wdf.object.device_base import WdfDevice
from pydriver.wdf.object.object import Object, ObjectAttributes, ParentRule, check_pointer
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.sync.serialization import CallbackKind, PresentationLock, select_lock, serialized
from pydriver.wdf.sync.work_item import QueuedWork

if TYPE_CHECKING:
    from pydriver.wdf.interrupt.device import InterruptDevice

__all__ = ("Interrupt", "InterruptState")


@handle("WDFINTERRUPT")
class Interrupt(InterruptConnection):
    """An interrupt object.

    :ivar message_number: the index on the device, in the order of creation
    :ivar policy: the policy for the processors that take the interrupt
    :ivar priority: the priority, which decides on the DIRQL
    :ivar target_processors: the affinity for the policy SPECIFIED_PROCESSORS
    :ivar prepared: whether the object was created in EvtDevicePrepareHardware
    :ivar interrupts: the number of calls of the ISR
    :ivar unclaimed: the number of calls in which the ISR did not claim the interrupt
    :ivar dpcs_queued: the number of times the DPC was queued
    :ivar dpcs_coalesced: the number of requests for the DPC while it was queued already
    """

    __slots__ = (
        "_kdpc",
        "_name",
        "_run_down",
        "_take_dpc",
        "dpcs_coalesced",
        "dpcs_queued",
        "interrupts",
        "message_number",
        "policy",
        "prepared",
        "priority",
        "target_processors",
        "unclaimed",
    )

    fx_type: ClassVar[int] = 0x1027
    passive_disposal: ClassVar[bool] = True

    def __init__(
        self,
        device: "InterruptDevice",
        parent: Object,
        config: InterruptConfig,
        attributes: ObjectAttributes,
        lock: PresentationLock | None,
    ) -> None:
        # The name comes first: the private wait lock, a child of the interrupt, may use it.
        self.message_number = len(device.interrupt_resources.interrupts)
        self._name = f"interrupt {self.message_number} of {device}"
        super().__init__(device, parent, config, attributes)
        self.prepared = False
        self.policy = InterruptPolicy.ONE_CLOSE
        self.priority = InterruptPriority.UNDEFINED
        self.target_processors = 0
        self.interrupts = 0
        self.unclaimed = 0
        self.dpcs_queued = 0
        self.dpcs_coalesced = 0
        self._run_down = False
        self._kdpc = KDpc(self._kernel, self._dpc_routine(lock), self)
        self._take_dpc = self._kdpc.take_flag
        # As in WDF, an interrupt has a reference on its device, which therefore lives as long.
        device._references += 1

    def _dpc_routine(self, lock: PresentationLock | None) -> Callable[[], object]:
        config = self.config
        work_item, dpc = config.evt_interrupt_work_item, config.evt_interrupt_dpc
        if work_item is not None:
            work: Callable[[], object] = partial(work_item, self, self.device)
            self._work = QueuedWork(self, work if lock is None else serialized(lock, work))
            return self._work.enqueue
        if dpc is None:
            return partial(self._null_pointer, "its DPC runs without an EvtInterruptDpc")
        routine = partial(dpc, self, self.device)
        return routine if lock is None else serialized(lock, routine)

    def __str__(self) -> str:
        return self._name

    # DDIs

    @classmethod
    @creation_ddi(
        "WdfInterruptCreate",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PWDF_INTERRUPT_CONFIG Configuration, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES Attributes, _Out_ WDFINTERRUPT *Interrupt)",
    )
    def create(
        cls,
        device: "InterruptDevice",
        config: InterruptConfig,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Creates an interrupt object, in EvtDriverDeviceAdd or in EvtDevicePrepareHardware.

        :param device: the device that interrupts
        :param config: the callbacks and other properties
        :param attributes: the attributes. Only with automatic serialization may they name a parent,
            which must be the device or one of its queues
        :raises NtStatusError: a check failed [fxinterruptapi.cpp, WdfInterruptCreate]
        """
        what = "WdfInterruptCreate"
        check_pointer(device._kernel, config, f"{what}: Configuration", device)
        if config.evt_interrupt_isr is None:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: no EvtInterruptIsr")
        rule = ParentRule.OPTIONAL if config.automatic_serialization else ParentRule.FORBIDDEN
        attributes = cls.check_attributes(attributes, rule, what)
        _check_moment(device, config, what)
        _check_callbacks(config, what)
        parent = attributes.parent_object
        if parent is not None and parent is not device and parent not in device.io.queues:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: {parent} is not a queue of it")
        lock = select_lock(
            parent or device, _callback_kind(config), what, automatic=config.automatic_serialization
        )
        interrupt = cls(device, parent or device, config, attributes, lock)
        if parent is not None:
            parent.deletable = False
        device.interrupt_resources.interrupts.append(interrupt)
        if config.interrupt_translated is not None:
            interrupt.prepared = True
            interrupt.assign(config.interrupt_translated)
        return interrupt

    @ddi("WdfInterruptQueueDpcForIsr", "BOOLEAN (_In_ WDFINTERRUPT Interrupt)", highest=HIGH_LEVEL)
    def queue_dpc_for_isr(self) -> bool:
        """Queues EvtInterruptDpc on this processor.

        With EvtInterruptWorkItem the work item is queued instead. With neither, the system stops
        when the DPC runs, as WDF then calls NULL.

        :return: ``False`` if it was queued already: the two requests become one
        """
        # This repeats KDpc.insert for a DPC without target or importance, to save a call.
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

    @ddi(
        "WdfInterruptQueueWorkItemForIsr",
        "BOOLEAN (_In_ WDFINTERRUPT Interrupt)",
        highest=HIGH_LEVEL,
    )
    def queue_work_item_for_isr(self) -> bool:
        """Queues EvtInterruptWorkItem; above DISPATCH_LEVEL, through the interrupt's DPC.

        :return: ``False`` if it was queued already: the work item, or above DISPATCH_LEVEL the DPC
        :raises BugCheck: the configuration has no EvtInterruptWorkItem
        """
        if self._work is None:
            self._null_pointer("WdfInterruptQueueWorkItemForIsr without EvtInterruptWorkItem")
        if self._kernel.irql() > DISPATCH_LEVEL:
            return self.queue_dpc_for_isr()
        return not self._run_down and self._work.enqueue()

    @ddi("WdfInterruptGetDevice", "WDFDEVICE (_In_ WDFINTERRUPT Interrupt)", highest=HIGH_LEVEL)
    def get_device(self) -> WdfDevice:
        """Returns the device that interrupts, even when the parent is a queue."""
        return self.device

    @ddi(
        "WdfInterruptGetInfo",
        "VOID (_In_ WDFINTERRUPT Interrupt, _Inout_ PWDF_INTERRUPT_INFO Info)",
    )
    def get_info(self) -> InterruptInfo:
        """Returns the resource that was assigned to the interrupt."""
        descriptor = self.descriptor
        number = self.message_number
        if descriptor is None:
            return InterruptInfo(number, 0, self.irql, 0, message_signaled=False)
        line = descriptor.line
        shared = line is not None and not line.exclusive
        return InterruptInfo(
            number,
            self.vector,
            self.irql,
            descriptor.affinity,
            descriptor.message_signaled,
            KInterruptMode.LATCHED if line is None else KInterruptMode.LEVEL_SENSITIVE,
            InterruptPolarity.UNKNOWN if line is None else InterruptPolarity.ACTIVE_LOW,
            ShareDisposition.SHARED if shared else ShareDisposition.DEVICE_EXCLUSIVE,
        )

    @ddi(
        "WdfInterruptSetPolicy",
        "VOID (_In_ WDFINTERRUPT Interrupt, _In_ WDF_INTERRUPT_POLICY Policy, "
        "_In_ WDF_INTERRUPT_PRIORITY Priority, _In_ KAFFINITY TargetProcessorSet)",
    )
    def set_policy(
        self,
        policy: InterruptPolicy,
        priority: InterruptPriority,
        target_processor_set: int = 0,
    ) -> None:
        """Sets where the interrupt should arrive; in EvtDriverDeviceAdd.

        A policy or a priority out of range is a violation, and the call is ignored.

        :param policy: the policy; SPECIFIED_PROCESSORS uses ``target_processor_set``, all others
            spread interrupts over the processors
        :param priority: LOW, NORMAL or HIGH, which decides on the DIRQL
        :param target_processor_set: the affinity, one bit for each processor
        """
        self._set_policy("WdfInterruptSetPolicy", policy, priority, target_processor_set, 0)

    @ddi(
        "WdfInterruptSetExtendedPolicy",
        "VOID (_In_ WDFINTERRUPT Interrupt, _In_ PWDF_INTERRUPT_EXTENDED_POLICY PolicyAndGroup)",
    )
    def set_extended_policy(self, policy_and_group: InterruptExtendedPolicy) -> None:
        """Sets where the interrupt should arrive; in EvtDriverDeviceAdd.

        Like :meth:`set_policy`, with a group of processors: group 0 is the only one.

        :param policy_and_group: the policy, the priority and the affinity
        """
        what = "WdfInterruptSetExtendedPolicy"
        check_pointer(self._kernel, policy_and_group, f"{what}: PolicyAndGroup", self)
        affinity = policy_and_group.target_processor_set_and_group
        self._set_policy(
            what,
            policy_and_group.policy,
            policy_and_group.priority,
            affinity.mask,
            affinity.group,
        )

    def _set_policy(self, what: str, policy: int, priority: int, mask: int, group: int) -> None:
        violation = self._kernel.verifier.violation
        for name, value, least, most in (
            ("policy", policy, min(InterruptPolicy), max(InterruptPolicy)),
            ("priority", priority, InterruptPriority.LOW, InterruptPriority.HIGH),
            ("group", group, 0, 0),
        ):
            if not least <= value <= most:
                message = f"{what}: {name} {value} is not from {int(least)} to {int(most)}: {self}"
                violation("InterruptPolicy", message, self)
                return
        if self.prepared:
            violation(
                "InterruptPolicy", f"{what} after {self} was given its resource: no effect", self
            )
        self.policy = InterruptPolicy(policy)
        self.priority = InterruptPriority(priority)
        self.target_processors = mask

    @property
    def preferred_irqls(self) -> tuple[int, ...]:
        """The DIRQLs in the order in which a free vector is looked for."""
        priority = self.priority or InterruptPriority.NORMAL
        return IRQLS[priority]

    def _on_dispose(self) -> None:
        self.force_disconnected = True
        self.disconnect()
        self._run_down = True
        if self._work is not None:
            self._work.flush()
        self._kernel.verifier.forget_lock(self)

    def _drop(self) -> None:
        device = self.device
        super()._drop()
        if self.freed:
            device._drop()


def _check_moment(device: "InterruptDevice", config: InterruptConfig, what: str) -> None:
    """Checks a configuration against the callback: EvtDriverDeviceAdd runs before resources exist.

    EvtDevicePrepareHardware runs when they do.
    """
    raw, translated = config.interrupt_raw, config.interrupt_translated
    if device.initializing:
        if raw is not None or translated is not None:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: no resources exist yet")
        if config.can_wake_device:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: CanWakeDevice")
        return
    if not device.preparing_hardware:
        raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{what}: {device} has started")
    if raw is None or translated is None:
        raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{what}: no resource is given")
    if config.share_vector is not TriState.USE_DEFAULT:
        raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{what}: ShareVector")
    if config.can_wake_device:
        raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: a resource without a wake hint")
    assigned = device.interrupt_resources.granted
    if device._kernel.verifying and not (raw in assigned and translated in assigned):
        raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: not a resource of {device}")


def _check_callbacks(config: InterruptConfig, what: str) -> None:
    if config.evt_interrupt_dpc is not None and config.evt_interrupt_work_item is not None:
        raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: DPC and work item")
    if config.passive_handling:
        if config.spin_lock is not None:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: SpinLock, PassiveHandling")
    elif config.wait_lock is not None or config.can_wake_device:
        raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: only with PassiveHandling")


def _callback_kind(config: InterruptConfig) -> CallbackKind:
    if config.evt_interrupt_work_item is not None:
        return CallbackKind.PASSIVE
    if config.evt_interrupt_dpc is None and config.passive_handling:
        return CallbackKind.PASSIVE
    return CallbackKind.DISPATCH
