# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""DMA adapters: map registers, and the transfers that have them or wait for them [DMA_ADAPTER].

Most buffers of applications and drivers are memory of this process, which the device cannot reach;
those in guest memory need no map registers. Each map register is therefore a page of guest RAM
through which the data goes: it is copied there before the device reads it, and back after the
device has written it.

With a scatter/gather profile the pages of a transfer descend, so that no two of them make one
element: a driver gets lists as long as on a computer whose memory is fragmented. With a packet
profile all pages are one block, one transfer has the adapter to itself, and its list has one
element.

On Windows a device that reaches all memory needs no map registers, and no transfer waits: a device
with a 64-bit scatter/gather profile gets as many as it needs, until guest RAM is exhausted.

`_lock` guards the list of free registers and the list of waiting transfers; no code waits while it
holds it.
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
"""The limit of an adapter whose device cannot reach all memory: 252 KiB at any offset in a page."""


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
    """One piece of memory that is contiguous for the device [SCATTER_GATHER_ELEMENT].

    :ivar address: the logical address
    :ivar length: the length in bytes
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
    """The memory of one transfer [SCATTER_GATHER_LIST].

    :ivar elements: the pieces, in the order of the transfer
    """

    elements: tuple[ScatterGatherElement, ...]

    @property
    def number_of_elements(self) -> int:
        """The number of pieces."""
        return len(self.elements)


Granted = Callable[[tuple[int, ...]], None]


class DmaAdapter:
    """The map registers of one direction, or of both.

    :param memory: the guest memory from which they are taken
    :param maximum_length: the length of the longest transfer, in bytes: there are as many registers
        as it needs, up to their maximum
    :param limit: the end of the addresses that the device reaches: it reaches those below
    :param packet: whether a transfer is one block
    :param wide: whether the device reaches all memory, and gets as many registers as it needs
    :ivar map_registers: the most that one transfer can have
    :ivar packet: whether a transfer is one block
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
        """Takes map registers; requests are served in order.

        :param count: the number of registers, from 1 to :attr:`map_registers`
        :param granted: a function that is called with the registers as soon as enough are free, if
            they are not now
        :param wait: whether to wait for them; ``False``: ``granted`` is not called
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
        """Gives map registers back; transfers that wait for them get them, in order."""
        ready: list[tuple[Granted, tuple[int, ...]]] = []
        with self._lock:
            self._free = sorted([*self._free, *registers])
            while self._waiting and len(self._free) >= self._waiting[0][0]:
                count, granted = self._waiting.popleft()
                ready.append((granted, self._pick(count)))
        for granted, picked in ready:
            granted(picked)

    def withdraw(self, granted: Granted) -> bool:
        """Withdraws a waiting request of :meth:`take`; ``False`` if it has been granted already."""
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
        """Returns the pieces of a transfer.

        :param registers: the map registers, which must suffice for it
        :param offset: the offset of its first byte in the first page
        :param length: its length in bytes
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
        """Copies data into the pages, for the device to read."""
        memory = self._memory.view
        at = 0
        for each in pieces:
            memory[each.address : each.address + each.length] = data[at : at + each.length]
            at += each.length

    def copy_out(self, pieces: tuple[ScatterGatherElement, ...], target: memoryview) -> None:
        """Copies data of the device out of the pages, up to the length of ``target``."""
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
