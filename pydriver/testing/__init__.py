# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The pytest plugin: a test requests a device, and gets it on a running system, with its driver.

The plugin proper is `pydriver.testing.plugin`, which pytest loads by its entry point;
docs/how-to/testing.md explains its use. This package has the types that its fixtures return, for
annotations; they are imported on first use, because pytest loads this package in every run, also in
those that have nothing to do with drivers.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydriver.testing.expect import Caught, Expect
    from pydriver.testing.fault import Fault
    from pydriver.testing.qmp import Qmp
    from pydriver.testing.systems import StartSystem
    from pydriver.testing.watch import RecorderSlice

__all__ = ("Caught", "Expect", "Fault", "Qmp", "RecorderSlice", "StartSystem")

_MODULES = {
    "Caught": "expect",
    "Expect": "expect",
    "Fault": "fault",
    "Qmp": "qmp",
    "RecorderSlice": "watch",
    "StartSystem": "systems",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
