# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The PnP, power, and power-policy sequences of a device."""
