# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`--trace`: a run is captured, and written to a file when it has ended, even if it failed."""

from pathlib import Path
from time import strftime
from typing import TYPE_CHECKING, Self

import click

from pydriver.cli.console import say
from pydriver.cli.files import OutputFile
from pydriver.cli.options import path_option
from pydriver.cli.progress import steps

if TYPE_CHECKING:
    from pydriver.trace import Capture

__all__ = ("Tracing", "trace_option")


def _tracing(ctx: click.Context, param: click.Parameter, path: Path | None) -> "Tracing | None":
    return None if path is None else Tracing(path)


trace_option = path_option(
    "--trace",
    "FILE",
    "Write a Perfetto trace of the run: for ui.perfetto.dev, and for `pydriver timeline`.",
    callback=_tracing,
)


class Tracing:
    """The trace of one run. Leaving its block discards what is unfinished.

    :param path: the file to write
    :ivar path: the file to write
    :ivar capture: the recorder for the system, in the block
    """

    capture: "Capture"

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        """Opens the file.

        :raises click.UsageError: it cannot be written
        """
        from pydriver.trace import Capture

        self._output = OutputFile(self.path)
        self.capture = Capture()
        return self

    def __exit__(self, *_: object) -> None:
        self._output.discard()

    def write(self, command: str) -> int:
        """Writes the capture to the file, which appears only if all of it is there.

        :param command: the command's name, for messages
        :return: exit code: 0, or 1 if the file could not be written
        """
        from pydriver.timeline.assemble import assemble
        from pydriver.timeline.perfetto import write_trace

        with steps(f"assembling {len(self.capture)} entries", len(self.capture)) as advance:
            timeline = assemble(self.capture, advance)
        timeline.about["recorded"] = strftime("%Y-%m-%d %H:%M:%S")
        count = len(timeline.slices)
        try:
            with steps(f"writing {self.path}", count) as advance:
                write_trace(timeline, _Stream(self._output), advance)
            self._output.commit()
        except OSError as error:
            say(f"{command}: error: cannot write {self.path}: {error.strerror}", error=True)
            return 1
        say(f"trace: {self.path}, {count} events", error=True)
        if self.capture.full:
            say("trace: the run was too long to keep all of it: the trace begins later", error=True)
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
