# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Device interfaces and symbolic links: how a driver makes its device known."""

from dataclasses import dataclass
from uuid import UUID

from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_OBJECT_NAME_COLLISION,
    NtStatusError,
)
from pydriver.wdf.object.ddi import RAISES, ddi
from pydriver.wdf.object.device_base import DeviceState
from pydriver.wdf.pnp.device import PnpDevice

__all__ = ("DeviceInterface", "DeviceNames", "NameDdis")


@dataclass(eq=False)
class DeviceInterface:
    """A device interface.

    :ivar guid: of the class
    :ivar reference: tells several of one class apart
    :ivar wanted: the driver has not disabled it
    :ivar started: the device is started
    """

    device: PnpDevice
    guid: UUID
    reference: str
    wanted: bool = True
    started: bool = False

    @property
    def enabled(self) -> bool:
        """An application can see it."""
        return self.wanted and self.started


class DeviceNames:
    """The names of one device.

    :ivar interfaces: device interfaces, in the order of creation
    :ivar symbolic_link: the name under which applications open the device; empty: it has none
    """

    __slots__ = ("interfaces", "symbolic_link")

    def __init__(self) -> None:
        self.interfaces: list[DeviceInterface] = []
        self.symbolic_link = ""

    def set_device_started(self, started: bool) -> None:  # noqa: FBT001 -- called by the sequences
        """The device has started, or is torn down; by the PnP sequences."""
        for interface in self.interfaces:
            interface.started = started


class NameDdis(PnpDevice):
    """The DDIs of a device that give it names.

    :ivar names: the names that it has
    """

    __slots__ = ()

    names: DeviceNames

    @ddi(
        "WdfDeviceCreateDeviceInterface",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ const GUID *InterfaceClassGUID, "
        "_In_opt_ PCUNICODE_STRING ReferenceString)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create_device_interface(
        self, interface_class_guid: UUID, reference_string: str = ""
    ) -> None:
        """Registers a device interface; it is enabled when the device is started.

        :param interface_class_guid: the class
        :param reference_string: tells several of one class apart; what is opened on the device
        """
        started = self.state in {DeviceState.STARTED, DeviceState.LOW_POWER}
        interface = DeviceInterface(self, interface_class_guid, reference_string, started=started)
        self.names.interfaces.append(interface)
        self.system.namespace.add_interface(interface)

    @ddi(
        "WdfDeviceSetDeviceInterfaceState",
        "VOID (_In_ WDFDEVICE Device, _In_ const GUID *InterfaceClassGUID, "
        "_In_opt_ PCUNICODE_STRING ReferenceString, _In_ BOOLEAN IsInterfaceEnabled)",
        highest=PASSIVE_LEVEL,
    )
    def set_device_interface_state(
        self,
        interface_class_guid: UUID,
        reference_string: str = "",
        *,
        is_interface_enabled: bool,
    ) -> None:
        """Enables or disables a device interface of a started device.

        :param interface_class_guid: as it was created with
        :param reference_string: as it was created with
        :param is_interface_enabled: applications can see it
        """
        self._set_state(interface_class_guid, reference_string, wanted=is_interface_enabled)

    @ddi(
        "WdfDeviceSetDeviceInterfaceStateEx",
        "VOID (_In_ WDFDEVICE Device, _In_ const GUID *InterfaceClassGUID, "
        "_In_opt_ PCUNICODE_STRING ReferenceString, _In_ BOOLEAN IsInterfaceEnabled)",
        highest=PASSIVE_LEVEL,
    )
    def set_device_interface_state_ex(
        self,
        interface_class_guid: UUID,
        reference_string: str = "",
        *,
        is_interface_enabled: bool,
    ) -> None:
        """As :meth:`set_device_interface_state`.

        :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: there is no such interface
        """
        found = self._set_state(interface_class_guid, reference_string, wanted=is_interface_enabled)
        if not found:
            raise NtStatusError(
                STATUS_INVALID_DEVICE_REQUEST, f"{self} has no interface {interface_class_guid}"
            )

    def _set_state(self, guid: UUID, reference: str, *, wanted: bool) -> bool:
        for interface in self.names.interfaces:
            if (interface.guid, interface.reference) == (guid, reference):
                interface.wanted = wanted
                return True
        return False

    @ddi(
        "WdfDeviceCreateSymbolicLink",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PCUNICODE_STRING SymbolicLinkName)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create_symbolic_link(self, symbolic_link_name: str) -> None:
        """Gives the device a name under which applications open it.

        :param symbolic_link_name: in the folder DosDevices
        :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: it is empty, or the device has one;
            STATUS_OBJECT_NAME_COLLISION: another device has it
        """
        what = f"WdfDeviceCreateSymbolicLink({symbolic_link_name!r})"
        if not symbolic_link_name or self.names.symbolic_link:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
        if not self.system.namespace.add_link(symbolic_link_name, self):
            raise NtStatusError(STATUS_OBJECT_NAME_COLLISION, what)
        self.names.symbolic_link = symbolic_link_name
