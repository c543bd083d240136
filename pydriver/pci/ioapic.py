# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The I/O APIC, which turns INTx lines into interrupts [Intel 82093AA datasheet]."""

from enum import IntEnum
from threading import RLock
from typing import TYPE_CHECKING

from pydriver.errors import PciError
from pydriver.pci import q35
from pydriver.regs import Register32, Register64, bit, bits

if TYPE_CHECKING:
    from pydriver.pci.access import Access

__all__ = ("IoApic", "Polarity", "RedirectionEntry", "Trigger")

_SELECT = 0x00
_WINDOW = 0x10
_VERSION = 0x01
_REDIRECTION = 0x10


class Trigger(IntEnum):
    """Trigger mode of an input [82093AA 3.2.4]."""

    EDGE = 0
    LEVEL = 1


class Polarity(IntEnum):
    """Polarity of an input [82093AA 3.2.4]. For QEMU and KVM all are active high."""

    HIGH = 0
    LOW = 1


class RedirectionEntry(Register64):
    """Redirection table entry [82093AA 3.2.4]."""

    vector = bits(7, 0)
    delivery_mode = bits(10, 8)  # 0: fixed
    logical_destination = bit(11)
    delivery_pending = bit(12)  # read only
    polarity = bits(13, 13, Polarity)
    remote_irr = bit(14)  # read only: accepted by a local APIC, and no EOI yet
    trigger = bits(15, 15, Trigger)
    mask = bit(16)
    destination = bits(63, 56)  # APIC id


class Version(Register32):
    """Version register [82093AA 3.2.2]."""

    version = bits(7, 0)
    last_entry = bits(23, 16)


class IoApic:
    """The redirection table of an I/O APIC.

    Its registers are accessed through a pair, select and window, that all processors share.
    Invariant: the table is written only here, and `_entries` holds what was written; `_lock` is
    held from the write of select to the last write of the window. `Access.sync` before that ensures
    that these posted writes do not wait: no interrupt handler, which may also want to mask a line,
    runs on this thread between them.

    When the handler of a level-triggered interrupt signals EOI to its local APIC, the EOI is
    broadcast to the I/O APIC, which clears remote_irr: there is nothing to do here.

    :param access: the object that carries the accesses.
    :param base: the guest-physical address.
    """

    def __init__(self, access: "Access", base: int = q35.IOAPIC) -> None:
        self._access = access
        self._select = base + _SELECT
        self._window = base + _WINDOW
        # `read` is the reason for an RLock.
        self._lock = RLock()
        access.write32(self._select, _VERSION)
        #: the number of inputs
        self.inputs: int = Version(access.read32(self._window)).last_entry + 1
        self._entries = [RedirectionEntry(mask=1)] * self.inputs
        # Lines of PCI become level-triggered here, before anything drives them: an entry that
        # changes from edge to level while its line is active would miss it [QEMU 7.2
        # hw/intc/ioapic.c, ioapic_set_irq].
        pci = range(q35.GSI_PIRQA, q35.GSI_PIRQH + 1)
        for gsi in range(self.inputs):
            trigger = Trigger.LEVEL if gsi in pci else Trigger.EDGE
            self._write(gsi, RedirectionEntry(mask=1, trigger=trigger))

    def connect(
        self,
        gsi: int,
        vector: int,
        apic_id: int,
        trigger: Trigger = Trigger.LEVEL,
        polarity: Polarity = Polarity.HIGH,
    ) -> None:
        """Connect an input to a vector of a processor: physical destination, fixed delivery.

        The input stays masked until `unmask`.

        :param gsi: the input, 0 to `inputs` - 1.
        :param vector: the vector, 0x10 to 0xfe.
        :param apic_id: the APIC id of the processor, 0 to 254.
        :param trigger: the trigger mode: level for PCI, edge for ISA.
        :param polarity: the polarity: high in QEMU, whose lines have no polarity.
        :raises PciError: there is no such input, vector or destination.
        """
        if not 0x10 <= vector <= 0xFE:
            raise PciError(f"I/O APIC input {gsi}: {vector:#x} is not a vector for a device")
        if not 0 <= apic_id <= 0xFE:
            raise PciError(f"I/O APIC input {gsi}: APIC id {apic_id:#x} does not fit in 8 bits")
        entry = RedirectionEntry(
            vector=vector, polarity=polarity, trigger=trigger, mask=1, destination=apic_id
        )
        self._write(self._check(gsi), entry)

    def mask(self, gsi: int) -> None:
        """Hold back an input's interrupts. One that a local APIC has accepted still arrives.

        :param gsi: the input, 0 to `inputs` - 1.
        :raises PciError: there is no such input.
        """
        self._set_mask(self._check(gsi), 1)

    def unmask(self, gsi: int) -> None:
        """Let an input's interrupts through; an active level is delivered now.

        :param gsi: the input, 0 to `inputs` - 1.
        :raises PciError: there is no such input.
        """
        self._set_mask(self._check(gsi), 0)

    def is_masked(self, gsi: int) -> bool:
        """Return whether an input is masked.

        :param gsi: the input, 0 to `inputs` - 1.
        """
        return bool(self._entries[self._check(gsi)].mask)

    def read(self, gsi: int) -> RedirectionEntry:
        """Read an entry back from the hardware, with remote_irr; for diagnosis, at PASSIVE_LEVEL.

        The lock is held while this waits for a value, so that other processors wait, too. An
        interrupt that is served on this thread in the meantime may take the lock again, and write
        select; the value may then be that of another register, and is read again.

        :param gsi: the input, 0 to `inputs` - 1.
        :raises PciError: there is no such input.
        """
        low = self._read(_REDIRECTION + 2 * self._check(gsi))
        return RedirectionEntry(low | self._read(_REDIRECTION + 2 * gsi + 1) << 32)

    def _check(self, gsi: int) -> int:
        if not 0 <= gsi < self.inputs:
            raise PciError(f"the I/O APIC has no input {gsi}; it has {self.inputs}")
        return gsi

    def _read(self, register: int) -> int:
        with self._lock:
            while True:
                self._access.write32(self._select, register)
                value = self._access.read32(self._window)
                if self._access.read32(self._select) == register:
                    return value

    def _write(self, gsi: int, entry: RedirectionEntry) -> None:
        self._access.sync()
        with self._lock:
            # The entry is masked while its halves do not belong together.
            masked = self._entries[gsi].replace(mask=1)
            for register, word in (
                (0, int(masked)),
                (1, int(entry) >> 32),
                (0, int(entry)),
            ):
                self._access.write32(self._select, _REDIRECTION + 2 * gsi + register)
                self._access.write32(self._window, word & 0xFFFFFFFF)
            self._entries[gsi] = entry

    def _set_mask(self, gsi: int, mask: int) -> None:
        self._access.sync()
        with self._lock:
            entry = self._entries[gsi] = self._entries[gsi].replace(mask=mask)
            self._access.write32(self._select, _REDIRECTION + 2 * gsi)
            self._access.write32(self._window, int(entry) & 0xFFFFFFFF)
