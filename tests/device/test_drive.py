# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The backing store: reads and writes, refusals, errors, resets while it is busy."""

import json
from collections.abc import Iterator

import crc32c as crc
import pytest
from pydriver.abi._native import lib

from .conftest import DISK_SIZE, SHARED_SIZE, Start
from .dut import Dut, Queue, descriptor

READ, WRITE = lib.MQDMA_OP_DRIVE_READ, lib.MQDMA_OP_DRIVE_WRITE
MEMORY = 0x80_0000

#: Real time that a read of the slow drive takes; virtual time does not move a block device.
LATENCY_NS = 20_000_000


@pytest.fixture
def queue(dut: Dut) -> Iterator[Queue]:
    before = dut.qemu.disk.read(0, DISK_SIZE)
    yield dut.queue(0).start()
    dut.qemu.disk.write(0, before)


@pytest.mark.parametrize("in_bar2", [False, True])
@pytest.mark.parametrize(
    ("offset", "length"), [(0, 512), (512, 512), (DISK_SIZE - 1024, 1024), (0, DISK_SIZE)]
)
def test_read_returns_the_content(
    dut: Dut, queue: Queue, in_bar2: bool, offset: int, length: int
) -> None:
    memory = dut.qemu.shared if in_bar2 else dut.qemu.ram
    flags = lib.MQDMA_DESC_DST_BAR2 if in_bar2 else 0
    address = 0x1000 if in_bar2 else MEMORY
    entry = queue.one(
        descriptor(READ, src=offset, dst=address, length=length, flags=flags | lib.MQDMA_DESC_CRC)
    )
    content = dut.qemu.disk.read(offset, length)
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_OK, crc.crc32c(content))
    assert memory.read(address, length) == content


@pytest.mark.parametrize("in_bar2", [False, True])
@pytest.mark.parametrize(
    ("offset", "length"), [(0, 512), (DISK_SIZE - 1024, 1024), (512, DISK_SIZE - 512)]
)
def test_write_changes_the_content(
    dut: Dut, queue: Queue, in_bar2: bool, offset: int, length: int
) -> None:
    memory = dut.qemu.shared if in_bar2 else dut.qemu.ram
    flags = lib.MQDMA_DESC_SRC_BAR2 if in_bar2 else 0
    address = 0x1000 if in_bar2 else MEMORY
    content = bytes((offset + index * 7) & 0xFF for index in range(length))
    memory.write(address, content)
    entry = queue.one(
        descriptor(WRITE, src=address, dst=offset, length=length, flags=flags | lib.MQDMA_DESC_CRC)
    )
    assert (entry.status, entry.result) == (lib.MQDMA_STATUS_OK, crc.crc32c(content))
    assert dut.qemu.disk.read(offset, length) == content


def test_transfer_without_crc_returns_its_length(queue: Queue) -> None:
    assert queue.one(descriptor(READ, dst=MEMORY, length=1024)).result == 1024
    assert queue.one(descriptor(WRITE, src=MEMORY, length=1024)).result == 1024


def test_many_transfers_at_once_all_complete(dut: Dut, queue: Queue) -> None:
    entries = queue.run(
        *[
            descriptor(READ, src=512 * n, dst=MEMORY + 512 * n, length=512, cookie=n)
            for n in range(15)
        ]
    )
    assert sorted(entry.cookie for entry in entries) == list(range(15))
    assert {entry.status for entry in entries} == {lib.MQDMA_STATUS_OK}
    assert dut.qemu.ram.read(MEMORY, 15 * 512) == dut.qemu.disk.read(0, 15 * 512)


def test_delayed_read_begins_when_it_is_due(dut: Dut, queue: Queue) -> None:
    queue.submit(descriptor(READ, dst=MEMORY, length=512, delay_ns=100, cookie=1))
    assert queue.take() == []
    dut.qemu.step(100)
    queue.settle()
    assert [entry.cookie for entry in queue.take()] == [1]


@pytest.mark.parametrize(
    ("opcode", "offset", "length", "status"),
    [
        (READ, 0, 511, lib.MQDMA_STATUS_BAD_LENGTH),
        (WRITE, 0, 513, lib.MQDMA_STATUS_BAD_LENGTH),
        (READ, 1, 512, lib.MQDMA_STATUS_DRIVE_RANGE),
        (READ, DISK_SIZE, 512, lib.MQDMA_STATUS_DRIVE_RANGE),
        (WRITE, DISK_SIZE - 512, 1024, lib.MQDMA_STATUS_DRIVE_RANGE),
        (READ, 0xFFFF_FFFF_FFFF_FE00, 512, lib.MQDMA_STATUS_DRIVE_RANGE),
    ],
)
def test_transfer_outside_the_drive_is_refused(
    dut: Dut, queue: Queue, opcode: int, offset: int, length: int, status: int
) -> None:
    src, dst = (offset, MEMORY) if opcode == READ else (MEMORY, offset)
    assert queue.one(descriptor(opcode, src=src, dst=dst, length=length)).status == status
    assert dut.read(lib.MQDMA_REG_ERR_DESCRIPTOR) == 1


def test_operand_outside_bar2_is_refused(queue: Queue) -> None:
    bad = descriptor(READ, dst=SHARED_SIZE, length=512, flags=lib.MQDMA_DESC_DST_BAR2)
    assert queue.one(bad).status == lib.MQDMA_STATUS_BAD_ADDRESS


