# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The I/O package of a device: its queues, its files, and the dispatching [fxpkgio.cpp].

`lock` guards the queues and the requests; nothing waits and no register is accessed under it.
"""

from threading import Lock
from typing import TYPE_CHECKING, Any

from pydriver.ke.status import (
    STATUS_ACCESS_DENIED,
    STATUS_DEVICE_NOT_READY,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_WDF_BUSY,
    NtStatusError,
)
from pydriver.wdf.io.device_object import IRP_MJ_CREATE, DeviceObject, DeviceObjectFlags
from pydriver.wdf.io.file import File
from pydriver.wdf.io.file_config import FileObjectClass, FileObjectConfig
from pydriver.wdf.io.irp import Irp, RequestType
from pydriver.wdf.io.queue import IoQueue
from pydriver.wdf.io.queue_config import IoQueueConfig, IoQueueDispatchType
from pydriver.wdf.object.device_base import DeviceState
from pydriver.wdf.object.object import ObjectAttributes
from pydriver.wdf.object.tri_state import TriState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.wdf.io.device import IoDevice
    from pydriver.wdf.io.request import Request
    from pydriver.wdf.io.request_base import RequestBase

__all__ = ("IoPackage",)

_DISPATCHABLE = frozenset(RequestType)
_OPEN = frozenset({DeviceState.STARTED, DeviceState.LOW_POWER})


class IoPackage:
    """The I/O package of one device.

    :param device: the device
    :param device_object: the device's own device object
    :param filter_driver: whether the driver is a filter: it passes on the requests that its queues
        do not handle
    :param file_config: the callbacks of file objects
    :param file_attributes: the attributes of file objects
    :param files_serialized: whether the file callbacks run under the device's presentation lock
    :param request_attributes: the attributes of the requests that are presented
    :param caller_context: EvtIoInCallerContext
    :ivar queues: all queues, in the order of creation
    :ivar files: the open handles
    :ivar powered: whether the device is in D0, so that the queues present requests
    :ivar sees_requests: whether each request goes through :meth:`dispatch`
    :ivar file_closed: the function called when a handle is closed, or was not opened; set by the
        PnP sequences
    """

    __slots__ = (
        "_caller_context",
        "_dispatched",
        "_files_serialized",
        "_io_arrived",
        "_kernel",
        "_own_queue",
        "control_queue",
        "create_queue",
        "default_queue",
        "device",
        "device_object",
        "file_attributes",
        "file_closed",
        "file_config",
        "files",
        "filter",
        "internal_queue",
        "lock",
        "physical_device_object",
        "powered",
        "queues",
        "read_queue",
        "request_attributes",
        "sees_requests",
        "write_queue",
    )

    def __init__(
        self,
        device: "IoDevice",
        device_object: DeviceObject,
        *,
        filter_driver: bool,
        file_config: FileObjectConfig | None,
        file_attributes: ObjectAttributes | None,
        files_serialized: bool,
        request_attributes: ObjectAttributes | None,
        caller_context: "Callable[[Any, Request], None] | None",
    ) -> None:
        assert device_object.attached_to is not None
        self._kernel = device._kernel
        self.device = device
        self.device_object = device_object
        self.physical_device_object = device_object.attached_to
        self.filter = filter_driver
        self.file_config = file_config
        self.file_attributes = file_attributes
        self._files_serialized = files_serialized
        self.request_attributes = request_attributes
        self._caller_context = caller_context
        self._io_arrived: Callable[[], None] | None = None
        self.sees_requests = caller_context is not None
        self.lock = Lock()
        self.powered = False
        self.files: list[File] = []
        self.file_closed: Callable[[], None] = _nothing
        self.queues: list[IoQueue] = []
        self.default_queue: IoQueue | None = None
        self.read_queue: IoQueue | None = None
        self.write_queue: IoQueue | None = None
        self.control_queue: IoQueue | None = None
        self.internal_queue: IoQueue | None = None
        self.create_queue: IoQueue | None = None
        self._dispatched: dict[RequestType, IoQueue] = {}
        self._own_queue: IoQueue | None = None

    # Dispatching

    def configure_dispatching(self, queue: IoQueue, request_type: RequestType, what: str) -> None:
        """Makes a queue take all requests of a type [WdfDeviceConfigureRequestDispatching].

        :raises NtStatusError: the queue cannot take them, another queue takes them already, or
            the device is started [fxdeviceapi.cpp]
        """
        if request_type not in _DISPATCHABLE:
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        if queue.device is not self.device or queue is self.default_queue:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
        if not self.device.initializing:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, what)
        if not queue.handles(request_type):
            raise NtStatusError(
                STATUS_INVALID_DEVICE_REQUEST, f"{what}: {queue} has no handler for such requests"
            )
        if request_type in self._dispatched:
            raise NtStatusError(STATUS_WDF_BUSY, what)
        self._dispatched[request_type] = queue
        queue.deletable = False
        self._update_dispatch()

    def enqueue(self, request: "Request", what: str) -> None:
        """Gives a request of EvtIoInCallerContext to its queue [WdfDeviceEnqueueRequest].

        :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: the request comes from elsewhere, or
            none of the queues takes it; the driver still owns it
        """
        kind = request.irp.kind
        queue = self._dispatched.get(kind)
        if queue is None and kind is not RequestType.CREATE:
            queue = self.default_queue
        if request.queue is not self._own_queue or queue is None:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
        status = request.forward_to_io_queue(queue)
        if status:
            raise NtStatusError(status, what)

    def set_default_queue(self, queue: IoQueue) -> None:
        """Makes a queue take the requests that no other takes; called by its creation."""
        self.default_queue = queue
        self._update_dispatch()

    def _update_dispatch(self) -> None:
        def find(kind: RequestType) -> IoQueue | None:
            queue = self._dispatched.get(kind, self.default_queue)
            # A filter passes on what the default queue would refuse.
            passes_on = self.filter and queue is not None and not queue.handles(kind)
            return None if passes_on else queue

        self.read_queue = find(RequestType.READ)
        self.write_queue = find(RequestType.WRITE)
        self.control_queue = find(RequestType.DEVICE_CONTROL)
        self.internal_queue = find(RequestType.DEVICE_CONTROL_INTERNAL)
        self.create_queue = self._dispatched.get(RequestType.CREATE)

    def watch(self, io_arrived: "Callable[[], None] | None") -> None:
        """Calls a function for each request that arrives, for the power policy.

        :param io_arrived: the function, called at IRQL <= DISPATCH_LEVEL; ``None`` ends the calls
        """
        self._io_arrived = io_arrived
        self.sees_requests = io_arrived is not None or self._caller_context is not None

    def dispatch(self, irp: Irp, queue: IoQueue | None) -> None:
        """Takes a request that does not go straight into a queue; at IRQL <= DISPATCH_LEVEL.

        :param irp: the request
        :param queue: the queue for the request; ``None``: the driver does not have one for it
        """
        io_arrived = self._io_arrived  # once: the power policy may end its watch meanwhile
        if io_arrived is not None:
            io_arrived()
        if self._caller_context is not None:
            request = self._own(irp)
            if request is not None:
                self._kernel.invoke(self._caller_context, self.device, request)
        elif queue is not None:
            queue.submit(irp)
        elif self.filter:
            irp.finish(self.physical_device_object.forward(irp.kind), 0)
        else:
            irp.finish(STATUS_INVALID_DEVICE_REQUEST, 0)

    def _own(self, irp: Irp) -> "Request | None":
        """Makes a request that the driver owns, and that none of its queues has presented."""
        with self.lock:  # two applications may send their first request at once
            queue = self._own_queue
            if queue is None:
                config = IoQueueConfig(IoQueueDispatchType.MANUAL, power_managed=TriState.FALSE)
                queue = IoQueue(self.device, self.device, config, ObjectAttributes())
                self._own_queue = queue
                queue.deletable = False
                self.queues.append(queue)
        return queue.own(irp)

    def outstanding_irps(self) -> list[Irp]:
        """The requests that wait in the queues, or that the driver owns."""
        with self.lock:
            return [
                request.irp for queue in self.queues for request in (*queue.queued, *queue.owned)
            ]

    # Files

    def open(self, name: str, flags: int, timeout: float | None) -> File:
        """Opens the device: see `pydriver.wdf.Device.open`."""
        device = self.device
        if device.state not in _OPEN:
            raise NtStatusError(STATUS_DEVICE_NOT_READY, f"{device} is {device.state.value}")
        if self.files and DeviceObjectFlags.EXCLUSIVE in self.device_object.flags:
            raise NtStatusError(STATUS_ACCESS_DENIED, f"{device} is open already")
        file = File(device, name, flags)
        self.files.append(file)
        try:
            self._create(file, timeout)
        except (NtStatusError, TimeoutError):
            self.files.remove(file)
            file._delete()
            self.file_closed()
            raise
        return file

    def _create(self, file: File, timeout: float | None) -> None:
        config = self.file_config
        callback = None if config is None else config.evt_device_file_create
        if self.create_queue is None and callback is None:
            if self.filter:
                self.physical_device_object.forward(IRP_MJ_CREATE)
            return
        kind = RequestType.CREATE
        irp = Irp(self._kernel, file, kind, 0, 0, 0, None, None, None, None)
        if self.create_queue is not None:
            self.create_queue.submit(irp)
        else:
            assert config is not None
            assert callback is not None
            request = self._own(irp)
            if request is not None:
                none = config.file_object_class == FileObjectClass.NOT_REQUIRED
                self.call_for_file(callback, self.device, request, None if none else file)
        try:
            irp.result(timeout)
        except TimeoutError:
            irp.cancel()
            raise

    def call_for_file(self, callback: "Callable[..., Any] | None", *arguments: Any) -> None:
        """Calls a file callback, at PASSIVE_LEVEL, under the device's lock if it is serialized."""
        if callback is None:
            return
        if not self._files_serialized:
            self._kernel.invoke(callback, *arguments)
            return
        lock = self.device.device_lock
        irql = lock.acquire()
        self._kernel.invoke(callback, *arguments)
        lock.release(irql)

    def file_of(self, request: "RequestBase") -> File | None:
        """The result of WdfRequestGetFileObject for a request of the device."""
        config = self.file_config
        if config is None:
            self._kernel.verifier.violation(
                "FileObjectConfigured",
                f"WdfRequestGetFileObject({request}), but {self.device} does not have a file object"
                " configuration",
                request,
            )
            return None
        required = config.file_object_class != FileObjectClass.NOT_REQUIRED
        return request.irp.file if required else None

    def forward_if_passed_on(self, major_function: int) -> None:
        """Passes a cleanup or a close on to the bus driver, if that is configured."""
        config = self.file_config
        forward = TriState.USE_DEFAULT if config is None else config.auto_forward_cleanup_close
        if forward == TriState.TRUE or (forward == TriState.USE_DEFAULT and self.filter):
            self.physical_device_object.forward(major_function)


def _nothing() -> None:
    """The default of `file_closed`, until the PnP sequences set theirs."""
