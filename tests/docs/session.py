# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The session in which the blocks of a page are run: a copy of the project, in its own home.

The commands of a page share one folder, variables and background jobs, as in a reader's terminal.
`~/pydriver` is the copy; files that a page makes below /tmp go into the session's own folder.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile

from .blocks import PROJECT

__all__ = ("Session",)

TIMEOUT = 200
"""The limit in seconds: one of the commands links QEMU, others take less than ten."""
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "build", "__pycache__", "*.egg-info", ".*_cache", "*.lock"
)
OF_MAKE = ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS")
# A file keeps the shell's variables and its folder from one command to the next.
COMMAND = """\
[ -e "$PAGE_STATE" ] && . "$PAGE_STATE"
{command}
status=$?
{{ export -p; printf 'cd %q\\n' "$PWD"; }} >"$PAGE_STATE"
exit $status
"""
PYTHON = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='page')"


class Session:
    """A reader of a page, who follows its instructions.

    :param scratch: an empty folder
    """

    def __init__(self, scratch: Path) -> None:
        self.home = scratch / "home"
        self.project = self.home / "pydriver"
        self._tmp = scratch / "tmp"
        self._state = scratch / "state"
        self._outputs = scratch / "outputs"
        self._groups: list[int] = []
        self._tmp.mkdir(parents=True)
        self._outputs.mkdir()
        shutil.copytree(PROJECT, self.project, symlinks=True, ignore=NOT_COPIED)
        (self.project / ".venv").symlink_to(PROJECT / ".venv")
        # The stamp names the folder: make takes the linked environment as made for the copy.
        (self.project / ".make/venv").write_text(f"{self.project}\n", encoding="utf-8")
        self._environment = {k: v for k, v in os.environ.items() if k not in OF_MAKE} | {
            "HOME": str(self.home),
            "PAGE_STATE": str(self._state),
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")),
        }

    @property
    def folder(self) -> Path:
        """The folder in which the last command left the shell."""
        if not self._state.exists():
            return self.project
        last = self._state.read_text(encoding="utf-8").splitlines()[-1]
        return Path(last.removeprefix("cd "))

    def shell(
        self, command: str, typed: str = "", expected: Callable[[str], bool] | None = None
    ) -> tuple[int, str]:
        """Runs a command of the page.

        :param command: the command, for bash
        :param typed: its standard input
        :param expected: a function that returns whether a job that the command leaves in the
            background has printed the output that the reader waits for; ``None``: do not wait
        :return: its exit code and its output
        :raises subprocess.TimeoutExpired: it has not ended after 200 s
        """
        command = self._private(command)
        return self._run(["bash", "-c", COMMAND.format(command=command)], typed, expected)

    def python(self, script: Path) -> tuple[int, str]:
        """Runs a script of the page's blocks; its `__name__` is not `__main__`."""
        return self._run([sys.executable, "-c", PYTHON, str(script)])

    def write(self, name: str, text: str) -> Path:
        """Makes a file of the page, in the reader's current folder.

        :param name: the relative name of the file
        :param text: its text
        """
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._private(text), encoding="utf-8")
        return path

    def close(self) -> None:
        """Ends the jobs in the background."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def _private(self, text: str) -> str:
        return text.replace("/tmp/", f"{self._tmp}/")

    def _run(
        self,
        arguments: list[str],
        typed: str = "",
        expected: Callable[[str], bool] | None = None,
    ) -> tuple[int, str]:
        # A file instead of a pipe: a job in the background keeps a pipe open.
        with NamedTemporaryFile("w+", dir=self._outputs, delete=False) as output:
            process = subprocess.Popen(
                arguments,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
            )
            self._groups.append(process.pid)
            try:
                process.communicate(self._private(typed), timeout=TIMEOUT)
            except subprocess.TimeoutExpired as error:
                error.add_note(Path(output.name).read_text(encoding="utf-8", errors="replace"))
                raise
        end = time.monotonic() + TIMEOUT
        while True:
            printed = Path(output.name).read_text(encoding="utf-8", errors="replace")
            printed = printed.replace(f"{self._tmp}/", "/tmp/")
            # The growth of a file cannot be waited for.
            if expected is None or expected(printed) or time.monotonic() > end:
                return process.returncode, printed
            time.sleep(0.01)
