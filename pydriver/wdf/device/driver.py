# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDRIVER: the driver object, which a driver's entry creates, and which adds devices."""

import contextlib
from dataclasses import dataclass
from enum import IntFlag
from time import monotonic
from typing import TYPE_CHECKING, ClassVar, Self

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import callbacks, enumeration, handle, structure
from pydriver.errors import PydriverError
from pydriver.ke.irql import HIGH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.mutex import Mutex
from pydriver.ke.status import (
    NT_SUCCESS,
    STATUS_DRIVER_INTERNAL_ERROR,
    STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    NtStatusError,
)
from pydriver.wdf.device.device import Device
from pydriver.wdf.device.init import DeviceInit
from pydriver.wdf.device.registry_key import KEY_READ, RegistryKey, driver_key
from pydriver.wdf.device.wdfkd import describe
from pydriver.wdf.object.ddi import RAISES, creation_ddi, ddi, function_ddi
from pydriver.wdf.object.object import (
    ExecutionLevel,
    Object,
    ObjectAttributes,
    ParentRule,
    SynchronizationScope,
)
from pydriver.wdf.sync.serialization import effective_level, effective_scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.driver_object import DriverObject
    from pydriver.ke.guest_memory import GuestMemory
    from pydriver.pci import InterruptMode, PciFunction

__all__ = ("Driver", "DriverConfig", "DriverInitFlags", "get_driver")

RESTART_LIMIT = 5
RESTART_PERIOD = 60.0
"""The number of restarts of a failed device that are possible in a number of seconds
[WdfDeviceSetFailed]."""

DEFAULT_POOL_TAG = 0x206B6444
"""``'Ddk '``, the tag of a driver without one."""


callbacks(
    __name__,
    {
        "EVT_WDF_DRIVER_DEVICE_ADD": "NTSTATUS ("
        "_In_ WDFDRIVER Driver, _Inout_ PWDFDEVICE_INIT DeviceInit)",
        "EVT_WDF_DRIVER_UNLOAD": "VOID (_In_ WDFDRIVER Driver)",
    },
    highest=PASSIVE_LEVEL,
)


@enumeration(
    "WDF_DRIVER_INIT_FLAGS",
    "WdfDriverInit",
    names={"VERIFY_ON": "WdfVerifyOn", "VERIFIER_ON": "WdfVerifierOn"},
)
class DriverInitFlags(IntFlag):
    """WDF_DRIVER_INIT_FLAGS."""

    NON_PNP_DRIVER = 1
    NO_DISPATCH_OVERRIDE = 2
    VERIFY_ON = 4
    VERIFIER_ON = 8
    COMPANION = 0x10


@structure(
    "WDF_DRIVER_CONFIG",
    """
    ULONG Size;
    PFN_WDF_DRIVER_DEVICE_ADD EvtDriverDeviceAdd;
    PFN_WDF_DRIVER_UNLOAD EvtDriverUnload;
    ULONG DriverInitFlags;
    ULONG DriverPoolTag;
    """,
)
@dataclass(slots=True)
class DriverConfig:
    """WDF_DRIVER_CONFIG.

    :ivar evt_driver_device_add: EvtDriverDeviceAdd(driver, device_init) -> NTSTATUS
    :ivar evt_driver_unload: EvtDriverUnload(driver)
    :ivar driver_init_flags: options; VERIFIER_ON and VERIFY_ON switch the system's verifier on
    :ivar driver_pool_tag: four characters, the first in the low byte; 0: those of the driver's name
    """

    evt_driver_device_add: "Callable[[Driver, DeviceInit], int | None] | None" = None
    evt_driver_unload: "Callable[[Driver], None] | None" = None
    driver_init_flags: int = 0
    driver_pool_tag: int = 0


