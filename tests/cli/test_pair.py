# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver run --device ... --driver ...`: any device of QEMU with any driver."""

import json
import signal
from pathlib import Path

import pytest

from .command import Command, assert_error, run

AT_ONCE = 2.0
IDLE_DRIVER = """
from pydriver import wdf

def add(driver, init):
    device = wdf.Device.create(init)
    wdf.Interrupt.create(device, wdf.InterruptConfig(evt_interrupt_isr=lambda *_: False))

def driver_entry(driver_object):
    return wdf.Driver.create(driver_object, wdf.DriverConfig(evt_driver_device_add=add))
"""


@pytest.mark.parametrize(
    ("device", "driver", "options"),
    [
        ("nvme,serial=x,drive=d0", "pydriver.drivers.nvme", ()),
        ("nvme,serial=x,drive=d0", "nvme", ("--interrupts", "intx", "--cpus", "2")),
        ("nvme,serial=x,drive=d0", "nvme", ("--messages", "1")),
        ("edu", "edu", ()),
        ("i82559c,netdev=n0", "i8255x", ()),
        ("i82559c,netdev=n0", "i8255x", ("--cpus", "2", "--qemu-option", "-netdev user,id=n0")),
        ("edu", "pydriver.drivers.edu", ("--interrupts", "intx")),
    ],
)
def test_driver_is_tried_on_its_device(device: str, driver: str, options: tuple[str, ...]) -> None:
    result = run("run", "--device", device, "--driver", driver, "--json", *options)
    assert result.code == 0, result.stdout + result.stderr
    found = json.loads(result.stdout)
    assert found["verdict"] == "correct"
    assert sum(each["interrupts"] for each in found["interrupts"]) > 0


def test_drive_that_the_user_defines_is_used(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    option = f"-drive file={disk},format=raw,if=none,id=d0"
    device = "nvme,serial=x,drive=d0"
    result = run("run", "--device", device, "--driver", "nvme", "--qemu-option", option)
    assert result.code == 0, result.stderr
    assert any(disk.read_bytes())


def test_driver_of_ones_own_is_started_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(IDLE_DRIVER)
    result = run(
        *("run", "--device", "edu", "--driver", "mine", "--idle", "0.2"),
        environment={"PYTHONPATH": str(tmp_path)},
    )
    assert result.code == 0, result.stderr
    assert "doing nothing for 0.2 s" in result.stderr
    assert "verdict: correct" in result.stdout


def test_what_the_application_finds_wrong_is_the_verdict() -> None:
    prelude = "import pydriver.drivers.edu as edu; edu.factorial = lambda number: 0"
    result = run("run", "--device", "edu", "--driver", "edu", prelude=prelude)
    assert result.code == 1
    assert "verdict: edu 00:02.0: 0! is 1" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--device", "edu"), "--device and --driver need each other"),
        (("--driver", "edu"), "--device and --driver need each other"),
        (("--device", "edu", "--driver", "nonesuch"), "driver nonesuch: No module named"),
        (("--device", "edu", "--driver", "json"), "driver json: the module has no driver_entry"),
        (("--device", "edu", "--driver", "nvme"), r"driver nvme drives none of: .*\[1234:11e8\]"),
        (("--device", "edu", "--driver", "edu", "--queues", "2"), "--queues is for mqdma"),
        (("file", "--device", "edu", "--driver", "edu"), "FILE is for mqdma"),
    ],
)
def test_a_pair_that_cannot_be_is_refused(arguments: tuple[str, ...], text: str) -> None:
    assert_error(run("run", *arguments), 2, text)


def test_device_that_qemu_does_not_have_is_an_error_with_its_words() -> None:
    result = run("run", "--device", "nonesuch", "--driver", "edu")
    assert_error(result, 1, "QEMU .* ended with status 1; its last lines:")
    assert "nonesuch" in result.stderr


def test_ctrl_c_ends_a_pair_at_once() -> None:
    with Command("run", "--device", "edu", "--driver", "edu", "--idle", "600") as command:
        command.wait_for_line("doing nothing")
        command.signal(signal.SIGINT)
        result = command.finish()
    assert result.code == 130
    assert result.seconds < AT_ONCE
