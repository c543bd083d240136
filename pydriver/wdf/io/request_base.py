# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The part of a request that tells its parameters, its buffers and its origin.

`request` has the rest: its completion, its cancellation and its way through queues.
"""

import os
import struct
from typing import TYPE_CHECKING, ClassVar

from pydriver.declarations.binding import Binding
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    NtStatusError,
)
from pydriver.wdf.io.irp import METHOD_NEITHER, Irp, ProcessorMode, RequestType
from pydriver.wdf.io.request_memory import RequestMemory, request_memory
from pydriver.wdf.io.request_parameters import CONTROLS, RequestParameters, parameters_of
from pydriver.wdf.io.request_state import (
    COMPLETED,
    CREATED,
    NOT_CANCELABLE,
    OWNED,
    QUEUED,
    CancelCallback,
    StopState,
)
from pydriver.wdf.memory.mdl import Mdl
from pydriver.wdf.object.ddi import APC_LEVEL, ddi
from pydriver.wdf.object.object import Object, Phase

if TYPE_CHECKING:
    from pydriver.wdf.io.device import IoDevice
    from pydriver.wdf.io.file import File
    from pydriver.wdf.io.queue import IoQueue
    from pydriver.wdf.object.device_base import DeviceBase

__all__ = ("RequestBase",)

_BUFFER_AFTER_COMPLETION = {
    RequestType.READ: "BufAfterReqCompletedRead",
    RequestType.WRITE: "BufAfterReqCompletedWrite",
    RequestType.DEVICE_CONTROL: "BufAfterReqCompletedIoctl",
    RequestType.DEVICE_CONTROL_INTERNAL: "BufAfterReqCompletedIntIoctl",
}
_RUNNING = StopState.RUNNING


class RequestBase(Object):
    """A request, without its completion, its cancellation and its way through queues.

    :ivar number: the number among the system's requests, which the recorder uses
    :ivar length: the number of bytes to read or write, or that a device control may return
    :ivar offset: the offset in the device
    :ivar state: the present holder: a queue, the driver, or none
    :ivar presented: whether the driver has had it, and has given it back to a queue
    :ivar presenting: the queue whose handler is called with it now, or ``None``
    :ivar canceled: whether cancellation was asked for
    :ivar cancel_routine: the cancel routine, see :mod:`pydriver.wdf.io.request_cancellation`
    :ivar stop_state: the effect of EvtIoStop on it
    """

    fx_type: ClassVar[int] = 0x1008

    __slots__ = (
        "_status",
        "cancel_routine",
        "canceled",
        "information",
        "irp",
        "length",
        "number",
        "offset",
        "presented",
        "presenting",
        "queue",
        "state",
        "stop_state",
    )

    irp: Irp
    queue: "IoQueue"

    def __init__(self, irp: Irp, queue: "IoQueue") -> None:
        # Object.__init__, written out: there is one of these for every request.
        self._kernel = queue._kernel
        self._current = queue._current
        self._parent = None
        self._tree = queue._tree
        self._children = None
        self._contexts = None
        self._callbacks = None
        self._references = 1
        self._tags = None
        self._phase = Phase.ALIVE
        self.deletable = False
        self.irp = irp
        self.queue = queue
        self.number = next(queue._tree.request_numbers)
        self.length = irp.length
        self.offset = irp.offset
        self.information = 0
        self.state = QUEUED
        self.presented = False
        self.presenting: object = None
        self.canceled = False
        self.cancel_routine: CancelCallback | None = None
        self.stop_state = _RUNNING
        attributes = queue.io.request_attributes
        if attributes is not None:
            self._attach(attributes)

    def __str__(self) -> str:
        what = "made by the driver" if self.state == CREATED else self.irp
        return f"request {self.number} ({what})"

    @property
    def cancelable(self) -> bool:
        """Whether the driver has allowed cancellation, and the callback has not been taken."""
        return self.cancel_routine not in NOT_CANCELABLE

    # Misuse

    def violation(self, rule: str, message: str) -> None:
        """Reports a violation about this request to the verifier."""
        self._kernel.verifier.violation(rule, message, self)

    def misused(self, what: str) -> None:
        """Reports a DDI for owned requests that was called for another one to the verifier."""
        why = {
            QUEUED: "the driver does not own",
            COMPLETED: "is complete",
            CREATED: "the driver has made itself",
        }.get(self.state, "is not cancelable")
        self.violation("InvalidReqAccess", f"{what} of {self}, which {why}")

    # Parameters and buffers

    @ddi("WdfRequestSetInformation", "VOID (_In_ WDFREQUEST Request, _In_ ULONG_PTR Information)")
    def set_information(self, information: int) -> None:
        """Sets the number of bytes that :meth:`complete` reports."""
        if self.state != OWNED:
            self.misused("WdfRequestSetInformation")
        self.information = information

    @ddi("WdfRequestGetInformation", "ULONG_PTR (_In_ WDFREQUEST Request)")
    def get_information(self) -> int:
        """The number of bytes that :meth:`complete` would report."""
        if self.state != OWNED:
            self.misused("WdfRequestGetInformation")
        return self.information

    @property
    def parameters(self) -> RequestParameters:
        """The parameters of the request; for the framework."""
        return parameters_of(self.irp)

    @ddi(
        "WdfRequestGetParameters",
        "VOID (_In_ WDFREQUEST Request, _Inout_ PWDF_REQUEST_PARAMETERS Parameters)",
    )
    def get_parameters(self) -> RequestParameters:
        """The parameters of the request."""
        if self.state != OWNED:
            self.misused("WdfRequestGetParameters")
        return parameters_of(self.irp)

    @ddi(
        "WdfRequestRetrieveInputBuffer",
        "NTSTATUS (_In_ WDFREQUEST Request, _In_ size_t MinimumRequiredLength, "
        "_Outptr_result_bytebuffer_(*Length) PVOID *Buffer, _Out_opt_ size_t *Length)",
        binding=Binding(
            parameters={"MinimumRequiredLength": "minimum_length"},
            outputs={"Buffer": "result", "Length": "len(result)"},
        ),
    )
    def retrieve_input_buffer(self, minimum_length: int = 0) -> memoryview:
        """The bytes that the application sends.

        :param minimum_length: the number of bytes that the driver needs
        :raises NtStatusError: the request is a read, has no input, or too little of it
        """
        what = "WdfRequestRetrieveInputBuffer"
        self._check_buffer(what)
        return self._buffer(self.irp.input, minimum_length, what, "InputBufferAPI")

    @ddi(
        "WdfRequestRetrieveOutputBuffer",
        "NTSTATUS (_In_ WDFREQUEST Request, _In_ size_t MinimumRequiredSize, "
        "_Outptr_result_bytebuffer_(*Length) PVOID *Buffer, _Out_opt_ size_t *Length)",
        binding=Binding(
            parameters={"MinimumRequiredSize": "minimum_length"},
            outputs={"Buffer": "result", "Length": "len(result)"},
        ),
    )
    def retrieve_output_buffer(self, minimum_length: int = 0) -> memoryview:
        """The buffer for the application's answer.

        :param minimum_length: the number of bytes that the driver needs
        :raises NtStatusError: the request is a write, has no output buffer, or too small a one
        """
        what = "WdfRequestRetrieveOutputBuffer"
        self._check_buffer(what)
        return self._buffer(self.irp.buffer, minimum_length, what, "OutputBufferAPI")

    def _check_buffer(self, what: str) -> None:
        if self.state == OWNED:
            return
        if self.state == COMPLETED:
            rule = _BUFFER_AFTER_COMPLETION.get(self.irp.kind, "InvalidReqAccess")
            self.violation(rule, f"{what} of {self}, which is complete")
        else:
            self.misused(what)
        raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: {self}")

    def _buffer(self, buffer: memoryview | None, minimum: int, what: str, rule: str) -> memoryview:
        irp = self.irp
        if buffer is None:
            self.violation(rule, f"{what} of {self}")
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: {self}")
        neither = irp.kind in CONTROLS and irp.code & 3 == METHOD_NEITHER
        if neither and irp.requestor_mode is ProcessorMode.USER:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: {self}")
        length = len(buffer)
        if not length or length < minimum:
            raise NtStatusError(STATUS_BUFFER_TOO_SMALL, f"{what}: {self}")
        return buffer

    # The memory of the buffers, and the origin

    @ddi(
        "WdfRequestRetrieveInputMemory",
        "NTSTATUS (_In_ WDFREQUEST Request, _Out_ WDFMEMORY *Memory)",
    )
    def retrieve_input_memory(self) -> RequestMemory:
        """The bytes that the application sends, as a memory object that ends with the request.

        :raises NtStatusError: the request is a read, or has no input
        """
        return self._memory("WdfRequestRetrieveInputMemory", output=False)

    @ddi(
        "WdfRequestRetrieveOutputMemory",
        "NTSTATUS (_In_ WDFREQUEST Request, _Out_ WDFMEMORY *Memory)",
    )
    def retrieve_output_memory(self) -> RequestMemory:
        """The buffer for the application's answer, as a memory object that ends with the request.

        :raises NtStatusError: the request is a write, or has no output buffer
        """
        return self._memory("WdfRequestRetrieveOutputMemory", output=True)

    @ddi("WdfRequestRetrieveInputWdmMdl", "NTSTATUS (_In_ WDFREQUEST Request, _Outptr_ PMDL *Mdl)")
    def retrieve_input_wdm_mdl(self) -> Mdl:
        """The description of the bytes that the application sends.

        :raises NtStatusError: the request is a read, or has no input
        """
        return self._memory("WdfRequestRetrieveInputWdmMdl", output=False).mdl

    @ddi("WdfRequestRetrieveOutputWdmMdl", "NTSTATUS (_In_ WDFREQUEST Request, _Outptr_ PMDL *Mdl)")
    def retrieve_output_wdm_mdl(self) -> Mdl:
        """The description of the buffer for the application's answer.

        :raises NtStatusError: the request is a write, or has no output buffer
        """
        return self._memory("WdfRequestRetrieveOutputWdmMdl", output=True).mdl

    def _memory(self, what: str, *, output: bool) -> RequestMemory:
        self._check_buffer(what)
        rule = "OutputBufferAPI" if output else "InputBufferAPI"
        buffer = self._buffer(self.irp.buffer if output else self.irp.input, 0, what, rule)
        return request_memory(self, buffer, output=output)

    @ddi("WdfRequestGetIoQueue", "WDFQUEUE (_In_ WDFREQUEST Request)")
    def get_io_queue(self) -> "IoQueue | None":
        """The queue that presented the request, or holds it; ``None`` for the driver's own."""
        return self.queue

    @ddi("WdfRequestGetFileObject", "WDFFILEOBJECT (_In_ WDFREQUEST Request)")
    def get_file_object(self) -> "File | None":
        """The file that the request was sent to; ``None`` without a file object configuration."""
        if self.state != OWNED:
            self.misused("WdfRequestGetFileObject")
        return self.queue.io.file_of(self)

    @ddi("WdfRequestGetRequestorMode", "KPROCESSOR_MODE (_In_ WDFREQUEST Request)")
    def get_requestor_mode(self) -> ProcessorMode:
        """The sender's mode: USER for an application, KERNEL for a driver and its own requests."""
        return ProcessorMode.KERNEL if self.state == CREATED else self.irp.requestor_mode

    @ddi("WdfRequestGetRequestorProcessId", "ULONG (_In_ WDFREQUEST Request)")
    def get_requestor_process_id(self) -> int:
        """The process that sent the request: this one, which is also the application's."""
        return os.getpid()

    @ddi("WdfRequestIsFrom32BitProcess", "BOOLEAN (_In_ WDFREQUEST Request)", highest=APC_LEVEL)
    def is_from32_bit_process(self) -> bool:
        """Whether pointers of the process that sent the request have 32 bits."""
        return struct.calcsize("P") == 4

    @ddi("WdfRequestWdmGetIrp", "PIRP (_In_ WDFREQUEST Request)")
    def wdm_get_irp(self) -> Irp | None:
        """The I/O request itself; ``None`` for the driver's own, which was never sent."""
        if self.state not in {OWNED, CREATED}:
            self.misused("WdfRequestWdmGetIrp")
        return self.irp

    @property
    def device(self) -> "IoDevice":
        """The device that the request was sent to."""
        return self.queue.io.device

    @property
    def device_above(self) -> "DeviceBase | None":
        """The device that the request was sent to; for a driver's own request, its parent's."""
        return super().device_above if self.queue is None else self.queue.io.device
