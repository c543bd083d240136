# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDF_FILEOBJECT_CONFIG: a driver's callbacks for the handles of its device."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from pydriver.declarations.registry import callbacks, enumeration, structure
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import STATUS_INVALID_DEVICE_REQUEST, NtStatusError
from pydriver.wdf.object.object import ExecutionLevel, ObjectAttributes, SynchronizationScope
from pydriver.wdf.object.tri_state import TriState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.wdf.io.file import File
    from pydriver.wdf.io.request import Request
    from pydriver.wdf.object.device_base import WdfDevice

__all__ = ("FileObjectClass", "FileObjectConfig", "serializes_file_callbacks")


callbacks(
    __name__,
    {
        "EVT_WDF_DEVICE_FILE_CREATE": "VOID (_In_ WDFDEVICE Device, _In_ WDFREQUEST Request, "
        "_In_ WDFFILEOBJECT FileObject)",
        "EVT_WDF_FILE_CLOSE": "VOID (_In_ WDFFILEOBJECT FileObject)",
        "EVT_WDF_FILE_CLEANUP": "VOID (_In_ WDFFILEOBJECT FileObject)",
    },
    highest=PASSIVE_LEVEL,
)


@enumeration(
    "WDF_FILEOBJECT_CLASS",
    "WdfFileObjectWdf",
    names={"INVALID": "WdfFileObjectInvalid", "NOT_REQUIRED": "WdfFileObjectNotRequired"},
    more={"WdfFileObjectCanBeOptional": 2147483648},
)
class FileObjectClass(IntEnum):
    """WDF_FILEOBJECT_CLASS: whether there is a WDFFILEOBJECT, and where its address is kept."""

    INVALID = 0
    NOT_REQUIRED = 1
    CAN_USE_FS_CONTEXT = 2
    CAN_USE_FS_CONTEXT2 = 3
    CANNOT_USE_FS_CONTEXTS = 4


@structure(
    "WDF_FILEOBJECT_CONFIG",
    """
    ULONG Size;
    PFN_WDF_DEVICE_FILE_CREATE EvtDeviceFileCreate;
    PFN_WDF_FILE_CLOSE EvtFileClose;
    PFN_WDF_FILE_CLEANUP EvtFileCleanup;
    WDF_TRI_STATE AutoForwardCleanupClose;
    WDF_FILEOBJECT_CLASS FileObjectClass;
    """,
)
@dataclass(slots=True)
class FileObjectConfig:
    """WDF_FILEOBJECT_CONFIG. All callbacks are at PASSIVE_LEVEL.

    :ivar evt_device_file_create: (device, request, file), called when a handle is opened; it
        completes the request, whose status decides. Without it, and without a queue for create
        requests, each handle can be opened
    :ivar evt_file_close: (file), called last
    :ivar evt_file_cleanup: (file), called when the handle is closed
    :ivar auto_forward_cleanup_close: whether to pass these requests on to the bus driver; by
        default, a filter does
    :ivar file_object_class: the kind of file object; with NOT_REQUIRED, requests do not have one
        for the driver
    """

    evt_device_file_create: "Callable[[WdfDevice, Request, File | None], None] | None" = None
    evt_file_close: "Callable[[File], None] | None" = None
    evt_file_cleanup: "Callable[[File], None] | None" = None
    auto_forward_cleanup_close: TriState = TriState.USE_DEFAULT
    file_object_class: FileObjectClass = FileObjectClass.CANNOT_USE_FS_CONTEXTS


def serializes_file_callbacks(
    attributes: ObjectAttributes | None, device_level: ExecutionLevel, what: str
) -> bool:
    """Whether the file callbacks run under the device's presentation lock.

    :param attributes: the attributes of the file objects
    :param device_level: the effective execution level of the device
    :param what: the DDI, for the error
    :raises NtStatusError: the synchronization scope is not possible [fxpkggeneral.cpp]
    """
    scope = SynchronizationScope.INHERIT_FROM_PARENT
    if attributes is not None:
        scope = attributes.synchronization_scope
    if scope is SynchronizationScope.QUEUE:
        raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: file objects of scope Queue")
    if scope is not SynchronizationScope.DEVICE:
        return False
    if device_level is not ExecutionLevel.PASSIVE:
        raise NtStatusError(
            STATUS_INVALID_DEVICE_REQUEST,
            f"{what}: file objects of scope Device, for a device above PASSIVE",
        )
    return True
