# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A DMA adapter: map registers, and who has them [DMA_ADAPTER].

Most of the application's and the driver's buffers are memory of this process, which the device does
not reach; those in guest memory need no map registers. So each map register is a page of guest RAM,
through which the data goes: it is copied there before the device reads it, and back after the
device has written it.

With a scatter/gather profile a transfer's pages descend, so that no two of them make one element:
a driver sees lists as long as they are on a computer whose memory is fragmented. With a packet
profile all pages are one block, one transfer has the adapter for itself, and its list has one
element.

On Windows a device that reaches all memory needs no map registers, and no transfer waits: for one
with a 64-bit scatter/gather profile there are as many as it takes, until guest RAM is exhausted.

`_lock` guards which registers are free and who waits; nothing waits under it.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from pydriver.declarations.registry import structure
from pydriver.ke.guest_memory import PAGE_SIZE
from pydriver.ke.status import NtStatusError

if TYPE_CHECKING:
    from pydriver.ke.guest_memory import GuestBlock, GuestMemory

__all__ = ("DmaAdapter", "ScatterGatherElement", "ScatterGatherList")

MAXIMUM_MAP_REGISTERS = 64
"""Of one adapter, if the device does not reach all memory: 252 KiB at any offset in a page."""


@structure(
    "SCATTER_GATHER_ELEMENT",
    """
    PHYSICAL_ADDRESS Address;
    ULONG Length;
    ULONG_PTR Reserved;
    """,
    omits=("Reserved",),
)
@dataclass(frozen=True, slots=True)
class ScatterGatherElement:
    """One piece of memory that the device finds in one place [SCATTER_GATHER_ELEMENT].

    :ivar address: logical address
    :ivar length: bytes
    """

    address: int
    length: int


@structure(
    "SCATTER_GATHER_LIST",
    """
    ULONG NumberOfElements;
    ULONG_PTR Reserved;
    SCATTER_GATHER_ELEMENT Elements[];
    """,
    omits=("NumberOfElements", "Reserved"),
)
@dataclass(frozen=True, slots=True)
class ScatterGatherList:
    """The memory of one transfer, in its order [SCATTER_GATHER_LIST].

    :ivar elements: the pieces
    """

    elements: tuple[ScatterGatherElement, ...]

    @property
    def number_of_elements(self) -> int:
        """How many pieces there are."""
        return len(self.elements)


Granted = Callable[[tuple[int, ...]], None]


class DmaAdapter:
    """The map registers of one direction, or of both.

    :param memory: the guest memory they are taken from
    :param maximum_length: bytes of one transfer: the registers suffice for it, up to their maximum
    :param limit: the device reaches the addresses below it
    :param packet: a transfer is one block
    :param wide: the device reaches all memory: there are as many registers as it takes
    :ivar map_registers: most that one transfer can have
    :ivar packet: a transfer is one block
    """

    def __init__(
        self, memory: "GuestMemory", maximum_length: int, limit: int, *, packet: bool, wide: bool
    ) -> None:
        pages = (maximum_length + PAGE_SIZE - 1) // PAGE_SIZE + 1
        first = min(pages, MAXIMUM_MAP_REGISTERS)
        self.map_registers = pages if wide else first
        self.packet = packet
        self._memory = memory
        self._limit = limit
        self._wide = wide
        self._blocks: list[GuestBlock] = []
        self._free: list[int] = []
        self._waiting: deque[tuple[int, Granted]] = deque()
        self._lock = Lock()
        self._add(first)

    def _add(self, count: int) -> None:
        size = count * PAGE_SIZE
        block = self._memory.allocate(size, "map registers", alignment=PAGE_SIZE, limit=self._limit)
        self._blocks.append(block)
        self._free += range(block.address, block.address + size, PAGE_SIZE)
        self._free.sort()

    def take(self, count: int, granted: Granted, *, wait: bool) -> tuple[int, ...] | None:
        """Takes map registers, in the order in which they were asked for.

        :param count: 1 to :attr:`map_registers`
        :param granted: called with the registers as soon as there are enough, if not now
        :param wait: wait for that
        :return: the registers, or ``None`` if there are not enough now
        """
        with self._lock:
            if not self._waiting and self._has(count):
                return self._pick(count)
            if wait:
                self._waiting.append((count, granted))
        return None

    def _has(self, count: int) -> bool:
        missing = count - len(self._free)
        if missing > 0 and self._wide:
            with contextlib.suppress(NtStatusError):  # guest RAM is exhausted
                self._add(missing)
        return len(self._free) >= count

    def give_back(self, registers: tuple[int, ...]) -> None:
        """Returns map registers; who has waited for them gets them, in order."""
        ready: list[tuple[Granted, tuple[int, ...]]] = []
        with self._lock:
            self._free = sorted([*self._free, *registers])
            while self._waiting and len(self._free) >= self._waiting[0][0]:
                count, granted = self._waiting.popleft()
                ready.append((granted, self._pick(count)))
        for granted, picked in ready:
            granted(picked)

    def withdraw(self, granted: Granted) -> bool:
        """Takes a wish of :meth:`take` back; ``False`` if it has been fulfilled."""
        with self._lock:
            for each in self._waiting:
                if each[1] == granted:
                    self._waiting.remove(each)
                    return True
        return False

    def _pick(self, count: int) -> tuple[int, ...]:
        if self.packet:
            picked, self._free = tuple(self._free), []
            return picked
        picked = tuple(reversed(self._free[-count:]))
        del self._free[-count:]
        return picked

    def map(
        self, registers: tuple[int, ...], offset: int, length: int
    ) -> tuple[ScatterGatherElement, ...]:
        """The pieces of a transfer.

        :param registers: enough for it
        :param offset: of its first byte in the first page
        :param length: bytes
        """
        pieces: list[ScatterGatherElement] = []
        for page in registers:
            if length == 0:
                break
            size = min(PAGE_SIZE - offset, length)
            last = pieces[-1] if pieces else None
            if last is not None and last.address + last.length == page + offset:
                pieces[-1] = ScatterGatherElement(last.address, last.length + size)
            else:
                pieces.append(ScatterGatherElement(page + offset, size))
            length -= size
            offset = 0
        return tuple(pieces)

    def copy_in(self, pieces: tuple[ScatterGatherElement, ...], data: memoryview) -> None:
        """Copies what the device shall read into the pages."""
        memory = self._memory.view
        at = 0
        for each in pieces:
            memory[each.address : each.address + each.length] = data[at : at + each.length]
            at += each.length

    def copy_out(self, pieces: tuple[ScatterGatherElement, ...], target: memoryview) -> None:
        """Copies what the device has written, up to the length of ``target``."""
        memory = self._memory.view
        at = 0
        for each in pieces:
            size = min(each.length, len(target) - at)
            target[at : at + size] = memory[each.address : each.address + size]
            at += size

    def free(self) -> None:
        """Gives the pages back."""
        for block in self._blocks:
            block.free()
