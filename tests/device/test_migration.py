# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Migration to a file and back during operation: no state is lost or left out."""

import json
import random
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import crc32c as crc
import pytest
from pydriver.abi._native import lib

from pydriver.machine.qtest import QtestError, QtestMachine

from .conftest import Refused, Start
from .dut import CAP_MSI, CAP_PM, MESSAGE_DATA, Dut, Queue, descriptor

SHARED_SIZE = 1 << 20

ARGUMENTS = ("-device", "mqdma,id=dut,addr=4,queues=16,memdev=shared")

Migrate = Callable[..., Dut]


def save(qemu: QtestMachine, path: Path) -> None:
    """Stops the machine and writes it to a file."""
    qemu.qmp("stop")
    qemu.qmp("migrate", uri=f"exec:cat > {shlex.quote(str(path))}")
    while (status := qemu.qmp("query-migrate").get("status")) != "completed":
        if status == "failed":
            raise QtestError(f"migration failed:\n{qemu.log()}")


def incoming(path: Path) -> tuple[str, str]:
    return "-incoming", f"exec:cat {shlex.quote(str(path))}"


def load(start: Start, path: Path, *arguments: str, **options: object) -> QtestMachine:
    """Starts a machine from a file; it is stopped, as the other one was."""
    qemu = start(*arguments, *incoming(path), **options)
    qemu.intercept_ioapic()
    while qemu.qmp("query-migrate").get("status") != "completed":
        pass
    return qemu


@pytest.fixture
def migrate(start: Start, tmp_path: Path) -> Migrate:
    """Moves a machine through a file; returns the device of the other machine, which runs."""

    def migrate(dut: Dut, *arguments: str, run: bool = True, **options: object) -> Dut:
        path = tmp_path / "state"
        before = dut.qemu.clock()
        try:
            save(dut.qemu, path)
            dut.qemu.close()
            options.setdefault("shared_size", SHARED_SIZE)
            qemu = load(start, path, *(arguments or ARGUMENTS), **options)
        finally:
            path.unlink(missing_ok=True)
        # The clock of a machine under qtest is not part of its state.
        qemu.clock_set(before)
        if run:
            qemu.qmp("cont")
        return Dut(qemu)

    return migrate


@pytest.fixture
def dut(start: Start) -> Dut:
    qemu = start(*ARGUMENTS, shared_size=SHARED_SIZE)
    qemu.intercept_ioapic()
    dut = Dut(qemu)
    dut.start()
    return dut


def moved(queue: Queue, dut: Dut) -> Queue:
    """The driver's view of a queue, carried over to the other machine."""
    other = dut.queue(queue.index)
    other.order, other.location = queue.order, queue.location
    other.sq_base, other.cq_base = queue.sq_base, queue.cq_base
    other.tail, other.head, other.phase = queue.tail, queue.head, queue.phase
    return other


def test_registers_survive(dut: Dut, migrate: Migrate) -> None:
    registers = {
        lib.MQDMA_REG_SCRATCH0: 0x1234_5678,
        lib.MQDMA_REG_SCRATCH1: 0x9ABC_DEF0,
        lib.MQDMA_REG_INT_MASK_LO: 0x5555,
        lib.MQDMA_REG_INT_MASK_GLOBAL: 3,
        lib.MQDMA_REG_GLOBAL_VECTOR: 12,
    }
    for register, value in registers.items():
        dut.write(register, value)
    for index in range(16):
        dut.queue(index).write(lib.MQDMA_Q_COALESCE_US, 100 + index)
        dut.queue(index).write(lib.MQDMA_Q_VECTOR, 15 - index)
        dut.write(lib.MQDMA_REG_INT_RAISE, index | lib.MQDMA_RAISE_EVENT | (index + 1) << 16)
    dut.read(0xFFC)
    dut = migrate(dut)
    assert {register: dut.read(register) for register in registers} == registers
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 0xFFFF
    assert dut.read(lib.MQDMA_REG_INT_STATUS_GLOBAL) == lib.MQDMA_GLOBAL_BAD_ACCESS
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 1
    assert dut.error_code() == lib.MQDMA_ERROR_OFFSET
    for index in range(16):
        assert dut.queue(index).read(lib.MQDMA_Q_COALESCE_US) == 100 + index
        assert dut.queue(index).read(lib.MQDMA_Q_VECTOR) == 15 - index
        assert dut.queue(index).last_event()[3] == index + 1


