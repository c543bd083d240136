# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""One q35 machine with two processors and many devices, for all tests of this folder.

A test borrows both processors, so that no service thread has anything to do: an interrupt is served
while the test waits for a command of the processor that took it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest
from pydriver.abi._native import lib

from pydriver.link import ProcessorLink
from pydriver.machine import MachineConfig
from pydriver.pci import IoApic, PciBus, PciFunction, VectorAllocator
from pydriver.pci.ivshmem import VENDOR_ID
from pydriver.system import System

TIMEOUT = 10.0

DEVICES = (
    "edu,addr=4",
    "mqdma,id=mqdma,addr=5,queues=32,memdev=bar2",
    "e1000e,addr=6,romfile=",
    "nvme,addr=7,serial=none,drive=nothing",
    # Three ports: an endpoint with I/O ports behind the first, 64-bit memory behind the second,
    # nothing behind the third.
    "pcie-root-port,addr=8,id=port1,chassis=1,slot=1,bus-reserve=1",
    "e1000e,bus=port1,romfile=",
    "pcie-root-port,addr=9,id=port2,chassis=2,slot=2",
    "ivshmem-plain,bus=port2,memdev=behind",
    "pcie-root-port,addr=a,id=port3,chassis=3,slot=3",
    # A bridge behind which device numbers turn the interrupt pins.
    "pcie-pci-bridge,addr=b,id=bridge",
    "edu,bus=bridge,addr=3",
    # Two functions of one device.
    "edu,addr=c.0,multifunction=on",
    "edu,addr=c.1",
    # Routed by D25IR, unlike all above.
    "edu,addr=19",
)
OPTIONS = (
    *("-blockdev", "driver=null-co,node-name=nothing,size=1048576"),
    *("-object", "memory-backend-ram,id=behind,size=16M,share=on"),
)

EDU = (0x1234, 0x11E8)
MQDMA = (0x1234, 0x6D71)
E1000E = (0x8086, 0x10D3)
NVME = (0x1B36, 0x0010)
ROOT_PORT = (0x1B36, 0x000C)

EDU_ID, EDU_RAISE, EDU_ACKNOWLEDGE = 0x00, 0x60, 0x64


class Arrival(NamedTuple):
    """The record of the guest in its own frame."""

    processor: int
    vector: int
    interrupted_cr8: int
    cr8: int


class Interrupts:
    """Records the interrupts that arrive on watched vectors."""

    def __init__(self, processors: list[ProcessorLink]) -> None:
        self.processors = processors
        self.arrivals: list[Arrival] = []

    def watch(
        self, vector: int, processor: int = 0, serve: Callable[[], None] | None = None
    ) -> None:
        """Records the vector on a processor; the handler calls `serve` before its EOI."""
        link = self.processors[processor]

        def handler() -> int:
            frame = link.frame
            apic_ids = [other.apic_id for other in self.processors]
            self.arrivals.append(
                Arrival(apic_ids.index(frame.apic_id), frame.vector, frame.cr8, frame.level)
            )
            if serve is not None:
                serve()
            return int(lib.LINK_RETURN_EOI)

        link.handlers[vector] = handler

    @property
    def vectors(self) -> list[int]:
        return [arrival.vector for arrival in self.arrivals]

    def settle(self) -> list[int]:
        """Delivers every interrupt that is deliverable; returns the vectors since the start.

        A device's interrupt is on its way when the write that caused it has been executed, and is
        taken by a vCPU before it executes a command that is posted afterwards.
        """
        for link in self.processors:
            link.sync()
            link.sync()
        return self.vectors

    def wait(self, count: int) -> list[int]:
        """Waits for a number of interrupts; more are an error."""
        deadline = time.monotonic() + TIMEOUT
        while len(self.arrivals) < count:
            assert time.monotonic() < deadline, f"only {self.arrivals} of {count} interrupts"
            self.settle()
        assert len(self.settle()) == count
        return self.vectors


@pytest.fixture
def machine_config(machine_config: MachineConfig) -> MachineConfig:
    return replace(machine_config, cpus=2, bar2=1 << 20, devices=DEVICES, options=OPTIONS)


@pytest.fixture
def processors(system: System) -> Iterator[list[ProcessorLink]]:
    """Both processors, borrowed; afterwards all functions but the doorbell are switched off."""
    kernel = system.kernel
    kernel.current.home, other = kernel.processors
    home = kernel.borrow()  # the bus reads and writes on the processor of the kernel's caller
    other.link.acquire()
    yield system.link.processors
    for function in system.pci.functions:
        if function.vendor_id != VENDOR_ID and not function.is_bridge:
            function.disable()
    ioapic = system.vectors.ioapic
    for gsi in range(ioapic.inputs):
        ioapic.mask(gsi)
    other.link.release()
    kernel.give_back(home)


@pytest.fixture
def cpu(processors: list[ProcessorLink]) -> ProcessorLink:
    return processors[0]


@pytest.fixture
def bus(system: System, cpu: ProcessorLink) -> PciBus:
    return system.pci


@pytest.fixture
def ioapic(system: System, cpu: ProcessorLink) -> IoApic:
    return system.vectors.ioapic


@pytest.fixture
def interrupts(processors: list[ProcessorLink]) -> Iterator[Interrupts]:
    saved = [list(processor.handlers) for processor in processors]
    interrupts = Interrupts(processors)
    yield interrupts
    interrupts.settle()
    for processor, handlers in zip(processors, saved, strict=True):
        processor.handlers[:] = handlers


@pytest.fixture
def vectors(processors: list[ProcessorLink]) -> VectorAllocator:
    return VectorAllocator([processor.apic_id for processor in processors])


@pytest.fixture
def edu(bus: PciBus) -> PciFunction:
    """The first edu, on bus 0; it answers at its BAR."""
    function = bus.find(*EDU)
    function.enable_memory()
    return function


@pytest.fixture
def mqdma(bus: PciBus) -> PciFunction:
    """The DMA engine, reset; it answers at its BARs."""
    function = bus.find(*MQDMA)
    function.reset()
    function.enable_memory()
    return function
