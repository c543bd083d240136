# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The structures and enumerations of interrupt objects [wdfinterrupt.h]."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from pydriver.declarations.registry import callbacks, enumeration, structure
from pydriver.ke.irql import DISPATCH_LEVEL, HIGH_LEVEL, PASSIVE_LEVEL
from pydriver.wdf.object.tri_state import TriState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.wdf.interrupt.interrupt import Interrupt
    from pydriver.wdf.memory.resource import InterruptDescriptor
    from pydriver.wdf.object.device_base import WdfDevice
    from pydriver.wdf.sync.spin_lock import SpinLock
    from pydriver.wdf.sync.wait_lock import WaitLock

__all__ = (
    "IRQLS",
    "GroupAffinity",
    "InterruptConfig",
    "InterruptExtendedPolicy",
    "InterruptInfo",
    "InterruptPolarity",
    "InterruptPolicy",
    "InterruptPriority",
    "KInterruptMode",
    "ShareDisposition",
)


callbacks(
    __name__,
    {
        "EVT_WDF_INTERRUPT_ISR": "BOOLEAN (_In_ WDFINTERRUPT Interrupt, _In_ ULONG MessageID)",
        "EVT_WDF_INTERRUPT_SYNCHRONIZE": "BOOLEAN ("
        "_In_ WDFINTERRUPT Interrupt, _In_ WDFCONTEXT Context)",
        "EVT_WDF_INTERRUPT_ENABLE": "NTSTATUS ("
        "_In_ WDFINTERRUPT Interrupt, _In_ WDFDEVICE AssociatedDevice)",
        "EVT_WDF_INTERRUPT_DISABLE": "NTSTATUS ("
        "_In_ WDFINTERRUPT Interrupt, _In_ WDFDEVICE AssociatedDevice)",
    },
    highest=HIGH_LEVEL,
)
callbacks(
    __name__,
    {
        "EVT_WDF_INTERRUPT_DPC": "VOID ("
        "_In_ WDFINTERRUPT Interrupt, _In_ WDFOBJECT AssociatedObject)",
    },
    lowest=DISPATCH_LEVEL,
    highest=DISPATCH_LEVEL,
)
callbacks(
    __name__,
    {
        "EVT_WDF_INTERRUPT_WORKITEM": "VOID ("
        "_In_ WDFINTERRUPT Interrupt, _In_ WDFOBJECT AssociatedObject)",
    },
    highest=PASSIVE_LEVEL,
)


@enumeration(
    "WDF_INTERRUPT_POLICY",
    "WdfIrqPolicy",
    names={
        "ALL_CLOSE": "WdfIrqPolicyAllCloseProcessors",
        "ONE_CLOSE": "WdfIrqPolicyOneCloseProcessor",
    },
)
class InterruptPolicy(IntEnum):
    """WDF_INTERRUPT_POLICY: the choice of the processors that take the interrupt."""

    MACHINE_DEFAULT = 0
    ALL_CLOSE = 1
    ONE_CLOSE = 2
    ALL_PROCESSORS_IN_MACHINE = 3
    SPECIFIED_PROCESSORS = 4
    SPREAD_MESSAGES_ACROSS_ALL_PROCESSORS = 5


@enumeration("WDF_INTERRUPT_PRIORITY", "WdfIrqPriority")
class InterruptPriority(IntEnum):
    """WDF_INTERRUPT_PRIORITY: the preference for a low or a high DIRQL."""

    UNDEFINED = 0
    LOW = 1
    NORMAL = 2
    HIGH = 3


IRQLS = {
    InterruptPriority.LOW: (3, 4, 5, 6, 7, 8, 9, 10, 11),
    InterruptPriority.NORMAL: (6, 7, 8, 5, 4, 9, 3, 10, 11),
    InterruptPriority.HIGH: (10, 11, 9, 8, 7, 6, 5, 4, 3),
}
"""The DIRQLs of each priority, in the order in which free vectors are looked for. UNDEFINED is
treated as NORMAL."""


@enumeration("KINTERRUPT_MODE")
class KInterruptMode(IntEnum):
    """KINTERRUPT_MODE."""

    LEVEL_SENSITIVE = 0
    LATCHED = 1


