# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The PCI Express capability: kind of port, link, function-level reset."""

from enum import IntEnum
from time import monotonic
from typing import TYPE_CHECKING

from pydriver.errors import CapabilityError, PciTimeoutError
from pydriver.regs import Register16, Register32, RegisterMap, at, bit, bits

if TYPE_CHECKING:
    from pydriver.pci.capabilities import Capability

__all__ = ("ExpressRegisters", "PciExpress", "PortType")


class PortType(IntEnum):
    """Device/Port Type [PCIe 5.0 7.5.3.2]."""

    ENDPOINT = 0
    LEGACY_ENDPOINT = 1
    ROOT_PORT = 4
    UPSTREAM_PORT = 5
    DOWNSTREAM_PORT = 6
    EXPRESS_TO_PCI_BRIDGE = 7
    PCI_TO_EXPRESS_BRIDGE = 8
    ROOT_COMPLEX_INTEGRATED_ENDPOINT = 9
    ROOT_COMPLEX_EVENT_COLLECTOR = 10


class ExpressCapabilities(Register16):
    """PCI Express Capabilities register [PCIe 5.0 7.5.3.2]."""

    version = bits(3, 0)
    port_type = bits(7, 4, PortType)
    slot_implemented = bit(8)
    interrupt_message = bits(13, 9)


class DeviceCapabilities(Register32):
    """Device Capabilities register [PCIe 5.0 7.5.3.3]."""

    max_payload_supported = bits(2, 0)  # 128 << n bytes
    phantom_functions = bits(4, 3)
    extended_tag = bit(5)
    l0s_latency = bits(8, 6)
    l1_latency = bits(11, 9)
    role_based_error_reporting = bit(15)
    slot_power_limit_value = bits(25, 18)
    slot_power_limit_scale = bits(27, 26)
    function_level_reset = bit(28)


class DeviceControl(Register16):
    """Device Control register [PCIe 5.0 7.5.3.4]."""

    correctable_error_reporting = bit(0)
    non_fatal_error_reporting = bit(1)
    fatal_error_reporting = bit(2)
    unsupported_request_reporting = bit(3)
    relaxed_ordering = bit(4)
    max_payload = bits(7, 5)  # 128 << n bytes
    extended_tag = bit(8)
    phantom_functions = bit(9)
    aux_power = bit(10)
    no_snoop = bit(11)
    max_read_request = bits(14, 12)  # 128 << n bytes
    initiate_function_level_reset = bit(15)  # reads as 0


class DeviceStatus(Register16):
    """Device Status register [PCIe 5.0 7.5.3.5]. Bits 3:0 are cleared by writing 1."""

    correctable_error = bit(0)
    non_fatal_error = bit(1)
    fatal_error = bit(2)
    unsupported_request = bit(3)
    aux_power = bit(4)
    transactions_pending = bit(5)


class LinkStatus(Register16):
    """Link Status register [PCIe 5.0 7.5.3.8]."""

    speed = bits(3, 0)  # 1: 2.5 GT/s, 2: 5 GT/s, 3: 8 GT/s ...
    width = bits(9, 4)  # lanes
    training = bit(11)
    slot_clock = bit(12)
    active = bit(13)


class ExpressRegisters(RegisterMap):
    """The PCI Express capability structure [PCIe 5.0 7.5.3]."""

    CAPABILITIES = at(0x02, ExpressCapabilities)
    DEVICE_CAPABILITIES = at(0x04, DeviceCapabilities)
    DEVICE_CONTROL = at(0x08, DeviceControl)
    DEVICE_STATUS = at(0x0A, DeviceStatus)
    LINK_CAPABILITIES = at(0x0C, Register32)
    LINK_CONTROL = at(0x10, Register16)
    LINK_STATUS = at(0x12, LinkStatus)


class PciExpress:
    """The PCI Express capability of a function.

    :param capability: a capability whose id is `CapabilityId.PCI_EXPRESS`.
    """

    # The seconds in which a function must finish its reset [PCIe 5.0 6.6.2].
    RESET_TIME = 0.100

    def __init__(self, capability: "Capability") -> None:
        self.config = capability.config
        self.registers = ExpressRegisters(capability.config, capability.offset)

    @property
    def port_type(self) -> int:
        """The kind of port: a `PortType`, or an int that has no name here."""
        return self.registers.CAPABILITIES.read().port_type

    @property
    def can_reset(self) -> bool:
        """Whether the function has function-level reset."""
        return bool(self.registers.DEVICE_CAPABILITIES.read().function_level_reset)

    def reset_function(self) -> float:
        """Reset the function alone: Initiate Function Level Reset [PCIe 5.0 6.6.2].

        All its state is lost, also BARs and command register in configuration space; the caller
        (`PciFunction.reset`) restores what is needed. Software must not access the function for
        100 ms. An emulated function is ready at once: it is polled, and the 100 ms are the limit.

        :return: the seconds until the function was ready.
        :raises CapabilityError: the function has no function-level reset.
        :raises PciTimeoutError: transactions were pending, or the function was not ready, after
            100 ms.
        """
        if not self.can_reset:
            raise CapabilityError(f"{self.config.address} has no function-level reset")
        start = monotonic()
        # First silence: no new requests, and answers to those on their way.
        command = self.config.read16(0x04)
        self.config.write16(0x04, command & ~0x4)
        while self.registers.DEVICE_STATUS.read().transactions_pending:
            if monotonic() > start + self.RESET_TIME:
                raise PciTimeoutError(f"{self.config.address}: transactions pending before reset")
        self.registers.DEVICE_CONTROL.set(initiate_function_level_reset=1)
        start = monotonic()
        # 0xffff: no answer; 0x0001: the function requests a retry [PCIe 5.0 2.3.2].
        while self.config.read16(0x00) in {0xFFFF, 0x0001} or self.config.read16(0x04) != 0:
            if monotonic() > start + self.RESET_TIME:
                raise PciTimeoutError(
                    f"{self.config.address}: not ready {self.RESET_TIME * 1e3:.0f} ms after a "
                    "function-level reset"
                )
        return monotonic() - start
