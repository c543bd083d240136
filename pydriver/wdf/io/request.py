# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFREQUEST: a request that a queue presents to the driver, or that a driver made [fxrequest.cpp].

`state`, `presenting`, `stop_state` and the cancel routine are guarded by the device's I/O lock,
under which nothing waits and no register is accessed. Whoever changes `state` to COMPLETED
completes the IRP. A request that the driver owns and that is not cancelable is touched by nobody
else: its driver looks at it without the lock.

How it ends is in `request_completion`, how it is cancelled in `request_cancellation`.

What a driver must not do is a violation for the verifier; the call then does what is said at it.
"""

from typing import TYPE_CHECKING, Self, cast

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import handle
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    STATUS_WDF_BUSY,
    STATUS_WDF_REQUEST_INVALID_STATE,
    NtStatusError,
)
from pydriver.wdf.io.request_base import RequestBase
from pydriver.wdf.io.request_cancellation import cancel, cancel_in, end_cancelled, mark, unmark
from pydriver.wdf.io.request_completion import complete
from pydriver.wdf.io.request_parameters import RequestReuseParams
from pydriver.wdf.io.request_state import (
    CREATED,
    OWNED,
    QUEUED,
    CancelCallback,
    StopState,
)
from pydriver.wdf.object.ddi import creation_ddi, ddi
from pydriver.wdf.object.object import Object, ObjectAttributes, check_handle

if TYPE_CHECKING:
    from pydriver.wdf.io.irp import Irp
    from pydriver.wdf.io.queue import IoQueue

__all__ = ("Request",)

_RUNNING = StopState.RUNNING


handle("WDFIOTARGET")  # there are no I/O targets: a driver in C passes NULL


@handle("WDFREQUEST")
class Request(RequestBase):
    """A request: one that a queue presents, or one that the driver has made."""

    __slots__ = ()

    # Requests that a driver makes

    @classmethod
    @creation_ddi(
        "WdfRequestCreate",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES RequestAttributes, "
        "_In_opt_ WDFIOTARGET IoTarget, _Out_ WDFREQUEST *Request)",
        binding=Binding(omits=("IoTarget",)),
    )
    def create(cls, attributes: ObjectAttributes) -> Self:
        """Makes a request of the driver's own, which the driver deletes.

        :param attributes: with a parent: there is no current driver whose object could be the
            default one
        :raises NtStatusError: the attributes are not valid
        """
        attributes, parent = cls.check_attributes_with_parent(attributes, "WdfRequestCreate")
        request = cls.__new__(cls)
        # It has neither, and `state` keeps everybody from looking.
        request.irp, request.queue = cast("Irp", None), cast("IoQueue", None)
        Object.__init__(request, parent._kernel, parent, attributes)
        request.number = next(parent._tree.request_numbers)
        request.length = request.offset = request.information = 0
        request.state = CREATED
        request.presented = request.canceled = False
        request.presenting = None
        request.cancel_routine = None
        request.stop_state = _RUNNING
        request._status = STATUS_SUCCESS
        return request

    @ddi(
        "WdfRequestReuse",
        "NTSTATUS (_In_ WDFREQUEST Request, _In_ PWDF_REQUEST_REUSE_PARAMS ReuseParams)",
        binding=Binding(parameters={"ReuseParams": "parameters"}),
    )
    def reuse(self, parameters: RequestReuseParams) -> None:
        """Makes a request ready to be used again: one that the driver made, or that it owns.

        :param parameters: the status that it shall have
        :raises NtStatusError: STATUS_WDF_REQUEST_INVALID_STATE: a new IRP for a request that was
            not made from one; STATUS_INVALID_DEVICE_REQUEST: the driver does not have the request
        """
        if parameters.new_irp is not None:
            raise NtStatusError(STATUS_WDF_REQUEST_INVALID_STATE, f"WdfRequestReuse({self})")
        if self.state not in {OWNED, CREATED}:
            self.misused("WdfRequestReuse")
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"WdfRequestReuse({self})")
        self._status = parameters.status
        self.information = 0
        self.canceled = False

    @ddi("WdfRequestGetStatus", "NTSTATUS (_In_ WDFREQUEST Request)")
    def get_status(self) -> int:
        """The status of a request that the driver has made: what WdfRequestReuse gave it."""
        if self.state == CREATED:
            return self._status
        self.violation(
            "RequestGetStatusValid", f"WdfRequestGetStatus of {self}, which was never sent"
        )
        return self.irp.status

    # Completion

    @ddi("WdfRequestComplete", "VOID (_In_ WDFREQUEST Request, _In_ NTSTATUS Status)")
    def complete(self, status: int) -> None:
        """Completes the request with the information set before; the driver owns it no more.

        A request that the driver does not own is left alone; one that is cancelable is completed.
        Both are violations.

        :param status: NTSTATUS
        """
        complete(self, status, self.information)

    @ddi(
        "WdfRequestCompleteWithInformation",
        "VOID (_In_ WDFREQUEST Request, _In_ NTSTATUS Status, _In_ ULONG_PTR Information)",
    )
    def complete_with_information(self, status: int, information: int) -> None:
        """Completes the request, as :meth:`complete` does.

        :param status: NTSTATUS
        :param information: bytes that were transferred
        """
        complete(self, status, information)

    @ddi(
        "WdfRequestCompleteWithPriorityBoost",
        "VOID (_In_ WDFREQUEST Request, _In_ NTSTATUS Status, _In_ CCHAR PriorityBoost)",
    )
    def complete_with_priority_boost(self, status: int, priority_boost: int) -> None:
        """Completes the request, as :meth:`complete` does.

        :param status: NTSTATUS
        :param priority_boost: for the thread that waits, -128 to 127; kept in the IRP
        """
        if self.state == OWNED:
            self.irp.priority_boost = priority_boost
        complete(self, status, self.information)

    # Cancellation

    @ddi(
        "WdfRequestMarkCancelable",
        "VOID (_In_ WDFREQUEST Request, _In_ PFN_WDF_REQUEST_CANCEL EvtRequestCancel)",
    )
    def mark_cancelable(self, evt_request_cancel: CancelCallback) -> None:
        """Allows cancellation while the driver owns the request.

        :param evt_request_cancel: EvtRequestCancel(request), at IRQL <= DISPATCH_LEVEL, under the
            queue's presentation lock; has the request completed with STATUS_CANCELLED. Called if
            the request is cancelled already, possibly before this returns
        """
        mark(self, evt_request_cancel, "WdfRequestMarkCancelable", call=True)

    @ddi(
        "WdfRequestMarkCancelableEx",
        "NTSTATUS (_In_ WDFREQUEST Request, _In_ PFN_WDF_REQUEST_CANCEL EvtRequestCancel)",
    )
    def mark_cancelable_ex(self, evt_request_cancel: CancelCallback) -> int:
        """As :meth:`mark_cancelable`, but a request that is cancelled already is left alone.

        :return: STATUS_SUCCESS; STATUS_CANCELLED: then the driver completes it;
            STATUS_INVALID_DEVICE_REQUEST: it is not owned, or cancelable already
        """
        return mark(self, evt_request_cancel, "WdfRequestMarkCancelableEx", call=False)

    @ddi("WdfRequestUnmarkCancelable", "NTSTATUS (_In_ WDFREQUEST Request)")
    def unmark_cancelable(self) -> int:
        """Forbids cancellation again, before completion.

        :return: STATUS_SUCCESS: the driver may complete it; STATUS_CANCELLED: the cancel callback
            has run, or will: the request must not be touched; STATUS_INVALID_DEVICE_REQUEST: it
            was not cancelable
        """
        return unmark(self)

    @ddi("WdfRequestIsCanceled", "BOOLEAN (_In_ WDFREQUEST Request)")
    def is_canceled(self) -> bool:
        """Whether cancellation was asked for; while the request is not cancelable."""
        if self.state != OWNED:
            self.misused("WdfRequestIsCanceled")
        elif self.cancelable:
            self.violation("ReqIsCancOnCancReq", f"{self} is asked, and is cancelable")
            return False
        return self.canceled

    def cancel(self) -> None:
        """The application's wish [IoCancelIrp]; by its IRP."""
        cancel(self)

    # Moving

    @ddi(
        "WdfRequestForwardToIoQueue",
        "NTSTATUS (_In_ WDFREQUEST Request, _In_ WDFQUEUE DestinationQueue)",
    )
    def forward_to_io_queue(self, queue: "IoQueue") -> int:
        """Gives the request to another queue of the device, at its tail.

        :return: STATUS_SUCCESS: the driver owns it no more; STATUS_INVALID_DEVICE_REQUEST: it is
            not owned, or cancelable, or the queue is the same or another device's;
            STATUS_WDF_BUSY: the queue does not accept
        """
        source = self.queue
        if (
            self.state != OWNED
            or self.cancel_routine is not None
            or queue.__class__ is not source.__class__
            or queue is source
            or queue.device is not source.device
        ):
            return self._refuse_move("WdfRequestForwardToIoQueue", queue)
        lock = source.lock
        lock.acquire()
        if not queue.accepting:
            lock.release()
            return STATUS_WDF_BUSY
        cancelled = self.canceled
        self.presented = True
        source.owned.discard(self)
        presenting = self.presenting is source
        following = None if presenting else source.next()
        self.queue = queue
        direct = given = False
        first = not queue.queued
        if cancelled:
            given = cancel_in(self, queue)
        elif queue.straight and not queue.queued and len(queue.owned) < queue.limit:
            direct = True
            queue.owned.add(self)
            self.presenting = queue
            queue.handlers += 1
        else:
            self.state = QUEUED
            queue.queued.append(self)
        lock.release()
        if not presenting:
            if following is not None:
                source.present(following)
            elif source.gated:
                source.dispatch()
        if source.watchers:
            source.watch()
        if direct:
            queue.present(self)
        elif cancelled:
            end_cancelled(self, queue, given=given)
        else:
            queue.told(first=first)
        return STATUS_SUCCESS

    @ddi("WdfRequestRequeue", "NTSTATUS (_In_ WDFREQUEST Request)")
    def requeue(self) -> int:
        """Puts the request back at the head of its manual queue.

        :return: STATUS_INVALID_DEVICE_REQUEST: the queue is not manual, or the request is not
            owned, or cancelable
        """
        queue = self.queue
        if self.state != OWNED or self.cancel_routine is not None:
            return self._refuse_move("WdfRequestRequeue", None)
        if not queue.manual:
            return STATUS_INVALID_DEVICE_REQUEST
        given = False
        with queue.lock:
            cancelled = self.canceled
            self.presented = True
            queue.owned.discard(self)
            first = not queue.queued
            if cancelled:
                given = cancel_in(self, queue)
            else:
                self.state = QUEUED
                queue.queued.appendleft(self)
        if queue.watchers:
            queue.watch()
        if cancelled:
            end_cancelled(self, queue, given=given)
        else:
            queue.told(first=first)
        return STATUS_SUCCESS

    def _refuse_move(self, what: str, queue: "IoQueue | None") -> int:
        if self.state != OWNED:
            self.misused(what)
        elif self.cancel_routine is not None:
            self.violation("ReqMarkCancelableSend", f"{what} of {self}, which is cancelable")
        else:
            check_handle(self._kernel, queue, type(self.queue), what)
            self.violation(
                "ForwardedToWrongQueue", f"{what} of {self} from {self.queue} to {queue}"
            )
        return STATUS_INVALID_DEVICE_REQUEST

    @ddi("WdfRequestStopAcknowledge", "VOID (_In_ WDFREQUEST Request, _In_ BOOLEAN Requeue)")
    def stop_acknowledge(self, *, requeue: bool) -> None:
        """Lets the device leave D0 although the driver owns the request; in EvtIoStop.

        Elsewhere, and for a cancelable request that shall be requeued, nothing happens.

        :param requeue: put it back at the head of its queue, to be presented again in D0, instead
            of keeping it until EvtIoResume
        """
        if self.state != OWNED or self.stop_state is not StopState.STOPPING:
            self.violation("StopAckWithinEvtIoStop", f"{self} is acknowledged outside of EvtIoStop")
        elif requeue and self.cancel_routine is not None:
            self.violation("ReqMarkCancelableSend", f"{self} is requeued while it is cancelable")
        elif requeue:
            self.stop_state = StopState.REQUEUED
        else:
            self.stop_state = StopState.KEPT
            if self.queue.config.evt_io_resume is None:
                self.violation(
                    "EvtIoStopResume",
                    f"{self} is kept in EvtIoStop of {self.queue}, which has no EvtIoResume",
                )
