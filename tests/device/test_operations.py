# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Every operation, with operands in RAM and in BAR2, and every descriptor that is refused."""

import random
from typing import Any

import crc32c as crc
import pytest
from pydriver.abi._native import lib

from .dut import Dut, Queue, descriptor

SRC, DST = 0x80_0000, 0x180_0000
SRC_BAR2, DST_BAR2 = 0x10_0000, 0x30_0000

LENGTHS = [1, 7, 8, 63, 4096, 65535, 65536, 65537, 262144, 300001]

PLACES = [0, lib.MQDMA_DESC_SRC_BAR2, lib.MQDMA_DESC_DST_BAR2, 3]


def data(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


class Operands:
    """Source and destination of a transfer, wherever the flags put them."""

    def __init__(self, dut: Dut, flags: int) -> None:
        self.flags = flags
        src_bar2 = bool(flags & lib.MQDMA_DESC_SRC_BAR2)
        dst_bar2 = bool(flags & lib.MQDMA_DESC_DST_BAR2)
        self._source = dut.qemu.shared if src_bar2 else dut.qemu.ram
        self._target = dut.qemu.shared if dst_bar2 else dut.qemu.ram
        self.src = SRC_BAR2 if src_bar2 else SRC
        self.dst = DST_BAR2 if dst_bar2 else DST

    def set_source(self, content: bytes) -> None:
        self._source.write(self.src, content)

    def set_target(self, content: bytes) -> None:
        self._target.write(self.dst, content)

    def target(self, length: int) -> bytes:
        return self._target.read(self.dst, length)

    def describe(self, opcode: int, length: int, **more: Any) -> bytes:
        flags = more.pop("flags", 0) | self.flags
        return descriptor(opcode, length=length, src=self.src, dst=self.dst, flags=flags, **more)


@pytest.fixture
def queue(dut: Dut) -> Queue:
    return dut.queue(0).start()


def test_nop_succeeds(queue: Queue) -> None:
    entry = queue.one(descriptor(lib.MQDMA_OP_NOP, cookie=1))
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_OK, 0)


@pytest.mark.parametrize("flags", PLACES)
@pytest.mark.parametrize("length", LENGTHS)
def test_copy_copies(dut: Dut, queue: Queue, flags: int, length: int) -> None:
    operands = Operands(dut, flags)
    content = data(length)
    operands.set_source(content)
    operands.set_target(bytes(length + 1))
    entry = queue.one(operands.describe(lib.MQDMA_OP_COPY, length))
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_OK, length)
    assert operands.target(length + 1) == content + b"\0"
    assert queue.read(lib.MQDMA_Q_BYTES_LO) == length


@pytest.mark.parametrize("flags", PLACES)
def test_copy_of_misaligned_operands(dut: Dut, queue: Queue, flags: int) -> None:
    operands = Operands(dut, flags)
    operands.src += 3
    operands.dst += 5
    content = data(70000)
    operands.set_source(content)
    entry = queue.one(operands.describe(lib.MQDMA_OP_COPY, len(content)))
    assert entry.status == lib.MQDMA_STATUS_OK
    assert operands.target(len(content)) == content


@pytest.mark.parametrize("flags", PLACES)
@pytest.mark.parametrize("length", [1, 65537, 300001])
def test_copy_with_crc_returns_the_crc_of_the_data(
    dut: Dut, queue: Queue, flags: int, length: int
) -> None:
    operands = Operands(dut, flags)
    content = data(length)
    operands.set_source(content)
    entry = queue.one(operands.describe(lib.MQDMA_OP_COPY, length, flags=lib.MQDMA_DESC_CRC))
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_OK, crc.crc32c(content))
    assert operands.target(length) == content


def test_crc_of_the_check_string(dut: Dut, queue: Queue) -> None:
    dut.qemu.ram.write(SRC, b"123456789")
    entry = queue.one(descriptor(lib.MQDMA_OP_CRC32C, length=9, src=SRC))
    assert entry.result == 0xE306_9283


