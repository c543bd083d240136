# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What keeps the others out of a spin lock, where there are several processors.

What a holder has written to registers comes before what the next one writes. Who releases the lock
does not wait until his writes, which are posted, have been executed: he leaves a note of them, and
the next holder, if it runs on another processor, waits for that.

Whoever waits here for somebody else has none of his frame's writes posted any more. Otherwise two
could wait for each other: a processor executes nothing while its upcall is not accepted, and the
thread that would accept it may be the one that waits. Those of the frames below may be outstanding:
whoever waits for them waits at a lower IRQL than this frame's.
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
    """Whether a frame has come to a command; a ring has no more of them before it."""
    return not 0 < (posted - frame.done & 0xFFFFFFFF) <= lib.LINK_RING


class SpinMutex:
    """A mutex of processors; its user has raised the IRQL.

    :param kernel: whose processors
    """

    __slots__ = ("_kernel", "_left", "_lock")

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._lock = Lock()
        # Who released it last, the frame that he posted to, and how much. The holder's.
        self._left: tuple[Processor, Any, int] | None = None

    def acquire(self, processor: "Processor | None") -> None:
        """Waits for the mutex, and for what its last holder has posted.

        :param processor: the caller's; ``None``: it runs on none
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
        """Lets the next one in.

        :param processor: the caller's
        """
        if processor is not None:
            frame = processor.state.frame
            posted = frame.posted
            if posted != frame.done:
                self._left = (processor, frame, posted)
        self._lock.release()
