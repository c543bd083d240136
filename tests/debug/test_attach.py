# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Other terminals: `pydriver attach`, QEMU's tools, drgn and gdb at a system under load."""

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest
from pydriver.abi._native import lib

from tests.cli.command import OFTEN, PROGRESS, Command, run

PROJECT = Path(__file__).resolve().parents[2]
GUEST = PROJECT / "pydriver/_build/guest.elf"
QMP_SHELL, QMP_TUI, DRGN = (
    Path(sys.executable).with_name(name) for name in ("qmp-shell", "qmp-tui", "drgn")
)


@dataclass
class Run:
    """A `pydriver run` under load, and its sockets."""

    command: Command
    debug: Path
    qmp: Path
    gdb: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment for tools that keep a history in the home directory."""
        return os.environ | {"HOME": str(self.qmp.parent)}


@pytest.fixture
def under_load(tmp_path: Path) -> Iterator[Run]:
    endless = tmp_path / "endless"
    with endless.open("wb") as file:
        file.truncate(64 << 30)
    debug, qmp, gdb = (tmp_path / name for name in ("debug", "qmp", "gdb"))
    options = ("--debug-socket", debug, "--qmp", qmp, "--gdb", gdb, "--cpus", "2")
    with Command("run", endless, "--block", "4K", *options, prelude=OFTEN) as command:
        command.wait_for_line(PROGRESS)
        yield Run(command, debug, qmp, gdb)
        command.signal(signal.SIGINT)
        result = command.finish()
        assert result.code == 130
    assert not any(each.exists() for each in (debug, qmp, gdb))


def test_attach_shows_a_system_under_load(under_load: Run) -> None:
    assert stat.S_IMODE(under_load.debug.stat().st_mode) == 0o600
    commands = ("wdfdriverinfo", "wdfdevicequeues", "irql", "bt", "dpcs", "wdflogdump 20", "pci")
    words = [word for command in commands for word in ("-c", command)]
    for _ in range(3):
        result = run("attach", under_load.debug, *words)
        assert result.code == 0, result.stdout
        assert "Default driver image name: mqdma" in result.stdout
        assert "Number of queues: 5" in result.stdout
        assert re.search(r"^ +1  \w+", result.stdout, re.MULTILINE)
        assert re.search(r"ISR +interrupt \d of mqdma", result.stdout)


def test_attach_is_read_only(under_load: Run) -> None:
    for line in ("regs", "go", "stop", "bp dpc", "inject 0x60"):
        result = run("attach", under_load.debug, "-c", line)
        assert result.code == 1
        assert "error: " in result.stdout


def test_attach_at_a_terminal(under_load: Run, tmp_path: Path) -> None:
    shell = pexpect.spawn(
        str(Path(sys.executable).with_name("pydriver")),
        ["attach", str(under_load.debug)],
        encoding="utf-8",
        timeout=30,
        dimensions=(50, 160),
        env={"PATH": "/usr/bin:/bin", "XDG_CACHE_HOME": str(tmp_path), "TERM": "dumb"},
    )
    shell.expect("pydriver>")
    shell.sendline("wdfdriverinfo")
    shell.expect("Default driver image name: mqdma")
    shell.expect("pydriver>")
    shell.sendline("irqll")
    shell.expect("there is no command 'irqll'; 'irql'")
    shell.expect("pydriver>")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus in {0, 1}


def test_qmp_shell_on_the_second_socket(under_load: Run) -> None:
    result = subprocess.run(
        [QMP_SHELL, under_load.qmp],
        input="query-status\nquery-cpus-fast\n",
        env=under_load.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert '"status": "running"' in result.stdout.replace("'", '"')
    assert result.stdout.count("cpu-index") == 2


def test_qmp_tui_on_the_second_socket(under_load: Run) -> None:
    screen = pexpect.spawn(
        str(QMP_TUI),
        [str(under_load.qmp)],
        encoding="utf-8",
        timeout=30,
        dimensions=(24, 100),
        env=under_load.environment,
    )
    screen.expect("└")
    for _ in range(30):  # it draws the present state when a key is pressed
        screen.send("x")
        if screen.expect([r"\[Connected ", pexpect.TIMEOUT], timeout=1) == 0:
            break
    else:
        pytest.fail("it does not connect")
    screen.close(force=True)


def test_drgn_reads_the_guest_by_the_second_socket(under_load: Run) -> None:
    code = """
prog.add_memory_segment(0, 64 << 20, lambda at, count, offset, physical: prog.read(at, count, True))
control = prog["link_control"]
print(hex(control.magic), control.processors.value_(), control.mailboxes[1].online.value_())
"""
    result = subprocess.run(
        [DRGN, "-q", "--qemu", under_load.qmp, "--extra-symbols", GUEST, "-e", code],
        env=under_load.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout == f"{lib.LINK_MAGIC:#x} 2 1\n", result.stderr


def test_gdb_stops_in_the_interrupt_entry_and_shows_the_frame(under_load: Run) -> None:
    commands = (
        "set pagination off",
        f"target remote {under_load.gdb}",
        "hbreak interrupt",
        "continue",
        "backtrace",
        "print *registers",
        "print registers->vector >= 0x2f",
        "delete",
        "detach",
    )
    result = subprocess.run(
        [
            *("gdb", "-batch", "-nx"),
            *(word for command in commands for word in ("-ex", command)),
            GUEST,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert re.search(r"#\d+ .*trap \(registers=0x", result.stdout), result.stdout + result.stderr
    assert "$2 = 1" in result.stdout
    assert run("attach", under_load.debug, "-c", "wdfcrashdump").stdout.endswith(
        "there is no bug check, and the verifier has found no broken rule\n"
    )


@pytest.mark.parametrize("path", ["nonesuch", ".", "/dev/null"])
def test_attach_to_nothing_is_refused(path: str) -> None:
    result = run("attach", path)
    assert result.code == 2
    assert "cannot attach to" in result.stderr


@pytest.mark.parametrize("option", ["--debug-socket", "--qmp", "--gdb"])
def test_socket_that_cannot_be_is_refused(option: str, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    result = run("run", "--idle", "0", option, taken)
    assert result.code == 2
    assert taken.read_text() == "mine"
