# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""I/O requests from the sender's side: the parameters, the result, and the wait for it.

`status` is written once, last, by the code that completes the request. A waiter stores `_waiter`
and then looks at `status` again; the completer writes `status` and then looks at `_waiter`: so one
of them sees the other.
"""

import contextlib
from enum import IntEnum
from threading import Lock
from typing import TYPE_CHECKING, Any

from pydriver.declarations.registry import enumeration, stands_for
from pydriver.ke.status import NT_SUCCESS, STATUS_PENDING, NtStatusError, status_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.kernel import Kernel
    from pydriver.wdf.io.file import File
    from pydriver.wdf.io.request import Request

__all__ = (
    "Irp",
    "ProcessorMode",
    "RequestType",
    "ctl_code",
)

METHOD_BUFFERED = 0
METHOD_IN_DIRECT = 1
METHOD_OUT_DIRECT = 2
METHOD_NEITHER = 3

FILE_DEVICE_UNKNOWN = 0x22


@enumeration(
    "WDF_REQUEST_TYPE",
    "WdfRequestType",
    more={
        "WdfRequestTypeCreateNamedPipe": 1,
        "WdfRequestTypeClose": 2,
        "WdfRequestTypeQueryInformation": 5,
        "WdfRequestTypeSetInformation": 6,
        "WdfRequestTypeQueryEA": 7,
        "WdfRequestTypeSetEA": 8,
        "WdfRequestTypeFlushBuffers": 9,
        "WdfRequestTypeQueryVolumeInformation": 10,
        "WdfRequestTypeSetVolumeInformation": 11,
        "WdfRequestTypeDirectoryControl": 12,
        "WdfRequestTypeFileSystemControl": 13,
        "WdfRequestTypeShutdown": 16,
        "WdfRequestTypeLockControl": 17,
        "WdfRequestTypeCleanup": 18,
        "WdfRequestTypeCreateMailSlot": 19,
        "WdfRequestTypeQuerySecurity": 20,
        "WdfRequestTypeSetSecurity": 21,
        "WdfRequestTypePower": 22,
        "WdfRequestTypeSystemControl": 23,
        "WdfRequestTypeDeviceChange": 24,
        "WdfRequestTypeQueryQuota": 25,
        "WdfRequestTypeSetQuota": 26,
        "WdfRequestTypePnp": 27,
        "WdfRequestTypeOther": 28,
        "WdfRequestTypeUsb": 64,
        "WdfRequestTypeNoFormat": 255,
        "WdfRequestTypeMax": 256,
    },
)
class RequestType(IntEnum):
    """WDF_REQUEST_TYPE, the IRP's major function."""

    CREATE = 0
    READ = 3
    WRITE = 4
    DEVICE_CONTROL = 0xE
    DEVICE_CONTROL_INTERNAL = 0xF


@enumeration(
    "MODE",
    c_type="KPROCESSOR_MODE",
    names={"KERNEL": "KernelMode", "USER": "UserMode"},
    more={"MaximumMode": 2},
)
class ProcessorMode(IntEnum):
    """KPROCESSOR_MODE: the mode of the sender of a request."""

    KERNEL = 0
    USER = 1


def ctl_code(
    function: int,
    method: int = METHOD_BUFFERED,
    device_type: int = FILE_DEVICE_UNKNOWN,
    access: int = 0,
) -> int:
    """A device control code [CTL_CODE].

    :param function: the function, 0 to 0xfff; 0x800 and above are the driver's own
    :param method: 0 buffered, 1 in direct, 2 out direct, 3 neither
    :param device_type: FILE_DEVICE_*; FILE_DEVICE_UNKNOWN for most
    :param access: 0 any, 1 read, 2 write
    """
    return device_type << 16 | access << 14 | function << 2 | method


