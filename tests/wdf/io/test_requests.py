# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Requests: their properties, their completion, and their misuse by drivers."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from pydriver.ke import BugCheck, VerifierConfig
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.irql import APC_LEVEL
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_CANCELLED,
    STATUS_DEVICE_BUSY,
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INTERNAL_ERROR,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
    STATUS_WDF_BUSY,
    STATUS_WDF_INTERNAL_ERROR,
    STATUS_WDF_NO_CALLBACK,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
    STATUS_WDF_PAUSED,
    STATUS_WDF_REQUEST_INVALID_STATE,
    STATUS_WDF_TOO_FRAGMENTED,
    STATUS_WDF_TOO_MANY_TRANSFERS,
)
from pydriver.wdf import (
    File,
    IoQueue,
    IoQueueConfig,
    Irp,
    ObjectAttributes,
    ProcessorMode,
    Request,
    RequestParameters,
    RequestReuseParams,
    RequestType,
    ctl_code,
)
from tests.harness.bench import TIMEOUT, Bench, Edu
from tests.harness.queues import MANUAL, PARALLEL, Presented, default, in_dpc, manual, status

METHOD_NEITHER = 3
IOCTL = ctl_code(0x801)


@dataclass
class Owner:
    """A driver whose default queue is parallel, and a file of its device."""

    edu: Edu
    file: File
    presented: Presented

    @property
    def queue(self) -> IoQueue:
        return self.edu.device.queues[0]

    def own(self, irp: Irp) -> Request:
        """The request that the driver has just been given."""
        request = self.presented.requests[-1]
        assert request.irp is irp
        return request

    def write(self, data: bytes = b"abc") -> Request:
        return self.own(self.file.write_async(data))


@pytest.fixture
def owner(bench: Bench) -> Iterator[Owner]:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        yield Owner(edu, file, presented)


# Properties


@pytest.mark.covers(
    "WdfRequestGetParameters",
    "WDF_REQUEST_PARAMETERS.Type",
    "WDF_REQUEST_PARAMETERS.MinorFunction",
    "WDF_REQUEST_PARAMETERS.Read",
    "WDF_REQUEST_PARAMETERS.Write",
    "WDF_REQUEST_PARAMETERS.DeviceIoControl",
)
@pytest.mark.parametrize(
    ("send", "expected"),
    [
        (
            lambda file: file.read_async(5, offset=9),
            RequestParameters(RequestType.READ, 5, 9, 0, 0, 0, None, 0, 0),
        ),
        (
            lambda file: file.write_async(b"abc", offset=8),
            RequestParameters(RequestType.WRITE, 3, 8, 0, 0, 0, None, 0, 0),
        ),
        (
            lambda file: file.device_control_async(IOCTL, b"ab", 7),
            RequestParameters(RequestType.DEVICE_CONTROL, 0, 0, 7, 2, IOCTL, None, 0, 0),
        ),
        (
            lambda file: file.internal_device_control_async(IOCTL, b"ab", 7),
            RequestParameters(RequestType.DEVICE_CONTROL_INTERNAL, 0, 0, 7, 2, IOCTL, None, 0, 0),
        ),
    ],
    ids=["read", "write", "device control", "internal device control"],
)
def test_parameters_say_what_was_asked(
    owner: Owner, send: Callable[[File], Irp], expected: RequestParameters
) -> None:
    request = owner.own(send(owner.file))
    assert request.get_parameters() == expected
    request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WDF_REQUEST_PARAMETERS.DeviceIoControl")
def test_parameters_of_method_neither_have_what_the_application_sends(owner: Owner) -> None:
    code = ctl_code(1, METHOD_NEITHER)
    request = owner.own(owner.file.device_control_async(code, b"ab", 7))
    buffer = request.get_parameters().type3_input_buffer
    assert buffer is not None
    assert bytes(buffer) == b"ab"
    request.complete(STATUS_SUCCESS)


