# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Interrupt coalescing, by count and by virtual time."""

import pytest
from pydriver.abi._native import lib

from .dut import Dut, Queue, descriptor


@pytest.fixture
def queue(dut: Dut) -> Queue:
    dut.enable_msix()
    return dut.queue(2).start(order=6)


def coalesce(queue: Queue, *, count: int = 0, us: int = 0) -> None:
    queue.write(lib.MQDMA_Q_COALESCE_COUNT, count)
    queue.write(lib.MQDMA_Q_COALESCE_US, us)


@pytest.mark.parametrize("count", [0, 1])
def test_count_of_at_most_one_coalesces_nothing(dut: Dut, queue: Queue, count: int) -> None:
    coalesce(queue, count=count)
    queue.submit(*[descriptor()] * 3)
    assert dut.messages() == 3


def test_count_sends_one_message_for_so_many_completions(dut: Dut, queue: Queue) -> None:
    coalesce(queue, count=4)
    queue.submit(*[descriptor()] * 3)
    assert dut.messages() == 0
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 0
    queue.submit(descriptor())
    assert dut.messages() == 1
    assert dut.read(lib.MQDMA_REG_CAUSE_LO) == 1 << 2
    queue.submit(*[descriptor()] * 7)
    assert dut.messages() == 2
    queue.submit(descriptor())
    assert dut.messages() == 3


def test_time_sends_one_message_for_all_of_a_period(dut: Dut, queue: Queue) -> None:
    coalesce(queue, us=50)
    queue.submit(*[descriptor()] * 5)
    dut.qemu.step_us(30)
    queue.submit(*[descriptor()] * 5)
    dut.qemu.step(19_999)
    assert dut.messages() == 0
    dut.qemu.step(1)
    assert dut.messages() == 1
    assert dut.got_message(2)
    dut.qemu.step_us(1000)
    assert dut.messages() == 1


def test_period_begins_with_the_first_completion_that_is_held(dut: Dut, queue: Queue) -> None:
    coalesce(queue, us=50)
    dut.qemu.step_us(1000)
    queue.submit(descriptor())
    dut.qemu.step_us(49)
    assert dut.messages() == 0
    dut.qemu.step_us(1)
    assert dut.messages() == 1
    queue.submit(descriptor())
    dut.qemu.step_us(50)
    assert dut.messages() == 2


def test_count_and_time_whichever_comes_first(dut: Dut, queue: Queue) -> None:
    coalesce(queue, count=3, us=50)
    queue.submit(*[descriptor()] * 3)
    assert dut.messages() == 1
    queue.submit(descriptor())
    dut.qemu.step_us(50)
    assert dut.messages() == 2


def test_period_that_the_count_ended_does_not_interrupt_again(dut: Dut, queue: Queue) -> None:
    coalesce(queue, count=2, us=50)
    queue.submit(descriptor())
    dut.qemu.step_us(40)
    queue.submit(descriptor())
    assert dut.messages() == 1
    queue.submit(descriptor())
    dut.qemu.step_us(40)
    assert dut.messages() == 1
    dut.qemu.step_us(10)
    assert dut.messages() == 2


def test_urgent_descriptor_interrupts_at_once_for_all(dut: Dut, queue: Queue) -> None:
    coalesce(queue, count=100, us=1000)
    queue.submit(*[descriptor()] * 3, descriptor(flags=lib.MQDMA_DESC_INTERRUPT_NOW))
    assert dut.messages() == 1
    dut.qemu.step_us(5000)
    assert dut.messages() == 1


def test_silent_descriptor_is_not_counted(dut: Dut, queue: Queue) -> None:
    coalesce(queue, count=2)
    queue.submit(*[descriptor(flags=lib.MQDMA_DESC_NO_INTERRUPT)] * 5, descriptor())
    assert dut.messages() == 0
    queue.submit(descriptor())
    assert dut.messages() == 1


@pytest.mark.parametrize("register", ["MQDMA_Q_COALESCE_COUNT", "MQDMA_Q_COALESCE_US"])
def test_changing_a_limit_sends_what_was_held_back(dut: Dut, queue: Queue, register: str) -> None:
    coalesce(queue, count=100, us=1000)
    queue.submit(descriptor())
    queue.write(getattr(lib, register), 7)
    assert dut.messages() == 1
    queue.write(getattr(lib, register), 8)
    assert dut.messages() == 1


def test_refused_limit_sends_nothing(dut: Dut, queue: Queue) -> None:
    coalesce(queue, count=100)
    queue.submit(descriptor())
    queue.write(lib.MQDMA_Q_COALESCE_COUNT, 100_000)
    assert dut.messages() == 0


def test_error_interrupts_at_once_and_covers_what_was_held(dut: Dut, queue: Queue) -> None:
    coalesce(queue, count=100, us=50)
    queue.submit(descriptor())
    queue.write(lib.MQDMA_Q_SQ_TAIL, 1000)
    assert dut.messages() == 1
    dut.qemu.step_us(1000)
    assert dut.messages() == 1


def test_reset_of_the_queue_forgets_what_was_held(dut: Dut, queue: Queue) -> None:
    coalesce(queue, us=50)
    queue.submit(descriptor())
    queue.reset()
    dut.qemu.step_us(1000)
    assert dut.messages() == 0


def test_queues_coalesce_on_their_own(dut: Dut, queue: Queue) -> None:
    other = dut.queue(9).start()
    coalesce(queue, us=50)
    coalesce(other, us=20)
    queue.submit(descriptor())
    other.submit(descriptor())
    dut.qemu.step_us(20)
    assert (dut.got_message(2), dut.got_message(9)) == (False, True)
    dut.qemu.step_us(30)
    assert (dut.got_message(2), dut.got_message(9)) == (True, False)
