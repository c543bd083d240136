# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Drivers made by tests, on `edu` devices."""

from tests.harness.fixtures import bench, boot, doomed, machine_config

__all__ = ("bench", "boot", "doomed", "machine_config")
