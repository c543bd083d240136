# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The parameters of a request, and those of the reuse of a driver's own one [wdfrequest.h]."""

from dataclasses import dataclass

from pydriver.declarations.registry import structure
from pydriver.ke.status import STATUS_SUCCESS
from pydriver.wdf.io.irp import METHOD_NEITHER, Irp, RequestType

__all__ = ("CONTROLS", "RequestParameters", "RequestReuseParams", "parameters_of")

CONTROLS = frozenset({RequestType.DEVICE_CONTROL, RequestType.DEVICE_CONTROL_INTERNAL})


@structure(
    "WDF_REQUEST_PARAMETERS",
    """
    USHORT Size;
    UCHAR MinorFunction;
    WDF_REQUEST_TYPE Type;
    union {
        struct {
            PIO_SECURITY_CONTEXT SecurityContext;
            ULONG Options;
            _Alignas(8) USHORT FileAttributes;
            USHORT ShareAccess;
            _Alignas(8) ULONG EaLength;
        } Create;
        struct {
            size_t Length;
            _Alignas(8) ULONG Key;
            LONGLONG DeviceOffset;
        } Read;
        struct {
            size_t Length;
            _Alignas(8) ULONG Key;
            LONGLONG DeviceOffset;
        } Write;
        struct {
            size_t OutputBufferLength;
            _Alignas(8) size_t InputBufferLength;
            _Alignas(8) ULONG IoControlCode;
            PVOID Type3InputBuffer;
        } DeviceIoControl;
        struct {
            PVOID Arg1;
            PVOID Arg2;
            _Alignas(8) ULONG IoControlCode;
            PVOID Arg4;
        } Others;
    } Parameters;
    """,
    omits=("Parameters.Create", "Parameters.Others"),
)
@dataclass(frozen=True, slots=True)
class RequestParameters:
    """WDF_REQUEST_PARAMETERS.

    :ivar type: the IRP's major function
    :ivar length: the number of bytes to read or write
    :ivar device_offset: the offset in the device
    :ivar output_buffer_length: the length of a device control's output, in bytes
    :ivar input_buffer_length: the length of a device control's input, in bytes
    :ivar io_control_code: the control code of a device control
    :ivar type3_input_buffer: the application's input with METHOD_NEITHER, as it is
    :ivar minor_function: the IRP's minor function: 0, IRP_MN_NORMAL
    :ivar key: the key of a read or a write: 0, because nothing is locked
    """

    type: RequestType
    length: int
    device_offset: int
    output_buffer_length: int
    input_buffer_length: int
    io_control_code: int
    type3_input_buffer: memoryview | None = None
    minor_function: int = 0
    key: int = 0


def parameters_of(irp: Irp) -> RequestParameters:
    """The parameters of an IRP."""
    if irp.kind not in CONTROLS:
        return RequestParameters(irp.kind, irp.length, irp.offset, 0, 0, 0)
    size = 0 if irp.input is None else len(irp.input)
    neither = irp.code & 3 == METHOD_NEITHER
    return RequestParameters(
        irp.kind, 0, 0, irp.length, size, irp.code, irp.input if neither else None
    )


@structure(
    "WDF_REQUEST_REUSE_PARAMS",
    """
    ULONG Size;
    ULONG Flags;
    NTSTATUS Status;
    PIRP NewIrp;
    """,
    omits=("Flags",),
)
@dataclass(slots=True)
class RequestReuseParams:
    """WDF_REQUEST_REUSE_PARAMS.

    :ivar status: the status that the request has from then on
    :ivar new_irp: a new IRP, which only a request that was made from an IRP can get
    """

    status: int = STATUS_SUCCESS
    new_irp: Irp | None = None
