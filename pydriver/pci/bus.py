# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Enumeration of all buses: numbers for the bridges, addresses for the BARs."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydriver.errors import PciError, PciNotFoundError
from pydriver.pci import q35
from pydriver.pci.bars import Bar, BarKind, Room, largest_first
from pydriver.pci.capabilities import CapabilityId
from pydriver.pci.config import ConfigSpace, PciAddress
from pydriver.pci.express import PortType
from pydriver.pci.function import PciFunction

if TYPE_CHECKING:
    from pydriver.pci.access import Access

__all__ = ("PciBus",)

# The units of a bridge's windows [PCI-to-PCI Bridge 1.2 3.2.5.6, 3.2.5.8].
_BRIDGE_MEMORY = 1 << 20
_BRIDGE_PORTS = 1 << 12

_NO_FUNCTION = 0xFFFF


class PciBus:
    """The functions of a machine, from bus 0 down through its bridges.

    :param access: the object that carries the accesses; its owner is at PASSIVE_LEVEL.
    :param ecam: the guest-physical address of the configuration space of bus 0, switched on.
    """

    def __init__(self, access: "Access", ecam: int = q35.ECAM) -> None:
        self.access = access
        self.ecam = ecam
        self.windows = q35.WINDOWS
        #: every function found, bus 0 first, a bridge before the functions behind it
        self.functions: list[PciFunction] = []

    @classmethod
    def start(cls, access: "Access", windows: q35.Windows = q35.WINDOWS) -> "PciBus":
        """Set up the bus of a q35 machine without firmware, as firmware would have done.

        :param access: the object that carries the accesses.
        :param windows: the addresses that BARs may take.
        :return: the bus, enumerated and assigned.
        :raises PciError: the machine is not a q35, or a function is damaged.
        :raises PciResourceError: there is no room for a BAR.
        """
        bus = cls(access, q35.enable_ecam(access))
        bus.enumerate()
        bus.assign(windows)
        return bus

    def config(self, address: PciAddress) -> ConfigSpace:
        """Return the configuration space of a function, whether it is present or not."""
        return ConfigSpace(self.access, self.ecam, address)

    def enumerate(self) -> list[PciFunction]:
        """Find all functions, number the buses, size the BARs. All addresses are lost.

        :return: the functions, also in `functions`.
        :raises PciError: there are more than 256 buses.
        """
        self.functions = []
        self._scan(0, None)
        return self.functions

    def find(self, vendor: int, device: int, index: int = 0) -> PciFunction:
        """Return a function by its ids.

        :param vendor: the vendor id.
        :param device: the device id.
        :param index: the place among several such functions, in the order of enumeration.
        :raises PciNotFoundError: there is no such function.
        """
        matches = self.find_all(vendor, device)
        if index >= len(matches):
            raise PciNotFoundError(
                f"no function {vendor:04x}:{device:04x}"
                + (f" number {index}" if matches else "")
                + f" among {', '.join(map(str, self.functions)) or 'none'}"
            )
        return matches[index]

    def find_all(self, vendor: int, device: int) -> list[PciFunction]:
        """Return all functions with these ids, in the order of enumeration."""
        return [
            function
            for function in self.functions
            if (function.vendor_id, function.device_id) == (vendor, device)
        ]

    def at(self, slot: str) -> PciFunction:
        """Return a function by its place.

        :param slot: the place, for example ``"00:03.0"``.
        :raises PciNotFoundError: there is no function at that place.
        :raises ConfigAccessError: the text is not the place of a function.
        """
        address = PciAddress.parse(slot)
        for function in self.functions:
            if function.address == address:
                return function
        raise PciNotFoundError(f"no function at {address}")

    # Enumeration

    def _scan(self, number: int, parent: PciFunction | None) -> int:
        """Scan a bus and all buses behind it; return the highest bus number used."""
        highest = number
        # A link has two ends: behind these ports there is only device 0 [PCIe 5.0 7.3.1].
        devices = 1 if parent is not None and _is_link(parent) else 32
        for function in self._present(number, devices, parent):
            self.functions.append(function)
            if parent is not None:
                parent.children.append(function)
            function.probe_bars()
            if function.is_bridge:
                highest = self._number(function, number, highest + 1)
        return highest

    def _present(
        self, number: int, devices: int, parent: PciFunction | None
    ) -> Iterator[PciFunction]:
        for device in range(devices):
            for index in range(8):
                config = self.config(PciAddress(number, device, index))
                ids = config.read32(0x00)
                present = ids & 0xFFFF != _NO_FUNCTION
                multifunction = False
                if present:
                    function = PciFunction(self.access, config, ids, parent)
                    multifunction = function.multifunction
                    yield function
                # Only function 0 says whether 1 to 7 may exist [PCI Local Bus 3.0 3.2.2.3.4].
                if index == 0 and not multifunction:
                    break

    def _number(self, bridge: PciFunction, primary: int, secondary: int) -> int:
        if secondary > 255:
            raise PciError(f"{bridge}: no bus number left for the bus behind it")
        header = bridge.bridge
        header.PRIMARY_BUS.val = primary
        header.SECONDARY_BUS.val = secondary
        # All numbers, until it is known which buses are behind the bridge.
        header.SUBORDINATE_BUS.val = 255
        highest = self._scan(secondary, bridge)
        header.SUBORDINATE_BUS.val = highest
        return highest

    # Assignment

    def assign(self, windows: q35.Windows = q35.WINDOWS) -> None:
        """Give every BAR an address, and every bridge its windows; switch the bridges on.

        Prefetchable 64-bit BARs go above 4 GiB, all others below: a bridge leads only prefetchable
        accesses above [PCI-to-PCI Bridge 1.2 3.2.5.8, 3.2.5.9]. On bus 0, where there is no
        bridge, a 64-bit BAR for which there is no room below goes above, too.

        :param windows: the addresses that BARs may take.
        :raises PciResourceError: there is no room for a BAR.
        """
        self.windows = windows
        rooms = _Rooms(windows)
        rooms.assign([function for function in self.functions if function.parent is None])


