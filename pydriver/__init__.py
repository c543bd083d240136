# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A Windows driver framework in Python, driven by real interrupts of emulated PCI devices."""
