# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The driver of QEMU's `edu`: factorials, and data through its DMA buffer."""

import math
import random
import threading

import pytest

from pydriver.drivers import edu
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
)
from pydriver.pci import InterruptMode
from pydriver.wdf import Device, File

TIMEOUT = 20.0
MODES = pytest.mark.parametrize("interrupt_mode", [InterruptMode.MSI, InterruptMode.INTX])
pytestmark = pytest.mark.pydriver(device="edu", driver="edu")


def factorial(file: File, number: int) -> int:
    answer = file.device_control(edu.IOCTL_FACTORIAL, number.to_bytes(4, "little"), 4, TIMEOUT)
    return int.from_bytes(answer, "little")


@MODES
def test_factorials_are_right(device: Device) -> None:
    with device.open() as file:
        for number in range(16):
            assert factorial(file, number) == math.factorial(number) % (1 << 32)


@MODES
def test_what_was_written_comes_back_by_dma(device: Device) -> None:
    data = random.Random(1).randbytes(edu.BUFFER_BYTES)
    with device.open() as file:
        assert file.write(data, timeout=TIMEOUT) == len(data)
        assert file.write(b"here", 1000, timeout=TIMEOUT) == 4
        expected = data[:1000] + b"here" + data[1004:]
        assert file.read(len(data), timeout=TIMEOUT) == expected
        assert file.read(100, 950, timeout=TIMEOUT) == expected[950:1050]


def test_bad_requests_are_refused(device: Device) -> None:
    with device.open() as file:
        for irp, status in (
            (file.read_async(edu.BUFFER_BYTES + 1), STATUS_INVALID_PARAMETER),
            (file.write_async(b"xx", edu.BUFFER_BYTES - 1), STATUS_INVALID_PARAMETER),
            (file.read_async(0), STATUS_SUCCESS),
            (file.device_control_async(edu.IOCTL_FACTORIAL, b"abc", 4), STATUS_BUFFER_TOO_SMALL),
            (file.device_control_async(edu.IOCTL_FACTORIAL, b"abcd", 3), STATUS_BUFFER_TOO_SMALL),
            (file.device_control_async(edu.IOCTL_FACTORIAL + 4), STATUS_INVALID_DEVICE_REQUEST),
        ):
            assert irp.wait(TIMEOUT) == status


@pytest.mark.alone
@MODES
@pytest.mark.pydriver(cpus=2)
def test_hundred_power_cycles_under_load_lose_nothing(device: Device) -> None:
    stop = threading.Event()
    wrong: list[int] = []
    done = [0]

    def application() -> None:
        with device.open() as file:
            while not stop.is_set():
                number = done[0] % 13
                if factorial(file, number) != math.factorial(number) % (1 << 32):
                    wrong.append(number)
                done[0] += 1

    threads = [threading.Thread(target=application) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(100):
            device.exit_d0()
            device.enter_d0()
    finally:
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT)
    assert not wrong
    assert done[0] > 0
