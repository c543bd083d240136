# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Device objects of the I/O manager: the device's own, and the bus driver's below it."""

from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from pydriver.declarations.registry import constants, enumeration, stands_for
from pydriver.ke.status import STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS

__all__ = (
    "DeviceIoType",
    "DeviceObject",
    "DeviceObjectFlags",
    "WdmFileObject",
)

IRP_MJ_CREATE = 0x00
IRP_MJ_CLOSE = 0x02
IRP_MJ_CLEANUP = 0x12


@enumeration(
    "WDF_DEVICE_IO_TYPE", "WdfDeviceIo", more={"WdfDeviceIoUndefined": 0, "WdfDeviceIoMaximum": 5}
)
class DeviceIoType(IntEnum):
    """WDF_DEVICE_IO_TYPE: the way in which the buffers of reads and writes reach the driver."""

    NEITHER = 1
    BUFFERED = 2
    DIRECT = 3
    BUFFERED_OR_DIRECT = 4


@constants("DO", "DO_")
class DeviceObjectFlags(IntFlag):
    """DO_*: the flags of a device object."""

    BUFFERED_IO = 0x4
    EXCLUSIVE = 0x8
    DIRECT_IO = 0x10
    POWER_PAGABLE = 0x2000
    POWER_INRUSH = 0x4000


NO_FLAGS = DeviceObjectFlags(0)


@stands_for("DEVICE_OBJECT")
@dataclass
class DeviceObject:
    """DEVICE_OBJECT.

    :ivar name: the name of the device; empty if it does not have one
    :ivar device_type: FILE_DEVICE_*
    :ivar characteristics: FILE_*
    :ivar flags: DO_*
    :ivar alignment_requirement: a mask: the alignment of buffers, less one
    :ivar attached_to: the device object below
    :ivar forwarded: the number of requests that came from above and were not for the device above,
        by their IRP_MJ_* code; for the bottom of the stack
    """

    name: str = ""
    device_type: int = 0x22
    characteristics: int = 0
    flags: DeviceObjectFlags = NO_FLAGS
    alignment_requirement: int = 0
    attached_to: "DeviceObject | None" = None
    forwarded: Counter[int] = field(default_factory=Counter)

    def forward(self, major_function: int) -> int:
        """Passes a request on to the bus driver, which only knows how to open and to close.

        :param major_function: the IRP_MJ_* code
        :return: the NTSTATUS
        """
        self.forwarded[major_function] += 1
        known = {IRP_MJ_CREATE, IRP_MJ_CLOSE, IRP_MJ_CLEANUP}
        return STATUS_SUCCESS if major_function in known else STATUS_INVALID_DEVICE_REQUEST


@stands_for("FILE_OBJECT")
@dataclass(frozen=True)
class WdmFileObject:
    """FILE_OBJECT.

    :ivar device_object: the device object that was opened
    :ivar file_name: the name of the thing that was opened on the device
    :ivar flags: FO_*
    """

    device_object: DeviceObject
    file_name: str
    flags: int
