# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A submission queue and its completion queue: rings in memory, doorbells, and nothing else.

The caller's lock guards a pair. `pending` may be called without it: by an ISR.
"""

from collections.abc import Callable
from typing import Protocol, overload

from pydriver.drivers.nvme.spec import COMMAND_BYTES, COMPLETION, COMPLETION_BYTES, PAGE, doorbell

__all__ = ("Doorbells", "QueuePair", "RingMemory", "View", "ring_bytes")


class View(Protocol):
    """The part of a memoryview of bytes that a queue pair uses."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, place: int, /) -> int: ...
    @overload
    def __getitem__(self, place: slice, /) -> bytes | memoryview: ...
    def __setitem__(self, place: slice, data: bytes, /) -> None: ...

    def release(self) -> None:
        """Releases the memory."""


class RingMemory(Protocol):
    """The part of a WDFCOMMONBUFFER that a queue pair uses: memory and its logical address."""

    @property
    def view(self) -> View:
        """The memory."""

    @property
    def logical_address(self) -> int:
        """The memory's address for the controller."""


class Doorbells(Protocol):
    """The part of the mapped BAR0 that a queue pair uses."""

    @property
    def write32(self) -> Callable[[int, int], None]:
        """Writes 32 bits at an offset."""


def _pages(size: int) -> int:
    return (size + PAGE - 1) & -PAGE


def ring_bytes(entries: int) -> int:
    """Bytes of a buffer for both rings, each of which begins on a page.

    :param entries: entries of each ring
    """
    return _pages(entries * COMMAND_BYTES) + _pages(entries * COMPLETION_BYTES)


class QueuePair:
    """A queue pair.

    :param number: identifier of both queues
    :param entries: entries of each ring, at least 2: one of the submission queue stays free
    :param buffer: memory of :func:`ring_bytes` bytes
    :ivar number: identifier of both queues
    :ivar entries: entries of each ring
    :ivar submission_address: address of the submission queue for the controller
    :ivar completion_address: address of the completion queue for the controller
    """

    def __init__(self, number: int, entries: int, buffer: RingMemory) -> None:
        self.number = number
        self.entries = entries
        self._view = buffer.view
        self._first = _pages(entries * COMMAND_BYTES)
        self.submission_address = buffer.logical_address
        self.completion_address = buffer.logical_address + self._first
        self._tail = self._head = 0
        self._phase = 1

    def forget(self) -> None:
        """Releases the buffer, which the controller no longer uses."""
        self._view.release()

    def start(self, registers: Doorbells, stride: int) -> None:
        """Empties both rings: the controller has been reset, or does not know them yet.

        :param registers: BAR0
        :param stride: CAP.DSTRD, the stride of the doorbells
        """
        self._view[:] = bytes(len(self._view))
        self._tail = self._head = 0
        self._phase = 1
        self._write32 = registers.write32
        self._tail_doorbell = doorbell(self.number, stride, completion=False)
        self._head_doorbell = doorbell(self.number, stride, completion=True)

    def submit(self, command: bytes) -> None:
        """Hands a command to the controller; the caller makes sure that there is room."""
        place = self._tail * COMMAND_BYTES
        self._view[place : place + COMMAND_BYTES] = command
        self._tail = tail = (self._tail + 1) % self.entries
        self._write32(self._tail_doorbell, tail)

    @property
    def pending(self) -> bool:
        """Whether there is a completion that has not been taken."""
        return self._view[self._status_place()] & 1 == self._phase

    def _status_place(self) -> int:
        return self._first + self._head * COMPLETION_BYTES + 14

    def take_completions(self, *, acknowledge: bool = True) -> list[tuple[int, int, int]]:
        """Takes the completions that the controller has written.

        :param acknowledge: write the doorbell; ``False`` for a disabled controller
        :return: command identifier, status without phase tag, and result of each
        """
        taken = []
        view = self._view
        while view[self._status_place()] & 1 == self._phase:
            place = self._first + self._head * COMPLETION_BYTES
            entry = view[place : place + COMPLETION_BYTES]
            result, _, _, _, identifier, status = COMPLETION.unpack(entry)
            taken.append((identifier, status >> 1, result))
            self._head += 1
            if self._head == self.entries:
                self._head = 0
                self._phase ^= 1
        if taken and acknowledge:
            self._write32(self._head_doorbell, self._head)
        return taken
