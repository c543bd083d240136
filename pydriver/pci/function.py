# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A PCI function: identity, resources, switches, and the modes of its interrupt."""

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING

from pydriver.errors import CapabilityError, PciError, PciResourceError
from pydriver.pci import q35
from pydriver.pci.bars import Bar, BarKind, size_bars
from pydriver.pci.capabilities import (
    Capability,
    CapabilityId,
    ExtendedCapability,
    PowerManagement,
    VendorCapability,
    read_capabilities,
    read_extended_capabilities,
)
from pydriver.pci.config import (
    BridgeHeader,
    ClassCode,
    ConfigSpace,
    DeviceHeader,
    HeaderLayout,
    InterruptPin,
)
from pydriver.pci.express import PciExpress
from pydriver.pci.msi import Msi
from pydriver.pci.msix import MsiX

if TYPE_CHECKING:
    from pydriver.pci.access import Access

__all__ = ("AddressRange", "InterruptMode", "InterruptResource", "PciFunction", "Resources")


class InterruptMode(Enum):
    """The ways in which a function can interrupt; one at a time is on [PCI Local Bus 3.0 6.8]."""

    NONE = "none"
    INTX = "intx"
    MSI = "msi"
    MSIX = "msix"


@dataclass(frozen=True, slots=True)
class AddressRange:
    """A BAR as a driver sees it.

    :ivar bar: the number of the BAR, 0 to 5.
    :ivar start: the guest-physical address, or the first port.
    :ivar length: the length in bytes.
    :ivar prefetchable: whether reads have no side effects.
    """

    bar: int
    start: int
    length: int
    prefetchable: bool


