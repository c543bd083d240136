# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The stream of a file through `mqdma`, block by block: copied, and checked."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from crc32c import crc32c

from pydriver.cli.jobs.pipeline import Block, Pipeline
from pydriver.drivers.mqdma import CRC_BYTES, IOCTL_COPY
from pydriver.ke import NT_SUCCESS, status_name

if TYPE_CHECKING:
    from pydriver.cli.files import OutputFile
    from pydriver.ke import Kernel
    from pydriver.wdf import File, Irp

__all__ = ("Stream", "read_block")


class CopyBlock(Block):
    """Buffers of a block.

    :ivar source: the bytes of the input
    :ivar output: room for the copy that the device makes, and for its CRC-32C
    :ivar crc: CRC-32C of the input's bytes
    """

    __slots__ = ("crc", "output", "source")

    def __init__(self, size: int) -> None:
        super().__init__()
        self.source = bytearray(size)
        self.output = memoryview(bytearray(size + CRC_BYTES))
        self.crc = 0


class Stream(Pipeline[CopyBlock]):
    """The stream of one file through the device.

    :param kernel: the system's kernel
    :param file: the open device
    :param source: descriptor of the input
    :param output: the file for the result, or ``None``
    :param size: bytes of a block
    :param queues: hardware queues. One callback submits as many blocks, at most: of two that one
        queue gets at once, the first one's event is overwritten
    :param depth: most requests in flight for each of them
    :param before: a function to call with the number of each block before it is submitted
    """

    def __init__(
        self,
        kernel: "Kernel",
        file: "File",
        source: int,
        output: "OutputFile | None",
        size: int,
        queues: int,
        depth: int,
        before: Callable[[int], None],
    ) -> None:
        super().__init__(kernel, size, queues * depth, queues)
        self._control = file.device_control_async
        self._source = source
        self._output = output
        self._before = before

    def _new_block(self) -> CopyBlock:
        return CopyBlock(self._size)

    def _fill(self, block: CopyBlock) -> int:
        length = read_block(self._source, block.source)
        if length:
            block.crc = crc32c(memoryview(block.source)[:length])
            self._before(block.number)
        return length

    def _send(self, block: CopyBlock) -> None:
        self._control(
            IOCTL_COPY,
            memoryview(block.source)[: block.length],
            block.output[: block.length + CRC_BYTES],
            self._completed,
            block,
        )

    def _find_failure(self, irp: "Irp", block: CopyBlock) -> str | None:
        length = block.length
        if not NT_SUCCESS(irp.status):
            return status_name(irp.status)
        if irp.information != length + CRC_BYTES:
            return f"{irp.information} bytes came back, not {length + CRC_BYTES}"
        crc = int.from_bytes(block.output[length : length + CRC_BYTES], "little")
        if crc != block.crc:
            return f"the device's CRC-32C is {crc:#010x}, not {block.crc:#010x}"
        # A bytearray compares itself with a buffer at the speed of memcmp, a memoryview does not.
        source = block.source if length == self._size else block.source[:length]
        if source != block.output[:length]:
            return "the copy differs from the input"
        if self._output is not None:
            self._output.write(block.output[:length], block.number * self._size)
        return None


def read_block(source: int, buffer: bytearray) -> int:
    """Fills a buffer from a file. Only at the end of the file it is not full.

    :param source: descriptor of the file
    :return: bytes that were read
    :raises OSError: the file cannot be read
    """
    view = memoryview(buffer)
    length = 0
    while length < len(buffer):
        got = os.readv(source, [view[length:]])
        if not got:
            break
        length += got
    return length
