# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Streams of a file to a disk, and back from the disk for comparison, block by block."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydriver.cli.jobs.pipeline import Block, Pipeline
from pydriver.ke import NT_SUCCESS, status_name

if TYPE_CHECKING:
    from pydriver.ke import Kernel
    from pydriver.wdf import File, Irp

__all__ = ("DiskReader", "DiskStream", "DiskWriter")

BATCH = 8


class DiskBlock(Block):
    """A request's data.

    :ivar data: the buffer
    :ivar size: bytes of the request, whole blocks of the disk
    """

    __slots__ = ("data", "size")

    def __init__(self, size: int) -> None:
        super().__init__()
        self.data = bytearray(size)
        self.size = 0


class DiskStream(Pipeline[DiskBlock]):
    """The base of both directions.

    :param kernel: the system's kernel
    :param file: the open disk
    :param source: descriptor of the file
    :param size: bytes of a request, a multiple of the disk's block
    :param window: most requests in flight
    :param block_size: bytes of the disk's block; the end of the file is padded to one
    :param before: a function to call with the number of each request before it is sent
    """

    def __init__(
        self,
        kernel: "Kernel",
        file: "File",
        source: int,
        size: int,
        window: int,
        block_size: int,
        before: Callable[[int], None] = lambda number: None,
    ) -> None:
        super().__init__(kernel, size, window, BATCH)
        self._file = file
        self._source = source
        self._block_size = block_size
        self._before = before

    def _new_block(self) -> DiskBlock:
        return DiskBlock(self._size)

    def _read_source(self, block: DiskBlock) -> bytes:
        """The file's part; shorter at its end only."""
        return _pread(self._source, self._size, block.number * self._size)

    def _padded(self, length: int) -> int:
        return -(-length // self._block_size) * self._block_size


class DiskWriter(DiskStream):
    """Writes the file to the disk."""

    def _fill(self, block: DiskBlock) -> int:
        part = self._read_source(block)
        length = len(part)
        if length:
            block.size = self._padded(length)
            block.data[: block.size] = part.ljust(block.size, b"\0")
            self._before(block.number)
        return length

    def _send(self, block: DiskBlock) -> None:
        self._file.write_async(
            memoryview(block.data)[: block.size],
            block.number * self._size,
            self._completed,
            block,
        )

    def _find_failure(self, irp: "Irp", block: DiskBlock) -> str | None:
        return _failure(irp, block)


class DiskReader(DiskStream):
    """Reads the disk, and compares it with the file."""

    def _fill(self, block: DiskBlock) -> int:
        at = block.number * self._size
        length = max(0, min(self._size, os.fstat(self._source).st_size - at))
        block.size = self._padded(length)
        return length

    def _send(self, block: DiskBlock) -> None:
        self._file.read_async(
            memoryview(block.data)[: block.size],
            block.number * self._size,
            self._completed,
            block,
        )

    def _find_failure(self, irp: "Irp", block: DiskBlock) -> str | None:
        failure = _failure(irp, block)
        if failure is None and block.data[: block.length] != self._read_source(block):
            return "what was read differs from the input"
        return failure


def _failure(irp: "Irp", block: DiskBlock) -> str | None:
    if not NT_SUCCESS(irp.status):
        return status_name(irp.status)
    if irp.information != block.size:
        return f"{irp.information} bytes were transferred, not {block.size}"
    return None


def _pread(source: int, size: int, offset: int) -> bytes:
    """Reads at an offset: less than asked for at the end of the file only."""
    data = os.pread(source, size, offset)
    while len(data) < size and (more := os.pread(source, size - len(data), offset + len(data))):
        data += more
    return data
