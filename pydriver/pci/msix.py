# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Message signalled interrupts: the MSI-X capability [PCI Local Bus 3.0 6.8.2]."""

from typing import TYPE_CHECKING

from pydriver.errors import CapabilityError
from pydriver.regs import Register16, Register32, Register64, RegisterMap, at, bit, bits

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.pci.access import Access
    from pydriver.pci.capabilities import Capability

__all__ = ("MsiX", "MsiXControl", "MsiXEntry")


class MsiXControl(Register16):
    """Message Control for MSI-X [PCI Local Bus 3.0 6.8.2.3]."""

    table_size = bits(10, 0)  # entries - 1
    function_mask = bit(14)
    enable = bit(15)


class MsiXLocation(Register32):
    """The place of the table or of the pending bit array [PCI Local Bus 3.0 6.8.2.4, 6.8.2.5]."""

    bar = bits(2, 0)
    offset = bits(31, 3)  # in units of 8 bytes


class MsiXRegisters(RegisterMap):
    """The MSI-X capability structure [PCI Local Bus 3.0 6.8.2]."""

    CONTROL = at(0x02, MsiXControl)
    TABLE = at(0x04, MsiXLocation)
    PBA = at(0x08, MsiXLocation)


class VectorControl(Register32):
    """Vector Control of a table entry [PCI Local Bus 3.0 6.8.2.9]."""

    mask = bit(0)


class MsiXEntry(RegisterMap):
    """A table entry [PCI Local Bus 3.0 6.8.2]."""

    ADDRESS = at(0x00, Register64)
    DATA = at(0x08, Register32)
    CONTROL = at(0x0C, VectorControl)


class MsiX:
    """The MSI-X capability of a function: up to 2048 messages, each with address, data and mask.

    Each vector's mask is a register of its own: masking is one posted write and needs no lock.
    It acts on messages that the function has not sent yet: an interrupt that the processor's
    APIC has already accepted still arrives.

    :param capability: a capability whose id is `CapabilityId.MSI_X`.
    :param access: the object that carries the accesses.
    :param bar_address: a function that returns the guest-physical address of a BAR, and raises
        `PciResourceError` if the BAR has none yet.
    """

    def __init__(
        self, capability: "Capability", access: "Access", bar_address: "Callable[[int], int]"
    ) -> None:
        self.config = capability.config
        self.registers = MsiXRegisters(capability.config, capability.offset)
        self._access = access
        self._bar_address = bar_address
        table, pba = self.registers.TABLE.read(), self.registers.PBA.read()
        #: the number of entries in the table, 1 to 2048
        self.messages: int = self.registers.CONTROL.read().table_size + 1
        #: the BARs of the table and of the pending bit array, and the offsets in them in bytes
        self.table_bar, self.table_offset = table.bar, table.offset * 8
        self.pba_bar, self.pba_offset = pba.bar, pba.offset * 8
        self._table = 0
        self._pba = 0

    @property
    def enabled(self) -> bool:
        """Whether MSI-X is on."""
        return bool(self.registers.CONTROL.read().enable)

    def enable(self) -> None:
        """Switch MSI-X on, with every vector masked: call `set` and `unmask` for those in use.

        Use `PciFunction.enable_msix`, which switches memory accesses on and other modes off.

        :raises PciResourceError: the table's BAR has no address.
        """
        self._table = self._bar_address(self.table_bar) + self.table_offset
        self._pba = self._bar_address(self.pba_bar) + self.pba_offset
        # The function mask holds back everything while the table has the last owner's entries.
        self.registers.CONTROL.set(enable=1, function_mask=1)
        for index in range(self.messages):
            self.mask(index)
        self.registers.CONTROL.set(function_mask=0)

    def disable(self) -> None:
        """Switch MSI-X off."""
        self.registers.CONTROL.set(enable=0)

    def set(self, index: int, address: int, data: int) -> None:
        """Give a vector its message, and leave it masked: an unmasked entry must not change.

        :param index: the vector, 0 to `messages` - 1.
        :param address: the address to which the message is written, a multiple of 4, 64 bits.
        :param data: the value that is written, 32 bits.
        :raises CapabilityError: there is no such vector, or the message is not possible.
        """
        if address % 4 or address >> 64 or data >> 32:
            raise CapabilityError(
                f"{self.config.address}: MSI-X message {data:#x} to {address:#x} is not possible"
            )
        entry = self._entry(index)
        write = self._access.write32
        write(entry + 12, 1)
        write(entry, address & 0xFFFFFFFF)
        write(entry + 4, address >> 32)
        write(entry + 8, data)

    def mask(self, index: int) -> None:
        """Hold back a vector's messages; the function remembers one as pending.

        :param index: the vector, 0 to `messages` - 1.
        :raises CapabilityError: there is no such vector, or MSI-X was never enabled.
        """
        self._access.write32(self._entry(index) + 12, 1)

    def unmask(self, index: int) -> None:
        """Let a vector's messages through; if one is pending, it is sent now.

        :param index: the vector, 0 to `messages` - 1.
        :raises CapabilityError: there is no such vector, or MSI-X was never enabled.
        """
        self._access.write32(self._entry(index) + 12, 0)

    def mask_function(self) -> None:
        """Hold back the messages of all vectors, whatever their own masks are."""
        self.registers.CONTROL.set(function_mask=1)

    def unmask_function(self) -> None:
        """Let the vectors' own masks decide again."""
        self.registers.CONTROL.set(function_mask=0)

    def pending(self, index: int) -> bool:
        """Return whether a masked vector has a message to send, from the pending bit array.

        :param index: the vector, 0 to `messages` - 1.
        :raises CapabilityError: there is no such vector, or MSI-X was never enabled.
        """
        self._entry(index)
        return bool(self._access.read32(self._pba + index // 32 * 4) >> index % 32 & 1)

    def entry(self, index: int) -> MsiXEntry:
        """Return the registers of a table entry.

        :param index: the vector, 0 to `messages` - 1.
        :raises CapabilityError: there is no such vector, or MSI-X was never enabled.
        """
        return MsiXEntry(self._access, self._entry(index))

    def _entry(self, index: int) -> int:
        if not 0 <= index < self.messages:
            raise CapabilityError(
                f"{self.config.address}: no MSI-X vector {index}; there are {self.messages}"
            )
        if not self._table:
            raise CapabilityError(f"{self.config.address}: MSI-X was never enabled")
        return self._table + 16 * index
