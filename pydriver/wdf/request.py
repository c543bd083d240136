# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFREQUEST: a request that a queue has presented to the driver [fxrequest.cpp].

`state`, `presenting` and the cancel routine are guarded by the device's I/O lock, under which
nothing waits and no register is accessed. Whoever changes `state` to COMPLETED completes the IRP.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from time import perf_counter_ns
from typing import TYPE_CHECKING, ClassVar, NoReturn

from pydriver.ke.bugcheck import DRIVER_VERIFIER_DETECTED_VIOLATION, WDF_VIOLATION
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_CANCELLED,
    STATUS_DEVICE_BUSY,
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INTERNAL_ERROR,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    STATUS_WDF_BUSY,
    STATUS_WDF_INTERNAL_ERROR,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS,
    STATUS_WDF_PAUSED,
    NtStatusError,
)
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.ddi import ddi
from pydriver.wdf.irp import METHOD_NEITHER, Irp, RequestType
from pydriver.wdf.mdl import Mdl
from pydriver.wdf.object import Object, Phase
from pydriver.wdf.request_memory import RequestMemory, end_memory, request_memory

if TYPE_CHECKING:
    from pydriver.wdf.device import Device
    from pydriver.wdf.file import File
    from pydriver.wdf.io_queue import IoQueue

__all__ = ("Request", "RequestParameters")

QUEUED = 0
OWNED = 1
COMPLETED = 2

_numbers = count(1)

_TRANSLATED = {
    STATUS_WDF_PAUSED: STATUS_DEVICE_BUSY,
    STATUS_WDF_BUSY: STATUS_DEVICE_BUSY,
    STATUS_WDF_INTERNAL_ERROR: STATUS_INTERNAL_ERROR,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS: STATUS_INSUFFICIENT_RESOURCES,
}
_WDF_FACILITY = 0x20
_COMPLETE = Event.COMPLETE
_now = perf_counter_ns

CancelCallback = Callable[["Request"], None]


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """WDF_REQUEST_PARAMETERS.

    :ivar type: READ, WRITE, DEVICE_CONTROL
    :ivar length: bytes to read or write
    :ivar device_offset: where in the device
    :ivar output_buffer_length: of a device control
    :ivar input_buffer_length: of a device control
    :ivar io_control_code: of a device control
    """

    type: RequestType
    length: int
    device_offset: int
    output_buffer_length: int
    input_buffer_length: int
    io_control_code: int