@pytest.mark.parametrize("flags", [0, lib.MQDMA_DESC_SRC_BAR2])
@pytest.mark.parametrize("length", LENGTHS)
def test_crc_of_any_length(dut: Dut, queue: Queue, flags: int, length: int) -> None:
    operands = Operands(dut, flags)
    content = data(length)
    operands.set_source(content)
    entry = queue.one(operands.describe(lib.MQDMA_OP_CRC32C, length))
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_OK, crc.crc32c(content))


def test_crc_goes_on_from_the_crc_of_what_came_before(dut: Dut, queue: Queue) -> None:
    content = data(5000)
    dut.qemu.ram.write(SRC, content)
    first = queue.one(descriptor(lib.MQDMA_OP_CRC32C, length=1234, src=SRC))
    second = queue.one(
        descriptor(lib.MQDMA_OP_CRC32C, length=5000 - 1234, src=SRC + 1234, param=first.result)
    )
    assert second.result == crc.crc32c(content)


@pytest.mark.parametrize("flags", [0, lib.MQDMA_DESC_DST_BAR2])
@pytest.mark.parametrize("length", LENGTHS)
def test_fill_repeats_the_pattern(dut: Dut, queue: Queue, flags: int, length: int) -> None:
    operands = Operands(dut, flags)
    pattern = 0x1122_3344_5566_7788
    content = (pattern.to_bytes(8, "little") * (length // 8 + 1))[:length]
    operands.set_target(bytes(length + 1))
    entry = queue.one(
        operands.describe(lib.MQDMA_OP_FILL, length, param=pattern, flags=lib.MQDMA_DESC_CRC)
    )
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_OK, crc.crc32c(content))
    assert operands.target(length + 1) == content + b"\0"


def test_fill_of_many_chunks_after_an_odd_one_keeps_the_pattern(dut: Dut, queue: Queue) -> None:
    """The byte budget of a doorbell must not cut a fill inside its pattern."""
    length = 1 << 20
    pattern = 0x0102_0304_0506_0708
    queue.run(
        descriptor(lib.MQDMA_OP_FILL, length=13, dst=SRC, param=pattern),
        descriptor(lib.MQDMA_OP_FILL, length=length, dst=DST, param=pattern),
    )
    assert dut.qemu.ram.read(DST, length) == pattern.to_bytes(8, "little") * (length // 8)


@pytest.mark.parametrize("flags", PLACES)
@pytest.mark.parametrize("length", LENGTHS)
def test_compare_of_equal_data_succeeds(dut: Dut, queue: Queue, flags: int, length: int) -> None:
    operands = Operands(dut, flags)
    operands.set_source(data(length))
    operands.set_target(data(length))
    entry = queue.one(operands.describe(lib.MQDMA_OP_COMPARE, length))
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_OK, length)


@pytest.mark.parametrize("flags", PLACES)
@pytest.mark.parametrize("offset", [0, 1, 65535, 65536, 99999])
def test_compare_returns_the_offset_of_the_first_difference(
    dut: Dut, queue: Queue, flags: int, offset: int
) -> None:
    operands = Operands(dut, flags)
    content = bytearray(data(100000))
    operands.set_source(bytes(content))
    content[offset] ^= 0x80
    content[-1] ^= 1
    operands.set_target(bytes(content))
    entry = queue.one(operands.describe(lib.MQDMA_OP_COMPARE, 100000))
    assert entry.status == lib.MQDMA_STATUS_MISCOMPARE
    assert entry.result == offset
    assert queue.read(lib.MQDMA_Q_FAILED) == 1


def test_longest_transfer_is_taken(dut: Dut, queue: Queue) -> None:
    length = lib.MQDMA_MAX_TRANSFER
    entry = queue.one(descriptor(lib.MQDMA_OP_FILL, length=length, dst=SRC, param=3))
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_OK, length)
    assert dut.qemu.ram.read(SRC + length - 8, 8) == (3).to_bytes(8, "little")


