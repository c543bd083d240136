# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A driver for QEMU's stock `edu` device: proves the framework on a device that nobody here wrote.

A device control computes a factorial: the input is the argument as 32 bits, the output the result.
"""

import struct
from dataclasses import dataclass, field

from pydriver.ke import DriverObject
from pydriver.ke.status import STATUS_INVALID_PARAMETER, STATUS_SUCCESS
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    Interrupt,
    InterruptConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    MappedRegisters,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    Request,
    ResourceList,
    ctl_code,
)

VENDOR, DEVICE = 0x1234, 0x11E8
FACTORIAL, STATUS, INTERRUPT_STATUS, RAISE, ACKNOWLEDGE = 0x08, 0x20, 0x24, 0x60, 0x64
STATUS_INTERRUPT = 0x80
DONE = 0x01
IOCTL_FACTORIAL = ctl_code(0x800)


@dataclass
class Edu:
    """The device's context."""

    registers: MappedRegisters = field(init=False)
    queue: IoQueue = field(init=False)
    interrupt: Interrupt = field(init=False)
    request: Request | None = None
    causes: int = 0


def driver_entry(driver_object: DriverObject) -> Driver:
    return Driver.create(driver_object, DriverConfig(evt_driver_device_add=device_add))


def device_add(driver: Driver, init: DeviceInit) -> None:
    init.set_pnp_power_event_callbacks(
        PnpPowerEventCallbacks(evt_device_prepare_hardware=prepare, evt_device_d0_entry=d0_entry)
    )
    device = Device.create(init, ObjectAttributes(context_type=Edu))
    edu = device.get_typed_context(Edu)
    edu.interrupt = Interrupt.create(
        device, InterruptConfig(evt_interrupt_isr=isr, evt_interrupt_dpc=dpc)
    )
    edu.queue = IoQueue.create(
        device,
        IoQueueConfig(
            IoQueueDispatchType.SEQUENTIAL, evt_io_device_control=control, default_queue=True
        ),
    )


def prepare(device: Device, raw: ResourceList, translated: ResourceList) -> None:
    device.get_typed_context(Edu).registers = translated.memory[0].map()


def d0_entry(device: Device, previous: int) -> None:
    device.get_typed_context(Edu).registers.write32(STATUS, STATUS_INTERRUPT)


def isr(interrupt: Interrupt, message: int) -> bool:
    edu = interrupt.device.get_typed_context(Edu)
    causes = edu.registers.read32(INTERRUPT_STATUS)
    if not causes:
        return False
    edu.registers.write32(ACKNOWLEDGE, causes)
    edu.causes |= causes
    interrupt.queue_dpc_for_isr()
    return True


def dpc(interrupt: Interrupt, device: Device) -> None:
    edu = device.get_typed_context(Edu)
    with_lock = edu.interrupt
    with_lock.acquire_lock()
    causes, edu.causes = edu.causes, 0
    with_lock.release_lock()
    request = edu.request
    if causes & DONE and request is not None:
        edu.request = None
        struct.pack_into(
            "<I", request.retrieve_output_buffer(4), 0, edu.registers.read32(FACTORIAL)
        )
        request.complete_with_information(STATUS_SUCCESS, 4)


def control(queue: IoQueue, request: Request, output: int, size: int, code: int) -> None:
    if code != IOCTL_FACTORIAL or size != 4 or output != 4:
        request.complete(STATUS_INVALID_PARAMETER)
        return
    edu = queue.device.get_typed_context(Edu)
    edu.request = request
    edu.registers.write32(FACTORIAL, *struct.unpack("<I", request.retrieve_input_buffer(4)))
