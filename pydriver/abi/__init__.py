# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The shared headers, and the C code that waits and posts commands: ``pydriver.abi._native``."""
