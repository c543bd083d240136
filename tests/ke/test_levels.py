# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Interrupts of code by code, by the evidence of the guest: CR8 and vector in its own frames."""

import threading

import pytest

from pydriver.ke import Importance
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.wdf import (
    Device,
    Dpc,
    DpcConfig,
    Interrupt,
    InterruptPriority,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    WorkItem,
    WorkItemConfig,
)
from tests.harness.bench import Arrival, Bench, Plan, Signal, arrival

DISPATCH_VECTOR = 0x2F


@pytest.mark.covers("EvtInterruptIsr")
def test_isr_preempts_dpc_on_same_processor(bench: Bench) -> None:
    order: list[str] = []
    seen: list[Arrival] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        order.append("isr")
        seen.append(arrival(edu.link))
        edu.acknowledge()
        return True

    def dpc(dpc: Dpc) -> None:
        order.append("dpc begins")
        edu.raise_interrupt()
        edu.link.sync()
        edu.link.sync()
        order.append("dpc ends")
        done.set()

    edu = bench.load(Plan(isr=isr))
    Dpc.create(DpcConfig(dpc), ObjectAttributes(parent_object=edu.device)).enqueue()
    done.wait()
    assert order == ["dpc begins", "isr", "dpc ends"]
    (isr_frame,) = seen
    assert isr_frame.vector == edu.interrupt.vector
    assert isr_frame.interrupted == DISPATCH_LEVEL, "it interrupted no DPC"
    assert isr_frame.level == edu.interrupt.irql == isr_frame.vector >> 4
    assert isr_frame.apic_id == edu.link.apic_id


@pytest.mark.covers("EvtInterruptDpc")
def test_dpc_of_isr_runs_on_the_dispatch_vector_at_dispatch_level(bench: Bench) -> None:
    seen: list[Arrival] = []
    levels: list[int] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        return interrupt.queue_dpc_for_isr()

    def dpc(interrupt: Interrupt, device: Device) -> None:
        seen.append(arrival(edu.link))
        levels.append(edu.link.get_cr8())
        done.set()

    edu = bench.load(Plan(isr=isr, dpc=dpc))
    edu.raise_interrupt()
    done.wait()
    assert [(frame.vector, frame.level) for frame in seen] == [(DISPATCH_VECTOR, DISPATCH_LEVEL)]
    assert levels == [DISPATCH_LEVEL]
    assert seen[0].interrupted < DISPATCH_LEVEL


@pytest.mark.covers("EvtInterruptDpc", "WdfInterruptQueueDpcForIsr")
def test_dpc_queued_by_an_isr_that_preempts_a_dpc_runs_after_that_dpc(bench: Bench) -> None:
    order: list[tuple[str, int]] = []
    done = Signal()

    def note(what: str) -> None:
        order.append((what, edu.link.get_cr8()))

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        interrupt.queue_dpc_for_isr()
        note("isr")
        return True

    def interrupt_dpc(interrupt: Interrupt, device: Device) -> None:
        note("second dpc")
        done.set()

    def first(dpc: Dpc) -> None:
        note("first dpc begins")
        edu.raise_interrupt()
        edu.link.sync()
        edu.link.sync()
        note("first dpc ends")

    edu = bench.load(Plan(isr=isr, dpc=interrupt_dpc))
    Dpc.create(DpcConfig(first), ObjectAttributes(parent_object=edu.device)).enqueue()
    done.wait()
    assert order == [
        ("first dpc begins", DISPATCH_LEVEL),
        ("isr", edu.interrupt.irql),
        ("first dpc ends", DISPATCH_LEVEL),
        ("second dpc", DISPATCH_LEVEL),
    ]


def test_dpc_enqueued_by_itself_runs_again(bench: Bench) -> None:
    levels: list[int] = []
    done = Signal()

    def again(dpc: Dpc) -> None:
        levels.append(edu.link.get_cr8())
        if len(levels) < 3:
            assert dpc.enqueue()
        else:
            done.set()

    edu = bench.load(Plan(isr=lambda interrupt, message: False))
    Dpc.create(DpcConfig(again), ObjectAttributes(parent_object=edu.device)).enqueue()
    done.wait()
    assert levels == [DISPATCH_LEVEL] * 3


