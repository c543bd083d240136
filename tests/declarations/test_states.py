# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The numbers of enumerations that a C driver was compiled with."""

import pytest

import pydriver.wdf
from pydriver.declarations.registry import ENUMERATIONS

assert pydriver.wdf

# [wdfdevice.h of KMDF 1.15 to 1.33]
VALUES = {
    "WdfDevStatePnpStarted": 0x119,
    "WdfDevStatePowerD0": 0x307,
    "WdfDevStatePowerD0Starting": 0x30F,
    "WdfDevStatePowerGotoDx": 0x31A,
    "WdfDevStatePowerStopped": 0x315,
    "WdfDevStatePowerDx": 0x31F,
    "WdfDevStatePwrPolStarted": 0x565,
    "WdfDevStatePwrPolStartedWakeCapable": 0x531,
    "WdfDevStatePwrPolWaitingUnarmed": 0x508,
    "WdfDevStatePwrPolWaitingArmed": 0x53E,
    "WdfDevStatePwrPolStopped": 0x563,
}


@pytest.mark.parametrize(("name", "value"), VALUES.items())
def test_state_has_the_number_of_wdf(name: str, value: int) -> None:
    (found,) = [each.values[name] for each in ENUMERATIONS.values() if name in each.values]
    assert found == value


def test_no_two_states_have_one_number() -> None:
    for name, declared in ENUMERATIONS.items():
        if name.endswith("_STATE") and name.startswith("WDF_DEVICE_"):
            numbers = list(declared.values.values())
            aliases = [each for each in set(numbers) if numbers.count(each) > 1]
            assert aliases == [], name
