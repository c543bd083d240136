# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A pipeline of blocks through a driver, which keeps as many in flight as the driver takes.

The thread in :meth:`Pipeline.run` fills blocks ahead, and checks those that are done. A completion
callback, which runs in the driver's DPC, only submits blocks that have been filled. A passive
thread must borrow a processor for that, which takes much longer than a whole DPC, so the thread
submits a block only when nothing is in flight and no callback will come.

They share deques, whose appends and pops are atomic:

- `_ready` has blocks that may be submitted, `_done` requests to be checked;
- `_credits` has one entry for each request that may be submitted beyond those in flight. A
  block is submitted by a thread that has taken a credit; its completion gives the credit back;
- a callback gives its credit back and *then* wakes the thread; the thread adds a block and *then*
  looks whether anything is in flight. So no block waits for a callback that does not come.
"""

import contextlib
from abc import ABC, abstractmethod
from collections import deque
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from pydriver.ke import Kernel
    from pydriver.wdf import Irp

__all__ = ("Block", "Pipeline")

AHEAD = 4 << 20
"""Most bytes to fill ahead of those in flight; one block at least."""

BATCH = 8
"""Most blocks that one callback submits, because a DPC must be short."""


class Block:
    """A request's data; used again for a later block.

    :ivar number: the number of the block, from 0
    :ivar length: bytes of the block; the last one may be shorter
    """

    __slots__ = ("length", "number")

    def __init__(self) -> None:
        self.number = 0
        self.length = 0


B = TypeVar("B", bound=Block)


class Pipeline(ABC, Generic[B]):
    """The way of all blocks of something through a device.

    :param kernel: the system's kernel
    :param size: bytes of a block
    :param window: most requests in flight
    :param batch: blocks that one callback submits, at most 8
    :ivar verified: bytes that came back and were right
    :ivar failure: the first failure, or ``None``
    :ivar seconds: seconds that the run took
    """

    def __init__(self, kernel: "Kernel", size: int, window: int, batch: int) -> None:
        self.verified = 0
        self.failure: str | None = None
        self.seconds = 0.0
        self._kernel = kernel
        self._size = size
        self._window = window
        self._batch = min(batch, BATCH)
        self._next = 0
        self._ended = False
        self._sending = False
        self._spare = window + max(1, min(window, AHEAD // size))
        self._free: list[B] = []
        self._ready: deque[B] = deque()
        self._done: deque[Irp] = deque()
        self._credits = deque([True] * window)
        self._wake = Lock()
        self._wake.acquire()

    @abstractmethod
    def _new_block(self) -> B:
        """Makes a block, with its buffers."""

    @abstractmethod
    def _fill(self, block: B) -> int:
        """Prepares a block whose number is set; gives its length, 0 at the end."""

    @abstractmethod
    def _send(self, block: B) -> None:
        """Sends a block's request, with :meth:`_completed` and the block as its context."""

    @abstractmethod
    def _find_failure(self, irp: "Irp", block: B) -> str | None:
        """Describes what is wrong with a request that has ended; keeps the data if nothing is."""

    @property
    def in_flight(self) -> int:
        """Requests that have not been completed."""
        return self._window - len(self._credits)

    @property
    def in_driver(self) -> bool:
        """Whether the device or the driver has something to do.

        A request may be completed while the driver still has the thread that sent it.
        """
        return self._sending or self.in_flight > 0

    def run(self) -> None:
        """Sends all blocks; ends early when something is wrong.

        :raises OSError: the input cannot be read or the output not written
        :raises BugCheck: the system has ended; or the error that ended it
        """
        start = perf_counter()
        try:
            while True:
                self._check_done()
                self._fill_ahead()
                if not self.in_flight:
                    self._submit_first()
                if self.in_flight:
                    self._kernel.wait(self._wake)
                elif self._ended and not self._done and not self._ready:
                    return
        finally:
            self.seconds = perf_counter() - start

    def _fill_ahead(self) -> None:
        while not self._ended and (self._free or self._spare):
            if self._free:
                block = self._free.pop()
            else:
                block = self._new_block()
                self._spare -= 1
            block.number = self._next
            block.length = self._fill(block)
            if not block.length:
                self._ended = True
                return
            self._next += 1
            self._ready.append(block)
            if not self.in_flight and len(self._ready) >= self._batch:
                self._submit_first()
            self._check_done()

    def _submit_first(self) -> None:
        """Submits the block after which completions submit the next ones."""
        self._sending = True
        try:
            self._submit(1)
        finally:
            self._sending = False

    def _submit(self, most: int) -> None:
        """Submits blocks that have been filled while there are credits."""
        for _ in range(most):
            try:
                self._credits.popleft()
            except IndexError:
                return
            try:
                block = self._ready.popleft()
            except IndexError:
                self._credits.append(True)
                return
            self._send(block)

    def _completed(self, irp: "Irp") -> None:
        """Takes a completed request; called in the driver's DPC or other completing code."""
        self._done.append(irp)
        self._credits.append(True)
        self._submit(self._batch)
        with contextlib.suppress(RuntimeError):  # the thread has not yet seen the last one
            self._wake.release()

    def _check_done(self) -> None:
        while self._done:
            irp = self._done.popleft()
            block: B = irp.context
            failure = self._find_failure(irp, block)
            if failure is None:
                self.verified += block.length
            elif self.failure is None:
                self.failure = f"block {block.number}: {failure}"
                self._ended = True
            if self.failure is not None:
                self._ready.clear()
            self._free.append(block)