def _is_link(bridge: PciFunction) -> bool:
    return bridge.has(CapabilityId.PCI_EXPRESS) and bridge.express.port_type in {
        PortType.ROOT_PORT,
        PortType.DOWNSTREAM_PORT,
    }


class _Rooms:
    """The three windows while addresses in them are assigned.

    Assignment goes depth first, and in each window from its start upward. The addresses behind a
    bridge are therefore adjacent, and the bridge's windows follow from the free part of each window
    before and after.
    """

    def __init__(self, windows: q35.Windows) -> None:
        self.memory = Room("memory below 4 GiB", windows.memory)
        self.prefetchable = Room("prefetchable memory", windows.prefetchable)
        self.ports = Room("I/O ports", windows.ports)

    def place(self, bar: Bar, *, behind_bridge: bool) -> None:
        """Assign a BAR an address in the window that suits it."""
        if bar.kind is BarKind.PORTS:
            self.ports.place(bar)
        elif bar.kind is BarKind.MEMORY32 or (behind_bridge and not bar.prefetchable):
            self.memory.place(bar)
        elif bar.prefetchable:
            self.prefetchable.place(bar)
        else:
            room = self.memory if self.memory.fits(bar) else self.prefetchable
            room.place(bar)

    def assign(self, functions: list[PciFunction]) -> None:
        """Assign all BARs of a bus, then those behind its bridges."""
        behind_bridge = any(function.parent is not None for function in functions)
        for bar in largest_first([bar for function in functions for bar in function.bars]):
            self.place(bar, behind_bridge=behind_bridge)
        for function in functions:
            if function.is_bridge:
                self._open(function)

    def _open(self, bridge: PciFunction) -> None:
        memory = self.memory.align(_BRIDGE_MEMORY)
        prefetchable = self.prefetchable.align(_BRIDGE_MEMORY)
        ports = self.ports.align(_BRIDGE_PORTS)
        self.assign(bridge.children)
        # The limit is the last address; base above limit closes a window.
        memory_limit = self.memory.align(_BRIDGE_MEMORY) - 1
        prefetchable_limit = self.prefetchable.align(_BRIDGE_MEMORY) - 1
        ports_limit = self.ports.align(_BRIDGE_PORTS) - 1
        header = bridge.bridge
        if ports_limit < ports:
            ports, ports_limit = 0xF000, 0x0FFF
        if memory_limit < memory:
            memory, memory_limit = 0xFFF00000, 0x000FFFFF
        if prefetchable_limit < prefetchable:
            prefetchable, prefetchable_limit = 0xFFF00000, 0x000FFFFF
        header.IO_BASE.write(address=ports >> 12 & 0xF)
        header.IO_LIMIT.write(address=ports_limit >> 12 & 0xF)
        header.IO_BASE_UPPER.val = ports >> 16
        header.IO_LIMIT_UPPER.val = ports_limit >> 16
        header.MEMORY_BASE.write(address=memory >> 20)
        header.MEMORY_LIMIT.write(address=memory_limit >> 20)
        header.PREFETCHABLE_BASE.write(address=prefetchable >> 20 & 0xFFF)
        header.PREFETCHABLE_LIMIT.write(address=prefetchable_limit >> 20 & 0xFFF)
        header.PREFETCHABLE_BASE_UPPER.val = prefetchable >> 32
        header.PREFETCHABLE_LIMIT_UPPER.val = prefetchable_limit >> 32
        # Bus mastering: without it the bridge forwards no DMA and no messages upward.
        header.COMMAND.set(io_enable=1, memory_enable=1, bus_master_enable=1)
