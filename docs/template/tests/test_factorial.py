# SPDX-License-Identifier: MIT
"""The driver on QEMU's `edu`, by each kind of interrupt that the device has."""

import math

import pytest
from factorial_driver import IOCTL_FACTORIAL

from pydriver.pci import InterruptMode
from pydriver.trace.recorder import Event
from pydriver.wdf import Device


@pytest.mark.parametrize("interrupt_mode", [InterruptMode.MSI, InterruptMode.INTX])
def test_factorials_are_right(device: Device) -> None:
    with device.open() as file:
        for n in range(1, 13):
            answer = file.device_control(IOCTL_FACTORIAL, n.to_bytes(4, "little"), 4, timeout=5)
            assert int.from_bytes(answer, "little") == math.factorial(n)


def test_each_request_takes_one_interrupt(device: Device, recorder) -> None:  # noqa: ANN001
    with device.open() as file:
        file.device_control(IOCTL_FACTORIAL, (5).to_bytes(4, "little"), 4, timeout=5)
    assert recorder.count(Event.ISR) == 1
