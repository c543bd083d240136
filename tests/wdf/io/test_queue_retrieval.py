# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Requests that a driver takes out of a queue, and looks for in it."""

import pytest

from pydriver.ke import BugCheck
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.status import (
    STATUS_CANCELLED,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_NOT_FOUND,
    STATUS_SUCCESS,
    STATUS_WDF_PAUSED,
)
from pydriver.wdf import IoQueue, IoQueueConfig, Request, RequestType
from tests.harness.bench import Bench
from tests.harness.queues import MANUAL, PARALLEL, SEQUENTIAL, Presented, default, manual, status


def finish(queue: IoQueue) -> int:
    """Completes the waiting requests; returns their number."""
    count = 0
    while (request := queue.retrieve_next_request()) is not None:
        request.complete(STATUS_SUCCESS)
        count += 1
    return count


@pytest.mark.covers("WdfIoQueueFindRequest")
def test_found_request_stays_in_its_queue_with_one_more_reference(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        assert queue.find_request() is None
        file.write_async(b"ab", offset=7)
        found = queue.find_request()
        assert found is not None
        tag, parameters = found
        assert (parameters.type, parameters.length) == (RequestType.WRITE, 2)
        assert parameters.device_offset == 7
        assert queue.get_state()[1:] == (1, 0)
        assert len(tag.references) == 1
        tag.dereference()
        assert finish(queue) == 1


@pytest.mark.covers("WdfIoQueueFindRequest")
def test_search_goes_on_behind_the_tag_and_can_be_for_one_file(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as one, edu.device.open() as other:
        for file, data in ((one, b"1"), (other, b"2"), (one, b"3")):
            file.write_async(data)
        first = queue.find_request(file=one)
        assert first is not None
        second = queue.find_request(first[0], one)
        assert second is not None
        assert [bytes(tag.irp.input or b"") for tag, _ in (first, second)] == [b"1", b"3"]
        assert queue.find_request(second[0], one) is None, "STATUS_NO_MORE_ENTRIES"
        for tag, _ in (first, second):
            tag.dereference()
        assert finish(queue) == 3


@pytest.mark.covers("WdfIoQueueFindRequest", "WdfIoQueueRetrieveFoundRequest")
def test_tag_of_a_request_that_has_left_the_queue_is_not_found(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        irp = file.write_async(b"a")
        found = queue.find_request()
        assert found is not None
        irp.cancel()
        assert irp.status == STATUS_CANCELLED
        with status(STATUS_NOT_FOUND):
            queue.find_request(found[0])
        with status(STATUS_NOT_FOUND):
            queue.retrieve_found_request(found[0])
        found[0].dereference()


@pytest.mark.covers("WdfIoQueueRetrieveFoundRequest")
def test_found_request_is_retrieved_and_keeps_the_reference_of_the_search(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        file.write_async(b"b")
        first = queue.find_request()
        assert first is not None
        second = queue.find_request(first[0])
        assert second is not None
        first[0].dereference()
        queue.stop()
        with status(STATUS_WDF_PAUSED):
            queue.retrieve_found_request(second[0])
        queue.start()
        request = queue.retrieve_found_request(second[0])
        assert request is second[0]
        assert queue.get_state()[1:] == (1, 1)
        assert len(request.references) == 1
        request.dereference()
        request.complete(STATUS_SUCCESS)
        assert finish(queue) == 1


@pytest.mark.covers("WdfIoQueueFindRequest", "WdfIoQueueRetrieveFoundRequest")
def test_search_is_for_manual_queues(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(SEQUENTIAL, presented))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        with status(STATUS_INVALID_DEVICE_REQUEST):
            queue.find_request()
        with status(STATUS_INVALID_DEVICE_REQUEST):
            queue.retrieve_found_request(presented.requests[0])
        presented.requests[0].complete(STATUS_SUCCESS)


@pytest.mark.mistake("WdfIoQueueRetrieveFoundRequest")
@pytest.mark.covers("WdfIoQueueRetrieveFoundRequest")
def test_request_that_was_not_found_and_is_retrieved_by_a_tag_is_a_violation(
    bench: Bench,
) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        found = queue.find_request()
        assert found is not None
        found[0].dereference()
        request = queue.retrieve_found_request(found[0])
        assert bench.violation().rule == "WdfIoQueueRetrieveFoundRequest"
        request.complete(STATUS_SUCCESS)


@pytest.mark.mistake("INVALID_HANDLE", 0x10D)
def test_retrieval_without_a_tag_is_an_invalid_handle(doomed: Bench) -> None:
    queue = doomed.load(manual()).device.queues[0]
    with pytest.raises(BugCheck) as stopped:
        queue.retrieve_found_request(None)  # type: ignore[arg-type]
    assert (stopped.value.code, stopped.value.parameters[:3]) == (
        WDF_VIOLATION,
        (5, 0, Request.fx_type),
    )


@pytest.mark.mistake("WdfIoQueueRetrieveNextRequest")
@pytest.mark.covers("WdfIoQueueRetrieveNextRequest")
def test_next_request_retrieved_after_a_search_is_a_violation(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        found = queue.find_request()
        assert found is not None
        request = queue.retrieve_next_request()
        assert bench.violation().rule == "WdfIoQueueRetrieveNextRequest"
        assert request is found[0]
        request.dereference()
        request.complete(STATUS_SUCCESS)
        assert queue.retrieve_next_request() is None


@pytest.mark.mistake("SequentialRetrieve")
@pytest.mark.covers("WdfIoQueueRetrieveNextRequest")
def test_retrieval_from_a_sequential_queue_of_which_nothing_is_owned_is_a_violation(
    bench: Bench,
) -> None:
    presented = Presented()
    edu = bench.load(default(SEQUENTIAL, presented))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        for data in (b"a", b"b"):
            file.write_async(data)
        second = queue.retrieve_next_request()
        assert bench.violations() == []
        assert second is not None
        second.complete(STATUS_SUCCESS)
        presented.requests[0].complete(STATUS_SUCCESS)
        assert queue.retrieve_next_request() is None
        assert bench.violation().rule == "SequentialRetrieve"


@pytest.mark.covers(
    "WdfIoQueueRetrieveNextRequest",
    "WdfIoQueueRetrieveRequestByFileObject",
    "WDF_IO_QUEUE_CONFIG.AllowZeroLengthRequests",
)
def test_request_of_no_bytes_is_completed_when_it_is_retrieved(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        for retrieve in (
            queue.retrieve_next_request,
            lambda: queue.retrieve_request_by_file_object(file),
        ):
            empty, full = file.write_async(b""), file.write_async(b"a")
            control = file.device_control_async(0x222000)
            assert not empty.done
            request = retrieve()
            assert empty.result() == 0
            assert request is not None
            assert request.irp is full
            request.complete(STATUS_SUCCESS)
            request = retrieve()
            assert request is not None
            assert request.irp is control, "a device control may have no bytes"
            request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfIoQueueRetrieveRequestByFileObject")
def test_retrieval_by_file_of_a_stopped_queue_is_paused(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        queue.stop()
        with status(STATUS_WDF_PAUSED):
            queue.retrieve_request_by_file_object(file)
        queue.start()
        assert finish(queue) == 1


@pytest.mark.covers("WdfIoQueueReadyNotify")
def test_ready_notify_is_registered_once_and_ended_while_the_queue_is_stopped(
    bench: Bench,
) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    assert queue.ready_notify(None) == STATUS_INVALID_DEVICE_REQUEST
    assert queue.ready_notify(lambda queue, context: None) == STATUS_SUCCESS
    assert queue.ready_notify(lambda queue, context: None) == STATUS_INVALID_DEVICE_REQUEST
    assert queue.ready_notify(None) == STATUS_INVALID_DEVICE_REQUEST
    queue.stop()
    assert queue.ready_notify(None) == STATUS_SUCCESS
    queue.start()
    parallel = bench.load(default(PARALLEL, Presented()), 1).device.queues[0]
    assert parallel.ready_notify(lambda queue, context: None) == STATUS_INVALID_DEVICE_REQUEST


@pytest.mark.covers("WdfIoQueueReadyNotify", "EvtIoQueueState")
def test_ready_notify_tells_of_each_transition_from_empty_of_start_and_of_power_up(
    bench: Bench,
) -> None:
    told: list[object] = []
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        queue.ready_notify(lambda queue, context: told.append(context), "ready")
        assert told == ["ready"], "it was not empty"
        file.write_async(b"b")
        assert told == ["ready"]
        queue.stop()
        queue.start()
        assert told == ["ready"] * 2
        edu.device.exit_d0()
        assert told == ["ready"] * 2
        edu.device.enter_d0()
        assert told == ["ready"] * 3
        assert finish(queue) == 2
        file.write_async(b"c")
        assert told == ["ready"] * 4
        assert finish(queue) == 1


@pytest.mark.covers("WdfIoQueueReadyNotify")
def test_ready_notify_may_empty_the_queue(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    queue.ready_notify(lambda queue, context: finish(queue))
    with edu.device.open() as file:
        assert [file.write_async(b"x").status for _ in range(3)] == [STATUS_SUCCESS] * 3


@pytest.mark.covers("WdfIoQueueGetDevice")
def test_queue_knows_its_device(bench: Bench) -> None:
    edu = bench.load()
    queue = IoQueue.create(edu.device, IoQueueConfig(MANUAL))
    assert queue.get_device() is edu.device
