# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Queues with a presentation lock or a passive level: callbacks under it, their time and place."""

import threading
from collections.abc import Callable

import pytest

from pydriver.ke import BugCheck
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import STATUS_CANCELLED, STATUS_SUCCESS
from pydriver.wdf import (
    Device,
    Dpc,
    DpcConfig,
    ExecutionLevel,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    IoStopAction,
    Irp,
    ObjectAttributes,
    Request,
    SynchronizationScope,
    WorkItem,
    WorkItemConfig,
)
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, Signal
from tests.harness.queues import MANUAL, PARALLEL, SEQUENTIAL, in_dpc, until

PASSIVE, DISPATCH = ExecutionLevel.PASSIVE, ExecutionLevel.DISPATCH
DEVICE, QUEUE, NONE = (
    SynchronizationScope.DEVICE,
    SynchronizationScope.QUEUE,
    SynchronizationScope.NONE,
)


def attributes(scope: SynchronizationScope, level: ExecutionLevel) -> ObjectAttributes:
    return ObjectAttributes(synchronization_scope=scope, execution_level=level)


def load(bench: Bench, config: IoQueueConfig, own: ObjectAttributes, index: int = 0) -> Edu:
    """A driver whose device, and with it the queue, has these attributes."""
    config.default_queue = True
    return bench.load(Plan(queues=[config], attributes=own), index)


class Seen:
    """The IRQLs of calls, and whether they were made under the lock."""

    def __init__(self, bench: Bench) -> None:
        self.kernel = bench.kernel
        self.levels: list[int] = []
        self.held: list[bool] = []
        self.threads: list[str] = []

    def note(self, queue: IoQueue) -> None:
        lock = queue.serialization_lock
        self.levels.append(self.kernel.irql())
        self.held.append(lock is not None and lock.held_here)
        self.threads.append(threading.current_thread().name)

    @property
    def last(self) -> tuple[int, bool]:
        return self.levels[-1], self.held[-1]


@pytest.mark.covers(
    "WDF_OBJECT_ATTRIBUTES.ExecutionLevel", "WDF_OBJECT_ATTRIBUTES.SynchronizationScope"
)
@pytest.mark.parametrize(
    ("scope", "level", "irql", "held"),
    [
        (DEVICE, PASSIVE, PASSIVE_LEVEL, True),
        (DEVICE, DISPATCH, DISPATCH_LEVEL, True),
        (QUEUE, PASSIVE, PASSIVE_LEVEL, True),
        (QUEUE, DISPATCH, DISPATCH_LEVEL, True),
        (NONE, PASSIVE, PASSIVE_LEVEL, False),
        (NONE, DISPATCH, PASSIVE_LEVEL, False),
    ],
)
def test_handler_runs_at_the_level_and_under_the_lock_of_its_queue(
    bench: Bench,
    scope: SynchronizationScope,
    level: ExecutionLevel,
    irql: int,
    *,
    held: bool,
) -> None:
    seen = Seen(bench)

    def handler(queue: IoQueue, request: Request) -> None:
        seen.note(queue)
        request.complete(STATUS_SUCCESS)

    edu = load(bench, IoQueueConfig(SEQUENTIAL, handler), attributes(scope, level))
    with edu.device.open() as file:
        irps = [file.write_async(b"x") for _ in range(3)]
        assert [irp.wait(TIMEOUT) for irp in irps] == [STATUS_SUCCESS] * 3
    assert (seen.levels, seen.held) == ([irql] * 3, [held] * 3)
    assert bench.kernel.irql() == PASSIVE_LEVEL


@pytest.mark.parametrize("scope", [NONE, QUEUE, DEVICE])
def test_passive_queue_that_gets_a_request_in_a_dpc_presents_it_on_a_worker_thread(
    bench: Bench, scope: SynchronizationScope
) -> None:
    seen = Seen(bench)

    def handler(queue: IoQueue, request: Request) -> None:
        seen.note(queue)
        request.complete(STATUS_SUCCESS)

    edu = load(bench, IoQueueConfig(SEQUENTIAL, handler), attributes(scope, PASSIVE))
    with edu.device.open() as file:
        irps = []
        in_dpc(bench, edu, lambda: irps.append(file.write_async(b"x")))
        assert irps[0].wait(TIMEOUT) == STATUS_SUCCESS
    assert seen.last == (PASSIVE_LEVEL, scope is not NONE)
    assert "worker" in seen.threads[0]


