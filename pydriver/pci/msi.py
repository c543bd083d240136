# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Message signalled interrupts: the MSI capability [PCI Local Bus 3.0 6.8.1]."""

from threading import Lock
from typing import TYPE_CHECKING

from pydriver.errors import CapabilityError
from pydriver.regs import Register16, bit, bits

if TYPE_CHECKING:
    from pydriver.pci.access import Access
    from pydriver.pci.capabilities import Capability

__all__ = ("Msi", "MsiControl")

_CONTROL = 0x02
_ADDRESS = 0x04
_ADDRESS_UPPER = 0x08


class MsiControl(Register16):
    """Message Control for MSI [PCI Local Bus 3.0 6.8.1.3]."""

    enable = bit(0)
    messages_capable = bits(3, 1)  # 1 << n messages
    messages_enabled = bits(6, 4)  # 1 << n messages
    address_64 = bit(7)
    per_vector_masking = bit(8)


class Msi:
    """The MSI capability of a function: 1 to 32 messages with one address.

    Message *i* writes the data with *i* in its low bits. The mask register is written only here,
    and its value is kept here, so that masking reads nothing. Invariant: `_masked` equals the
    register once the posted writes have arrived; `_lock` is held from the change of the one to the
    posting of the other. `Access.sync` before that ensures that posting does not wait: no
    interrupt, whose handler may also want to mask, is served on this thread while the lock is held.

    :param capability: a capability whose id is `CapabilityId.MSI`.
    :param access: the object that carries the accesses.
    """

    def __init__(self, capability: "Capability", access: "Access") -> None:
        self.config = capability.config
        self.offset = capability.offset
        self._access = access
        control = self.control
        self.messages: int = 1 << control.messages_capable
        self.maskable = bool(control.per_vector_masking)
        self.address_64 = bool(control.address_64)
        self._data = self.offset + (0x0C if self.address_64 else 0x08)
        self._mask = self.offset + (0x10 if self.address_64 else 0x0C)
        self._pending = self._mask + 4
        self._lock = Lock()
        self._masked = 0

    @property
    def control(self) -> MsiControl:
        """The present value of Message Control."""
        return MsiControl(self.config.read16(self.offset + _CONTROL))

    @property
    def enabled(self) -> int:
        """The number of enabled messages; 0 if MSI is off."""
        control = self.control
        return 1 << control.messages_enabled if control.enable else 0

    def enable(self, address: int, data: int, messages: int = 1) -> None:
        """Program the message and switch MSI on, with every message masked if that is possible.

        Use `PciFunction.enable_msi`, which switches the other interrupt modes off.

        :param address: the address to which messages are written, a multiple of 4.
        :param data: the data of message 0, 16 bits; a multiple of `messages`.
        :param messages: the number of messages: 1, 2, 4, 8, 16 or 32.
        :raises CapabilityError: the function does not support these values.
        """
        name = self.config.address
        if messages.bit_count() != 1 or not 1 <= messages <= self.messages:
            raise CapabilityError(f"{name}: {messages} MSI messages; it has up to {self.messages}")
        if address % 4 or address >> (64 if self.address_64 else 32):
            raise CapabilityError(f"{name}: MSI cannot write to address {address:#x}")
        if data % messages or data >> 16:
            raise CapabilityError(f"{name}: MSI data {data:#x} for {messages} messages")
        self.disable()
        self.config.write32(self.offset + _ADDRESS, address & 0xFFFFFFFF)
        if self.address_64:
            self.config.write32(self.offset + _ADDRESS_UPPER, address >> 32)
        self.config.write16(self._data, data)
        if self.maskable:
            self._update(set_bits=(1 << messages) - 1)
        control = self.control.replace(enable=1, messages_enabled=messages.bit_length() - 1)
        self.config.write16(self.offset + _CONTROL, int(control))

    def disable(self) -> None:
        """Switch MSI off."""
        self.config.write16(self.offset + _CONTROL, int(self.control.replace(enable=0)))

    def mask(self, message: int) -> None:
        """Hold back a message; the function remembers it as pending.

        :param message: the number of the message, 0 to 31.
        :raises CapabilityError: the function has no per-vector masking, or no such message.
        """
        self._update(set_bits=self._bit(message))

    def unmask(self, message: int) -> None:
        """Let a message through; if it is pending, it is sent now.

        :param message: the number of the message, 0 to 31.
        :raises CapabilityError: the function has no per-vector masking, or no such message.
        """
        self._update(clear_bits=self._bit(message))

    def is_masked(self, message: int) -> bool:
        """Return whether a message is masked.

        :param message: the number of the message, 0 to 31.
        """
        return bool(self._masked & self._bit(message))

    def pending(self) -> int:
        """Read the pending bits, bit *i* for message *i*; 0 without per-vector masking."""
        return self.config.read32(self._pending) if self.maskable else 0

    def _bit(self, message: int) -> int:
        if not 0 <= message < self.messages:
            raise CapabilityError(
                f"{self.config.address}: no MSI message {message}; there are {self.messages}"
            )
        if not self.maskable:
            raise CapabilityError(f"{self.config.address}: MSI without per-vector masking")
        return 1 << message

    def _update(self, set_bits: int = 0, clear_bits: int = 0) -> None:
        self._access.sync()
        with self._lock:
            self._masked = self._masked & ~clear_bits | set_bits
            self.config.write32(self._mask, self._masked)

    def forget(self) -> None:
        """Take note of a reset of the function: nothing is masked afterwards."""
        self._masked = 0