@enumeration(
    "WDF_INTERRUPT_POLARITY", "WdfInterrupt", names={"UNKNOWN": "WdfInterruptPolarityUnknown"}
)
class InterruptPolarity(IntEnum):
    """WDF_INTERRUPT_POLARITY."""

    UNKNOWN = 0
    ACTIVE_HIGH = 1
    ACTIVE_LOW = 2


@enumeration("CM_SHARE_DISPOSITION", "CmResourceShare", c_type="UCHAR")
class ShareDisposition(IntEnum):
    """CM_SHARE_DISPOSITION."""

    UNDETERMINED = 0
    DEVICE_EXCLUSIVE = 1
    DRIVER_EXCLUSIVE = 2
    SHARED = 3


@structure(
    "WDF_INTERRUPT_CONFIG",
    """
    ULONG Size;
    WDFSPINLOCK SpinLock;
    WDF_TRI_STATE ShareVector;
    BOOLEAN FloatingSave;
    BOOLEAN AutomaticSerialization;
    PFN_WDF_INTERRUPT_ISR EvtInterruptIsr;
    PFN_WDF_INTERRUPT_DPC EvtInterruptDpc;
    PFN_WDF_INTERRUPT_ENABLE EvtInterruptEnable;
    PFN_WDF_INTERRUPT_DISABLE EvtInterruptDisable;
    PFN_WDF_INTERRUPT_WORKITEM EvtInterruptWorkItem;
    PCM_PARTIAL_RESOURCE_DESCRIPTOR InterruptRaw;
    PCM_PARTIAL_RESOURCE_DESCRIPTOR InterruptTranslated;
    WDFWAITLOCK WaitLock;
    BOOLEAN PassiveHandling;
    WDF_TRI_STATE ReportInactiveOnPowerDown;
    BOOLEAN CanWakeDevice;
    """,
    older={
        "1.9": "EvtInterruptDisable",
        "1.11 beta": "PassiveHandling",
        "1.11": "ReportInactiveOnPowerDown",
    },
)
@dataclass(slots=True)
class InterruptConfig:
    """WDF_INTERRUPT_CONFIG.

    :ivar evt_interrupt_isr: EvtInterruptIsr(interrupt, message_id) -> bool, at DIRQL: ``True`` if
        the interrupt was the device's
    :ivar evt_interrupt_dpc: EvtInterruptDpc(interrupt, device), at DISPATCH_LEVEL
    :ivar evt_interrupt_enable: EvtInterruptEnable(interrupt, device) -> NTSTATUS, at DIRQL
    :ivar evt_interrupt_disable: EvtInterruptDisable(interrupt, device) -> NTSTATUS, at DIRQL
    :ivar evt_interrupt_work_item: EvtInterruptWorkItem(interrupt, device), at PASSIVE_LEVEL, used
        instead of a DPC
    :ivar spin_lock: a lock to share with other interrupts; ``None``: the interrupt has its own
    :ivar share_vector: whether other devices may share the line. They may with TRUE, and with the
        default of the bus; they may not with FALSE. Messages are never shared
    :ivar floating_save: accepted, and ignored: Python has no floating-point state to save
    :ivar automatic_serialization: whether the DPC or work item is serialized with the callbacks of
        the parent, if the parent's scope asks for it. The ISR never is
    :ivar interrupt_raw: the resource, if the object is created in EvtDevicePrepareHardware
    :ivar interrupt_translated: the same resource, translated
    :ivar wait_lock: a lock to share with other passive interrupts; ``None``: a passive interrupt
        has its own
    :ivar passive_handling: whether the ISR, EvtInterruptEnable, EvtInterruptDisable and
        EvtInterruptSynchronize are called at PASSIVE_LEVEL; not for messages
    :ivar report_inactive_on_power_down: whether the interrupt is held back, instead of being
        disconnected, when the device leaves D0
    :ivar can_wake_device: whether the interrupt can wake the device. TRUE is always refused, as
        resources have no wake hint
    """

    evt_interrupt_isr: "Callable[[Interrupt, int], bool] | None" = None
    evt_interrupt_dpc: "Callable[[Interrupt, WdfDevice], None] | None" = None
    evt_interrupt_enable: "Callable[[Interrupt, WdfDevice], int | None] | None" = None
    evt_interrupt_disable: "Callable[[Interrupt, WdfDevice], int | None] | None" = None
    evt_interrupt_work_item: "Callable[[Interrupt, WdfDevice], None] | None" = None
    spin_lock: "SpinLock | None" = None
    share_vector: TriState = TriState.USE_DEFAULT
    floating_save: bool = False
    automatic_serialization: bool = False
    interrupt_raw: "InterruptDescriptor | None" = None
    interrupt_translated: "InterruptDescriptor | None" = None
    wait_lock: "WaitLock | None" = None
    passive_handling: bool = False
    report_inactive_on_power_down: TriState = TriState.USE_DEFAULT
    can_wake_device: bool = False


