# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Every register: its offset, its value after reset, the values and sizes of writes."""

import pytest
from pydriver.abi._native import ffi, lib

from .conftest import DISK_SIZE, SHARED_SIZE
from .dut import ALL_ONES, BAR0, Dut

QUEUES = 64


def members(enum: str) -> dict[str, int]:
    """Returns the members of an enum of mqdma_regs.h by name."""
    return {name: value for value, name in ffi.typeof(f"enum {enum}").elements.items()}


GLOBAL = members("mqdma_reg")
QUEUE = members("mqdma_queue_reg")

CAPS = QUEUES | 12 << 8 | lib.MQDMA_CAPS_BAR2 | lib.MQDMA_CAPS_DRIVE

#: Name without prefix: value after reset, of a device with 64 queues.
GLOBAL_RESET = dict.fromkeys(GLOBAL, 0) | {
    "MQDMA_REG_ID": 0x4D44514D,
    "MQDMA_REG_VERSION": 0x00010000,
    "MQDMA_REG_CAPS": CAPS,
    "MQDMA_REG_MAX_TRANSFER": 16 << 20,
    "MQDMA_REG_BAR2_SIZE_LO": SHARED_SIZE,
    "MQDMA_REG_INT_MASK_GLOBAL": lib.MQDMA_GLOBAL_ALL,
    "MQDMA_REG_GLOBAL_VECTOR": QUEUES,
    "MQDMA_REG_DRIVE_SIZE_LO": DISK_SIZE,
}

#: Registers that keep the value written, and the bits that they have.
GLOBAL_WRITABLE = {
    "MQDMA_REG_CONTROL": lib.MQDMA_CONTROL_ENABLE,
    "MQDMA_REG_INT_MASK_LO": ALL_ONES,
    "MQDMA_REG_INT_MASK_HI": ALL_ONES,
    "MQDMA_REG_INT_MASK_GLOBAL": lib.MQDMA_GLOBAL_ALL,
    "MQDMA_REG_GLOBAL_VECTOR": 64,
    "MQDMA_REG_SCRATCH0": ALL_ONES,
    "MQDMA_REG_SCRATCH1": ALL_ONES,
}

#: Registers that act when they are written.
GLOBAL_ACTIVE = {
    "MQDMA_REG_STATUS",
    "MQDMA_REG_INT_ACK_LO",
    "MQDMA_REG_INT_ACK_HI",
    "MQDMA_REG_INT_ACK_GLOBAL",
    "MQDMA_REG_INT_RAISE",
}

QUEUE_WRITABLE = {
    "MQDMA_Q_ORDER": 12,
    "MQDMA_Q_LOCATION": 3,
    "MQDMA_Q_SQ_BASE_LO": ALL_ONES,
    "MQDMA_Q_SQ_BASE_HI": ALL_ONES,
    "MQDMA_Q_CQ_BASE_LO": ALL_ONES,
    "MQDMA_Q_CQ_BASE_HI": ALL_ONES,
    "MQDMA_Q_VECTOR": 64,
    "MQDMA_Q_COALESCE_COUNT": 4096,
    "MQDMA_Q_COALESCE_US": 1000000,
    "MQDMA_Q_WATCHDOG_US": 60000000,
}

QUEUE_ACTIVE = {"MQDMA_Q_CONTROL", "MQDMA_Q_SQ_TAIL", "MQDMA_Q_CQ_HEAD"}

#: Registers that may change only while the queue is disabled.
RING_REGISTERS = (
    "MQDMA_Q_ORDER",
    "MQDMA_Q_LOCATION",
    "MQDMA_Q_SQ_BASE_LO",
    "MQDMA_Q_SQ_BASE_HI",
    "MQDMA_Q_CQ_BASE_LO",
    "MQDMA_Q_CQ_BASE_HI",
)

#: The first value that is too large for a register.
TOO_MUCH = {
    "MQDMA_REG_GLOBAL_VECTOR": 65,
    "MQDMA_Q_ORDER": 13,
    "MQDMA_Q_LOCATION": 4,
    "MQDMA_Q_VECTOR": 65,
    "MQDMA_Q_COALESCE_COUNT": 4097,
    "MQDMA_Q_COALESCE_US": 1000001,
    "MQDMA_Q_WATCHDOG_US": 60000001,
}

GLOBAL_READ_ONLY = sorted(GLOBAL.keys() - GLOBAL_WRITABLE.keys() - GLOBAL_ACTIVE)
QUEUE_READ_ONLY = sorted(QUEUE.keys() - QUEUE_WRITABLE.keys() - QUEUE_ACTIVE)


def offset_of(name: str, queue: int = 5) -> int:
    if name in GLOBAL:
        return GLOBAL[name]
    return int(lib.MQDMA_QUEUE_BASE + queue * lib.MQDMA_QUEUE_STRIDE + QUEUE[name])


