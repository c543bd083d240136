# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Rings and doorbells: placement, laps, order, fences, delays, bad indices."""

import pytest
from pydriver.abi._native import lib

from .dut import COMMAND, COMMAND_MEMORY, Dut, Queue, descriptor

SQ_BAR2 = lib.MQDMA_LOCATION_SQ_BAR2
CQ_BAR2 = lib.MQDMA_LOCATION_CQ_BAR2


def cookies(queue: Queue) -> list[int]:
    return [entry.cookie for entry in queue.take()]


def nops(*numbers: int) -> list[bytes]:
    return [descriptor(cookie=number) for number in numbers]


@pytest.mark.parametrize("location", [0, SQ_BAR2, CQ_BAR2, SQ_BAR2 | CQ_BAR2])
def test_rings_lie_in_ram_or_in_bar2(dut: Dut, location: int) -> None:
    queue = dut.queue(2).start(location=location)
    for lap in range(3):
        assert [entry.cookie for entry in queue.run(*nops(*range(lap, lap + 10)))] == list(
            range(lap, lap + 10)
        )


@pytest.mark.parametrize("order", range(1, 13))
def test_ring_of_every_order_wraps(dut: Dut, order: int) -> None:
    queue = dut.queue(0).start(order=order, cq_base=0x80_0000, sq_base=0x40_0000)
    batch = min(queue.entries - 1, 100)
    sequence = 0
    while sequence < 2 * queue.entries and sequence < 5000:
        entries = queue.run(*nops(*range(sequence, sequence + batch)))
        assert [entry.sequence for entry in entries] == list(range(sequence, sequence + batch))
        assert entries[-1].sq_head == queue.tail
        sequence += batch


def test_completion_names_its_descriptor(dut: Dut) -> None:
    queue = dut.queue(1).start(order=2)
    queue.run(*nops(1, 2))
    dut.qemu.step(777)
    entry = queue.one(descriptor(lib.MQDMA_OP_FILL, length=8, dst=0x5000, cookie=0xFEDC_BA98_7654))
    assert entry.cookie == 0xFEDC_BA98_7654
    assert entry.opcode == lib.MQDMA_OP_FILL
    assert entry.status == lib.MQDMA_STATUS_OK
    assert entry.sequence == 2
    assert entry.sq_index == 2
    assert entry.sq_head == 3
    assert entry.clock_ns == dut.qemu.clock()
    assert entry.flags == lib.MQDMA_COMPLETION_PHASE


def test_phase_inverts_with_each_lap(dut: Dut) -> None:
    queue = dut.queue(0).start(order=2)
    phases = [queue.one(descriptor()).flags for _ in range(12)]
    assert phases == [1] * 4 + [0] * 4 + [1] * 4


