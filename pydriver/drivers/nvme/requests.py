# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The requests of applications: device controls, checks, and the choice of a queue pair."""

import struct
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from pydriver.drivers.nvme.spec import IdentifyNamespace, Io, OptionalCommands
from pydriver.ke import NtStatusError
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_NO_SUCH_DEVICE,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
)
from pydriver.wdf import Device, IoQueue, IoQueueConfig, IoQueueDispatchType, Request, ctl_code

if TYPE_CHECKING:
    from pydriver.drivers.nvme.controller import NvmeController

__all__ = (
    "IOCTL_DEALLOCATE",
    "IOCTL_FLUSH",
    "IOCTL_GEOMETRY",
    "IOCTL_RESET",
    "IOCTL_WRITE_ZEROES",
    "OPCODES",
    "Geometry",
    "Router",
    "block_ranges",
    "range_bytes",
)

IOCTL_FLUSH = ctl_code(0x800)
"""All data written before is on the medium when this request ends."""

IOCTL_WRITE_ZEROES = ctl_code(0x801)
"""Input: :func:`range_bytes` of one range, of up to 65536 blocks."""

IOCTL_DEALLOCATE = ctl_code(0x802)
"""Input: :func:`range_bytes` of up to 256 ranges, whose contents are no longer needed."""

IOCTL_GEOMETRY = ctl_code(0x803)
"""Output: the bytes of a :class:`Geometry`."""

IOCTL_RESET = ctl_code(0x804)
"""Resets the controller; no request in flight is lost."""

_RANGE = struct.Struct("<QQ")
_GEOMETRY = struct.Struct("<QII")
MOST_BLOCKS = 1 << 16
MOST_RANGES = 256

OPCODES = {
    IOCTL_FLUSH: Io.FLUSH,
    IOCTL_WRITE_ZEROES: Io.WRITE_ZEROES,
    IOCTL_DEALLOCATE: Io.DATASET_MANAGEMENT,
}

NEEDED = {
    IOCTL_WRITE_ZEROES: OptionalCommands.WRITE_ZEROES,
    IOCTL_DEALLOCATE: OptionalCommands.DATASET_MANAGEMENT,
}


def range_bytes(*ranges: tuple[int, int]) -> bytes:
    """The input of a device control that takes ranges.

    :param ranges: offset and length of each range, in bytes, both multiples of the block size
    """
    return b"".join(_RANGE.pack(*each) for each in ranges)


@dataclass(frozen=True, slots=True)
class Geometry:
    """The output of IOCTL_GEOMETRY.

    :ivar blocks: number of blocks of the namespace
    :ivar block_size: bytes of a block
    :ivar namespace: identifier of the namespace
    """

    blocks: int
    block_size: int
    namespace: int

    SIZE = _GEOMETRY.size

    @classmethod
    def parse(cls, data: bytes | memoryview) -> "Geometry":
        """Parses the output."""
        return cls(*_GEOMETRY.unpack(data))

    def pack(self) -> bytes:
        """The bytes of the output."""
        return _GEOMETRY.pack(*astuple(self))


def block_ranges(
    request: Request, code: int, namespace: IdentifyNamespace
) -> list[tuple[int, int]]:
    """First block and number of blocks of each range that a device control names.

    :raises NtStatusError: there are no ranges, or too many, or one is not in the namespace
    """
    if code == IOCTL_FLUSH:
        return []
    data = request.retrieve_input_buffer(_RANGE.size)
    most = MOST_RANGES if code == IOCTL_DEALLOCATE else 1
    if len(data) % _RANGE.size or len(data) > most * _RANGE.size:
        raise NtStatusError(STATUS_INVALID_PARAMETER, f"{len(data)} bytes of ranges")
    ranges = []
    for offset, length in _RANGE.iter_unpack(data):
        if not _fits(offset, length, namespace) or not length:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{length} bytes at {offset}")
        ranges.append((offset // namespace.block_size, length // namespace.block_size))
    if code == IOCTL_WRITE_ZEROES and ranges[0][1] > MOST_BLOCKS:
        raise NtStatusError(STATUS_INVALID_PARAMETER, f"more than {MOST_BLOCKS} blocks")
    return ranges


def _fits(offset: int, length: int, namespace: IdentifyNamespace) -> bool:
    """Whether a range consists of whole blocks of the namespace."""
    return not (offset | length) % namespace.block_size and offset + length <= namespace.size


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
        if not _fits(request.offset, length, namespace):
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
