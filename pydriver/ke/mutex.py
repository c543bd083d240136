# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A mutex of the framework for long operations: PnP sequences, the adding of devices.

Python's own lock is not enough: a failure of the system cannot wake a thread that waits for it, and
its holder may be a driver's callback that never returns.
"""

from typing import TYPE_CHECKING

from pydriver.ke.event import EventType, KEvent

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel

__all__ = ("Mutex",)


class Mutex:
    """A mutex that one thread holds at PASSIVE_LEVEL, for the duration of a ``with`` block.

    It is not recursive: a thread that enters it twice waits until the system ends.

    :param kernel: the kernel whose failure ends the wait
    """

    __slots__ = ("_free",)

    def __init__(self, kernel: "Kernel") -> None:
        self._free = KEvent(kernel, EventType.SYNCHRONIZATION, state=True)

    def __enter__(self) -> None:
        self._free.wait()

    def __exit__(self, *_: object) -> None:
        self._free.set()