def test_transfers_follow_each_other_in_order(dut: Dut, queue: Queue) -> None:
    """The second reads data of the first, which the bottom half finishes."""
    length = 600_000
    content = data(length)
    dut.qemu.ram.write(SRC, content)
    entries = queue.run(
        descriptor(lib.MQDMA_OP_COPY, length=length, src=SRC, dst=DST),
        descriptor(lib.MQDMA_OP_CRC32C, length=length, src=DST),
    )
    assert entries[1].result == crc.crc32c(content)


# Refusals


def assert_refused(queue: Queue, bad: bytes, status: int) -> None:
    """The descriptor fails with a status and is counted, and the queue continues."""
    dut = queue.dut
    entry = queue.one(bad)
    assert entry.status == status
    assert entry.cookie == 77
    assert dut.read(lib.MQDMA_REG_ERR_DESCRIPTOR) == 1
    assert dut.read(lib.MQDMA_REG_INT_STATUS_GLOBAL) == lib.MQDMA_GLOBAL_BAD_DESCRIPTOR
    assert dut.error_code() == lib.MQDMA_ERROR_DESCRIPTOR
    assert queue.read(lib.MQDMA_Q_FAILED) == 1
    assert queue.last_event()[1:] == (lib.MQDMA_EVENT_COMPLETION, status, 77)
    assert queue.one(descriptor()).status == lib.MQDMA_STATUS_OK


@pytest.mark.parametrize("opcode", [lib.MQDMA_OP_COUNT, 0x80, 0xFF])
def test_unknown_opcode_is_refused(queue: Queue, opcode: int) -> None:
    assert_refused(queue, descriptor(opcode, cookie=77), lib.MQDMA_STATUS_BAD_OPCODE)


@pytest.mark.parametrize("flags", [0x40, 0x8000])
def test_unknown_flag_is_refused(queue: Queue, flags: int) -> None:
    assert_refused(queue, descriptor(flags=flags, cookie=77), lib.MQDMA_STATUS_BAD_FLAGS)


@pytest.mark.parametrize("reserved", [(1, 0, 0), (0, 1, 0), (0, 0, 1 << 63)])
def test_reserved_field_is_refused(queue: Queue, reserved: tuple[int, int, int]) -> None:
    assert_refused(queue, descriptor(reserved=reserved, cookie=77), lib.MQDMA_STATUS_BAD_FLAGS)


@pytest.mark.parametrize("opcode", [lib.MQDMA_OP_NOP, lib.MQDMA_OP_COMPARE])
def test_crc_flag_without_data_to_return_it_for_is_refused(queue: Queue, opcode: int) -> None:
    bad = descriptor(opcode, flags=lib.MQDMA_DESC_CRC, cookie=77)
    assert_refused(queue, bad, lib.MQDMA_STATUS_BAD_FLAGS)


@pytest.mark.parametrize(
    ("opcode", "length"),
    [
        (lib.MQDMA_OP_NOP, 1),
        (lib.MQDMA_OP_COPY, 0),
        (lib.MQDMA_OP_FILL, 0),
        (lib.MQDMA_OP_CRC32C, 0),
        (lib.MQDMA_OP_COMPARE, 0),
        (lib.MQDMA_OP_DRIVE_READ, 0),
        (lib.MQDMA_OP_COPY, lib.MQDMA_MAX_TRANSFER + 1),
        (lib.MQDMA_OP_FILL, 0xFFFF_FFFF),
    ],
)
def test_length_out_of_range_is_refused(queue: Queue, opcode: int, length: int) -> None:
    bad = descriptor(opcode, length=length, cookie=77)
    assert_refused(queue, bad, lib.MQDMA_STATUS_BAD_LENGTH)


def test_delay_out_of_range_is_refused(queue: Queue) -> None:
    bad = descriptor(delay_ns=lib.MQDMA_MAX_DELAY_MS * 1_000_000 + 1, cookie=77)
    assert_refused(queue, bad, lib.MQDMA_STATUS_BAD_DELAY)


