# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDEVICE: a function device object or a filter; how requests reach its queues and its callbacks.

The PnP and power sequences are in `pydriver.wdf.pnp`.
"""

from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydriver.declarations.registry import handle
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_ACCESS_DENIED,
    STATUS_DEVICE_NOT_READY,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_INVALID_SECURITY_DESCR,
    STATUS_NO_SUCH_DEVICE,
    STATUS_WDF_BUSY,
    NtStatusError,
)
from pydriver.wdf.device.property import DeviceProperties, instance_path
from pydriver.wdf.interrupt.resources import InterruptResources
from pydriver.wdf.io.device_object import (
    IRP_MJ_CREATE,
    DeviceObject,
    DeviceObjectFlags,
    make_device_object,
)
from pydriver.wdf.io.file import File
from pydriver.wdf.io.file_config import FileObjectClass, serializes_file_callbacks
from pydriver.wdf.io.irp import Irp, RequestType
from pydriver.wdf.io.queue import IoQueue
from pydriver.wdf.io.queue_config import IoQueueConfig, IoQueueDispatchType
from pydriver.wdf.object.ddi import RAISES, creation_ddi, ddi
from pydriver.wdf.object.object import (
    ExecutionLevel,
    ObjectAttributes,
    ParentRule,
    SynchronizationScope,
)
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.bus import BusFunction
from pydriver.wdf.pnp.pnp_config import DeviceState
from pydriver.wdf.sync.serialization import (
    CallbackKind,
    PresentationLock,
    effective_level,
    effective_scope,
    make_lock,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.guest_memory import GuestMemory
    from pydriver.system import System
    from pydriver.wdf.device.driver import Driver
    from pydriver.wdf.device.init import DeviceInit
    from pydriver.wdf.io.request import Request
    from pydriver.wdf.io.request_base import RequestBase

__all__ = ("Device",)

_DISPATCHABLE = frozenset(RequestType)


@handle("WDFDEVICE")
class Device(DeviceProperties):
    """A device.

    :ivar function: the PCI function
    :ivar driver: that it belongs to
    :ivar io_lock: guards the queues and the requests; nothing waits under it
    :ivar device_lock: for its own callbacks, and for queues whose scope is DEVICE
    :ivar device_object: its own device object
    :ivar physical_device_object: the bus driver's, at the bottom of the stack
    :ivar guest_memory: where its requests' buffers, and the contexts and the pool of the objects
        below it are; ``None``: in this process
    :ivar sees_requests: each request goes through :meth:`dispatch`
    """

    __slots__ = (
        "_caller_context",
        "_dispatched",
        "_files_serialized",
        "_package_queue",
        "control_queue",
        "create_queue",
        "default_queue",
        "device_lock",
        "device_object",
        "driver",
        "file_attributes",
        "file_config",
        "filter",
        "function",
        "guest_memory",
        "internal_queue",
        "interrupt_mode",
        "interrupt_resources",
        "io_lock",
        "message_limit",
        "physical_device_object",
        "read_queue",
        "request_attributes",
        "system",
        "write_queue",
    )

    fx_type: ClassVar[int] = 0x1002
    allows_level: ClassVar[bool] = True
    allows_scope: ClassVar[bool] = True
    passive_disposal: ClassVar[bool] = True

    def __init__(self, init: "DeviceInit", attributes: ObjectAttributes) -> None:
        driver = init.driver
        level = effective_level(attributes, driver.execution_level)
        serialized = serializes_file_callbacks(init.file_attributes, level, "WdfDeviceCreate")
        # First, for its own context.
        self.driver: Driver = driver
        own = init.guest_memory
        self.guest_memory: GuestMemory | None = driver.guest_memory
        if own is not None:
            self.guest_memory = driver._kernel.memory if own else None
        super().__init__(driver._kernel, driver, attributes, deletable=False)
        self.execution_level = level
        self.synchronization_scope = effective_scope(attributes, driver.synchronization_scope)
        # A quirk of the framework: a level that is inherited from the driver does not count here.
        passive = attributes.execution_level is ExecutionLevel.PASSIVE
        self.callback_kind = CallbackKind.PASSIVE if passive else CallbackKind.DISPATCH
        self.device_lock: PresentationLock = make_lock(self, self.execution_level)
        unlocked = self.synchronization_scope is SynchronizationScope.NONE
        self.serialization_lock = None if unlocked else self.device_lock
        self.system: System = driver.system
        self.function = init.function
        self.interrupt_mode = init.interrupt_mode
        self.message_limit = init.message_limit
        self.interrupt_resources = InterruptResources(
            self.system, init.function, init.interrupt_mode, init.message_limit
        )
        bus = BusFunction(self.system, init.function, self.interrupt_resources)
        self.filter = init.filter
        self.file_config = init.file_config
        self.file_attributes = init.file_attributes
        self._files_serialized = serialized
        self.request_attributes = init.request_attributes
        self.physical_device_object = DeviceObject(
            name="\\Device\\" + instance_path(init.function).replace("\\", "#")
        )
        self.device_object = make_device_object(init, self.physical_device_object)
        self._caller_context = init.evt_io_in_caller_context
        owner = init.power_policy_owner
        self.prepare_power(init.callbacks, bus, pageable=init.power_pageable)
        self.prepare_pnp()
        self.prepare_policy(
            init.policy_callbacks,
            owner=not init.filter if owner is None else owner,
            sees_requests=self._caller_context is not None,
        )
        self.prepare_names()
        self.io_lock = Lock()
        self.default_queue: IoQueue | None = None
        self.read_queue: IoQueue | None = None
        self.write_queue: IoQueue | None = None
        self.control_queue: IoQueue | None = None
        self.internal_queue: IoQueue | None = None
        self.create_queue: IoQueue | None = None
        self._dispatched: dict[RequestType, IoQueue] = {}
        self._package_queue: IoQueue | None = None
        init.device = self

    def __str__(self) -> str:
        return f"{self.driver.name} {self.function.address}"

    @property
    def device_above(self) -> "Device":
        """The device itself."""
        return self

    # DDIs

    @classmethod
    @creation_ddi(
        "WdfDeviceCreate",
        "NTSTATUS (_Inout_ PWDFDEVICE_INIT *DeviceInit, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES DeviceAttributes, _Out_ WDFDEVICE *Device)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create(cls, device_init: "DeviceInit", attributes: ObjectAttributes | None = None) -> Self:
        """Creates the device; in EvtDriverDeviceAdd.

        :param device_init: given to that callback; consumed
        :param attributes: without a parent
        :raises NtStatusError: the attributes are not valid, or ``device_init`` is consumed; it
            has a security descriptor or a class, but no name; its file objects' scope is not
            possible; the device is not there any more
        """
        what = "WdfDeviceCreate"
        attributes = cls.check_attributes(attributes, ParentRule.FORBIDDEN, what)
        if device_init.device is not None:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, what)
        secured = device_init.security_descriptor or device_init.device_class is not None
        if secured and not device_init.name:
            raise NtStatusError(STATUS_INVALID_SECURITY_DESCR, f"{what}: a device without a name")
        if not device_init.function.is_present:
            raise NtStatusError(STATUS_NO_SUCH_DEVICE, f"{what}: {device_init.function}")
        return cls(device_init, attributes)

    @ddi("WdfDeviceGetDriver", "WDFDRIVER (_In_ WDFDEVICE Device)")
    def get_driver(self) -> "Driver":
        """The driver that the device belongs to."""
        return self.driver

    @ddi("WdfDeviceGetDefaultQueue", "WDFQUEUE (_In_ WDFDEVICE Device)")
    def get_default_queue(self) -> "IoQueue | None":
        """The default queue, if there is one."""
        return self.default_queue

    @ddi(
        "WdfDeviceConfigureRequestDispatching",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ WDFQUEUE Queue, _In_ WDF_REQUEST_TYPE RequestType)",
    )
    def configure_request_dispatching(self, queue: "IoQueue", request_type: RequestType) -> None:
        """Has a queue take all requests of a type; in EvtDriverDeviceAdd.

        :param queue: of this device, not its default queue
        :param request_type: CREATE, READ, WRITE, DEVICE_CONTROL or DEVICE_CONTROL_INTERNAL
        :raises NtStatusError: that is not possible [fxdeviceapi.cpp]
        """
        what = "WdfDeviceConfigureRequestDispatching"
        if request_type not in _DISPATCHABLE:
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        if queue.device is not self or queue is self.default_queue:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
        if not self.initializing:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, what)
        if not queue.handles(request_type):
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: no handler in {queue}")
        if request_type in self._dispatched:
            raise NtStatusError(STATUS_WDF_BUSY, what)
        self._dispatched[request_type] = queue
        queue.deletable = False
        self._update_dispatch()

    @ddi("WdfDeviceEnqueueRequest", "NTSTATUS (_In_ WDFDEVICE Device, _In_ WDFREQUEST Request)")
    def enqueue_request(self, request: "Request") -> None:
        """Gives a request to the queue that it is for; in EvtIoInCallerContext.

        :param request: given to that callback
        :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: it comes from elsewhere, or no queue
            takes it; the driver still owns it
        """
        what = f"WdfDeviceEnqueueRequest({request})"
        kind = request.irp.kind
        queue = self._dispatched.get(kind)
        if queue is None and kind is not RequestType.CREATE:
            queue = self.default_queue
        if request.queue is not self._package_queue or queue is None:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
        status = request.forward_to_io_queue(queue)
        if status:
            raise NtStatusError(status, what)

    @ddi(
        "WdfDeviceSetAlignmentRequirement",
        "VOID (_In_ WDFDEVICE Device, _In_ ULONG AlignmentRequirement)",
    )
    def set_alignment_requirement(self, alignment_requirement: int) -> None:
        """Sets how buffers have to be aligned.

        :param alignment_requirement: a mask: the alignment in bytes, less one
        """
        self.device_object.alignment_requirement = alignment_requirement

    @ddi("WdfDeviceGetAlignmentRequirement", "ULONG (_In_ WDFDEVICE Device)")
    def get_alignment_requirement(self) -> int:
        """How buffers have to be aligned, as a mask."""
        return self.device_object.alignment_requirement

    @ddi("WdfDeviceWdmGetDeviceObject", "PDEVICE_OBJECT (_In_ WDFDEVICE Device)")
    def wdm_get_device_object(self) -> DeviceObject:
        """The device's own device object."""
        return self.device_object

    @ddi("WdfDeviceWdmGetAttachedDevice", "PDEVICE_OBJECT (_In_ WDFDEVICE Device)")
    def wdm_get_attached_device(self) -> DeviceObject:
        """The device object that the device's own is attached to."""
        return self.physical_device_object

    @ddi("WdfDeviceWdmGetPhysicalDevice", "PDEVICE_OBJECT (_In_ WDFDEVICE Device)")
    def wdm_get_physical_device(self) -> DeviceObject:
        """The bus driver's device object."""
        return self.physical_device_object

    # Dispatching

    def set_default_queue(self, queue: "IoQueue") -> None:
        """Has a queue take what no other takes; by its creation."""
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

    def dispatch(self, irp: Irp, queue: "IoQueue | None") -> None:
        """Takes a request that does not go straight into a queue; at IRQL <= DISPATCH_LEVEL.

        :param irp: the request
        :param queue: that it is for; ``None``: the driver has none for it
        """
        if self.watches_io:
            self.io_arrived()
        if self._caller_context is not None:
            request = self._own(irp)
            if request is not None:
                self._kernel.invoke(self._caller_context, self, request)
        elif queue is not None:
            queue.submit(irp)
        elif self.filter:
            irp.finish(self.physical_device_object.forward(irp.kind), 0)
        else:
            irp.finish(STATUS_INVALID_DEVICE_REQUEST, 0)

    def _own(self, irp: Irp) -> "Request | None":
        """Makes a request that the driver owns, and that none of its queues has presented."""
        with self.io_lock:  # two applications may send their first request at once
            queue = self._package_queue
            if queue is None:
                config = IoQueueConfig(IoQueueDispatchType.MANUAL, power_managed=TriState.FALSE)
                queue = self._package_queue = IoQueue(self, self, config, ObjectAttributes())
                queue.deletable = False
                self.queues.append(queue)
        return queue.own(irp)

    # The application

    def open(self, name: str = "", flags: int = 0, timeout: float | None = None) -> File:
        """Opens the device [CreateFile].

        :param name: of what to open on it
        :param flags: FO_*, of the file object
        :param timeout: seconds for the driver's answer; ``None`` waits for ever
        :raises NtStatusError: it is not started, or the driver refuses; it is open already, and
            exclusive
        :raises TimeoutError: the driver has not answered; the request has been cancelled
        """
        if self.state not in {DeviceState.STARTED, DeviceState.LOW_POWER}:
            raise NtStatusError(STATUS_DEVICE_NOT_READY, f"{self} is {self.state.value}")
        if self.files and DeviceObjectFlags.EXCLUSIVE in self.device_object.flags:
            raise NtStatusError(STATUS_ACCESS_DENIED, f"{self} is open already")
        file = File(self, name, flags)
        self.files.append(file)
        try:
            self._create(file, timeout)
        except (NtStatusError, TimeoutError):
            self.files.remove(file)
            file._delete()
            self.remove_if_unused()
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
                self.call_for_file(callback, self, request, None if none else file)
        try:
            irp.result(timeout)
        except TimeoutError:
            irp.cancel()
            raise

    def call_for_file(self, callback: "Callable[..., Any] | None", *arguments: Any) -> None:
        """Calls one of the file callbacks, at PASSIVE_LEVEL, under the device's lock if it must."""
        if callback is None:
            return
        if not self._files_serialized:
            self._kernel.invoke(callback, *arguments)
            return
        irql = self.device_lock.acquire()
        self._kernel.invoke(callback, *arguments)
        self.device_lock.release(irql)

    def outstanding_irps(self) -> list[Irp]:
        """Requests that wait in the queues, or that the driver owns."""
        with self.io_lock:
            return [
                request.irp for queue in self.queues for request in (*queue.queued, *queue.owned)
            ]

    def file_of(self, request: "RequestBase") -> File | None:
        """What WdfRequestGetFileObject returns for a request of the device."""
        config = self.file_config
        if config is None:
            self._kernel.verifier.violation(
                "FileObjectConfigured",
                f"WdfRequestGetFileObject({request}), but {self} has no file object configuration",
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

    def _on_dispose(self) -> None:
        self.system.namespace.remove_device(self)

    def _on_destroy(self) -> None:
        self._kernel.verifier.forget_lock(self.device_lock)
