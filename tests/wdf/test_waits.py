# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Waits of the framework itself: they end when the system does, and lose nothing on the way."""

from collections.abc import Callable
from threading import Thread

import pytest

from pydriver.ke import BugCheck, VerifierConfig
from pydriver.ke.bugcheck import DRIVER_POWER_STATE_FAILURE
from pydriver.wdf import Device, PnpPowerEventCallbacks, PowerDeviceState

from .bench import TIMEOUT, Bench, Plan


def test_power_callback_that_starts_a_sequence_of_its_device_ends_with_the_system(
    boot: Callable[..., Bench],
) -> None:
    """The second sequence waits for the first, which waits for this callback."""
    bench = boot(1, VerifierConfig(power_timeout=0.5))

    def d0_exit(device: Device, target: PowerDeviceState) -> None:
        device.enter_d0()

    edu = bench.load(Plan(callbacks=PnpPowerEventCallbacks(evt_device_d0_exit=d0_exit)))
    ended: list[BaseException] = []

    def exit_d0() -> None:
        try:
            edu.device.exit_d0()
        except BugCheck as error:
            ended.append(error)

    thread = Thread(target=exit_d0, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    with pytest.raises(BugCheck) as stopped:
        bench.system.check()
    assert stopped.value.code == DRIVER_POWER_STATE_FAILURE
    assert len(ended) == 1
