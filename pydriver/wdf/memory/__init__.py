# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Memory objects, lookaside lists, MDLs, hardware registers, and resource lists."""