@pytest.mark.covers(
    "WdfRequestGetIoQueue",
    "WdfRequestGetRequestorMode",
    "WdfRequestGetRequestorProcessId",
    "WdfRequestIsFrom32BitProcess",
    "WdfRequestWdmGetIrp",
)
def test_request_knows_where_it_comes_from(owner: Owner) -> None:
    irp = owner.file.write_async(b"a")
    request = owner.own(irp)
    assert request.get_io_queue() is owner.queue
    assert request.get_requestor_mode() is ProcessorMode.USER
    assert request.get_requestor_process_id() == os.getpid()
    assert request.is_from32_bit_process() is False
    assert request.wdm_get_irp() is irp
    request.complete(STATUS_SUCCESS)


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.covers("WdfRequestIsFrom32BitProcess")
def test_question_for_the_process_is_for_apc_level(bench: Bench, owner: Owner) -> None:
    request = owner.write()
    in_dpc(bench, owner.edu, request.is_from32_bit_process)
    found = bench.violation()
    assert (found.rule, APC_LEVEL) == ("KmdfIrql", 1)
    assert "WdfRequestIsFrom32BitProcess" in found.message
    request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfRequestSetInformation", "WdfRequestGetInformation")
def test_information_that_was_set_is_what_complete_reports(owner: Owner) -> None:
    irp = owner.file.write_async(b"abc")
    request = owner.own(irp)
    assert request.get_information() == 0
    request.set_information(2)
    assert request.get_information() == 2
    request.complete(STATUS_SUCCESS)
    assert irp.result() == 2


@pytest.mark.covers("WdfRequestCompleteWithPriorityBoost")
def test_completion_with_a_boost_is_a_completion(owner: Owner) -> None:
    irp = owner.file.write_async(b"abc")
    assert irp.priority_boost == 0
    request = owner.own(irp)
    request.set_information(3)
    request.complete_with_priority_boost(STATUS_SUCCESS, -3)
    assert (irp.result(), irp.priority_boost) == (3, -3)


# Buffers


@pytest.mark.covers("WdfRequestRetrieveInputBuffer", "WdfRequestRetrieveOutputBuffer")
@pytest.mark.parametrize(
    ("send", "retrieve", "rule"),
    [
        pytest.param(
            lambda file: file.read_async(3),
            Request.retrieve_input_buffer,
            "InputBufferAPI",
            marks=pytest.mark.mistake("InputBufferAPI"),
        ),
        pytest.param(
            lambda file: file.write_async(b"a"),
            Request.retrieve_output_buffer,
            "OutputBufferAPI",
            marks=pytest.mark.mistake("OutputBufferAPI"),
        ),
    ],
    ids=["input of a read", "output of a write"],
)
def test_buffer_of_the_other_direction_is_refused_and_is_a_violation(
    bench: Bench,
    owner: Owner,
    send: Callable[[File], Irp],
    retrieve: Callable[[Request], memoryview],
    rule: str,
) -> None:
    request = owner.own(send(owner.file))
    with status(STATUS_INVALID_DEVICE_REQUEST):
        retrieve(request)
    assert bench.violation().rule == rule
    request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfRequestRetrieveInputBuffer", "WdfRequestRetrieveOutputBuffer")
@pytest.mark.parametrize("method", [0, 1, 2])
def test_buffers_of_a_device_control(owner: Owner, method: int) -> None:
    irp = owner.file.device_control_async(ctl_code(1, method), b"abcd", 2)
    request = owner.own(irp)
    assert bytes(request.retrieve_input_buffer(4)) == b"abcd"
    with status(STATUS_BUFFER_TOO_SMALL):
        request.retrieve_input_buffer(5)
    with status(STATUS_BUFFER_TOO_SMALL):
        request.retrieve_output_buffer(3)
    request.retrieve_output_buffer(2)[:] = b"xy"
    shared = bytes(request.retrieve_input_buffer())
    assert shared == (b"xycd" if method == 0 else b"abcd")
    request.complete_with_information(STATUS_SUCCESS, 2)
    assert bytes(irp.output) == b"xy"