LENGTH = 1 << 20
TRANSFERS = 8

#: The part that a doorbell does before the bottom half takes over.
FIRST_TURN = 256 << 10


def test_everything_at_once(dut: Dut, migrate: Migrate) -> None:
    """In mid-transfer, with queued descriptors, a coalescing timer and a masked vector pending."""
    content = random.Random(1).randbytes(LENGTH)
    source, target = 0x80_0000, 0x180_0000
    dut.qemu.ram.write(source, content)
    dut.enable_msix(17)
    dut.mask_msix(3, True)
    dut.write(lib.MQDMA_REG_INT_RAISE, 3)
    held = dut.queue(1).start()
    held.write(lib.MQDMA_Q_COALESCE_US, 500)
    held.run(descriptor(cookie=1))
    delayed = dut.queue(2).start()
    delayed.submit(*[descriptor(cookie=n, delay_ns=100_000 * (9 - n)) for n in range(9)])
    busy = dut.queue(0).start()
    copy = descriptor(
        lib.MQDMA_OP_COPY, flags=lib.MQDMA_DESC_CRC, length=LENGTH, src=source, dst=target
    )
    # The device is disabled before the bottom half runs, and enabled when the machine has stopped.
    busy.submit(*[copy] * TRANSFERS, then=((lib.MQDMA_REG_CONTROL, 0),))
    dut.qemu.qmp("stop")
    dut.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_ENABLE)
    assert busy.read(lib.MQDMA_Q_BYTES_LO) == FIRST_TURN
    assert busy.read(lib.MQDMA_Q_SQ_HEAD) == 1
    sent = dut.messages()

    dut = migrate(dut, run=False)
    busy, held, delayed = (moved(queue, dut) for queue in (busy, held, delayed))
    assert dut.messages() == sent
    assert dut.pending() == 1 << 3
    assert busy.read(lib.MQDMA_Q_BYTES_LO) == FIRST_TURN
    assert dut.qemu.ram.read(target, LENGTH) == content[:FIRST_TURN] + bytes(LENGTH - FIRST_TURN)
    for vector in range(17):
        dut.clear_message(vector)

    dut.qemu.qmp("cont")
    busy.settle()
    entries = busy.take()
    assert [entry.result for entry in entries] == [crc.crc32c(content)] * TRANSFERS
    assert [entry.sequence for entry in entries] == list(range(TRANSFERS))
    assert dut.qemu.ram.read(target, LENGTH) == content
    assert busy.read(lib.MQDMA_Q_BYTES_LO) == TRANSFERS * LENGTH
    assert dut.got_message(0)

    dut.qemu.step_us(499)
    assert not dut.got_message(1)
    assert [entry.cookie for entry in delayed.take()] == [8, 7, 6, 5]
    dut.qemu.step_us(1)
    assert dut.got_message(1)
    dut.qemu.step_us(400)
    assert [entry.cookie for entry in delayed.take()] == [4, 3, 2, 1, 0]
    assert dut.got_message(2)

    assert not dut.got_message(3)
    dut.mask_msix(3, False)
    assert dut.got_message(3)
    assert dut.pending() == 0
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 0b1111


def test_queued_descriptors_are_fetched_on_the_other_side(dut: Dut, migrate: Migrate) -> None:
    queue = dut.queue(5).start(order=8)
    dut.qemu.qmp("stop")
    queue.submit(*[descriptor(cookie=n) for n in range(200)])
    dut = migrate(dut)
    queue = moved(queue, dut)
    queue.settle()
    assert [entry.cookie for entry in queue.take()] == list(range(200))


def test_fence_abort_and_full_ring_survive(dut: Dut, migrate: Migrate) -> None:
    fenced, full, aborting = (dut.queue(index).start(order=2) for index in range(3))
    fenced.submit(descriptor(cookie=1, delay_ns=1000), descriptor(2, flags=lib.MQDMA_DESC_FENCE))
    for queue in (full, aborting):
        queue.submit(*[descriptor(cookie=n) for n in range(3)])
        queue.submit(*[descriptor(cookie=n) for n in range(3, 5)])
    aborting.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ABORT)
    dut = migrate(dut)
    fenced, full, aborting = (moved(queue, dut) for queue in (fenced, full, aborting))
    assert fenced.take() == []
    dut.qemu.step(1000)
    assert [entry.cookie for entry in fenced.take()] == [1, 0]
    assert [entry.cookie for entry in full.take() + full.take()] == list(range(5))
    statuses = [entry.status for entry in aborting.take() + aborting.take()]
    assert statuses == [0, 0, 0, lib.MQDMA_STATUS_ABORTED, lib.MQDMA_STATUS_ABORTED]


