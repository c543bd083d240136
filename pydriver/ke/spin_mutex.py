# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The part of a spin lock that keeps other processors out.

A holder's writes to registers are executed before those of the next holder. The thread that
releases the lock does not wait until its writes, which are posted, have been executed: it leaves a
note of them, and the next holder waits for that if it runs on another processor.

A thread that waits here for another one has no posted writes of its own frame left. Otherwise the
two could wait for each other: a processor executes nothing while its upcall is not accepted, and
the thread that would accept it may be the one that waits. Writes of the frames below may be
outstanding: a thread that waits for those waits at a lower IRQL than that of this frame.
"""

from threading import Lock
from time import sleep
from typing import TYPE_CHECKING, Any

from pydriver.abi._native import lib

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor

__all__ = ("SpinMutex",)


def _executed(frame: Any, posted: int) -> bool:
    """Whether a frame has executed all commands up to a posted one; a ring has no older ones."""
    return not 0 < (posted - frame.done & 0xFFFFFFFF) <= lib.LINK_RING


class SpinMutex:
    """A mutex between processors; its user must have raised the IRQL.

    :param kernel: the kernel of the processors
    """

    __slots__ = ("_kernel", "_left", "_lock")

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._lock = Lock()
        # The last holder's processor, the frame it posted to, and the number of its posted
        # commands. Only the holder may access this.
        self._left: tuple[Processor, Any, int] | None = None

    def acquire(self, processor: "Processor | None") -> None:
        """Waits for the mutex, and for the posted writes of its last holder.

        :param processor: the caller's processor, or ``None`` if it runs on none
        """
        if not self._lock.acquire(False):
            if processor is not None:
                processor.link.flush()
            self._kernel.spin(self._lock)
        if self._left is not None:
            self._wait_for_last_holder(processor)

    def _wait_for_last_holder(self, processor: "Processor | None") -> None:
        assert self._left is not None
        last, frame, posted = self._left
        self._left = None
        if last is processor or _executed(frame, posted):
            return
        if processor is not None:
            processor.link.flush()
        while not _executed(frame, posted):
            if self._kernel.failure is not None:
                self._kernel.raise_failure()
            sleep(0)

    def release(self, processor: "Processor | None") -> None:
        """Releases the mutex.

        :param processor: the caller's processor, or ``None`` if it runs on none
        """
        if processor is not None:
            frame = processor.state.frame
            posted = frame.posted
            if posted != frame.done:
                self._left = (processor, frame, posted)
        self._lock.release()
