# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Run the commands of a build, and keep their output in case one fails."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO, NoReturn

#: Lines of the log that are shown when a step fails.
LOG_TAIL = 30

#: ninja's report of a step that succeeded: the steps done, the steps in total, and the step.
NINJA_STEP = re.compile(r"\[(\d+)/(\d+)\] (.*)")


class BuildError(Exception):
    """The build cannot go on. The message says what failed and where the log is."""


class Log:
    """Runs commands, keeps their output in one file, and shows the end of it when one fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = path.open("w", encoding="utf-8")

    def run(
        self,
        command: list[str],
        directory: Path,
        environment: dict[str, str] | None = None,
        *,
        on_line: Callable[[str], None] | None = None,
        inherit: tuple[int, ...] = (),
    ) -> None:
        """Run ``command`` in ``directory``; raise `BuildError` when it fails.

        ``on_line`` is called with each line of output; the command inherits the descriptors in
        ``inherit``.
        """
        print(f"$ cd {directory} && {shlex.join(command)}", file=self._file, flush=True)
        try:
            process = subprocess.Popen(
                command,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=inherit,
            )
        except OSError as error:
            raise BuildError(f"cannot run {command[0]}: {error.strerror}") from error
        assert process.stdout is not None
        try:
            for line in process.stdout:
                self._file.write(line)
                if on_line:
                    on_line(line.rstrip("\n"))
            code = process.wait()
        except BaseException:
            # On SIGTERM, ninja stops its compilers and removes their unfinished files.
            process.terminate()
            process.wait()
            raise
        finally:
            self._file.flush()
        if code:
            self.fail(f"{Path(command[0]).name} {command[1]} ended with code {code}")

    def fail(self, text: str) -> NoReturn:
        """Raise a `BuildError` with ``text`` and the end of the log."""
        self._file.flush()
        lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        # Reports of other compilers that finished in the meantime would hide the failure.
        telling = [line for line in lines if not NINJA_STEP.match(line)]
        quoted = "\n".join(f"  | {line[:200]}" for line in telling[-LOG_TAIL:])
        raise BuildError(f"{text}\n{quoted}\n  the whole log: {self.path}")
