# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`--trace`: a run is captured, and becomes a file when it has ended, however it has."""

from pathlib import Path
from time import strftime
from typing import Self

from pydriver.cli.console import say
from pydriver.cli.output import OutputFile
from pydriver.cli.steps import steps
from pydriver.trace import Capture

__all__ = ("Tracing",)


class Tracing:
    """The trace of one run, if there shall be one. Leaving its block discards what is unfinished.

    :param path: of the file, or ``None``
    :param command: that is run, for its messages
    :raises click.UsageError: it cannot be written there
    :ivar capture: for the system
    """

    def __init__(self, path: Path | None, command: str) -> None:
        self._path = path
        self._command = command
        self._output = None if path is None else OutputFile(path)
        self.capture = None if path is None else Capture()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._output is not None:
            self._output.discard()

    def write(self) -> int:
        """Writes what was captured; the file appears only if all of it is there.

        :return: exit code: 0, or 1 if it could not be written
        """
        if self._output is None or self.capture is None:
            return 0
        from pydriver.timeline.assemble import assemble
        from pydriver.timeline.perfetto import write_trace

        with steps(f"assembling {len(self.capture)} entries", len(self.capture)) as advance:
            timeline = assemble(self.capture, advance)
        timeline.about["recorded"] = strftime("%Y-%m-%d %H:%M:%S")
        count = len(timeline.slices)
        try:
            with steps(f"writing {self._path}", count) as advance:
                write_trace(timeline, _Stream(self._output), advance)
            self._output.commit()
        except OSError as error:
            say(f"{self._command}: error: cannot write {self._path}: {error.strerror}", error=True)
            return 1
        say(f"trace: {self._path}, {count} events", error=True)
        if self.capture.full:
            say("trace: the run was longer than what is kept; it begins later", error=True)
        return 0


class _Stream:
    """An output file, written from its beginning to its end."""

    def __init__(self, output: OutputFile) -> None:
        self._output = output
        self._offset = 0

    def write(self, data: bytes, /) -> None:
        """Writes all of the data."""
        self._output.write(memoryview(data), self._offset)
        self._offset += len(data)
