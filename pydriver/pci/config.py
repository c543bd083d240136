# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Configuration space of a function: the enhanced access mechanism, and the headers' registers."""

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Self

from pydriver.errors import ConfigAccessError
from pydriver.regs import (
    Register8,
    Register16,
    Register32,
    RegisterMap,
    at,
    bit,
    bits,
)

if TYPE_CHECKING:
    from pydriver.pci.access import Access

__all__ = (
    "BridgeHeader",
    "ClassCode",
    "Command",
    "CommonHeader",
    "ConfigSpace",
    "DeviceHeader",
    "HeaderLayout",
    "HeaderType",
    "InterruptPin",
    "PciAddress",
    "Status",
)


@dataclass(frozen=True, order=True, slots=True)
class PciAddress:
    """The place of a function: bus 0 to 255, device 0 to 31, function 0 to 7."""

    bus: int
    device: int
    function: int

    def __post_init__(self) -> None:
        if not (0 <= self.bus <= 255 and 0 <= self.device <= 31 and 0 <= self.function <= 7):
            raise ConfigAccessError(f"there is no bus/device/function {self}")

    @classmethod
    def parse(cls, slot: str) -> Self:
        """Read the usual notation.

        :param slot: ``"bus:device.function"`` in hexadecimal, for example ``"00:1f.2"``.
        :raises ConfigAccessError: the text is not such an address.
        """
        match = re.fullmatch(r"([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])", slot, re.IGNORECASE)
        if match is None:
            raise ConfigAccessError(f"{slot!r} is not a PCI address such as '00:1f.2'")
        return cls(*(int(part, 16) for part in match.groups()))

    @property
    def ecam_offset(self) -> int:
        """The offset in the memory-mapped configuration space, in bytes [PCIe 5.0 7.2.2]."""
        return self.bus << 20 | self.device << 15 | self.function << 12

    def __str__(self) -> str:
        return f"{self.bus:02x}:{self.device:02x}.{self.function}"


class ConfigSpace:
    """The 4096 bytes of configuration space of one function, through ECAM [PCIe 5.0 7.2.2].

    It is an accessor whose addresses are offsets in that space, so that register maps can use it.
    Accesses are aligned and at most 32 bits wide, as the specification requires of software; a
    64-bit register is read and written as two halves, the lower one first.

    :param access: the object that carries the accesses.
    :param ecam: the guest-physical address of bus 0's space.
    :param address: the place of the function.
    """

    __slots__ = ("_access", "_base", "address")

    def __init__(self, access: "Access", ecam: int, address: PciAddress) -> None:
        self._access = access
        self._base = ecam + address.ecam_offset
        self.address = address

    def _at(self, offset: int, width: int) -> int:
        if not 0 <= offset <= 4096 - width or offset % width:
            raise ConfigAccessError(
                f"{self.address}: no {8 * width}-bit access at configuration offset {offset:#x}"
            )
        return self._base + offset

    def read8(self, offset: int, /) -> int:
        """Read a byte at `offset`, 0 to 4095."""
        return self._access.read8(self._at(offset, 1))

    def read16(self, offset: int, /) -> int:
        """Read 16 bits at an even `offset`, 0 to 4094."""
        return self._access.read16(self._at(offset, 2))

    def read32(self, offset: int, /) -> int:
        """Read 32 bits at `offset`, a multiple of 4, 0 to 4092."""
        return self._access.read32(self._at(offset, 4))

    def read64(self, offset: int, /) -> int:
        """Read two 32-bit registers from `offset`, a multiple of 4."""
        return self.read32(offset) | self.read32(offset + 4) << 32

    def write8(self, offset: int, value: int, /) -> None:
        """Write a byte at `offset`, 0 to 4095."""
        self._access.write8(self._at(offset, 1), value)

    def write16(self, offset: int, value: int, /) -> None:
        """Write 16 bits at an even `offset`, 0 to 4094."""
        self._access.write16(self._at(offset, 2), value)

    def write32(self, offset: int, value: int, /) -> None:
        """Write 32 bits at `offset`, a multiple of 4, 0 to 4092."""
        self._access.write32(self._at(offset, 4), value)

    def write64(self, offset: int, value: int, /) -> None:
        """Write two 32-bit registers from `offset`, a multiple of 4."""
        self.write32(offset, value & 0xFFFFFFFF)
        self.write32(offset + 4, value >> 32)

    def __repr__(self) -> str:
        return f"<ConfigSpace of {self.address}>"


class Command(Register16):
    """Command register [PCI Local Bus 3.0 6.2.2]."""

    io_enable = bit(0)
    memory_enable = bit(1)
    bus_master_enable = bit(2)
    special_cycles = bit(3)
    memory_write_invalidate = bit(4)
    vga_palette_snoop = bit(5)
    parity_error_response = bit(6)
    serr_enable = bit(8)
    fast_back_to_back = bit(9)
    interrupt_disable = bit(10)