@dataclass(frozen=True, slots=True)
class InterruptResource:
    """An interrupt mode that a function offers.

    :ivar mode: INTX, MSI or MSIX.
    :ivar messages: the number of different messages in that mode; 1 for INTX.
    :ivar gsi: the I/O APIC input of INTX; None otherwise.
    """

    mode: InterruptMode
    messages: int
    gsi: int | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of a function, which are given to its driver.

    :ivar memory: the BARs in memory, by number.
    :ivar ports: the BARs of I/O ports, by number.
    :ivar interrupts: the interrupt modes that it offers, the one with most messages first.
    """

    memory: tuple[AddressRange, ...]
    ports: tuple[AddressRange, ...]
    interrupts: tuple[InterruptResource, ...]


class PciFunction:
    """A function that enumeration found. Made by `PciBus`.

    Its methods must be called at PASSIVE_LEVEL and by one thread at a time; vectors may be masked
    through `msix` and `msi` at every IRQL.

    :param access: the object that carries the accesses.
    :param config: the configuration space of the function.
    :param ids: the first 32 bits of that space, with the device id above the vendor id.
    :param parent: the bridge that leads to the function's bus; None on bus 0.
    """

    def __init__(
        self,
        access: "Access",
        config: ConfigSpace,
        ids: int,
        parent: "PciFunction | None" = None,
    ) -> None:
        self.access = access
        self.config = config
        self.parent = parent
        self.address = config.address
        self.header = DeviceHeader(config)
        self.vendor_id: int = ids & 0xFFFF
        self.device_id: int = ids >> 16
        self.class_code: ClassCode = self.header.CLASS_CODE.read()
        header_type = self.header.HEADER_TYPE.read()
        self.layout: int = header_type.layout
        self.multifunction = bool(header_type.multifunction)
        self.interrupt_pin = InterruptPin(self.header.INTERRUPT_PIN.val)
        self.interrupt_mode = InterruptMode.NONE
        self.children: list[PciFunction] = []
        self.bars: list[Bar] = []

    @property
    def slot(self) -> str:
        """The place in the usual notation, ``"00:03.0"``."""
        return str(self.address)

    @property
    def is_present(self) -> bool:
        """Whether the function still answers; a removed function reads as all ones."""
        return self.config.read16(0x00) != 0xFFFF

    @property
    def is_bridge(self) -> bool:
        """Whether another bus is behind it."""
        return self.layout == HeaderLayout.BRIDGE

    @cached_property
    def bridge(self) -> BridgeHeader:
        """The header as that of a bridge.

        :raises PciError: the function is not a bridge.
        """
        if not self.is_bridge:
            raise PciError(f"{self} is not a bridge")
        return BridgeHeader(self.config)

    @property
    def subsystem(self) -> tuple[int, int]:
        """Vendor and device id of the subsystem; zeros for a bridge, which has them elsewhere."""
        if self.layout != HeaderLayout.DEVICE:
            return 0, 0
        return self.header.SUBSYSTEM_VENDOR_ID.val, self.header.SUBSYSTEM_ID.val

    # Resources

    def probe_bars(self) -> None:
        """Find the sizes of the BARs, which lose their addresses. Called by enumeration."""
        count = {HeaderLayout.DEVICE: 6, HeaderLayout.BRIDGE: 2}.get(HeaderLayout(self.layout), 0)
        self.bars = size_bars(self.config, count)

    def bar(self, index: int) -> Bar:
        """Return a BAR.

        :param index: 0 to 5.
        :raises PciResourceError: the function does not implement it.
        """
        for bar in self.bars:
            if bar.index == index:
                return bar
        raise PciResourceError(f"{self} has no BAR{index}")

    def bar_address(self, index: int) -> int:
        """Return the address of a BAR: guest-physical, or the first port.

        :param index: 0 to 5.
        :raises PciResourceError: the function does not implement it, or it is not assigned.
        """
        bar = self.bar(index)
        if bar.address is None:
            raise PciResourceError(f"{bar}: has no address")
        return bar.address

    def resources(self) -> Resources:
        """List the resources that a driver may use."""
        memory: list[AddressRange] = []
        ports: list[AddressRange] = []
        for bar in self.bars:
            if bar.address is not None:
                entry = AddressRange(bar.index, bar.address, bar.size, bar.prefetchable)
                (ports if bar.kind is BarKind.PORTS else memory).append(entry)
        interrupts = []
        if self.has(CapabilityId.MSI_X):
            interrupts.append(InterruptResource(InterruptMode.MSIX, self.msix.messages))
        if self.has(CapabilityId.MSI):
            interrupts.append(InterruptResource(InterruptMode.MSI, self.msi.messages))
        interrupts.sort(key=lambda resource: -resource.messages)
        if self.interrupt_pin is not InterruptPin.NONE:
            interrupts.append(InterruptResource(InterruptMode.INTX, 1, self.intx_gsi))
        return Resources(tuple(memory), tuple(ports), tuple(interrupts))

    # Switches of the command register [PCI Local Bus 3.0 6.2.2]

    def enable_memory(self) -> None:
        """Let the function answer at its memory BARs."""
        self.header.COMMAND.set(memory_enable=1)

    def enable_ports(self) -> None:
        """Let the function answer at its port BARs."""
        self.header.COMMAND.set(io_enable=1)

    def enable_bus_master(self) -> None:
        """Let the function access memory, for DMA and for messages."""
        self.header.COMMAND.set(bus_master_enable=1)

    def disable_bus_master(self) -> None:
        """Forbid the function to access memory."""
        self.header.COMMAND.set(bus_master_enable=0)

    def disable(self) -> None:
        """Switch interrupts, bus mastering and all decoding off."""
        self.disable_interrupts()
        self.header.COMMAND.set(memory_enable=0, io_enable=0, bus_master_enable=0)

    # Capabilities

    @cached_property
    def capabilities(self) -> tuple[Capability, ...]:
        """The list of capabilities, read once.

        :raises CapabilityError: the list is damaged.
        """
        return tuple(read_capabilities(self.config))

    @cached_property
    def extended_capabilities(self) -> tuple[ExtendedCapability, ...]:
        """The list of extended capabilities, read once; empty for a conventional function.

        :raises CapabilityError: the list is damaged.
        """
        if not self.has(CapabilityId.PCI_EXPRESS):
            return ()
        return tuple(read_extended_capabilities(self.config))

    def has(self, identifier: CapabilityId) -> bool:
        """Tell whether the function has such a capability."""
        return any(capability.id == identifier for capability in self.capabilities)

    def capability(self, identifier: CapabilityId) -> Capability:
        """Return the first capability of a kind.

        :raises CapabilityError: the function has none.
        """
        for capability in self.capabilities:
            if capability.id == identifier:
                return capability
        raise CapabilityError(f"{self} has no {identifier.name} capability")

    @cached_property
    def msi(self) -> Msi:
        """The MSI capability. :raises CapabilityError: there is none."""
        return Msi(self.capability(CapabilityId.MSI), self.access)

    @cached_property
    def msix(self) -> MsiX:
        """The MSI-X capability. :raises CapabilityError: there is none."""
        return MsiX(self.capability(CapabilityId.MSI_X), self.access, self.bar_address)

    @cached_property
    def power(self) -> PowerManagement:
        """The power management capability. :raises CapabilityError: there is none."""
        return PowerManagement(self.capability(CapabilityId.POWER_MANAGEMENT))

    @cached_property
    def express(self) -> PciExpress:
        """The PCI Express capability. :raises CapabilityError: there is none."""
        return PciExpress(self.capability(CapabilityId.PCI_EXPRESS))

    @cached_property
    def vendor_capabilities(self) -> tuple[VendorCapability, ...]:
        """The vendor's own capabilities."""
        return tuple(
            VendorCapability(capability)
            for capability in self.capabilities
            if capability.id == CapabilityId.VENDOR
        )

    # Interrupts

    @property
    def intx_gsi(self) -> int:
        """The I/O APIC input that the function's INTx pin drives.

        Each bridge on the way up rotates the pins by the device number [PCI-to-PCI Bridge 1.2 9.1];
        on bus 0 the chipset routes them.

        :raises PciError: the function uses no pin.
        """
        if self.interrupt_pin is InterruptPin.NONE:
            raise PciError(f"{self} uses no interrupt pin")
        index = self.interrupt_pin - InterruptPin.INTA
        function = self
        while function.parent is not None:
            index = (index + function.address.device) % 4
            function = function.parent
        return q35.root_gsi(function.address.device, InterruptPin(index + InterruptPin.INTA))

    def disable_interrupts(self) -> None:
        """Switch every mode off, including INTx."""
        self.header.COMMAND.set(interrupt_disable=1)
        if self.has(CapabilityId.MSI):
            self.msi.disable()
        if self.has(CapabilityId.MSI_X):
            self.msix.disable()
        self.interrupt_mode = InterruptMode.NONE

    def enable_intx(self) -> int:
        """Let the function drive its interrupt pin, and switch messages off.

        Call `IoApic.connect` for the input before, and `IoApic.unmask` afterwards.

        :return: the I/O APIC input (GSI).
        :raises PciError: the function uses no pin.
        """
        gsi = self.intx_gsi
        self.disable_interrupts()
        self.header.COMMAND.set(interrupt_disable=0)
        self.interrupt_mode = InterruptMode.INTX
        return gsi

    def enable_msi(self, address: int, data: int, messages: int = 1) -> Msi:
        """Let the function send MSI messages. All are masked if it has masks: see `Msi.maskable`.

        :param address: the address to which messages are written.
        :param data: the data of message 0, a multiple of `messages`; message *i* writes
            ``data + i``.
        :param messages: the number of messages: 1, 2, 4, 8, 16 or 32.
        :raises CapabilityError: the function has no MSI, or not that many messages.
        """
        msi = self.msi
        self.disable_interrupts()
        msi.enable(address, data, messages)
        self.enable_bus_master()
        self.interrupt_mode = InterruptMode.MSI
        return msi

    def enable_msix(self) -> MsiX:
        """Let the function send MSI-X messages. All are masked: call `MsiX.set` and `MsiX.unmask`.

        :raises CapabilityError: the function has no MSI-X.
        :raises PciResourceError: the BAR of its table has no address.
        """
        msix = self.msix
        self.disable_interrupts()
        self.header.COMMAND.set(memory_enable=1, bus_master_enable=1)
        msix.enable()
        self.interrupt_mode = InterruptMode.MSIX
        return msix

    # Reset

    def reset(self) -> float:
        """Reset the function, and restore its BARs [PCIe 5.0 6.6.2].

        Afterwards its state is that after enumeration: it has addresses, and all switches are off.

        :return: the seconds until the function was ready.
        :raises CapabilityError: the function has no function-level reset.
        :raises PciTimeoutError: the function was not ready in time.
        """
        seconds = self.express.reset_function()
        for bar in self.bars:
            if bar.address is not None:
                bar.write()
        if self.has(CapabilityId.MSI):
            self.msi.forget()
        self.interrupt_mode = InterruptMode.NONE
        return seconds

    def __str__(self) -> str:
        return f"{self.address} [{self.vendor_id:04x}:{self.device_id:04x}]"

    def __repr__(self) -> str:
        return f"<PciFunction {self}>"
