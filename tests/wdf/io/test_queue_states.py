# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The states of queues: the requests accepted and presented, and the completion of changes."""

import threading
from collections.abc import Callable

import pytest

from pydriver.ke import BugCheck
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.status import (
    STATUS_CANCELLED,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_SUCCESS,
)
from pydriver.wdf import IoQueue, IoQueueConfig, IoQueueState, ObjectAttributes, Request
from tests.harness.bench import TIMEOUT, Bench, Edu
from tests.harness.queues import (
    MANUAL,
    PARALLEL,
    SEQUENTIAL,
    Presented,
    default,
    in_dpc,
    manual,
    until,
)

ACCEPT, DISPATCH = IoQueueState.ACCEPT_REQUESTS, IoQueueState.DISPATCH_REQUESTS
NOTHING = IoQueueState.NO_REQUESTS | IoQueueState.DRIVER_NO_REQUESTS
HELD = IoQueueState.PNP_HELD


@pytest.mark.covers("WdfIoQueueGetState")
def test_state_has_its_flags_and_counts_its_requests(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(SEQUENTIAL, presented))
    queue = edu.device.queues[0]
    assert queue.get_state() == (ACCEPT | DISPATCH | NOTHING, 0, 0)
    with edu.device.open() as file:
        for _ in range(3):
            file.write_async(b"x")
        assert queue.get_state() == (ACCEPT | DISPATCH, 2, 1)
        queue.stop()
        assert queue.get_state()[0] == ACCEPT
        queue.start()
        for _ in range(3):
            presented.requests[-1].complete(STATUS_SUCCESS)
    edu.device.exit_d0()
    assert queue.get_state()[0] == ACCEPT | DISPATCH | NOTHING | HELD
    edu.device.enter_d0()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (ACCEPT | DISPATCH | NOTHING, {"idle", "ready"}),
        (ACCEPT | DISPATCH, {"ready"}),
        (ACCEPT | DISPATCH | NOTHING | HELD, {"idle"}),
        (ACCEPT | NOTHING, {"idle", "stopped"}),
        (ACCEPT | IoQueueState.DRIVER_NO_REQUESTS, {"stopped"}),
        (ACCEPT | IoQueueState.NO_REQUESTS, set()),
        (DISPATCH | NOTHING, {"idle", "drained", "purged"}),
        (DISPATCH | IoQueueState.NO_REQUESTS, set()),
        (NOTHING, {"idle", "purged"}),
    ],
)
def test_predicates_of_a_state(state: IoQueueState, expected: set[str]) -> None:
    names = ("idle", "ready", "stopped", "drained", "purged")
    assert {name for name in names if getattr(state, name)} == expected


@pytest.mark.covers("WdfIoQueueStop", "WdfIoQueueStart", "EvtIoQueueState")
def test_stop_is_complete_when_nothing_is_owned_and_no_handler_is_on_the_stack(
    bench: Bench,
) -> None:
    order: list[str] = []

    def handler(queue: IoQueue, request: Request) -> None:
        queue.stop(lambda queue, context: order.append(context), "stopped")
        request.complete(STATUS_SUCCESS)
        order.append("handler returns")

    edu = bench.load(default(SEQUENTIAL, handler))
    with edu.device.open() as file:
        file.write_async(b"a")
        assert order == ["handler returns", "stopped"]
    edu.device.queues[0].start()


@pytest.mark.covers("WdfIoQueueStopAndPurge")
def test_stop_and_purge_cancels_what_is_there_and_keeps_accepting(bench: Bench) -> None:
    presented = Presented()
    complete: list[object] = []
    edu = bench.load(default(SEQUENTIAL, presented))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        owned, waiting = file.write_async(b"a"), file.write_async(b"b")
        queue.stop_and_purge(lambda queue, context: complete.append(context), "done")
        assert waiting.status == STATUS_CANCELLED
        later = file.write_async(b"c")
        assert (owned.done, later.done, complete) == (False, False, [])
        presented.requests[0].complete(STATUS_SUCCESS)
        assert complete == ["done"]
        assert len(presented.requests) == 1, "a stopped queue presents nothing"
        queue.start()
        assert presented.data == [b"a", b"c"]
        presented.requests[1].complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfIoQueuePurge")
def test_purge_leaves_an_owned_request_alone_that_is_not_cancelable(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        queue.purge()
        assert not presented.requests[0].is_canceled()
        presented.requests[0].complete(STATUS_SUCCESS)
    queue.start()


@pytest.mark.covers("WdfIoQueueDrain")
def test_drain_of_a_stopped_queue_presents_what_waits(bench: Bench) -> None:
    presented = Presented()
    drained: list[str] = []
    edu = bench.load(default(PARALLEL, presented))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        queue.stop()
        file.write_async(b"a")
        queue.drain(lambda queue, context: drained.append("drained"))
        assert presented.data == [b"a"]
        assert file.write_async(b"b").status == STATUS_INVALID_DEVICE_STATE
        presented.requests[0].complete(STATUS_SUCCESS)
        assert drained == ["drained"]
        assert queue.get_state()[0].drained
    queue.start()


@pytest.mark.covers(
    "WdfIoQueueStopSynchronously",
    "WdfIoQueueStopAndPurgeSynchronously",
    "WdfIoQueueDrainSynchronously",
    "WdfIoQueuePurgeSynchronously",
)
@pytest.mark.parametrize(
    ("change", "flags"),
    [
        (IoQueue.stop_synchronously, ACCEPT),
        (IoQueue.stop_and_purge_synchronously, ACCEPT),
        (IoQueue.drain_synchronously, DISPATCH),
        (IoQueue.purge_synchronously, DISPATCH),
    ],
    ids=["stop", "stop and purge", "drain", "purge"],
)
def test_synchronous_change_waits_for_what_the_driver_owns(
    bench: Bench, change: Callable[[IoQueue], None], flags: IoQueueState
) -> None:
    presented = Presented()
    order: list[str] = []
    edu = bench.load(default(PARALLEL, presented))
    queue = edu.device.queues[0]

    def wait() -> None:
        change(queue)
        order.append("changed")

    with edu.device.open() as file:
        file.write_async(b"a")
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: bool(queue.watchers), "the thread waits")
        order.append("complete")
        presented.requests[0].complete(STATUS_SUCCESS)
        thread.join(TIMEOUT)
    assert order == ["complete", "changed"]
    assert queue.get_state()[0] == flags | NOTHING
    queue.start()


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.parametrize(
    "change",
    [
        IoQueue.stop_synchronously,
        IoQueue.stop_and_purge_synchronously,
        IoQueue.drain_synchronously,
        IoQueue.purge_synchronously,
    ],
    ids=["stop", "stop and purge", "drain", "purge"],
)
def test_synchronous_change_in_a_dpc_breaks_the_irql_rule_and_changes_nothing(
    bench: Bench, change: Callable[[IoQueue], None]
) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    in_dpc(bench, edu, lambda: change(queue))
    assert bench.violation().rule == "KmdfIrql"
    assert queue.get_state()[0] == ACCEPT | DISPATCH | NOTHING


