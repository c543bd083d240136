# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A Windows driver framework in Python, driven by real interrupts of emulated PCI devices.

``pydriver.System`` and ``pydriver.SystemConfig`` are loaded when they are first used, so that the
command line starts without them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydriver.system import System, SystemConfig

__all__ = ("System", "SystemConfig")


def __getattr__(name: str) -> Any:
    if name in __all__:
        found = globals()[name] = getattr(importlib.import_module("pydriver.system"), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