@pytest.mark.parametrize("opcode", [READ, WRITE])
def test_device_without_a_drive_refuses_transfers(start: Start, opcode: int) -> None:
    dut = Dut(start("-device", "mqdma,id=dut,addr=4"))
    dut.start()
    assert dut.read(lib.MQDMA_REG_CAPS) & lib.MQDMA_CAPS_DRIVE == 0
    assert dut.read(lib.MQDMA_REG_DRIVE_SIZE_LO, 8) == 0
    entry = dut.queue(0).start().one(descriptor(opcode, length=512))
    assert entry.status == lib.MQDMA_STATUS_NO_DRIVE


def blockdev(**options: object) -> tuple[str, str]:
    return "-blockdev", json.dumps({"node-name": "drive"} | options)


def test_read_only_drive_can_be_read_but_not_written(start: Start) -> None:
    null = {"driver": "null-co", "size": 8192, "read-zeroes": True, "read-only": True}
    dut = Dut(start(*blockdev(**null), "-device", "mqdma,id=dut,addr=4,drive=drive"))
    dut.start()
    assert dut.read(lib.MQDMA_REG_CAPS) & lib.MQDMA_CAPS_DRIVE_RO
    queue = dut.queue(0).start()
    assert queue.one(descriptor(READ, dst=MEMORY, length=512)).status == lib.MQDMA_STATUS_OK
    entry = queue.one(descriptor(WRITE, src=MEMORY, length=512))
    assert entry.status == lib.MQDMA_STATUS_DRIVE_READ_ONLY


@pytest.mark.parametrize(("opcode", "kind"), [(READ, "read"), (WRITE, "write")])
def test_error_of_the_drive_fails_the_transfer(start: Start, opcode: int, kind: str) -> None:
    debug = {
        "driver": "blkdebug",
        "image": {"driver": "null-co", "size": 1 << 20, "read-zeroes": True},
        "inject-error": [{"event": "none", "iotype": kind, "errno": 5}],
    }
    dut = Dut(start(*blockdev(**debug), "-device", "mqdma,id=dut,addr=4,drive=drive"))
    dut.start()
    queue = dut.queue(0).start()
    entry = queue.one(descriptor(opcode, src=0, dst=0, length=512, cookie=3))
    assert (entry.status, entry.cookie) == (lib.MQDMA_STATUS_DRIVE_ERROR, 3)
    assert queue.read(lib.MQDMA_Q_FAILED) == 1
    assert dut.read(lib.MQDMA_REG_ERR_DMA) == 0
    assert queue.one(descriptor()).status == lib.MQDMA_STATUS_OK


# A slow drive: requests are under way when something else happens


@pytest.fixture
def slow(start: Start) -> Dut:
    null = {"driver": "null-aio", "size": 1 << 24, "read-zeroes": True, "latency-ns": LATENCY_NS}
    dut = Dut(start(*blockdev(**null), "-device", "mqdma,id=dut,addr=4,drive=drive"))
    dut.start()
    return dut


def reads(count: int) -> list[bytes]:
    return [descriptor(READ, dst=MEMORY, length=4096, cookie=n) for n in range(count)]


def test_drive_does_not_hold_what_is_behind_it(slow: Dut) -> None:
    queue = slow.queue(0).start()
    entries = queue.run(*reads(1), descriptor(cookie=9))
    assert [entry.cookie for entry in entries] == [9, 0]


def test_fence_waits_for_the_drive(slow: Dut) -> None:
    queue = slow.queue(0).start()
    entries = queue.run(*reads(1), descriptor(cookie=9, flags=lib.MQDMA_DESC_FENCE))
    assert [entry.cookie for entry in entries] == [0, 9]


def test_drive_takes_four_transfers_of_a_queue_at_once(slow: Dut) -> None:
    queue = slow.queue(0).start()
    queue.submit(*reads(9), then=((lib.MQDMA_REG_CONTROL, 0),))
    # The fifth was fetched and waits for one of the four to return, which cannot be seen from here.
    assert queue.inflight() == 5
    slow.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_ENABLE)
    queue.settle()
    assert len(queue.take()) == 9


def test_abort_ends_transfers_that_the_drive_has(slow: Dut) -> None:
    queue = slow.queue(0).start()
    abort = (queue.page + lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ABORT)
    queue.submit(*reads(6), then=(abort,))
    queue.settle()
    assert [entry.status for entry in queue.take()] == [lib.MQDMA_STATUS_ABORTED] * 6


@pytest.mark.parametrize("how", ["queue", "device"])
def test_reset_drops_transfers_that_the_drive_has(slow: Dut, how: str) -> None:
    queue = slow.queue(0).start()
    slow.qemu.ram.write(MEMORY, b"\x55" * 4096)
    reset = {
        "queue": (queue.page + lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_RESET),
        "device": (lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_RESET),
    }
    queue.submit(*reads(6), then=(reset[how],))
    slow.start()
    assert queue.read(lib.MQDMA_Q_STATUS) == 0
    queue.start()
    # The drive is equally slow for all: when this one returns, the dropped ones have returned too.
    entry = queue.one(descriptor(READ, dst=MEMORY + 8192, length=4096, cookie=7))
    assert (entry.cookie, entry.sequence) == (7, 0)
    assert slow.qemu.ram.read(MEMORY, 4096) == b"\x55" * 4096


def test_queue_that_stopped_keeps_what_the_drive_gives_back(slow: Dut) -> None:
    queue = slow.queue(0).start()
    queue.submit(*reads(2), then=((queue.page + lib.MQDMA_Q_SQ_TAIL, 999),))
    other = slow.queue(1).start()
    assert len(other.run(*reads(1))) == 1
    assert queue.take() == []
    assert queue.inflight() == 2
    queue.reset()
    queue.start()
    assert len(queue.run(*reads(2))) == 2


def test_quitting_while_the_drive_is_busy_is_harmless(slow: Dut) -> None:
    slow.queue(0).start().submit(*reads(6))
    slow.qemu.close()