def assert_refused(dut: Dut, offset: int, code: int, *, times: int = 1) -> None:
    """The accesses since reset were refused: counted, and the last one recorded."""
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == times
    assert dut.read(lib.MQDMA_REG_BAD_OFFSET) == offset
    assert dut.error_code() == code
    assert dut.read(lib.MQDMA_REG_INT_STATUS_GLOBAL) == lib.MQDMA_GLOBAL_BAD_ACCESS


@pytest.mark.parametrize("name", sorted(GLOBAL))
def test_global_register_has_its_reset_value(dut: Dut, name: str) -> None:
    dut.write(lib.MQDMA_REG_CONTROL, 0)
    if name == "MQDMA_REG_CLOCK_LO":
        assert dut.read(GLOBAL[name]) == dut.qemu.clock() & ALL_ONES
    else:
        assert dut.read(GLOBAL[name]) == GLOBAL_RESET[name]
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 0


@pytest.mark.parametrize("queue", [0, 1, 31, 32, 63])
def test_queue_registers_have_their_reset_values(dut: Dut, queue: int) -> None:
    expected = {name: queue if name == "MQDMA_Q_VECTOR" else 0 for name in QUEUE}
    found = {name: dut.read(offset_of(name, queue)) for name in QUEUE}
    assert found == expected
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 0


@pytest.mark.parametrize("name", sorted(GLOBAL_WRITABLE | QUEUE_WRITABLE))
def test_writable_register_keeps_what_is_written(dut: Dut, name: str) -> None:
    full = (GLOBAL_WRITABLE | QUEUE_WRITABLE)[name]
    for value in (full, full & 0x1, full & 0x5A5A_5A5A & full, 0):
        if value > full:
            continue
        dut.write(offset_of(name), value)
        assert dut.read(offset_of(name)) == value
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 0


@pytest.mark.parametrize("name", sorted(GLOBAL_WRITABLE | QUEUE_WRITABLE))
def test_reset_of_the_device_restores_the_register(dut: Dut, name: str) -> None:
    before = dut.read(offset_of(name)) if name != "MQDMA_REG_CONTROL" else 0
    dut.write(offset_of(name), (GLOBAL_WRITABLE | QUEUE_WRITABLE)[name])
    dut.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_RESET)
    assert dut.read(offset_of(name)) == before


@pytest.mark.parametrize("name", sorted(TOO_MUCH))
def test_value_out_of_range_is_refused(dut: Dut, name: str) -> None:
    before = dut.read(offset_of(name))
    dut.write(offset_of(name), TOO_MUCH[name])
    assert dut.read(offset_of(name)) == before
    assert_refused(dut, offset_of(name), lib.MQDMA_ERROR_VALUE)


@pytest.mark.parametrize("name", GLOBAL_READ_ONLY + QUEUE_READ_ONLY)
def test_write_to_a_read_only_register_is_refused(dut: Dut, name: str) -> None:
    dut.write(offset_of(name), 0x1234)
    assert_refused(dut, offset_of(name), lib.MQDMA_ERROR_READ_ONLY)


def test_every_register_is_in_one_class(dut: Dut) -> None:
    assert GLOBAL.keys() == set(GLOBAL_READ_ONLY) | GLOBAL_WRITABLE.keys() | GLOBAL_ACTIVE
    assert QUEUE.keys() == set(QUEUE_READ_ONLY) | QUEUE_WRITABLE.keys() | QUEUE_ACTIVE


def test_registers_of_a_queue_are_its_own(dut: Dut) -> None:
    for queue in range(QUEUES):
        dut.write(offset_of("MQDMA_Q_COALESCE_US", queue), 1000 + queue)
    for queue in range(QUEUES):
        assert dut.read(offset_of("MQDMA_Q_COALESCE_US", queue)) == 1000 + queue


def test_hole_in_the_global_page_is_refused(dut: Dut) -> None:
    holes = sorted(set(range(0, 0x100, 4)) - set(GLOBAL.values()))
    for count, hole in enumerate(holes, 1):
        assert dut.read(hole) == ALL_ONES
        assert_refused(dut, hole, lib.MQDMA_ERROR_OFFSET, times=2 * count - 1)
        dut.write(hole, 1)
        assert_refused(dut, hole, lib.MQDMA_ERROR_OFFSET, times=2 * count)


def test_hole_in_a_queue_page_is_refused(dut: Dut) -> None:
    holes = sorted(set(range(0, 0x100, 4)) - set(QUEUE.values()))
    for count, hole in enumerate(holes, 1):
        offset = 0x1000 + hole
        assert dut.read(offset) == ALL_ONES
        assert_refused(dut, offset, lib.MQDMA_ERROR_OFFSET, times=2 * count - 1)
        dut.write(offset, 1)
        assert_refused(dut, offset, lib.MQDMA_ERROR_OFFSET, times=2 * count)


