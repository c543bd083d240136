# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Work items: one queued run at a time, at PASSIVE_LEVEL on the system's worker threads."""

import threading
from collections.abc import Callable

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
)
from pydriver.wdf import (
    Dpc,
    DpcConfig,
    ExecutionLevel,
    Object,
    ObjectAttributes,
    SynchronizationScope,
    WaitLock,
    WorkItem,
    WorkItemConfig,
)
from tests.harness.bench import TIMEOUT, Bench, Signal
from tests.harness.serialized import load_device


def make(parent: Object, callback: Callable[[WorkItem], object], **config: bool) -> WorkItem:
    attributes = ObjectAttributes(parent_object=parent)
    return WorkItem.create(WorkItemConfig(callback, **config), attributes)  # type: ignore[arg-type]


@pytest.mark.covers(
    "WdfWorkItemCreate",
    "WdfWorkItemEnqueue",
    "WdfWorkItemFlush",
    "WdfWorkItemGetParentObject",
    "EvtWorkItem",
    "WDF_WORKITEM_CONFIG.EvtWorkItemFunc",
)
def test_work_item_runs_at_passive_level_on_a_worker_thread(bench: Bench) -> None:
    runs: list[tuple[WorkItem, int, str]] = []
    device = load_device(bench)
    item = make(
        device,
        lambda item: runs.append((item, bench.kernel.irql(), threading.current_thread().name)),
    )
    assert item.get_parent_object() is device
    irql = bench.kernel.raise_irql(DISPATCH_LEVEL)
    item.enqueue()
    bench.kernel.lower_irql(irql)
    item.flush()
    assert len(runs) == 1
    assert runs[0][:2] == (item, PASSIVE_LEVEL)
    assert runs[0][2].startswith("pydriver-worker")


@pytest.mark.covers("WdfWorkItemCreate", "WDF_WORKITEM_CONFIG.EvtWorkItemFunc")
def test_creation_of_a_work_item_is_checked(bench: Bench) -> None:
    device = load_device(bench)
    parent = ObjectAttributes(parent_object=device)
    works = WorkItemConfig(lambda item: None)
    for config, attributes, status in (
        (works, None, STATUS_WDF_PARENT_NOT_SPECIFIED),
        (works, ObjectAttributes(), STATUS_WDF_PARENT_NOT_SPECIFIED),
        (WorkItemConfig(None), parent, STATUS_INVALID_PARAMETER),
        (works, ObjectAttributes(parent_object=device.parent), STATUS_INVALID_DEVICE_REQUEST),
    ):
        with pytest.raises(NtStatusError) as refused:
            WorkItem.create(config, attributes)  # type: ignore[arg-type]
        assert refused.value.status == status


@pytest.mark.covers("WDF_WORKITEM_CONFIG.AutomaticSerialization", "WdfWorkItemCreate")
@pytest.mark.parametrize(
    ("scope", "level", "outcome"),
    [
        (SynchronizationScope.NONE, ExecutionLevel.DISPATCH, False),
        (SynchronizationScope.DEVICE, ExecutionLevel.PASSIVE, True),
        (SynchronizationScope.QUEUE, ExecutionLevel.PASSIVE, True),
        (SynchronizationScope.DEVICE, ExecutionLevel.DISPATCH, None),
        (SynchronizationScope.DEVICE, ExecutionLevel.INHERIT_FROM_PARENT, None),
        (SynchronizationScope.QUEUE, ExecutionLevel.DISPATCH, None),
    ],
)
def test_work_item_runs_under_the_lock_that_its_parent_has(
    bench: Bench, scope: SynchronizationScope, level: ExecutionLevel, outcome: bool | None
) -> None:
    """Automatic serialization is the default. ``None``: the levels are incompatible."""
    device = load_device(bench, scope, level)
    held: list[bool] = []

    def callback(item: WorkItem) -> None:
        lock = device.serialization_lock
        held.append(lock is not None and lock.held_here)

    plain = make(device, callback, automatic_serialization=False)
    plain.enqueue()
    plain.flush()
    if outcome is None:
        with pytest.raises(NtStatusError) as refused:
            make(device, callback)
        assert refused.value.status == STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL
        assert bench.violation().rule == "ExecutionLevel"
        return
    item = make(device, callback)
    item.enqueue()
    item.flush()
    assert held == [False, outcome]


@pytest.mark.covers("WdfWorkItemEnqueue", "EvtWorkItem")
def test_work_item_enqueued_while_it_runs_runs_again_at_the_same_time(bench: Bench) -> None:
    together = threading.Barrier(2)
    runs: list[int] = []

    def callback(item: WorkItem) -> None:
        runs.append(threading.get_ident())
        if len(runs) == 1:
            item.enqueue()
        together.wait(TIMEOUT)

    item = make(load_device(bench), callback)
    item.enqueue()
    item.flush()
    assert len(set(runs)) == 2