def test_rings_and_data_in_bar2_survive(dut: Dut, migrate: Migrate) -> None:
    queue = dut.queue(1).start(location=3, sq_base=0, cq_base=0x8000)
    dut.qemu.shared.write(0x1_0000, b"123456789")
    queue.submit(
        descriptor(
            lib.MQDMA_OP_CRC32C,
            flags=lib.MQDMA_DESC_SRC_BAR2,
            length=9,
            src=0x1_0000,
            delay_ns=10,
        )
    )
    dut = migrate(dut)
    dut.qemu.step(10)
    assert [entry.result for entry in moved(queue, dut).take()] == [0xE306_9283]


def test_watchdog_goes_on(dut: Dut, migrate: Migrate) -> None:
    queue = dut.queue(1).start()
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    queue.submit(descriptor(delay_ns=10**9))
    dut.qemu.step_us(60)
    dut = migrate(dut)
    queue = moved(queue, dut)
    dut.qemu.step_us(39)
    assert queue.state() == lib.MQDMA_STATE_RUNNING
    dut.qemu.step_us(1)
    assert queue.state() == lib.MQDMA_STATE_HUNG


def test_stopped_queue_stays_stopped(dut: Dut, migrate: Migrate) -> None:
    queue = dut.queue(1).start()
    queue.submit(descriptor(delay_ns=100))
    queue.write(lib.MQDMA_Q_SQ_TAIL, 99)
    dut = migrate(dut)
    queue = moved(queue, dut)
    assert queue.error() == lib.MQDMA_ERROR_SQ_TAIL
    assert queue.inflight() == 1
    queue.reset()
    assert queue.start().one(descriptor(cookie=1)).cookie == 1


def test_interrupt_held_by_the_mask_is_sent_on_the_other_side(dut: Dut, migrate: Migrate) -> None:
    dut.enable_msix(17)
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 1 << 9)
    dut.write(lib.MQDMA_REG_INT_RAISE, 9)
    dut.write(lib.MQDMA_REG_INT_RAISE, lib.MQDMA_RAISE_GLOBAL)
    dut = migrate(dut)
    assert not dut.got_message(9)
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 0)
    assert dut.got_message(9)
    dut.write(lib.MQDMA_REG_INT_MASK_GLOBAL, 0)
    assert dut.got_message(16)


def test_masked_msi_message_is_sent_on_the_other_side(dut: Dut, migrate: Migrate) -> None:
    dut.enable_msi(4)
    mask = dut.capabilities()[CAP_MSI] + 16
    dut.set_config(mask, 1 << 5)
    dut.write(lib.MQDMA_REG_INT_RAISE, 5)
    dut = migrate(dut)
    assert dut.message(0) == 0
    dut.set_config(mask, 0)
    assert dut.message(0) == (MESSAGE_DATA & 0xFFFF) + 5


def test_intx_stays_asserted(dut: Dut, migrate: Migrate) -> None:
    dut.write(lib.MQDMA_REG_INT_RAISE, 5)
    dut = migrate(dut)
    assert dut.read(lib.MQDMA_REG_STATUS) & lib.MQDMA_STATUS_REG_INTX
    assert dut.config(0x06, 2) & 8
    assert dut.read(lib.MQDMA_REG_CAUSE_LO) == 1 << 5
    assert not dut.read(lib.MQDMA_REG_STATUS) & lib.MQDMA_STATUS_REG_INTX
    assert not dut.config(0x06, 2) & 8


def test_device_in_d3hot_stays_there(dut: Dut, migrate: Migrate) -> None:
    power = dut.capabilities()[CAP_PM] + 4
    dut.write(lib.MQDMA_REG_SCRATCH0, 7)
    dut.set_config(power, 3, 2)
    dut = migrate(dut)
    assert dut.read(lib.MQDMA_REG_SCRATCH0) == 0xFFFF_FFFF
    dut.set_config(power, 0, 2)
    assert dut.read(lib.MQDMA_REG_SCRATCH0) == 7


