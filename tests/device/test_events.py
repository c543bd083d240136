# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Volatile state: the last event, which the next one overwrites; the watchdog; counters."""

import pytest
from pydriver.abi._native import lib

from .dut import Dut, Queue, descriptor

VALID, LOST = lib.MQDMA_EVENT_VALID, lib.MQDMA_EVENT_LOST
COMPLETION = lib.MQDMA_EVENT_COMPLETION


@pytest.fixture
def queue(dut: Dut) -> Queue:
    return dut.queue(0).start()


def raise_event(dut: Dut, tag: int, queue: int = 0) -> None:
    dut.write(
        lib.MQDMA_REG_INT_RAISE, queue | lib.MQDMA_RAISE_EVENT | tag << lib.MQDMA_RAISE_TAG_SHIFT
    )


def test_one_read_takes_the_event(queue: Queue) -> None:
    queue.submit(descriptor(cookie=0x1_2345))
    assert queue.last_event() == (VALID, COMPLETION, lib.MQDMA_STATUS_OK, 0x2345)
    assert queue.last_event() == (0, COMPLETION, lib.MQDMA_STATUS_OK, 0x2345)


def test_looking_does_not_take_the_event(queue: Queue) -> None:
    queue.submit(descriptor(cookie=7))
    first = queue.read(lib.MQDMA_Q_LAST_EVENT)
    assert queue.read(lib.MQDMA_Q_LAST_EVENT) == first
    assert first & VALID
    assert queue.read(lib.MQDMA_Q_LAST_TAKE) == first


def test_event_has_details(dut: Dut, queue: Queue) -> None:
    dut.qemu.ram.write(0x4000, b"123456789")
    queue.submit(
        descriptor(lib.MQDMA_OP_CRC32C, length=9, src=0x4000, cookie=0x1122_3344_5566_7788)
    )
    assert queue.read(lib.MQDMA_Q_LAST_COOKIE_LO, 8) == 0x1122_3344_5566_7788
    assert queue.read(lib.MQDMA_Q_LAST_RESULT) == 0xE306_9283
    assert queue.read(lib.MQDMA_Q_LAST_SEQUENCE) == 1


def test_reading_the_sequence_takes_the_event(queue: Queue) -> None:
    queue.submit(descriptor())
    assert queue.read(lib.MQDMA_Q_LAST_EVENT) & VALID
    queue.read(lib.MQDMA_Q_LAST_SEQUENCE)
    assert not queue.read(lib.MQDMA_Q_LAST_EVENT) & VALID


def test_failed_descriptor_leaves_its_status_in_the_event(queue: Queue) -> None:
    queue.submit(descriptor(0x55, cookie=3))
    assert queue.last_event() == (VALID, COMPLETION, lib.MQDMA_STATUS_BAD_OPCODE, 3)


def test_event_that_is_taken_in_time_is_not_lost(queue: Queue) -> None:
    for number in range(10):
        queue.submit(descriptor(cookie=number))
        assert queue.last_event() == (VALID, COMPLETION, 0, number)
    assert queue.read(lib.MQDMA_Q_OVERRUN) == 0
    assert queue.read(lib.MQDMA_Q_EVENTS) == 10


def test_next_event_overwrites_one_that_nobody_took(queue: Queue) -> None:
    queue.submit(*[descriptor(cookie=number) for number in range(5)])
    assert queue.read(lib.MQDMA_Q_OVERRUN) == 4
    assert queue.last_event() == (VALID | LOST, COMPLETION, 0, 4)
    queue.submit(descriptor(cookie=5))
    assert queue.last_event() == (VALID, COMPLETION, 0, 5)
    assert queue.read(lib.MQDMA_Q_OVERRUN) == 4
    assert queue.read(lib.MQDMA_Q_EVENTS) == 6


def test_slow_reader_learns_from_the_sequence_how_many_it_missed(queue: Queue) -> None:
    queue.submit(descriptor())
    before = queue.read(lib.MQDMA_Q_LAST_SEQUENCE)
    queue.submit(*[descriptor()] * 6)
    assert queue.read(lib.MQDMA_Q_LAST_SEQUENCE) - before == 6


def test_events_apart_in_time_can_each_be_taken(dut: Dut, queue: Queue) -> None:
    """The burst with which a driver shows that it captures in its ISR."""
    queue.submit(*[descriptor(cookie=n, delay_ns=1000 * (n + 1)) for n in range(8)])
    for number in range(8):
        dut.qemu.step_us(1)
        assert queue.last_event() == (VALID, COMPLETION, 0, number)
    assert queue.read(lib.MQDMA_Q_OVERRUN) == 0


def test_raised_event_carries_its_tag(dut: Dut, queue: Queue) -> None:
    raise_event(dut, 0x7ABC)
    assert queue.last_event() == (VALID, lib.MQDMA_EVENT_RAISED, 0, 0x7ABC)
    assert queue.read(lib.MQDMA_Q_INTERRUPTS) == 1


def test_interrupt_raised_without_an_event_leaves_the_last_one_alone(
    dut: Dut, queue: Queue
) -> None:
    raise_event(dut, 1)
    dut.write(lib.MQDMA_REG_INT_RAISE, 0)
    assert queue.last_event() == (VALID, lib.MQDMA_EVENT_RAISED, 0, 1)
    assert queue.read(lib.MQDMA_Q_EVENTS) == 1
    assert queue.read(lib.MQDMA_Q_INTERRUPTS) == 2


def test_events_of_queues_do_not_overwrite_each_other(dut: Dut) -> None:
    for number in range(64):
        raise_event(dut, number, number)
    for number in range(64):
        assert dut.queue(number).last_event()[3] == number
        assert dut.queue(number).read(lib.MQDMA_Q_OVERRUN) == 0


