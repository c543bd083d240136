# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The application's side: an open handle, which is the driver's WDFFILEOBJECT.

with device.open() as file:
    file.write(b"data", offset=0)
    irp = file.read_async(4096, on_complete=lambda irp: print(irp.information))
    irp.wait(timeout=1.0)
"""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydriver.declarations.registry import handle
from pydriver.ke.event import KEvent
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import STATUS_FILE_CLOSED, NtStatusError
from pydriver.wdf.io.device_object import IRP_MJ_CLEANUP, IRP_MJ_CLOSE, WdmFileObject
from pydriver.wdf.io.guest_irp import irp_class
from pydriver.wdf.io.irp import METHOD_BUFFERED, Irp, RequestType
from pydriver.wdf.object.ddi import ddi
from pydriver.wdf.object.device_base import WdfDevice
from pydriver.wdf.object.object import Object

if TYPE_CHECKING:
    from pydriver.wdf.io.device import IoDevice
    from pydriver.wdf.io.queue import IoQueue

__all__ = ("File",)

Completion = Callable[[Irp], object]

READ = RequestType.READ
WRITE = RequestType.WRITE
DEVICE_CONTROL = RequestType.DEVICE_CONTROL
DEVICE_CONTROL_INTERNAL = RequestType.DEVICE_CONTROL_INTERNAL
_NOTHING = memoryview(b"")


@handle("WDFFILEOBJECT")
class File(Object):
    """An open handle.

    The methods that end in ``_async`` are for IRQL <= DISPATCH_LEVEL, completion callbacks
    included; the others wait.

    :param device: the device that was opened
    :param name: the name of the thing that was opened on the device
    :param flags: FO_*
    :ivar closed: whether the application has closed it
    :ivar gone: an event that is set after the driver's last callback for the file
    """

    __slots__ = ("_irp", "closed", "device", "flags", "gone", "io", "name")

    fx_type: ClassVar[int] = 0x1018
    allows_level: ClassVar[bool] = True
    allows_scope: ClassVar[bool] = True

    def __init__(self, device: "IoDevice", name: str, flags: int) -> None:
        super().__init__(device._kernel, device, device.io.file_attributes, deletable=False)
        self.device: WdfDevice = device
        self.io = device.io
        self.name = name
        self.flags = flags
        self.closed = False
        self.gone = KEvent(self._kernel)
        self._irp = irp_class(device)

    def __str__(self) -> str:
        return f"file of {self.device}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or issubclass(kind, Exception):
            self.close()

    # Asynchronous

    def read_async(
        self,
        buffer: "int | bytearray | memoryview",
        offset: int = 0,
        on_complete: Completion | None = None,
        context: Any = None,
    ) -> Irp:
        """Sends a read.

        :param buffer: the destination; or a number of bytes, for a new buffer
        :param offset: the offset in the device
        :param on_complete: the function called with the request when it is complete
        :param context: a value that is kept in the request
        :raises NtStatusError: the file is closed; or the device has its requests' buffers in guest
            memory, and that is exhausted
        """
        if self.closed:
            self._raise_closed()
        target = memoryview(bytearray(buffer) if isinstance(buffer, int) else buffer)
        length = len(target)
        irp = self._irp(
            self._kernel, self, READ, length, offset, 0, None, target, on_complete, context
        )
        io = self.io
        queue = io.read_queue
        if queue is None or io.sees_requests:
            io.dispatch(irp, queue)
        else:
            queue.submit(irp)
        return irp

    def write_async(
        self,
        data: "bytes | bytearray | memoryview",
        offset: int = 0,
        on_complete: Completion | None = None,
        context: Any = None,
    ) -> Irp:
        """Sends a write. ``data`` must not change until it is complete.

        :param data: the data to write
        :param offset: the offset in the device
        :param on_complete: the function called with the request when it is complete
        :param context: a value that is kept in the request
        """
        if self.closed:
            self._raise_closed()
        source = memoryview(data)
        irp = self._irp(
            self._kernel, self, WRITE, len(source), offset, 0, source, None, on_complete, context
        )
        io = self.io
        queue = io.write_queue
        if queue is None or io.sees_requests:
            io.dispatch(irp, queue)
        else:
            queue.submit(irp)
        return irp

    def device_control_async(
        self,
        code: int,
        data: "bytes | bytearray | memoryview" = b"",
        output: "int | bytearray | memoryview" = 0,
        on_complete: Completion | None = None,
        context: Any = None,
    ) -> Irp:
        """Sends a device control.

        With METHOD_BUFFERED (the lower two bits of the code are 0) input and output are the same
        memory for the driver: a new buffer, as long as the longer of the two.

        :param code: the control code, see :func:`pydriver.wdf.io.irp.ctl_code`
        :param data: the input
        :param output: the destination of the output; or its length, for a new buffer
        :param on_complete: the function called with the request when it is complete
        :param context: a value that is kept in the request
        """
        queue = self.io.control_queue
        return self._control(DEVICE_CONTROL, queue, code, data, output, on_complete, context)

    def internal_device_control_async(
        self,
        code: int,
        data: "bytes | bytearray | memoryview" = b"",
        output: "int | bytearray | memoryview" = 0,
        on_complete: Completion | None = None,
        context: Any = None,
    ) -> Irp:
        """Sends an internal device control, as another driver in kernel mode does.

        :param code: the control code, see :func:`pydriver.wdf.io.irp.ctl_code`
        :param data: the input
        :param output: the destination of the output; or its length, for a new buffer
        :param on_complete: the function called with the request when it is complete
        :param context: a value that is kept in the request
        """
        queue = self.io.internal_queue
        return self._control(
            DEVICE_CONTROL_INTERNAL, queue, code, data, output, on_complete, context
        )

    def _control(
        self,
        kind: RequestType,
        queue: "IoQueue | None",
        code: int,
        data: "bytes | bytearray | memoryview",
        output: "int | bytearray | memoryview",
        on_complete: Completion | None,
        context: Any,
    ) -> Irp:
        if self.closed:
            self._raise_closed()
        length = output if isinstance(output, int) else len(output)
        source = target = _NOTHING
        if length or data:
            source, target = _buffers(code, data, output, length)
        irp = self._irp(
            self._kernel, self, kind, length, 0, code, source, target, on_complete, context
        )
        io = self.io
        if queue is None or io.sees_requests:
            io.dispatch(irp, queue)
        else:
            queue.submit(irp)
        return irp

    # Waiting

    def read(self, length: int, offset: int = 0, timeout: float | None = None) -> memoryview:
        """Reads, and waits for the data.

        :param length: the number of bytes
        :param offset: the offset in the device
        :param timeout: the longest wait, in seconds; ``None`` waits for ever
        :return: the data that was read
        :raises NtStatusError: the request failed
        :raises TimeoutError: the request was not complete in time, and has been cancelled
        """
        irp = self.read_async(length, offset)
        self._finish(irp, timeout)
        return irp.output

    def write(
        self,
        data: "bytes | bytearray | memoryview",
        offset: int = 0,
        timeout: float | None = None,
    ) -> int:
        """Writes, and waits until the request is complete.

        :param data: the data to write
        :param offset: the offset in the device
        :param timeout: the longest wait, in seconds; ``None`` waits for ever
        :return: the number of bytes that were written
        :raises NtStatusError: the request failed
        :raises TimeoutError: the request was not complete in time, and has been cancelled
        """
        return self._finish(self.write_async(data, offset), timeout)

    def device_control(
        self,
        code: int,
        data: "bytes | bytearray | memoryview" = b"",
        output_length: int = 0,
        timeout: float | None = None,
    ) -> memoryview:
        """Sends a device control.

        :param code: the control code, see :func:`pydriver.wdf.io.irp.ctl_code`
        :param data: the input
        :param output_length: the number of bytes that the output may have
        :param timeout: the longest wait, in seconds; ``None`` waits for ever
        :return: the output
        :raises NtStatusError: the request failed
        :raises TimeoutError: the request was not complete in time, and has been cancelled
        """
        irp = self.device_control_async(code, data, output_length)
        self._finish(irp, timeout)
        return irp.output

    def internal_device_control(
        self,
        code: int,
        data: "bytes | bytearray | memoryview" = b"",
        output_length: int = 0,
        timeout: float | None = None,
    ) -> memoryview:
        """Sends an internal device control, as another driver in kernel mode does.

        :param code: the control code, see :func:`pydriver.wdf.io.irp.ctl_code`
        :param data: the input
        :param output_length: the number of bytes that the output may have
        :param timeout: the longest wait, in seconds; ``None`` waits for ever
        :return: the output
        :raises NtStatusError: the request failed
        :raises TimeoutError: the request was not complete in time, and has been cancelled
        """
        irp = self.internal_device_control_async(code, data, output_length)
        self._finish(irp, timeout)
        return irp.output

    def _finish(self, irp: Irp, timeout: float | None) -> int:
        try:
            return irp.result(timeout)
        except TimeoutError:
            irp.cancel()
            raise

    def close(self) -> None:
        """Closes the handle; its requests that wait in queues are cancelled. Idempotent.

        EvtFileCleanup is called before this returns, EvtFileClose when the driver has completed all
        requests of the file.
        """
        if self.closed:
            return
        self.closed = True
        if self._kernel.failure is not None:
            return
        io = self.io
        for queue in tuple(io.queues):
            queue.cancel_of_file(self)
        config = io.file_config
        if config is not None:
            io.call_for_file(config.evt_file_cleanup, self)
        io.forward_if_passed_on(IRP_MJ_CLEANUP)
        outstanding = [each for each in io.outstanding_irps() if each.file is self]
        if outstanding:
            self._close_after(outstanding)
        else:
            self._close()

    def _close_after(self, outstanding: list[Irp]) -> None:
        """Closes when these requests are complete: `status` first, then `on_complete`, see Irp."""
        lock = Lock()
        left = set(outstanding)

        def forget(irp: Irp) -> None:
            with lock:
                last = left == {irp}
                left.discard(irp)
            if last:
                self._kernel.threads.run(self._close)

        for irp in outstanding:
            irp.on_complete = _both(irp.on_complete, forget)
            if irp.done:
                forget(irp)

    def _close(self) -> None:
        io = self.io
        config = io.file_config
        if config is not None:
            io.call_for_file(config.evt_file_close, self)
        io.forward_if_passed_on(IRP_MJ_CLOSE)
        io.files.remove(self)
        self._delete()
        self.gone.set()
        io.file_closed()

    @ddi("WdfFileObjectGetDevice", "WDFDEVICE (_In_ WDFFILEOBJECT FileObject)")
    def get_device(self) -> WdfDevice:
        """The device that was opened."""
        return self.device

    @ddi("WdfFileObjectGetFlags", "ULONG (_In_ WDFFILEOBJECT FileObject)")
    def get_flags(self) -> int:
        """The flags with which the device was opened, FO_*."""
        return self.flags

    @ddi(
        "WdfFileObjectGetFileName",
        "PUNICODE_STRING (_In_ WDFFILEOBJECT FileObject)",
        highest=PASSIVE_LEVEL,
    )
    def get_file_name(self) -> str:
        """The name of the thing that was opened on the device."""
        return self.name

    @ddi("WdfFileObjectWdmGetFileObject", "PFILE_OBJECT (_In_ WDFFILEOBJECT FileObject)")
    def wdm_get_file_object(self) -> WdmFileObject:
        """The I/O manager's file object."""
        return WdmFileObject(self.io.device_object, self.name, self.flags)

    def _raise_closed(self) -> None:
        raise NtStatusError(STATUS_FILE_CLOSED, f"{self}")


def _buffers(
    code: int,
    data: "bytes | bytearray | memoryview",
    output: "int | bytearray | memoryview",
    length: int,
) -> tuple[memoryview, memoryview]:
    """The input and the output of a device control, as its method has them."""
    if code & 3 == METHOD_BUFFERED:
        size = len(data)
        shared = memoryview(bytearray(max(size, length)))
        shared[:size] = data
        return shared[:size], shared[:length]
    return memoryview(data), memoryview(bytearray(output) if isinstance(output, int) else output)


def _both(first: Completion | None, second: Completion) -> Completion:
    def call(irp: Irp) -> None:
        if first is not None:
            first(irp)
        second(irp)

    return call
