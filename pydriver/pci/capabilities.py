# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The list of capabilities of a function, and the capabilities without a module of their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from time import monotonic
from typing import TYPE_CHECKING

from pydriver.errors import CapabilityError, PciTimeoutError
from pydriver.pci.config import CommonHeader
from pydriver.regs import Register8, Register16, RegisterMap, at, bit, bits

if TYPE_CHECKING:
    from pydriver.pci.config import ConfigSpace

__all__ = (
    "Capability",
    "CapabilityId",
    "ExtendedCapability",
    "ExtendedCapabilityId",
    "PowerManagement",
    "PowerState",
    "VendorCapability",
    "read_capabilities",
    "read_extended_capabilities",
)


class CapabilityId(IntEnum):
    """Capability identifiers [PCI Code and ID Assignment 1.11, 2]."""

    POWER_MANAGEMENT = 0x01
    AGP = 0x02
    VPD = 0x03
    SLOT_ID = 0x04
    MSI = 0x05
    HOT_SWAP = 0x06
    PCI_X = 0x07
    HYPERTRANSPORT = 0x08
    VENDOR = 0x09
    DEBUG_PORT = 0x0A
    HOT_PLUG = 0x0C
    SUBSYSTEM = 0x0D
    SECURE_DEVICE = 0x0F
    PCI_EXPRESS = 0x10
    MSI_X = 0x11
    SATA = 0x12
    ADVANCED_FEATURES = 0x13


class ExtendedCapabilityId(IntEnum):
    """Extended capability identifiers [PCI Code and ID Assignment 1.11, 3]."""

    ADVANCED_ERROR_REPORTING = 0x0001
    VIRTUAL_CHANNEL = 0x0002
    SERIAL_NUMBER = 0x0003
    POWER_BUDGETING = 0x0004
    VENDOR = 0x000B
    ACCESS_CONTROL = 0x000D
    ALTERNATIVE_ROUTING_ID = 0x000E
    ADDRESS_TRANSLATION = 0x000F
    SINGLE_ROOT_IO_VIRTUALIZATION = 0x0010
    LATENCY_TOLERANCE = 0x0018
    SECONDARY_PCI_EXPRESS = 0x0019
    PASID = 0x001B
    DESIGNATED_VENDOR = 0x0023


@dataclass(frozen=True, slots=True)
class Capability:
    """A capability in the function's configuration space.

    :ivar config: the function's configuration space.
    :ivar id: a `CapabilityId`, or an int that has no name here.
    :ivar offset: the offset of its first byte, 0x40 to 0xfc.
    """

    config: "ConfigSpace"
    id: int
    offset: int


@dataclass(frozen=True, slots=True)
class ExtendedCapability:
    """An extended capability [PCIe 5.0 7.6.3].

    :ivar config: the function's configuration space.
    :ivar id: an `ExtendedCapabilityId`, or an int that has no name here.
    :ivar version: the version of its layout.
    :ivar offset: the offset of its header, 0x100 to 0xffc.
    """

    config: "ConfigSpace"
    id: int
    version: int
    offset: int


def _named(kind: type[IntEnum], number: int) -> int:
    try:
        return kind(number)
    except ValueError:
        return number


# Capabilities are at least one aligned dword long, so that an undamaged list has at most as many
# members as there are dwords behind the header. A list with a loop has "more".
_MOST = (0x100 - 0x40) // 4
_MOST_EXTENDED = (0x1000 - 0x100) // 4


def read_capabilities(config: "ConfigSpace") -> Iterator[Capability]:
    """Walk the list of capabilities [PCI Local Bus 3.0 6.7].

    :param config: the function's configuration space.
    :return: the capabilities in the order of the list.
    :raises CapabilityError: the list has a loop, or points into the header.
    """
    header = CommonHeader(config)
    if not header.STATUS.read().capabilities_list:
        return
    # The two low bits of each pointer are reserved.
    offset = header.CAPABILITIES.val & 0xFC
    seen: set[int] = set()
    while offset:
        if offset < 0x40:
            raise CapabilityError(f"{config.address}: a capability at {offset:#x}, in the header")
        if offset in seen or len(seen) == _MOST:
            raise CapabilityError(f"{config.address}: the capability list loops at {offset:#x}")
        seen.add(offset)
        head = config.read16(offset)
        if head == 0xFFFF:
            raise CapabilityError(f"{config.address}: nothing answers at capability {offset:#x}")
        yield Capability(config, _named(CapabilityId, head & 0xFF), offset)
        offset = head >> 8 & 0xFC