def test_counters_count(dut: Dut, queue: Queue) -> None:
    queue.run(
        descriptor(),
        descriptor(0x55),
        descriptor(lib.MQDMA_OP_FILL, length=100, dst=0x4000),
        descriptor(flags=lib.MQDMA_DESC_NO_INTERRUPT),
    )
    counted = {
        name: queue.read(getattr(lib, f"MQDMA_Q_{name}"))
        for name in ("COMPLETED", "FAILED", "EVENTS", "INTERRUPTS", "BYTES_LO", "BYTES_HI")
    }
    assert counted == {
        "COMPLETED": 4,
        "FAILED": 1,
        "EVENTS": 3,
        "INTERRUPTS": 3,
        "BYTES_LO": 100,
        "BYTES_HI": 0,
    }


def test_counters_are_properties(dut: Dut, queue: Queue) -> None:
    dut.enable_msix()
    queue.run(descriptor(), descriptor(0x55))
    dut.queue(1).start().run(descriptor(lib.MQDMA_OP_CRC32C, length=1, src=1 << 36))
    dut.read(0xFFC)
    queue.write(lib.MQDMA_Q_SQ_TAIL, 100)
    counted = {
        name: dut.get(f"stat-{name}")
        for name in (
            *("bad-access", "bad-descriptor", "dma-errors", "queue-errors", "messages"),
            *("intx-asserted", "dropped", "interrupts", "events", "overruns", "completed"),
            "failed",
        )
    }
    assert counted == {
        "bad-access": 1,
        "bad-descriptor": 1,
        "dma-errors": 1,
        "queue-errors": 1,
        "messages": 4,
        "intx-asserted": 0,
        "dropped": 0,
        "interrupts": 4,
        "events": 4,
        "overruns": 2,
        "completed": 3,
        "failed": 2,
    }


# The watchdog


def assert_hung(queue: Queue) -> None:
    assert queue.state() == lib.MQDMA_STATE_HUNG
    assert queue.error() == lib.MQDMA_ERROR_HUNG
    assert queue.last_event()[1:3] == (lib.MQDMA_EVENT_HUNG, lib.MQDMA_ERROR_HUNG)
    assert queue.dut.read(lib.MQDMA_REG_ERR_QUEUE) == 1


def test_watchdog_finds_a_descriptor_that_takes_too_long(dut: Dut, queue: Queue) -> None:
    dut.enable_msix()
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    queue.submit(descriptor(delay_ns=200_000))
    dut.qemu.step_us(99)
    assert queue.state() == lib.MQDMA_STATE_RUNNING
    assert not dut.got_message(0)
    dut.qemu.step_us(1)
    assert dut.got_message(0)
    assert_hung(queue)
    dut.qemu.step_us(1000)
    assert queue.take() == []


def test_hung_queue_works_again_after_its_reset(dut: Dut, queue: Queue) -> None:
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    queue.submit(descriptor(delay_ns=200_000))
    dut.qemu.step_us(100)
    assert_hung(queue)
    queue.reset()
    queue.start()
    assert queue.read(lib.MQDMA_Q_WATCHDOG_US) == 100
    assert queue.one(descriptor(cookie=1)).cookie == 1
    dut.qemu.step_us(1000)
    assert queue.state() == lib.MQDMA_STATE_IDLE


def test_watchdog_is_content_with_progress(dut: Dut, queue: Queue) -> None:
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    queue.submit(*[descriptor(delay_ns=90_000 * (number + 1)) for number in range(10)])
    dut.qemu.step_us(900)
    assert len(queue.take()) == 10
    assert queue.state() == lib.MQDMA_STATE_IDLE


def test_watchdog_starts_anew_with_new_work(dut: Dut, queue: Queue) -> None:
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    queue.run(descriptor())
    dut.qemu.step_us(60)
    queue.submit(descriptor(delay_ns=90_000))
    dut.qemu.step_us(90)
    assert len(queue.take()) == 1


def test_idle_queue_is_not_hung(dut: Dut, queue: Queue) -> None:
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    queue.run(descriptor())
    dut.qemu.step_us(100_000)
    assert queue.state() == lib.MQDMA_STATE_IDLE


def test_completion_ring_that_nobody_empties_is_a_hang(dut: Dut) -> None:
    queue = dut.queue(0).start(order=1)
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    queue.submit(descriptor())
    queue.submit(descriptor())
    dut.qemu.step_us(100)
    assert_hung(queue)


def test_watchdog_waits_while_the_device_is_disabled(dut: Dut, queue: Queue) -> None:
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    queue.submit(descriptor(delay_ns=50_000))
    dut.write(lib.MQDMA_REG_CONTROL, 0)
    dut.qemu.step_us(1000)
    assert queue.state() == lib.MQDMA_STATE_RUNNING
    dut.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_ENABLE)
    queue.settle()
    assert len(queue.take()) == 1


def test_watchdog_can_be_set_while_work_is_pending(dut: Dut, queue: Queue) -> None:
    queue.submit(descriptor(delay_ns=1_000_000))
    dut.qemu.step_us(500)
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    dut.qemu.step_us(99)
    assert queue.state() == lib.MQDMA_STATE_RUNNING
    dut.qemu.step_us(1)
    assert_hung(queue)


def test_watchdog_can_be_switched_off(dut: Dut, queue: Queue) -> None:
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 100)
    queue.submit(descriptor(delay_ns=1_000_000))
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 0)
    dut.qemu.step_us(1000)
    assert len(queue.take()) == 1
