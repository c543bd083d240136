# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Properties, registry keys and bus interfaces of a device, from PnP manager and bus driver."""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING
from uuid import UUID

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import constants, enumeration, structure
from pydriver.ke.irql import APC_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED,
    STATUS_OBJECT_NAME_NOT_FOUND,
    NtStatusError,
)
from pydriver.pci.identifiers import compatible_ids, hardware_ids
from pydriver.wdf.device.registry_key import (
    KEY_READ,
    PlugPlayRegistryKey,
    RegistryKey,
    device_key,
)
from pydriver.wdf.memory.memory import Memory, PoolType
from pydriver.wdf.object.ddi import RAISES, ddi
from pydriver.wdf.object.object import Object, ObjectAttributes, ParentRule
from pydriver.wdf.pnp.device import PnpDevice

if TYPE_CHECKING:
    from pydriver.pci import PciFunction
    from pydriver.system import System
    from pydriver.wdf.device.driver import Driver

__all__ = (
    "GUID_BUS_INTERFACE_STANDARD",
    "BusInterfaceStandard",
    "DeviceProperty",
    "DevicePropertyData",
    "DevicePropertyType",
    "PropertyDdis",
    "instance_path",
    "open_device_key",
)

GUID_BUS_INTERFACE_STANDARD = UUID("496b8280-6f25-11d0-beaf-08002be2092f")
GUID_BUS_TYPE_PCI = UUID("c8ebdfb0-b510-11d0-80e5-00a0c92542e3")
PCI_BUS = 5
"""The INTERFACE_TYPE of PCI."""

PCI_WHICHSPACE_CONFIG = 0
CONFIG_BYTES = 4096


@enumeration(
    "DEVICE_REGISTRY_PROPERTY",
    "DeviceProperty",
    names={
        "HARDWARE_ID": "DevicePropertyHardwareID",
        "COMPATIBLE_IDS": "DevicePropertyCompatibleIDs",
        "BUS_TYPE_GUID": "DevicePropertyBusTypeGuid",
    },
    more={
        "DevicePropertyBootConfiguration": 0x3,
        "DevicePropertyBootConfigurationTranslated": 0x4,
        "DevicePropertyClassName": 0x5,
        "DevicePropertyClassGuid": 0x6,
        "DevicePropertyManufacturer": 0x8,
        "DevicePropertyFriendlyName": 0x9,
        "DevicePropertyUINumber": 0x11,
        "DevicePropertyInstallState": 0x12,
        "DevicePropertyRemovalPolicy": 0x13,
        "DevicePropertyResourceRequirements": 0x14,
        "DevicePropertyAllocatedResources": 0x15,
        "DevicePropertyContainerID": 0x16,
    },
)
class DeviceProperty(IntEnum):
    """DEVICE_REGISTRY_PROPERTY: the properties of a PCI device without an INF file."""

    DEVICE_DESCRIPTION = 0x0
    HARDWARE_ID = 0x1
    COMPATIBLE_IDS = 0x2
    DRIVER_KEY_NAME = 0x7
    LOCATION_INFORMATION = 0xA
    PHYSICAL_DEVICE_OBJECT_NAME = 0xB
    BUS_TYPE_GUID = 0xC
    LEGACY_BUS_TYPE = 0xD
    BUS_NUMBER = 0xE
    ENUMERATOR_NAME = 0xF
    ADDRESS = 0x10


@constants("DEVPROP_TYPE", "DEVPROP_TYPE_", c_type="DEVPROPTYPE")
class DevicePropertyType(IntEnum):
    """DEVPROP_TYPE_*."""

    UINT32 = 0x7
    GUID = 0xD
    STRING = 0x12
    STRING_LIST = 0x2012


@structure(
    "WDF_DEVICE_PROPERTY_DATA",
    """
    ULONG Size;
    const DEVPROPKEY *PropertyKey;
    LCID Lcid;
    ULONG Flags;
    """,
    omits=(
        "Lcid",
        "Flags",
    ),
)
@dataclass(frozen=True)
class DevicePropertyData:
    """WDF_DEVICE_PROPERTY_DATA.

    :ivar property_key: the property, which has the name of its DEVPKEY_Device_*
    """

    property_key: int


