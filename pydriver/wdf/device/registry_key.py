# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFKEY: registry keys, over the system's registry in memory."""

from enum import IntFlag
from typing import ClassVar

from pydriver.declarations.registry import constants, handle
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.registry import Registry
from pydriver.ke.status import (
    STATUS_ACCESS_DENIED,
    STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_OBJECT_TYPE_MISMATCH,
    NtStatusError,
)
from pydriver.wdf.object.ddi import RAISES, ddi
from pydriver.wdf.object.object import Object, ObjectAttributes

__all__ = (
    "KEY_READ",
    "KEY_WRITE",
    "PlugPlayRegistryKey",
    "RegistryKey",
    "device_key",
    "driver_key",
)

KEY_READ = 0x20019
KEY_WRITE = 0x20006
_SET_VALUE = 0x0002
_QUERY_VALUE = 0x0001

_CONTROL_SET = "\\Registry\\Machine\\System\\CurrentControlSet"


@constants(
    "PLUGPLAY_REGKEY",
    "PLUGPLAY_REGKEY_",
    more={"PLUGPLAY_REGKEY_CURRENT_HWPROFILE": 4},
)
class PlugPlayRegistryKey(IntFlag):
    """PLUGPLAY_REGKEY_*: the kinds of a device's keys."""

    DEVICE = 1
    DRIVER = 2


def driver_key(name: str) -> str:
    """The path of a driver's service key."""
    return f"{_CONTROL_SET}\\Services\\{name}"


def device_key(instance: str, kind: PlugPlayRegistryKey) -> str:
    """The path of a device's hardware key or software key.

    :param instance: the device's instance path
    :param kind: the kind of key: DEVICE for hardware, DRIVER for software
    """
    if kind & PlugPlayRegistryKey.DRIVER:
        return f"{_CONTROL_SET}\\Control\\Class\\{instance}"
    return f"{_CONTROL_SET}\\Enum\\{instance}\\Device Parameters"


@handle("WDFKEY")
class RegistryKey(Object):
    """An open registry key.

    :ivar path: the path of the key
    :ivar access: KEY_READ, KEY_WRITE or both
    """

    __slots__ = ("_registry", "access", "path")

    fx_type: ClassVar[int] = 0x1006

    def __init__(
        self,
        registry: Registry,
        parent: Object,
        path: str,
        access: int,
        attributes: ObjectAttributes,
    ) -> None:
        super().__init__(parent._kernel, attributes.parent_object or parent, attributes)
        self._registry = registry
        self.path = path
        self.access = access

    def __str__(self) -> str:
        return f"registry key {self.path}"

    @ddi(
        "WdfRegistryQueryULong",
        "NTSTATUS (_In_ WDFKEY Key, _In_ PCUNICODE_STRING ValueName, _Out_ PULONG Value)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def query_u_long(self, value_name: str) -> int:
        """Reads a 32-bit number.

        :raises NtStatusError: STATUS_OBJECT_NAME_NOT_FOUND: the key does not have the value;
            STATUS_OBJECT_TYPE_MISMATCH: it is not a number; STATUS_ACCESS_DENIED: the key was not
            opened for reading
        """
        what = f"WdfRegistryQueryULong({value_name})"
        if not self.access & _QUERY_VALUE:
            raise NtStatusError(STATUS_ACCESS_DENIED, what)
        value = self._registry.query(self.path, value_name)
        if value is None:
            raise NtStatusError(STATUS_OBJECT_NAME_NOT_FOUND, what)
        if not isinstance(value, int):
            raise NtStatusError(STATUS_OBJECT_TYPE_MISMATCH, what)
        return value

    @ddi(
        "WdfRegistryAssignULong",
        "NTSTATUS (_In_ WDFKEY Key, _In_ PCUNICODE_STRING ValueName, _In_ ULONG Value)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def assign_u_long(self, value_name: str, value: int) -> None:
        """Writes a 32-bit number.

        :raises NtStatusError: STATUS_ACCESS_DENIED: the key was not opened for writing
        """
        if not self.access & _SET_VALUE:
            raise NtStatusError(STATUS_ACCESS_DENIED, f"WdfRegistryAssignULong({value_name})")
        self._registry.assign(self.path, value_name, value & 0xFFFFFFFF)

    @ddi("WdfRegistryClose", "VOID (_In_ WDFKEY Key)", highest=PASSIVE_LEVEL, refusal=None)
    def close(self) -> None:
        """Closes the key: the object is deleted."""
        self._delete()
