# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDEVICE_INIT: the settings of a device that a driver makes before it creates the device."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydriver.declarations.registry import callbacks, opaque, stands_for
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import STATUS_INVALID_PARAMETER, NtStatusError
from pydriver.pci import InterruptMode
from pydriver.wdf.device.property import open_device_key
from pydriver.wdf.device.registry_key import KEY_READ
from pydriver.wdf.io.device_object import DeviceIoType, DeviceObject, DeviceObjectFlags
from pydriver.wdf.io.file_config import FileObjectConfig
from pydriver.wdf.object.ddi import RAISES, ddi
from pydriver.wdf.object.object import ObjectAttributes
from pydriver.wdf.pnp.pnp_config import PnpPowerEventCallbacks, PowerPolicyEventCallbacks

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.pci import PciFunction
    from pydriver.wdf.device.device import Device
    from pydriver.wdf.device.driver import Driver
    from pydriver.wdf.device.registry_key import PlugPlayRegistryKey, RegistryKey
    from pydriver.wdf.io.request import Request

__all__ = ("DeviceInit", "make_device_object")


opaque("WDFDEVICE_INIT")
callbacks(
    __name__,
    {
        "EVT_WDF_IO_IN_CALLER_CONTEXT": "VOID (_In_ WDFDEVICE Device, _In_ WDFREQUEST Request)",
    },
)