@pytest.mark.covers("WdfRequestRetrieveInputBuffer", "WdfRequestRetrieveOutputBuffer")
def test_buffers_of_method_neither_from_an_application_are_refused(owner: Owner) -> None:
    code = ctl_code(1, METHOD_NEITHER)
    request = owner.own(owner.file.device_control_async(code, b"ab", 7))
    for retrieve in (request.retrieve_input_buffer, request.retrieve_output_buffer):
        with status(STATUS_INVALID_DEVICE_REQUEST):
            retrieve()
    request.complete(STATUS_SUCCESS)


@pytest.mark.parametrize(
    ("send", "retrieve", "rule"),
    [
        pytest.param(
            lambda file: file.read_async(3),
            Request.retrieve_output_buffer,
            "BufAfterReqCompletedRead",
            marks=pytest.mark.mistake("BufAfterReqCompletedRead"),
        ),
        pytest.param(
            lambda file: file.write_async(b"a"),
            Request.retrieve_input_buffer,
            "BufAfterReqCompletedWrite",
            marks=pytest.mark.mistake("BufAfterReqCompletedWrite"),
        ),
        pytest.param(
            lambda file: file.device_control_async(IOCTL, b"a"),
            Request.retrieve_input_buffer,
            "BufAfterReqCompletedIoctl",
            marks=pytest.mark.mistake("BufAfterReqCompletedIoctl"),
        ),
        pytest.param(
            lambda file: file.internal_device_control_async(IOCTL, b"a"),
            Request.retrieve_input_buffer,
            "BufAfterReqCompletedIntIoctl",
            marks=pytest.mark.mistake("BufAfterReqCompletedIntIoctl"),
        ),
    ],
    ids=["read", "write", "device control", "internal device control"],
)
def test_buffer_of_a_complete_request_is_refused_and_is_a_violation(
    bench: Bench,
    owner: Owner,
    send: Callable[[File], Irp],
    retrieve: Callable[[Request], memoryview],
    rule: str,
) -> None:
    request = owner.own(send(owner.file))
    request.complete(STATUS_SUCCESS)
    with status(STATUS_INVALID_DEVICE_REQUEST):
        retrieve(request)
    assert bench.violation().rule == rule


# The end


@pytest.mark.covers("WdfRequestComplete")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (STATUS_SUCCESS, STATUS_SUCCESS),
        (STATUS_UNSUCCESSFUL, STATUS_UNSUCCESSFUL),
        (STATUS_WDF_PAUSED, STATUS_DEVICE_BUSY),
        (STATUS_WDF_BUSY, STATUS_DEVICE_BUSY),
        (STATUS_WDF_INTERNAL_ERROR, STATUS_INTERNAL_ERROR),
        (STATUS_WDF_TOO_FRAGMENTED, STATUS_INVALID_DEVICE_REQUEST),
        (STATUS_WDF_TOO_MANY_TRANSFERS, STATUS_INVALID_DEVICE_REQUEST),
        (STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS, STATUS_INSUFFICIENT_RESOURCES),
        (STATUS_WDF_NO_CALLBACK, STATUS_INVALID_DEVICE_REQUEST),
    ],
)
def test_status_of_the_framework_is_translated(owner: Owner, given: int, expected: int) -> None:
    irp = owner.file.write_async(b"a")
    owner.own(irp).complete(given)
    assert irp.status == expected


@pytest.mark.covers("WdfRequestComplete", "EvtCleanupCallback", "EvtDestroyCallback")
def test_cleanup_comes_before_the_irp_is_complete_and_destruction_with_the_last_reference(
    owner: Owner,
) -> None:
    order: list[str] = []
    irp = owner.file.write_async(b"a", on_complete=lambda irp: order.append("complete"))
    request = owner.own(irp)
    request.allocate_context(
        ObjectAttributes(
            context_type=dict,
            evt_cleanup_callback=lambda request: order.append("cleanup"),
            evt_destroy_callback=lambda request: order.append("destroy"),
        )
    )
    request.reference()
    request.complete(STATUS_SUCCESS)
    assert order == ["cleanup", "complete"]
    assert request.get_typed_context(dict) == {}
    request.dereference()
    assert order == ["cleanup", "complete", "destroy"]


