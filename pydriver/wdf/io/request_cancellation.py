# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Cancellation of requests, and its race with the driver [fxrequest.cpp, fxioqueue.cpp].

Under the device's I/O lock `Request.cancel_routine` is one of: ``None``, the request is not
cancelable; the driver's callback; CALLED or LOST, the callback was taken and is called, or will be.
The thread that replaces the callback has won: `unmark` gives the request back to the driver,
`cancel` calls the callback.
"""

from time import perf_counter_ns
from typing import TYPE_CHECKING

from pydriver.declarations.registry import callbacks
from pydriver.ke.status import (
    STATUS_CANCELLED,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
)
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.io.request_completion import complete
from pydriver.wdf.io.request_state import (
    CALLED,
    COMPLETED,
    LOST,
    OWNED,
    QUEUED,
    CancelCallback,
    StopState,
)
from pydriver.wdf.object.object import check_pointer

if TYPE_CHECKING:
    from pydriver.wdf.io.queue_presentation import QueuePresentation
    from pydriver.wdf.io.request import Request

__all__ = ("cancel", "cancel_held", "cancel_in", "end_cancelled", "mark", "unmark")


callbacks(
    __name__,
    {
        "EVT_WDF_REQUEST_CANCEL": "VOID (_In_ WDFREQUEST Request)",
    },
)


def mark(request: "Request", routine: CancelCallback, what: str, *, call: bool) -> int:
    """Makes a request cancelable.

    :param request: the request
    :param routine: the cancel callback
    :param what: the DDI, for the verifier
    :param call: whether to call the routine if the request is cancelled already
    :return: STATUS_SUCCESS; STATUS_CANCELLED; or STATUS_INVALID_DEVICE_REQUEST: the request is
        not owned, or cancelable already
    """
    check_pointer(request._kernel, routine, f"{what}: EvtRequestCancel", request)
    if request.state != OWNED:
        request.misused(what)
        return STATUS_INVALID_DEVICE_REQUEST
    with request.queue.lock:
        marked = request.cancel_routine is not None
        cancelled = request.canceled
        if not marked and not cancelled:
            request.cancel_routine = routine
        elif not marked and call:
            request.cancel_routine = CALLED
    if marked:
        request.violation("MarkCancOnCancReqLocal", f"{what}: {request} is cancelable already")
        return STATUS_INVALID_DEVICE_REQUEST
    if not cancelled:
        return STATUS_SUCCESS
    if call:
        request.queue.deliver(routine, request)
    return STATUS_CANCELLED


def unmark(request: "Request") -> int:
    """Takes the cancel routine back: STATUS_SUCCESS, or STATUS_CANCELLED if it was too late."""
    if request.cancel_routine is None:
        request.misused("WdfRequestUnmarkCancelable")
        return STATUS_INVALID_DEVICE_REQUEST
    with request.queue.lock:
        if not request.cancelable:
            request.cancel_routine = LOST
            return STATUS_CANCELLED
        request.cancel_routine = None
    return STATUS_SUCCESS


def cancel(request: "Request", *, purging: bool = False) -> None:
    """Cancels a request, for the application or for the purge of a queue.

    It is called at IRQL <= DISPATCH_LEVEL.

    :param request: the request
    :param purging: whether to leave a request alone that the driver owns and has not made
        cancelable
    """
    with request.device.io.lock:
        queue = request.queue
        state = request.state
        if state == COMPLETED:
            return
        routine = request.cancel_routine
        callable_now = request.cancelable
        if purging and state == OWNED and not callable_now:
            return
        request.canceled = True
        given = False
        if state == QUEUED:
            queue.queued.remove(request)
            given = cancel_in(request, queue)
        elif not callable_now or request.stop_state is StopState.STOPPING:
            routine = None
        else:
            request.cancel_routine = CALLED
    kernel = request._kernel
    processor = kernel.current.processor
    number = NO_PROCESSOR if processor is None else processor.number
    kernel.record(
        (perf_counter_ns(), Event.CANCEL, number, kernel.irql(), queue, request.number),
    )
    if state == QUEUED:
        end_cancelled(request, queue, given=given)
    elif routine is not None:
        queue.deliver(routine, request)


def cancel_held(request: "Request") -> None:
    """Cancels a request whose cancellation came during EvtIoStop, which has returned."""
    with request.device.io.lock:
        routine = request.cancel_routine
        if request.state != OWNED or not request.canceled or not request.cancelable:
            return
        request.cancel_routine = CALLED
        queue = request.queue
    assert routine is not None
    queue.deliver(routine, request)


def cancel_in(request: "Request", queue: "QueuePresentation") -> bool:
    """Takes a cancelled request that waits in a queue, or is being put there; the lock is held.

    :return: whether the driver gets it by EvtIoCanceledOnQueue, because it has had it before
    """
    if request.presented and queue.config.evt_io_canceled_on_queue is not None:
        request.state = OWNED
        queue.owned.add(request)
        return True
    request.state = OWNED  # the framework's, until end_cancelled() has completed it
    return False


def end_cancelled(request: "Request", queue: "QueuePresentation", *, given: bool) -> None:
    """Ends a cancellation after :func:`cancel_in`, with the lock released."""
    if given:
        callback = queue.config.evt_io_canceled_on_queue
        assert callback is not None
        queue.deliver(callback, queue, request)
        return
    if not request.presented:
        request._callbacks = None  # the driver has never seen it
    complete(request, STATUS_CANCELLED, 0)