@structure(
    "GROUP_AFFINITY",
    """
    KAFFINITY Mask;
    USHORT Group;
    USHORT Reserved[3];
    """,
    omits=("Reserved",),
)
@dataclass(frozen=True, slots=True)
class GroupAffinity:
    """GROUP_AFFINITY.

    :ivar mask: the processors, one bit for each processor of the group
    :ivar group: the group; always 0, the only one
    """

    mask: int = 0
    group: int = 0


@structure(
    "WDF_INTERRUPT_EXTENDED_POLICY",
    """
    ULONG Size;
    WDF_INTERRUPT_POLICY Policy;
    WDF_INTERRUPT_PRIORITY Priority;
    GROUP_AFFINITY TargetProcessorSetAndGroup;
    """,
)
@dataclass(slots=True)
class InterruptExtendedPolicy:
    """WDF_INTERRUPT_EXTENDED_POLICY. The priority must be changed: its default is refused.

    :ivar policy: the policy; SPECIFIED_PROCESSORS uses the affinity, all others spread interrupts
        over the processors
    :ivar priority: the priority, which decides on the DIRQL
    :ivar target_processor_set_and_group: the affinity
    """

    policy: InterruptPolicy = InterruptPolicy.MACHINE_DEFAULT
    priority: InterruptPriority = InterruptPriority.UNDEFINED
    target_processor_set_and_group: GroupAffinity = field(default_factory=GroupAffinity)


@structure(
    "WDF_INTERRUPT_INFO",
    """
    ULONG Size;
    ULONG64 Reserved1;
    KAFFINITY TargetProcessorSet;
    ULONG Reserved2;
    ULONG MessageNumber;
    ULONG Vector;
    KIRQL Irql;
    KINTERRUPT_MODE Mode;
    WDF_INTERRUPT_POLARITY Polarity;
    BOOLEAN MessageSignaled;
    UCHAR ShareDisposition;
    _Alignas(8) USHORT Group;
    """,
    older={"1.7": "ShareDisposition"},
    omits=(
        "Reserved1",
        "Reserved2",
    ),
)
@dataclass(frozen=True, slots=True)
class InterruptInfo:
    """WDF_INTERRUPT_INFO.

    :ivar message_number: the index of the interrupt object on the device
    :ivar vector: the vector; 0: no resource was assigned
    :ivar irql: the DIRQL; PASSIVE_LEVEL for a passive interrupt
    :ivar target_processor_set: the affinity, one bit for each processor
    :ivar message_signaled: whether the interrupt is an MSI or MSI-X message
    :ivar mode: LEVEL_SENSITIVE for a line, LATCHED for a message
    :ivar polarity: ACTIVE_LOW for a PCI line, UNKNOWN for a message
    :ivar share_disposition: whether other devices may use the vector
    :ivar group: the group of the processors
    """

    message_number: int
    vector: int
    irql: int
    target_processor_set: int
    message_signaled: bool
    mode: KInterruptMode = KInterruptMode.LEVEL_SENSITIVE
    polarity: InterruptPolarity = InterruptPolarity.UNKNOWN
    share_disposition: ShareDisposition = ShareDisposition.UNDETERMINED
    group: int = 0
