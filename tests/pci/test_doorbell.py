# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The ivshmem doorbell: it wakes processors in HLT."""

import time

import pytest

from pydriver.errors import CapabilityError
from pydriver.link import ProcessorLink
from pydriver.pci import PciBus
from pydriver.pci.ivshmem import DEVICE_ID, VENDOR_ID, connect_doorbell
from tests.pci.conftest import TIMEOUT


@pytest.mark.parametrize("number", [0, 1])
def test_sleeping_processor_is_woken_by_a_command(
    processors: list[ProcessorLink], number: int
) -> None:
    processor = processors[number]
    before = processor.statistics
    processor.sync()
    deadline = time.monotonic() + TIMEOUT
    while processor.statistics["halts"] == before["halts"]:
        assert time.monotonic() < deadline, "the processor does not go to sleep"
    assert processor.get_cr8() == 0
    assert processor.statistics["blips"] == before["blips"]


def test_more_processors_than_vectors_is_an_error(bus: PciBus) -> None:
    doorbell = bus.find(VENDOR_ID, DEVICE_ID)
    with pytest.raises(CapabilityError, match="has 4 vectors for 5 processors"):
        connect_doorbell(doorbell, range(5))