@pytest.mark.parametrize("scope", [QUEUE, DEVICE])
def test_request_sent_by_the_holder_of_a_dispatch_lock_is_presented_by_a_dpc(
    bench: Bench, scope: SynchronizationScope
) -> None:
    order: list[str] = []
    seen = Seen(bench)

    def handler(queue: IoQueue, request: Request) -> None:
        order.append("handler")
        seen.note(queue)
        request.complete(STATUS_SUCCESS)

    edu = load(bench, IoQueueConfig(PARALLEL, handler), attributes(scope, DISPATCH))
    owner = edu.device if scope is DEVICE else edu.device.queues[0]
    with edu.device.open() as file:
        owner.acquire_lock()
        irp = file.write_async(b"x")
        order.append("sent")
        owner.release_lock()
        assert irp.wait(TIMEOUT) == STATUS_SUCCESS
    assert order == ["sent", "handler"]
    assert seen.last == (DISPATCH_LEVEL, True)


def test_request_sent_by_the_holder_of_a_passive_lock_is_presented_by_a_worker_thread(
    bench: Bench,
) -> None:
    seen = Seen(bench)

    def handler(queue: IoQueue, request: Request) -> None:
        seen.note(queue)
        request.complete(STATUS_SUCCESS)

    edu = load(bench, IoQueueConfig(PARALLEL, handler), attributes(QUEUE, PASSIVE))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        queue.acquire_lock()
        irp = file.write_async(b"x")
        assert not irp.done
        queue.release_lock()
        assert irp.wait(TIMEOUT) == STATUS_SUCCESS
    assert "worker" in seen.threads[0]


@pytest.mark.covers("WdfRequestComplete")
@pytest.mark.parametrize("level", [PASSIVE, DISPATCH])
def test_request_completed_in_a_handler_under_the_lock_does_not_present_the_next_one_there(
    bench: Bench, level: ExecutionLevel
) -> None:
    """Another request than the handler's own makes room for a third."""
    depth = deepest = 0
    requests: list[Request] = []

    def handler(queue: IoQueue, request: Request) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        requests.append(request)
        if len(requests) == 2:
            requests[0].complete(STATUS_SUCCESS)
        depth -= 1

    config = IoQueueConfig(PARALLEL, handler, number_of_presented_requests=2)
    edu = load(bench, config, attributes(QUEUE, level))
    with edu.device.open() as file:
        edu.device.queues[0].stop()
        for _ in range(3):
            file.write_async(b"x")
        edu.device.queues[0].start()
        until(lambda: len(requests) == 3, "the third request is presented")
        for request in requests[1:]:
            request.complete(STATUS_SUCCESS)
    assert deepest == 1


@pytest.mark.covers("EvtRequestCancel", "EvtIoCanceledOnQueue", "EvtIoQueueState")
@pytest.mark.parametrize(("level", "irql"), [(PASSIVE, PASSIVE_LEVEL), (DISPATCH, DISPATCH_LEVEL)])
def test_other_callbacks_of_a_queue_run_under_its_lock_too(
    bench: Bench, level: ExecutionLevel, irql: int
) -> None:
    called: dict[str, tuple[int, bool]] = {}
    seen = Seen(bench)

    def note(name: str, queue: IoQueue) -> None:
        seen.note(queue)
        called[name] = seen.last

    def cancel(request: Request) -> None:
        queue = request.get_io_queue()
        assert queue is not None
        note("EvtRequestCancel", queue)
        request.complete(STATUS_CANCELLED)

    def canceled_on_queue(queue: IoQueue, request: Request) -> None:
        note("EvtIoCanceledOnQueue", queue)
        request.complete(STATUS_CANCELLED)

    config = IoQueueConfig(MANUAL, evt_io_canceled_on_queue=canceled_on_queue)
    edu = load(bench, config, attributes(QUEUE, level))
    queue = edu.device.queues[0]
    queue.ready_notify(lambda queue, context: note("ready", queue))
    with edu.device.open() as file:
        one, other = file.write_async(b"1"), file.write_async(b"2")
        first, second = queue.retrieve_next_request(), queue.retrieve_next_request()
        assert first is not None
        assert second is not None
        first.mark_cancelable(cancel)
        assert second.requeue() == STATUS_SUCCESS
        for irp in (one, other):
            irp.cancel()
            assert irp.wait(TIMEOUT) == STATUS_CANCELLED
        queue.stop(lambda queue, context: note("stopped", queue))
        queue.start()
        queue.purge(lambda queue, context: note("purged", queue))
        queue.start()
    stopped = called.pop("stopped")
    assert stopped == (PASSIVE_LEVEL, False), "the lock is not held for stop-complete"
    names = ("EvtRequestCancel", "EvtIoCanceledOnQueue", "ready", "purged")
    assert called == dict.fromkeys(names, (irql, True))


