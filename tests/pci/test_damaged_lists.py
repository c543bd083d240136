# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Damaged capability lists, which no device of QEMU has: these tests fake a function."""

import pytest

from pydriver.errors import CapabilityError, ConfigAccessError
from pydriver.pci import ConfigSpace, PciAddress
from pydriver.pci.capabilities import read_capabilities, read_extended_capabilities


class Memory:
    """The configuration space of 00:00.0, at address 0."""

    def __init__(self) -> None:
        self.data = bytearray(4096)
        self.data[0x06] = 0x10  # the status bit for a capability list

    def read8(self, address: int) -> int:
        return self.data[address]

    def read16(self, address: int) -> int:
        return int.from_bytes(self.data[address : address + 2], "little")

    def read32(self, address: int) -> int:
        return int.from_bytes(self.data[address : address + 4], "little")


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def config(memory: Memory) -> ConfigSpace:
    return ConfigSpace(memory, 0, PciAddress(0, 0, 0))  # type: ignore[arg-type]


def test_list_that_loops_is_an_error(memory: Memory, config: ConfigSpace) -> None:
    memory.data[0x34] = 0x40
    memory.data[0x40:0x42] = b"\x01\x50"
    memory.data[0x50:0x52] = b"\x05\x40"
    with pytest.raises(CapabilityError, match=r"00:00\.0.*loops at 0x40"):
        list(read_capabilities(config))


def test_list_that_points_into_the_header_is_an_error(memory: Memory, config: ConfigSpace) -> None:
    memory.data[0x34] = 0x40
    memory.data[0x40:0x42] = b"\x01\x3c"
    with pytest.raises(CapabilityError, match=r"0x3c, in the header"):
        list(read_capabilities(config))


def test_reserved_bits_of_a_pointer_are_ignored(memory: Memory, config: ConfigSpace) -> None:
    memory.data[0x34] = 0x43
    memory.data[0x40:0x42] = b"\x09\x03"
    assert [(item.id, item.offset) for item in read_capabilities(config)] == [(9, 0x40)]


def test_function_without_a_list_has_no_capabilities(memory: Memory, config: ConfigSpace) -> None:
    memory.data[0x06] = 0
    memory.data[0x34] = 0x40
    assert list(read_capabilities(config)) == []


def test_extended_list_that_loops_is_an_error(memory: Memory, config: ConfigSpace) -> None:
    memory.data[0x100:0x104] = (0x140 << 20 | 1 << 16 | 3).to_bytes(4, "little")
    memory.data[0x140:0x144] = (0x100 << 20 | 1 << 16 | 1).to_bytes(4, "little")
    with pytest.raises(CapabilityError, match="loops at 0x100"):
        list(read_extended_capabilities(config))


def test_extended_list_that_leaves_its_space_is_an_error(
    memory: Memory, config: ConfigSpace
) -> None:
    memory.data[0x100:0x104] = (0x080 << 20 | 1 << 16 | 3).to_bytes(4, "little")
    with pytest.raises(CapabilityError, match="at 0x80"):
        list(read_extended_capabilities(config))


@pytest.mark.parametrize("offset", [-4, 2, 4095, 4096])
def test_access_that_hardware_cannot_make_is_refused(config: ConfigSpace, offset: int) -> None:
    with pytest.raises(ConfigAccessError, match="32-bit access"):
        config.read32(offset)


@pytest.mark.parametrize("slot", ["0:0", "00:20.0", "00:00.8", "100:00.0", "xx:00.0"])
def test_text_that_is_no_address_is_refused(slot: str) -> None:
    with pytest.raises(ConfigAccessError):
        PciAddress.parse(slot)
