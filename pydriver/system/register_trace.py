# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The beginning of a register trace: the functions on the bus, and the memory that is shared."""

from typing import TYPE_CHECKING

from pydriver.machine import Machine
from pydriver.machine.qemu import BAR2_ID
from pydriver.machine.recreate import recreate
from pydriver.pci import q35
from pydriver.pci.bars import BarKind
from pydriver.pci.ivshmem import DEVICE_ID, VENDOR_ID
from pydriver.trace.lines import TracedBar, TracedFunction, TracedMachine
from pydriver.trace.memory import MemoryChanges, SharedRegion

if TYPE_CHECKING:
    from pydriver.pci import PciBus, PciFunction
    from pydriver.trace.registers import RegisterTrace

__all__ = ("begin_trace",)

IOAPIC_SIZE = 0x1000
CONFIG_SIZE = 0x1000

COMMAND = 0x04
BRIDGE_HEADER = ((0x18, 4), (0x1C, 2), (0x20, 4), (0x24, 4), (0x28, 4), (0x2C, 4), (0x30, 4))
"""Bus numbers and windows of a bridge: offset, width [PCI-to-PCI Bridge 1.2 3.2]."""


def begin_trace(trace: "RegisterTrace", machine: Machine, bus: "PciBus") -> None:
    """Starts to record the accesses to a bus. The caller must own a processor.

    :param trace: the trace to begin
    :param machine: the running machine
    :param bus: the machine's bus, enumerated and with addresses assigned
    """
    doorbell = bus.find(VENDOR_ID, DEVICE_ID)
    # The functions of the machine itself, such as the bridge to ISA, are left out.
    functions = [
        each for each in bus.functions if each is not doorbell and (each.bars or each.is_bridge)
    ]
    functions = [each for each in functions if each.bars or each.children]
    traced = TracedMachine(
        title=", ".join(machine.config.devices) or "no device",
        memory=machine.config.memory,
        arguments=recreate(machine),
        functions=tuple(_describe(each) for each in functions),
        ecam=bus.ecam,
        ignored=(
            range(q35.IOAPIC, q35.IOAPIC + IOAPIC_SIZE),
            *_ranges(doorbell),
            _configuration(bus, doorbell),
        ),
    )
    trace.begin(traced, MemoryChanges(_shared_regions(machine, traced)))


def _describe(function: "PciFunction") -> TracedFunction:
    bars = tuple(
        TracedBar(
            each.index,
            each.address,
            each.size,
            ports=each.kind is BarKind.PORTS,
            wide=each.kind is BarKind.MEMORY64,
        )
        for each in function.bars
        if each.address is not None
    )
    return TracedFunction(
        function.slot,
        f"{function.vendor_id:04x}:{function.device_id:04x}",
        bars,
        tuple(_setup(function, bars)),
    )


def _setup(function: "PciFunction", bars: tuple[TracedBar, ...]) -> list[tuple[int, int, int]]:
    config = function.config
    setup = []
    if function.is_bridge:
        for offset, width in BRIDGE_HEADER:
            value = config.read32(offset) if width == 4 else config.read16(offset)
            setup.append((offset, width, value))
    for bar in bars:
        offset = 0x10 + 4 * bar.index
        setup.append((offset, 4, bar.address & 0xFFFFFFFF))
        if bar.wide:
            setup.append((offset + 4, 4, bar.address >> 32))
    setup.append((COMMAND, 2, config.read16(COMMAND)))
    return setup


def _ranges(function: "PciFunction") -> list[range]:
    resources = function.resources()
    return [range(each.start, each.start + each.length) for each in resources.memory]


def _configuration(bus: "PciBus", function: "PciFunction") -> range:
    start = bus.ecam + function.address.ecam_offset
    return range(start, start + CONFIG_SIZE)


def _shared_regions(machine: Machine, traced: TracedMachine) -> list[SharedRegion]:
    """Guest RAM that is lent out, and the shared memory that is a BAR of a device."""
    reservations = machine.reservations
    regions = [SharedRegion(machine.memory.fd, machine.memory.view, lambda: reservations.taken, 0)]
    shared = machine.bar2
    named = any(f"memdev={BAR2_ID}" in each for each in machine.config.devices)
    if shared is not None and named:
        size = shared.size
        bars = [name for name, bar in traced.named_bars() if bar.size == size and not bar.ports]
        regions += [
            SharedRegion(shared.fd, shared.view, lambda: ((0, size),), name) for name in bars[:1]
        ]
    return regions
