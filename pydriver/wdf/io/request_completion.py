# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The completion of a request: the checks, the translation of its status, and the order.

The cleanup callbacks of a request come before the IRP is complete, its destruction after that.
"""

from time import perf_counter_ns
from typing import TYPE_CHECKING

from pydriver.ke.bugcheck import WDF_VIOLATION, WdfViolation
from pydriver.ke.status import (
    STATUS_DEVICE_BUSY,
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INTERNAL_ERROR,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_WDF_BUSY,
    STATUS_WDF_INTERNAL_ERROR,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS,
    STATUS_WDF_PAUSED,
)
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.io.irp import RequestType
from pydriver.wdf.io.request_memory import end_memory
from pydriver.wdf.io.request_state import COMPLETED, CREATED, LOST, OWNED, QUEUED

if TYPE_CHECKING:
    from pydriver.wdf.io.request import Request

__all__ = ("complete",)

INFORMATION_LENGTH_MISMATCH = 4
"""Parameter 2 of WDF_VIOLATION for REQUEST_FATAL_ERROR."""

_TRANSLATED = {
    STATUS_WDF_PAUSED: STATUS_DEVICE_BUSY,
    STATUS_WDF_BUSY: STATUS_DEVICE_BUSY,
    STATUS_WDF_INTERNAL_ERROR: STATUS_INTERNAL_ERROR,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS: STATUS_INSUFFICIENT_RESOURCES,
}
_WDF_FACILITY = 0x20
_COMPLETE = Event.COMPLETE
_now = perf_counter_ns


def complete(request: "Request", status: int, information: int) -> None:
    """Completes a request that the driver owns; any other is a misuse, and is left alone."""
    if request.state != OWNED or request.cancel_routine is not None:
        if not _may_complete(request):
            return
    else:
        request.state = COMPLETED
    irp = request.irp
    queue = request.queue
    if status >= 0x80000000:
        if status >> 16 & 0xFFF == _WDF_FACILITY:
            status = _TRANSLATED.get(status, STATUS_INVALID_DEVICE_REQUEST)
    elif (
        information > irp.length
        and irp.kind != RequestType.DEVICE_CONTROL_INTERNAL
        and request._kernel.verifying
    ):
        request._kernel.bug_check(
            WDF_VIOLATION,
            WdfViolation.REQUEST_FATAL_ERROR,
            INFORMATION_LENGTH_MISMATCH,
            id(request),
            message=f"{request} is completed with {information} bytes, more than its buffer has",
            subject=request,
        )
    processor = request._current.processor
    request._kernel.record(
        (
            _now(),
            _COMPLETE,
            NO_PROCESSOR if processor is None else processor.number,
            status,
            queue,
            request.number,
        )
    )
    # Cleanup comes before the IRP is complete, and destruction after it.
    disposed = None
    if request._callbacks is not None or request._children is not None or request._references != 1:
        disposed = request._dispose()
        end_memory(disposed)
    try:
        irp.finish(status, information)
    except Exception as error:  # noqa: BLE001 -- the application's completion callback
        request._kernel.escaped(error)
    queue.left(request)
    if disposed is not None:
        for each in disposed:
            each._drop()


def _may_complete(request: "Request") -> bool:
    """Decides about a misused completion; takes the request if the completion goes on."""
    if request.state == CREATED:
        request.violation("ReqDelete", f"{request} is completed; the driver must delete it instead")
        return False
    with request.queue.lock:
        state = request.state
        cancelable = request.cancelable
        if state == OWNED:
            request.state = COMPLETED
        if cancelable:
            request.cancel_routine = None
    if state == OWNED:
        if cancelable:
            request.violation(
                "CompleteCanceledReq", f"{request} is completed while it is cancelable"
            )
        return True
    if state == QUEUED:
        what, rule = "completed by a driver that does not own it", "InvalidReqAccess"
    elif request.cancel_routine is LOST:
        what = "completed again, although WdfRequestUnmarkCancelable said STATUS_CANCELLED"
        rule = "CompleteCanceledReq"
    else:
        what, rule = "completed twice", "DoubleCompletion"
    request.violation(rule, f"{request} is {what}")
    return False
