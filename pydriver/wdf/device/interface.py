# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Device interfaces and symbolic links, by which applications find a device."""

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

    :ivar guid: the GUID of the interface class
    :ivar reference: a string that distinguishes interfaces of one class
    :ivar wanted: whether the driver wants it enabled: it has not disabled it
    :ivar started: whether the device is started
    """

    device: PnpDevice
    guid: UUID
    reference: str
    wanted: bool = True
    started: bool = False

    @property
    def enabled(self) -> bool:
        """Whether applications can find it."""
        return self.wanted and self.started


class DeviceNames:
    """The names of one device.

    :ivar interfaces: the device interfaces, in the order of creation
    :ivar symbolic_link: the name under which applications open the device; empty: it has none
    """

    __slots__ = ("interfaces", "symbolic_link")

    def __init__(self) -> None:
        self.interfaces: list[DeviceInterface] = []
        self.symbolic_link = ""

    def set_device_started(self, started: bool) -> None:  # noqa: FBT001 -- called by the sequences
        """Enables or disables interfaces as the device starts or stops; for the PnP sequences."""
        for interface in self.interfaces:
            interface.started = started


class NameDdis(PnpDevice):
    """The DDIs of a device that give it names.

    :ivar names: the names of the device
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

        :param interface_class_guid: the GUID of the interface class
        :param reference_string: a string that distinguishes interfaces of one class, and is the
            name of the file that is opened on the device
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

        :param interface_class_guid: the GUID of the interface class
        :param reference_string: the reference string of the interface
        :param is_interface_enabled: whether applications can find it
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
        """Like :meth:`set_device_interface_state`, but reports an interface that does not exist.

        :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: the interface does not exist
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

        :param symbolic_link_name: the name, in the folder DosDevices
        :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: the name is empty, or the device has a
            name already; STATUS_OBJECT_NAME_COLLISION: another device has the name
        """
        what = f"WdfDeviceCreateSymbolicLink({symbolic_link_name!r})"
        if not symbolic_link_name or self.names.symbolic_link:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
        if not self.system.namespace.add_link(symbolic_link_name, self):
            raise NtStatusError(STATUS_OBJECT_NAME_COLLISION, what)
        self.names.symbolic_link = symbolic_link_name
