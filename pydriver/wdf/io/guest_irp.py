# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""I/O requests whose buffers are in guest memory while the driver has them.

The device reaches such a buffer by DMA, without a copy by this process, and code in the guest
reaches it as Python does. The application's own buffer is memory of this process, unless it is a
view of guest memory already, which is used as it is. So the request has blocks of guest memory,
which are filled when it is sent, and copied back and freed when it is complete:

- buffered I/O: one system buffer, for input and output of a device control. The bytes that the
  driver reports as written are copied back; if the request has failed, none are.
- direct I/O: pages that stand for the application's. All of them are copied back, whatever the
  status: they have the bytes that a device has written.
"""

import contextlib
from typing import TYPE_CHECKING, Any, Final

from pydriver.ke.guest_memory import PAGE_SIZE, POOL_ALIGNMENT, GuestBlock
from pydriver.wdf.io.device_object import DeviceObjectFlags
from pydriver.wdf.io.irp import METHOD_BUFFERED, Irp, RequestType
from pydriver.wdf.io.request_parameters import CONTROLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.kernel import Kernel
    from pydriver.wdf.io.device import IoDevice
    from pydriver.wdf.io.file import File

__all__ = ("GuestIrp", "irp_class")

SEVERITY_ERROR: Final = 3
"""The upper two bits of an NTSTATUS that is an error [NT_ERROR]."""


def irp_class(device: "IoDevice") -> type[Irp]:
    """The class of the requests for a device, which decides where their buffers are."""
    return Irp if device.guest_memory is None else GuestIrp


class GuestIrp(Irp):
    """An I/O request with its buffers in guest memory; see :class:`Irp`.

    :raises NtStatusError: STATUS_INSUFFICIENT_RESOURCES: guest memory is exhausted
    """

    __slots__ = ("_back", "_blocks", "_buffered", "_source", "_target")

    def __init__(
        self,
        kernel: "Kernel",
        file: "File",
        kind: RequestType,
        length: int,
        offset: int,
        code: int,
        source: memoryview | None,
        buffer: memoryview | None,
        on_complete: "Callable[[Irp], object] | None",
        context: Any,
    ) -> None:
        super().__init__(
            kernel, file, kind, length, offset, code, source, buffer, on_complete, context
        )
        self._source, self._target = source, buffer
        self._back: memoryview | None = None  # the bytes to copy to the application's buffer
        self._blocks: list[GuestBlock] = []
        control = kind in CONTROLS
        if control:
            self._buffered = code & 3 == METHOD_BUFFERED
        else:
            flags = file.device.device_object.flags
            self._buffered = DeviceObjectFlags.BUFFERED_IO in flags
        try:
            if control and self._buffered:
                self._place_together()
            else:
                self._place_apart(control=control)
        except BaseException:
            self._free()
            raise

    def _place_together(self) -> None:
        """Makes a buffered control's system buffer, as long as the longer of input and output."""
        source, target = self._source, self._target
        assert source is not None
        assert target is not None
        view = self._allocate(max(len(source), len(target)), pages=False)
        if view:
            view[: len(source)] = source
            self.input, self.buffer = view[: len(source)], view[: len(target)]
            self._back = self.buffer

    def _place_apart(self, *, control: bool) -> None:
        source, target = self._source, self._target
        if source:
            # The input of a direct control is buffered.
            pages = not self._buffered and not control
            self.input = self._in_place(source) or self._copy_of(source, pages=pages)
        if target:
            self.buffer = self._in_place(target)
            if self.buffer is None:
                self.buffer = self._copy_of(target, pages=not self._buffered)
                self._back = None if target.readonly else self.buffer

    def _in_place(self, buffer: memoryview) -> memoryview | None:
        """A view of the application's buffer if it is in guest memory; ends with the request."""
        return None if self._kernel.memory.address_of(buffer) is None else buffer[:]

    def _copy_of(self, buffer: memoryview, *, pages: bool) -> memoryview:
        view = self._allocate(buffer.nbytes, pages=pages)
        view[:] = buffer.cast("B")
        return view.toreadonly() if buffer.readonly else view

    def _allocate(self, size: int, *, pages: bool) -> memoryview:
        """A new block; with ``pages``, its pages are not shared with other blocks."""
        if not size:
            return memoryview(b"")
        device = self.file.device
        block = self._kernel.memory.allocate(
            (size + PAGE_SIZE - 1) & -PAGE_SIZE if pages else size,
            f"buffer of a {self.kind.name} request",
            alignment=PAGE_SIZE if pages else POOL_ALIGNMENT,
            owner=device.driver,
        )
        self._blocks.append(block)
        return block.view[:size]

    def _free(self) -> None:
        for block in self._blocks:
            block.free()
        self._blocks.clear()

    def finish(self, status: int, information: int) -> None:
        """Completes the request; the application has its own buffers back."""
        target, back = self._target, self._back
        if target is not None and back is not None:
            size = len(back)
            if self._buffered:
                # The I/O manager copies what was transferred, unless the request has failed.
                size = 0 if status >> 30 == SEVERITY_ERROR else min(information, size)
            target.cast("B")[:size] = back[:size]
        for mine, theirs in ((self.input, self._source), (self.buffer, target)):
            if mine is not None and mine is not theirs:
                with contextlib.suppress(BufferError):  # a library still exports a view of it
                    mine.release()
        self.input, self.buffer, self._back = self._source, target, None
        self._free()
        super().finish(status, information)
