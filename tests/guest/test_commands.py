# SPDX-License-Identifier: MIT
"""Commands: the interpreter executes them, and survives those that fault."""

import pytest
from pydriver.abi._native import lib

from pydriver.errors import AccessFault, LinkError
from pydriver.link import Link, ProcessorLink
from pydriver.machine import Machine

PAGE = 4096
APIC_VERSION = 0xFEE00030
NON_CANONICAL = 1 << 60
UNMAPPED = 64 << 30  # the first address after the identity map
MSR_EFER = 0xC0000080
MSR_STAR = 0xC0000081
EFER_LMA = 1 << 10
MSR_NONE = 0xDEAD
HOST_BRIDGE = 0x80000000
Q35_HOST_BRIDGE = 0x29C08086
GENERAL_PROTECTION = 13
PAGE_FAULT = 14


@pytest.fixture
def page(machine: Machine) -> int:
    return machine.reservations.reserve(2 * PAGE)


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_write_then_read_of_each_width_reaches_guest_memory(
    cpu: ProcessorLink, machine: Machine, page: int, width: int
) -> None:
    value = 0x8877665544332211 & ((1 << width) - 1)
    machine.memory.view[page : page + 16] = b"\xff" * 16
    getattr(cpu, f"write{width}")(page, value)
    assert getattr(cpu, f"read{width}")(page) == value
    size = width // 8
    assert machine.memory.view[page : page + 16] == value.to_bytes(size, "little") + b"\xff" * (
        16 - size
    )


def test_posted_writes_are_executed_in_order_and_more_than_a_ring_of_them(
    cpu: ProcessorLink, machine: Machine, page: int
) -> None:
    for value in range(10 * lib.LINK_RING):
        cpu.write32(page + 4 * value, value)
    cpu.sync()
    words = machine.memory.view[page : page + 40 * lib.LINK_RING].cast("I")
    assert list(words) == list(range(10 * lib.LINK_RING))


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_block_transfers_longer_than_the_mailbox_keep_their_order(
    cpu: ProcessorLink, machine: Machine, page: int, width: int
) -> None:
    data = bytes(index * 7 & 0xFF for index in range(2 * PAGE))
    cpu.write_block(page, width, data)
    assert machine.memory.view[page : page + 2 * PAGE] == data
    assert cpu.read_block(page, width, 2 * PAGE // width) == data


def test_block_write_of_a_broken_element_is_refused(cpu: ProcessorLink, page: int) -> None:
    with pytest.raises(LinkError, match="whole number"):
        cpu.write_block(page, 4, b"12345")


@pytest.mark.parametrize(
    ("address", "vector"), [(0, PAGE_FAULT), (UNMAPPED, PAGE_FAULT), (NON_CANONICAL, 13)]
)
def test_read_of_a_bad_address_reports_the_fault_and_the_guest_survives(
    cpu: ProcessorLink, address: int, vector: int
) -> None:
    for read in (cpu.read8, cpu.read16, cpu.read32, cpu.read64):
        with pytest.raises(AccessFault) as caught:
            read(address)
        assert (caught.value.address, caught.value.vector) == (address, vector)
    assert cpu.read32(APIC_VERSION) & 0xFF


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_posted_write_to_a_bad_address_is_reported_by_the_next_wait_only(
    cpu: ProcessorLink, page: int, width: int
) -> None:
    getattr(cpu, f"write{width}")(UNMAPPED, 1)
    cpu.write32(page, 0x1234)
    with pytest.raises(AccessFault) as caught:
        cpu.sync()
    assert caught.value.address == UNMAPPED
    assert cpu.read32(page) == 0x1234


def test_block_transfer_over_a_bad_address_reports_the_fault(cpu: ProcessorLink) -> None:
    with pytest.raises(AccessFault):
        cpu.read_block(UNMAPPED - 8, 4, 4)
    with pytest.raises(AccessFault):
        cpu.write_block(UNMAPPED, 4, bytes(8))
    cpu.sync()


def test_bad_width_is_an_error_and_not_an_access(cpu: ProcessorLink, page: int) -> None:
    with pytest.raises(LinkError, match="does not know"):
        cpu.read_block(page, 16, 1)
    with pytest.raises(LinkError, match="does not know"):
        cpu.port_in(0x80, 8)


def test_ports_of_each_width(cpu: ProcessorLink) -> None:
    cpu.port_out(0xCF8, 4, HOST_BRIDGE)
    assert cpu.port_in(0xCF8, 4) == HOST_BRIDGE
    assert cpu.port_in(0xCFC, 4) == Q35_HOST_BRIDGE
    assert cpu.port_in(0xCFC, 2) == Q35_HOST_BRIDGE & 0xFFFF
    assert [cpu.port_in(0xCFC + byte, 1) for byte in range(4)] == [0x86, 0x80, 0xC0, 0x29]


def test_msr_is_read_and_written(cpu: ProcessorLink) -> None:
    assert cpu.rdmsr(MSR_EFER) & EFER_LMA
    cpu.wrmsr(MSR_STAR, 0x0123456789ABCDEF)
    assert cpu.rdmsr(MSR_STAR) == 0x0123456789ABCDEF


def test_write_of_a_reserved_msr_bit_is_reported(cpu: ProcessorLink) -> None:
    cpu.wrmsr(0x1B, 1 << 63)  # IA32_APIC_BASE: TCG ignores it, real processors raise #GP
    try:
        cpu.sync()
    except AccessFault as fault:
        assert fault.vector == GENERAL_PROTECTION  # noqa: PT017 - both are right


def test_call_passes_four_arguments_and_returns_the_result(
    cpu: ProcessorLink, machine: Machine, page: int
) -> None:
    read4 = machine.image.symbol("guarded_read4")
    write8 = machine.image.symbol("guarded_write8")
    cpu.call(write8, page, 0xFEEDFACE_DEADBEEF)
    assert cpu.call(read4, page) == 0xDEADBEEF


def test_missing_symbol_is_named(machine: Machine) -> None:
    with pytest.raises(LinkError, match="no_such_symbol"):
        machine.image.symbol("no_such_symbol")


def test_cr8_is_set_and_read_on_the_processor_and_published(cpu: ProcessorLink) -> None:
    for level in (0, 2, 11, 15, 1, 0):
        cpu.set_cr8(level)
        assert cpu.get_cr8() == level
        assert cpu.cr8 == level


def test_level_16_is_refused(cpu: ProcessorLink) -> None:
    with pytest.raises(LinkError):
        cpu.set_cr8(16)
    assert cpu.get_cr8() == 0


def test_structures_agree_with_the_guests_debugging_information(link: Link) -> None:
    # A member that only one side has is found, such as the device's descriptor.
    with pytest.raises(LinkError, match="mqdma_descriptor"):
        link.machine.image.check_layout("link.c", ("mqdma_descriptor",))
