# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDEVICE_INIT: what a driver says about a device before it creates it; a device's states."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import TYPE_CHECKING, Any

from pydriver.pci import InterruptMode
from pydriver.wdf.ddi import ddi
from pydriver.wdf.object import ObjectAttributes

if TYPE_CHECKING:
    from pydriver.pci import PciFunction
    from pydriver.wdf.device import Device
    from pydriver.wdf.driver import Driver
    from pydriver.wdf.file import File
    from pydriver.wdf.resource import ResourceList

__all__ = (
    "DeviceInit",
    "DeviceState",
    "FileObjectConfig",
    "PnpPowerEventCallbacks",
    "PowerDeviceState",
)


class PowerDeviceState(IntEnum):
    """WDF_POWER_DEVICE_STATE."""

    INVALID = 0
    D0 = 1
    D1 = 2
    D2 = 3
    D3 = 4
    D3_FINAL = 5
    PREPARE_FOR_HIBERNATION = 6


class DeviceState(Enum):
    """Where the device is in its life."""

    INIT = "init"
    PREPARING = "preparing hardware"
    STARTING = "starting"
    STARTED = "started"
    LOW_POWER = "low power"
    STOPPED = "stopped"
    FAILED = "failed"
    REMOVED = "removed"


DeviceCallback = Callable[["Device"], int | None]
PrepareCallback = Callable[["Device", "ResourceList", "ResourceList"], int | None]
PowerCallback = Callable[["Device", PowerDeviceState], int | None]


@dataclass(slots=True)
class PnpPowerEventCallbacks:
    """WDF_PNPPOWER_EVENT_CALLBACKS. A status of ``None`` is STATUS_SUCCESS.

    :ivar evt_device_prepare_hardware: (device, raw, translated) -> NTSTATUS
    :ivar evt_device_release_hardware: (device, translated) -> NTSTATUS
    :ivar evt_device_d0_entry: (device, previous_state) -> NTSTATUS
    :ivar evt_device_d0_exit: (device, target_state) -> NTSTATUS
    """

    evt_device_d0_entry: PowerCallback | None = None
    evt_device_d0_entry_post_interrupts_enabled: PowerCallback | None = None
    evt_device_d0_exit: PowerCallback | None = None
    evt_device_d0_exit_pre_interrupts_disabled: PowerCallback | None = None
    evt_device_prepare_hardware: PrepareCallback | None = None
    evt_device_release_hardware: "Callable[[Device, ResourceList], int | None] | None" = None
    evt_device_self_managed_io_cleanup: "Callable[[Device], None] | None" = None
    evt_device_self_managed_io_flush: "Callable[[Device], None] | None" = None
    evt_device_self_managed_io_init: DeviceCallback | None = None
    evt_device_self_managed_io_suspend: DeviceCallback | None = None
    evt_device_self_managed_io_restart: DeviceCallback | None = None


@dataclass(slots=True)
class FileObjectConfig:
    """WDF_FILEOBJECT_CONFIG.

    :ivar evt_device_file_create: (device, file) -> NTSTATUS: whether it may be opened
    :ivar evt_file_cleanup: (file), when the handle is closed
    :ivar evt_file_close: (file), after that
    """

    evt_device_file_create: "Callable[[Device, File], int | None] | None" = None
    evt_file_cleanup: "Callable[[File], None] | None" = None
    evt_file_close: "Callable[[File], None] | None" = None


@dataclass
class DeviceInit:
    """WDFDEVICE_INIT: what EvtDriverDeviceAdd sets up before it creates the device.

    :ivar driver: whose EvtDriverDeviceAdd it is given to
    :ivar function: the PCI function
    """

    driver: "Driver"
    function: "PciFunction"
    interrupt_mode: InterruptMode | None = None
    message_limit: int | None = None
    callbacks: PnpPowerEventCallbacks = field(default_factory=PnpPowerEventCallbacks)
    file_config: FileObjectConfig = field(default_factory=FileObjectConfig)
    file_attributes: ObjectAttributes | None = None
    device: "Device | None" = None

    @property
    def _kernel(self) -> Any:
        return self.driver._kernel

    @property
    def _current(self) -> Any:
        return self.driver._current

    @ddi(
        "WdfDeviceInitSetPnpPowerEventCallbacks",
        "VOID (PWDFDEVICE_INIT, PWDF_PNPPOWER_EVENT_CALLBACKS)",
    )
    def set_pnp_power_event_callbacks(self, callbacks: PnpPowerEventCallbacks) -> None:
        """Registers the PnP and power callbacks."""
        self.callbacks = callbacks

    @ddi(
        "WdfDeviceInitSetFileObjectConfig",
        "VOID (PWDFDEVICE_INIT, PWDF_FILEOBJECT_CONFIG, PWDF_OBJECT_ATTRIBUTES)",
    )
    def set_file_object_config(
        self, config: FileObjectConfig, attributes: ObjectAttributes | None = None
    ) -> None:
        """Registers the callbacks and the context of file objects."""
        self.file_config = config
        self.file_attributes = attributes
