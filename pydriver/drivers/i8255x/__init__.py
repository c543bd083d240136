# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A driver for the 8255x family of Ethernet controllers: one line, level-triggered, and two rings.

For applications a frame is a request: a write sends one, a read takes the oldest received one.
Frames do not include their frame check sequence. All other requests are the device controls below.

- `adapter`: reset and configuration, interrupt, link, recovery;
- `transmit` and `receive`: the rings and their requests;
- `scb`, `eeprom`, `phy`, `spec`: the parts of the hardware.
"""

from pydriver.drivers.i8255x.adapter import I8255x
from pydriver.drivers.i8255x.exercise import exercise
from pydriver.drivers.i8255x.phy import LinkState
from pydriver.drivers.i8255x.requests import (
    IOCTL_ADDRESS,
    IOCTL_LINK,
    IOCTL_RESET,
    IOCTL_STATISTICS,
    IOCTL_WAIT_LINK_CHANGE,
    Statistics,
    create_queues,
)
from pydriver.drivers.i8255x.spec import MAX_FRAME, MIN_FRAME
from pydriver.ke import DriverObject
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    ResourceList,
)

__all__ = (
    "HARDWARE_IDS",
    "IOCTL_ADDRESS",
    "IOCTL_LINK",
    "IOCTL_RESET",
    "IOCTL_STATISTICS",
    "IOCTL_WAIT_LINK_CHANGE",
    "MAX_FRAME",
    "MIN_FRAME",
    "I8255x",
    "LinkState",
    "Statistics",
    "driver_entry",
    "exercise",
)

HARDWARE_IDS = (
    r"PCI\VEN_8086&DEV_1209",  # 82551IT, 82559ER
    r"PCI\VEN_8086&DEV_1229",  # 82557, 82558, 82559
    r"PCI\VEN_8086&DEV_2449",  # in the 82801 chipsets
)


def driver_entry(driver_object: DriverObject) -> Driver:
    """DriverEntry."""
    return Driver.create(driver_object, DriverConfig(evt_driver_device_add=_device_add))


def _device_add(driver: Driver, init: DeviceInit) -> None:
    init.set_pnp_power_event_callbacks(
        PnpPowerEventCallbacks(
            evt_device_prepare_hardware=_prepare_hardware,
            evt_device_d0_entry=_d0_entry,
            evt_device_d0_entry_post_interrupts_enabled=_d0_entry_post_interrupts_enabled,
            evt_device_d0_exit_pre_interrupts_disabled=_d0_exit_pre_interrupts_disabled,
            evt_device_d0_exit=_d0_exit,
            evt_device_surprise_removal=_surprise_removal,
        )
    )
    device = Device.create(init, ObjectAttributes(context_type=I8255x))
    _adapter(device).create(device)
    create_queues(device, _adapter(device))


def _adapter(device: Device) -> I8255x:
    return device.get_typed_context(I8255x)


def _prepare_hardware(device: Device, raw: ResourceList, translated: ResourceList) -> int:
    return _adapter(device).prepare_hardware(translated)


def _d0_entry(device: Device, previous: int) -> int:
    return _adapter(device).d0_entry()


def _d0_entry_post_interrupts_enabled(device: Device, previous: int) -> int:
    return _adapter(device).d0_entry_post_interrupts_enabled()


def _d0_exit_pre_interrupts_disabled(device: Device, target: int) -> None:
    _adapter(device).d0_exit_pre_interrupts_disabled()


def _d0_exit(device: Device, target: int) -> int:
    return _adapter(device).d0_exit()


def _surprise_removal(device: Device) -> None:
    _adapter(device).surprise_removal()
