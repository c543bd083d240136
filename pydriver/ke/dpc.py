# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Deferred procedure calls: KDPC [KeInsertQueueDpc, KeRemoveQueueDpc, KeFlushQueuedDpcs].

Here every insertion asks for the queue to be worked off. Windows lets Low importance, and Medium
importance on another processor, wait for a queue depth or the clock, which this system has not.
"""

from collections.abc import Callable
from enum import IntEnum
from threading import Lock
from typing import TYPE_CHECKING

from pydriver.ke.irql import DISPATCH_LEVEL

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor

__all__ = ("Importance", "KDpc")


class Importance(IntEnum):
    """Where in the queue a DPC is inserted: High at the head [KeSetImportanceDpc]."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2
    MEDIUM_HIGH = 3


class KDpc:
    """One DPC. It is in one queue at most; it leaves the queue before its routine is called.

    :param kernel: that runs it
    :param routine: called at DISPATCH_LEVEL
    :param owner: the object that records and reports name
    :ivar importance: change it before insertion
    :ivar processor: in whose queue it is, or was last
    :ivar target: the processor whose queue it goes into; ``None``: the inserting one's
    """

    # _flag is a lock used as a test-and-set bit: held while the DPC is in a queue.
    __slots__ = (
        "_current",
        "_flag",
        "_kernel",
        "dequeued",
        "importance",
        "owner",
        "processor",
        "routine",
        "take_flag",
        "target",
    )

    def __init__(self, kernel: "Kernel", routine: Callable[[], object], owner: object) -> None:
        self._kernel = kernel
        self._current = kernel.current
        self._flag = Lock()
        self.processor: Processor | None = None
        self.routine = routine
        self.owner = owner
        self.importance = Importance.MEDIUM
        self.target: Processor | None = None
        self.take_flag = self._flag.acquire
        self.dequeued = self._flag.release
        """Clears the flag: called by who took the DPC from its queue, before the routine."""

    @property
    def queued(self) -> bool:
        """Whether it is in a queue: inserted, and not yet started."""
        return self._flag.locked()

    def insert(self) -> bool:
        """Queues it, at any IRQL [KeInsertQueueDpc].

        :return: ``False`` if it was in a queue already; then nothing changes
        """
        if not self.take_flag(False):
            return False
        processor = self._current.processor
        if processor is None or self.target is not None or self.importance is Importance.HIGH:
            self._insert_elsewhere(processor)
            return True
        self.processor = processor
        processor.dpcs.append(self)
        if not processor.draining and processor.state.irql < DISPATCH_LEVEL:
            processor.request_dispatch()
        return True

    def insert_taken(self) -> None:
        """Queues it on a passive thread; the caller has taken its flag."""
        self._insert_elsewhere(None)

    def remove(self) -> bool:
        """Takes it out of its queue, at any IRQL [KeRemoveQueueDpc].

        :return: ``True`` if it was there: then it does not run; ``False``: it may be running
        """
        processor = self.processor
        if processor is None:
            return False
        try:
            processor.dpcs.remove(self)
        except ValueError:
            return False
        self.dequeued()
        return True

    def _insert_elsewhere(self, processor: "Processor | None") -> None:
        kernel = self._kernel
        borrowed = processor is None
        here = processor or kernel.borrow()
        try:
            target = self.target or here
            self.processor = target
            if self.importance is Importance.HIGH:
                target.dpcs.appendleft(self)
            else:
                target.dpcs.append(self)
            if target is not here:
                here.link.send_ipi(target.link.apic_id, kernel.vector_dispatch)
            elif not here.draining and here.state.irql < DISPATCH_LEVEL:
                here.request_dispatch()
        finally:
            if borrowed:
                kernel.give_back(here)