@structure(
    "BUS_INTERFACE_STANDARD",
    """
    USHORT Size;
    USHORT Version;
    PVOID Context;
    PINTERFACE_REFERENCE InterfaceReference;
    PINTERFACE_DEREFERENCE InterfaceDereference;
    PTRANSLATE_BUS_ADDRESS TranslateBusAddress;
    PGET_DMA_ADAPTER GetDmaAdapter;
    PGET_SET_DEVICE_DATA SetBusData;
    PGET_SET_DEVICE_DATA GetBusData;
    """,
    attributes={"Context": "function"},
    omits=(
        "Version",
        "InterfaceReference",
        "InterfaceDereference",
        "TranslateBusAddress",
        "GetDmaAdapter",
    ),
)
@dataclass(frozen=True)
class BusInterfaceStandard:
    """BUS_INTERFACE_STANDARD of the PCI bus driver: configuration space; at IRQL <= DISPATCH_LEVEL.

    :ivar function: the PCI function
    """

    function: "PciFunction"

    def get_bus_data(self, data_type: int, offset: int, length: int) -> bytes:
        """Reads configuration space.

        :param data_type: PCI_WHICHSPACE_CONFIG
        :param offset: the offset of the first byte
        :param length: the length in bytes
        :return: the bytes that were read; empty for another space, or outside the space
        """
        if not self._inside(data_type, offset, length):
            return b""
        read8 = self.function.config.read8
        return bytes(read8(offset + index) for index in range(length))

    def set_bus_data(self, data_type: int, offset: int, data: bytes) -> int:
        """Writes configuration space.

        :param data_type: PCI_WHICHSPACE_CONFIG
        :param offset: the offset of the first byte
        :param data: the bytes to write
        :return: the number of bytes written
        """
        if not self._inside(data_type, offset, len(data)):
            return 0
        config = self.function.config
        if len(data) == 4 and not offset % 4:
            config.write32(offset, int.from_bytes(data, "little"))
        elif len(data) == 2 and not offset % 2:
            config.write16(offset, int.from_bytes(data, "little"))
        else:
            for index, value in enumerate(data):
                config.write8(offset + index, value)
        return len(data)

    @staticmethod
    def _inside(data_type: int, offset: int, length: int) -> bool:
        return data_type == PCI_WHICHSPACE_CONFIG and 0 <= offset <= CONFIG_BYTES - length


def instance_path(function: "PciFunction") -> str:
    """The instance path of a PCI function: its hardware ID and its location."""
    address = function.address
    return (
        f"{hardware_ids(function)[0]}\\{address.bus:x}&{address.device << 3 | address.function:x}"
    )


def open_device_key(
    system: "System",
    parent: Object,
    function: "PciFunction",
    kind: PlugPlayRegistryKey,
    access: int,
    attributes: ObjectAttributes | None,
    what: str,
) -> RegistryKey:
    """Opens a key of a device.

    :raises NtStatusError: the attributes or the kind are not valid
    """
    attributes = RegistryKey.check_attributes(attributes, ParentRule.OPTIONAL, what)
    if kind not in set(PlugPlayRegistryKey):
        raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: key {kind}")
    path = device_key(instance_path(function), PlugPlayRegistryKey(kind))
    return RegistryKey(system.registry, parent, path, access, attributes)