@stands_for("IRP")
class Irp:
    """One request of an application, or of another driver.

    :ivar kind: READ, WRITE, DEVICE_CONTROL or DEVICE_CONTROL_INTERNAL
    :ivar length: the number of bytes to read or to write; the output's length of a device control
    :ivar offset: the offset in the device, for READ and WRITE
    :ivar code: the control code of a device control
    :ivar input: the bytes that the driver reads; ``None`` for READ
    :ivar buffer: the buffer that the driver writes; ``None`` for WRITE
    :ivar on_complete: the function called with the request when it is complete, on the thread that
        completes it, at IRQL <= DISPATCH_LEVEL
    :ivar status: the NTSTATUS; STATUS_PENDING until it is complete
    :ivar information: the number of bytes that were transferred
    :ivar context: a value of the application's own
    """

    __slots__ = (
        "_boost",
        "_kernel",
        "_waiter",
        "buffer",
        "code",
        "context",
        "file",
        "information",
        "input",
        "kind",
        "length",
        "offset",
        "on_complete",
        "request",
        "status",
    )

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
        self._kernel = kernel
        self._waiter: Lock | None = None
        self.file = file
        self.kind = kind
        self.length = length
        self.offset = offset
        self.code = code
        self.input = source
        self.buffer = buffer
        self.on_complete = on_complete
        self.context = context
        self.status = STATUS_PENDING
        self.information = 0
        self.request: Request | None = None

    @property
    def done(self) -> bool:
        """Whether the request is complete."""
        return self.status != STATUS_PENDING

    @property
    def priority_boost(self) -> int:
        """The driver's boost for the thread that waits; no scheduler here applies it."""
        return getattr(self, "_boost", 0)

    @priority_boost.setter
    def priority_boost(self, boost: int) -> None:
        self._boost = boost

    @property
    def requestor_mode(self) -> ProcessorMode:
        """The sender: a driver for internal device controls, an application for all others."""
        internal = self.kind is RequestType.DEVICE_CONTROL_INTERNAL
        return ProcessorMode.KERNEL if internal else ProcessorMode.USER

    @property
    def output(self) -> memoryview:
        """The driver's output: the first ``information`` bytes of the buffer."""
        if self.buffer is None:
            return memoryview(b"")
        return self.buffer[: self.information]

    def wait(self, timeout: float | None = None) -> int:
        """Waits until the request is complete; at PASSIVE_LEVEL.

        :param timeout: the longest wait, in seconds; ``None`` waits for ever
        :return: the NTSTATUS
        :raises TimeoutError: the request is not complete in time
        :raises BugCheck: the system has stopped
        """
        if self.status != STATUS_PENDING:
            return self.status
        kernel = self._kernel
        kernel.check_wait("an application")
        waiter = self._waiter
        if waiter is None:
            waiter = Lock()
            waiter.acquire()
            self._waiter = waiter
        if self.status == STATUS_PENDING:
            if not kernel.wait(waiter, timeout) and self.status == STATUS_PENDING:
                raise TimeoutError(f"{self} is not complete after {timeout} s")
            with contextlib.suppress(RuntimeError):  # it was complete just after the time-out
                waiter.release()  # for the next thread that waits
        return self.status

    def result(self, timeout: float | None = None) -> int:
        """Waits, and raises an error if the request was not a success.

        :param timeout: the longest wait, in seconds; ``None`` waits for ever
        :return: the number of bytes that were transferred
        :raises NtStatusError: the request failed
        :raises TimeoutError: the request is not complete in time
        """
        status = self.wait(timeout)
        if not NT_SUCCESS(status):
            raise NtStatusError(status, str(self))
        return self.information

    def cancel(self) -> bool:
        """Asks for the cancellation of the request [IoCancelIrp].

        :return: ``False`` if the request was complete already; otherwise it will be, some time
        """
        request = self.request
        if request is None or self.status != STATUS_PENDING:
            return False
        request.cancel()
        return True

    def finish(self, status: int, information: int) -> None:
        """Completes the request; called by the framework."""
        self.information = information
        self.status = status
        self.request = None  # else the two would keep each other alive until a garbage collection
        waiter = self._waiter
        if waiter is not None:
            with contextlib.suppress(RuntimeError):  # the system's failure woke it first
                waiter.release()
        on_complete = self.on_complete
        if on_complete is not None:
            on_complete(self)

    def __str__(self) -> str:
        what = {
            RequestType.READ: f"read of {self.length} bytes at {self.offset:#x}",
            RequestType.WRITE: f"write of {self.length} bytes at {self.offset:#x}",
            RequestType.CREATE: "create",
            RequestType.DEVICE_CONTROL_INTERNAL: f"internal device control {self.code:#x}",
        }.get(self.kind, f"device control {self.code:#x}")
        return f"{what}: {status_name(self.status)}"