@pytest.mark.covers("WdfRequestCompleteWithInformation")
def test_with_the_verifier_off_too_many_bytes_and_a_second_completion_are_not_noticed(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(1, VerifierConfig(enabled=False))
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    with edu.device.open() as file:
        irp = file.read_async(3)
        presented.requests[0].complete_with_information(STATUS_SUCCESS, 100)
        presented.requests[0].complete(STATUS_UNSUCCESSFUL)
        assert (irp.status, irp.information) == (STATUS_SUCCESS, 100)


# Misuse


@pytest.mark.mistake("DoubleCompletion")
@pytest.mark.covers("WdfRequestComplete", "WdfRequestCompleteWithInformation")
def test_request_that_is_completed_twice_is_complete_once(bench: Bench, owner: Owner) -> None:
    ended: list[int] = []
    irp = owner.file.write_async(b"a", on_complete=lambda irp: ended.append(irp.status))
    request = owner.own(irp)
    request.complete(STATUS_SUCCESS)
    request.complete_with_information(STATUS_UNSUCCESSFUL, 0)
    found = bench.violation()
    assert (found.rule, found.page) == ("DoubleCompletion", "kmdf-doublecompletion")
    assert ended == [STATUS_SUCCESS]


@pytest.mark.mistake("CompleteCanceledReq")
@pytest.mark.covers("WdfRequestComplete")
def test_request_that_is_completed_while_it_is_cancelable_is_complete(
    bench: Bench, owner: Owner
) -> None:
    called: list[Request] = []
    irp = owner.file.write_async(b"a")
    request = owner.own(irp)
    request.mark_cancelable(called.append)
    request.complete(STATUS_SUCCESS)
    assert bench.violation().rule == "CompleteCanceledReq"
    irp.cancel()
    assert (irp.status, called) == (STATUS_SUCCESS, [])


@pytest.mark.mistake("CompleteCanceledReq")
@pytest.mark.covers("WdfRequestUnmarkCancelable")
def test_request_that_is_completed_although_unmark_said_cancelled_breaks_its_rule(
    bench: Bench, owner: Owner
) -> None:
    irp = owner.file.write_async(b"a")
    request = owner.own(irp)
    request.mark_cancelable(lambda request: request.complete(STATUS_CANCELLED))
    irp.cancel()
    assert request.unmark_cancelable() == STATUS_CANCELLED
    request.complete(STATUS_SUCCESS)
    assert bench.violation().rule == "CompleteCanceledReq"
    assert irp.status == STATUS_CANCELLED


@pytest.mark.mistake("InvalidReqAccess")
@pytest.mark.parametrize(
    ("access", "result"),
    [
        (lambda request, queue: request.set_information(1), None),
        (lambda request, queue: request.get_information(), 0),
        (lambda request, queue: request.get_parameters().length, 3),
        (lambda request, queue: request.is_canceled(), False),
        (lambda request, queue: request.mark_cancelable(lambda request: None), None),
        (
            lambda request, queue: request.mark_cancelable_ex(lambda request: None),
            STATUS_INVALID_DEVICE_REQUEST,
        ),
        (lambda request, queue: request.unmark_cancelable(), STATUS_INVALID_DEVICE_REQUEST),
        (lambda request, queue: request.forward_to_io_queue(queue), STATUS_INVALID_DEVICE_REQUEST),
        (lambda request, queue: request.requeue(), STATUS_INVALID_DEVICE_REQUEST),
        (lambda request, queue: request.wdm_get_irp().information, 0),
    ],
    ids=[
        "set information",
        "get information",
        "parameters",
        "is canceled",
        "mark",
        "mark ex",
        "unmark",
        "forward",
        "requeue",
        "IRP",
    ],
)
def test_access_to_a_complete_request_is_a_violation(
    bench: Bench, owner: Owner, access: Callable[[Request, IoQueue], object], result: object
) -> None:
    other = IoQueue.create(owner.edu.device, IoQueueConfig(MANUAL))
    request = owner.write()
    request.complete(STATUS_SUCCESS)
    assert access(request, other) == result
    assert bench.violation().rule == "InvalidReqAccess"


@pytest.mark.mistake("InvalidReqAccess")
@pytest.mark.covers("WdfRequestComplete")
def test_request_that_waits_in_a_queue_is_not_completed_by_the_driver(bench: Bench) -> None:
    edu = bench.load(manual())
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        irp = file.write_async(b"a")
        found = queue.find_request()
        assert found is not None
        tag = found[0]
        tag.complete(STATUS_SUCCESS)
        assert bench.violation().rule == "InvalidReqAccess"
        assert not irp.done
        tag.dereference()
        irp.cancel()


@pytest.mark.mistake("MarkCancOnCancReqLocal")
@pytest.mark.covers("WdfRequestMarkCancelable")
def test_request_that_is_marked_twice_keeps_the_first_callback(bench: Bench, owner: Owner) -> None:
    called: list[str] = []
    irp = owner.file.write_async(b"a")
    request = owner.own(irp)
    request.mark_cancelable(lambda request: called.append("first"))
    request.mark_cancelable(lambda request: called.append("second"))
    assert bench.violation().rule == "MarkCancOnCancReqLocal"
    again = request.mark_cancelable_ex(lambda request: called.append("third"))
    assert again == STATUS_INVALID_DEVICE_REQUEST
    assert bench.violation().rule == "MarkCancOnCancReqLocal"
    irp.cancel()
    assert called == ["first"]
    request.complete(STATUS_CANCELLED)


@pytest.mark.mistake("ReqIsCancOnCancReq")
@pytest.mark.covers("WdfRequestIsCanceled")
def test_cancelable_request_is_said_not_to_be_cancelled(bench: Bench, owner: Owner) -> None:
    request = owner.write()
    request.mark_cancelable(lambda request: None)
    assert not request.is_canceled()
    assert bench.violation().rule == "ReqIsCancOnCancReq"
    assert request.unmark_cancelable() == STATUS_SUCCESS
    assert not request.is_canceled()
    request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfRequestIsCanceled", "EvtRequestCancel")
def test_request_is_cancelled_in_its_cancel_callback(owner: Owner) -> None:
    seen: list[bool] = []

    def cancel(request: Request) -> None:
        seen.append(request.is_canceled())
        request.complete(STATUS_CANCELLED)

    irp = owner.file.write_async(b"a")
    owner.own(irp).mark_cancelable(cancel)
    irp.cancel()
    assert seen == [True]


@pytest.mark.mistake("ReqMarkCancelableSend")
@pytest.mark.covers("WdfRequestForwardToIoQueue", "WdfRequestRequeue")
def test_cancelable_request_stays_with_the_driver(bench: Bench, owner: Owner) -> None:
    other = IoQueue.create(owner.edu.device, IoQueueConfig(MANUAL))
    request = owner.write()
    request.mark_cancelable(lambda request: None)
    assert request.forward_to_io_queue(other) == STATUS_INVALID_DEVICE_REQUEST
    assert bench.violation().rule == "ReqMarkCancelableSend"
    assert request.requeue() == STATUS_INVALID_DEVICE_REQUEST
    assert bench.violation().rule == "ReqMarkCancelableSend"
    assert request.unmark_cancelable() == STATUS_SUCCESS
    request.complete(STATUS_SUCCESS)


@pytest.mark.mistake("ForwardedToWrongQueue")
@pytest.mark.covers("WdfRequestForwardToIoQueue")
def test_request_is_forwarded_to_another_queue_of_its_device_only(
    bench: Bench, owner: Owner
) -> None:
    elsewhere = bench.load(manual(), 1).device.queues[0]
    request = owner.write()
    for queue in (owner.queue, elsewhere):
        assert request.forward_to_io_queue(queue) == STATUS_INVALID_DEVICE_REQUEST
        assert bench.violation().rule == "ForwardedToWrongQueue"
    request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfRequestRequeue")
def test_request_of_a_queue_that_is_not_manual_is_not_requeued(owner: Owner) -> None:
    request = owner.write()
    assert request.requeue() == STATUS_INVALID_DEVICE_REQUEST
    request.complete(STATUS_SUCCESS)


@pytest.mark.covers(
    "EvtIoCanceledOnQueue", "WdfRequestForwardToIoQueue", "WDF_IO_QUEUE_CONFIG.EvtIoCanceledOnQueue"
)
@pytest.mark.parametrize("wanted", [True, False])
def test_request_that_is_cancelled_while_it_is_forwarded_goes_the_way_of_the_other_queue(
    owner: Owner, *, wanted: bool
) -> None:
    given: list[Request] = []

    def cancelled(queue: IoQueue, request: Request) -> None:
        given.append(request)
        request.complete(STATUS_CANCELLED)

    config = IoQueueConfig(MANUAL, evt_io_canceled_on_queue=cancelled if wanted else None)
    other = IoQueue.create(owner.edu.device, config)
    irp = owner.file.write_async(b"a")
    request = owner.own(irp)
    irp.cancel()
    assert request.forward_to_io_queue(other) == STATUS_SUCCESS
    assert irp.wait(TIMEOUT) == STATUS_CANCELLED
    assert given == ([request] if wanted else [])
    assert other.get_state()[1:] == (0, 0)


@pytest.mark.covers("WdfRequestRequeue", "EvtIoCanceledOnQueue")
def test_request_that_is_cancelled_while_it_is_requeued_is_given_to_the_driver(
    bench: Bench,
) -> None:
    given: list[Request] = []
    edu = bench.load(manual(evt_io_canceled_on_queue=lambda queue, request: given.append(request)))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        irp = file.write_async(b"a")
        request = queue.retrieve_next_request()
        assert request is not None
        irp.cancel()
        assert request.requeue() == STATUS_SUCCESS
        assert given == [request]
        assert queue.get_state()[1:] == (0, 1)
        request.complete(STATUS_CANCELLED)


@pytest.mark.covers("EvtIoCanceledOnQueue")
def test_request_that_was_never_presented_is_cancelled_without_the_driver(bench: Bench) -> None:
    given: list[Request] = []
    edu = bench.load(manual(evt_io_canceled_on_queue=lambda queue, request: given.append(request)))
    with edu.device.open() as file:
        irp = file.write_async(b"a")
        irp.cancel()
        assert (irp.status, given) == (STATUS_CANCELLED, [])


# Requests that a driver makes


@pytest.mark.covers("WdfRequestCreate", "WdfRequestGetIoQueue", "WdfRequestWdmGetIrp")
def test_request_of_the_driver_has_contexts_and_is_deleted_by_it(bench: Bench) -> None:
    order: list[str] = []
    edu = bench.load()
    with status(STATUS_WDF_PARENT_NOT_SPECIFIED):
        Request.create(ObjectAttributes())
    request = Request.create(
        ObjectAttributes(
            parent_object=edu.device,
            context_type=dict,
            evt_cleanup_callback=lambda request: order.append("cleanup"),
            evt_destroy_callback=lambda request: order.append("destroy"),
        )
    )
    assert request.get_typed_context(dict) == {}
    assert request.get_io_queue() is None
    assert request.wdm_get_irp() is None
    assert request.get_requestor_mode() is ProcessorMode.KERNEL
    assert request.parent is edu.device
    request.delete()
    assert order == ["cleanup", "destroy"]


@pytest.mark.covers("WdfRequestReuse", "WdfRequestGetStatus")
def test_reused_request_has_the_status_that_it_is_given(bench: Bench, owner: Owner) -> None:
    request = Request.create(ObjectAttributes(parent_object=owner.edu.device))
    assert request.get_status() == STATUS_SUCCESS
    request.reuse(RequestReuseParams(STATUS_UNSUCCESSFUL))
    assert request.get_status() == STATUS_UNSUCCESSFUL
    presented = owner.write()
    with status(STATUS_WDF_REQUEST_INVALID_STATE):
        request.reuse(RequestReuseParams(new_irp=presented.irp))
    presented.set_information(3)
    presented.reuse(RequestReuseParams())
    assert presented.get_information() == 0
    presented.complete(STATUS_SUCCESS)
    with status(STATUS_INVALID_DEVICE_REQUEST):
        presented.reuse(RequestReuseParams())
    assert bench.violation().rule == "InvalidReqAccess"
    request.delete()


@pytest.mark.mistake("RequestGetStatusValid")
@pytest.mark.covers("WdfRequestGetStatus")
def test_status_of_a_request_that_was_never_sent_is_a_violation(bench: Bench, owner: Owner) -> None:
    request = owner.write()
    request.get_status()
    assert bench.violation().rule == "RequestGetStatusValid"
    request.complete(STATUS_SUCCESS)


@pytest.mark.mistake("ReqDelete")
@pytest.mark.covers("WdfRequestComplete")
def test_request_of_the_driver_is_not_completed(bench: Bench) -> None:
    request = Request.create(ObjectAttributes(parent_object=bench.load().device))
    request.complete(STATUS_SUCCESS)
    assert bench.violation().rule == "ReqDelete"
    assert request.mark_cancelable_ex(lambda request: None) == STATUS_INVALID_DEVICE_REQUEST
    assert bench.violation().rule == "InvalidReqAccess"
    request.delete()


@pytest.mark.mistake("ObjectNotDeletable")
@pytest.mark.covers("WdfObjectDelete")
def test_request_of_a_queue_is_not_deleted_by_the_driver(bench: Bench, owner: Owner) -> None:
    request = owner.write()
    request.delete()
    assert bench.violation().rule == "ObjectNotDeletable"
    request.complete(STATUS_SUCCESS)


@pytest.mark.parametrize(
    ("call", "parameter"),
    [
        (lambda request, queue: request.forward_to_io_queue(None), 5),
        (lambda request, queue: request.forward_to_io_queue(request), 5),
        (lambda request, queue: queue.retrieve_request_by_file_object(None), 5),
        (lambda request, queue: request.mark_cancelable(None), 4),
        (lambda request, queue: request.mark_cancelable_ex(None), 4),
    ],
    ids=["forward to NULL", "forward to a request", "file NULL", "mark", "mark ex"],
)
def test_argument_that_is_null_or_of_a_wrong_type_is_a_wdf_violation(
    doomed: Bench, call: Callable[[Request, IoQueue], object], parameter: int
) -> None:
    presented = Presented()
    edu = doomed.load(default(PARALLEL, presented))
    edu.device.open().write_async(b"x")
    with pytest.raises(BugCheck) as stopped:
        call(presented.requests[0], edu.device.queues[0])
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, parameter)


@pytest.mark.mistake("INVALID_HANDLE", 0x10D)
@pytest.mark.covers("WdfRequestForwardToIoQueue")
def test_request_forwarded_to_a_freed_queue_is_a_wdf_violation(doomed: Bench) -> None:
    presented = Presented()
    edu = doomed.load(default(PARALLEL, presented))
    queue = IoQueue.create(edu.device, IoQueueConfig(MANUAL))
    queue.delete()
    edu.device.open().write_async(b"x")
    with pytest.raises(BugCheck) as stopped:
        presented.requests[0].forward_to_io_queue(queue)
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters[:3] == (5, id(queue), IoQueue.fx_type)