class PropertyDdis(PnpDevice):
    """The DDIs of a device that are answered by the PnP manager and the bus driver below it."""

    __slots__ = ()

    driver: "Driver"

    def _property(self, key: int, what: str) -> tuple[DevicePropertyType, object]:
        function = self.bus.function
        address = function.address
        numbers = {
            DeviceProperty.LEGACY_BUS_TYPE: PCI_BUS,
            DeviceProperty.BUS_NUMBER: address.bus,
            DeviceProperty.ADDRESS: address.device << 16 | address.function,
        }
        strings = {
            DeviceProperty.DEVICE_DESCRIPTION: str(function),
            DeviceProperty.DRIVER_KEY_NAME: self.driver.name,
            DeviceProperty.LOCATION_INFORMATION: (
                f"PCI bus {address.bus}, device {address.device}, function {address.function}"
            ),
            DeviceProperty.PHYSICAL_DEVICE_OBJECT_NAME: self.io.physical_device_object.name,
            DeviceProperty.ENUMERATOR_NAME: "PCI",
        }
        lists = {
            DeviceProperty.HARDWARE_ID: hardware_ids(function),
            DeviceProperty.COMPATIBLE_IDS: compatible_ids(function),
        }
        if key in numbers:
            return DevicePropertyType.UINT32, numbers[DeviceProperty(key)]
        if key in strings:
            return DevicePropertyType.STRING, strings[DeviceProperty(key)]
        if key in lists:
            return DevicePropertyType.STRING_LIST, lists[DeviceProperty(key)]
        if key == DeviceProperty.BUS_TYPE_GUID:
            return DevicePropertyType.GUID, GUID_BUS_TYPE_PCI
        raise NtStatusError(STATUS_OBJECT_NAME_NOT_FOUND, f"{what}: property {key!r} of {self}")

    def _encoded(self, key: int, what: str) -> tuple[DevicePropertyType, bytes]:
        kind, value = self._property(key, what)
        if isinstance(value, int):
            return kind, struct.pack("<I", value)
        if isinstance(value, UUID):
            return kind, value.bytes_le
        text = "\0".join(value) + "\0" if isinstance(value, tuple) else str(value)
        return kind, f"{text}\0".encode("utf-16-le")

    @staticmethod
    def _limit(value: bytes, length: int, what: str) -> bytes:
        if len(value) > length:
            raise NtStatusError(STATUS_BUFFER_TOO_SMALL, f"{what}: {len(value)} bytes are needed")
        return value

    @ddi(
        "WdfDeviceQueryProperty",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ DEVICE_REGISTRY_PROPERTY DeviceProperty, "
        "_In_ ULONG BufferLength, _Out_writes_bytes_opt_(BufferLength) PVOID PropertyBuffer, "
        "_Out_ PULONG ResultLength)",
        highest=PASSIVE_LEVEL,
        binding=Binding(outputs={"PropertyBuffer": "result", "ResultLength": "len(result)"}),
    )
    def query_property(self, device_property: int, buffer_length: int) -> bytes:
        """Returns a property: UTF-16 with a terminating NUL, 32 bits, or a GUID, as in Windows.

        :param device_property: one of :class:`DeviceProperty`
        :param buffer_length: the room for the property, in bytes
        :raises NtStatusError: STATUS_BUFFER_TOO_SMALL; STATUS_OBJECT_NAME_NOT_FOUND
        """
        what = "WdfDeviceQueryProperty"
        return self._limit(self._encoded(device_property, what)[1], buffer_length, what)

    @ddi(
        "WdfDeviceAllocAndQueryProperty",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ DEVICE_REGISTRY_PROPERTY DeviceProperty, "
        "_In_ POOL_TYPE PoolType, _In_opt_ PWDF_OBJECT_ATTRIBUTES PropertyMemoryAttributes, "
        "_Out_ WDFMEMORY *PropertyMemory)",
        highest=PASSIVE_LEVEL,
    )
    def alloc_and_query_property(
        self,
        device_property: int,
        pool_type: PoolType = PoolType.NON_PAGED_NX,
        attributes: ObjectAttributes | None = None,
    ) -> Memory:
        """Returns a property in a memory object of its length.

        :param device_property: one of :class:`DeviceProperty`
        :param pool_type: the pool type of the memory object
        :param attributes: the attributes of the memory object; its default parent is the device
        :raises NtStatusError: STATUS_OBJECT_NAME_NOT_FOUND; the attributes are not valid
        """
        what = "WdfDeviceAllocAndQueryProperty"
        return self._allocated(self._encoded(device_property, what)[1], pool_type, attributes)

    def _allocated(
        self, value: bytes, pool_type: PoolType, attributes: ObjectAttributes | None
    ) -> Memory:
        attributes = attributes or ObjectAttributes()
        if attributes.parent_object is None:
            attributes = replace(attributes, parent_object=self)
        memory = Memory.create(attributes, pool_type, "", len(value))
        memory.get_buffer()[:] = value
        return memory

    @ddi(
        "WdfDeviceQueryPropertyEx",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PWDF_DEVICE_PROPERTY_DATA DeviceProperty, "
        "_In_ ULONG BufferLength, _Out_writes_bytes_opt_(BufferLength) PVOID PropertyBuffer, "
        "_Out_ PULONG RequiredSize, _Out_ PDEVPROPTYPE Type)",
        highest=APC_LEVEL,
        binding=Binding(
            outputs={
                "Type": "result[0]",
                "PropertyBuffer": "result[1]",
                "RequiredSize": "len(result[1])",
            }
        ),
    )
    def query_property_ex(
        self, device_property: DevicePropertyData, buffer_length: int
    ) -> tuple[DevicePropertyType, bytes]:
        """Like :meth:`query_property`; also returns the type."""
        what = "WdfDeviceQueryPropertyEx"
        kind, value = self._encoded(device_property.property_key, what)
        return kind, self._limit(value, buffer_length, what)

    @ddi(
        "WdfDeviceAllocAndQueryPropertyEx",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PWDF_DEVICE_PROPERTY_DATA DeviceProperty, "
        "_In_ POOL_TYPE PoolType, _In_opt_ PWDF_OBJECT_ATTRIBUTES PropertyMemoryAttributes, "
        "_Out_ WDFMEMORY *PropertyMemory, _Out_ PDEVPROPTYPE Type)",
        highest=APC_LEVEL,
        binding=Binding(outputs={"Type": "result[0]", "PropertyMemory": "result[1]"}),
    )
    def alloc_and_query_property_ex(
        self,
        device_property: DevicePropertyData,
        pool_type: PoolType = PoolType.NON_PAGED_NX,
        attributes: ObjectAttributes | None = None,
    ) -> tuple[DevicePropertyType, Memory]:
        """Like :meth:`alloc_and_query_property`; also returns the type."""
        what = "WdfDeviceAllocAndQueryPropertyEx"
        kind, value = self._encoded(device_property.property_key, what)
        return kind, self._allocated(value, pool_type, attributes)

    @ddi(
        "WdfDeviceOpenRegistryKey",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ ULONG DeviceInstanceKeyType, "
        "_In_ ACCESS_MASK DesiredAccess, _In_opt_ PWDF_OBJECT_ATTRIBUTES KeyAttributes, "
        "_Out_ WDFKEY *Key)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def open_registry_key(
        self,
        device_instance_key_type: PlugPlayRegistryKey,
        desired_access: int = KEY_READ,
        attributes: ObjectAttributes | None = None,
    ) -> RegistryKey:
        """Opens the device's hardware or software key.

        :param device_instance_key_type: the kind of key: DEVICE for hardware, DRIVER for software
        :param desired_access: KEY_READ, KEY_WRITE or both
        :param attributes: the attributes of the key object
        :raises NtStatusError: a parameter is not valid
        """
        return open_device_key(
            self.system,
            self,
            self.bus.function,
            device_instance_key_type,
            desired_access,
            attributes,
            "WdfDeviceOpenRegistryKey",
        )

    @ddi(
        "WdfFdoQueryForInterface",
        "NTSTATUS (_In_ WDFDEVICE Fdo, _In_ LPCGUID InterfaceType, "
        "_Out_writes_bytes_(Size) PINTERFACE Interface, _In_ USHORT Size, "
        "_In_ USHORT Version, _In_opt_ PVOID InterfaceSpecificData)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
        binding=Binding(omits=("InterfaceSpecificData",)),
    )
    def query_for_interface(self, interface_type: UUID, version: int = 1) -> BusInterfaceStandard:
        """Returns an interface of the bus driver.

        :param interface_type: the GUID of the interface: GUID_BUS_INTERFACE_STANDARD, the only one
        :param version: the version of the interface: 1
        :raises NtStatusError: STATUS_NOT_SUPPORTED: the bus driver does not have the interface
        """
        if interface_type != GUID_BUS_INTERFACE_STANDARD or version != 1:
            raise NtStatusError(STATUS_NOT_SUPPORTED, f"WdfFdoQueryForInterface({interface_type})")
        return BusInterfaceStandard(self.bus.function)