class Status(Register16):
    """Status register [PCI Local Bus 3.0 6.2.3]."""

    interrupt_status = bit(3)
    capabilities_list = bit(4)
    capable_66mhz = bit(5)
    fast_back_to_back = bit(7)
    master_data_parity_error = bit(8)
    devsel_timing = bits(10, 9)
    signaled_target_abort = bit(11)
    received_target_abort = bit(12)
    received_master_abort = bit(13)
    signaled_system_error = bit(14)
    detected_parity_error = bit(15)


class ClassCode(Register32):
    """Revision and class of the function [PCI Local Bus 3.0 6.2.1]."""

    revision = bits(7, 0)
    interface = bits(15, 8)
    subclass = bits(23, 16)
    base_class = bits(31, 24)


class HeaderLayout(IntEnum):
    """The kind of header, behind the common part [PCI Local Bus 3.0 6.1]."""

    DEVICE = 0
    BRIDGE = 1
    CARDBUS = 2


class HeaderType(Register8):
    """Header type register [PCI Local Bus 3.0 6.2.1]."""

    layout = bits(6, 0, HeaderLayout)
    multifunction = bit(7)


class InterruptPin(IntEnum):
    """The INTx pin that a function uses [PCI Local Bus 3.0 6.2.4]."""

    NONE = 0
    INTA = 1
    INTB = 2
    INTC = 3
    INTD = 4


class InterruptPinRegister(Register8):
    """Interrupt pin register [PCI Local Bus 3.0 6.2.4]."""

    pin = bits(7, 0, InterruptPin)


class CommonHeader(RegisterMap):
    """The part that all configuration headers have in common [PCI Local Bus 3.0 6.1]."""

    VENDOR_ID = at(0x00, Register16)
    DEVICE_ID = at(0x02, Register16)
    COMMAND = at(0x04, Command)
    STATUS = at(0x06, Status)
    CLASS_CODE = at(0x08, ClassCode)
    CACHE_LINE_SIZE = at(0x0C, Register8)
    LATENCY_TIMER = at(0x0D, Register8)
    HEADER_TYPE = at(0x0E, HeaderType)
    BIST = at(0x0F, Register8)
    CAPABILITIES = at(0x34, Register8)
    INTERRUPT_LINE = at(0x3C, Register8)
    INTERRUPT_PIN = at(0x3D, InterruptPinRegister)


class DeviceHeader(CommonHeader):
    """Type 0 header: a function that is not a bridge [PCI Local Bus 3.0 6.1]."""

    BAR = at(range(0x10, 0x28, 4), Register32)
    CARDBUS_CIS = at(0x28, Register32)
    SUBSYSTEM_VENDOR_ID = at(0x2C, Register16)
    SUBSYSTEM_ID = at(0x2E, Register16)
    EXPANSION_ROM = at(0x30, Register32)
    MIN_GRANT = at(0x3E, Register8)
    MAX_LATENCY = at(0x3F, Register8)


class BridgeIoBase(Register8):
    """I/O base or limit: address bits 15:12 [PCI-to-PCI Bridge 1.2 3.2.5.6]."""

    addressing = bits(3, 0)  # 0: 16-bit addresses, 1: 32-bit addresses
    address = bits(7, 4)


class BridgeMemoryBase(Register16):
    """Memory base or limit: address bits 31:20 [PCI-to-PCI Bridge 1.2 3.2.5.8, 3.2.5.9]."""

    addressing = bits(3, 0)  # prefetchable: 0: 32-bit addresses, 1: 64-bit addresses
    address = bits(15, 4)


class BridgeControl(Register16):
    """Bridge control [PCI-to-PCI Bridge 1.2 3.2.5.18]."""

    parity_error_response = bit(0)
    serr_enable = bit(1)
    isa_enable = bit(2)
    vga_enable = bit(3)
    vga_16bit_decode = bit(4)
    master_abort_mode = bit(5)
    secondary_bus_reset = bit(6)


class BridgeHeader(CommonHeader):
    """Type 1 header: a PCI-to-PCI bridge, a root or switch port [PCI-to-PCI Bridge 1.2 3.2]."""

    BAR = at(range(0x10, 0x18, 4), Register32)
    PRIMARY_BUS = at(0x18, Register8)
    SECONDARY_BUS = at(0x19, Register8)
    SUBORDINATE_BUS = at(0x1A, Register8)
    IO_BASE = at(0x1C, BridgeIoBase)
    IO_LIMIT = at(0x1D, BridgeIoBase)
    SECONDARY_STATUS = at(0x1E, Register16)
    MEMORY_BASE = at(0x20, BridgeMemoryBase)
    MEMORY_LIMIT = at(0x22, BridgeMemoryBase)
    PREFETCHABLE_BASE = at(0x24, BridgeMemoryBase)
    PREFETCHABLE_LIMIT = at(0x26, BridgeMemoryBase)
    PREFETCHABLE_BASE_UPPER = at(0x28, Register32)
    PREFETCHABLE_LIMIT_UPPER = at(0x2C, Register32)
    IO_BASE_UPPER = at(0x30, Register16)
    IO_LIMIT_UPPER = at(0x32, Register16)
    EXPANSION_ROM = at(0x38, Register32)
    BRIDGE_CONTROL = at(0x3E, BridgeControl)
