# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Returns to earlier points: `restart`, and snapshots that are reached again."""

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pydriver.debug import Position, Snapshot
from pydriver.ke.probes import Point
from tests.cli.command import run

from .test_debugger import EDU, FORGETFUL, debug
from .test_session import leave, start, tell

COMPLETE = "WdfRequestCompleteWithInformation"
NVME = ("debug", "--device", "nvme,serial=x,drive=d0", "--driver", "nvme")

IMPATIENT = "import pydriver.debug.session as s; s.END = 0.5"
"""A prelude with which a system has half a second to end."""


@pytest.mark.parametrize("cpus", [1, 2])
def test_restored_system_is_at_the_same_point_and_goes_on_alike(cpus: int) -> None:
    said = debug(
        *(f"bp ddi {COMPLETE}", "go", "go", "go", "snapshot third", "wdfrequest"),
        *("step register", "bc *", "go", "restore third", "wdfrequest", "step register", "go"),
        options=(*EDU, "--cpus", str(cpus)),
    )
    assert said[4] == f"third: ddi {COMPLETE}, number 3"
    request = re.search(r"\(request 3 .*\)", said[3])
    assert request
    assert said[9].startswith(f"restored: ddi {COMPLETE} {request[0]}")
    # All but the first line: processor, IRQL, thread, and the driver's stack.
    stop = said[3].split("\n")[1:]
    assert said[9].split("\n")[1 : 1 + len(stop)] == stop
    compared = said[9].split("\n")[1 + len(stop)]
    if compared != "not all points before it are the same as before:":  # a loaded machine
        assert re.fullmatch(r"all \d+ points before it are the same as before", compared)
        assert said[11] == said[6]
    # The request is in the same state; the time and the thread of its presentation may differ.
    irp = re.compile(r"!irp 0x\w+")
    then, now = (irp.sub("", said[at]).partition("Since it")[0] for at in (5, 10))
    assert now == then
    assert said[12] == "edu 00:02.0: the application found nothing wrong\nthe application has ended"


def test_point_in_the_start_of_a_driver_is_restored() -> None:
    said = debug(
        *("bp callback _prepare_hardware", "go", "snapshot start", "bc *", "go", "restore start"),
        options=(*EDU, "--stop-first"),
    )
    assert "restored: callback _prepare_hardware" in said[5]


def test_system_that_cannot_be_migrated_is_restored() -> None:
    said = debug(
        "bp dpc", "go", "snapshot dpc", "bc *", "restore dpc", "wdfdriverinfo", options=NVME
    )
    assert "restored: dpc " in said[4]
    assert "nvme" in said[5]


def test_application_that_hangs_does_not_keep_one_from_going_back() -> None:
    options = ("debug", "--device", "edu", "--driver", str(FORGETFUL))
    said = debug(
        *("bp callback compute", "go", "snapshot first", "bc *", "go 0.5"),
        *("restore first", "go 0.5", "wdfdevicequeues"),
        options=options,
        prelude=IMPATIENT,
    )
    assert "still runs" in said[4]
    assert "restored: callback compute (queue 0" in said[5]
    assert "Number of driver owned requests: 1" in said[7]
    assert "request 3 (device control" in said[7]


def test_restart_stops_at_a_breakpoint_in_the_start_of_the_driver() -> None:
    said = debug("bp callback _prepare_hardware", "restart", "irql", "bc *", "go")
    assert said[1].startswith("breakpoint 1: callback _prepare_hardware")
    assert "PASSIVE_LEVEL" in said[2]
    assert "the application has ended" in said[4]


DEAF = """
import threading

def exercise(device):
    threading.Event().wait()
"""
RAISING = """
def exercise(device):
    raise ValueError("the application's")
"""
FAILING = """
def driver_entry(driver_object):
    raise ValueError("the entry's")
"""
EDU_DRIVER = "from pydriver.drivers.edu import HARDWARE_IDS, driver_entry\n"


def test_application_that_never_ends_is_left_behind(tmp_path: Path) -> None:
    driver = tmp_path / "deaf.py"
    driver.write_text(EDU_DRIVER + DEAF)
    result = run(
        *("debug", "--device", "edu", "--driver", driver, "-c", "go 0.2", "-c", "restart"),
        *("--qmp", tmp_path / "qmp"),
        prelude=IMPATIENT,
    )
    assert result.code == 1
    assert "error: the application does not end" in result.stdout
    assert not (tmp_path / "qmp").exists()


