# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Machines of these tests: how many vCPUs they have can be a parameter."""

from dataclasses import replace

import pytest

from pydriver.machine import MachineConfig


@pytest.fixture
def cpus() -> int | None:
    """vCPUs, to be parametrized; `None`: as many as the marker says."""
    return None


@pytest.fixture
def machine_config(machine_config: MachineConfig, cpus: int | None) -> MachineConfig:
    return machine_config if cpus is None else replace(machine_config, cpus=cpus)
