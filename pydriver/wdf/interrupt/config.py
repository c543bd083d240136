# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What a driver says about an interrupt, and what it is told [wdfinterrupt.h]."""

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
    """WDF_INTERRUPT_POLICY: which processors take the interrupt."""

    MACHINE_DEFAULT = 0
    ALL_CLOSE = 1
    ONE_CLOSE = 2
    ALL_PROCESSORS_IN_MACHINE = 3
    SPECIFIED_PROCESSORS = 4
    SPREAD_MESSAGES_ACROSS_ALL_PROCESSORS = 5


@enumeration("WDF_INTERRUPT_PRIORITY", "WdfIrqPriority")
class InterruptPriority(IntEnum):
    """WDF_INTERRUPT_PRIORITY: which DIRQL it gets."""

    UNDEFINED = 0
    LOW = 1
    NORMAL = 2
    HIGH = 3


IRQLS = {
    InterruptPriority.LOW: (3, 4, 5, 6, 7, 8, 9, 10, 11),
    InterruptPriority.NORMAL: (6, 7, 8, 5, 4, 9, 3, 10, 11),
    InterruptPriority.HIGH: (10, 11, 9, 8, 7, 6, 5, 4, 3),
}
"""DIRQLs in the order in which vectors are looked for; Undefined is as Normal."""


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
    :ivar evt_interrupt_work_item: EvtInterruptWorkItem(interrupt, device), at PASSIVE_LEVEL;
        instead of a DPC
    :ivar spin_lock: to share with other interrupts, instead of a lock of its own
    :ivar share_vector: FALSE: no other device may share the line; TRUE, and the default of the
        bus: others may; messages are never shared
    :ivar floating_save: accepted; there is no floating-point state to save for Python
    :ivar automatic_serialization: DPC or work item exclude the callbacks of the parent, if its
        scope says so; never the ISR
    :ivar interrupt_raw: in EvtDevicePrepareHardware: the resource
    :ivar interrupt_translated: the same, translated
    :ivar wait_lock: of a passive interrupt, to share it, instead of one of its own
    :ivar passive_handling: ISR, EvtInterruptEnable, EvtInterruptDisable and
        EvtInterruptSynchronize at PASSIVE_LEVEL; not for messages
    :ivar report_inactive_on_power_down: TRUE: when the device leaves D0, hold the interrupt back
        instead of disconnecting it
    :ivar can_wake_device: there is no resource with a wake hint, so that TRUE is always refused
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

    :ivar mask: one bit for each processor of the group
    :ivar group: 0: there is one group
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

    :ivar policy: SPECIFIED_PROCESSORS uses the affinity; all others spread
    :ivar priority: decides on the DIRQL
    :ivar target_processor_set_and_group: which processors
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

    :ivar message_number: index of the object on the device
    :ivar vector: 0: no resource was assigned
    :ivar irql: DIRQL; PASSIVE_LEVEL if it is handled there
    :ivar target_processor_set: affinity, one bit for each processor
    :ivar message_signaled: MSI or MSI-X
    :ivar mode: of a line LEVEL_SENSITIVE, of a message LATCHED
    :ivar polarity: PCI lines are active low; a message has none
    :ivar share_disposition: whether other devices may use the vector
    :ivar group: of the processors
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