def test_error_of_an_application_is_told_at_once(tmp_path: Path) -> None:
    driver = tmp_path / "raising.py"
    driver.write_text(EDU_DRIVER + RAISING)
    result = run("debug", "--device", "edu", "--driver", driver, "-c", "go")
    assert "the system has ended: the application's" in result.stdout


def test_driver_whose_entry_fails_after_a_restart_is_an_error_of_the_command(
    tmp_path: Path,
) -> None:
    driver = tmp_path / "failing.py"
    driver.write_text(EDU_DRIVER)
    shell = start(tmp_path, "--device", "edu", "--driver", str(driver))
    driver.write_text(EDU_DRIVER + FAILING)
    assert "error: the driver: BugCheck" in tell(shell, "restart")
    driver.write_text(EDU_DRIVER + "# mended\n")
    assert "failing 00:02.0, from the beginning" in tell(shell, "restart")
    leave(shell)


def test_restart_takes_what_is_beside_the_driver_as_it_is_now(tmp_path: Path) -> None:
    driver, beside = tmp_path / "main_part.py", tmp_path / "other_part.py"
    driver.write_text(EDU_DRIVER + "import other_part\nVALUE = other_part.VALUE\n")
    beside.write_text("VALUE = 1\n")
    shell = start(tmp_path, "--device", "edu", "--driver", str(driver))
    beside.write_text("VALUE = 22\n")
    tell(shell, "restart")
    assert tell(shell, "import main_part; main_part.VALUE").endswith("22")
    leave(shell)


def test_breakpoints_outlive_a_restart() -> None:
    said = debug("bp dpc", "go", "restart", "go", "bl")
    assert said[2] == "edu 00:02.0, from the beginning"
    assert said[3].startswith("breakpoint 1: dpc _dpc")
    assert said[4].startswith("1: dpc *, hit 2 times")


def test_restart_takes_the_driver_as_its_file_is_now(tmp_path: Path) -> None:
    driver = tmp_path / "mended.py"
    shutil.copy(FORGETFUL, driver)
    shell = start(tmp_path, "--device", "edu", "--driver", str(driver))
    assert "still runs" in tell(shell, "go 0.5")
    good = (
        driver.read_text()
        .replace("if result := edu.", "if (result := edu.")
        .replace("(FACTORIAL):", "(FACTORIAL)) is not None:")
    )
    assert good != driver.read_text()
    driver.write_text("def broken(:\n")
    assert "error: the driver: SyntaxError" in tell(shell, "restart")
    assert "the system has ended" in tell(shell, "go")
    driver.write_text(good)
    os.utime(driver, (1e9, 1e9))  # cached code does not match this time
    assert "mended 00:02.0, from the beginning" in tell(shell, "restart")
    assert tell(shell, "device.system is system, system.machine is machine").endswith(
        "(True, True)"
    )
    assert "the application has ended" in tell(shell, "go")
    assert "mended" in tell(shell, "wdfdriverinfo")
    leave(shell)


@pytest.mark.parametrize(
    ("commands", "error"),
    [
        (("snapshot here",), "the system is not stopped at a point"),
        (("stop", "snapshot here"), "the system is not stopped at a point"),
        (("restore nowhere",), "there is no snapshot 'nowhere'"),
    ],
)
def test_snapshot_that_cannot_be_is_refused(commands: tuple[str, ...], error: str) -> None:
    words = [word for each in commands for word in ("-c", each)]
    result = run(*EDU, *words)
    assert result.code == 1
    assert f"error: {error}" in result.stdout


def test_snapshots_are_listed() -> None:
    said = debug("snapshot", "bp dpc", "go", "snapshot a", "snapshot b", "snapshot")
    assert said[0] == "there is no snapshot"
    assert said[5].startswith("a: dpc _dpc, number 1\nb: dpc _dpc, number 1")


def test_differences_are_named() -> None:
    ddi = [(Point.DDI, f"Ddi{number}") for number in range(9)]
    then = Counter({name: number for number, name in enumerate(ddi)})
    snapshot = Snapshot("x", Position(*ddi[0], 1), then, started=True)
    assert snapshot.compare(then.copy()) == "all 36 points before it are the same as before"
    one = then + Counter({ddi[3]: 2})
    assert snapshot.compare(one).splitlines()[1:] == ["    ddi Ddi3: 3 times then, 5 now"]
    none = snapshot.compare(Counter())
    assert len(none.splitlines()) == 7
    assert none.endswith("    and 3 more")
