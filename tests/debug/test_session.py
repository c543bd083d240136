# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver debug` with a user: the IPython shell on a terminal, and the guide's example."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

PROJECT = Path(__file__).resolve().parents[2]
GUIDE = PROJECT / "docs/how-to/debugging.md"
FORGETFUL = PROJECT / "examples/forgetful.py"
PYDRIVER = Path(sys.executable).with_name("pydriver")
PROMPT = r"In \[\d+\]: "
TIMEOUT = 30


def start(cache: Path, *arguments: str) -> "pexpect.spawn[str]":
    shell = pexpect.spawn(
        str(PYDRIVER),
        ["debug", *arguments],
        encoding="utf-8",
        timeout=TIMEOUT,
        dimensions=(60, 160),
        cwd=str(PROJECT),
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(cache / "home"),
            "XDG_CACHE_HOME": str(cache),
            "TERM": "dumb",
        },
    )
    shell.expect(PROMPT)
    return shell


def leave(shell: "pexpect.spawn[str]") -> None:
    """Leaves the shell, which must end without an error."""
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.close()
    assert shell.exitstatus == 0


@pytest.fixture
def shell(tmp_path: Path) -> Iterator["pexpect.spawn[str]"]:
    shell = start(tmp_path, "--device", "edu", "--driver", "examples/forgetful.py")
    yield shell
    leave(shell)


def plain(text: str) -> str:
    """Removes a terminal's control sequences from a text."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", text)


def tell(shell: "pexpect.spawn[str]", line: str) -> str:
    """Types a command; returns its output."""
    shell.sendline(line)
    shell.expect(PROMPT)
    assert shell.before is not None
    return plain(shell.before).partition("\n")[2].strip("\n")


def line_of(text: str) -> int:
    """The number of the driver's line that begins with a text."""
    lines = FORGETFUL.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith(text))


def normalised(text: str) -> str:
    """A text without the parts that differ from run to run: times, an address, and the presenter.

    The application's thread presents its request, unless the DPC that completes the request before
    is still in the queue: then that DPC does.
    """
    text = re.sub(r" *[+-]\d+\.\d us", " TIME us", re.sub(r"\d\.\d s$", "TIME s", text))
    text = re.sub(r"TIME us +\S+ +(\d+ bytes +PRESENT)", r"TIME us  WHERE  \1", text)
    return re.sub(r"!irp 0x\w+", "!irp IRP", text)


def test_forgotten_request_is_found_in_five_commands(shell: "pexpect.spawn[str]") -> None:
    said = tell(shell, "go 1")
    assert "still runs after" in said
    queues = tell(shell, "wdfdevicequeues")
    assert "Number of driver owned requests: 1" in queues
    found = re.search(r"!(wdfrequest 0x[0-9a-f]+): request 3 ", queues)
    assert found
    request = tell(shell, f"!{found[1]}")
    assert "State: Pending, owned by the driver" in request
    assert re.search(r"!wdfqueue 0x[0-9a-f]+: queue 0 of forgetful", request)
    assert re.search(r"PRESENT.*\n.* ISR .*\n.* DPC +interrupt 0 of forgetful", request)
    assert "COMPLETE" not in request
    interrupt = tell(shell, "wdfinterrupt")
    assert f"EvtInterruptDpc: dpc (forgetful.py:{line_of('def dpc(')})" in interrupt


def test_guide_shows_this_session(shell: "pexpect.spawn[str]") -> None:
    example = GUIDE.read_text().split("<!-- session -->")[1].split("```")[1]
    parts = re.split(r"^In \[\d+\]: ", example.partition("\n")[2], flags=re.MULTILINE)
    commands = [part.partition("\n") for part in parts[1:]]
    assert 4 <= len(commands) <= 5
    for command, _, expected in commands:
        said = tell(shell, command)
        assert normalised(said).split("\n") == normalised(expected.strip("\n")).split("\n")


def test_shell_completes_and_is_python(shell: "pexpect.spawn[str]") -> None:
    assert tell(shell, "device.pnp_state.name").endswith("'STARTED'")
    assert "wdfdevicequeues" in tell(shell, "get_ipython().complete('wdfdeviceq')[1]")
    assert "pnp_state" in tell(shell, "get_ipython().complete('device.pnp_s')[1]")
    assert "error: 0x9999 is neither a handle nor the name of an object" in tell(
        shell, "wdfqueue 0x9999"
    )


def test_ctrl_c_stops_the_system_and_go_goes_on(shell: "pexpect.spawn[str]") -> None:
    tell(shell, "wait = debugger.wait")
    tell(shell, "debugger.wait = lambda *each: (print('it', 'waits', flush=True), wait(*each))[1]")
    shell.sendline("go")  # the application waits forever for the request that was forgotten
    shell.expect("it waits")
    shell.sendintr()
    shell.expect("stopped by Ctrl-C")
    shell.expect(PROMPT)
    assert "'paused'" in tell(shell, "machine.qmp('query-status')['status']")
    assert "still runs" in tell(shell, "go 0.2")
    assert "'running'" in tell(shell, "machine.qmp('query-status')['status']")


def test_history_is_kept_in_the_cache_and_nowhere_else(tmp_path: Path) -> None:
    for _ in range(2):
        shell = start(tmp_path, "--device", "edu", "--driver", "edu")
        tell(shell, "wdfdriverinfo")
        leave(shell)
    assert (tmp_path / "pydriver/history.sqlite").is_file()
    assert not (tmp_path / "home").exists()
