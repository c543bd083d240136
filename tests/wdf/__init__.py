# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The framework on the real emulator, with evidence taken by the guest."""
