# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The device alone: QEMU's qtest protocol plays the processor, no guest runs."""
