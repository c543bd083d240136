# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The requests of applications: checks, and which queue pair serves what."""

from typing import TYPE_CHECKING

from pydriver.drivers.nvme.controls import (
    IOCTL_GEOMETRY,
    IOCTL_RESET,
    NEEDED,
    OPCODES,
    Geometry,
    block_ranges,
    fits,
)
from pydriver.ke import NtStatusError
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_NO_SUCH_DEVICE,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
)
from pydriver.wdf import Device, IoQueue, IoQueueConfig, IoQueueDispatchType, Request

if TYPE_CHECKING:
    from pydriver.drivers.nvme.controller import NvmeController

__all__ = ("Router",)


class Router:
    """The default queue, which checks requests and forwards them to the queue pairs in turn.

    :param device: the controller's device
    :param controller: its context
    """

    def __init__(self, device: Device, controller: "NvmeController") -> None:
        self._controller = controller
        self._count = 0
        IoQueue.create(
            device,
            IoQueueConfig(
                IoQueueDispatchType.PARALLEL,
                evt_io_read=self._evt_io_transfer,
                evt_io_write=self._evt_io_transfer,
                evt_io_device_control=self._evt_io_device_control,
                default_queue=True,
            ),
        )

    def _evt_io_transfer(self, queue: IoQueue, request: Request, length: int) -> None:
        namespace = self._controller.namespace_of(request)
        if not fits(request.offset, length, namespace):
            request.complete(STATUS_INVALID_PARAMETER)
        elif not length:
            request.complete_with_information(STATUS_SUCCESS, 0)
        else:
            self._forward(request)

    def _forward(self, request: Request) -> None:
        controller = self._controller
        if controller.gone:
            request.complete(STATUS_NO_SUCH_DEVICE)
            return
        self._count = number = self._count + 1
        request.forward_to_io_queue(controller.used[number % len(controller.used)].queue)

    def _evt_io_device_control(
        self, queue: IoQueue, request: Request, output: int, length: int, code: int
    ) -> None:
        controller = self._controller
        if code == IOCTL_RESET:
            controller.reset_for(request)
        elif code == IOCTL_GEOMETRY:
            self._tell_geometry(request, output)
        elif code not in OPCODES:
            request.complete(STATUS_INVALID_DEVICE_REQUEST)
        elif NEEDED.get(code, 0) & ~controller.identity.optional_commands:
            request.complete(STATUS_NOT_SUPPORTED)
        else:
            try:
                block_ranges(request, code, controller.namespace_of(request))
            except NtStatusError as error:
                request.complete(error.status)
            else:
                self._forward(request)

    def _tell_geometry(self, request: Request, output: int) -> None:
        if output < Geometry.SIZE:
            request.complete(STATUS_BUFFER_TOO_SMALL)
            return
        namespace = self._controller.namespace_of(request)
        geometry = Geometry(namespace.blocks, namespace.block_size, namespace.identifier)
        request.retrieve_output_buffer()[: Geometry.SIZE] = geometry.pack()
        request.complete_with_information(STATUS_SUCCESS, Geometry.SIZE)
