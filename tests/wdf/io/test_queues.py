# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Queues and requests: their presentation, and their cancellation."""

import threading
from collections.abc import Callable

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_CANCELLED,
    STATUS_DEVICE_BUSY,
    STATUS_FILE_CLOSED,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
    STATUS_WDF_BUSY,
    STATUS_WDF_NO_CALLBACK,
    STATUS_WDF_PAUSED,
)
from pydriver.wdf import (
    Device,
    Dpc,
    DpcConfig,
    Interrupt,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    IoQueueState,
    Irp,
    ObjectAttributes,
    Request,
    RequestType,
    ctl_code,
)
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, Signal

SEQUENTIAL, PARALLEL, MANUAL = IoQueueDispatchType


class Presented:
    """A handler that keeps its requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.data: list[bytes] = []

    def __call__(self, queue: IoQueue, request: Request, *_: object) -> None:
        self.requests.append(request)
        self.data.append(bytes(request.irp.input or b""))


def default(kind: IoQueueDispatchType, handler: Callable[..., None], **more: object) -> Plan:
    config = IoQueueConfig(kind, evt_io_default=handler, default_queue=True, **more)
    return Plan(queues=[config])


def manual() -> Plan:
    return Plan(queues=[IoQueueConfig(MANUAL, default_queue=True)])


@pytest.mark.covers("WDF_IO_QUEUE_CONFIG.DispatchType")
def test_sequential_queue_presents_the_next_request_when_the_last_one_has_left(
    bench: Bench,
) -> None:
    presented = Presented()
    edu = bench.load(default(SEQUENTIAL, presented))
    with edu.device.open() as file:
        irps = [file.write_async(data) for data in (b"a", b"b", b"c")]
        for count in (1, 2, 3):
            assert len(presented.requests) == count
            presented.requests[-1].complete_with_information(STATUS_SUCCESS, 1)
        assert presented.data == [b"a", b"b", b"c"]
        assert [irp.wait(TIMEOUT) for irp in irps] == [STATUS_SUCCESS] * 3


def test_parallel_queue_presents_all_at_once(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        for number in range(20):
            file.write_async(bytes([number]))
        assert len(presented.requests) == 20
        for request in reversed(presented.requests):
            request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WDF_IO_QUEUE_CONFIG.NumberOfPresentedRequests")
def test_parallel_queue_presents_no_more_than_its_limit(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented, number_of_presented_requests=3))
    with edu.device.open() as file:
        for number in range(5):
            file.write_async(bytes([number]))
        assert len(presented.requests) == 3
        assert edu.device.queues[0].get_state()[1:] == (2, 3)
        presented.requests[1].complete(STATUS_SUCCESS)
        assert len(presented.requests) == 4
        for request in [*presented.requests]:
            if request is not presented.requests[1]:
                request.complete(STATUS_SUCCESS)
        presented.requests[-1].complete(STATUS_SUCCESS)


def test_handlers_that_complete_at_once_do_not_recurse(bench: Bench) -> None:
    depth = deepest = 0
    gate: list[Request] = []

    def handler(queue: IoQueue, request: Request) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        if not gate:
            gate.append(request)
        else:
            request.complete(STATUS_SUCCESS)
        depth -= 1

    edu = bench.load(default(SEQUENTIAL, handler))
    with edu.device.open() as file:
        irps = [file.write_async(b"x") for _ in range(2000)]
        gate[0].complete(STATUS_SUCCESS)
        assert [irp.wait(TIMEOUT) for irp in irps] == [STATUS_SUCCESS] * 2000
    assert deepest == 1


@pytest.mark.covers("WdfIoQueueRetrieveNextRequest")
def test_manual_queue_keeps_requests_until_the_driver_retrieves_them(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        assert queue.retrieve_next_request() is None
        irps = [file.write_async(data) for data in (b"a", b"b")]
        requests = [queue.retrieve_next_request() for _ in irps]
        assert queue.retrieve_next_request() is None
        for request, data in zip(requests, (b"a", b"b"), strict=True):
            assert request is not None
            assert bytes(request.retrieve_input_buffer()) == data
            request.complete_with_information(STATUS_SUCCESS, 1)
        assert [irp.result(TIMEOUT) for irp in irps] == [1, 1]


@pytest.mark.covers("WdfIoQueueRetrieveRequestByFileObject", "WdfRequestGetFileObject")
def test_manual_queue_retrieves_by_file_object(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as one, edu.device.open() as other:
        one.write_async(b"1")
        other.write_async(b"2")
        request = queue.retrieve_request_by_file_object(other)
        assert request is not None
        assert request.irp.file is other
        assert queue.retrieve_request_by_file_object(other) is None
        request.complete(STATUS_SUCCESS)


def test_ready_notify_tells_when_a_manual_queue_is_no_longer_empty(bench: Bench) -> None:
    told: list[object] = []
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    assert queue.ready_notify(lambda queue, context: told.append(context), "context") == 0
    assert queue.ready_notify(lambda queue, context: None) == STATUS_INVALID_DEVICE_REQUEST
    with edu.device.open() as file:
        file.write_async(b"a")
        file.write_async(b"b")
        assert told == ["context"]


def test_read_returns_what_the_driver_wrote(bench: Bench) -> None:
    def read(queue: IoQueue, request: Request, length: int) -> None:
        buffer = request.retrieve_output_buffer(length)
        buffer[:3] = b"abc"
        assert request.get_parameters().device_offset == 7
        request.complete_with_information(STATUS_SUCCESS, 3)

    config = IoQueueConfig(PARALLEL, evt_io_read=read, default_queue=True)
    edu = bench.load(Plan(queues=[config]))
    with edu.device.open() as file:
        assert bytes(file.read(10, offset=7, timeout=TIMEOUT)) == b"abc"
        target = bytearray(5)
        assert file.read_async(target, offset=7).result(TIMEOUT) == 3
        assert target == b"abc\0\0"


def test_buffered_device_control_uses_one_buffer_for_both_directions(bench: Bench) -> None:
    def control(queue: IoQueue, request: Request, output: int, size: int, code: int) -> None:
        assert (output, size, code) == (8, 4, ctl_code(0x801))
        data = bytes(request.retrieve_input_buffer(4))
        buffer = request.retrieve_output_buffer(8)
        assert bytes(buffer[:4]) == data
        buffer[:] = data[::-1] * 2
        request.complete_with_information(STATUS_SUCCESS, 8)

    config = IoQueueConfig(PARALLEL, evt_io_device_control=control, default_queue=True)
    edu = bench.load(Plan(queues=[config]))
    with edu.device.open() as file:
        answer = file.device_control(ctl_code(0x801), b"1234", 8, timeout=TIMEOUT)
        assert bytes(answer) == b"43214321"


def test_request_without_a_handler_is_refused(bench: Bench) -> None:
    config = IoQueueConfig(PARALLEL, evt_io_read=Presented(), default_queue=True)
    edu = bench.load(Plan(queues=[config]))
    with edu.device.open() as file:
        assert file.write_async(b"x").status == STATUS_INVALID_DEVICE_REQUEST
        with pytest.raises(NtStatusError) as refused:
            file.device_control(ctl_code(0x800))
        assert refused.value.status == STATUS_INVALID_DEVICE_REQUEST


def test_device_without_queues_refuses_requests(bench: Bench) -> None:
    with bench.load().device.open() as file:
        assert file.read_async(1).status == STATUS_INVALID_DEVICE_REQUEST


def test_request_of_no_bytes_is_completed_at_once_unless_the_queue_wants_it(
    bench: Bench,
) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        assert file.write_async(b"").result(TIMEOUT) == 0
        assert presented.requests == []
    other = bench.load(default(PARALLEL, presented, allow_zero_length_requests=True), 1)
    with other.device.open() as file:
        irp = file.write_async(b"")
        (request,) = presented.requests
        with pytest.raises(NtStatusError) as empty:
            request.retrieve_input_buffer()
        assert empty.value.status == STATUS_BUFFER_TOO_SMALL
        assert not irp.done
        request.complete(STATUS_SUCCESS)


def test_buffers_have_their_direction_and_their_size(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        file.write_async(b"abc")
        file.read_async(3)
        write, read = presented.requests
        for call, status in (
            (write.retrieve_output_buffer, STATUS_INVALID_DEVICE_REQUEST),
            (read.retrieve_input_buffer, STATUS_INVALID_DEVICE_REQUEST),
            (lambda: write.retrieve_input_buffer(4), STATUS_BUFFER_TOO_SMALL),
        ):
            with pytest.raises(NtStatusError) as wrong:
                call()
            assert wrong.value.status == status
        write.complete(STATUS_SUCCESS)
        read.complete(STATUS_SUCCESS)
    assert [found.rule for found in bench.violations()] == ["OutputBufferAPI", "InputBufferAPI"]


def test_dispatching_leads_a_type_to_its_queue_and_the_rest_to_the_default(
    bench: Bench,
) -> None:
    writes, rest = Presented(), Presented()

    def add(device: Device) -> None:
        device.configure_request_dispatching(device.queues[1], RequestType.WRITE)
        for queue, kind, status in (
            (device.queues[1], RequestType.WRITE, STATUS_WDF_BUSY),
            (device.queues[0], RequestType.READ, STATUS_INVALID_DEVICE_REQUEST),
            (device.queues[1], RequestType.READ, STATUS_INVALID_DEVICE_REQUEST),
        ):
            with pytest.raises(NtStatusError) as wrong:
                device.configure_request_dispatching(queue, kind)
            assert wrong.value.status == status

    configs = [
        IoQueueConfig(PARALLEL, evt_io_default=rest, default_queue=True),
        IoQueueConfig(PARALLEL, evt_io_write=writes),
    ]
    edu = bench.load(Plan(queues=configs, add=add))
    with edu.device.open() as file:
        file.write_async(b"w")
        file.read_async(1)
        assert [len(writes.requests), len(rest.requests)] == [1, 1]
        for request in (*writes.requests, *rest.requests):
            request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfRequestForwardToIoQueue")
def test_forwarded_request_moves_to_the_tail_of_the_other_queue(bench: Bench) -> None:
    presented = Presented()
    configs = [
        IoQueueConfig(SEQUENTIAL, evt_io_default=presented, default_queue=True),
        IoQueueConfig(MANUAL),
    ]
    edu = bench.load(Plan(queues=configs))
    other = edu.device.queues[1]
    with edu.device.open() as file:
        file.write_async(b"a")
        file.write_async(b"b")
        assert presented.requests[0].forward_to_io_queue(other) == STATUS_SUCCESS
        assert presented.data == [b"a", b"b"], "a forwarded request has left the first queue"
        assert presented.requests[1].forward_to_io_queue(other) == STATUS_SUCCESS
        for data in (b"a", b"b"):
            request = other.retrieve_next_request()
            assert request is not None
            assert bytes(request.retrieve_input_buffer()) == data
            assert request.get_io_queue() is other
            request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfRequestForwardToIoQueue")
def test_forwarding_to_a_queue_that_does_not_accept_fails_and_the_driver_keeps_it(
    bench: Bench,
) -> None:
    presented = Presented()
    configs = [
        IoQueueConfig(PARALLEL, evt_io_default=presented, default_queue=True),
        IoQueueConfig(MANUAL),
    ]
    edu = bench.load(Plan(queues=configs))
    edu.device.queues[1].drain()
    with edu.device.open() as file:
        irp = file.write_async(b"a")
        (request,) = presented.requests
        assert request.forward_to_io_queue(edu.device.queues[1]) == STATUS_WDF_BUSY
        request.complete(STATUS_SUCCESS)
        assert irp.done


@pytest.mark.covers("WdfRequestRequeue")
def test_requeued_request_is_the_next_one_of_its_manual_queue(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        file.write_async(b"b")
        first = queue.retrieve_next_request()
        assert first is not None
        assert first.requeue() == STATUS_SUCCESS
        assert queue.retrieve_next_request() is first
        first.complete(STATUS_SUCCESS)


def test_stopped_queue_accepts_and_presents_after_start(bench: Bench) -> None:
    presented = Presented()
    stopped: list[object] = []
    edu = bench.load(default(PARALLEL, presented))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        file.write_async(b"a")
        queue.stop(lambda queue, context: stopped.append(context), "stopped")
        file.write_async(b"b")
        assert presented.data == [b"a"]
        assert stopped == []
        presented.requests[0].complete(STATUS_SUCCESS)
        assert stopped == ["stopped"]
        state, waiting, owned = queue.get_state()
        assert state == IoQueueState.ACCEPT_REQUESTS | IoQueueState.DRIVER_NO_REQUESTS
        assert (waiting, owned) == (1, 0)
        queue.start()
        assert presented.data == [b"a", b"b"]
        presented.requests[1].complete(STATUS_SUCCESS)


def test_stopped_manual_queue_is_paused(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    queue.stop_synchronously()
    with pytest.raises(NtStatusError) as paused:
        queue.retrieve_next_request()
    assert paused.value.status == STATUS_WDF_PAUSED
    queue.start()


@pytest.mark.covers("WdfIoQueueDrain")
def test_drained_queue_presents_what_it_has_and_rejects_more(bench: Bench) -> None:
    presented = Presented()
    drained: list[str] = []
    edu = bench.load(default(SEQUENTIAL, presented))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        for data in (b"a", b"b"):
            file.write_async(data)
        queue.drain(lambda queue, context: drained.append("drained"))
        assert file.write_async(b"c").status == STATUS_INVALID_DEVICE_STATE
        for index in range(2):
            assert drained == []
            presented.requests[index].complete(STATUS_SUCCESS)
        assert drained == ["drained"]
        assert presented.data == [b"a", b"b"]
        queue.start()


@pytest.mark.covers("WdfIoQueuePurge")
def test_purged_queue_cancels_what_waits_and_what_is_cancelable(bench: Bench) -> None:
    presented = Presented()
    purged: list[str] = []
    edu = bench.load(default(PARALLEL, presented, number_of_presented_requests=2))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        cancelable, kept, waiting = (file.write_async(data) for data in (b"a", b"b", b"c"))
        presented.requests[0].mark_cancelable(lambda request: request.complete(STATUS_CANCELLED))
        queue.purge(lambda queue, context: purged.append("purged"))
        assert cancelable.status == waiting.status == STATUS_CANCELLED
        assert not kept.done
        assert purged == []
        presented.requests[1].complete(STATUS_SUCCESS)
        assert purged == ["purged"]
        assert file.write_async(b"d").status == STATUS_INVALID_DEVICE_STATE
        queue.start()


def test_synchronous_drain_waits_for_the_driver(bench: Bench) -> None:
    presented = Presented()
    order: list[str] = []
    edu = bench.load(default(PARALLEL, presented))
    queue = edu.device.queues[0]

    def drain() -> None:
        queue.drain_synchronously()
        order.append("drained")

    with edu.device.open() as file:
        irp = file.write_async(b"a")
        thread = threading.Thread(target=drain)
        thread.start()
        while queue.accepting:
            pass
        order.append("complete")
        presented.requests[0].complete(STATUS_SUCCESS)
        thread.join(TIMEOUT)
        assert order == ["complete", "drained"]
        assert irp.done


def test_cancelling_a_waiting_request_ends_it_without_the_driver(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(SEQUENTIAL, presented))
    with edu.device.open() as file:
        file.write_async(b"a")
        irp = file.write_async(b"b")
        assert irp.cancel()
        assert irp.wait(TIMEOUT) == STATUS_CANCELLED
        assert not irp.cancel()
        presented.requests[0].complete(STATUS_SUCCESS)
        assert presented.data == [b"a"]


def test_cancelling_an_owned_request_calls_its_cancel_callback(bench: Bench) -> None:
    presented = Presented()
    called: list[Request] = []

    def cancel(request: Request) -> None:
        called.append(request)
        request.complete(STATUS_CANCELLED)

    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        irp = file.write_async(b"a")
        presented.requests[0].mark_cancelable(cancel)
        irp.cancel()
        assert irp.wait(TIMEOUT) == STATUS_CANCELLED
    assert called == presented.requests


@pytest.mark.covers(
    "WdfRequestMarkCancelable",
    "WdfRequestMarkCancelableEx",
    "WdfRequestIsCanceled",
    "EvtRequestCancel",
)
def test_cancelling_an_owned_request_that_is_not_cancelable_only_marks_it(
    bench: Bench,
) -> None:
    presented = Presented()
    called: list[Request] = []
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        irps = [file.write_async(b"a") for _ in range(2)]
        one, other = presented.requests
        assert not one.is_canceled()
        for irp in irps:
            irp.cancel()
        assert one.is_canceled()
        assert not irps[0].done
        assert one.mark_cancelable_ex(called.append) == STATUS_CANCELLED
        assert called == []
        other.mark_cancelable(called.append)
        assert called == [other], "a request that is cancelled already calls back at once"
        assert other.unmark_cancelable() == STATUS_CANCELLED
        for request in (one, other):
            request.complete(STATUS_CANCELLED)


@pytest.mark.covers("WdfRequestUnmarkCancelable")
def test_unmarked_request_is_the_drivers_again(bench: Bench) -> None:
    presented = Presented()
    called: list[Request] = []
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        irp, late = file.write_async(b"a"), file.write_async(b"b")
        request, other = presented.requests
        assert request.unmark_cancelable() == STATUS_INVALID_DEVICE_REQUEST
        assert bench.violation().rule == "InvalidReqAccess"
        request.mark_cancelable(called.append)
        assert request.unmark_cancelable() == STATUS_SUCCESS
        irp.cancel()
        assert called == []
        request.complete(STATUS_SUCCESS)
        assert irp.status == STATUS_SUCCESS
        other.mark_cancelable(called.append)
        late.cancel()
        assert other.unmark_cancelable() == STATUS_CANCELLED
        assert called == [other]
        other.complete(STATUS_CANCELLED)


def test_cancel_on_queue_gives_a_request_that_was_presented_back_to_the_driver(
    bench: Bench,
) -> None:
    presented = Presented()
    given: list[Request] = []

    def cancelled(queue: IoQueue, request: Request) -> None:
        given.append(request)
        request.complete(STATUS_CANCELLED)

    configs = [
        IoQueueConfig(PARALLEL, evt_io_default=presented, default_queue=True),
        IoQueueConfig(MANUAL, evt_io_canceled_on_queue=cancelled),
    ]
    edu = bench.load(Plan(queues=configs))
    with edu.device.open() as file:
        irp = file.write_async(b"a")
        presented.requests[0].forward_to_io_queue(edu.device.queues[1])
        irp.cancel()
        assert irp.wait(TIMEOUT) == STATUS_CANCELLED
    assert given == presented.requests


def test_request_that_is_cancelled_and_completed_at_once_ends_once(bench: Bench) -> None:
    """The driver and the application race for each of many requests."""
    presented: list[Request] = []
    ended: list[int] = []

    def handler(queue: IoQueue, request: Request) -> None:
        presented.append(request)
        request.mark_cancelable(lambda request: request.complete(STATUS_CANCELLED))

    edu = bench.load(default(PARALLEL, handler))
    with edu.device.open() as file:
        irps = [
            file.write_async(b"x", on_complete=lambda irp: ended.append(irp.context), context=n)
            for n in range(1000)
        ]

        def complete() -> None:
            for request in presented:
                if request.unmark_cancelable() == STATUS_SUCCESS:
                    request.complete(STATUS_SUCCESS)

        thread = threading.Thread(target=complete)
        thread.start()
        for irp in reversed(irps):
            irp.cancel()
        thread.join(TIMEOUT)
        statuses = {irp.wait(TIMEOUT) for irp in irps}
    assert sorted(ended) == list(range(1000))
    assert statuses <= {STATUS_SUCCESS, STATUS_CANCELLED}


def test_closing_a_file_cancels_its_waiting_requests_only(bench: Bench) -> None:
    edu = bench.load(manual())
    with edu.device.open() as other:
        file = edu.device.open()
        mine, others = file.write_async(b"a"), other.write_async(b"b")
        file.close()
        assert mine.wait(TIMEOUT) == STATUS_CANCELLED
        assert not others.done
        with pytest.raises(NtStatusError) as closed:
            file.write_async(b"c")
        assert closed.value.status == STATUS_FILE_CLOSED


def test_wait_that_takes_too_long_fails_and_the_request_goes_on(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        irp = file.write_async(b"a")
        with pytest.raises(TimeoutError, match="write of 1 bytes"):
            irp.wait(0.001)
        presented.requests[0].complete(STATUS_SUCCESS)
        assert irp.wait(TIMEOUT) == STATUS_SUCCESS


def test_framework_status_is_translated_for_the_application(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        irps = [file.write_async(b"a") for _ in range(2)]
        presented.requests[0].complete(STATUS_WDF_BUSY)
        presented.requests[1].complete(STATUS_WDF_NO_CALLBACK)
        assert [irp.status for irp in irps] == [STATUS_DEVICE_BUSY, STATUS_INVALID_DEVICE_REQUEST]


def test_completion_in_a_dpc_calls_the_application_at_dispatch_level(bench: Bench) -> None:
    levels: list[int] = []
    pending: list[Request] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        return interrupt.queue_dpc_for_isr()

    def dpc(interrupt: Interrupt, device: Device) -> None:
        pending.pop().complete_with_information(STATUS_SUCCESS, 1)

    def write(queue: IoQueue, request: Request) -> None:
        pending.append(request)
        edu.raise_interrupt()

    def completed(irp: Irp) -> None:
        levels.append(edu.link.get_cr8())
        if len(levels) < 10:
            file.write_async(b"x", on_complete=completed)
        else:
            done.set()

    plan = default(PARALLEL, write)
    plan.isr, plan.dpc = isr, dpc
    edu: Edu = bench.load(plan)
    with edu.device.open() as file:
        file.write_async(b"x", on_complete=completed)
        done.wait()
    assert levels == [DISPATCH_LEVEL] * 10


@pytest.mark.covers("WdfIoQueueCreate", "WDF_IO_QUEUE_CONFIG.DefaultQueue")
@pytest.mark.parametrize(
    ("config", "status"),
    [
        (IoQueueConfig(SEQUENTIAL), STATUS_WDF_NO_CALLBACK),
        (IoQueueConfig(MANUAL, evt_io_read=Presented()), STATUS_INVALID_PARAMETER),
        (
            IoQueueConfig(SEQUENTIAL, evt_io_read=Presented(), number_of_presented_requests=2),
            STATUS_INVALID_PARAMETER,
        ),
        (
            IoQueueConfig(PARALLEL, evt_io_read=Presented(), default_queue=True),
            STATUS_UNSUCCESSFUL,
        ),
    ],
    ids=["no handler", "manual with handler", "limit without parallel", "second default"],
)
def test_queue_configuration_is_checked(bench: Bench, config: IoQueueConfig, status: int) -> None:
    seen: list[int] = []

    def add(device: Device) -> None:
        with pytest.raises(NtStatusError) as wrong:
            IoQueue.create(device, config)
        seen.append(wrong.value.status)

    plan = default(PARALLEL, Presented())
    plan.add = add
    bench.load(plan)
    assert seen == [status]


@pytest.mark.covers("WDF_IO_QUEUE_CONFIG.DefaultQueue")
def test_default_queue_cannot_be_created_after_the_start(bench: Bench) -> None:
    edu = bench.load()
    with pytest.raises(NtStatusError) as late:
        IoQueue.create(edu.device, IoQueueConfig(MANUAL, default_queue=True))
    assert late.value.status == STATUS_INVALID_DEVICE_STATE


def test_queue_parent_must_be_below_the_device(bench: Bench) -> None:
    one, other = bench.load(index=0), bench.load(index=1)
    with pytest.raises(NtStatusError) as wrong:
        IoQueue.create(
            one.device, IoQueueConfig(MANUAL), ObjectAttributes(parent_object=other.device)
        )
    assert wrong.value.status == STATUS_INVALID_DEVICE_REQUEST


def test_deleted_queue_takes_its_dpc_with_it(bench: Bench) -> None:
    order: list[str] = []
    edu = bench.load()
    queue = IoQueue.create(
        edu.device,
        IoQueueConfig(MANUAL),
        ObjectAttributes(
            evt_cleanup_callback=lambda queue: order.append("queue cleanup"),
            evt_destroy_callback=lambda queue: order.append("queue destroy"),
        ),
    )
    Dpc.create(
        DpcConfig(lambda dpc: None),
        ObjectAttributes(
            parent_object=queue,
            evt_cleanup_callback=lambda dpc: order.append("dpc cleanup"),
            evt_destroy_callback=lambda dpc: order.append("dpc destroy"),
        ),
    )
    queue.delete()
    assert order == ["dpc cleanup", "queue cleanup", "dpc destroy", "queue destroy"]
    assert edu.device.queues == []
