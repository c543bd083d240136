# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The device controls: their codes, their inputs, and the output of the one that has some."""

import struct
from dataclasses import astuple, dataclass

from pydriver.drivers.nvme.spec import IdentifyNamespace, Io, OptionalCommands
from pydriver.ke import NtStatusError
from pydriver.ke.status import STATUS_INVALID_PARAMETER
from pydriver.wdf import Request, ctl_code

__all__ = (
    "IOCTL_DEALLOCATE",
    "IOCTL_FLUSH",
    "IOCTL_GEOMETRY",
    "IOCTL_RESET",
    "IOCTL_WRITE_ZEROES",
    "NEEDED",
    "OPCODES",
    "Geometry",
    "block_ranges",
    "fits",
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
    """Returns the first block and the number of blocks of each range in a device control.

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
        if not fits(offset, length, namespace) or not length:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{length} bytes at {offset}")
        ranges.append((offset // namespace.block_size, length // namespace.block_size))
    if code == IOCTL_WRITE_ZEROES and ranges[0][1] > MOST_BLOCKS:
        raise NtStatusError(STATUS_INVALID_PARAMETER, f"more than {MOST_BLOCKS} blocks")
    return ranges


def fits(offset: int, length: int, namespace: IdentifyNamespace) -> bool:
    """Whether a range consists of whole blocks of the namespace."""
    return not (offset | length) % namespace.block_size and offset + length <= namespace.size
