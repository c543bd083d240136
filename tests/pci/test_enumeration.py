# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Enumeration of a q35 machine without firmware."""

import pytest

from pydriver.errors import PciNotFoundError
from pydriver.machine import Machine
from pydriver.pci import PciBus, PciFunction
from tests.pci.conftest import E1000E, EDU, MQDMA, NVME, ROOT_PORT


def test_every_device_is_found_where_it_was_put(bus: PciBus) -> None:
    assert [function.slot for function in bus.find_all(*EDU)] == [
        "00:04.0",
        "04:03.0",
        "00:0c.0",
        "00:0c.1",
        "00:19.0",
    ]
    assert [function.slot for function in bus.find_all(*E1000E)] == ["00:06.0", "01:00.0"]
    assert [function.slot for function in bus.find_all(*ROOT_PORT)] == [
        "00:08.0",
        "00:09.0",
        "00:0a.0",
    ]
    assert bus.find(*MQDMA).slot == "00:05.0"
    assert bus.find(*NVME).slot == "00:07.0"


def test_bridges_number_the_buses_behind_them(bus: PciBus) -> None:
    numbers = {
        function.slot: tuple(
            register.val
            for register in (
                function.bridge.PRIMARY_BUS,
                function.bridge.SECONDARY_BUS,
                function.bridge.SUBORDINATE_BUS,
            )
        )
        for function in bus.functions
        if function.is_bridge
    }
    assert numbers == {
        "00:08.0": (0, 1, 1),
        "00:09.0": (0, 2, 2),
        "00:0a.0": (0, 3, 3),
        "00:0b.0": (0, 4, 4),
    }


def test_function_knows_the_bridge_above_it(bus: PciBus) -> None:
    port = bus.at("00:08.0")
    assert bus.at("01:00.0").parent is port
    assert port.children == [bus.at("01:00.0")]
    assert port.parent is None


def test_function_tells_what_it_is(bus: PciBus) -> None:
    nvme = bus.find(*NVME)
    assert nvme.class_code.base_class == 0x01
    assert nvme.class_code.subclass == 0x08
    assert nvme.class_code.interface == 0x02
    assert nvme.subsystem == (0x1AF4, 0x1100)
    assert str(nvme) == "00:07.0 [1b36:0010]"


def test_removed_function_is_not_present(machine: Machine, mqdma: PciFunction) -> None:
    assert mqdma.is_present
    machine.set_property("mqdma", "fault-removed", True)
    try:
        assert not mqdma.is_present
    finally:
        machine.set_property("mqdma", "fault-removed", False)
    assert mqdma.is_present


def test_missing_function_is_an_error_that_lists_what_there_is(bus: PciBus) -> None:
    with pytest.raises(PciNotFoundError, match=r"no function dead:beef among .*\[1b36:0010\]"):
        bus.find(0xDEAD, 0xBEEF)
    with pytest.raises(PciNotFoundError, match=r"1b36:0010 number 1"):
        bus.find(*NVME, 1)
    with pytest.raises(PciNotFoundError, match=r"no function at 00:1e\.7"):
        bus.at("00:1e.7")
