# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFQUEUE: sequential, parallel and manual queues [fxioqueue.cpp].

`queue_presentation` calls the driver, `queue_states` starts and stops, `queue_power` follows the
device's power, and `queue_retrieval` gives the driver the requests that it asks for.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self

from pydriver.declarations.registry import handle
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_UNSUCCESSFUL,
    STATUS_WDF_NO_CALLBACK,
    NtStatusError,
)
from pydriver.wdf.io.irp import RequestType
from pydriver.wdf.io.queue_config import IoQueueConfig, IoQueueDispatchType
from pydriver.wdf.io.queue_retrieval import QueueRetrieval
from pydriver.wdf.io.request import Request
from pydriver.wdf.io.request_state import COMPLETED, OWNED
from pydriver.wdf.object.ddi import creation_ddi, ddi
from pydriver.wdf.object.device_base import WdfDevice
from pydriver.wdf.object.object import ObjectAttributes, ParentRule, SynchronizationScope
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.sync.serialization import effective_level, effective_scope

if TYPE_CHECKING:
    from pydriver.wdf.io.device import IoDevice
    from pydriver.wdf.io.irp import Irp

__all__ = ("IoQueue",)


@handle("WDFQUEUE")
class IoQueue(QueueRetrieval):
    """A queue of requests."""

    __slots__ = ()

    fx_type: ClassVar[int] = 0x1003
    allows_level: ClassVar[bool] = True
    allows_scope: ClassVar[bool] = True
    passive_disposal: ClassVar[bool] = True

    @classmethod
    @creation_ddi(
        "WdfIoQueueCreate",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PWDF_IO_QUEUE_CONFIG Config, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES QueueAttributes, _Out_opt_ WDFQUEUE *Queue)",
    )
    def create(
        cls,
        device: "IoDevice",
        config: IoQueueConfig,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Creates a queue.

        :param device: the device that the queue belongs to
        :param config: the configuration, which is copied
        :param attributes: the attributes; a parent other than the device must be below the device
        :raises NtStatusError: a check failed [WdfIoQueueCreate]
        """
        what = "WdfIoQueueCreate"
        attributes = cls.check_attributes(attributes, ParentRule.OPTIONAL, what)
        parent = attributes.parent_object or device
        if parent.device_above is not device:
            raise NtStatusError(
                STATUS_INVALID_DEVICE_REQUEST,
                f"{what}: the parent {parent} is not below the device",
            )
        _check_config(config, what)
        if config.default_queue and not device.initializing:
            raise NtStatusError(
                STATUS_INVALID_DEVICE_STATE,
                f"{what}: a default queue for a started device; create it in EvtDriverDeviceAdd",
            )
        if config.default_queue and device.io.default_queue is not None:
            raise NtStatusError(
                STATUS_UNSUCCESSFUL, f"{what}: the device has a default queue already"
            )
        scope = effective_scope(attributes, device.synchronization_scope)
        level = effective_level(attributes, device.execution_level)
        if scope is SynchronizationScope.DEVICE and level is not device.execution_level:
            raise NtStatusError(
                STATUS_INVALID_PARAMETER,
                f"{what}: scope Device, but the level {level.name} is not that of the device",
            )
        managed = config.power_managed == TriState.TRUE
        if config.power_managed == TriState.USE_DEFAULT:
            managed = not device.io.filter
        queue = cls(device, parent, replace(config, power_managed=managed), attributes)
        device.io.queues.append(queue)
        if config.default_queue:
            device.io.set_default_queue(queue)
        return queue

    @ddi("WdfIoQueueGetDevice", "WDFDEVICE (_In_ WDFQUEUE Queue)")
    def get_device(self) -> WdfDevice:
        """The device that the queue belongs to."""
        return self.device

    def handles(self, kind: RequestType) -> bool:
        """Whether the queue can take requests of a kind."""
        config = self.config
        return (
            self.manual
            or config.evt_io_default is not None
            or {
                RequestType.READ: config.evt_io_read,
                RequestType.WRITE: config.evt_io_write,
                RequestType.DEVICE_CONTROL: config.evt_io_device_control,
                RequestType.DEVICE_CONTROL_INTERNAL: config.evt_io_internal_device_control,
            }.get(kind)
            is not None
        )

    def submit(self, irp: "Irp") -> None:
        """Takes a request from the application; at IRQL <= DISPATCH_LEVEL."""
        try:
            request = Request(irp, self)
        except NtStatusError as error:  # there is no guest memory for its context
            irp.finish(error.status, 0)
            return
        irp.request = request
        lock = self.lock
        lock.acquire()
        if self.straight and not self.queued and len(self.owned) < self.limit:
            self.owned.add(request)
            request.state = OWNED
            request.presenting = self
            self.handlers += 1
            lock.release()
            self.present(request)
            return
        accepting = self.accepting
        first = not self.queued
        if accepting:
            self.queued.append(request)
        else:
            request.state = COMPLETED
        lock.release()
        if accepting:
            self.told(first=first)
        else:
            irp.finish(STATUS_INVALID_DEVICE_STATE, 0)

    def own(self, irp: "Irp") -> Request | None:
        """Makes a request that the driver owns, and that the queue does not present.

        :return: the request; ``None`` if the queue does not accept any, or if there is no guest
            memory for the request's context: it is complete then
        """
        try:
            request = Request(irp, self)
        except NtStatusError as error:
            irp.finish(error.status, 0)
            return None
        irp.request = request
        with self.lock:
            accepting = self.accepting
            if accepting:
                self.owned.add(request)
            request.state = OWNED if accepting else COMPLETED
        if accepting:
            return request
        irp.finish(STATUS_INVALID_DEVICE_STATE, 0)
        return None

    def _on_dispose(self) -> None:
        self.close()
        if self in self.io.queues:
            self.io.queues.remove(self)

    def _on_destroy(self) -> None:
        lock = self.serialization_lock
        if lock is not None and self.synchronization_scope is SynchronizationScope.QUEUE:
            self._kernel.verifier.forget_lock(lock)


def _check_config(config: IoQueueConfig, what: str) -> None:
    """Validates the part of the configuration that is independent of the device.

    The checks are those of FxIoQueue::Initialize.

    :raises NtStatusError: the configuration is not valid
    """
    kind = config.dispatch_type
    if kind not in set(IoQueueDispatchType):
        raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: dispatch type {kind}")
    handlers = (
        config.evt_io_default,
        config.evt_io_read,
        config.evt_io_write,
        config.evt_io_device_control,
        config.evt_io_internal_device_control,
    )
    if kind == IoQueueDispatchType.MANUAL:
        if any(handlers):
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: a manual queue with handlers")
    elif not any(handlers):
        raise NtStatusError(STATUS_WDF_NO_CALLBACK, what)
    if config.number_of_presented_requests and kind != IoQueueDispatchType.PARALLEL:
        raise NtStatusError(
            STATUS_INVALID_PARAMETER,
            f"{what}: NumberOfPresentedRequests is for parallel queues only",
        )
