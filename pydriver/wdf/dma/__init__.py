# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""DMA enablers, transactions, and common buffers."""
