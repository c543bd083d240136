# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""MSI and MSI-X of real devices, delivered to a real (emulated) processor."""

import pytest
from pydriver.abi._native import lib

from pydriver.errors import CapabilityError, PciResourceError
from pydriver.link import ProcessorLink
from pydriver.pci import InterruptMode, PciBus, PciFunction, VectorAllocator, message
from tests.pci.conftest import EDU_ACKNOWLEDGE, EDU_RAISE, Interrupts


def raise_interrupt(cpu: ProcessorLink, mqdma: PciFunction, queue: int) -> None:
    """Makes the engine interrupt on a queue's vector, which is the queue's number after reset."""
    cpu.write32(mqdma.bar_address(lib.MQDMA_BAR_REGISTERS) + lib.MQDMA_REG_INT_RAISE, queue)


@pytest.mark.parametrize("processor", [0, 1])
def test_msi_arrives_at_its_vector_processor_and_irql(
    edu: PciFunction,
    cpu: ProcessorLink,
    interrupts: Interrupts,
    vectors: VectorAllocator,
    processor: int,
) -> None:
    block = vectors.allocate(9, processor=processor)
    interrupts.watch(block.base, processor)
    edu.enable_msi(*vectors.message(block))
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    interrupts.wait(1)
    assert interrupts.arrivals[0] == (processor, block.base, 0, 9)
    assert edu.interrupt_mode is InterruptMode.MSI
    cpu.write32(edu.bar_address(0) + EDU_ACKNOWLEDGE, 1)


