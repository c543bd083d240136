# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The contents of a crash directory, and its fate when more goes wrong."""

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydriver.abi._native import lib

from pydriver.crash import CrashDirectory, analyse, read_crash, write_crash
from pydriver.errors import ConfigurationError, MachineDied
from pydriver.ke import BugCheck
from pydriver.system import System, SystemConfig

from . import planted
from .conftest import MACHINE, TIMEOUT, Crasher, run_planted

FILES = {
    "configuration.json",
    "contents.json",
    "crash.json",
    "devices.json",
    "guest.elf",
    "memory.elf",
    "pci-config.txt",
    "qemu.log",
    "qtree.txt",
    "recorder.json",
    "recorder.txt",
    "registers.txt",
    "report.txt",
}
NEED_QEMU = {"devices.json", "pci-config.txt", "qtree.txt", "registers.txt"}
SMALL_DISK = 4096

gdb = shutil.which("gdb")


def read_with_gdb(directory: Path, *commands: str) -> str:
    """The output of gdb about the guest's memory."""
    assert gdb is not None
    words = [word for command in commands for word in ("-ex", command)]
    files = [directory / "guest.elf", directory / "memory.elf"]
    ended = subprocess.run(
        [gdb, "-batch", "-nx", *words, *files],
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return ended.stdout


def test_directory_has_everything_and_is_for_its_owner_only(crash: Crasher) -> None:
    directory = crash("touches_nothing")
    assert {path.name for path in directory.iterdir()} == FILES
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert "CPU#0" in (directory / "registers.txt").read_text()
    assert "dev: edu" in (directory / "qtree.txt").read_text()
    assert "0x11e81234" in (directory / "pci-config.txt").read_text()
    devices = json.loads((directory / "devices.json").read_text())
    assert any("dma_mask" in properties for properties in devices.values())
    configuration = json.loads((directory / "configuration.json").read_text())
    assert "edu" in configuration["qemu"]
    assert configuration["versions"]["qemu"]


def test_report_has_the_line_and_the_objects(crash: Crasher) -> None:
    report = (crash("touches_nothing") / "report.txt").read_text()
    assert "*** BUG CHECK 0xD1 DRIVER_IRQL_NOT_LESS_OR_EQUAL" in report
    assert "edu.registers.read32(NOWHERE)" in report
    assert "!wdfinterrupt 0x" in report
    assert "    Interrupt Type: Message-based, Connected, Enabled\n" in report


def test_recorder_is_kept_whole(crash: Crasher) -> None:
    directory = crash("forgets")
    entries = json.loads((directory / "recorder.json").read_text())
    assert [each["event"] for each in entries if each["event"] in {"PRESENT", "ISR"}] == [
        "PRESENT",
        "ISR",
    ]
    assert len((directory / "recorder.txt").read_text().splitlines()) == len(entries)


def test_request_in_flight_is_with_its_queue(crash: Crasher) -> None:
    state = read_crash(crash("forgets")).state
    (request,) = [each for each in state["objects"] if each["type"] == "WDFREQUEST"]
    (queue,) = [each for each in state["objects"] if each["type"] == "WDFQUEUE"]
    assert queue["owned"] == [request["number"]]
    assert request["queue"] == queue["handle"]
    assert request["state"] == "Pending, owned by the driver"


@pytest.mark.skipif(gdb is None, reason="gdb is not installed")
def test_gdb_opens_the_guest_memory(crash: Crasher) -> None:
    found = read_with_gdb(crash("touches_nothing"), "print/x link_control.magic", "backtrace")
    assert f"= {lib.LINK_MAGIC:#x}" in found
    assert "trap (" in found


def test_qemu_that_dies_meanwhile_does_not_hide_the_bug_check(tmp_path: Path) -> None:
    report = CrashDirectory(tmp_path / "crash")

    class Killer(CrashDirectory):
        def __call__(self, system: System, failure: BaseException) -> None:
            os.kill(system.machine.pid, signal.SIGKILL)
            report(system, failure)

    with pytest.raises(BugCheck) as ended:
        run_planted(planted.BUGS["touches_nothing"], Killer(report.path))
    assert ended.value.code == 0xD1
    result = report.result
    assert result is not None
    assert set(result.missing) == NEED_QEMU
    assert set(result.written) == FILES - NEED_QEMU
    assert all("QEMU" in why or "QMP" in why for why in result.missing.values())
    assert "missing: " in str(result)
    assert "MISSING:  registers.txt: " in analyse(read_crash(report.path)).text()
    assert struct.pack("<I", lib.LINK_MAGIC) in (report.path / "memory.elf").read_bytes()
    if gdb is not None:
        found = read_with_gdb(report.path, "print/x link_control.magic")
        assert f"= {lib.LINK_MAGIC:#x}" in found


@contextmanager
def small_disk() -> Iterator[None]:
    """Limits the files of this process to 4 KiB, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_DISK, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_does_not_hide_the_bug_check(tmp_path: Path) -> None:
    class Full(CrashDirectory):
        def __call__(self, system: System, failure: BaseException) -> None:
            with small_disk():
                super().__call__(system, failure)

    report = Full(tmp_path / "crash")
    with pytest.raises(BugCheck) as ended:
        run_planted(planted.BUGS["touches_nothing"], report)
    assert ended.value.code == 0xD1
    assert report.result is not None
    assert report.result.missing["crash.json"] == "File too large"
    assert "recorder.txt" in report.result.written
    assert not list(report.path.glob("*.part"))
    contents = json.loads((report.path / "contents.json").read_text())
    assert contents["missing"]["crash.json"] == "File too large"


def test_directory_that_cannot_be_made_does_not_hide_the_bug_check(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    report = CrashDirectory(tmp_path / "file" / "crash")
    with pytest.raises(BugCheck):
        run_planted(planted.BUGS["waits"], report)
    assert str(report.result).startswith(f"nothing could be written to {report.path}: Not a dir")


def test_report_that_raises_does_not_hide_the_bug_check() -> None:
    class Broken(CrashDirectory):
        def __call__(self, system: System, failure: BaseException) -> None:
            raise ValueError("no report")

    with pytest.raises(BugCheck) as ended:
        run_planted(planted.BUGS["waits"], Broken(Path("nowhere")))
    assert ended.value.code == 0xB8


def kill_qemu(report: CrashDirectory) -> None:
    with System(SystemConfig(MACHINE, on_failure=report)) as system:
        os.kill(system.machine.pid, signal.SIGKILL)
        while True:
            with system.kernel.borrowed() as link:
                link.read32(0x1000)


def test_death_of_qemu_is_kept(tmp_path: Path) -> None:
    report = CrashDirectory(tmp_path / "crash")
    with pytest.raises(MachineDied):
        kill_qemu(report)
    analysis = analyse(read_crash(report.path))
    assert json.loads(analysis.json())["kind"] == "machine died"
    assert "was killed by SIGKILL" in analysis.text()


def test_run_without_a_failure_leaves_nothing(tmp_path: Path) -> None:
    report = CrashDirectory(tmp_path / "crash")
    run_planted(planted.Bug("none"), report)
    assert report.result is None
    assert not report.path.exists()


def test_machine_that_runs_goes_on_after_a_crash_is_written(tmp_path: Path) -> None:
    with System(SystemConfig(MACHINE)) as system:
        driver = system.load_driver(planted.entry_with(planted.Bug("none")))
        device = driver.add_device(system.pci.find(*planted.EDU))
        result = write_crash(tmp_path / "crash", system, AssertionError("4 is not 5"))
        assert set(result.written) == FILES
        assert planted.exercise(device) == ""
    assert json.loads(analyse(read_crash(tmp_path / "crash")).json())["kind"] == "error"


def test_violations_are_kept_with_the_machine_still_there(crash: Crasher) -> None:
    directory = crash("completes_twice")
    assert "CPU#0" in (directory / "registers.txt").read_text()
    assert "*** VERIFIER DoubleCompletion" in (directory / "report.txt").read_text()


def test_directory_is_new_or_empty(tmp_path: Path) -> None:
    CrashDirectory(tmp_path / "new").check()
    CrashDirectory(tmp_path).check()
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file", tmp_path / "no" / "parent"):
        with pytest.raises(ConfigurationError):
            CrashDirectory(path).check()