class Request(Object):
    """A request.

    :ivar number: counts the requests; in the recorder it stands for the request
    :ivar length: bytes to read or write, or that a device control may return
    :ivar offset: in the device
    """

    fx_type: ClassVar[int] = 0x1008

    __slots__ = (
        "_cancel_routine",
        "_cancelled",
        "information",
        "irp",
        "length",
        "number",
        "offset",
        "presented",
        "presenting",
        "queue",
        "state",
        "stop_acknowledged",
    )

    def __init__(self, irp: Irp, queue: "IoQueue") -> None:
        # Object.__init__, written out: there is one of these for every request.
        self._kernel = queue._kernel
        self._current = queue._current
        self._parent = None
        self._children = None
        self._contexts = None
        self._callbacks = None
        self._references = 1
        self._tags = None
        self._phase = Phase.ALIVE
        self.deletable = False
        self.irp = irp
        self.queue = queue
        self.number = next(_numbers)
        self.length = irp.length
        self.offset = irp.offset
        self.information = 0
        self.state = QUEUED
        self.presented = False
        self.presenting = False
        self._cancelled = False
        self._cancel_routine: CancelCallback | None = None
        self.stop_acknowledged: bool | None = None
        irp.request = self
        attributes = queue.device.request_attributes
        if attributes is not None:
            self._attach(attributes)

    def __str__(self) -> str:
        return f"request {self.number} ({self.irp})"

    # Completion

    @ddi("WdfRequestComplete", "VOID (WDFREQUEST Request, NTSTATUS Status)")
    def complete(self, status: int) -> None:
        """Completes the request with the information set before; the driver owns it no more.

        :param status: NTSTATUS
        """
        self._complete(status, self.information)

    @ddi(
        "WdfRequestCompleteWithInformation",
        "VOID (WDFREQUEST Request, NTSTATUS Status, ULONG_PTR Information)",
    )
    def complete_with_information(self, status: int, information: int) -> None:
        """Completes the request; the driver owns it no more.

        :param status: NTSTATUS
        :param information: bytes that were transferred
        """
        self._complete(status, information)

    def _complete(self, status: int, information: int) -> None:
        # Without the lock: a request that the driver owns and that is not cancelable is touched
        # by nobody else, unless the driver completes it on two threads at once.
        if self.state != OWNED or self._cancel_routine is not None:
            self._refuse_completion()
        self.state = COMPLETED
        queue = self.queue
        irp = self.irp
        if status >= 0x80000000:
            if status >> 16 & 0xFFF == _WDF_FACILITY:
                status = _TRANSLATED.get(status, STATUS_INVALID_DEVICE_REQUEST)
        elif information > irp.length and irp.kind != RequestType.DEVICE_CONTROL_INTERNAL:
            self._kernel.bug_check(
                WDF_VIOLATION,
                6,
                4,
                id(self),
                message=f"{self} is completed with {information} bytes, more than its buffer has",
            )
        processor = self._current.processor
        self._kernel.record(
            (
                _now(),
                _COMPLETE,
                NO_PROCESSOR if processor is None else processor.number,
                status,
                queue,
                self.number,
            )
        )
        disposed: list[Object] | None = None
        if (
            self._contexts is not None
            or self._callbacks is not None
            or self._children is not None
            or self._references != 1
        ):
            disposed = self._dispose()
            end_memory(disposed)
        try:
            irp.finish(status, information)
        except Exception as error:  # noqa: BLE001 -- the application's completion callback
            self._kernel.escaped(error)
        queue.left(self)
        if disposed is not None:
            for each in disposed:
                each._drop()

    def _refuse_completion(self) -> NoReturn:
        if self.state == OWNED:
            what, rule = "is completed while it is cancelable", "CompleteCanceledReq"
        elif self.state == COMPLETED:
            what, rule = "is completed twice", "DoubleCompletion"
        else:
            what, rule = "is completed by a driver that does not own it", "InvalidReqAccess"
        self._violation(what, rule)

    def _violation(self, what: str, rule: str) -> NoReturn:
        self._kernel.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            0,
            self._kernel.irql(),
            id(self),
            rule=rule,
            message=f"{self} {what}",
        )

    # Parameters and buffers

    @ddi("WdfRequestSetInformation", "VOID (WDFREQUEST Request, ULONG_PTR Information)")
    def set_information(self, information: int) -> None:
        """Sets what :meth:`complete` reports."""
        self.information = information

    @ddi("WdfRequestGetInformation", "ULONG_PTR (WDFREQUEST Request)")
    def get_information(self) -> int:
        """What :meth:`complete` would report."""
        return self.information

    @ddi("WdfRequestGetParameters", "VOID (WDFREQUEST, PWDF_REQUEST_PARAMETERS Parameters)")
    def get_parameters(self) -> RequestParameters:
        """What was asked."""
        irp = self.irp
        control = irp.kind == RequestType.DEVICE_CONTROL
        return RequestParameters(
            irp.kind,
            0 if control else irp.length,
            irp.offset,
            irp.length if control else 0,
            0 if irp.input is None or not control else len(irp.input),
            irp.code,
        )

    @ddi(
        "WdfRequestRetrieveInputBuffer",
        "NTSTATUS (WDFREQUEST, size_t MinimumRequiredLength, PVOID *Buffer, size_t *Length)",
    )
    def retrieve_input_buffer(self, minimum_length: int = 0) -> memoryview:
        """What the application sends.

        :param minimum_length: bytes that the driver needs
        :raises NtStatusError: a read has none; there is none; it is too small
        """
        return self._buffer(self.irp.input, minimum_length, "WdfRequestRetrieveInputBuffer")

    @ddi(
        "WdfRequestRetrieveOutputBuffer",
        "NTSTATUS (WDFREQUEST, size_t MinimumRequiredSize, PVOID *Buffer, size_t *Length)",
    )
    def retrieve_output_buffer(self, minimum_length: int = 0) -> memoryview:
        """Where the application wants its answer.

        :param minimum_length: bytes that the driver needs
        :raises NtStatusError: a write has none; there is none; it is too small
        """
        return self._buffer(self.irp.buffer, minimum_length, "WdfRequestRetrieveOutputBuffer")

    def _buffer(self, buffer: memoryview | None, minimum: int, what: str) -> memoryview:
        irp = self.irp
        neither = irp.kind == RequestType.DEVICE_CONTROL and irp.code & 3 == METHOD_NEITHER
        if buffer is None or neither:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: {self}")
        length = len(buffer)
        if not length or length < minimum:
            raise NtStatusError(STATUS_BUFFER_TOO_SMALL, f"{what}: {self}")
        return buffer

    @ddi("WdfRequestRetrieveInputMemory", "NTSTATUS (WDFREQUEST Request, WDFMEMORY *Memory)")
    def retrieve_input_memory(self) -> RequestMemory:
        """What the application sends, as a memory object that ends with the request.

        :raises NtStatusError: a read has none; there is none
        """
        return self._memory("WdfRequestRetrieveInputMemory", output=False)

    @ddi("WdfRequestRetrieveOutputMemory", "NTSTATUS (WDFREQUEST Request, WDFMEMORY *Memory)")
    def retrieve_output_memory(self) -> RequestMemory:
        """Where the application wants its answer, as a memory object that ends with the request.

        :raises NtStatusError: a write has none; there is none
        """
        return self._memory("WdfRequestRetrieveOutputMemory", output=True)

    @ddi("WdfRequestRetrieveInputWdmMdl", "NTSTATUS (WDFREQUEST Request, PMDL *Mdl)")
    def retrieve_input_wdm_mdl(self) -> Mdl:
        """The description of what the application sends.

        :raises NtStatusError: a read has none; there is none
        """
        return self._memory("WdfRequestRetrieveInputWdmMdl", output=False).mdl

    @ddi("WdfRequestRetrieveOutputWdmMdl", "NTSTATUS (WDFREQUEST Request, PMDL *Mdl)")
    def retrieve_output_wdm_mdl(self) -> Mdl:
        """The description of where the application wants its answer.

        :raises NtStatusError: a write has none; there is none
        """
        return self._memory("WdfRequestRetrieveOutputWdmMdl", output=True).mdl

    def _memory(self, what: str, *, output: bool) -> RequestMemory:
        found = self.irp.buffer if output else self.irp.input
        if found is None:
            rule = "OutputBufferAPI" if output else "InputBufferAPI"
            self._kernel.verifier.violation(rule, f"{what}: {self} has no such buffer", self)
        buffer = self._buffer(found, 0, what)
        return request_memory(self, buffer, output=output)

    @ddi("WdfRequestGetIoQueue", "WDFQUEUE (WDFREQUEST Request)")
    def get_io_queue(self) -> "IoQueue":
        """The queue that presented the request, or holds it."""
        return self.queue

    @ddi("WdfRequestGetFileObject", "WDFFILEOBJECT (WDFREQUEST Request)")
    def get_file_object(self) -> "File | None":
        """The file that the request was sent to; ``None`` without a file object configuration."""
        return self.device.file_of(self)

    # Cancellation

    @ddi("WdfRequestMarkCancelable", "VOID (WDFREQUEST, PFN_WDF_REQUEST_CANCEL EvtRequestCancel)")
    def mark_cancelable(self, evt_request_cancel: CancelCallback) -> None:
        """Allows cancellation while the driver owns the request.

        :param evt_request_cancel: EvtRequestCancel(request), at IRQL <= DISPATCH_LEVEL; completes
            the request with STATUS_CANCELLED. Called at once if the request is cancelled already
        """
        with self.queue.lock:
            self._check_owned("WdfRequestMarkCancelable")
            cancelled = self._cancelled
            if not cancelled:
                self._cancel_routine = evt_request_cancel
        if cancelled:
            self._call_cancel(evt_request_cancel)

    @ddi(
        "WdfRequestMarkCancelableEx",
        "NTSTATUS (WDFREQUEST, PFN_WDF_REQUEST_CANCEL EvtRequestCancel)",
    )
    def mark_cancelable_ex(self, evt_request_cancel: CancelCallback) -> int:
        """As :meth:`mark_cancelable`, but a request that is cancelled already is left alone.

        :return: STATUS_SUCCESS, or STATUS_CANCELLED: then the driver completes it
        """
        with self.queue.lock:
            self._check_owned("WdfRequestMarkCancelableEx")
            if self._cancelled:
                return STATUS_CANCELLED
            self._cancel_routine = evt_request_cancel
        return STATUS_SUCCESS

    @ddi("WdfRequestUnmarkCancelable", "NTSTATUS (WDFREQUEST Request)")
    def unmark_cancelable(self) -> int:
        """Forbids cancellation again, before completion.

        :return: STATUS_SUCCESS: the driver may complete it; STATUS_CANCELLED: the cancel callback
            has run, or will: the request must not be touched
        """
        with self.queue.lock:
            if self._cancel_routine is not None:
                self._cancel_routine = None
                return STATUS_SUCCESS
            if self._cancelled:
                return STATUS_CANCELLED
        return STATUS_INVALID_DEVICE_REQUEST

    @ddi("WdfRequestIsCanceled", "BOOLEAN (WDFREQUEST Request)")
    def is_canceled(self) -> bool:
        """Whether cancellation was asked for; while the request is not cancelable."""
        if self._cancel_routine is not None:
            self._violation("is asked IsCanceled while it is cancelable", "ReqIsCancOnCancReq")
        return self._cancelled

    def cancel(self) -> None:
        """The application's wish, or a purge of the queue. At IRQL <= DISPATCH_LEVEL."""
        queue = self.queue
        with queue.lock:
            if self.queue is not queue or self.state == COMPLETED:
                return
            routine = self._cancel_routine
            self._cancelled = True
            self._cancel_routine = None
            queued = self.state == QUEUED
            on_queue = None
            if queued:
                queue.queued.remove(self)
                on_queue = queue.config.evt_io_canceled_on_queue if self.presented else None
                if on_queue is None:
                    self.state = COMPLETED
                else:
                    self.state = OWNED
                    queue.owned.add(self)
        processor = self._current.processor
        number = NO_PROCESSOR if processor is None else processor.number
        self._kernel.record((_now(), Event.CANCEL, number, self._kernel.irql(), queue, self.number))
        if on_queue is not None:
            try:
                on_queue(queue, self)
            except Exception as error:  # noqa: BLE001 -- becomes a bug check
                self._kernel.escaped(error)
        elif queued:
            self.finish_unowned(STATUS_CANCELLED)
            queue.left(self)
        elif routine is not None:
            self._call_cancel(routine)

    def finish_unowned(self, status: int) -> None:
        """Completes a request that the driver does not own; its state says so already."""
        try:
            self.irp.finish(status, 0)
        except Exception as error:  # noqa: BLE001 -- the application's completion callback
            self._kernel.escaped(error)

    def _call_cancel(self, routine: CancelCallback) -> None:
        try:
            routine(self)
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            self._kernel.escaped(error)

    def _check_owned(self, what: str) -> None:
        if self.state != OWNED:
            self._violation(f"is not owned: {what}", "InvalidReqAccess")
        if self._cancel_routine is not None:
            self._violation(f"is cancelable already: {what}", "MarkCancOnCancReqLocal")

    # Moving

    @ddi("WdfRequestForwardToIoQueue", "NTSTATUS (WDFREQUEST Request, WDFQUEUE DestinationQueue)")
    def forward_to_io_queue(self, queue: "IoQueue") -> int:
        """Gives the request to another queue of the device, at its tail.

        :return: STATUS_SUCCESS: the driver owns it no more; STATUS_INVALID_DEVICE_REQUEST: it is
            not owned, or cancelable, or the queue is the same or another device's;
            STATUS_WDF_BUSY: the queue does not accept
        """
        source = self.queue
        direct = False
        with source.lock:
            if (
                self.state != OWNED
                or self._cancel_routine is not None
                or queue is source
                or queue.device is not source.device
            ):
                return STATUS_INVALID_DEVICE_REQUEST
            if not queue.accepting:
                return STATUS_WDF_BUSY
            cancelled = self._cancelled
            self.presented = True
            source.owned.discard(self)
            following = None if self.presenting else source.next()
            if cancelled:
                self.state = COMPLETED
            else:
                self.queue = queue
                direct = queue.take(self)
        if cancelled:
            self.finish_unowned(STATUS_CANCELLED)
        if following is not None:
            source.present(following)
        if source.watchers:
            source.watch()
        if direct:
            queue.present(self)
        elif not cancelled:
            queue.told()
        return STATUS_SUCCESS

    @ddi("WdfRequestRequeue", "NTSTATUS (WDFREQUEST Request)")
    def requeue(self) -> int:
        """Puts the request back at the head of its manual queue.

        :return: STATUS_INVALID_DEVICE_REQUEST if the queue is not manual
        """
        queue = self.queue
        with queue.lock:
            if not queue.manual or self.state != OWNED or self._cancel_routine is not None:
                return STATUS_INVALID_DEVICE_REQUEST
            cancelled = self._cancelled
            self.presented = True
            queue.owned.discard(self)
            if cancelled:
                self.state = COMPLETED
            else:
                self.state = QUEUED
                queue.queued.appendleft(self)
        if cancelled:
            self.finish_unowned(STATUS_CANCELLED)
        if queue.watchers:
            queue.watch()
        if not cancelled:
            queue.told()
        return STATUS_SUCCESS

    @ddi("WdfRequestStopAcknowledge", "VOID (WDFREQUEST Request, BOOLEAN Requeue)")
    def stop_acknowledge(self, *, requeue: bool) -> None:
        """Lets the device leave D0 although the driver owns the request; in EvtIoStop.

        :param requeue: put it back at the head of its queue, instead of keeping it
        """
        if not self.queue.stopping:
            self._violation("is acknowledged outside of EvtIoStop", "StopAckWithinEvtIoStop")
        if requeue and self._cancel_routine is not None:
            self._violation("is requeued while it is cancelable", "ReqMarkCancelableSend")
        self.stop_acknowledged = requeue

    @property
    def device(self) -> "Device":
        """The device that the request was sent to."""
        return self.queue.device

    @property
    def device_above(self) -> "Device":
        """The device that the request was sent to: it has no parent, but belongs to that one."""
        return self.queue.device