@pytest.mark.covers("EvtIoStop", "EvtIoResume")
@pytest.mark.parametrize(("level", "irql"), [(PASSIVE, PASSIVE_LEVEL), (DISPATCH, DISPATCH_LEVEL)])
def test_stop_and_resume_run_under_the_lock(bench: Bench, level: ExecutionLevel, irql: int) -> None:
    seen = Seen(bench)
    requests: list[Request] = []

    def stop(queue: IoQueue, request: Request, action: IoStopAction) -> None:
        seen.note(queue)
        request.stop_acknowledge(requeue=False)

    config = IoQueueConfig(
        PARALLEL,
        lambda queue, request: requests.append(request),
        evt_io_stop=stop,
        evt_io_resume=lambda queue, request: seen.note(queue),
    )
    edu = load(bench, config, attributes(QUEUE, level))
    with edu.device.open() as file:
        file.write_async(b"x")
        edu.device.exit_d0()
        edu.device.enter_d0()
        requests[0].complete(STATUS_SUCCESS)
    assert (seen.levels, seen.held) == ([irql] * 2, [True] * 2)


@pytest.mark.covers("WdfRequestMarkCancelable", "EvtRequestCancel")
def test_cancel_callback_of_a_cancelled_request_waits_until_its_handler_gave_the_lock_back(
    bench: Bench,
) -> None:
    order: list[str] = []

    def cancel(request: Request) -> None:
        order.append("cancel")
        request.complete(STATUS_CANCELLED)

    def handler(queue: IoQueue, request: Request) -> None:
        request.irp.cancel()
        request.mark_cancelable(cancel)
        order.append("handler returns")

    edu = load(bench, IoQueueConfig(PARALLEL, handler), attributes(QUEUE, DISPATCH))
    with edu.device.open() as file:
        assert file.write_async(b"x").wait(TIMEOUT) == STATUS_CANCELLED
    assert order == ["handler returns", "cancel"]


@pytest.mark.covers("EvtRequestCancel")
def test_request_of_a_passive_queue_that_is_cancelled_in_a_dpc_calls_back_at_passive_level(
    bench: Bench,
) -> None:
    seen = Seen(bench)

    def cancel(request: Request) -> None:
        seen.note(edu.device.queues[0])
        request.complete(STATUS_CANCELLED)

    def handler(queue: IoQueue, request: Request) -> None:
        request.mark_cancelable(cancel)

    edu = load(bench, IoQueueConfig(PARALLEL, handler), attributes(NONE, PASSIVE))
    with edu.device.open() as file:
        irp = file.write_async(b"x")
        in_dpc(bench, edu, irp.cancel)
        assert irp.wait(TIMEOUT) == STATUS_CANCELLED
    assert seen.last == (PASSIVE_LEVEL, False)


def overlaps(boot: Callable[..., Bench], own: ObjectAttributes) -> bool:
    """Whether a work item of the device runs while a handler of its queue does."""
    bench = boot(2)
    running, let_go = Signal(), Signal()
    inside = False
    overlapped = False

    def handler(queue: IoQueue, request: Request) -> None:
        nonlocal inside
        inside = True
        running.set()
        let_go.wait("the other callback")
        inside = False
        request.complete(STATUS_SUCCESS)

    edu = load(bench, IoQueueConfig(PARALLEL, handler), own)
    with edu.device.open() as file:
        thread = threading.Thread(target=lambda: file.write_async(b"x"))
        thread.start()
        running.wait("the handler")
        done = Signal()

        def note() -> None:
            nonlocal overlapped
            overlapped = inside
            done.set()

        attributes_of_work = ObjectAttributes(parent_object=edu.device)
        work = WorkItem.create(
            WorkItemConfig(lambda item: note(), automatic_serialization=True), attributes_of_work
        )
        work.enqueue()
        if own.synchronization_scope is NONE:
            done.wait("the work item")
        let_go.set()
        done.wait("the work item")
        thread.join(TIMEOUT)
    return overlapped


@pytest.mark.covers("WDF_WORKITEM_CONFIG.AutomaticSerialization")
@pytest.mark.parametrize(("scope", "overlap"), [(DEVICE, False), (NONE, True)])
def test_work_item_of_the_device_excludes_the_handlers_if_the_scope_says_so(
    boot: Callable[..., Bench], scope: SynchronizationScope, *, overlap: bool
) -> None:
    assert overlaps(boot, attributes(scope, PASSIVE)) is overlap


