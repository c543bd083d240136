# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The harness of the framework's tests: drivers made by tests, on QEMU's `edu` device."""
