# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The faults that the device can inject: QOM properties that are set while it works.

The numbers are small enough for the driver to repair all faults that can be repaired: it gives a
request three attempts, so two failures never end one. The properties are described in
qemu-device/mqdma.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ("FAULTS", "InjectedFault")

Setting = tuple[str, int | bool]
"""A QOM property of the device and its value."""


@dataclass(frozen=True)
class InjectedFault:
    """One fault.

    :ivar help: the effect, in one line
    :ivar settings: the properties to set, in order, given the queue that gets the next request
    """

    help: str
    settings: Callable[[int], tuple[Setting, ...]]


FAULTS = {
    "spurious": InjectedFault(
        "8 interrupts without a cause",
        lambda queue: (("fault-spurious", queue),) * 8,
    ),
    "storm": InjectedFault(
        "500 needless interrupts, one every 50 us",
        lambda queue: (
            ("fault-storm-queue", queue),
            ("fault-storm-period-us", 50),
            ("fault-storm-count", 500),
        ),
    ),
    "lost": InjectedFault(
        "4 interrupts never arrive",
        lambda queue: (("fault-lost", 4),),
    ),
    "stuck": InjectedFault(
        "the interrupt line stays asserted (it is used with INTx only)",
        lambda queue: (("fault-stuck", True),),
    ),
    "hung": InjectedFault(
        "a queue stops working, silently",
        lambda queue: (("fault-hang", 1 << queue),),
    ),
    "corrupt": InjectedFault(
        "2 completions are damaged",
        lambda queue: (("fault-corrupt", 2),),
    ),
    "dma": InjectedFault(
        "2 transfers fail",
        lambda queue: (("fault-dma", 2),),
    ),
    "removed": InjectedFault(
        "the device is pulled out",
        lambda queue: (("fault-removed", True),),
    ),
}
