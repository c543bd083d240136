# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Capabilities of real devices: their lists, power states, function-level reset."""

import pytest
from pydriver.abi._native import lib

from pydriver.errors import CapabilityError
from pydriver.link import ProcessorLink
from pydriver.pci import (
    CapabilityId,
    ExtendedCapabilityId,
    InterruptMode,
    PciBus,
    PciFunction,
    PowerState,
)
from pydriver.pci.express import PortType
from tests.pci.conftest import E1000E, EDU, MQDMA


def test_list_is_read_in_order(bus: PciBus) -> None:
    assert [capability.id for capability in bus.find(*E1000E).capabilities] == [
        CapabilityId.POWER_MANAGEMENT,
        CapabilityId.MSI,
        CapabilityId.PCI_EXPRESS,
        CapabilityId.MSI_X,
    ]


def test_extended_list_is_read_in_order(bus: PciBus) -> None:
    assert [
        (capability.id, capability.offset) for capability in bus.find(*E1000E).extended_capabilities
    ] == [
        (ExtendedCapabilityId.ADVANCED_ERROR_REPORTING, 0x100),
        (ExtendedCapabilityId.SERIAL_NUMBER, 0x140),
    ]


def test_conventional_function_has_no_extended_capabilities(edu: PciFunction) -> None:
    assert edu.extended_capabilities == ()


def test_missing_capability_is_an_error_that_names_both(edu: PciFunction) -> None:
    with pytest.raises(CapabilityError, match=r"00:04\.0 \[1234:11e8\] has no MSI_X"):
        edu.enable_msix()


def test_port_types(bus: PciBus) -> None:
    assert bus.at("00:08.0").express.port_type is PortType.ROOT_PORT
    assert bus.at("01:00.0").express.port_type is PortType.ENDPOINT
    assert bus.at("00:0b.0").express.port_type is PortType.EXPRESS_TO_PCI_BRIDGE


def test_vendor_capability_has_length_and_contents(bus: PciBus) -> None:
    # QEMU docs/pcie_pci_bridge.txt: type 1, then the numbers of buses to reserve, 32 bits.
    (capability,) = bus.at("00:08.0").vendor_capabilities
    contents = capability.read()
    assert len(contents) == capability.length - 3
    assert contents[:5] == b"\x01\x01\x00\x00\x00"


def test_function_goes_to_d3_and_back(mqdma: PciFunction) -> None:
    assert mqdma.power.state is PowerState.D0
    mqdma.power.set_state(PowerState.D3_HOT)
    assert mqdma.power.state is PowerState.D3_HOT
    mqdma.power.set_state(PowerState.D0)
    assert mqdma.power.state is PowerState.D0


def test_power_state_that_is_not_supported_is_an_error(bus: PciBus) -> None:
    with pytest.raises(CapabilityError, match="no power state D2"):
        bus.find(*E1000E).power.set_state(PowerState.D2)


def test_function_level_reset_clears_the_function_and_keeps_its_addresses(
    mqdma: PciFunction, cpu: ProcessorLink
) -> None:
    before = mqdma.resources()
    registers = mqdma.bar_address(lib.MQDMA_BAR_REGISTERS)
    cpu.write32(registers + lib.MQDMA_REG_SCRATCH0, 0x5CAFFE)
    mqdma.enable_msix()
    assert mqdma.reset() < mqdma.express.RESET_TIME
    assert mqdma.interrupt_mode is InterruptMode.NONE
    assert not mqdma.msix.enabled
    assert mqdma.header.COMMAND.val == 0
    assert mqdma.resources() == before
    mqdma.enable_memory()
    assert cpu.read32(registers + lib.MQDMA_REG_ID) == lib.MQDMA_ID_VALUE
    assert cpu.read32(registers + lib.MQDMA_REG_SCRATCH0) == 0


def test_reset_of_a_function_that_has_none_is_an_error(bus: PciBus) -> None:
    with pytest.raises(CapabilityError, match=r"00:06\.0 has no function-level reset"):
        bus.find(*E1000E).reset()
    with pytest.raises(CapabilityError, match="has no PCI_EXPRESS"):
        bus.find(*EDU).reset()


def test_resources_list_the_interrupt_modes_best_first(bus: PciBus) -> None:
    mqdma = bus.find(*MQDMA).resources().interrupts
    assert [(entry.mode, entry.messages) for entry in mqdma] == [
        (InterruptMode.MSIX, 33),
        (InterruptMode.MSI, 32),
        (InterruptMode.INTX, 1),
    ]
    assert mqdma[2].gsi == bus.find(*MQDMA).intx_gsi
