# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The retrieval of requests from a queue, and the search in it [WdfIoQueueRetrieve*, Find]."""

from typing import TYPE_CHECKING, Any

from pydriver.declarations.binding import Binding
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_NOT_FOUND,
    STATUS_SUCCESS,
    STATUS_WDF_PAUSED,
    NtStatusError,
)
from pydriver.wdf.io.file import File
from pydriver.wdf.io.queue_config import IoQueueConfig, IoQueueDispatchType, StateCallback
from pydriver.wdf.io.queue_power import QueuePower
from pydriver.wdf.io.queue_presentation import TRANSFERS
from pydriver.wdf.io.request import Request
from pydriver.wdf.io.request_completion import complete
from pydriver.wdf.io.request_parameters import RequestParameters
from pydriver.wdf.io.request_state import OWNED
from pydriver.wdf.object.ddi import ddi
from pydriver.wdf.object.object import Object, ObjectAttributes, check_handle

if TYPE_CHECKING:
    from pydriver.wdf.io.device import IoDevice

__all__ = ("QueueRetrieval",)


class QueueRetrieval(QueuePower):
    """The part of a queue from which the driver takes requests itself."""

    # The requests that were found and still have the reference from that, while verifying.
    __slots__ = ("_found",)

    def __init__(
        self,
        device: "IoDevice",
        parent: Object,
        config: IoQueueConfig,
        attributes: ObjectAttributes,
    ) -> None:
        super().__init__(device, parent, config, attributes)
        self._found: set[Request] = set()

    @ddi(
        "WdfIoQueueRetrieveNextRequest",
        "NTSTATUS (_In_ WDFQUEUE Queue, _Out_ WDFREQUEST *OutRequest)",
        binding=Binding(none="STATUS_NO_MORE_ENTRIES"),
    )
    def retrieve_next_request(self) -> Request | None:
        """Takes the oldest request out of the queue.

        :return: the request; ``None`` for STATUS_NO_MORE_ENTRIES
        :raises NtStatusError: STATUS_WDF_PAUSED: the queue is stopped, or the device not in D0
        """
        return self._retrieve("WdfIoQueueRetrieveNextRequest", None)

    @ddi(
        "WdfIoQueueRetrieveRequestByFileObject",
        "NTSTATUS (_In_ WDFQUEUE Queue, _In_ WDFFILEOBJECT FileObject, "
        "_Out_ WDFREQUEST *OutRequest)",
        binding=Binding(none="STATUS_NO_MORE_ENTRIES"),
    )
    def retrieve_request_by_file_object(self, file: File) -> Request | None:
        """Takes the oldest request of a file out of the queue.

        :return: the request; ``None`` for STATUS_NO_MORE_ENTRIES
        :raises NtStatusError: STATUS_WDF_PAUSED: the queue is stopped, or the device not in D0
        """
        what = "WdfIoQueueRetrieveRequestByFileObject"
        check_handle(self._kernel, file, File, what)
        return self._retrieve(what, file)

    @ddi(
        "WdfIoQueueFindRequest",
        "NTSTATUS (_In_ WDFQUEUE Queue, _In_opt_ WDFREQUEST FoundRequest, "
        "_In_opt_ WDFFILEOBJECT FileObject, _Inout_opt_ PWDF_REQUEST_PARAMETERS Parameters, "
        "_Out_ WDFREQUEST *OutRequest)",
        binding=Binding(
            outputs={"OutRequest": "result[0]", "Parameters": "result[1]"},
            none="STATUS_NO_MORE_ENTRIES",
        ),
    )
    def find_request(
        self, found: Request | None = None, file: File | None = None
    ) -> tuple[Request, RequestParameters] | None:
        """Looks for a request in a manual queue, which keeps it.

        The request that is returned is a tag for :meth:`retrieve_found_request` and for the next
        search; it has one more reference, which the driver drops.

        :param found: an earlier tag, after which the search goes on; ``None``: it starts at the
            oldest request
        :param file: a file, to find its requests only
        :return: the tag and the parameters; ``None`` for STATUS_NO_MORE_ENTRIES
        :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: the queue is not manual;
            STATUS_NOT_FOUND: ``found`` is no longer in the queue
        """
        what = f"WdfIoQueueFindRequest({self})"
        if found is not None:
            check_handle(self._kernel, found, Request, what)
        if not self.manual:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
        with self.lock:
            waiting = list(self.queued)
            if found is not None:
                if found not in waiting:
                    raise NtStatusError(STATUS_NOT_FOUND, what)
                del waiting[: waiting.index(found) + 1]
            for request in waiting:
                if file is None or request.irp.file is file:
                    break
            else:
                return None
            request.reference()
            if self._kernel.verifying:
                self._found.add(request)
            return request, request.parameters

    @ddi(
        "WdfIoQueueRetrieveFoundRequest",
        "NTSTATUS (_In_ WDFQUEUE Queue, _In_ WDFREQUEST FoundRequest, "
        "_Out_ WDFREQUEST *OutRequest)",
    )
    def retrieve_found_request(self, found: Request) -> Request:
        """Takes a request that :meth:`find_request` has found out of the queue.

        :param found: the tag, whose reference the driver still has to drop
        :raises NtStatusError: STATUS_WDF_PAUSED: the queue is stopped, or the device not in D0;
            STATUS_NOT_FOUND: the request was cancelled or retrieved meanwhile;
            STATUS_INVALID_DEVICE_REQUEST: the queue is not manual; only while verifying
        """
        what = f"WdfIoQueueRetrieveFoundRequest({self})"
        kernel = self._kernel
        check_handle(kernel, found, Request, what)
        if kernel.verifying:
            if not self.manual:
                raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
            if found not in self._tags_held():
                kernel.verifier.violation(
                    "WdfIoQueueRetrieveFoundRequest",
                    f"{what}: {found} was not found, or the reference from that is dropped",
                    found,
                )
        with self.lock:
            self._check_running(what)
            if found not in self.queued:
                raise NtStatusError(STATUS_NOT_FOUND, what)
            self._own(found)
        if self._unwanted(found):
            complete(found, STATUS_SUCCESS, 0)
            raise NtStatusError(STATUS_NOT_FOUND, what)
        return found

    @ddi(
        "WdfIoQueueReadyNotify",
        "NTSTATUS (_In_ WDFQUEUE Queue, _In_opt_ PFN_WDF_IO_QUEUE_STATE QueueReady, "
        "_In_opt_ WDFCONTEXT Context)",
    )
    def ready_notify(self, queue_ready: StateCallback | None, context: Any = None) -> int:
        """Sets a callback for the first request that the manual queue gets.

        It is also called when the queue is started, or the device enters D0, and the queue is not
        empty.

        :param queue_ready: EvtIoQueueState(queue, context); ``None`` removes it, while the queue is
            stopped
        :return: STATUS_SUCCESS; or STATUS_INVALID_DEVICE_REQUEST: the queue is not manual, or has a
            callback; or it has none, or is not stopped, and ``None`` was given
        """
        if not self.manual or (queue_ready is None) == (self._ready is None):
            return STATUS_INVALID_DEVICE_REQUEST
        if queue_ready is None:
            if self.dispatching:
                return STATUS_INVALID_DEVICE_REQUEST
            self._ready = None
            return STATUS_SUCCESS
        self._ready = (queue_ready, context)
        if self.queued:
            self.notify_ready()
        return STATUS_SUCCESS

    # The steps

    def _retrieve(self, what: str, file: File | None) -> Request | None:
        if self._kernel.verifying:
            self._check_retrieval(what, by_file=file is not None)
        while True:
            with self.lock:
                self._check_running(f"{what}({self})")
                for request in self.queued:
                    if file is None or request.irp.file is file:
                        break
                else:
                    return None
                self._own(request)
            if not self._unwanted(request):
                return request
            complete(request, STATUS_SUCCESS, 0)

    def _own(self, request: Request) -> None:
        self.queued.remove(request)
        request.state = OWNED
        self.owned.add(request)

    def _unwanted(self, request: Request) -> bool:
        """Whether a request is an empty read or write, which the framework completes."""
        return (
            not request.length
            and request.irp.kind in TRANSFERS
            and not self.config.allow_zero_length_requests
        )

    def _check_running(self, what: str) -> None:
        if not self.dispatching or not self.powered:
            raise NtStatusError(STATUS_WDF_PAUSED, what)

    def _check_retrieval(self, what: str, *, by_file: bool) -> None:
        violation = self._kernel.verifier.violation
        sequential = self.config.dispatch_type is IoQueueDispatchType.SEQUENTIAL
        if sequential and not self.owned:
            violation(
                "SequentialRetrieve",
                f"{what} from {self}, which is sequential, while the driver owns no request",
                self,
            )
        if not by_file and self._tags_held():
            violation(
                "WdfIoQueueRetrieveNextRequest",
                f"{what} from {self}, in which a request was found whose reference is still held",
                self,
            )

    def _tags_held(self) -> set[Request]:
        if self._found:
            self._found = {request for request in self._found if request.references}
        return self._found
