# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Drivers that a test makes up, on `edu` devices."""

from tests.harness.fixtures import bench, boot, doomed, machine_config

__all__ = ("bench", "boot", "doomed", "machine_config")
