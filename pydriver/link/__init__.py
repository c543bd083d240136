# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The link: upcalls from the guest, and commands to it."""

from pydriver.link.link import Link
from pydriver.link.processor import ProcessorLink

__all__ = ("Link", "ProcessorLink")
