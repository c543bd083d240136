# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The application: sends a file through the driver block by block, and checks what comes back.

The thread in :meth:`Stream.run` reads blocks ahead, and checks those that are done. A completion
callback, which runs in the driver's DPC, only submits blocks that have been read. A passive thread
has to borrow a processor for that, which takes much longer than all that a DPC does, so the thread
submits a block only when nothing is in flight and no callback will come.

What they share are deques, whose appends and pops are atomic:

- `_ready` has blocks that may be submitted, `_done` requests to be checked;
- `_credits` has one entry for each request that may be submitted beyond those in flight. Who
  submits a block has taken a credit, who completes one gives it back;
- a callback gives its credit back and *then* wakes the thread; the thread adds a block and *then*
  looks whether anything is in flight. So no block waits for a callback that does not come.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING

from crc32c import crc32c

from pydriver.drivers.mqdma import CRC_BYTES, IOCTL_COPY
from pydriver.ke import NT_SUCCESS, status_name

if TYPE_CHECKING:
    from pydriver.cli.output import OutputFile
    from pydriver.ke import Kernel
    from pydriver.wdf import File
    from pydriver.wdf.irp import Irp

__all__ = ("Stream",)

AHEAD = 4 << 20
"""Bytes that are read ahead of what is in flight, at most; one block at least."""

BATCH = 8
"""Blocks that one callback submits, at most, because a DPC must be short; and not more than there
are queues: of two blocks that one queue gets at once, the first one's event is overwritten."""


class Block:
    """Buffers of a block; used again for a later block.

    :ivar source: what was read
    :ivar output: room for what the device has copied, and for its CRC-32C
    :ivar number: of the block in the file
    :ivar length: bytes of it; less than the buffers' at the end of the file
    :ivar crc: CRC-32C of what was read
    """

    __slots__ = ("crc", "length", "number", "output", "source")

    def __init__(self, size: int) -> None:
        self.source = bytearray(size)
        self.output = memoryview(bytearray(size + CRC_BYTES))
        self.number = 0
        self.length = 0
        self.crc = 0


class Stream:
    """One file on its way through the device.

    :param kernel: of the system
    :param file: the open device
    :param source: descriptor of the input
    :param output: where the result goes to, or ``None``
    :param size: bytes of a block
    :param queues: of the device
    :param depth: most requests in flight for each of them
    :param before: called with the number of each block before it is submitted
    :ivar verified: bytes that were copied and had the right CRC-32C
    :ivar failure: what went wrong first, or ``None``
    :ivar seconds: that it took
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
        self.verified = 0
        self.failure: str | None = None
        self.seconds = 0.0
        self._kernel = kernel
        self._send = file.device_control_async
        self._source = source
        self._output = output
        self._size = size
        self._window = window = queues * depth
        self._batch = min(queues, BATCH)
        self._before = before
        self._next = 0
        self._ended = False
        self._spare = window + max(1, min(window, AHEAD // size))
        self._free: list[Block] = []
        self._ready: deque[Block] = deque()
        self._done: deque[Irp] = deque()
        self._credits = deque([True] * window)
        self._wake = Lock()
        self._wake.acquire()

    @property
    def in_flight(self) -> int:
        """Requests that have not been completed."""
        return self._window - len(self._credits)

    def run(self) -> None:
        """Sends all of the input; ends early when something is wrong.

        :raises OSError: the input cannot be read or the output not written
        :raises BugCheck: or what else ended the system
        """
        start = perf_counter()
        try:
            while True:
                self._check_done()
                self._read_ahead()
                if not self.in_flight:
                    self._submit(1)
                if self.in_flight:
                    self._kernel.wait(self._wake)
                elif self._ended and not self._done and not self._ready:
                    return
        finally:
            self.seconds = perf_counter() - start

    def _read_ahead(self) -> None:
        while not self._ended and (self._free or self._spare):
            if self._free:
                block = self._free.pop()
            else:
                block = Block(self._size)
                self._spare -= 1
            length = self._read(block)
            if not length:
                self._ended = True
                return
            block.number = self._next
            block.length = length
            self._next += 1
            self._before(block.number)
            self._ready.append(block)
            if not self.in_flight and len(self._ready) >= self._batch:
                self._submit(1)
            self._check_done()

    def _read(self, block: Block) -> int:
        """Fills a block; it is not full at the end of the file only."""
        view = memoryview(block.source)
        length = 0
        while length < self._size:
            got = os.readv(self._source, [view[length:]])
            if not got:
                break
            length += got
        block.crc = crc32c(view[:length])
        return length

    def _submit(self, most: int) -> None:
        """Submits blocks that have been read while there are credits."""
        for _ in range(most):
            try:
                self._credits.popleft()
            except IndexError:
                return
            try:
                block = self._ready.popleft()
            except IndexError:
                self._credits.append(True)
                return
            self._send(
                IOCTL_COPY,
                memoryview(block.source)[: block.length],
                block.output[: block.length + CRC_BYTES],
                self._completed,
                block,
            )

    def _completed(self, irp: "Irp") -> None:
        """In the driver's DPC, or wherever else the request was completed."""
        self._done.append(irp)
        self._credits.append(True)
        self._submit(self._batch)
        with contextlib.suppress(RuntimeError):  # the thread has not yet seen the last one
            self._wake.release()

    def _check_done(self) -> None:
        while self._done:
            irp = self._done.popleft()
            block: Block = irp.context
            failure = self._find_failure(irp, block)
            if failure is None:
                if self._output is not None:
                    result = block.output[: block.length]
                    self._output.write(result, block.number * self._size)
                self.verified += block.length
            elif self.failure is None:
                self.failure = f"block {block.number}: {failure}"
                self._ended = True
            if self.failure is not None:
                self._ready.clear()
            self._free.append(block)

    def _find_failure(self, irp: "Irp", block: Block) -> str | None:
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
        return None
