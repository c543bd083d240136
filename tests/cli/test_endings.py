# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""All endings of `pydriver run`: in time, with the right exit code, and without a trace."""

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pydriver.cli.main import pydriver

from .command import OFTEN, PROGRESS, TIMEOUT, Command, assert_error, names, run, until

AT_ONCE = 2.0
"""The time in which the command must end, in seconds."""


@pytest.fixture
def busy(endless: Path, tmp_path: Path) -> Iterator[Command]:
    """A run that has begun, with all the files that a run can have."""
    place = tmp_path / "place"
    place.mkdir()
    options = ("--output", place / "output", "--qmp", place / "qmp", "--json")
    with Command("run", endless, *options, prelude=OFTEN) as command:
        command.wait_for_line(PROGRESS)
        assert len(names(place)) == 2
        yield command
    assert names(place) == []


# Signals


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_a_signal_ends_a_run_at_once(busy: Command, number: signal.Signals, code: int) -> None:
    busy.signal(number)
    result = busy.finish()
    assert result.code == code
    assert result.seconds < AT_ONCE
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] in {
        "pydriver run: interrupted",
        "pydriver run: terminated",
        "pydriver run: terminated: the terminal is gone",
    }


@pytest.mark.parametrize("options", [(), ("--cpus", "4")], ids=["1-cpu", "4-cpus"])
def test_ctrl_c_while_the_system_starts(small: Path, options: tuple[str, ...]) -> None:
    with Command("run", small, *options) as command:
        assert command.qemu
        command.signal(signal.SIGINT)
        result = command.finish()
    assert result.code == 130
    assert result.seconds < AT_ONCE
    assert "Traceback" not in result.stderr


def test_ctrl_c_while_nothing_is_done() -> None:
    with Command("run", "--idle", "600") as command:
        command.wait_for_line("doing nothing")
        command.signal(signal.SIGINT)
        result = command.finish()
    assert result.code == 130
    assert result.seconds < AT_ONCE


def test_ctrl_c_reaches_a_command_that_a_script_started_in_the_background(endless: Path) -> None:
    # Such a command is started with SIGINT ignored.
    with Command("run", endless, prefix=("env", "--ignore-signal=INT")) as command:
        command.wait_for_line("streaming")
        command.signal(signal.SIGINT)
        assert command.finish().code == 130


def test_ctrl_c_ends_a_run_whose_qemu_hangs(busy: Command) -> None:
    os.kill(busy.qemu, signal.SIGSTOP)
    busy.signal(signal.SIGINT)
    result = busy.finish()
    assert result.code == 130
    assert result.seconds < AT_ONCE


# QEMU dies


def test_qemu_killed_in_mid_run(busy: Command) -> None:
    busy.signal(signal.SIGKILL, busy.qemu)
    result = busy.finish()
    assert result.seconds < AT_ONCE
    assert_error(result, 1, r"QEMU \(pid \d+\) was killed by SIGKILL")
    assert "SIGKILL" in json.loads(result.stdout)["verdict"]


def test_qemus_last_lines_are_shown(tmp_path: Path, endless: Path) -> None:
    binary = Path(os.environ.get("PYDRIVER_QEMU", "pydriver/_build/qemu-system-x86_64")).resolve()
    wrapper = tmp_path / "qemu"
    wrapper.write_text(f'#!/bin/sh\necho "these are my last words" >&2\nexec {binary} "$@"\n')
    wrapper.chmod(0o755)
    environment = {"PYDRIVER_QEMU": str(wrapper)}
    with Command("run", endless, environment=environment, prelude=OFTEN) as command:
        command.wait_for_line(PROGRESS)
        command.signal(signal.SIGKILL, command.qemu)
        result = command.finish()
    assert result.seconds < AT_ONCE
    assert_error(result, 1, "was killed by SIGKILL; its last lines:$")
    assert "these are my last words" in result.stderr
    assert result.stdout == ""


def test_a_person_quits_qemu(busy: Command, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as person:
        person.connect(str(tmp_path / "place" / "qmp"))
        person.sendall(b'{"execute": "qmp_capabilities"} {"execute": "quit"}')
        assert_error(busy.finish(), 1, "QEMU .* ended with status 0")


def test_a_qemu_that_does_not_start() -> None:
    result = run("run", "/bin/true", environment={"PYDRIVER_QEMU": "/bin/false"})
    assert_error(result, 1, r"QEMU \(pid \d+\) ended with status 1")


def test_a_controller_that_is_killed_takes_qemu_along(busy: Command, tmp_path: Path) -> None:
    busy.signal(signal.SIGKILL)
    busy.process.wait()
    until(lambda: busy.processes() == [], "QEMU to end")
    # Nothing would remove other files: only those that the command line names are left.
    for path in (tmp_path / "place").iterdir():
        path.unlink()


# Nothing is left in a process that continues


def traces() -> tuple[set[str], set[threading.Thread], list[str]]:
    """Descriptors, threads and children of this process."""
    descriptors = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            descriptors.add(f"{path.name} {path.readlink()}")
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split()
    return descriptors, set(threading.enumerate()), children


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--cpus", "4", "--interrupts", "msi"), 0),
        (("--fault", "hung"), 0),
        (("--fault", "removed"), 1),
        (("--qmp", "/nowhere/qmp"), 2),
    ],
    ids=["plain", "4-cpus", "hung", "removed", "usage"],
)
def test_a_process_that_goes_on_keeps_nothing(
    small: Path, tmp_path: Path, options: tuple[str, ...], code: int
) -> None:
    def call() -> int:
        output = ("--output", str(tmp_path / "output"))
        try:
            return pydriver.main(  # type: ignore[no-any-return]
                ["run", str(small), *output, *options], standalone_mode=False
            )
        except click.UsageError:
            return 2

    call()  # imports open files, and keep some of their objects
    (tmp_path / "output").unlink(missing_ok=True)
    before = traces()
    assert call() == code
    assert traces() == before
    assert names(tmp_path) == ([] if code else ["output"])


def test_a_process_that_goes_on_keeps_nothing_of_a_run_whose_qemu_died(endless: Path) -> None:
    def qemus() -> set[int]:
        found = set()
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(FileNotFoundError):  # the thread, or the child, has ended
                for child in (task / "children").read_text().split():
                    if "qemu" in Path(f"/proc/{child}/exe").readlink().name:
                        found.add(int(child))
        return found

    others = qemus()  # the QEMUs of other tests in this process

    def kill_qemu() -> None:
        def kill() -> bool:
            for pid in qemus() - others:
                os.kill(pid, signal.SIGKILL)
                return True
            return False

        until(kill, "QEMU to run", TIMEOUT)

    def call() -> None:
        killer = threading.Thread(target=kill_qemu)
        killer.start()
        assert pydriver.main(["run", str(endless)], standalone_mode=False) == 1
        killer.join()

    call()
    before = traces()
    call()
    assert traces() == before
