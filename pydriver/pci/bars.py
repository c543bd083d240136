# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Base address registers: their sizes, and room for them in the windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from pydriver.errors import PciResourceError
from pydriver.pci.config import CommonHeader
from pydriver.regs import Register32, bit, bits

if TYPE_CHECKING:
    from pydriver.pci.config import ConfigSpace

__all__ = ("Bar", "BarKind", "MemoryBar", "PortBar", "Room", "size_bars")

FIRST_BAR = 0x10


class MemoryBar(Register32):
    """Base address register of memory, the lower half if 64-bit [PCI Local Bus 3.0 6.2.5.1]."""

    is_port = bit(0)  # 0
    width = bits(2, 1)  # 0: 32 bits, 2: 64 bits
    prefetchable = bit(3)
    address = bits(31, 4)


class PortBar(Register32):
    """Base address register of I/O ports [PCI Local Bus 3.0 6.2.5.1]."""

    is_port = bit(0)  # 1
    address = bits(31, 2)


class BarKind(Enum):
    """Address space and width of a BAR."""

    MEMORY32 = "32-bit memory"
    MEMORY64 = "64-bit memory"
    PORTS = "I/O ports"


@dataclass(slots=True)
class Bar:
    """A base address register that the function implements.

    :ivar config: the configuration space of the function.
    :ivar index: the number of the BAR, 0 to 5; a 64-bit BAR takes the next one, too.
    :ivar kind: the address space and the width.
    :ivar prefetchable: whether reads have no side effects.
    :ivar size: the size in bytes, a power of 2; also the alignment.
    :ivar address: the guest-physical address, or the first port; None: not assigned.
    """

    config: "ConfigSpace"
    index: int
    kind: BarKind
    prefetchable: bool
    size: int
    address: int | None = None

    @property
    def offset(self) -> int:
        """The offset of the register in configuration space."""
        return FIRST_BAR + 4 * self.index

    def assign(self, address: int) -> None:
        """Give the BAR an address, and write it.

        :param address: a multiple of `size`; below 4 GiB unless it is a 64-bit BAR.
        :raises PciResourceError: the BAR cannot hold it.
        """
        wide = self.kind is BarKind.MEMORY64
        if address % self.size or (address + self.size - 1) >> (64 if wide else 32):
            raise PciResourceError(f"{self}: cannot be at {address:#x}")
        self.address = address
        self.write()

    def write(self) -> None:
        """Write the address into the register (again, after a reset)."""
        if self.address is None:
            raise PciResourceError(f"{self}: has no address")
        self.config.write32(self.offset, self.address & 0xFFFFFFFF)
        if self.kind is BarKind.MEMORY64:
            self.config.write32(self.offset + 4, self.address >> 32)

    def __str__(self) -> str:
        kind = f"prefetchable {self.kind.value}" if self.prefetchable else self.kind.value
        return f"BAR{self.index} of {self.config.address} ({self.size:#x} bytes of {kind})"


def size_bars(config: "ConfigSpace", count: int) -> list[Bar]:
    """Find a function's BARs: write ones, and see which stick [PCI Local Bus 3.0 6.2.5.1].

    The function decodes nothing during that time: with all ones it would decode anywhere.
    Afterwards the registers are 0: addresses that were assigned before are lost.

    :param config: the configuration space of the function.
    :param count: the number of registers in its header: 6, or 2 for a bridge.
    :return: the BARs that the function implements, in the order of their index.
    """
    header = CommonHeader(config)
    command = header.COMMAND.read()
    header.COMMAND.write(command, io_enable=0, memory_enable=0)
    bars = []
    index = 0
    while index < count:
        low = _probe(config, index)
        if low == 0:
            index += 1
            continue
        if PortBar(low).is_port:
            # A function may leave the upper 16 bits unimplemented, reading as 0.
            size = -(low & ~3 | 0xFFFF0000) & 0xFFFFFFFF
            bars.append(Bar(config, index, BarKind.PORTS, False, size))
            index += 1
            continue
        memory = MemoryBar(low)
        prefetchable = bool(memory.prefetchable)
        if memory.width == 2:
            sticks = _probe(config, index + 1) << 32 | low & ~0xF
            size = -sticks & 0xFFFFFFFF_FFFFFFFF
            bars.append(Bar(config, index, BarKind.MEMORY64, prefetchable, size))
            index += 2
        else:
            size = -(low & ~0xF) & 0xFFFFFFFF
            bars.append(Bar(config, index, BarKind.MEMORY32, prefetchable, size))
            index += 1
    header.COMMAND.write(command)
    return bars


def _probe(config: "ConfigSpace", index: int) -> int:
    offset = FIRST_BAR + 4 * index
    config.write32(offset, 0xFFFFFFFF)
    sticks = config.read32(offset)
    config.write32(offset, 0)
    return sticks


def _up(address: int, alignment: int) -> int:
    return -(-address // alignment) * alignment


class Room:
    """The free part of a window, which is assigned from its start upward.

    :param name: the name of the window, for messages.
    :param window: the addresses of the window.
    """

    def __init__(self, name: str, window: range) -> None:
        self.name = name
        self.window = window
        self.next = window.start

    def align(self, alignment: int) -> int:
        """Skip to a multiple of `alignment`, and return that address."""
        self.next = _up(self.next, alignment)
        return self.next

    def fits(self, bar: Bar) -> bool:
        """Tell whether there is room for a BAR."""
        return _up(self.next, bar.size) + bar.size <= self.window.stop

    def place(self, bar: Bar) -> None:
        """Assign a BAR the next aligned address.

        :raises PciResourceError: there is not enough room left; nothing has changed.
        """
        if not self.fits(bar):
            raise PciResourceError(
                f"{bar}: no room in the window for {self.name}, {self.window.start:#x} to "
                f"{self.window.stop - 1:#x}, of which {max(0, self.window.stop - self.next):#x} "
                "bytes are left"
            )
        address = self.align(bar.size)
        bar.assign(address)
        self.next = address + bar.size


def largest_first(bars: Sequence[Bar]) -> list[Bar]:
    """Sort BARs by size: each, a power of 2, then ends where the next one may start."""
    return sorted(bars, key=lambda bar: -bar.size)
