# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The configuration of a queue, and the queue's states [wdfio.h]."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any

from pydriver.declarations.registry import callbacks, enumeration, structure
from pydriver.wdf.object.tri_state import TriState

if TYPE_CHECKING:
    from pydriver.wdf.io.queue import IoQueue
    from pydriver.wdf.io.request import Request

__all__ = (
    "IoQueueConfig",
    "IoQueueDispatchType",
    "IoQueueState",
    "IoStopAction",
    "StateCallback",
)


callbacks(
    __name__,
    {
        "EVT_WDF_IO_QUEUE_IO_DEFAULT": "VOID (_In_ WDFQUEUE Queue, _In_ WDFREQUEST Request)",
        "EVT_WDF_IO_QUEUE_IO_STOP": "VOID ("
        "_In_ WDFQUEUE Queue, _In_ WDFREQUEST Request, _In_ ULONG ActionFlags)",
        "EVT_WDF_IO_QUEUE_IO_RESUME": "VOID (_In_ WDFQUEUE Queue, _In_ WDFREQUEST Request)",
        "EVT_WDF_IO_QUEUE_IO_READ": "VOID ("
        "_In_ WDFQUEUE Queue, _In_ WDFREQUEST Request, _In_ size_t Length)",
        "EVT_WDF_IO_QUEUE_IO_WRITE": "VOID ("
        "_In_ WDFQUEUE Queue, _In_ WDFREQUEST Request, _In_ size_t Length)",
        "EVT_WDF_IO_QUEUE_IO_DEVICE_CONTROL": "VOID (_In_ WDFQUEUE Queue, _In_ WDFREQUEST Request, "
        "_In_ size_t OutputBufferLength, _In_ size_t InputBufferLength, "
        "_In_ ULONG IoControlCode)",
        "EVT_WDF_IO_QUEUE_IO_INTERNAL_DEVICE_CONTROL": "VOID ("
        "_In_ WDFQUEUE Queue, _In_ WDFREQUEST Request, "
        "_In_ size_t OutputBufferLength, _In_ size_t InputBufferLength, "
        "_In_ ULONG IoControlCode)",
        "EVT_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE": "VOID ("
        "_In_ WDFQUEUE Queue, _In_ WDFREQUEST Request)",
        "EVT_WDF_IO_QUEUE_STATE": "VOID (_In_ WDFQUEUE Queue, _In_ WDFCONTEXT Context)",
    },
)


@enumeration(
    "WDF_IO_QUEUE_DISPATCH_TYPE",
    "WdfIoQueueDispatch",
    more={"WdfIoQueueDispatchInvalid": 0, "WdfIoQueueDispatchMax": 4},
)
class IoQueueDispatchType(IntEnum):
    """WDF_IO_QUEUE_DISPATCH_TYPE."""

    SEQUENTIAL = 1
    PARALLEL = 2
    MANUAL = 3


