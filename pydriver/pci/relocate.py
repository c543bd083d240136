# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""New addresses for a function's BARs, as a rebalance of resources assigns them."""

from typing import TYPE_CHECKING

from pydriver.pci.bars import BarKind

if TYPE_CHECKING:
    from pydriver.pci.bus import PciBus
    from pydriver.pci.function import PciFunction

__all__ = ("relocate",)

# The granules of bridges' windows: new addresses lie above those that are in use, past the end of
# the windows of the bridges that lead to these [PCI-to-PCI Bridge 1.2 3.2.5.6, 3.2.5.8].
_GRANULES = {BarKind.PORTS: 1 << 12, BarKind.MEMORY32: 1 << 20, BarKind.MEMORY64: 1 << 20}


def relocate(bus: "PciBus", function: "PciFunction") -> None:
    """Moves the BARs of a function that decodes nothing, as far as its window has room.

    BARs behind a bridge stay: the bridge forwards only its own window.

    :param bus: the bus with the function, and its windows
    :param function: the function, on bus 0
    """
    if function.parent is not None:
        return
    for bar in function.bars:
        if bar.address is None:
            continue
        window = next(each for each in _windows(bus) if bar.address in each)
        others = [
            each.address + each.size
            for owner in bus.functions
            for each in owner.bars
            if each is not bar and each.address is not None and each.address in window
        ]
        start = _up(max(others, default=window.start), max(bar.size, _GRANULES[bar.kind]))
        if start == bar.address:
            start += max(bar.size, _GRANULES[bar.kind])
        if start + bar.size <= window.stop:
            bar.assign(start)


def _windows(bus: "PciBus") -> tuple[range, ...]:
    return bus.windows.ports, bus.windows.memory, bus.windows.prefetchable


def _up(address: int, alignment: int) -> int:
    return -(-address // alignment) * alignment
