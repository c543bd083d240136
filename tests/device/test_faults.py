# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Faults on request, and their effects on an innocent driver."""

import pytest
from pydriver.abi._native import lib

from pydriver.machine.qtest import QtestError

from .dut import ALL_ONES, BAR2, BAR4, Dut, descriptor


def raise_queue(dut: Dut, queue: int) -> None:
    dut.write(lib.MQDMA_REG_INT_RAISE, queue)


def intx(dut: Dut) -> bool:
    dut.qemu.sync()
    return any(dut.qemu.irqs.values())


def test_spurious_message_has_no_cause(dut: Dut) -> None:
    dut.enable_msix()
    dut.set("fault-spurious", 6)
    assert dut.got_message(6)
    assert dut.read(lib.MQDMA_REG_CAUSE_LO, 8) == 0
    assert dut.queue(6).read(lib.MQDMA_Q_LAST_EVENT) == 0
    assert dut.queue(6).read(lib.MQDMA_Q_INTERRUPTS) == 0


@pytest.mark.parametrize("register", ["CAUSE_LO", "CAUSE_HI", "CAUSE_GLOBAL"])
def test_spurious_intx_stays_until_a_cause_is_read(dut: Dut, register: str) -> None:
    dut.set("fault-spurious", 6)
    assert intx(dut)
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 0
    assert intx(dut)
    assert dut.read(getattr(lib, f"MQDMA_REG_{register}")) == 0
    assert not intx(dut)


def test_storm_interrupts_without_events(dut: Dut) -> None:
    dut.enable_msix()
    dut.set("fault-storm-queue", 5)
    dut.set("fault-storm-period-us", 10)
    dut.set("fault-storm-count", 4)
    assert dut.messages() == 1
    for expected in (2, 3, 4, 4):
        dut.qemu.step_us(9)
        assert dut.messages() == expected - 1 or expected == 4
        dut.qemu.step_us(1)
        assert dut.messages() == expected
    assert dut.got_message(5)
    assert dut.get("fault-storm-count") == 0
    assert dut.queue(5).read(lib.MQDMA_Q_EVENTS) == 0
    assert dut.queue(5).read(lib.MQDMA_Q_INTERRUPTS) == 4


def test_storm_keeps_intx_busy(dut: Dut) -> None:
    dut.set("fault-storm-period-us", 10)
    dut.set("fault-storm-count", 100)
    for _ in range(5):
        assert intx(dut)
        dut.read(lib.MQDMA_REG_CAUSE_LO)
        assert not intx(dut)
        dut.qemu.step_us(10)
    dut.set("fault-storm-count", 0)
    dut.read(lib.MQDMA_REG_CAUSE_LO)
    dut.qemu.step_us(1000)
    assert not intx(dut)


def test_storm_on_a_queue_that_is_not_there_wraps(dut: Dut) -> None:
    dut.enable_msix()
    dut.set("fault-storm-queue", 63)
    dut.set("fault-storm-count", 1)
    assert dut.got_message(63)


def test_lost_interrupt_leaves_its_completion(dut: Dut) -> None:
    dut.enable_msix()
    queue = dut.queue(1).start()
    dut.set("fault-lost", 2)
    queue.submit(*[descriptor()] * 2)
    assert dut.messages() == 0
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 0
    assert len(queue.take()) == 2
    assert queue.read(lib.MQDMA_Q_EVENTS) == 2
    assert dut.read(lib.MQDMA_REG_DROPPED) == 2
    assert dut.get("fault-lost") == 0
    queue.submit(descriptor())
    assert dut.messages() == 1


def test_lost_intx_is_not_asserted(dut: Dut) -> None:
    dut.set("fault-lost", 1)
    raise_queue(dut, 0)
    assert not intx(dut)
    raise_queue(dut, 0)
    assert intx(dut)


def test_fault_can_be_meant_for_one_queue(dut: Dut) -> None:
    dut.enable_msix()
    dut.set("fault-queue", 3)
    dut.set("fault-lost", 1)
    raise_queue(dut, 2)
    assert dut.got_message(2)
    raise_queue(dut, 3)
    assert not dut.got_message(3)
    raise_queue(dut, 3)
    assert dut.got_message(3)


def test_stuck_intx_stays_asserted(dut: Dut) -> None:
    dut.set("fault-stuck", True)
    assert intx(dut)
    raise_queue(dut, 0)
    dut.read(lib.MQDMA_REG_CAUSE_LO)
    assert intx(dut)
    assert dut.get("fault-stuck") is True
    dut.set("fault-stuck", False)
    assert not intx(dut)


def test_hung_queue_stops_until_its_reset(dut: Dut) -> None:
    queue, other = dut.queue(5).start(), dut.queue(6).start()
    dut.set("fault-hang", 1 << 5)
    queue.submit(descriptor(cookie=1), descriptor(cookie=2, delay_ns=10))
    dut.qemu.step_us(100)
    assert queue.take() == []
    assert queue.state() == lib.MQDMA_STATE_RUNNING
    assert other.one(descriptor(cookie=3)).cookie == 3
    queue.reset()
    assert dut.get("fault-hang") == 0
    queue.start()
    assert queue.one(descriptor(cookie=4)).cookie == 4


