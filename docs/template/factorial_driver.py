# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
# ruff: noqa: D101, D103
"""A driver for QEMU's `edu` device, which computes a factorial and interrupts when it is done."""

from pydriver import System, SystemConfig, ke, wdf
from pydriver.ke.status import STATUS_INVALID_PARAMETER, STATUS_SUCCESS
from pydriver.machine import MachineConfig

FACTORIAL, CONTROL, CAUSE, ACKNOWLEDGE = 0x08, 0x20, 0x24, 0x64  # registers in BAR0
INTERRUPT_WHEN_DONE, DONE = 0x80, 0x01
IOCTL_FACTORIAL = wdf.ctl_code(0x800)


class Edu:  # the device's context
    registers: wdf.MappedRegisters
    request: wdf.Request
    causes = 0


def driver_entry(driver_object: ke.DriverObject) -> wdf.Driver:
    return wdf.Driver.create(driver_object, wdf.DriverConfig(evt_driver_device_add=device_add))


def device_add(driver: wdf.Driver, init: wdf.DeviceInit) -> None:
    pnp = wdf.PnpPowerEventCallbacks(evt_device_prepare_hardware=prepare_hardware)
    init.set_pnp_power_event_callbacks(pnp)
    device = wdf.Device.create(init, wdf.ObjectAttributes(context_type=Edu))
    wdf.Interrupt.create(device, wdf.InterruptConfig(evt_interrupt_isr=isr, evt_interrupt_dpc=dpc))
    one_by_one = wdf.IoQueueConfig(wdf.IoQueueDispatchType.SEQUENTIAL, default_queue=True)
    one_by_one.evt_io_device_control = compute
    wdf.IoQueue.create(device, one_by_one)


def prepare_hardware(device: wdf.Device, raw: wdf.ResourceList, usable: wdf.ResourceList) -> None:
    device.get_typed_context(Edu).registers = registers = usable.memory[0].map()
    registers.write32(CONTROL, INTERRUPT_WHEN_DONE)


def compute(queue: wdf.IoQueue, request: wdf.Request, output: int, size: int, code: int) -> None:
    if (code, size, output) != (IOCTL_FACTORIAL, 4, 4):
        request.complete(STATUS_INVALID_PARAMETER)
        return
    edu = queue.device.get_typed_context(Edu)
    edu.request = request
    edu.registers.write32(FACTORIAL, int.from_bytes(request.retrieve_input_buffer(), "little"))


def isr(interrupt: wdf.Interrupt, message: int) -> bool:  # at DIRQL
    edu = interrupt.device.get_typed_context(Edu)
    causes = edu.registers.read32(CAUSE)
    edu.registers.write32(ACKNOWLEDGE, causes)  # the device forgets them: keep them
    edu.causes |= causes
    if causes:
        interrupt.queue_dpc_for_isr()
    return causes != 0


def dpc(interrupt: wdf.Interrupt, device: wdf.Device) -> None:  # at DISPATCH_LEVEL
    edu = device.get_typed_context(Edu)
    interrupt.acquire_lock()  # raises the IRQL: the ISR cannot run now
    causes, edu.causes = edu.causes, 0
    interrupt.release_lock()
    if causes & DONE:
        result = edu.registers.read32(FACTORIAL).to_bytes(4, "little")
        edu.request.retrieve_output_buffer()[:] = result
        edu.request.complete_with_information(STATUS_SUCCESS, 4)


if __name__ == "__main__":  # at PASSIVE_LEVEL: the system, then an application
    with System(SystemConfig(MachineConfig(devices=("edu",)))) as system:
        edu_driver = system.load_driver(driver_entry)
        with edu_driver.add_device(system.pci.find(0x1234, 0x11E8)).open() as file:
            for n in range(1, 13):
                answer = file.device_control(IOCTL_FACTORIAL, n.to_bytes(4, "little"), 4, timeout=5)
                print(f"{n}! = {int.from_bytes(answer, 'little')}")