@pytest.mark.covers("WDF_DPC_CONFIG.AutomaticSerialization")
def test_dpc_of_a_queue_runs_when_a_handler_on_another_processor_has_returned(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(2)
    order: list[str] = []
    running, done = Signal(), Signal()

    def handler(queue: IoQueue, request: Request) -> None:
        running.set()
        until(sent.is_set, "the DPC is queued")
        until(lambda: not dpc.wdm_get_dpc().queued, "the DPC has started")
        order.append("handler returns")
        request.complete(STATUS_SUCCESS)

    def evt_dpc(dpc: Dpc) -> None:
        order.append("dpc")
        done.set()

    def add(device: Device) -> None:
        nonlocal dpc
        queue = device.queues[0]
        dpc = Dpc.create(DpcConfig(evt_dpc), ObjectAttributes(parent_object=queue))

    dpc: Dpc
    sent = threading.Event()
    config = IoQueueConfig(PARALLEL, handler, default_queue=True)
    plan = Plan(queues=[config], attributes=attributes(QUEUE, DISPATCH), add=add)
    edu = bench.load(plan)
    with edu.device.open() as file:
        thread = threading.Thread(target=lambda: file.write_async(b"x"))
        thread.start()
        running.wait("the handler")
        used = [each for each in bench.kernel.processors if each.irql >= DISPATCH_LEVEL]
        dpc.wdm_get_dpc().target = next(
            each for each in bench.kernel.processors if each not in used
        )
        dpc.enqueue()
        sent.set()
        done.wait("the DPC")
        thread.join(TIMEOUT)
    assert order == ["handler returns", "dpc"]


@pytest.mark.covers("WdfObjectReleaseLock")
@pytest.mark.parametrize(
    ("level", "mismatch"), [(PASSIVE, 0xF), (DISPATCH, 0xE)], ids=["passive", "dispatch"]
)
def test_handler_that_returns_without_the_lock_returns_elsewhere(
    doomed: Bench, level: ExecutionLevel, mismatch: int
) -> None:
    def handler(queue: IoQueue, request: Request) -> None:
        queue.release_lock()

    edu = load(doomed, IoQueueConfig(PARALLEL, handler), attributes(QUEUE, level))
    with pytest.raises(BugCheck) as stopped:
        edu.device.open().write_async(b"x")
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters[0] == mismatch


@pytest.mark.parametrize("kind", [SEQUENTIAL, PARALLEL])
@pytest.mark.parametrize("level", [PASSIVE, DISPATCH])
def test_handlers_of_a_queue_with_a_lock_never_overlap_whoever_sends(
    boot: Callable[..., Bench], kind: IoQueueDispatchType, level: ExecutionLevel
) -> None:
    bench = boot(2)
    inside = most = handled = 0

    def handler(queue: IoQueue, request: Request) -> None:
        nonlocal inside, most, handled
        inside += 1
        most = max(most, inside)
        handled += 1
        inside -= 1
        request.complete(STATUS_SUCCESS)

    edu = load(bench, IoQueueConfig(kind, handler), attributes(QUEUE, level))
    irps: list[Irp] = []

    def send() -> None:
        for _ in range(100):
            irps.append(file.write_async(b"x"))

    with edu.device.open() as file:
        threads = [threading.Thread(target=send) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            in_dpc(bench, edu, lambda: irps.append(file.write_async(b"x")))
        for thread in threads:
            thread.join(TIMEOUT)
        assert {irp.wait(TIMEOUT) for irp in irps} == {STATUS_SUCCESS}
    assert (handled, most) == (420, 1)


@pytest.mark.mistake("RECURSIVE_LOCK", 0x10D)
@pytest.mark.covers("WdfObjectAcquireLock")
@pytest.mark.parametrize("level", [PASSIVE, DISPATCH])
def test_lock_that_is_acquired_in_a_handler_is_a_wdf_violation(
    doomed: Bench, level: ExecutionLevel
) -> None:
    def handler(queue: IoQueue, request: Request) -> None:
        queue.acquire_lock()

    edu = load(doomed, IoQueueConfig(PARALLEL, handler), attributes(QUEUE, level))
    with pytest.raises(BugCheck) as stopped:
        edu.device.open().write_async(b"x")
    lock = edu.device.queues[0].serialization_lock
    assert (stopped.value.code, stopped.value.parameters) == (WDF_VIOLATION, (2, id(lock), 0, 0))


@pytest.mark.covers(
    "WDF_OBJECT_ATTRIBUTES.ExecutionLevel", "WDF_OBJECT_ATTRIBUTES.SynchronizationScope"
)
def test_queue_inherits_from_its_device_wherever_its_parent_is(bench: Bench) -> None:
    edu = bench.load(Plan(attributes=attributes(QUEUE, PASSIVE)))
    other = attributes(NONE, DISPATCH)
    parent = IoQueue.create(edu.device, IoQueueConfig(MANUAL), other)
    queue = IoQueue.create(
        edu.device, IoQueueConfig(MANUAL), ObjectAttributes(parent_object=parent)
    )
    assert (queue.execution_level, queue.synchronization_scope) == (PASSIVE, QUEUE)
    assert queue.serialization_lock not in (None, edu.device.device_lock)
    assert (parent.execution_level, parent.serialization_lock) == (DISPATCH, None)
