# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A driver for NVMe controllers: each I/O queue pair has its own message and its own EvtDpcFunc.

A namespace is a file of the device: ``device.open("n1")`` opens the one with identifier 1,
``device.open()`` the first one. Reads and writes use offsets in the namespace, in whole blocks, and
may be longer than one command can be. All other requests are the device controls below.

- `controller`: reset and enable, interrupts, recovery;
- `admin`: the admin queue; `queue`: an I/O queue pair and its requests;
- `rings`, `prp`, `spec`: the data structures that the controller and the driver share.
"""

from collections.abc import Callable

from pydriver.drivers.nvme.controller import NvmeController
from pydriver.drivers.nvme.controls import (
    IOCTL_DEALLOCATE,
    IOCTL_FLUSH,
    IOCTL_GEOMETRY,
    IOCTL_RESET,
    IOCTL_WRITE_ZEROES,
    Geometry,
    range_bytes,
)
from pydriver.drivers.nvme.exercise import exercise
from pydriver.drivers.nvme.requests import Router
from pydriver.drivers.nvme.state import MAX_TRANSFER, Parameters
from pydriver.ke import DriverObject
from pydriver.ke.status import STATUS_OBJECT_NAME_NOT_FOUND, STATUS_SUCCESS
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    File,
    FileObjectConfig,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    Request,
    ResourceList,
)

__all__ = (
    "HARDWARE_IDS",
    "IOCTL_DEALLOCATE",
    "IOCTL_FLUSH",
    "IOCTL_GEOMETRY",
    "IOCTL_RESET",
    "IOCTL_WRITE_ZEROES",
    "MAX_TRANSFER",
    "Geometry",
    "NvmeController",
    "Parameters",
    "driver_entry",
    "driver_entry_with",
    "exercise",
    "range_bytes",
)

HARDWARE_IDS = (r"PCI\CC_010802",)
"""Mass storage, non-volatile memory, NVM Express."""


def driver_entry(driver_object: DriverObject) -> Driver:
    """DriverEntry, with the default parameters."""
    return driver_entry_with(Parameters())(driver_object)


def driver_entry_with(parameters: Parameters) -> Callable[[DriverObject], Driver]:
    """A DriverEntry for these parameters."""

    def entry(driver_object: DriverObject) -> Driver:
        def add(driver: Driver, init: DeviceInit) -> None:
            _device_add(init, parameters)

        return Driver.create(driver_object, DriverConfig(evt_driver_device_add=add))

    return entry


def _device_add(init: DeviceInit, parameters: Parameters) -> None:
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
    init.set_file_object_config(FileObjectConfig(evt_device_file_create=_file_create))
    device = Device.create(init, ObjectAttributes(context_type=NvmeController))
    controller = _controller(device)
    controller.create(device, parameters)
    Router(device, controller)


def _controller(device: Device) -> NvmeController:
    return device.get_typed_context(NvmeController)


def _prepare_hardware(device: Device, raw: ResourceList, translated: ResourceList) -> int:
    return _controller(device).prepare_hardware(translated)


def _d0_entry(device: Device, previous: int) -> int:
    return _controller(device).d0_entry()


def _d0_entry_post_interrupts_enabled(device: Device, previous: int) -> int:
    return _controller(device).d0_entry_post_interrupts_enabled()


def _d0_exit_pre_interrupts_disabled(device: Device, target: int) -> None:
    _controller(device).d0_exit_pre_interrupts_disabled()


def _d0_exit(device: Device, target: int) -> int:
    return _controller(device).d0_exit()


def _surprise_removal(device: Device) -> None:
    _controller(device).surprise_removal()


def _file_create(device: Device, request: Request, file: File | None) -> None:
    known = file is not None and file.name in _controller(device).by_name
    request.complete(STATUS_SUCCESS if known else STATUS_OBJECT_NAME_NOT_FOUND)