@pytest.mark.parametrize("offset", [0xFFC, 0x1FFC, 0x41000, 0x7FFFC])
def test_offset_behind_the_registers_is_refused(dut: Dut, offset: int) -> None:
    assert dut.read(offset) == ALL_ONES
    assert_refused(dut, offset, lib.MQDMA_ERROR_OFFSET)
    dut.write(offset, 0)
    assert_refused(dut, offset, lib.MQDMA_ERROR_OFFSET, times=2)


@pytest.mark.parametrize("name", ["MQDMA_REG_ID", "MQDMA_REG_CAUSE_LO", "MQDMA_Q_LAST_TAKE"])
@pytest.mark.parametrize("size", [1, 2])
def test_small_access_is_refused(dut: Dut, name: str, size: int) -> None:
    offset = offset_of(name)
    assert dut.read(offset, size) == (1 << 8 * size) - 1
    assert_refused(dut, offset, lib.MQDMA_ERROR_SIZE)
    dut.write(offset, 0, size)
    assert_refused(dut, offset, lib.MQDMA_ERROR_SIZE, times=2)


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_misaligned_access_is_refused(dut: Dut, shift: int) -> None:
    offset = lib.MQDMA_REG_SCRATCH0 + shift
    assert dut.read(offset) == ALL_ONES
    dut.write(offset, 0x1234_5678)
    assert dut.read(lib.MQDMA_REG_SCRATCH0) == 0
    assert dut.read(lib.MQDMA_REG_SCRATCH1) == 0
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) >= 2
    assert dut.error_code() == lib.MQDMA_ERROR_SIZE


def test_small_write_changes_nothing(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_SCRATCH0, 0x1122_3344)
    dut.write(lib.MQDMA_REG_SCRATCH0, 0xFF, 1)
    dut.write(lib.MQDMA_REG_SCRATCH0 + 2, 0xFFFF, 2)
    assert dut.read(lib.MQDMA_REG_SCRATCH0) == 0x1122_3344


@pytest.mark.parametrize("name", ["MQDMA_REG_SCRATCH0", "MQDMA_Q_SQ_BASE_LO", "MQDMA_Q_CQ_BASE_LO"])
def test_access_of_8_bytes_is_two_of_4(dut: Dut, name: str) -> None:
    offset = offset_of(name)
    dut.write(offset, 0x1122_3344_5566_7788, 8)
    assert dut.read(offset) == 0x5566_7788
    assert dut.read(offset + 4) == 0x1122_3344
    assert dut.read(offset, 8) == 0x1122_3344_5566_7788
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 0


def test_clock_is_the_virtual_time(dut: Dut) -> None:
    before = dut.read(lib.MQDMA_REG_CLOCK_LO, 8)
    assert before == dut.qemu.clock()
    dut.qemu.step(5_000_000_000)
    assert dut.read(lib.MQDMA_REG_CLOCK_LO, 8) == before + 5_000_000_000


def test_clock_high_is_latched_by_clock_low(dut: Dut) -> None:
    low = dut.read(lib.MQDMA_REG_CLOCK_LO)
    high = dut.read(lib.MQDMA_REG_CLOCK_HI)
    dut.qemu.step(1 << 33)
    assert dut.read(lib.MQDMA_REG_CLOCK_HI) == high
    assert dut.read(lib.MQDMA_REG_CLOCK_LO) == low
    assert dut.read(lib.MQDMA_REG_CLOCK_HI) == high + 2


def test_writing_the_error_bit_clears_the_error(dut: Dut) -> None:
    dut.read(0xFFC)
    assert dut.error_code() == lib.MQDMA_ERROR_OFFSET
    dut.write(lib.MQDMA_REG_STATUS, 0)
    assert dut.error_code() == lib.MQDMA_ERROR_OFFSET
    dut.write(lib.MQDMA_REG_STATUS, lib.MQDMA_STATUS_REG_ERROR)
    assert dut.error_code() == lib.MQDMA_ERROR_NONE
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 1


def test_status_says_whether_the_device_is_enabled(dut: Dut) -> None:
    assert dut.read(lib.MQDMA_REG_STATUS) == lib.MQDMA_STATUS_REG_ENABLED
    dut.write(lib.MQDMA_REG_CONTROL, 0)
    assert dut.read(lib.MQDMA_REG_STATUS) == 0


def test_ring_registers_are_locked_while_the_queue_is_enabled(dut: Dut) -> None:
    queue = dut.queue(5).start()
    for count, name in enumerate(RING_REGISTERS, 1):
        before = dut.read(offset_of(name))
        dut.write(offset_of(name), before ^ 1)
        assert dut.read(offset_of(name)) == before
        assert_refused(dut, offset_of(name), lib.MQDMA_ERROR_BUSY, times=count)
    queue.reset()
    dut.write(offset_of("MQDMA_Q_ORDER"), 7)
    assert dut.read(offset_of("MQDMA_Q_ORDER")) == 7


def test_registers_lie_at_their_bar(dut: Dut) -> None:
    assert dut.qemu.read(BAR0, 4) == lib.MQDMA_ID_VALUE
    assert dut.qemu.ram.read(0, 1) == b"\0"