@pytest.mark.covers("WdfWorkItemEnqueue")
def test_work_item_enqueued_twice_before_it_runs_runs_once(bench: Bench) -> None:
    go = Signal()
    busy = [Signal(), Signal()]
    runs: list[WorkItem] = []

    def block(signal: Signal) -> Callable[[], None]:
        def wait() -> None:
            signal.set()
            go.wait()

        return wait

    for each in busy:
        bench.kernel.workers.queue(block(each))
    for each in busy:
        each.wait("both worker threads")
    item = make(load_device(bench), runs.append)
    for _ in range(3):
        item.enqueue()
    go.set()
    item.flush()
    assert runs == [item]


@pytest.mark.covers("WdfWorkItemFlush")
def test_flush_waits_for_what_is_queued_and_for_what_runs(bench: Bench) -> None:
    order: list[str] = []
    running, flushing = Signal(), threading.Event()

    def callback(item: WorkItem) -> None:
        running.set()
        assert flushing.wait(TIMEOUT)
        order.append("callback")

    item = make(load_device(bench), callback)
    item.flush()  # not queued: at once
    item.enqueue()
    running.wait()
    item.enqueue()
    flushing.set()
    item.flush()
    order.append("flushed")
    assert order == ["callback", "callback", "flushed"]


@pytest.mark.mistake("WorkItemFlushFromCallback")
@pytest.mark.covers("WdfWorkItemFlush")
def test_flush_in_the_own_callback_returns_and_breaks_a_rule(bench: Bench) -> None:
    done = Signal()

    def flushes_itself(item: WorkItem) -> None:
        item.flush()
        done.set()

    make(load_device(bench), flushes_itself).enqueue()
    done.wait("the callback")
    found = bench.violation()
    assert found.rule == "WorkItemFlushFromCallback"
    assert "flushes_itself" in found.callback


@pytest.mark.covers("WdfWorkItemFlush")
def test_flush_at_dispatch_level_returns_and_breaks_a_rule(bench: Bench) -> None:
    device = load_device(bench)
    go = Signal()
    item = make(device, lambda item: go.wait())
    item.enqueue()
    Dpc.create(DpcConfig(lambda dpc: item.flush()), ObjectAttributes(device)).enqueue()
    bench.kernel.flush_queued_dpcs()
    go.set()
    found = bench.violation()
    assert found.message.startswith("WdfWorkItemFlush at DISPATCH_LEVEL (2)")


@pytest.mark.mistake("InvalidHandle")
@pytest.mark.covers("WdfWorkItemEnqueue")
def test_work_item_that_is_being_deleted_cannot_be_enqueued(bench: Bench) -> None:
    runs: list[WorkItem] = []
    attributes = ObjectAttributes(
        parent_object=load_device(bench), evt_cleanup_callback=lambda item: item.enqueue()
    )
    item = WorkItem.create(WorkItemConfig(runs.append), attributes)
    item.delete()
    assert bench.violation().rule == "InvalidHandle"
    assert runs == []


def test_deletion_waits_for_the_callback(bench: Bench) -> None:
    order: list[str] = []
    running, deleting = Signal(), threading.Event()

    def callback(item: WorkItem) -> None:
        running.set()
        assert deleting.wait(TIMEOUT)
        order.append("callback")

    item = make(load_device(bench), callback)
    item.enqueue()
    running.wait()
    deleting.set()
    item.delete()
    order.append("deleted")
    assert order == ["callback", "deleted"]


def test_work_item_deleted_in_its_own_callback_is_gone_afterwards(bench: Bench) -> None:
    device = load_device(bench)
    order: list[str] = []
    done = Signal()

    def deletes_itself(item: WorkItem) -> None:
        item.delete()
        order.append("callback ends")
        done.set()

    make(device, deletes_itself).enqueue()
    done.wait("the callback")
    assert order == ["callback ends"]
    assert not any(isinstance(each, WorkItem) for each in device.children)


@pytest.mark.mistake("WdfWaitlockRelease")
@pytest.mark.covers("EvtWorkItem")
def test_work_item_that_returns_with_a_wait_lock_breaks_a_rule(bench: Bench) -> None:
    device = load_device(bench)
    lock = WaitLock.create(ObjectAttributes(parent_object=device))

    def keeps(item: WorkItem) -> None:
        lock.acquire()

    item = make(device, keeps)
    item.enqueue()
    item.flush()
    found = bench.violation()
    assert (found.rule, found.page) == ("WdfWaitlockRelease", "kmdf-wdfwaitlockrelease")
    lock.delete()
    assert bench.violation().rule == "WdfWaitlock", "it is deleted while it is held"