@pytest.mark.parametrize(
    ("opcode", "src", "dst"),
    [
        (lib.MQDMA_OP_COPY, (4 << 20) - 7, 0),
        (lib.MQDMA_OP_COPY, 0, (4 << 20) - 7),
        (lib.MQDMA_OP_CRC32C, 4 << 20, 0),
        (lib.MQDMA_OP_FILL, 0, 0xFFFF_FFFF_FFFF_FFFC),
        (lib.MQDMA_OP_COMPARE, 1 << 63, 0),
    ],
)
def test_operand_outside_bar2_is_refused(queue: Queue, opcode: int, src: int, dst: int) -> None:
    bad = descriptor(opcode, length=8, src=src, dst=dst, flags=3, cookie=77)
    assert_refused(queue, bad, lib.MQDMA_STATUS_BAD_ADDRESS)


def test_operand_at_the_very_end_of_bar2_is_taken(dut: Dut, queue: Queue) -> None:
    end = 4 << 20
    entry = queue.one(
        descriptor(lib.MQDMA_OP_FILL, flags=lib.MQDMA_DESC_DST_BAR2, length=8, dst=end - 8, param=9)
    )
    assert entry.status == lib.MQDMA_STATUS_OK
    assert dut.qemu.shared.read(end - 8, 8) == (9).to_bytes(8, "little")


def test_bus_address_that_wraps_is_refused(queue: Queue) -> None:
    bad = descriptor(lib.MQDMA_OP_CRC32C, length=8, src=0xFFFF_FFFF_FFFF_FFFC, cookie=77)
    assert_refused(queue, bad, lib.MQDMA_STATUS_BAD_ADDRESS)


def test_location_flag_of_an_operand_that_is_not_used_is_ignored(queue: Queue) -> None:
    assert queue.one(descriptor(flags=3, src=1 << 60)).status == lib.MQDMA_STATUS_OK


@pytest.mark.parametrize(
    ("opcode", "src", "dst"),
    [
        (lib.MQDMA_OP_COPY, 1 << 36, DST),
        (lib.MQDMA_OP_COPY, SRC, 1 << 36),
        (lib.MQDMA_OP_CRC32C, 1 << 36, 0),
        (lib.MQDMA_OP_FILL, 0, 1 << 36),
        (lib.MQDMA_OP_COMPARE, 1 << 36, DST),
        (lib.MQDMA_OP_COMPARE, SRC, 1 << 36),
        (lib.MQDMA_OP_DRIVE_READ, 0, 1 << 36),
        (lib.MQDMA_OP_DRIVE_WRITE, 1 << 36, 0),
        # Another device's registers, and our own: never reached.
        (lib.MQDMA_OP_FILL, 0, 0xFEE0_0000),
        (lib.MQDMA_OP_COPY, 0xE000_0000, DST),
    ],
)
def test_memory_that_is_not_there_fails_the_transfer(
    dut: Dut, queue: Queue, opcode: int, src: int, dst: int
) -> None:
    entry = queue.one(descriptor(opcode, length=512, src=src, dst=dst, cookie=5))
    assert entry.status == lib.MQDMA_STATUS_DMA_ERROR
    assert dut.read(lib.MQDMA_REG_ERR_DMA) == 1
    assert dut.read(lib.MQDMA_REG_INT_STATUS_GLOBAL) == lib.MQDMA_GLOBAL_DMA_ERROR
    assert dut.error_code() == lib.MQDMA_ERROR_DMA
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 0
    assert queue.one(descriptor()).status == lib.MQDMA_STATUS_OK


def test_transfer_that_fails_on_the_way_says_how_far_it_came(dut: Dut, queue: Queue) -> None:
    end_of_ram = 32 << 20
    entry = queue.one(
        descriptor(lib.MQDMA_OP_COPY, length=200_000, src=SRC, dst=end_of_ram - 65536)
    )
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_DMA_ERROR, 65536)
