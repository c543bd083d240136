# SPDX-License-Identifier: MIT
"""A guest with nothing but the link: no PCI, no framework."""

from collections.abc import Iterator

import pytest

from pydriver.link import Link, ProcessorLink
from pydriver.machine import Machine, MachineConfig


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine for each test: it boots in a tenth of a second, and a failed handler ruins it."""
    with Machine(MachineConfig()) as machine:
        yield machine


@pytest.fixture
def link(machine: Machine) -> Iterator[Link]:
    with Link(machine) as link:
        yield link


@pytest.fixture
def cpu(link: Link) -> Iterator[ProcessorLink]:
    """Processor 0, borrowed."""
    with link.processors[0].borrowed() as processor:
        yield processor
