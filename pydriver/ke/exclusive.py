# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A block in which interrupt masks may be changed, in the I/O APIC and in the devices."""

from threading import Lock
from typing import TYPE_CHECKING

from pydriver.ke.irql import LAST_DEVICE_LEVEL

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel

__all__ = ("Exclusive",)


class Exclusive:
    """Excludes all device interrupts of this processor, and every other such block.

    The I/O APIC has one select and one window register for all inputs, and masks are read, modified
    and written. So nothing may come between: the IRQL keeps out an ISR on this processor, and a
    lock keeps out one on another processor. The lock is released once all writes have arrived.

    :param kernel: the kernel of the processors
    :param lock: the lock that all blocks share
    """

    __slots__ = ("_irql", "_kernel", "_lock")

    def __init__(self, kernel: "Kernel", lock: Lock) -> None:
        self._kernel = kernel
        self._lock = lock

    def __enter__(self) -> None:
        self._irql = self._kernel.raise_irql(LAST_DEVICE_LEVEL)
        self._kernel.spin(self._lock)

    def __exit__(self, *_: object) -> None:
        kernel = self._kernel
        processor = kernel.current.processor
        assert processor is not None
        try:
            processor.link.flush()
        finally:
            self._lock.release()
            kernel.lower_irql(self._irql)
