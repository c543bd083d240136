# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDRIVER: created by a driver's entry; adds devices."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from pydriver.errors import PydriverError
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    NT_SUCCESS,
    STATUS_DRIVER_INTERNAL_ERROR,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_SUCCESS,
    NtStatusError,
)
from pydriver.wdf.ddi import RAISES, creation_ddi
from pydriver.wdf.device import Device
from pydriver.wdf.device_init import DeviceInit
from pydriver.wdf.object import (
    ExecutionLevel,
    Object,
    ObjectAttributes,
    ParentRule,
    SynchronizationScope,
)
from pydriver.wdf.serialization import effective_level, effective_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.system import DriverObject
    from pydriver.pci import InterruptMode, PciFunction

__all__ = ("Driver", "DriverConfig")


@dataclass(slots=True)
class DriverConfig:
    """WDF_DRIVER_CONFIG.

    :ivar evt_driver_device_add: EvtDriverDeviceAdd(driver, device_init) -> NTSTATUS
    :ivar evt_driver_unload: EvtDriverUnload(driver)
    """

    evt_driver_device_add: "Callable[[Driver, DeviceInit], int | None] | None" = None
    evt_driver_unload: "Callable[[Driver], None] | None" = None


class Driver(Object):
    """A driver.

    :ivar name: for reports
    :ivar system: that it was loaded into
    :ivar config: its callbacks
    :ivar execution_level: what its devices inherit
    :ivar synchronization_scope: what its devices inherit
    """

    __slots__ = (
        "_unloaded",
        "config",
        "driver_object",
        "execution_level",
        "name",
        "synchronization_scope",
        "system",
    )

    fx_type: ClassVar[int] = 0x1001

    allows_level: ClassVar[bool] = True
    allows_scope: ClassVar[bool] = True
    passive_disposal: ClassVar[bool] = True

    def __init__(
        self, driver_object: "DriverObject", config: DriverConfig, attributes: ObjectAttributes
    ) -> None:
        self.system = driver_object.system
        super().__init__(self.system.kernel, None, attributes, deletable=False)
        self.driver_object = driver_object
        self.name = driver_object.name
        self.config = config
        self.execution_level = effective_level(attributes, ExecutionLevel.DISPATCH)
        self.synchronization_scope = effective_scope(attributes, SynchronizationScope.NONE)
        self._unloaded = False

    def __str__(self) -> str:
        return f"driver {self.name}"

    @classmethod
    @creation_ddi(
        "WdfDriverCreate",
        "NTSTATUS (PDRIVER_OBJECT, PCUNICODE_STRING, PWDF_OBJECT_ATTRIBUTES, PWDF_DRIVER_CONFIG,"
        " WDFDRIVER *)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create(
        cls,
        driver_object: "DriverObject",
        config: DriverConfig,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Creates the driver; in its entry.

        :param driver_object: given to the entry
        :param config: its callbacks
        :param attributes: without a parent
        :raises NtStatusError: the attributes are not valid, or it is the second call
        """
        what = "WdfDriverCreate"
        attributes = cls.check_attributes(attributes, ParentRule.FORBIDDEN, what)
        if driver_object.driver_unload is not None:
            raise NtStatusError(STATUS_DRIVER_INTERNAL_ERROR, what)
        driver = cls(driver_object, config, attributes)
        driver_object.driver_unload = driver.unload
        return driver

    @property
    def devices(self) -> tuple[Device, ...]:
        """The devices, in the order in which they were added."""
        return tuple(child for child in self.children if isinstance(child, Device))

    def add_device(
        self,
        function: "PciFunction",
        interrupts: "InterruptMode | None" = None,
        messages: int | None = None,
    ) -> Device:
        """Gives the driver a device and starts it, as the PnP manager does; at PASSIVE_LEVEL.

        :param function: the PCI function
        :param interrupts: how it shall interrupt; ``None``: in the mode with most messages
        :param messages: most messages that it is given; ``None``: as many as it has
        :return: the started device
        :raises NtStatusError: EvtDriverDeviceAdd or the start failed; the device is gone then
        """
        init = DeviceInit(self, function, interrupts, messages)
        callback = self.config.evt_driver_device_add
        try:
            status = None if callback is None else callback(self, init)
        except NtStatusError as error:
            status = error.status
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            self._kernel.escaped(error)
        device = init.device
        if status is None:
            status = STATUS_SUCCESS
        if not NT_SUCCESS(status):
            if device is not None:
                device.remove()
            raise NtStatusError(status, f"{self}: EvtDriverDeviceAdd for {function}")
        if device is None:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{self}: no device for {function}")
        try:
            device.start()
        except PydriverError:
            device.remove()
            raise
        return device

    def unload(self) -> None:
        """Removes all devices, the last one first, and calls EvtDriverUnload. Idempotent."""
        if self._unloaded:
            return
        self._unloaded = True
        for device in reversed(self.devices):
            device.remove()
        if self.config.evt_driver_unload is not None:
            self._kernel.invoke(self.config.evt_driver_unload, self)
        self._kernel.threads.check_ended(self.driver_object)
        self._delete()
        self._report_leaks()

    def _report_leaks(self) -> None:
        """Objects, and with them their contexts, that a reference keeps after the driver."""
        referenced = self._kernel.referenced
        for owner in [each for each in referenced.values() if each.root is self]:
            del referenced[id(owner)]
            for each in owner.references:
                tag = "" if each.tag is None else f" (tag {each.tag!r}, {each.file}:{each.line})"
                self._kernel.verifier.violation(
                    "ObjectLeak",
                    f"{owner} outlives {self}: a reference was never dropped{tag}",
                    owner,
                    apart=True,
                )
