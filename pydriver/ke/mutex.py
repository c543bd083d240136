# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A mutex of the framework for what takes long: PnP sequences, the adding of devices.

Python's own lock would not do. A thread that waits for that cannot be told that the system has
failed, and its holder may be a driver's callback that never returns.
"""

from typing import TYPE_CHECKING

from pydriver.ke.event import EventType, KEvent

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel

__all__ = ("Mutex",)


class Mutex:
    """Held by one thread at PASSIVE_LEVEL, for the time of a ``with`` block.

    Not recursive: who enters it twice waits until the system ends.

    :param kernel: with whose failure the wait ends
    """

    __slots__ = ("_free",)

    def __init__(self, kernel: "Kernel") -> None:
        self._free = KEvent(kernel, EventType.SYNCHRONIZATION, state=True)

    def __enter__(self) -> None:
        self._free.wait()

    def __exit__(self, *_: object) -> None:
        self._free.set()
