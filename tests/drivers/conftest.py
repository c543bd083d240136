# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The machines of these tests, whose number of vCPUs can be a parameter."""

from dataclasses import replace

import pytest

from pydriver.machine import MachineConfig


@pytest.fixture
def cpus() -> int | None:
    """The number of vCPUs, to be parametrized; `None`: the marker's."""
    return None


@pytest.fixture
def machine_config(machine_config: MachineConfig, cpus: int | None) -> MachineConfig:
    return machine_config if cpus is None else replace(machine_config, cpus=cpus)
