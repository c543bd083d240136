# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Declarations of registers, without a machine: arithmetic only."""

from enum import IntEnum

import pytest

from pydriver.regs import Register8, Register32, Register64, RegisterMap, at, bit, bits


class Parity(IntEnum):
    NONE = 0
    EVEN = 1
    ODD = 2


class Control(Register32):
    enable = bit(0)
    mode = bits(7, 4)
    parity = bits(9, 8, Parity)


class BareControl(Register32):
    enable = 0
    mode = 7, 4
    parity = 9, 8, Parity


class Entry(RegisterMap):
    ADDRESS = at(0x00, Register64)
    CONTROL = at(0x08, Control)


class Uart(RegisterMap):
    CONTROL = at(0x00, Control)
    STATUS = at(0x04, Register8)
    FIFO = at(range(0x40, 0x80, 4), Register32)
    TABLE = at(range(0x100, 0x140, 16), Entry)


class BareUart(RegisterMap):
    CONTROL = 0x00, Control
    FIFO = range(0x40, 0x80, 4), Register32


class Bytes:
    """Memory that remembers the width of each access."""

    def __init__(self) -> None:
        self.data = bytearray(0x2000)
        self.log: list[tuple[str, int, int]] = []

    def _read(self, address: int, width: int) -> int:
        self.log.append(("read", address, width))
        return int.from_bytes(self.data[address : address + width], "little")

    def _write(self, address: int, width: int, value: int) -> None:
        self.log.append(("write", address, width))
        self.data[address : address + width] = value.to_bytes(width, "little")

    def read8(self, address: int) -> int:
        return self._read(address, 1)

    def read16(self, address: int) -> int:
        return self._read(address, 2)

    def read32(self, address: int) -> int:
        return self._read(address, 4)

    def read64(self, address: int) -> int:
        return self._read(address, 8)

    def write8(self, address: int, value: int) -> None:
        self._write(address, 1, value)

    def write16(self, address: int, value: int) -> None:
        self._write(address, 2, value)

    def write32(self, address: int, value: int) -> None:
        self._write(address, 4, value)

    def write64(self, address: int, value: int) -> None:
        self._write(address, 8, value)


@pytest.fixture
def memory() -> Bytes:
    return Bytes()


@pytest.fixture
def uart(memory: Bytes) -> Uart:
    return Uart(memory, 0x1000)


@pytest.mark.parametrize("control", [Control, BareControl])
def test_value_decodes_into_its_fields(control: type[Control]) -> None:
    value = control(0x251)
    assert (value.enable, value.mode, value.parity) == (1, 5, Parity.ODD)
    assert isinstance(value.parity, Parity)


def test_value_without_a_name_stays_a_number() -> None:
    assert Control(0x300).parity == 3


def test_undeclared_bits_survive_replacing_a_field() -> None:
    assert int(Control(0xFFFF0001).replace(mode=3)) == 0xFFFF0031


def test_repr_names_the_fields() -> None:
    assert repr(Control(0x2A1)) == "Control(0x000002a1, enable=1, mode=0xa, parity=ODD)"


def test_field_takes_only_what_fits() -> None:
    with pytest.raises(ValueError, match=r"mode = 0x10 does not fit in bits 7:4"):
        Control(mode=16)
    with pytest.raises(ValueError, match="does not fit in 32 bits"):
        Control(1 << 32)
    with pytest.raises(TypeError, match="no field 'speed'"):
        Control(speed=1)


def test_value_cannot_be_changed() -> None:
    value = Control(0)
    with pytest.raises(AttributeError, match=r"replace\(mode=...\)"):
        value.mode = 3  # type: ignore[misc]


def test_overlapping_and_overwide_declarations_are_refused() -> None:
    with pytest.raises(TypeError, match="are taken"):
        type("Overlap", (Register32,), {"low": bits(4, 0), "high": bits(7, 4)})
    with pytest.raises(TypeError, match="8-bit register"):
        type("Wide", (Register8,), {"field": bits(8, 7)})


def test_values_compare_with_numbers_and_their_own_kind() -> None:
    assert Control(5) == 5
    assert Control(5) == Control(5)
    assert Control(5) != BareControl(5)


def test_register_is_accessed_at_its_address_with_its_width(uart: Uart, memory: Bytes) -> None:
    uart.STATUS.val = 0x12
    uart.CONTROL.write(enable=1, parity=Parity.EVEN)
    uart.TABLE[2].ADDRESS.val = 1 << 40
    assert uart.STATUS.val == 0x12
    assert uart.CONTROL.read().parity is Parity.EVEN
    assert memory.log == [
        ("write", 0x1004, 1),
        ("write", 0x1000, 4),
        ("write", 0x1120, 8),
        ("read", 0x1004, 1),
        ("read", 0x1000, 4),
    ]


def test_set_keeps_the_other_fields(uart: Uart) -> None:
    uart.CONTROL.val = 0x80000151
    uart.CONTROL.set(mode=7)
    assert uart.CONTROL.val == 0x80000171


def test_array_knows_its_end(uart: Uart) -> None:
    assert len(uart.FIFO) == 16
    assert uart.FIFO[15].address == 0x107C
    with pytest.raises(IndexError, match=r"FIFO\[16\]: there are 16"):
        uart.FIFO[16]


def test_bare_declarations_mean_the_same(memory: Bytes) -> None:
    uart = BareUart(memory, 0x1000)
    assert uart.CONTROL.address == 0x1000  # type: ignore[attr-defined]
    assert uart.FIFO[3].address == 0x104C  # type: ignore[attr-defined]


def test_assigning_to_a_register_says_what_to_do(uart: Uart) -> None:
    with pytest.raises(AttributeError, match=r"assign to its \.val"):
        uart.CONTROL = 3  # type: ignore[assignment]


def test_map_lists_its_registers(uart: Uart) -> None:
    assert [register.name for register in uart][:3] == ["CONTROL", "STATUS", "FIFO[0]"]
    assert len(list(uart)) == 2 + 16 + 4 * 2
