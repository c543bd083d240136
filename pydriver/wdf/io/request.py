# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFREQUEST: requests that a queue presents, and those that a driver made [fxrequest.cpp].

`state`, `presenting`, `stop_state` and the cancel routine are guarded by the device's I/O lock,
under which nothing waits and no register is accessed. The thread that changes `state` to COMPLETED
completes the IRP. While the driver owns a request that is not cancelable, no other code touches it:
the driver looks at it without the lock.

`request_completion` has the end of a request, and `request_cancellation` its cancellation.

A driver's mistake is a violation for the verifier; each method says what its call does then.
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


handle("WDFIOTARGET")  # I/O targets do not exist here: a driver in C passes NULL


@handle("WDFREQUEST")
class Request(RequestBase):
    """A request that a queue presents, or that the driver has made."""

    __slots__ = ()

    # Requests of the driver's own

    @classmethod
    @creation_ddi(
        "WdfRequestCreate",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES RequestAttributes, "
        "_In_opt_ WDFIOTARGET IoTarget, _Out_ WDFREQUEST *Request)",
        binding=Binding(omits=("IoTarget",)),
    )
    def create(cls, attributes: ObjectAttributes) -> Self:
        """Makes a request of the driver's own, which the driver deletes.

        :param attributes: the attributes, which must name a parent: there is no current driver
            whose object could be the default
        :raises NtStatusError: the attributes are not valid
        """
        attributes, parent = cls.check_attributes_with_parent(attributes, "WdfRequestCreate")
        request = cls.__new__(cls)
        # It has neither queue nor IRP, and its `state` keeps all code from looking for them.
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
        """Makes a request that the driver made, or that it owns, ready to be used again.

        :param parameters: the status that it gets
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
        """The status that WdfRequestReuse gave a request of the driver's own."""
        if self.state == CREATED:
            return self._status
        self.violation(
            "RequestGetStatusValid", f"WdfRequestGetStatus of {self}, which was never sent"
        )
        return self.irp.status

    # Completion

    @ddi("WdfRequestComplete", "VOID (_In_ WDFREQUEST Request, _In_ NTSTATUS Status)")
    def complete(self, status: int) -> None:
        """Completes the request with the information set before; the driver no longer owns it.

        A request that the driver does not own is left alone; a cancelable one is completed. Both
        are violations.

        :param status: the NTSTATUS
        """
        complete(self, status, self.information)

    @ddi(
        "WdfRequestCompleteWithInformation",
        "VOID (_In_ WDFREQUEST Request, _In_ NTSTATUS Status, _In_ ULONG_PTR Information)",
    )
    def complete_with_information(self, status: int, information: int) -> None:
        """Completes the request, as :meth:`complete` does.

        :param status: the NTSTATUS
        :param information: the number of bytes that were transferred
        """
        complete(self, status, information)

    @ddi(
        "WdfRequestCompleteWithPriorityBoost",
        "VOID (_In_ WDFREQUEST Request, _In_ NTSTATUS Status, _In_ CCHAR PriorityBoost)",
    )
    def complete_with_priority_boost(self, status: int, priority_boost: int) -> None:
        """Completes the request, as :meth:`complete` does.

        :param status: the NTSTATUS
        :param priority_boost: the boost for the thread that waits, -128 to 127; kept in the IRP
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
            queue's presentation lock; it has to get the request completed with STATUS_CANCELLED. It
            is called, possibly before this returns, if the request is cancelled already
        """
        mark(self, evt_request_cancel, "WdfRequestMarkCancelable", call=True)

    @ddi(
        "WdfRequestMarkCancelableEx",
        "NTSTATUS (_In_ WDFREQUEST Request, _In_ PFN_WDF_REQUEST_CANCEL EvtRequestCancel)",
    )
    def mark_cancelable_ex(self, evt_request_cancel: CancelCallback) -> int:
        """Allows cancellation, as :meth:`mark_cancelable`, but only of an uncancelled request.

        A request that is cancelled already is left alone.

        :return: STATUS_SUCCESS; STATUS_CANCELLED: the driver has to complete the request now;
            STATUS_INVALID_DEVICE_REQUEST: the request is not owned, or cancelable already
        """
        return mark(self, evt_request_cancel, "WdfRequestMarkCancelableEx", call=False)

    @ddi("WdfRequestUnmarkCancelable", "NTSTATUS (_In_ WDFREQUEST Request)")
    def unmark_cancelable(self) -> int:
        """Forbids cancellation again, before completion.

        :return: STATUS_SUCCESS: the driver may complete the request; STATUS_CANCELLED: the cancel
            callback has run, or will, and the request must not be touched;
            STATUS_INVALID_DEVICE_REQUEST: the request was not cancelable
        """
        return unmark(self)

    @ddi("WdfRequestIsCanceled", "BOOLEAN (_In_ WDFREQUEST Request)")
    def is_canceled(self) -> bool:
        """Whether cancellation was asked for; for a request that is not cancelable."""
        if self.state != OWNED:
            self.misused("WdfRequestIsCanceled")
        elif self.cancelable:
            self.violation(
                "ReqIsCancOnCancReq",
                f"WdfRequestIsCanceled of {self}, which is cancelable: its callback reports it",
            )
            return False
        return self.canceled

    def cancel(self) -> None:
        """Carries out the application's wish to cancel [IoCancelIrp]; called by the IRP."""
        cancel(self)

    # Moving

    @ddi(
        "WdfRequestForwardToIoQueue",
        "NTSTATUS (_In_ WDFREQUEST Request, _In_ WDFQUEUE DestinationQueue)",
    )
    def forward_to_io_queue(self, queue: "IoQueue") -> int:
        """Gives the request to another queue of the device, at its tail.

        :return: STATUS_SUCCESS: the driver no longer owns the request;
            STATUS_INVALID_DEVICE_REQUEST: the request is not owned, or cancelable, or the queue is
            the same or another device's; STATUS_WDF_BUSY: the queue does not accept
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

        :return: STATUS_SUCCESS; or STATUS_INVALID_DEVICE_REQUEST: the queue is not manual, or the
            request is not owned, or cancelable
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

        Outside of EvtIoStop, and for a cancelable request that is to be requeued, nothing happens.

        :param requeue: whether to put the request back at the head of its queue, to be presented
            again in D0, instead of keeping it until EvtIoResume
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
