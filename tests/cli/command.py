# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The `pydriver` command as a process, and the traces that it may leave behind."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Self

PYDRIVER = Path(sys.executable).with_name("pydriver")
MARK = "PYDRIVER_TEST_MARK"
TIMEOUT = 40.0
"""The time limit in seconds, far more than is needed, as the machine may be loaded."""

PROGRESS = "%"
"""A text in every line of progress, and in no other line."""

OFTEN = "import pydriver.cli.progress as p; p.LINE_INTERVAL = 0.1"
"""A prelude that makes lines of progress more frequent than one a second."""


@dataclass(frozen=True)
class Result:
    """The end of a command.

    :ivar seconds: the time to the end, from the last signal or kill, or else from the start
    """

    code: int
    stdout: str
    stderr: str
    seconds: float


class Command:
    """A running command; leaving the context kills all of it.

    :param arguments: the arguments of `pydriver`
    :param prefix: a command that executes it
    :param prelude: Python code to run first, in the same interpreter
    :param environment: variables to add to this process's environment
    """

    def __init__(
        self,
        *arguments: str | Path,
        prefix: Sequence[str] = (),
        prelude: str = "",
        environment: dict[str, str] | None = None,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> None:
        self._mark = uuid.uuid4().hex
        program = [str(PYDRIVER)]
        if prelude:
            main = "import sys; from pydriver.cli.main import main; sys.exit(main())"
            program = [sys.executable, "-c", f"{prelude}\n{main}"]
        self._since = time.monotonic()
        self.process = subprocess.Popen(
            [*prefix, *program, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            text=True,
            env={**os.environ, **(environment or {}), MARK: self._mark},
        )
        self.pid = self.process.pid
        self._lines: Queue[str] = Queue()
        self._stderr: list[str] = []
        self._stdout = ""
        self._readers = [
            threading.Thread(target=read) for read in (self._read_stdout, self._read_stderr)
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def _read_stdout(self) -> None:
        if self.process.stdout is not None:
            self._stdout = self.process.stdout.read()

    def _read_stderr(self) -> None:
        for line in self.process.stderr or ():
            self._stderr.append(line)
            self._lines.put(line)

    def processes(self) -> list[int]:
        """All processes that descend from the command, whatever their parent is now."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(") ")[2][0]
            except OSError:
                continue
            if f"{MARK}={self._mark}".encode() in environment.split(b"\0") and state != "Z":
                found.append(int(entry.name))
        return found

    @property
    def qemu(self) -> int:
        """The process id of QEMU, as soon as it runs."""
        found: list[int] = []

        def running() -> bool:
            for pid in self.processes():
                if "qemu" in Path(f"/proc/{pid}/exe").readlink().name:
                    found.append(pid)
            return bool(found)

        until(running, "QEMU to run")
        return found[0]

    def wait_for_line(self, text: str) -> str:
        """Waits for a line with this text on stderr, from where the last wait ended."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except Empty:
                raise AssertionError(f"no {text!r} in:\n{''.join(self._stderr)}") from None
            if text in line:
                return line

    def signal(self, number: signal.Signals, pid: int | None = None) -> None:
        """Sends a signal to the command, or to another process of it."""
        self._since = time.monotonic()
        os.kill(self.pid if pid is None else pid, number)

    def finish(self, timeout: float = TIMEOUT) -> Result:
        """Waits for the end, when no process of the command may still run."""
        code = self.process.wait(timeout)
        seconds = time.monotonic() - self._since
        assert self.processes() == []
        for reader in self._readers:
            reader.join(TIMEOUT)
        return Result(code, self._stdout, "".join(self._stderr), seconds)


def assert_error(result: Result, code: int, text: str) -> None:
    """The last line on stderr is the error, whatever is before it."""
    assert result.code == code, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    errors = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert re.search(text, errors[0]), errors[0]


def names(folder: Path) -> list[str]:
    """The names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def run(*arguments: str | Path, **options: object) -> Result:
    """Runs a command to its end."""
    with Command(*arguments, **options) as command:  # type: ignore[arg-type]
        return command.finish()


def until(condition: Callable[[], bool], what: str, timeout: float = TIMEOUT) -> None:
    """Polls until a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.005)