def test_watchdog_finds_a_hung_queue(dut: Dut) -> None:
    dut.enable_msix()
    queue = dut.queue(5).start()
    queue.write(lib.MQDMA_Q_WATCHDOG_US, 500)
    dut.set("fault-hang", 1 << 5)
    queue.submit(descriptor())
    dut.qemu.step_us(500)
    assert queue.state() == lib.MQDMA_STATE_HUNG
    assert dut.got_message(5)


def test_hung_queue_goes_on_when_the_fault_is_taken_back(dut: Dut) -> None:
    queue = dut.queue(5).start()
    dut.set("fault-hang", 1 << 5)
    queue.submit(descriptor(cookie=1))
    dut.set("fault-hang", 0)
    queue.settle()
    assert [entry.cookie for entry in queue.take()] == [1]


def test_corrupt_completion_has_cookie_and_result_inverted(dut: Dut) -> None:
    queue = dut.queue(0).start()
    dut.set("fault-corrupt", 1)
    fill = descriptor(lib.MQDMA_OP_FILL, length=5, dst=0x4000, cookie=0x1234)
    bad, good = queue.run(fill, fill)
    assert (bad.cookie, bad.result) == (0x1234 ^ (1 << 64) - 1, 5 ^ ALL_ONES)
    assert (good.cookie, good.result) == (0x1234, 5)
    assert (bad.status, bad.sequence) == (lib.MQDMA_STATUS_OK, 0)


def test_failed_dma_fails_descriptors_of_every_kind(dut: Dut) -> None:
    queue = dut.queue(0).start()
    dut.set("fault-dma", 3)
    entries = queue.run(
        descriptor(),
        descriptor(lib.MQDMA_OP_FILL, length=8, dst=0x4000, param=1),
        descriptor(lib.MQDMA_OP_DRIVE_READ, length=512, dst=0x4000),
        descriptor(),
    )
    assert [entry.status for entry in entries] == [lib.MQDMA_STATUS_DMA_ERROR] * 3 + [0]
    assert dut.read(lib.MQDMA_REG_ERR_DMA) == 3


def test_removed_device_answers_nothing(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_SCRATCH0, 5)
    dut.set("fault-removed", True)
    assert dut.get("fault-removed") is True
    assert dut.config(0) == ALL_ONES
    assert dut.config(0x0E, 1) == 0xFF
    assert dut.read(lib.MQDMA_REG_ID) == ALL_ONES
    assert dut.queue(0).read(lib.MQDMA_Q_STATUS) == ALL_ONES
    assert dut.read(lib.MQDMA_REG_ID, 1) == 0xFF
    assert dut.qemu.read(BAR2, 4) == ALL_ONES
    assert dut.qemu.read(BAR4, 4) == ALL_ONES
    dut.write(lib.MQDMA_REG_SCRATCH0, 6)
    dut.set_config(0x04, 0, 2)
    dut.qemu.write(BAR4, 0, 4)
    assert dut.get("stat-bad-access") == 0


def test_removed_device_does_no_more_work(dut: Dut) -> None:
    dut.enable_msix()
    queue = dut.queue(0).start()
    queue.write(lib.MQDMA_Q_COALESCE_US, 10)
    queue.submit(descriptor())
    queue.submit(descriptor(delay_ns=100_000))
    dut.set("fault-removed", True)
    dut.qemu.step_us(1000)
    assert len([index for index in range(16) if queue.peek(index).flags]) == 1
    assert not dut.got_message(0)


def test_removal_takes_intx_away(dut: Dut) -> None:
    raise_queue(dut, 0)
    assert intx(dut)
    dut.set("fault-removed", True)
    assert not intx(dut)


def test_device_that_comes_back_is_a_new_one(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_SCRATCH0, 5)
    dut.set("fault-removed", True)
    dut.set("fault-removed", True)
    dut.set("fault-removed", False)
    assert dut.config(0x04, 2) == 0
    dut.start()
    assert dut.read(lib.MQDMA_REG_ID) == lib.MQDMA_ID_VALUE
    assert dut.read(lib.MQDMA_REG_SCRATCH0) == 0
    assert dut.queue(0).start().one(descriptor(cookie=2)).cookie == 2


def test_armed_faults_survive_a_reset(dut: Dut) -> None:
    dut.set("fault-lost", 1)
    dut.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_RESET)
    raise_queue(dut, 0)
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 0
    assert dut.read(lib.MQDMA_REG_DROPPED) == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fault-queue", -2, "fault-queue is -2, it must be -1 (all) to 63"),
        ("fault-queue", 64, "fault-queue is 64, it must be -1 (all) to 63"),
        ("fault-spurious", 64, "fault-spurious is 64, there are 64 queues"),
        ("fault-storm-queue", 64, "fault-storm-queue is 64, it must be at most 63"),
        ("fault-storm-period-us", 1000001, "is 1000001, it must be at most 1000000"),
    ],
)
def test_fault_value_out_of_range_is_an_error(
    dut: Dut, name: str, value: int, message: str
) -> None:
    with pytest.raises(QtestError) as caught:
        dut.set(name, value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("fault-queue", "fault-lost", "fault-spurious", "fault-storm-count", "fault-hang"),
        *("fault-stuck", "fault-removed"),
    ],
)
def test_fault_value_of_the_wrong_type_is_an_error(dut: Dut, name: str) -> None:
    with pytest.raises(QtestError, match=r"Invalid parameter type|expects"):
        dut.set(name, "many")


def test_counters_cannot_be_written(dut: Dut) -> None:
    with pytest.raises(QtestError):
        dut.set("stat-messages", 1)