@enumeration("WDF_IO_QUEUE_STATE", "WdfIoQueue")
class IoQueueState(IntFlag):
    """WDF_IO_QUEUE_STATE."""

    ACCEPT_REQUESTS = 1
    DISPATCH_REQUESTS = 2
    NO_REQUESTS = 4
    DRIVER_NO_REQUESTS = 8
    PNP_HELD = 16

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is owned [WDF_IO_QUEUE_IDLE]."""
        return self & _NOTHING == _NOTHING

    @property
    def ready(self) -> bool:
        """Whether it accepts and presents [WDF_IO_QUEUE_READY]."""
        return self & (_RUNS | IoQueueState.PNP_HELD) == _RUNS

    @property
    def stopped(self) -> bool:
        """Whether it accepts, presents nothing, and nothing is owned [WDF_IO_QUEUE_STOPPED]."""
        wanted = IoQueueState.ACCEPT_REQUESTS | IoQueueState.DRIVER_NO_REQUESTS
        return self & (_RUNS | wanted) == wanted

    @property
    def drained(self) -> bool:
        """Whether it accepts nothing, would present, and is idle [WDF_IO_QUEUE_DRAINED]."""
        wanted = IoQueueState.DISPATCH_REQUESTS | _NOTHING
        return self & (_RUNS | wanted) == wanted

    @property
    def purged(self) -> bool:
        """Whether it accepts nothing and is idle [WDF_IO_QUEUE_PURGED]."""
        return self & (IoQueueState.ACCEPT_REQUESTS | _NOTHING) == _NOTHING


_NOTHING = IoQueueState.NO_REQUESTS | IoQueueState.DRIVER_NO_REQUESTS
_RUNS = IoQueueState.ACCEPT_REQUESTS | IoQueueState.DISPATCH_REQUESTS


@enumeration(
    "WDF_REQUEST_STOP_ACTION_FLAGS",
    "WdfRequestStopAction",
    names={"CANCELABLE": "WdfRequestStopRequestCancelable"},
    more={"WdfRequestStopActionInvalid": 0},
)
class IoStopAction(IntFlag):
    """WDF_REQUEST_STOP_ACTION_FLAGS."""

    SUSPEND = 1
    PURGE = 2
    CANCELABLE = 0x10000000


StateCallback = Callable[["IoQueue", Any], None]


@structure(
    "WDF_IO_QUEUE_CONFIG",
    """
    ULONG Size;
    WDF_IO_QUEUE_DISPATCH_TYPE DispatchType;
    WDF_TRI_STATE PowerManaged;
    BOOLEAN AllowZeroLengthRequests;
    BOOLEAN DefaultQueue;
    PFN_WDF_IO_QUEUE_IO_DEFAULT EvtIoDefault;
    PFN_WDF_IO_QUEUE_IO_READ EvtIoRead;
    PFN_WDF_IO_QUEUE_IO_WRITE EvtIoWrite;
    PFN_WDF_IO_QUEUE_IO_DEVICE_CONTROL EvtIoDeviceControl;
    PFN_WDF_IO_QUEUE_IO_INTERNAL_DEVICE_CONTROL EvtIoInternalDeviceControl;
    PFN_WDF_IO_QUEUE_IO_STOP EvtIoStop;
    PFN_WDF_IO_QUEUE_IO_RESUME EvtIoResume;
    PFN_WDF_IO_QUEUE_IO_CANCELED_ON_QUEUE EvtIoCanceledOnQueue;
    union {
        struct {
            ULONG NumberOfPresentedRequests;
        } Parallel;
    } Settings;
    WDFDRIVER Driver;
    """,
    older={"1.7": "EvtIoCanceledOnQueue", "1.9": "Settings"},
    omits=("Driver",),
)
@dataclass(slots=True)
class IoQueueConfig:
    """WDF_IO_QUEUE_CONFIG.

    :ivar dispatch_type: SEQUENTIAL, PARALLEL or MANUAL
    :ivar evt_io_default: EvtIoDefault(queue, request)
    :ivar evt_io_read: EvtIoRead(queue, request, length)
    :ivar evt_io_write: EvtIoWrite(queue, request, length)
    :ivar evt_io_device_control: EvtIoDeviceControl(queue, request, output_length,
        input_length, code)
    :ivar evt_io_internal_device_control: EvtIoInternalDeviceControl, with the same arguments, for
        the requests of other drivers
    :ivar evt_io_stop: EvtIoStop(queue, request, action_flags), for each owned request when the
        device leaves D0; for queues that are power managed
    :ivar evt_io_resume: EvtIoResume(queue, request), when the device is back, for a request that
        was acknowledged and kept
    :ivar evt_io_canceled_on_queue: EvtIoCanceledOnQueue(queue, request), for a request that was
        presented before; the driver completes it
    :ivar number_of_presented_requests: the limit of a parallel queue; ``None``: unlimited; with 0
        nothing is ever presented
    :ivar default_queue: whether it takes the requests that no other queue of the device takes
    :ivar power_managed: whether nothing is presented outside of D0, which is the default
    :ivar allow_zero_length_requests: whether to present them, instead of completing them at once
    """

    dispatch_type: IoQueueDispatchType
    evt_io_default: "Callable[[IoQueue, Request], None] | None" = None
    evt_io_read: "Callable[[IoQueue, Request, int], None] | None" = None
    evt_io_write: "Callable[[IoQueue, Request, int], None] | None" = None
    evt_io_device_control: "Callable[[IoQueue, Request, int, int, int], None] | None" = None
    evt_io_internal_device_control: "Callable[[IoQueue, Request, int, int, int], None] | None" = (
        None
    )
    evt_io_stop: "Callable[[IoQueue, Request, IoStopAction], None] | None" = None
    evt_io_resume: "Callable[[IoQueue, Request], None] | None" = None
    evt_io_canceled_on_queue: "Callable[[IoQueue, Request], None] | None" = None
    number_of_presented_requests: int | None = None
    default_queue: bool = False
    power_managed: TriState | bool = TriState.USE_DEFAULT
    allow_zero_length_requests: bool = False