def read_extended_capabilities(config: "ConfigSpace") -> Iterator[ExtendedCapability]:
    """Walk the list of extended capabilities [PCIe 5.0 7.6].

    Only a function with a PCI Express capability has such a list.

    :param config: the function's configuration space.
    :return: the capabilities in the order of the list.
    :raises CapabilityError: the list has a loop, or points into the first 256 bytes.
    """
    offset = 0x100
    seen: set[int] = set()
    while offset:
        if offset < 0x100:
            raise CapabilityError(f"{config.address}: an extended capability at {offset:#x}")
        if offset in seen or len(seen) == _MOST_EXTENDED:
            raise CapabilityError(
                f"{config.address}: the list of extended capabilities loops at {offset:#x}"
            )
        seen.add(offset)
        head = config.read32(offset)
        if head in {0, 0xFFFFFFFF}:
            return
        identifier = _named(ExtendedCapabilityId, head & 0xFFFF)
        yield ExtendedCapability(config, identifier, head >> 16 & 0xF, offset)
        offset = head >> 20 & 0xFFC


class VendorCapability:
    """A capability with contents of the vendor's own [PCI Local Bus 3.0 6.7, Appendix H].

    :param capability: a capability whose id is `CapabilityId.VENDOR`.
    """

    def __init__(self, capability: Capability) -> None:
        self.config = capability.config
        self.offset = capability.offset

    @property
    def length(self) -> int:
        """The length in bytes, including the header of three bytes."""
        return self.config.read8(self.offset + 2)

    def read(self) -> bytes:
        """Read the contents, without the header."""
        offsets = range(self.offset + 3, self.offset + self.length)
        return bytes(self.config.read8(offset) for offset in offsets)


class PowerState(IntEnum):
    """Power states of a function [PCI Power Management 1.2, 5]."""

    D0 = 0
    D1 = 1
    D2 = 2
    D3_HOT = 3


class PowerCapabilities(Register16):
    """Power management capabilities, PMC [PCI Power Management 1.2, 3.2.3]."""

    version = bits(2, 0)
    pme_clock = bit(3)
    device_specific_initialization = bit(5)
    auxiliary_current = bits(8, 6)
    d1_support = bit(9)
    d2_support = bit(10)
    pme_support = bits(15, 11)


class PowerControl(Register16):
    """Power management control and status, PMCSR [PCI Power Management 1.2, 3.2.4]."""

    state = bits(1, 0, PowerState)
    no_soft_reset = bit(3)
    pme_enable = bit(8)
    data_select = bits(12, 9)
    data_scale = bits(14, 13)
    pme_status = bit(15)  # write 1 to clear


class PowerRegisters(RegisterMap):
    """The power management capability [PCI Power Management 1.2, 3.2]."""

    CAPABILITIES = at(0x02, PowerCapabilities)
    CONTROL = at(0x04, PowerControl)
    DATA = at(0x07, Register8)


class PowerManagement:
    """The power state of a function [PCI Power Management 1.2].

    :param capability: a capability whose id is `CapabilityId.POWER_MANAGEMENT`.
    """

    # The seconds that software must wait after D3hot before it accesses the function again
    # [PCI Power Management 1.2, 5.6.1].
    RECOVERY = 0.010

    def __init__(self, capability: Capability) -> None:
        self.config = capability.config
        self.registers = PowerRegisters(capability.config, capability.offset)

    @property
    def supported(self) -> Sequence[PowerState]:
        """The states that the function has."""
        capabilities = self.registers.CAPABILITIES.read()
        states = [PowerState.D0]
        if capabilities.d1_support:
            states.append(PowerState.D1)
        if capabilities.d2_support:
            states.append(PowerState.D2)
        states.append(PowerState.D3_HOT)
        return states

    @property
    def state(self) -> PowerState:
        """The state that the function reports."""
        return PowerState(self.registers.CONTROL.read().state)

    @property
    def loses_state(self) -> bool:
        """Whether leaving D3hot resets the function: No_Soft_Reset is clear."""
        return not self.registers.CONTROL.read().no_soft_reset

    def set_state(self, state: PowerState) -> None:
        """Put the function into a power state, and wait until it reports that state.

        An emulated function changes at once, so that the recovery time is a limit, not a delay.

        :param state: one of `supported`.
        :raises CapabilityError: the function has no such state.
        :raises PciTimeoutError: the function is in another state when the recovery time is over.
        """
        if state not in self.supported:
            raise CapabilityError(f"{self.config.address}: there is no power state {state.name}")
        # Writing 1 to pme_status would clear it.
        self.registers.CONTROL.set(state=state, pme_status=0)
        deadline = monotonic() + self.RECOVERY
        while (now := self.registers.CONTROL.read().state) != state:
            if monotonic() > deadline:
                raise PciTimeoutError(
                    f"{self.config.address}: still in power state {now}, "
                    f"{self.RECOVERY * 1e3:.0f} ms after {state.name} was asked for"
                )