def test_faults_go_with_the_device(dut: Dut, migrate: Migrate) -> None:
    dut.enable_msix(17)
    dut.set("fault-lost", 2)
    dut.set("fault-queue", 4)
    dut.set("fault-storm-queue", 5)
    dut.set("fault-storm-count", 3)
    dut = migrate(dut)
    assert (dut.get("fault-lost"), dut.get("fault-queue")) == (2, 4)
    assert dut.get("fault-storm-count") == 2
    before = dut.messages()
    dut.qemu.step_us(200)
    assert dut.messages() == before + 2


def test_reads_that_the_drive_had_are_done_again(start: Start, migrate: Migrate) -> None:
    arguments = (
        "-blockdev",
        json.dumps(
            {
                "driver": "null-aio",
                "node-name": "drive",
                "size": 1 << 24,
                "read-zeroes": True,
                "latency-ns": 20_000_000,
            }
        ),
        "-device",
        "mqdma,id=dut,addr=4,queues=16,drive=drive",
    )
    dut = Dut(start(*arguments))
    dut.start()
    queue = dut.queue(0).start()
    read = descriptor(lib.MQDMA_OP_DRIVE_READ, dst=0x40_0000, length=600_064)
    write = descriptor(lib.MQDMA_OP_DRIVE_WRITE, src=0x40_0000, length=600_064)
    queue.submit(read, write, read, write, read, write)
    dut = migrate(dut, *arguments, shared_size=0)
    queue = moved(queue, dut)
    queue.settle()
    entries = queue.take()
    assert sorted(entry.sq_index for entry in entries) == list(range(6))
    assert {(entry.status, entry.result) for entry in entries} == {(0, 600_064)}
    assert queue.read(lib.MQDMA_Q_BYTES_LO) == 6 * 600_064


# States that do not fit


def test_device_with_another_number_of_queues_is_refused(
    dut: Dut, start_refused: Refused, tmp_path: Path
) -> None:
    path = tmp_path / "state"
    save(dut.qemu, path)
    device = ("-device", "mqdma,id=dut,addr=4,queues=8,msix-vectors=17,memdev=shared")
    said = start_refused(*device, *incoming(path), shared_size=SHARED_SIZE)
    path.unlink()
    assert "mqdma: 'queues' differs" in said


#: Unlikely numbers by which the state of the queue and of its operation are found in the stream.
SQ_BASE, COOKIE = 0xA_5A40, 0xFEED_FACE_CAFE_BEEF

#: The damage: its place relative to SQ_BASE or to COOKIE, and the value that is written there.
DAMAGE = {
    "order": (SQ_BASE, -8, "00000020"),
    "location": (SQ_BASE, -4, "00000007"),
    "phase": (SQ_BASE, -9, "02"),
    "sq_base": (SQ_BASE, 0, "00000000ffffffc0"),
    "cq_base": (SQ_BASE, 8, "00000000ffffffe0"),
    "sq_head": (SQ_BASE, 16, "00000010"),
    "cq_tail": (SQ_BASE, 28, "ffffffff"),
    "vector": (SQ_BASE, 40, "00000041"),
    "opcode": (COOKIE, -18, "07"),
    "length": (COOKIE, -12, "01000001"),
    "done": (COOKIE, -8, "00000200"),
    "src": (COOKIE, 8, "00000000ffffffff"),
    "dst": (COOKIE, 16, "00000000ffffffff"),
}


@pytest.mark.parametrize("field", DAMAGE)
def test_damaged_state_is_refused(
    dut: Dut, start_refused: Refused, tmp_path: Path, field: str
) -> None:
    queue = dut.queue(1).start(location=3, sq_base=SQ_BASE, cq_base=0x1000)
    queue.submit(descriptor(lib.MQDMA_OP_COPY, flags=3, length=256, cookie=COOKIE, delay_ns=10**9))
    path = tmp_path / "state"
    save(dut.qemu, path)
    state = bytearray(path.read_bytes())
    path.unlink()
    mark, offset, damage = DAMAGE[field]
    # The last one: the first is the guest's own ring, in BAR2.
    at = state.rindex(mark.to_bytes(8, "big")) + offset
    state[at : at + len(damage) // 2] = bytes.fromhex(damage)
    path.write_bytes(state)
    said = start_refused(*ARGUMENTS, *incoming(path), shared_size=SHARED_SIZE)
    path.unlink()
    assert re.search("while loading state for instance .*mqdma", said)
