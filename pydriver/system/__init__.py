# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The composition root: a machine, its link, its PCI bus, and the kernel that runs on them."""

from pydriver.system.state import SystemState
from pydriver.system.system import System, SystemConfig

__all__ = ("System", "SystemConfig", "SystemState")
