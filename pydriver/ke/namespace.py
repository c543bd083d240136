# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The names by which applications find devices: GUIDs of device interfaces, symbolic links."""

from threading import Lock
from typing import Any, Protocol
from uuid import UUID

from pydriver.ke.status import STATUS_OBJECT_NAME_NOT_FOUND, NtStatusError

__all__ = ("Namespace", "Openable", "RegisteredInterface")


class Openable(Protocol):
    """The target of a name: a device."""

    def open(self, name: str = "") -> Any:
        """Opens the target."""


class RegisteredInterface(Protocol):
    """A device interface [IoRegisterDeviceInterface]."""

    guid: UUID
    reference: str

    @property
    def device(self) -> Openable:
        """The device of the interface."""

    @property
    def enabled(self) -> bool:
        """Whether applications can see it."""


class Namespace:
    """The names of the devices of one system."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._links: dict[str, Openable] = {}
        self._interfaces: list[RegisteredInterface] = []

    def add_interface(self, interface: RegisteredInterface) -> None:
        """Registers a device interface, which starts disabled."""
        with self._lock:
            self._interfaces.append(interface)

    def remove_device(self, device: Openable) -> None:
        """Forgets all names of a device."""
        with self._lock:
            self._interfaces = [each for each in self._interfaces if each.device is not device]
            self._links = {name: to for name, to in self._links.items() if to is not device}

    def interfaces(self, guid: UUID) -> tuple[RegisteredInterface, ...]:
        """Returns the enabled device interfaces of a class, oldest first [SetupDiGetClassDevs].

        :param guid: the GUID of the class
        """
        with self._lock:
            return tuple(each for each in self._interfaces if each.guid == guid and each.enabled)

    def open_interface(self, guid: UUID, index: int = 0) -> Any:
        """Opens the device behind an enabled interface, with the interface's reference string.

        :param guid: the GUID of the class
        :param index: the index of the interface among those of the class
        :return: an open handle
        :raises NtStatusError: there is no such interface, or its device cannot be opened
        """
        found = self.interfaces(guid)
        if index >= len(found):
            raise NtStatusError(STATUS_OBJECT_NAME_NOT_FOUND, f"device interface {guid}")
        return found[index].device.open(found[index].reference)

    def add_link(self, name: str, device: Openable) -> bool:
        """Adds a symbolic link to a device; returns ``False`` if the name exists."""
        with self._lock:
            return self._links.setdefault(name.lower(), device) is device

    def open(self, name: str) -> Any:
        """Opens the device that a symbolic link leads to.

        :param name: the name of the link
        :return: an open handle
        :raises NtStatusError: there is no such link, or its device cannot be opened
        """
        with self._lock:
            device = self._links.get(name.lower())
        if device is None:
            raise NtStatusError(STATUS_OBJECT_NAME_NOT_FOUND, name)
        return device.open()
