# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What a driver says about an interrupt, and what it is told [wdfinterrupt.h]."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.wdf.device import Device
    from pydriver.wdf.interrupt import Interrupt
    from pydriver.wdf.resource import InterruptDescriptor
    from pydriver.wdf.spin_lock import SpinLock

__all__ = (
    "IRQLS",
    "InterruptConfig",
    "InterruptInfo",
    "InterruptPolicy",
    "InterruptPriority",
)


class InterruptPolicy(IntEnum):
    """WDF_INTERRUPT_POLICY: which processors take the interrupt."""

    MACHINE_DEFAULT = 0
    ALL_CLOSE = 1
    ONE_CLOSE = 2
    ALL_PROCESSORS_IN_MACHINE = 3
    SPECIFIED_PROCESSORS = 4
    SPREAD_MESSAGES_ACROSS_ALL_PROCESSORS = 5


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
    :ivar automatic_serialization: exclude the callbacks of the parent, if its scope says so
    :ivar passive_handling: ISR at PASSIVE_LEVEL: not supported
    """

    evt_interrupt_isr: "Callable[[Interrupt, int], bool] | None" = None
    evt_interrupt_dpc: "Callable[[Interrupt, Device], None] | None" = None
    evt_interrupt_enable: "Callable[[Interrupt, Device], int | None] | None" = None
    evt_interrupt_disable: "Callable[[Interrupt, Device], int | None] | None" = None
    evt_interrupt_work_item: "Callable[[Interrupt, Device], None] | None" = None
    spin_lock: "SpinLock | None" = None
    automatic_serialization: bool = False
    passive_handling: bool = False
    interrupt_raw: "InterruptDescriptor | None" = None
    interrupt_translated: "InterruptDescriptor | None" = None


@dataclass(frozen=True, slots=True)
class InterruptInfo:
    """WDF_INTERRUPT_INFO.

    :ivar message_number: index of the object on the device
    :ivar vector: 0: no resource was assigned
    :ivar irql: DIRQL
    :ivar target_processor_set: affinity, one bit for each processor
    :ivar message_signaled: MSI or MSI-X
    """

    message_number: int
    vector: int
    irql: int
    target_processor_set: int
    message_signaled: bool
