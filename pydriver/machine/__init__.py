# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The emulated machine: a QEMU process, its memory, its QMP, and the image that it runs."""

from pydriver.machine.image import GuestImage
from pydriver.machine.memory import Reservations, SharedMemory
from pydriver.machine.qemu import Machine, MachineConfig

__all__ = ("GuestImage", "Machine", "MachineConfig", "Reservations", "SharedMemory")
