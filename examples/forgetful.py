# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A driver for `edu` with a mistake: its DPC forgets to complete a request.

`docs/how-to/debugging.md` shows how to find the mistake.
"""

from pydriver import ke, wdf
from pydriver.ke.status import STATUS_SUCCESS

FACTORIAL, CONTROL, CAUSE, ACKNOWLEDGE = 0x08, 0x20, 0x24, 0x64  # registers in BAR0
INTERRUPT_WHEN_DONE = 0x80
IOCTL_FACTORIAL = wdf.ctl_code(0x800)
HARDWARE_IDS = ("PCI\\VEN_1234&DEV_11E8",)


class Edu:
    """The device's context."""

    registers: wdf.MappedRegisters
    request: wdf.Request


def driver_entry(driver_object: ke.DriverObject) -> wdf.Driver:
    """DriverEntry."""
    return wdf.Driver.create(driver_object, wdf.DriverConfig(evt_driver_device_add=device_add))


def device_add(driver: wdf.Driver, init: wdf.DeviceInit) -> None:
    """EvtDriverDeviceAdd."""
    pnp = wdf.PnpPowerEventCallbacks(evt_device_prepare_hardware=prepare_hardware)
    init.set_pnp_power_event_callbacks(pnp)
    device = wdf.Device.create(init, wdf.ObjectAttributes(context_type=Edu))
    wdf.Interrupt.create(device, wdf.InterruptConfig(evt_interrupt_isr=isr, evt_interrupt_dpc=dpc))
    config = wdf.IoQueueConfig(wdf.IoQueueDispatchType.SEQUENTIAL, default_queue=True)
    config.evt_io_device_control = compute
    wdf.IoQueue.create(device, config)


def prepare_hardware(device: wdf.Device, raw: wdf.ResourceList, usable: wdf.ResourceList) -> None:
    """EvtDevicePrepareHardware."""
    device.get_typed_context(Edu).registers = registers = usable.memory[0].map()
    registers.write32(CONTROL, INTERRUPT_WHEN_DONE)


def compute(queue: wdf.IoQueue, request: wdf.Request, output: int, size: int, code: int) -> None:
    """EvtIoDeviceControl."""
    edu = queue.device.get_typed_context(Edu)
    edu.request = request
    edu.registers.write32(FACTORIAL, int.from_bytes(request.retrieve_input_buffer(), "little"))


def isr(interrupt: wdf.Interrupt, message: int) -> bool:
    """EvtInterruptIsr."""
    registers = interrupt.device.get_typed_context(Edu).registers
    causes = registers.read32(CAUSE)
    registers.write32(ACKNOWLEDGE, causes)
    interrupt.queue_dpc_for_isr()
    return causes != 0


def dpc(interrupt: wdf.Interrupt, device: wdf.Device) -> None:
    """EvtInterruptDpc: a result of 0 is left behind, and with it the request."""
    edu = device.get_typed_context(Edu)
    if result := edu.registers.read32(FACTORIAL):
        edu.request.retrieve_output_buffer()[:] = result.to_bytes(4, "little")
        edu.request.complete_with_information(STATUS_SUCCESS, 4)


def exercise(device: wdf.Device) -> str:
    """Factorials; that of 40 is a multiple of 2**32, so that the register has 0."""
    with device.open() as file:
        for number in (5, 6, 40):
            file.device_control(IOCTL_FACTORIAL, number.to_bytes(4, "little"), 4)
    return ""
