# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""INTx through the I/O APIC: routing, level semantics, masks."""

import pytest

from pydriver.errors import PciError
from pydriver.link import ProcessorLink
from pydriver.pci import InterruptPin, IoApic, PciBus, PciFunction, Trigger
from pydriver.pci.q35 import root_gsi
from tests.pci.conftest import EDU, EDU_ACKNOWLEDGE, EDU_RAISE, Interrupts

VECTOR = 0x81


def acknowledge(cpu: ProcessorLink, edu: PciFunction) -> None:
    cpu.write32(edu.bar_address(0) + EDU_ACKNOWLEDGE, 0xFFFFFFFF)


def test_pins_are_routed_as_the_chipset_does(bus: PciBus) -> None:
    assert {edu.slot: edu.intx_gsi for edu in bus.find_all(*EDU)} == {
        "00:04.0": 20,
        "04:03.0": 22,  # pin A turned by 3, then device 0xb
        "00:0c.0": 20,
        "00:0c.1": 20,
        "00:19.0": 16,
    }
    assert root_gsi(31, InterruptPin.INTD) == 19
    assert root_gsi(30, InterruptPin.INTB) == 21
    with pytest.raises(PciError, match="no interrupt pin"):
        root_gsi(3, InterruptPin.NONE)


@pytest.mark.parametrize("index", range(5))
def test_pin_of_each_function_arrives_at_its_input(
    bus: PciBus, ioapic: IoApic, cpu: ProcessorLink, interrupts: Interrupts, index: int
) -> None:
    edu = bus.find(*EDU, index)
    edu.enable_memory()
    interrupts.watch(VECTOR, serve=lambda: acknowledge(cpu, edu))
    gsi = edu.enable_intx()
    ioapic.connect(gsi, VECTOR, cpu.apic_id)
    ioapic.unmask(gsi)
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    interrupts.wait(1)
    assert interrupts.arrivals == [(0, VECTOR, 0, 8)]


def test_level_interrupts_again_until_the_device_is_served(
    edu: PciFunction, ioapic: IoApic, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    def serve() -> None:
        assert ioapic.read(gsi).remote_irr
        if len(interrupts.arrivals) == 3:
            acknowledge(cpu, edu)

    gsi = edu.enable_intx()
    interrupts.watch(VECTOR, serve=serve)
    ioapic.connect(gsi, VECTOR, cpu.apic_id)
    ioapic.unmask(gsi)
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    interrupts.wait(3)
    assert not ioapic.read(gsi).remote_irr


def test_edge_interrupts_once_and_the_next_edge_again(
    edu: PciFunction, ioapic: IoApic, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    gsi = edu.enable_intx()
    interrupts.watch(VECTOR)
    ioapic.connect(gsi, VECTOR, cpu.apic_id, Trigger.EDGE)
    ioapic.unmask(gsi)
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    interrupts.wait(1)
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 2)  # the line is active already
    assert interrupts.settle() == [VECTOR]
    acknowledge(cpu, edu)
    assert interrupts.settle() == [VECTOR]
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    assert interrupts.wait(2) == [VECTOR, VECTOR]
    acknowledge(cpu, edu)
    ioapic.connect(gsi, VECTOR, cpu.apic_id)


def test_masked_level_arrives_when_unmasked(
    edu: PciFunction, ioapic: IoApic, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    gsi = edu.enable_intx()
    interrupts.watch(VECTOR, serve=lambda: acknowledge(cpu, edu))
    ioapic.connect(gsi, VECTOR, cpu.apic_id)
    assert ioapic.is_masked(gsi)
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    assert interrupts.settle() == []
    ioapic.unmask(gsi)
    assert interrupts.wait(1) == [VECTOR]


def test_level_that_began_before_the_input_was_connected_arrives(
    edu: PciFunction, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    ioapic = IoApic(cpu)
    gsi = edu.enable_intx()
    interrupts.watch(VECTOR, serve=lambda: acknowledge(cpu, edu))
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    assert interrupts.settle() == []
    ioapic.connect(gsi, VECTOR, cpu.apic_id)
    ioapic.unmask(gsi)
    assert interrupts.wait(1) == [VECTOR]
    ioapic.mask(gsi)


def test_level_that_ends_while_masked_does_not_arrive(
    edu: PciFunction, ioapic: IoApic, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    gsi = edu.enable_intx()
    interrupts.watch(VECTOR)
    ioapic.connect(gsi, VECTOR, cpu.apic_id)
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    acknowledge(cpu, edu)
    ioapic.unmask(gsi)
    assert interrupts.settle() == []


def test_interrupt_disable_bit_holds_the_pin_back(
    edu: PciFunction, ioapic: IoApic, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    gsi = edu.enable_intx()
    interrupts.watch(VECTOR, serve=lambda: acknowledge(cpu, edu))
    ioapic.connect(gsi, VECTOR, cpu.apic_id)
    ioapic.unmask(gsi)
    edu.disable_interrupts()
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    assert interrupts.settle() == []
    assert edu.header.STATUS.read().interrupt_status
    edu.enable_intx()
    assert interrupts.wait(1) == [VECTOR]


def test_two_functions_share_an_input(
    bus: PciBus, ioapic: IoApic, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    pair = [bus.at("00:0c.0"), bus.at("00:0c.1")]
    for function in pair:
        function.enable_memory()
        gsi = function.enable_intx()
    interrupts.watch(VECTOR, serve=lambda: acknowledge(cpu, pair[len(interrupts.arrivals) - 1]))
    ioapic.connect(gsi, VECTOR, cpu.apic_id)
    for function in pair:
        cpu.write32(function.bar_address(0) + EDU_RAISE, 1)
    ioapic.unmask(gsi)
    # The line stays active until both are served.
    interrupts.wait(2)


def test_interrupt_goes_to_the_processor_that_was_named(
    processors: list[ProcessorLink], edu: PciFunction, ioapic: IoApic, interrupts: Interrupts
) -> None:
    other = processors[1]
    gsi = edu.enable_intx()
    interrupts.watch(VECTOR, 1, serve=lambda: acknowledge(other, edu))
    ioapic.connect(gsi, VECTOR, other.apic_id)
    ioapic.unmask(gsi)
    other.write32(edu.bar_address(0) + EDU_RAISE, 1)
    interrupts.wait(1)
    assert interrupts.arrivals[0].processor == 1


def test_entry_reads_back_as_it_was_written(
    processors: list[ProcessorLink], ioapic: IoApic
) -> None:
    apic_id = processors[1].apic_id
    ioapic.connect(23, 0x9A, apic_id)
    entry = ioapic.read(23)
    assert (entry.vector, entry.destination, entry.trigger) == (0x9A, apic_id, Trigger.LEVEL)
    assert entry.mask
    ioapic.unmask(23)
    assert not ioapic.read(23).mask


def test_what_the_table_cannot_hold_is_an_error(ioapic: IoApic) -> None:
    with pytest.raises(PciError, match="no input 24; it has 24"):
        ioapic.unmask(24)
    with pytest.raises(PciError, match="0xf is not a vector"):
        ioapic.connect(16, 0x0F, 0)
    with pytest.raises(PciError, match="APIC id 0x100"):
        ioapic.connect(16, 0x40, 0x100)
