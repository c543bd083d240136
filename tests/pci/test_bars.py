# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Sizes and addresses of BARs, by the answers of the functions, not by computation."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from pydriver.errors import PciResourceError
from pydriver.link import ProcessorLink
from pydriver.machine import Machine
from pydriver.pci import Bar, BarKind, PciBus, PciFunction
from pydriver.pci.q35 import WINDOWS, Windows
from tests.pci.conftest import E1000E, EDU, EDU_ID, MQDMA, NVME


def shape(function: PciFunction) -> list[tuple[int, BarKind, bool, int]]:
    return [(bar.index, bar.kind, bar.prefetchable, bar.size) for bar in function.bars]


def test_bars_have_the_devices_sizes_and_kinds(bus: PciBus) -> None:
    assert shape(bus.find(*EDU)) == [(0, BarKind.MEMORY32, False, 0x100000)]
    assert shape(bus.find(*E1000E)) == [
        (0, BarKind.MEMORY32, False, 0x20000),
        (1, BarKind.MEMORY32, False, 0x20000),
        (2, BarKind.PORTS, False, 0x20),
        (3, BarKind.MEMORY32, False, 0x4000),
    ]
    assert shape(bus.find(*NVME)) == [(0, BarKind.MEMORY64, False, 0x4000)]
    shared = bus.find(*MQDMA).bar(2)
    assert (shared.kind, shared.prefetchable, shared.size) == (BarKind.MEMORY64, True, 1 << 20)


def test_bars_are_aligned_and_do_not_overlap(bus: PciBus) -> None:
    spaces: dict[bool, list[Bar]] = {True: [], False: []}
    for function in bus.functions:
        for bar in function.bars:
            assert bar.address is not None
            assert bar.address % bar.size == 0
            spaces[bar.kind is BarKind.PORTS].append(bar)
    for bars in spaces.values():
        bars.sort(key=lambda bar: bar.address or 0)
        for lower, upper in pairwise(bars):
            assert (lower.address or 0) + lower.size <= (upper.address or 0), (lower, upper)


def test_function_answers_at_its_bar_behind_a_bridge_too(bus: PciBus, cpu: ProcessorLink) -> None:
    for edu in bus.find_all(*EDU):
        edu.enable_memory()
        assert cpu.read32(edu.bar_address(0) + EDU_ID) == 0x010000ED, edu


def test_function_answers_at_its_ports(bus: PciBus, cpu: ProcessorLink) -> None:
    for nic in bus.find_all(*E1000E):
        nic.enable_memory()
        nic.enable_ports()
        ports = nic.bar_address(2)
        # IOADDR selects the register behind IODATA [Intel 82574 datasheet 10.2.1]; RDBAL0 keeps the
        # value written.
        cpu.write32(nic.bar_address(0) + 0x2800, 0x12345670)
        cpu.port_out(ports, 4, 0x2800)
        assert cpu.port_in(ports + 4, 4) == 0x12345670, nic


def test_prefetchable_64_bit_bar_is_above_4_gib_and_reaches_its_memory(
    machine: Machine, mqdma: PciFunction, cpu: ProcessorLink
) -> None:
    address = mqdma.bar_address(2)
    assert address >= 1 << 32
    cpu.write64(address + 0x1000, 0x0123456789ABCDEF)
    cpu.sync()
    assert machine.bar2 is not None
    assert bytes(machine.bar2.view[0x1000:0x1008])[::-1].hex() == "0123456789abcdef"


def test_bridge_forwards_64_bit_memory(bus: PciBus, cpu: ProcessorLink) -> None:
    memory = bus.at("02:00.0")
    memory.enable_memory()
    address = memory.bar_address(2)
    assert address >= 1 << 32
    cpu.write32(address + 0xFFFFFC, 0x600DF00D)
    assert cpu.read32(address + 0xFFFFFC) == 0x600DF00D


def test_window_of_a_bridge_with_nothing_behind_it_is_closed(bus: PciBus) -> None:
    header = bus.at("00:0a.0").bridge
    assert header.MEMORY_BASE.read().address > header.MEMORY_LIMIT.read().address
    assert header.PREFETCHABLE_BASE.read().address > header.PREFETCHABLE_LIMIT.read().address
    assert header.IO_BASE.read().address > header.IO_LIMIT.read().address


def test_resources_list_the_bars_as_a_driver_needs_them(bus: PciBus) -> None:
    nic = bus.find(*E1000E)
    resources = nic.resources()
    assert [(entry.bar, entry.start, entry.length) for entry in resources.memory] == [
        (index, nic.bar_address(index), size)
        for index, size in ((0, 0x20000), (1, 0x20000), (3, 0x4000))
    ]
    assert [(entry.bar, entry.length) for entry in resources.ports] == [(2, 0x20)]


def test_bar_that_is_not_there_is_an_error(bus: PciBus) -> None:
    with pytest.raises(PciResourceError, match=r"00:04\.0 .* has no BAR1"):
        bus.find(*EDU).bar_address(1)


def addresses(bus: PciBus) -> dict[tuple[str, int], int | None]:
    return {
        (function.slot, bar.index): bar.address
        for function in bus.functions
        for bar in function.bars
    }


@pytest.fixture
def other_windows(bus: PciBus) -> Iterator[PciBus]:
    """A bus whose BARs may be assigned again; afterwards they get their old addresses back."""
    before = addresses(bus)
    yield bus
    bus.assign(WINDOWS)
    assert addresses(bus) == before


def test_no_room_below_4_gib_is_an_error_that_names_the_bar(other_windows: PciBus) -> None:
    memory = range(0xC0000000, 0xC0180000)
    with pytest.raises(
        PciResourceError,
        match=r"BAR0 of 00:0c\.0 \(0x100000 bytes of 32-bit memory\): no room .* 0x80000 bytes",
    ):
        other_windows.assign(Windows(memory, WINDOWS.prefetchable, WINDOWS.ports))


def test_no_room_for_ports_is_an_error_that_names_the_bar(other_windows: PciBus) -> None:
    with pytest.raises(PciResourceError, match=r"BAR2 of 01:00\.0 .*I/O ports"):
        other_windows.assign(Windows(WINDOWS.memory, WINDOWS.prefetchable, range(0xF000, 0xF020)))


def test_64_bit_bar_of_bus_0_moves_above_4_gib_when_it_must(
    other_windows: PciBus, cpu: ProcessorLink
) -> None:
    nvme = other_windows.find(*NVME)
    # Nothing below: the first BAR that cannot move, a 32-bit one, is the error.
    with pytest.raises(PciResourceError, match=r"32-bit memory"):
        other_windows.assign(Windows(range(0), WINDOWS.prefetchable, WINDOWS.ports))
    nvme.bar(0).assign(0xE_0000_0000)
    nvme.enable_memory()
    # CAP.MQES and CAP.TO are never 0 [NVM Express 1.4 3.1.1].
    assert cpu.read64(nvme.bar_address(0)) & 0xFF00FFFF


def test_address_that_the_bar_cannot_hold_is_an_error(bus: PciBus) -> None:
    bar = bus.find(*EDU).bar(0)
    for address in (0xC0000004, 1 << 32):
        with pytest.raises(PciResourceError, match="cannot be at"):
            bar.assign(address)


def test_sizing_leaves_the_command_register_as_it_was(other_windows: PciBus) -> None:
    edu = other_windows.find(*EDU)
    edu.header.COMMAND.write(memory_enable=1, interrupt_disable=1)
    edu.probe_bars()
    assert edu.header.COMMAND.read() == 0x402
    assert edu.header.BAR[0].val == 0
