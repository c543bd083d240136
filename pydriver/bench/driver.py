# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The smallest driver that has an ISR and a DPC, for mqdma's software-raised interrupts.

Message 0 has an ISR that reads one register and writes one. Message 1 also queues a DPC. Message 2
is connected and then served by the benchmark itself, without the framework.
"""

from dataclasses import dataclass, field

from pydriver.abi._native import lib
from pydriver.ke import DriverObject
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    Interrupt,
    InterruptConfig,
    MappedRegisters,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    ResourceList,
)

__all__ = ("READ", "WRITE", "BenchDevice", "driver_entry")

READ: int = lib.MQDMA_REG_INT_STATUS_LO
WRITE: int = lib.MQDMA_REG_INT_ACK_LO


@dataclass
class BenchDevice:
    """The device's context: an interrupt for each message in use."""

    interrupts: list[Interrupt] = field(default_factory=list)
    registers: MappedRegisters = field(init=False)


def driver_entry(driver_object: DriverObject) -> Driver:
    """DriverEntry."""
    return Driver.create(driver_object, DriverConfig(evt_driver_device_add=_device_add))


def _device_add(driver: Driver, init: DeviceInit) -> None:
    init.set_pnp_power_event_callbacks(
        PnpPowerEventCallbacks(
            evt_device_prepare_hardware=_prepare_hardware, evt_device_d0_entry=_d0_entry
        )
    )
    device = Device.create(init, ObjectAttributes(context_type=BenchDevice))
    context = device.get_typed_context(BenchDevice)

    def isr(interrupt: Interrupt, message: int) -> bool:
        registers = context.registers
        registers.write32(WRITE, registers.read32(READ))
        return True

    def isr_with_dpc(interrupt: Interrupt, message: int) -> bool:
        registers = context.registers
        registers.write32(WRITE, registers.read32(READ))
        interrupt.queue_dpc_for_isr()
        return True

    def dpc(interrupt: Interrupt, device: Device) -> None:
        pass

    for routine in (isr, isr_with_dpc, isr):
        config = InterruptConfig(evt_interrupt_isr=routine, evt_interrupt_dpc=dpc)
        context.interrupts.append(Interrupt.create(device, config))


def _prepare_hardware(device: Device, raw: ResourceList, translated: ResourceList) -> None:
    registers = translated.memory[lib.MQDMA_BAR_REGISTERS].map()
    device.get_typed_context(BenchDevice).registers = registers


def _d0_entry(device: Device, previous: int) -> None:
    registers = device.get_typed_context(BenchDevice).registers
    registers.write32(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_ENABLE)
    for queue in range(3):
        page = lib.MQDMA_QUEUE_BASE + queue * lib.MQDMA_QUEUE_STRIDE
        registers.write32(page + lib.MQDMA_Q_VECTOR, queue)