def test_doorbell_of_one_descriptor_completes_before_it_returns(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(descriptor(cookie=5))
    assert cookies(queue) == [5]


def test_long_burst_is_finished_by_the_bottom_half(dut: Dut) -> None:
    queue = dut.queue(0).start(order=12, cq_base=0x80_0000, sq_base=0x40_0000)
    queue.submit(*nops(*range(4000)))
    queue.settle()
    assert cookies(queue) == list(range(4000))
    assert queue.read(lib.MQDMA_Q_COMPLETED) == 4000


def test_indexes_are_visible(dut: Dut) -> None:
    queue = dut.queue(3).start(order=3)
    queue.submit(*nops(1, 2, 3))
    assert queue.read(lib.MQDMA_Q_SQ_TAIL) == 3
    assert queue.read(lib.MQDMA_Q_SQ_HEAD) == 3
    assert queue.read(lib.MQDMA_Q_CQ_TAIL) == 3
    assert queue.read(lib.MQDMA_Q_CQ_HEAD) == 0
    queue.take()
    assert queue.read(lib.MQDMA_Q_CQ_HEAD) == 3


def test_doorbell_without_news_does_nothing(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.run(descriptor())
    queue.ring()
    queue.write(lib.MQDMA_Q_CQ_HEAD, queue.head)
    assert queue.take() == []
    assert queue.state() == lib.MQDMA_STATE_IDLE


def test_full_completion_ring_holds_the_queue(dut: Dut) -> None:
    queue = dut.queue(0).start(order=2)
    queue.submit(*nops(1, 2, 3))
    queue.submit(*nops(4, 5))
    assert queue.state() == lib.MQDMA_STATE_RUNNING
    assert queue.read(lib.MQDMA_Q_SQ_HEAD) == 3
    assert [entry.cookie for entry in queue.take(give_back=False)] == [1, 2, 3]
    queue.write(lib.MQDMA_Q_CQ_HEAD, 1)
    assert [entry.cookie for entry in queue.take()] == [4]
    assert cookies(queue) == [5]
    assert queue.state() == lib.MQDMA_STATE_IDLE


def test_delayed_descriptors_reserve_their_completions(dut: Dut) -> None:
    queue = dut.queue(0).start(order=2)
    queue.submit(*[descriptor(cookie=n, delay_ns=1000) for n in range(3)])
    queue.put(*nops(3))
    queue.ring()
    assert queue.inflight() == 3
    assert queue.read(lib.MQDMA_Q_SQ_HEAD) == 3
    dut.qemu.step(1000)
    assert cookies(queue) == [0, 1, 2]
    assert cookies(queue) == [3]


def test_delay_is_virtual_time(dut: Dut) -> None:
    queue = dut.queue(0).start()
    begin = dut.qemu.clock()
    queue.submit(descriptor(delay_ns=12_345))
    dut.qemu.step(12_344)
    assert queue.take() == []
    assert queue.state() == lib.MQDMA_STATE_RUNNING
    dut.qemu.step(1)
    (entry,) = queue.take()
    assert entry.clock_ns == begin + 12_345


def test_longest_delay_is_taken(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(descriptor(delay_ns=lib.MQDMA_MAX_DELAY_MS * 1_000_000))
    assert queue.inflight() == 1
    dut.qemu.step(lib.MQDMA_MAX_DELAY_MS * 1_000_000)
    assert queue.take()[0].status == lib.MQDMA_STATUS_OK


def test_delayed_descriptor_does_not_hold_those_behind_it(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(descriptor(cookie=1, delay_ns=1000), *nops(2, 3))
    assert cookies(queue) == [2, 3]
    dut.qemu.step(1000)
    assert cookies(queue) == [1]


def test_delays_end_out_of_order_and_together(dut: Dut) -> None:
    queue = dut.queue(0).start()
    delays = [3000, 1000, 2000, 1000, 3000]
    queue.submit(*[descriptor(cookie=n, delay_ns=delay) for n, delay in enumerate(delays)])
    dut.qemu.step(1000)
    assert cookies(queue) == [1, 3]
    dut.qemu.step(1000)
    assert cookies(queue) == [2]
    dut.qemu.step(1000)
    assert cookies(queue) == [0, 4]


def test_delayed_transfer_happens_when_it_is_due(dut: Dut) -> None:
    queue = dut.queue(0).start()
    dut.qemu.ram.write(0x4000, bytes(8))
    queue.submit(descriptor(lib.MQDMA_OP_FILL, length=8, dst=0x4000, param=7, delay_ns=500))
    assert dut.qemu.ram.read(0x4000, 8) == bytes(8)
    dut.qemu.step(500)
    assert dut.qemu.ram.read(0x4000, 8) == (7).to_bytes(8, "little")


def test_fence_waits_for_all_before_it(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(
        descriptor(cookie=1, delay_ns=1000),
        descriptor(cookie=2, delay_ns=500),
        descriptor(cookie=3, flags=lib.MQDMA_DESC_FENCE),
        descriptor(cookie=4),
    )
    assert cookies(queue) == []
    assert queue.read(lib.MQDMA_Q_SQ_HEAD) == 2
    dut.qemu.step(500)
    assert cookies(queue) == [2]
    dut.qemu.step(500)
    assert cookies(queue) == [1, 3, 4]


def test_fence_with_a_delay_lets_those_behind_it_pass(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(
        descriptor(cookie=1),
        descriptor(cookie=2, flags=lib.MQDMA_DESC_FENCE, delay_ns=100),
        descriptor(cookie=3),
    )
    assert cookies(queue) == [1, 3]
    dut.qemu.step(100)
    assert cookies(queue) == [2]


def test_queues_do_not_wait_for_each_other(dut: Dut) -> None:
    slow, fast = dut.queue(0).start(), dut.queue(63).start()
    slow.submit(descriptor(cookie=1, delay_ns=1000), descriptor(flags=lib.MQDMA_DESC_FENCE))
    assert fast.one(descriptor(cookie=2)).cookie == 2
    assert slow.take() == []


def test_all_queues_work_at_once(dut: Dut) -> None:
    queues = [dut.queue(index).start() for index in range(64)]
    for queue in queues:
        queue.submit(descriptor(cookie=queue.index, delay_ns=1000))
    dut.qemu.step(1000)
    assert [cookies(queue) for queue in queues] == [[index] for index in range(64)]


def test_disabled_device_holds_its_queues(dut: Dut) -> None:
    queue = dut.queue(0).start()
    dut.write(lib.MQDMA_REG_CONTROL, 0)
    queue.submit(descriptor(cookie=1, delay_ns=10), descriptor(cookie=2))
    dut.qemu.step(1000)
    assert queue.take() == []
    assert queue.state() == lib.MQDMA_STATE_RUNNING
    dut.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_ENABLE)
    dut.until(lambda: queue.inflight() == 1, "the fetch")
    dut.qemu.step(10)
    queue.settle()
    assert cookies(queue) == [2, 1]


def test_delay_that_ends_while_the_device_is_disabled_is_not_lost(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(descriptor(cookie=1, delay_ns=10))
    dut.write(lib.MQDMA_REG_CONTROL, 0)
    dut.qemu.step(1000)
    assert queue.take() == []
    dut.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_ENABLE)
    queue.settle()
    assert cookies(queue) == [1]


def test_stopped_machine_holds_its_queues(dut: Dut) -> None:
    queue = dut.queue(0).start()
    dut.qemu.qmp("stop")
    queue.submit(descriptor(cookie=1))
    assert queue.take() == []
    dut.qemu.qmp("cont")
    queue.settle()
    assert cookies(queue) == [1]


def test_queue_reset_forgets_its_descriptors_and_keeps_its_configuration(dut: Dut) -> None:
    queue = dut.queue(4).start(order=3)
    queue.write(lib.MQDMA_Q_VECTOR, 9)
    queue.run(descriptor())
    queue.submit(descriptor(cookie=1, delay_ns=100))
    queue.reset()
    dut.qemu.step(1000)
    assert queue.take() == []
    assert queue.read(lib.MQDMA_Q_STATUS) == 0
    assert queue.read(lib.MQDMA_Q_CONTROL) == 0
    for register in (lib.MQDMA_Q_SQ_TAIL, lib.MQDMA_Q_SQ_HEAD, lib.MQDMA_Q_CQ_TAIL):
        assert queue.read(register) == 0
    assert queue.read(lib.MQDMA_Q_LAST_EVENT) == 0
    assert queue.read(lib.MQDMA_Q_ORDER) == 3
    assert queue.read(lib.MQDMA_Q_VECTOR) == 9
    assert queue.read(lib.MQDMA_Q_COMPLETED) == 1
    queue.start(order=3)
    entry = queue.one(descriptor(cookie=2))
    assert (entry.cookie, entry.sequence) == (2, 0)


def test_queue_reset_takes_its_cause_away(dut: Dut) -> None:
    queue = dut.queue(4).start()
    queue.run(descriptor())
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 1 << 4
    queue.reset()
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 0


def test_clearing_enable_is_a_reset_of_the_queue(dut: Dut) -> None:
    queue = dut.queue(4).start()
    queue.submit(descriptor(delay_ns=100))
    queue.write(lib.MQDMA_Q_CONTROL, 0)
    assert queue.read(lib.MQDMA_Q_STATUS) == 0
    assert queue.read(lib.MQDMA_Q_SQ_TAIL) == 0


def test_enabling_an_enabled_queue_changes_nothing(dut: Dut) -> None:
    queue = dut.queue(4).start()
    queue.submit(descriptor(cookie=1, delay_ns=100))
    queue.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ENABLE)
    dut.qemu.step(100)
    assert cookies(queue) == [1]


def test_abort_completes_everything_up_to_the_doorbell(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(
        descriptor(cookie=1, delay_ns=1000),
        descriptor(cookie=2, delay_ns=500),
        descriptor(cookie=3, flags=lib.MQDMA_DESC_FENCE),
        descriptor(cookie=4, delay_ns=1000),
    )
    queue.put(descriptor(cookie=5))
    queue.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ABORT)
    queue.settle()
    entries = queue.take()
    assert sorted(entry.cookie for entry in entries) == [1, 2, 3, 4]
    assert {entry.status for entry in entries} == {lib.MQDMA_STATUS_ABORTED}
    queue.ring()
    assert [(entry.cookie, entry.status) for entry in queue.take()] == [(5, 0)]


def test_abort_goes_on_when_the_completion_ring_has_room(dut: Dut) -> None:
    queue = dut.queue(0).start(order=2)
    queue.submit(*nops(1, 2, 3))
    queue.submit(*nops(4, 5))
    queue.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ABORT | lib.MQDMA_Q_CONTROL_ENABLE)
    found = queue.take()
    found += queue.take()
    assert [(e.cookie, e.status) for e in found] == [
        (1, 0),
        (2, 0),
        (3, 0),
        (4, lib.MQDMA_STATUS_ABORTED),
        (5, lib.MQDMA_STATUS_ABORTED),
    ]


def test_abort_of_an_idle_queue_does_nothing(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ABORT)
    assert queue.state() == lib.MQDMA_STATE_IDLE
    assert queue.one(descriptor(cookie=1)).status == lib.MQDMA_STATUS_OK


def test_device_reset_forgets_everything_in_flight(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(descriptor(delay_ns=100))
    dut.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_RESET)
    dut.qemu.step(1000)
    assert queue.take() == []
    assert queue.read(lib.MQDMA_Q_STATUS) == 0
    assert dut.read(lib.MQDMA_REG_STATUS) == 0


# Refusals of a queue


def assert_stopped(queue: Queue, error: int) -> None:
    """The queue is in error, as an event, a cause and the global counters report."""
    dut = queue.dut
    state = lib.MQDMA_STATE_HUNG if error == lib.MQDMA_ERROR_HUNG else lib.MQDMA_STATE_ERROR
    assert queue.state() == state
    assert queue.error() == error
    assert queue.last_event()[1:3] == (lib.MQDMA_EVENT_ERROR, error)
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO, 8) & 1 << queue.index
    assert dut.read(lib.MQDMA_REG_INT_STATUS_GLOBAL) == lib.MQDMA_GLOBAL_QUEUE_ERROR
    assert dut.read(lib.MQDMA_REG_ERR_QUEUE) == 1
    assert dut.error_code() == error


def assert_repairable(queue: Queue) -> None:
    queue.reset()
    queue.start(order=4, location=0, sq_base=0x10_0000, cq_base=0x20_0000)
    assert queue.one(descriptor(cookie=9)).cookie == 9


def assert_stopped_by_dma(queue: Queue, error: int) -> None:
    assert_stopped(queue, error)
    assert queue.dut.read(lib.MQDMA_REG_ERR_DMA) == 1
    assert_repairable(queue)


def test_enabling_without_an_order_stops_the_queue(dut: Dut) -> None:
    queue = dut.queue(0)
    queue.enable()
    assert_stopped(queue, lib.MQDMA_ERROR_RING_ORDER)
    assert_repairable(queue)


@pytest.mark.parametrize(
    ("location", "sq_base", "cq_base"),
    [
        (0, 0x10_0020, 0x20_0000),
        (0, 0x10_0000, 0x20_0010),
        (0, 0xFFFF_FFFF_FFFF_FF00, 0x20_0000),
        (0, 0x10_0000, 0xFFFF_FFFF_FFFF_FF00),
        (SQ_BAR2, (4 << 20) - 16 * 64 + 64, 0),
        (CQ_BAR2, 0, (4 << 20) - 16 * 32 + 32),
        (SQ_BAR2, 1 << 40, 0),
    ],
)
def test_bad_ring_address_stops_the_queue(
    dut: Dut, location: int, sq_base: int, cq_base: int
) -> None:
    queue = dut.queue(7)
    queue.location, queue.sq_base, queue.cq_base = location, sq_base, cq_base
    queue.configure()
    queue.enable()
    assert_stopped(queue, lib.MQDMA_ERROR_RING_BASE)
    assert_repairable(queue)


def test_rings_at_the_very_end_of_bar2_are_taken(dut: Dut) -> None:
    end = 4 << 20
    queue = dut.queue(7).start(
        location=SQ_BAR2 | CQ_BAR2, sq_base=end - 16 * 64, cq_base=end - 16 * 64 - 16 * 32
    )
    for cookie in range(40):
        assert queue.one(descriptor(cookie=cookie)).cookie == cookie


@pytest.mark.parametrize("value", [16, 17, 0xFFFF_FFFF])
def test_tail_outside_the_ring_stops_the_queue(dut: Dut, value: int) -> None:
    queue = dut.queue(0).start()
    queue.write(lib.MQDMA_Q_SQ_TAIL, value)
    assert_stopped(queue, lib.MQDMA_ERROR_SQ_TAIL)
    assert_repairable(queue)


def test_tail_that_goes_back_stops_the_queue(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(*[descriptor(flags=lib.MQDMA_DESC_FENCE, delay_ns=100)] * 5)
    queue.write(lib.MQDMA_Q_SQ_TAIL, 3)
    assert_stopped(queue, lib.MQDMA_ERROR_SQ_TAIL)


@pytest.mark.parametrize("value", [3, 16, 0xFFFF_FFFF])
def test_giving_back_what_was_not_posted_stops_the_queue(dut: Dut, value: int) -> None:
    queue = dut.queue(0).start()
    queue.submit(*nops(1, 2))
    queue.last_event()
    queue.write(lib.MQDMA_Q_CQ_HEAD, value)
    assert_stopped(queue, lib.MQDMA_ERROR_CQ_HEAD)
    assert_repairable(queue)


def test_unreadable_submission_ring_stops_the_queue(dut: Dut) -> None:
    queue = dut.queue(0)
    queue.sq_base = 1 << 36
    queue.configure()
    queue.enable()
    queue.write(lib.MQDMA_Q_SQ_TAIL, 1)
    assert_stopped_by_dma(queue, lib.MQDMA_ERROR_FETCH)


def test_unwritable_completion_ring_stops_the_queue(dut: Dut) -> None:
    queue = dut.queue(0)
    queue.cq_base = 1 << 36
    queue.configure()
    queue.enable()
    queue.submit(descriptor())
    assert_stopped_by_dma(queue, lib.MQDMA_ERROR_POST)


def test_rings_in_ram_need_bus_mastering(dut: Dut) -> None:
    queue = dut.queue(0).start()
    dut.set_config(COMMAND, COMMAND_MEMORY, 2)
    queue.submit(descriptor())
    assert queue.error() == lib.MQDMA_ERROR_FETCH


def test_rings_in_bar2_need_no_bus_mastering(dut: Dut) -> None:
    queue = dut.queue(0).start(location=SQ_BAR2 | CQ_BAR2)
    dut.set_config(COMMAND, COMMAND_MEMORY, 2)
    assert queue.one(descriptor(cookie=3)).cookie == 3


def test_rings_cannot_be_fetched_from_registers(dut: Dut) -> None:
    """Bus mastering reaches RAM only, so a ring at BAR0 cannot make the device call itself."""
    queue = dut.queue(0)
    queue.sq_base = 0xE000_0000
    queue.configure()
    queue.enable()
    queue.write(lib.MQDMA_Q_SQ_TAIL, 1)
    assert_stopped(queue, lib.MQDMA_ERROR_FETCH)


@pytest.mark.parametrize("register", ["MQDMA_Q_SQ_TAIL", "MQDMA_Q_CQ_HEAD"])
def test_doorbell_of_a_disabled_queue_is_refused(dut: Dut, register: str) -> None:
    dut.queue(0).write(getattr(lib, register), 0)
    assert dut.error_code() == lib.MQDMA_ERROR_NOT_ENABLED
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 1


def test_stopped_queue_refuses_doorbells_and_abort(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(descriptor(delay_ns=100))
    queue.write(lib.MQDMA_Q_SQ_TAIL, 99)
    queue.write(lib.MQDMA_Q_SQ_TAIL, 2)
    queue.write(lib.MQDMA_Q_CQ_HEAD, 0)
    queue.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ABORT)
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 3
    assert dut.error_code() == lib.MQDMA_ERROR_NOT_ENABLED
    dut.qemu.step(1000)
    assert queue.take() == []
    assert queue.inflight() == 1
    assert queue.error() == lib.MQDMA_ERROR_SQ_TAIL


def test_enabling_a_stopped_queue_does_not_revive_it(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.write(lib.MQDMA_Q_SQ_TAIL, 99)
    queue.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ENABLE)
    assert queue.error() == lib.MQDMA_ERROR_SQ_TAIL
