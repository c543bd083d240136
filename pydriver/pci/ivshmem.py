# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The stock `ivshmem-doorbell` device as the doorbell between vCPUs and the controller.

Registers: QEMU docs/specs/ivshmem-spec.txt, and hw/misc/ivshmem.c of QEMU 7.2.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydriver.abi._native import lib
from pydriver.errors import CapabilityError
from pydriver.pci.vectors import message
from pydriver.regs import Register32, RegisterMap, at, bits

if TYPE_CHECKING:
    from pydriver.pci.function import PciFunction

__all__ = ("DEVICE_ID", "VENDOR_ID", "DoorbellRing", "IvshmemRegisters", "connect_doorbell")

VENDOR_ID = 0x1AF4
DEVICE_ID = 0x1110


class DoorbellRing(Register32):
    """Doorbell register, write only: signals an eventfd of a peer."""

    vector = bits(15, 0)
    peer = bits(31, 16)


class IvshmemRegisters(RegisterMap):
    """The registers in BAR0."""

    INTERRUPT_MASK = at(0x00, Register32)
    INTERRUPT_STATUS = at(0x04, Register32)
    POSITION = at(0x08, Register32)  # the device's own peer id; read only
    DOORBELL = at(0x0C, DoorbellRing)


def connect_doorbell(function: "PciFunction", apic_ids: Sequence[int]) -> int:
    """Connect the device's interrupts: vector *i* of the device wakes processor *i*.

    :param function: the device [1af4:1110], with its BARs assigned.
    :param apic_ids: the APIC ids of the processors, by processor number.
    :return: the guest-physical address of the 32-bit doorbell register, by which a processor wakes
        the controller; `DoorbellRing` is the value to write.
    :raises CapabilityError: the device has fewer vectors than there are processors.
    :raises PciResourceError: its BARs have no addresses.
    """
    if len(apic_ids) > function.msix.messages:
        raise CapabilityError(
            f"{function} has {function.msix.messages} vectors for {len(apic_ids)} processors"
        )
    msix = function.enable_msix()
    for index, apic_id in enumerate(apic_ids):
        msix.set(index, *message(apic_id, lib.LINK_VECTOR_WAKE))
        msix.unmask(index)
    return IvshmemRegisters(function.access, function.bar_address(0)).DOORBELL.address
