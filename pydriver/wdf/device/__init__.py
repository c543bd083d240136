# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Devices and drivers: creation, properties, interfaces, and registry keys."""