@pytest.mark.covers("WdfInterruptAcquireLock", "WdfInterruptReleaseLock")
def test_interrupt_stays_pending_while_its_lock_is_held_and_arrives_on_release(
    bench: Bench,
) -> None:
    order: list[str] = []
    seen: list[Arrival] = []
    held: list[int] = []
    pending: list[bool] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        order.append("isr")
        seen.append(arrival(edu.link))
        edu.acknowledge()
        return True

    def dpc(dpc: Dpc) -> None:
        edu.interrupt.acquire_lock()
        order.append("held")
        held.append(edu.link.get_cr8())
        pending.append(edu.pending)
        edu.raise_interrupt()
        edu.link.sync()
        edu.link.sync()
        pending.append(edu.pending)
        order.append("release")
        edu.interrupt.release_lock()
        order.append("released")
        pending.append(edu.pending)
        done.set()

    edu = bench.load(Plan(isr=isr))
    Dpc.create(DpcConfig(dpc), ObjectAttributes(parent_object=edu.device)).enqueue()
    done.wait()
    assert order == ["held", "release", "isr", "released"]
    assert held == [edu.interrupt.synchronize_irql]
    assert pending == [False, True, False]
    assert [frame.interrupted for frame in seen] == [DISPATCH_LEVEL]


@pytest.mark.covers("WdfInterruptAcquireLock", "WdfInterruptReleaseLock")
def test_passive_thread_that_holds_the_interrupt_lock_is_not_interrupted(bench: Bench) -> None:
    order: list[str] = []
    seen: list[Arrival] = []
    threads: list[int] = []

    def isr(interrupt: Interrupt, message: int) -> bool:
        order.append("isr")
        seen.append(arrival(edu.link))
        threads.append(threading.get_ident())
        edu.acknowledge()
        return True

    edu = bench.load(Plan(isr=isr))
    assert bench.kernel.irql() == PASSIVE_LEVEL
    edu.interrupt.acquire_lock()
    assert bench.kernel.irql() == edu.link.get_cr8() == edu.interrupt.irql
    edu.raise_interrupt()
    edu.link.sync()
    edu.link.sync()
    assert edu.pending
    order.append("release")
    edu.interrupt.release_lock()
    order.append("released")
    assert order == ["release", "isr", "released"]
    assert bench.kernel.irql() == PASSIVE_LEVEL
    assert [frame.interrupted for frame in seen] == [PASSIVE_LEVEL]
    assert threads == [threading.get_ident()], "served on the stack of what it interrupted"


@pytest.mark.covers("EvtInterruptIsr")
def test_higher_dirql_preempts_a_lower_isr(bench: Bench) -> None:
    order: list[str] = []
    seen: list[Arrival] = []
    done = Signal()

    def low_isr(interrupt: Interrupt, message: int) -> bool:
        order.append("low begins")
        low.acknowledge()
        high.raise_interrupt()
        low.link.sync()
        low.link.sync()
        order.append("low ends")
        done.set()
        return True

    def high_isr(interrupt: Interrupt, message: int) -> bool:
        order.append("high")
        seen.append(arrival(high.link))
        high.acknowledge()
        return True

    low = bench.load(Plan(isr=low_isr, priority=InterruptPriority.LOW), 0)
    high = bench.load(Plan(isr=high_isr, priority=InterruptPriority.HIGH), 1)
    assert low.interrupt.irql < high.interrupt.irql
    low.raise_interrupt()
    done.wait()
    assert order == ["low begins", "high", "low ends"]
    (frame,) = seen
    assert frame.interrupted == low.interrupt.irql
    assert frame.level == high.interrupt.irql == frame.vector >> 4


@pytest.mark.covers("EvtInterruptIsr")
def test_lower_dirql_waits_until_a_higher_isr_has_returned(bench: Bench) -> None:
    order: list[str] = []
    seen: list[Arrival] = []
    pending: list[bool] = []
    done = Signal()

    def high_isr(interrupt: Interrupt, message: int) -> bool:
        order.append("high begins")
        high.acknowledge()
        low.raise_interrupt()
        high.link.sync()
        high.link.sync()
        pending.append(low.pending)
        order.append("high ends")
        return True

    def low_isr(interrupt: Interrupt, message: int) -> bool:
        order.append("low")
        seen.append(arrival(low.link))
        low.acknowledge()
        done.set()
        return True

    low = bench.load(Plan(isr=low_isr, priority=InterruptPriority.LOW), 0)
    high = bench.load(Plan(isr=high_isr, priority=InterruptPriority.HIGH), 1)
    high.raise_interrupt()
    done.wait()
    assert order == ["high begins", "high ends", "low"]
    assert pending == [True]
    assert seen[0].interrupted < low.interrupt.irql


