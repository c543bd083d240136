# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""PCI without firmware: configuration space, BARs, capabilities, vectors, the I/O APIC.

`PciBus.start` enumerates a q35 machine and finds `PciFunction` objects. A driver framework takes
`PciFunction.resources`, vectors from a `VectorAllocator`, and one of `PciFunction.enable_msix`,
`PciFunction.enable_msi` and `PciFunction.enable_intx` with an `IoApic`.
"""

from pydriver.pci.access import Access
from pydriver.pci.bars import Bar, BarKind
from pydriver.pci.bus import PciBus
from pydriver.pci.capabilities import (
    Capability,
    CapabilityId,
    ExtendedCapability,
    ExtendedCapabilityId,
    PowerState,
)
from pydriver.pci.config import ClassCode, ConfigSpace, InterruptPin, PciAddress
from pydriver.pci.function import (
    AddressRange,
    InterruptMode,
    InterruptResource,
    PciFunction,
    Resources,
)
from pydriver.pci.ioapic import IoApic, Polarity, RedirectionEntry, Trigger
from pydriver.pci.msi import Msi
from pydriver.pci.msix import MsiX
from pydriver.pci.vectors import Message, VectorAllocator, VectorBlock, message

__all__ = (
    "Access",
    "AddressRange",
    "Bar",
    "BarKind",
    "Capability",
    "CapabilityId",
    "ClassCode",
    "ConfigSpace",
    "ExtendedCapability",
    "ExtendedCapabilityId",
    "InterruptMode",
    "InterruptPin",
    "InterruptResource",
    "IoApic",
    "Message",
    "Msi",
    "MsiX",
    "PciAddress",
    "PciBus",
    "PciFunction",
    "Polarity",
    "PowerState",
    "RedirectionEntry",
    "Resources",
    "Trigger",
    "VectorAllocator",
    "VectorBlock",
    "message",
)