@handle("WDFDRIVER")
class Driver(Object):
    """A driver.

    :ivar name: the name in reports
    :ivar system: the system into which it was loaded
    :ivar config: the driver's configuration
    :ivar guest_memory: the guest memory of its contexts and pool, which its devices inherit;
        ``None``: they are in this process
    :ivar execution_level: the execution level that its devices inherit
    :ivar synchronization_scope: the synchronization scope that its devices inherit
    """

    __slots__ = (
        "_adding",
        "_restarts",
        "_unloaded",
        "config",
        "driver_object",
        "execution_level",
        "guest_memory",
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
        # Set first: the context of the driver itself needs it.
        kernel = self.system.kernel
        self.guest_memory: GuestMemory | None = (
            kernel.memory if driver_object.guest_memory else None
        )
        super().__init__(self.system.kernel, None, attributes, deletable=False)
        self._kernel.describe = describe
        self.driver_object = driver_object
        self.name = driver_object.name
        self.config = config
        self.execution_level = effective_level(attributes, ExecutionLevel.DISPATCH)
        self.synchronization_scope = effective_scope(attributes, SynchronizationScope.NONE)
        self._unloaded = False
        # Held while a failed device is added again, which must not happen while the driver unloads.
        self._adding = Mutex(self._kernel)
        self._restarts: dict[PciFunction, list[float]] = {}

    def __str__(self) -> str:
        return f"driver {self.name}"

    @classmethod
    @creation_ddi(
        "WdfDriverCreate",
        "NTSTATUS (_In_ PDRIVER_OBJECT DriverObject, _In_ PCUNICODE_STRING RegistryPath, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES DriverAttributes, "
        "_In_ PWDF_DRIVER_CONFIG DriverConfig, _Out_opt_ WDFDRIVER *Driver)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
        binding=Binding(omits=("RegistryPath",)),
    )
    def create(
        cls,
        driver_object: "DriverObject",
        config: DriverConfig,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Creates the driver; in its entry.

        :param driver_object: the argument of the entry
        :param config: the callbacks and options
        :param attributes: the attributes, which must not name a parent
        :raises NtStatusError: the attributes or the configuration are not valid, or the driver was
            created already
        """
        what = "WdfDriverCreate"
        if not isinstance(config, DriverConfig):
            raise NtStatusError(STATUS_INFO_LENGTH_MISMATCH, what)
        flags = config.driver_init_flags
        if flags & ~sum(DriverInitFlags):
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: flags {flags:#x}")
        if flags & DriverInitFlags.NON_PNP_DRIVER and config.evt_driver_device_add is not None:
            raise NtStatusError(
                STATUS_INVALID_PARAMETER, f"{what}: EvtDriverDeviceAdd of a driver without PnP"
            )
        attributes = cls.check_attributes(attributes, ParentRule.FORBIDDEN, what)
        if driver_object.driver_unload is not None:
            raise NtStatusError(STATUS_DRIVER_INTERNAL_ERROR, what)
        driver = cls(driver_object, config, attributes)
        driver_object.driver_unload = driver.unload
        driver_object.driver = driver
        if flags & (DriverInitFlags.VERIFIER_ON | DriverInitFlags.VERIFY_ON):
            driver._kernel.start_verifying()
        return driver

    @property
    def pool_tag(self) -> int:
        """The tag of the driver's allocations for which it gives none."""
        tag = self.config.driver_pool_tag
        if tag not in {0, DEFAULT_POOL_TAG}:
            return tag
        return int.from_bytes(f"{self.name[:4]:<4}".encode("ascii", "replace"), "little")

    @ddi("WdfDriverGetRegistryPath", "PWSTR (_In_ WDFDRIVER Driver)", highest=PASSIVE_LEVEL)
    def get_registry_path(self) -> str:
        """Returns the path of the driver's service key."""
        return driver_key(self.name)

    @ddi(
        "WdfDriverOpenParametersRegistryKey",
        "NTSTATUS (_In_ WDFDRIVER Driver, _In_ ACCESS_MASK DesiredAccess, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES KeyAttributes, _Out_ WDFKEY *Key)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def open_parameters_registry_key(
        self, desired_access: int = KEY_READ, attributes: ObjectAttributes | None = None
    ) -> RegistryKey:
        """Opens the key with the driver's parameters.

        :param desired_access: KEY_READ, KEY_WRITE or both
        :param attributes: the attributes of the key object
        :raises NtStatusError: the attributes are not valid
        """
        what = "WdfDriverOpenParametersRegistryKey"
        attributes = RegistryKey.check_attributes(attributes, ParentRule.OPTIONAL, what)
        path = f"{driver_key(self.name)}\\Parameters"
        return RegistryKey(self.system.registry, self, path, desired_access, attributes)

    @ddi("WdfDriverWdmGetDriverObject", "PDRIVER_OBJECT (_In_ WDFDRIVER Driver)")
    def wdm_get_driver_object(self) -> "DriverObject":
        """Returns the driver object that was passed to the driver's entry."""
        return self.driver_object

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
        """Adds a device to the driver and starts it, as the PnP manager does; at PASSIVE_LEVEL.

        :param function: the PCI function
        :param interrupts: the mode in which it should interrupt; ``None``: the one with the most
            messages
        :param messages: the most messages that it is given; ``None``: as many as it has
        :return: the started device
        :raises NtStatusError: EvtDriverDeviceAdd or the start failed; the device has been removed
        """
        init = DeviceInit(self, function, interrupts, messages)
        callback = self.config.evt_driver_device_add
        status = STATUS_SUCCESS
        if callback is not None:
            status = self._kernel.invoke_status(callback, self, init)
        device = init.device
        if not NT_SUCCESS(status):
            if device is not None:
                device.remove(query=False)
            raise NtStatusError(status, f"{self}: EvtDriverDeviceAdd for {function}")
        if device is None:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{self}: no device for {function}")
        try:
            device.start()
        except PydriverError:
            device.remove(query=False)
            raise
        return device

    def restart_device(self, device: Device) -> None:
        """Adds the function of a failed device again, unless that has happened too often.

        :param device: the failed device, which has been removed
        """
        function = device.function
        with self._adding:
            if self._unloaded:
                return
            now = monotonic()
            restarts = self._restarts.setdefault(function, [])
            restarts[:] = [time for time in restarts if now - time < RESTART_PERIOD]
            if len(restarts) == RESTART_LIMIT:
                return
            restarts.append(now)
            with contextlib.suppress(NtStatusError):
                self.add_device(function, device.interrupt_mode, device.message_limit)

    def unload(self) -> None:
        """Removes all devices, the last one first, and calls EvtDriverUnload. Idempotent."""
        with self._adding:
            if self._unloaded:
                return
            self._unloaded = True
        for device in reversed(self.devices):
            try:
                device.remove()
            except NtStatusError:
                # The driver vetoed, but the system shuts down.
                device.remove(query=False)
        if self.config.evt_driver_unload is not None:
            self._kernel.invoke(self.config.evt_driver_unload, self)
        self._kernel.threads.check_ended(self.driver_object)
        self._delete()
        self._report_leaks()
        self._kernel.memory.check_freed(self)

    def _report_leaks(self) -> None:
        """Reports objects, with their contexts, that a reference keeps after the driver."""
        referenced = self._tree.referenced
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


@function_ddi("WdfGetDriver", "WDFDRIVER (VOID)", highest=HIGH_LEVEL)
def get_driver(driver_object: "DriverObject") -> Driver | None:
    """Returns the driver object that a driver's entry has created; ``None``: it has not.

    :param driver_object: the kernel's object, in place of the driver's globals, in which Windows
        looks
    """
    driver: Driver | None = driver_object.driver
    return driver
