# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The q35 machine's fixed facts: configuration space, address windows, routing of INTx.

Checked against QEMU 7.2.22: hw/pci-host/q35.c, hw/isa/lpc_ich9.c, hw/pci/pci.c. Without firmware,
none of this is programmed at reset.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydriver.errors import PciError
from pydriver.pci.config import InterruptPin

if TYPE_CHECKING:
    from pydriver.pci.access import Access

__all__ = (
    "ECAM",
    "GSI_PIRQA",
    "GSI_PIRQH",
    "IOAPIC",
    "WINDOWS",
    "Windows",
    "enable_ecam",
    "root_gsi",
)

# Memory-mapped configuration space of 256 buses, one MiB each, and the I/O APIC.
ECAM = 0xB0000000
IOAPIC = 0xFEC00000

# PIRQA# to PIRQH# are the inputs 16 to 23 of the I/O APIC [ICH9 datasheet 5.9]
GSI_PIRQA = 16
GSI_PIRQH = 23

# Configuration mechanism #1 [PCI Local Bus 3.0 3.2.2.3.2]
_CONFIG_ADDRESS = 0xCF8
_CONFIG_DATA = 0xCFC
_CONFIG_ENABLE = 1 << 31

# Host bridge 00:00.0, PCIEXBAR [Intel 3 Series Express Chipset datasheet, D0:F0 offset 60h]
_PCIEXBAR = 0x60
_PCIEXBAR_ENABLE = 1
_HOST_BRIDGE_IDS = 0x29C08086


@dataclass(frozen=True, slots=True)
class Windows:
    """Address ranges that BARs may take; guest-physical addresses, I/O ports.

    :ivar memory: the addresses below 4 GiB.
    :ivar prefetchable: the addresses above 4 GiB, for 64-bit BARs.
    :ivar ports: the I/O ports.
    """

    memory: range
    prefetchable: range
    ports: range


# Between ECAM and the I/O APIC; above 4 GiB as far as the guest's page tables map; above the
# ports of ISA devices. RAM has at most 2 GiB, and therefore ends below ECAM.
WINDOWS = Windows(
    memory=range(0xC0000000, 0xFEC00000),
    prefetchable=range(0x1_0000_0000, 0x10_0000_0000),
    ports=range(0xC000, 0x1_0000),
)


def enable_ecam(access: "Access") -> int:
    """Switch on the memory-mapped configuration space, through the ports of the old mechanism.

    The two ports hold state: no other code may use them at the same time.

    :param access: the object that carries the accesses.
    :return: the guest-physical address of bus 0, `ECAM`.
    :raises PciError: the host bridge is not q35's.
    """

    def select(offset: int) -> None:
        access.port_out(_CONFIG_ADDRESS, 4, _CONFIG_ENABLE | offset)

    select(0)
    ids = access.port_in(_CONFIG_DATA, 4)
    if ids != _HOST_BRIDGE_IDS:
        raise PciError(f"00:00.0 is {ids & 0xFFFF:04x}:{ids >> 16:04x}, not a q35 host bridge")
    # Disabled while its halves change: otherwise it would decode at a mixed address for a moment.
    for offset, value in ((0, 0), (4, ECAM >> 32), (0, ECAM & 0xFFFFFFFF | _PCIEXBAR_ENABLE)):
        select(_PCIEXBAR + offset)
        access.port_out(_CONFIG_DATA, 4, value)
    return ECAM


def root_gsi(device: int, pin: InterruptPin) -> int:
    """Find the I/O APIC input that an INTx pin of a function on bus 0 drives.

    The routing registers D25IR to D31IR keep their reset value, 0x3210: pin A is PIRQA# [ICH9
    datasheet, chapter 10]. ICH9 has no such register for the other device numbers; there QEMU
    spreads pins over PIRQE# to PIRQH# (ich9_cc_init), as it does for device 30 (ich9_cc_update).

    :param device: the device number on bus 0, 0 to 31.
    :param pin: the pin, INTA to INTD.
    :return: the input (GSI), `GSI_PIRQA` to `GSI_PIRQH`.
    :raises PciError: the pin is `InterruptPin.NONE`.
    """
    if pin is InterruptPin.NONE:
        raise PciError(f"device {device:#x} on bus 0 uses no interrupt pin")
    index = pin - InterruptPin.INTA
    if device == 30:
        return GSI_PIRQA + 4 + index
    if device >= 25:
        return GSI_PIRQA + index
    return GSI_PIRQA + 4 + (device + index) % 4
