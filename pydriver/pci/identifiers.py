# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The names under which Windows looks for the driver of a PCI function [Identifiers for PCI]."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydriver.pci.function import PciFunction

__all__ = ("compatible_ids", "hardware_ids")


def hardware_ids(function: "PciFunction") -> tuple[str, ...]:
    """The hardware IDs of a PCI function, the most specific first [Identifiers for PCI Devices]."""
    base = f"PCI\\VEN_{function.vendor_id:04X}&DEV_{function.device_id:04X}"
    vendor, device = function.subsystem
    subsystem = f"&SUBSYS_{device:04X}{vendor:04X}"
    revision = f"&REV_{function.class_code.revision:02X}"
    return base + subsystem + revision, base + subsystem, base + revision, base


def compatible_ids(function: "PciFunction") -> tuple[str, ...]:
    """The compatible IDs of a PCI function, the most specific first."""
    code = function.class_code
    kind = f"CC_{code.base_class:02X}{code.subclass:02X}"
    special = f"{kind}{code.interface:02X}"
    vendor = f"VEN_{function.vendor_id:04X}"
    return tuple(
        f"PCI\\{each}" for each in (f"{vendor}&{special}", f"{vendor}&{kind}", special, kind)
    )
