# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What `--fault` can break: properties of the device that are set while it works.

The numbers are such that the driver can repair what can be repaired: it gives a request three
attempts, so two failures never end one.
"""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ("FAULTS", "Fault")

Setting = tuple[str, int | bool]
"""A QOM property of the device and its value."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    :ivar help: what it does, one line
    :ivar settings: for the queue that gets the next request: what to set, in order
    """

    help: str
    settings: Callable[[int], tuple[Setting, ...]]


FAULTS = {
    "spurious": Fault(
        "8 interrupts without a cause",
        lambda queue: (("fault-spurious", queue),) * 8,
    ),
    "storm": Fault(
        "500 needless interrupts, one every 50 us",
        lambda queue: (
            ("fault-storm-queue", queue),
            ("fault-storm-period-us", 50),
            ("fault-storm-count", 500),
        ),
    ),
    "lost": Fault(
        "4 interrupts never arrive",
        lambda queue: (("fault-lost", 4),),
    ),
    "stuck": Fault(
        "the interrupt line stays asserted (it is used with INTx only)",
        lambda queue: (("fault-stuck", True),),
    ),
    "hung": Fault(
        "a queue stops working, silently",
        lambda queue: (("fault-hang", 1 << queue),),
    ),
    "corrupt": Fault(
        "2 completions are damaged",
        lambda queue: (("fault-corrupt", 2),),
    ),
    "dma": Fault(
        "2 transfers fail",
        lambda queue: (("fault-dma", 2),),
    ),
    "removed": Fault(
        "the device is pulled out",
        lambda queue: (("fault-removed", True),),
    ),
}
