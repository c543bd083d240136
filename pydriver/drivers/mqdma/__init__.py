# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The driver of `mqdma`, and the faults that its device can inject.

The driver's names are imported on first use, so that code that only lists the faults, such as the
help of `pydriver run`, does not load the framework.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydriver.drivers.mqdma.driver import (
        CRC_BYTES,
        DEVICE,
        HARDWARE_IDS,
        IOCTL_COPY,
        IOCTL_NOP,
        VENDOR,
        Capture,
        MqdmaDevice,
        Parameters,
        driver_entry,
        driver_entry_with,
        shared_memory,
    )

__all__ = (
    "CRC_BYTES",
    "DEVICE",
    "HARDWARE_IDS",
    "IOCTL_COPY",
    "IOCTL_NOP",
    "VENDOR",
    "Capture",
    "MqdmaDevice",
    "Parameters",
    "driver_entry",
    "driver_entry_with",
    "shared_memory",
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Kept: the next use of the name does not come here, which on a request's path would be slow.
    found = globals()[name] = getattr(importlib.import_module(f"{__name__}.driver"), name)
    return found