@stands_for("WDFDEVICE_INIT")
@dataclass
class DeviceInit:
    """WDFDEVICE_INIT, which EvtDriverDeviceAdd fills in before it creates the device.

    :ivar driver: the driver whose EvtDriverDeviceAdd it is passed to
    :ivar function: the PCI function
    :ivar interrupt_mode: the mode in which the function should interrupt; ``None``: the best one
    :ivar message_limit: the most messages that it is given; ``None``: as many as it has
    :ivar guest_memory: whether the device's request buffers, and the pool and the contexts of the
        objects below it, are in guest memory, where the device and code in the guest reach them;
        ``None``: if the driver's are
    :ivar power_policy_owner: whether the driver owns the power policy; ``None``: a function driver
        does, a filter does not
    """

    driver: "Driver"
    function: "PciFunction"
    interrupt_mode: InterruptMode | None = None
    message_limit: int | None = None
    callbacks: PnpPowerEventCallbacks = field(default_factory=PnpPowerEventCallbacks)
    policy_callbacks: PowerPolicyEventCallbacks = field(default_factory=PowerPolicyEventCallbacks)
    file_config: FileObjectConfig | None = None
    file_attributes: ObjectAttributes | None = None
    request_attributes: ObjectAttributes | None = None
    io_type: DeviceIoType = DeviceIoType.BUFFERED
    exclusive: bool = False
    device_type: int = 0x22
    characteristics: int = 0
    name: str = ""
    security_descriptor: str = ""
    device_class: UUID | None = None
    power_pageable: bool = True
    power_inrush: bool = False
    power_policy_owner: bool | None = None
    evt_io_in_caller_context: "Callable[[Device, Request], None] | None" = None
    filter: bool = False
    guest_memory: bool | None = None
    device: "Device | None" = None

    @property
    def _kernel(self) -> Any:
        return self.driver._kernel

    @property
    def _current(self) -> Any:
        return self.driver._current

    def __str__(self) -> str:
        return f"device init for {self.function}"

    def _accepts(self, structure: object, kind: type, what: str) -> bool:
        if isinstance(structure, kind):
            return True
        self._kernel.verifier.violation(
            "StructureSize", f"{what} with a {type(structure).__name__}", self
        )
        return False

    @ddi(
        "WdfDeviceInitSetPnpPowerEventCallbacks",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, "
        "_In_ PWDF_PNPPOWER_EVENT_CALLBACKS PnpPowerEventCallbacks)",
    )
    def set_pnp_power_event_callbacks(self, callbacks: PnpPowerEventCallbacks) -> None:
        """Registers the PnP and power callbacks; a copy is kept.

        EvtDeviceUsageNotification and EvtDeviceUsageNotificationEx together are a violation, and
        the call is ignored.
        """
        what = "WdfDeviceInitSetPnpPowerEventCallbacks"
        if not self._accepts(callbacks, PnpPowerEventCallbacks, what):
            return
        if (
            callbacks.evt_device_usage_notification is not None
            and callbacks.evt_device_usage_notification_ex is not None
        ):
            self._kernel.verifier.violation(
                "UsageNotification", f"{what}: EvtDeviceUsageNotification and ...Ex", self
            )
            return
        self.callbacks = replace(callbacks)

    @ddi(
        "WdfDeviceInitSetPowerPolicyEventCallbacks",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, "
        "_In_ PWDF_POWER_POLICY_EVENT_CALLBACKS PowerPolicyEventCallbacks)",
    )
    def set_power_policy_event_callbacks(self, callbacks: PowerPolicyEventCallbacks) -> None:
        """Registers the callbacks of the power policy's owner; a copy is kept."""
        what = "WdfDeviceInitSetPowerPolicyEventCallbacks"
        if self._accepts(callbacks, PowerPolicyEventCallbacks, what):
            self.policy_callbacks = replace(callbacks)

    @ddi(
        "WdfDeviceInitSetFileObjectConfig",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, "
        "_In_ PWDF_FILEOBJECT_CONFIG FileObjectConfig, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES FileObjectAttributes)",
    )
    def set_file_object_config(
        self, config: FileObjectConfig, attributes: ObjectAttributes | None = None
    ) -> None:
        """Registers the callbacks and the context of file objects."""
        if self._accepts(config, FileObjectConfig, "WdfDeviceInitSetFileObjectConfig"):
            self.file_config = replace(config)
            self.file_attributes = attributes

    @ddi(
        "WdfDeviceInitSetRequestAttributes",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, _In_ PWDF_OBJECT_ATTRIBUTES RequestAttributes)",
    )
    def set_request_attributes(self, request_attributes: ObjectAttributes) -> None:
        """Gives each request of the device a context and callbacks."""
        what = "WdfDeviceInitSetRequestAttributes"
        if self._accepts(request_attributes, ObjectAttributes, what):
            self.request_attributes = request_attributes

    @ddi(
        "WdfDeviceInitSetIoType",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, _In_ WDF_DEVICE_IO_TYPE IoType)",
    )
    def set_io_type(self, io_type: DeviceIoType) -> None:
        """Sets how the driver gets the buffers of reads and writes."""
        self.io_type = DeviceIoType(io_type)

    @ddi(
        "WdfDeviceInitSetExclusive",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, _In_ BOOLEAN IsExclusive)",
    )
    def set_exclusive(self, *, is_exclusive: bool) -> None:
        """Sets whether the device can be opened only once at a time."""
        self.exclusive = is_exclusive

    @ddi(
        "WdfDeviceInitSetDeviceType",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, _In_ DEVICE_TYPE DeviceType)",
    )
    def set_device_type(self, device_type: int) -> None:
        """Sets the device type, FILE_DEVICE_*; the default is FILE_DEVICE_UNKNOWN."""
        self.device_type = device_type

    @ddi(
        "WdfDeviceInitSetCharacteristics",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, _In_ ULONG DeviceCharacteristics, "
        "_In_ BOOLEAN OrInValues)",
    )
    def set_characteristics(self, device_characteristics: int, *, or_in_values: bool) -> None:
        """Sets the FILE_* characteristics, or adds to them."""
        before = self.characteristics if or_in_values else 0
        self.characteristics = before | device_characteristics

    @ddi(
        "WdfDeviceInitAssignName",
        "NTSTATUS (_In_ PWDFDEVICE_INIT DeviceInit, _In_opt_ PCUNICODE_STRING DeviceName)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def assign_name(self, device_name: str) -> None:
        """Names the device object; an empty string removes the name."""
        self.name = device_name

    @ddi(
        "WdfDeviceInitAssignSDDLString",
        "NTSTATUS (_In_ PWDFDEVICE_INIT DeviceInit, _In_opt_ PCUNICODE_STRING SDDLString)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def assign_sddl_string(self, sddl_string: str) -> None:
        """Sets the security descriptor of a named device; an empty string removes it.

        :raises NtStatusError: STATUS_INVALID_PARAMETER: the string is not a security descriptor
        """
        if sddl_string and not sddl_string.startswith(("O:", "G:", "D:", "S:")):
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"SDDL string {sddl_string!r}")
        self.security_descriptor = sddl_string

    @ddi(
        "WdfDeviceInitSetDeviceClass",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, _In_ const GUID *DeviceClassGuid)",
    )
    def set_device_class(self, device_class_guid: UUID) -> None:
        """Sets the setup class whose security settings a named device gets."""
        self.device_class = device_class_guid

    @ddi("WdfDeviceInitSetPowerPageable", "VOID (_In_ PWDFDEVICE_INIT DeviceInit)")
    def set_power_pageable(self) -> None:
        """Sets that the power callbacks may touch pageable memory, which is the default."""
        self.power_pageable = True

    @ddi("WdfDeviceInitSetPowerNotPageable", "VOID (_In_ PWDFDEVICE_INIT DeviceInit)")
    def set_power_not_pageable(self) -> None:
        """Sets that the power callbacks do not touch pageable memory."""
        self.power_pageable = False

    @ddi("WdfDeviceInitSetPowerInrush", "VOID (_In_ PWDFDEVICE_INIT DeviceInit)")
    def set_power_inrush(self) -> None:
        """Sets that the device draws an inrush of current at power-up; then it is not pageable."""
        self.power_inrush = True
        self.power_pageable = False

    @ddi(
        "WdfDeviceInitSetPowerPolicyOwnership",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, _In_ BOOLEAN IsPowerPolicyOwner)",
    )
    def set_power_policy_ownership(self, *, is_power_policy_owner: bool) -> None:
        """Sets whether the driver owns the power policy."""
        self.power_policy_owner = is_power_policy_owner

    @ddi(
        "WdfDeviceInitSetIoInCallerContextCallback",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit, "
        "_In_ PFN_WDF_IO_IN_CALLER_CONTEXT EvtIoInCallerContext)",
    )
    def set_io_in_caller_context_callback(
        self, evt_io_in_caller_context: "Callable[[Device, Request], None]"
    ) -> None:
        """Registers a callback that gets each request on its sender's thread, before the queues.

        :param evt_io_in_caller_context: EvtIoInCallerContext(device, request), at the sender's
            IRQL, which completes the request or calls WdfDeviceEnqueueRequest
        """
        self.evt_io_in_caller_context = evt_io_in_caller_context

    @ddi("WdfDeviceInitFree", "VOID (_In_ PWDFDEVICE_INIT DeviceInit)")
    def free(self) -> None:
        """Frees a structure that the driver allocated; the framework's is a violation."""
        self._kernel.verifier.violation(
            "InitFreeDeviceCallback",
            f"WdfDeviceInitFree on the {self} of EvtDriverDeviceAdd: the framework frees it",
            self,
        )

    @ddi(
        "WdfFdoInitSetFilter",
        "VOID (_In_ PWDFDEVICE_INIT DeviceInit)",
        highest=PASSIVE_LEVEL,
        refusal=None,
    )
    def set_filter(self) -> None:
        """Makes the driver a filter, which passes on requests that its queues do not take."""
        self.filter = True

    @ddi(
        "WdfFdoInitOpenRegistryKey",
        "NTSTATUS (_In_ PWDFDEVICE_INIT DeviceInit, _In_ ULONG DeviceInstanceKeyType, "
        "_In_ ACCESS_MASK DesiredAccess, _In_opt_ PWDF_OBJECT_ATTRIBUTES KeyAttributes, "
        "_Out_ WDFKEY *Key)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def open_registry_key(
        self,
        device_instance_key_type: "PlugPlayRegistryKey",
        desired_access: int = KEY_READ,
        attributes: ObjectAttributes | None = None,
    ) -> "RegistryKey":
        """Opens the hardware or software key of the device before it is created.

        :param device_instance_key_type: the kind of key: DEVICE for hardware, DRIVER for software
        :param desired_access: KEY_READ, KEY_WRITE or both
        :param attributes: the attributes of the key object; its default parent is the driver
        :raises NtStatusError: a parameter is not valid
        """
        return open_device_key(
            self.driver.system,
            self.driver,
            self.function,
            device_instance_key_type,
            desired_access,
            attributes,
            "WdfFdoInitOpenRegistryKey",
        )


def make_device_object(init: DeviceInit, attached_to: DeviceObject) -> DeviceObject:
    """Makes the device object that a WDFDEVICE_INIT describes.

    :param init: the settings of the device
    :param attached_to: the bus driver's device object
    """
    flags = {
        DeviceIoType.BUFFERED: DeviceObjectFlags.BUFFERED_IO,
        DeviceIoType.DIRECT: DeviceObjectFlags.DIRECT_IO,
    }.get(init.io_type, DeviceObjectFlags(0))
    if init.exclusive:
        flags |= DeviceObjectFlags.EXCLUSIVE
    if init.power_pageable:
        flags |= DeviceObjectFlags.POWER_PAGABLE
    if init.power_inrush:
        flags |= DeviceObjectFlags.POWER_INRUSH
    return DeviceObject(
        name=init.name,
        device_type=init.device_type,
        characteristics=init.characteristics,
        flags=flags,
        attached_to=attached_to,
    )