@pytest.mark.mistake("NoIoQueuePurgeSynchronously")
def test_synchronous_change_in_a_handler_of_the_queue_is_a_violation_and_does_not_wait(
    bench: Bench,
) -> None:
    def handler(queue: IoQueue, request: Request) -> None:
        queue.drain_synchronously()
        request.complete(STATUS_SUCCESS)

    edu = bench.load(default(PARALLEL, handler))
    with edu.device.open() as file:
        assert file.write_async(b"x").wait(TIMEOUT) == STATUS_SUCCESS
    found = bench.violation()
    assert found.rule == "NoIoQueuePurgeSynchronously"
    assert "handler" in found.callback
    assert not edu.device.queues[0].accepting
    edu.device.queues[0].start()


@pytest.mark.mistake("NoIoQueuePurgeSynchronously")
def test_synchronous_change_in_a_callback_of_another_queue_is_a_violation_and_waits(
    bench: Bench,
) -> None:
    def handler(queue: IoQueue, request: Request) -> None:
        other.purge_synchronously()
        request.complete(STATUS_SUCCESS)

    edu = bench.load(default(PARALLEL, handler))
    other = IoQueue.create(edu.device, IoQueueConfig(MANUAL))
    with edu.device.open() as file:
        assert file.write_async(b"x").wait(TIMEOUT) == STATUS_SUCCESS
    assert bench.violation().rule == "NoIoQueuePurgeSynchronously"
    assert other.get_state()[0].purged


@pytest.mark.mistake("ChangeQueueState", 0x10D)
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (IoQueue.stop, IoQueue.stop),
        (IoQueue.stop, IoQueue.stop_and_purge),
        (IoQueue.drain, IoQueue.purge),
        (IoQueue.purge, IoQueue.drain),
    ],
    ids=["stop twice", "stop and purge", "drain and purge", "purge and drain"],
)
def test_second_pending_state_change_of_a_kind_is_a_wdf_violation(
    doomed: Bench,
    first: Callable[..., None],
    second: Callable[..., None],
) -> None:
    edu = doomed.load(default(PARALLEL, Presented()))
    queue = edu.device.queues[0]
    edu.device.open().write_async(b"a")
    first(queue, lambda queue, context: None)
    with pytest.raises(BugCheck) as stopped:
        second(queue, lambda queue, context: None)
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 0xA)
    assert stopped.value.rule == "ChangeQueueState"


@pytest.mark.mistake("ChangeQueueState")
def test_change_while_another_kind_is_pending_is_a_violation_and_goes_on(bench: Bench) -> None:
    presented = Presented()
    told: list[str] = []
    edu = bench.load(default(PARALLEL, presented))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        queue.stop(lambda queue, context: told.append("stopped"))
        queue.drain(lambda queue, context: told.append("drained"))
        assert bench.violation().rule == "ChangeQueueState"
        presented.requests[0].complete(STATUS_SUCCESS)
    assert told == ["stopped", "drained"]
    queue.start()


@pytest.mark.mistake("ChangeQueueState", 0x10D)
def test_state_change_of_a_queue_that_is_being_deleted_is_a_wdf_violation(doomed: Bench) -> None:
    def cleanup(queue: IoQueue) -> None:
        queue.stop()

    edu = doomed.load()
    config = manual().queues[0]
    config.default_queue = False
    queue = IoQueue.create(edu.device, config, ObjectAttributes(evt_cleanup_callback=cleanup))
    with pytest.raises(BugCheck) as stopped:
        queue.delete()
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 0xA)
    assert stopped.value.rule == "ChangeQueueState"


@pytest.mark.covers("WdfIoQueueStart")
def test_start_does_not_let_a_queue_accept_again_that_removal_has_shut_down(
    bench: Bench,
) -> None:
    edu: Edu = bench.load(manual())
    queue = edu.device.queues[0]
    queue.shut_down()
    queue.start()
    assert not queue.accepting
    with edu.device.open() as file:
        assert file.write_async(b"x").status == STATUS_INVALID_DEVICE_STATE


def test_owned_requests_are_named_the_oldest_first(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        for number in range(5):
            file.write_async(bytes([number]))
        assert edu.device.queues[0].owned_requests == tuple(presented.requests)
        for request in presented.requests:
            request.complete(STATUS_SUCCESS)
    assert edu.device.queues[0].owned_requests == ()