def test_msi_that_is_off_does_not_arrive(
    edu: PciFunction, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    interrupts.watch(0x91)
    edu.enable_msi(*message(cpu.apic_id, 0x91))
    edu.disable_interrupts()
    cpu.write32(edu.bar_address(0) + EDU_RAISE, 1)
    assert interrupts.settle() == []
    cpu.write32(edu.bar_address(0) + EDU_ACKNOWLEDGE, 1)


@pytest.mark.parametrize("count", [1, 4, 32])
def test_each_of_several_msi_messages_has_its_own_vector(
    mqdma: PciFunction,
    cpu: ProcessorLink,
    interrupts: Interrupts,
    vectors: VectorAllocator,
    count: int,
) -> None:
    block = vectors.allocate(4, count, processor=0)
    for vector in block.vectors:
        interrupts.watch(vector)
    msi = mqdma.enable_msi(*vectors.message(block), messages=count)
    assert msi.enabled == count
    for index in range(count):
        msi.unmask(index)
        raise_interrupt(cpu, mqdma, index)
        assert interrupts.wait(index + 1)[-1] == block.vectors[index]
    assert [arrival.cr8 for arrival in interrupts.arrivals] == [
        block.irql(index) for index in range(count)
    ]


def test_masked_msi_message_is_pending_and_arrives_when_unmasked(
    mqdma: PciFunction, cpu: ProcessorLink, interrupts: Interrupts, vectors: VectorAllocator
) -> None:
    block = vectors.allocate(6, 8, processor=0)
    for vector in block.vectors:
        interrupts.watch(vector)
    msi = mqdma.enable_msi(*vectors.message(block), messages=8)
    msi.unmask(2)
    for index in (2, 5):
        raise_interrupt(cpu, mqdma, index)
    assert interrupts.wait(1) == [block.vectors[2]]
    assert msi.pending() == 1 << 5
    assert msi.is_masked(5)
    assert not msi.is_masked(2)
    msi.unmask(5)
    assert interrupts.wait(2)[-1] == block.vectors[5]
    assert msi.pending() == 0
    msi.mask(2)
    raise_interrupt(cpu, mqdma, 2)
    assert len(interrupts.settle()) == 2
    assert msi.pending() == 1 << 2


def test_msi_that_the_function_cannot_do_is_an_error(edu: PciFunction, mqdma: PciFunction) -> None:
    with pytest.raises(CapabilityError, match="2 MSI messages; it has up to 1"):
        edu.enable_msi(0xFEE00000, 0x40, messages=2)
    with pytest.raises(CapabilityError, match="3 MSI messages"):
        mqdma.enable_msi(0xFEE00000, 0x40, messages=3)
    with pytest.raises(CapabilityError, match="MSI data 0x41 for 2 messages"):
        mqdma.enable_msi(0xFEE00000, 0x41, messages=2)
    with pytest.raises(CapabilityError, match="cannot write to address 0xfee00002"):
        mqdma.enable_msi(0xFEE00002, 0x40)
    with pytest.raises(CapabilityError, match="without per-vector masking"):
        edu.msi.mask(0)
    with pytest.raises(CapabilityError, match="no MSI message 32; there are 32"):
        mqdma.msi.mask(32)
    assert mqdma.interrupt_mode is InterruptMode.NONE


def test_each_msix_vector_goes_to_its_own_processor_and_irql(
    mqdma: PciFunction,
    cpu: ProcessorLink,
    interrupts: Interrupts,
    vectors: VectorAllocator,
) -> None:
    msix = mqdma.enable_msix()
    expected = []
    for index in range(msix.messages - 1):
        block = vectors.allocate(3 + index % 9, processor=index % 2)
        interrupts.watch(block.base, index % 2)
        msix.set(index, *vectors.message(block))
        msix.unmask(index)
        expected.append((index % 2, block.base, 0, 3 + index % 9))
    for index in range(msix.messages - 1):
        raise_interrupt(cpu, mqdma, index)
        interrupts.wait(index + 1)
    assert interrupts.arrivals == expected


def test_masked_msix_vector_is_pending_and_arrives_when_unmasked(
    mqdma: PciFunction, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    msix = mqdma.enable_msix()
    for index in (0, 31):
        interrupts.watch(0x50 + index)
        msix.set(index, *message(cpu.apic_id, 0x50 + index))
    msix.unmask(0)
    for index in (0, 31):
        raise_interrupt(cpu, mqdma, index)
    assert interrupts.wait(1) == [0x50]
    assert [msix.pending(index) for index in (0, 30, 31)] == [False, False, True]
    msix.unmask(31)
    assert interrupts.wait(2) == [0x50, 0x6F]
    assert not msix.pending(31)


def test_function_mask_holds_every_vector_back(
    mqdma: PciFunction, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    msix = mqdma.enable_msix()
    for index in (3, 4):
        interrupts.watch(0x50 + index)
        msix.set(index, *message(cpu.apic_id, 0x50 + index))
    msix.unmask(3)
    msix.mask_function()
    for index in (3, 4):
        raise_interrupt(cpu, mqdma, index)
    assert interrupts.settle() == []
    assert msix.pending(3)
    msix.unmask_function()
    assert interrupts.wait(1) == [0x53]
    assert msix.pending(4)


def test_vector_is_masked_while_it_gets_another_message(
    mqdma: PciFunction, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    msix = mqdma.enable_msix()
    for vector in (0x51, 0x71):
        interrupts.watch(vector)
    msix.set(0, *message(cpu.apic_id, 0x51))
    msix.unmask(0)
    msix.set(0, *message(cpu.apic_id, 0x71))
    raise_interrupt(cpu, mqdma, 0)
    assert interrupts.settle() == []
    assert msix.entry(0).DATA.val == 0x71
    assert msix.entry(0).CONTROL.read().mask
    msix.unmask(0)
    assert interrupts.wait(1) == [0x71]


def test_enabling_masks_what_the_last_owner_left(
    mqdma: PciFunction, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    interrupts.watch(0x51)
    msix = mqdma.enable_msix()
    msix.set(0, *message(cpu.apic_id, 0x51))
    msix.unmask(0)
    msix.mask_function()
    raise_interrupt(cpu, mqdma, 0)
    # Off, the vector is unmasked and pending: it must not arrive while the table is cleaned.
    mqdma.disable_interrupts()
    msix.unmask_function()
    mqdma.enable_msix()
    assert interrupts.settle() == []
    assert msix.pending(0)


def test_msix_vector_that_is_not_there_is_an_error(bus: PciBus, mqdma: PciFunction) -> None:
    msix = mqdma.enable_msix()
    with pytest.raises(CapabilityError, match=r"no MSI-X vector 33; there are 33"):
        msix.unmask(33)
    with pytest.raises(CapabilityError, match=r"not possible"):
        msix.set(0, 0xFEE00001, 0)
    with pytest.raises(CapabilityError, match=r"00:06\.0: MSI-X was never enabled"):
        bus.at("00:06.0").msix.mask(0)


def test_msix_needs_the_address_of_its_table(mqdma: PciFunction) -> None:
    bar = mqdma.bar(lib.MQDMA_BAR_MSIX)
    address, bar.address = bar.address, None
    try:
        with pytest.raises(PciResourceError, match=r"BAR4 of 00:05\.0 .* has no address"):
            mqdma.enable_msix()
    finally:
        bar.address = address


def test_interrupt_of_a_higher_irql_preempts_the_handler_of_a_lower_one(
    mqdma: PciFunction, cpu: ProcessorLink, interrupts: Interrupts
) -> None:
    msix = mqdma.enable_msix()

    def raise_others() -> None:
        raise_interrupt(cpu, mqdma, 1)
        raise_interrupt(cpu, mqdma, 2)
        cpu.sync()

    interrupts.watch(0x61, serve=raise_others)
    interrupts.watch(0x51)
    interrupts.watch(0x71)
    for index, vector in enumerate((0x61, 0x51, 0x71)):
        msix.set(index, *message(cpu.apic_id, vector))
        msix.unmask(index)
    raise_interrupt(cpu, mqdma, 0)
    interrupts.wait(3)
    assert [arrival[1:] for arrival in interrupts.arrivals] == [
        (0x61, 0, 6),
        (0x71, 6, 7),
        (0x51, 0, 5),
    ]