def test_dpc_waits_until_the_irql_falls_below_dispatch(bench: Bench) -> None:
    order: list[str] = []
    edu = bench.load(Plan(isr=lambda interrupt, message: False))
    kernel = bench.kernel
    dpc = Dpc.create(
        DpcConfig(lambda dpc: order.append("dpc")), ObjectAttributes(parent_object=edu.device)
    )
    old = kernel.raise_irql(DISPATCH_LEVEL)
    assert dpc.enqueue()
    edu.registers.read32(0)
    order.append("lower")
    kernel.lower_irql(old)
    order.append("lowered")
    assert order == ["lower", "dpc", "lowered"]
    assert kernel.irql() == PASSIVE_LEVEL


def test_work_item_runs_at_passive_level_on_a_worker_thread(bench: Bench) -> None:
    seen: list[tuple[int, int, str]] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        return interrupt.queue_dpc_for_isr()

    def dpc(interrupt: Interrupt, device: Device) -> None:
        item.enqueue()

    def work(item: WorkItem) -> None:
        with bench.kernel.borrowed() as link:
            seen.append((link.get_cr8(), bench.kernel.irql(), threading.current_thread().name))
        done.set()

    edu = bench.load(Plan(isr=isr, dpc=dpc))
    item = WorkItem.create(WorkItemConfig(work), ObjectAttributes(parent_object=edu.device))
    edu.raise_interrupt()
    done.wait()
    item.flush()
    ((cr8, irql, thread),) = seen
    assert cr8 == irql == PASSIVE_LEVEL
    assert thread.startswith("pydriver-worker")


@pytest.mark.covers("EvtInterruptWorkItem", "WdfInterruptQueueWorkItemForIsr")
def test_interrupt_work_item_runs_at_passive_level(bench: Bench) -> None:
    seen: list[int] = []
    answers: list[bool] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        answers.append(interrupt.queue_work_item_for_isr())
        answers.append(interrupt.queue_work_item_for_isr())
        return True

    def work(interrupt: Interrupt, device: Device) -> None:
        with bench.kernel.borrowed() as link:
            seen.append(link.get_cr8())
        done.set()

    edu = bench.load(Plan(isr=isr, config={"evt_interrupt_work_item": work}))
    edu.raise_interrupt()
    done.wait()
    assert seen == [PASSIVE_LEVEL]
    assert answers == [True, False]


def test_work_item_enqueued_twice_before_it_runs_runs_once(bench: Bench) -> None:
    gate, running = Signal(), Signal()
    runs: list[str] = []
    edu = bench.load()
    attributes = ObjectAttributes(parent_object=edu.device)

    def block(item: WorkItem) -> None:
        running.set()
        gate.wait()

    blockers = [WorkItem.create(WorkItemConfig(block), attributes) for _ in range(2)]
    for blocker in blockers:
        blocker.enqueue()
    running.wait()
    item = WorkItem.create(WorkItemConfig(lambda item: runs.append("run")), attributes)
    item.enqueue()
    item.enqueue()
    gate.set()
    item.flush()
    assert runs == ["run"]
    item.enqueue()
    item.flush()
    assert runs == ["run", "run"]


@pytest.mark.covers("WdfInterruptQueueDpcForIsr", "EvtInterruptDpc")
def test_dpc_requests_of_two_interrupts_become_one_dpc(bench: Bench) -> None:
    answers: list[bool] = []
    causes: list[int] = []
    done = Signal()
    saved = 0

    def isr(interrupt: Interrupt, message: int) -> bool:
        nonlocal saved
        saved |= edu.acknowledge()
        answers.append(interrupt.queue_dpc_for_isr())
        return True

    def interrupt_dpc(interrupt: Interrupt, device: Device) -> None:
        causes.append(saved)
        done.set()

    def two(dpc: Dpc) -> None:
        for cause in (1, 2):
            edu.raise_interrupt(cause)
            edu.link.sync()
            edu.link.sync()

    edu = bench.load(Plan(isr=isr, dpc=interrupt_dpc))
    Dpc.create(DpcConfig(two), ObjectAttributes(parent_object=edu.device)).enqueue()
    done.wait()
    bench.kernel.flush_queued_dpcs()
    assert answers == [True, False]
    assert causes == [3], "one DPC finds what both interrupts left"
    assert (edu.interrupt.dpcs_queued, edu.interrupt.dpcs_coalesced) == (1, 1)


def test_dpc_has_a_queue_as_its_parent(bench: Bench) -> None:
    done = Signal()
    queue_config = IoQueueConfig(IoQueueDispatchType.MANUAL)
    edu = bench.load(Plan(queues=[queue_config]))
    queue = edu.device.queues[0]
    dpc = Dpc.create(DpcConfig(lambda dpc: done.set()), ObjectAttributes(parent_object=queue))
    assert dpc.get_parent_object() is queue
    assert dpc.parent is queue
    assert queue.children == (dpc,)
    assert dpc.device_above is edu.device
    dpc.enqueue()
    done.wait()


def test_cancelled_dpc_does_not_run(bench: Bench) -> None:
    runs: list[str] = []
    edu = bench.load()
    dpc = Dpc.create(
        DpcConfig(lambda dpc: runs.append("run")), ObjectAttributes(parent_object=edu.device)
    )
    kernel = bench.kernel
    old = kernel.raise_irql(DISPATCH_LEVEL)
    assert dpc.enqueue()
    assert not dpc.enqueue()
    assert dpc.cancel(wait=False)
    assert not dpc.cancel(wait=False)
    kernel.lower_irql(old)
    kernel.flush_queued_dpcs()
    assert runs == []
    assert dpc.enqueue()
    assert not dpc.cancel(wait=True) or not runs
    kernel.flush_queued_dpcs()


def test_dpc_with_high_importance_goes_to_the_head_of_the_queue(bench: Bench) -> None:
    order: list[str] = []
    edu = bench.load()
    attributes = ObjectAttributes(parent_object=edu.device)
    first = Dpc.create(DpcConfig(lambda dpc: order.append("first")), attributes)
    urgent = Dpc.create(DpcConfig(lambda dpc: order.append("urgent")), attributes)
    urgent.wdm_get_dpc().importance = Importance.HIGH
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    first.enqueue()
    urgent.enqueue()
    bench.kernel.lower_irql(old)
    assert order == ["urgent", "first"]


@pytest.mark.covers("WdfInterruptSynchronize", "EvtInterruptSynchronize")
def test_synchronize_runs_its_callback_at_dirql_and_passes_the_result_on(bench: Bench) -> None:
    levels: list[int] = []
    edu = bench.load(Plan(isr=lambda interrupt, message: False))

    def callback(interrupt: Interrupt, context: object) -> bool:
        levels.append(edu.link.get_cr8())
        return context == "yes"

    assert edu.interrupt.synchronize(callback, "yes") is True
    assert edu.interrupt.synchronize(callback, "no") is False
    assert levels == [edu.interrupt.synchronize_irql] * 2
    assert bench.kernel.irql() == PASSIVE_LEVEL


def test_message_that_no_interrupt_object_has_is_counted_as_spurious(bench: Bench) -> None:
    edu = bench.load(Plan(isr=lambda interrupt, message: True))
    processor = edu.interrupt.processor
    assert processor is not None
    before = processor.spurious
    with bench.kernel.borrowed() as link:
        link.send_ipi(link.apic_id, 0xBF)
        link.sync()
        link.sync()
    assert processor.spurious == before + 1


def test_levels_are_counted_and_timed(bench: Bench) -> None:
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        return interrupt.queue_dpc_for_isr()

    def dpc(interrupt: Interrupt, device: Device) -> None:
        item.enqueue()

    edu = bench.load(Plan(isr=isr, dpc=dpc))
    item = WorkItem.create(
        WorkItemConfig(lambda item: done.set()), ObjectAttributes(parent_object=edu.device)
    )
    bench.kernel.flush_queued_dpcs()
    bench.kernel.clear_summary()
    edu.raise_interrupt()
    done.wait()
    item.flush()
    edu.registers.read32(0)
    summary = bench.kernel.summary()
    assert {level: figures.count for level, figures in summary.items()} == {
        "isr": 1,
        "dpc": 1,
        "work_item": 1,
    }
    assert all(0 < figures.mean_us <= figures.max_us for figures in summary.values())
