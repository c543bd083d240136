# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Progress on stderr: a bar for a person, a line now and then for a log."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from pydriver.cli.console import say
from pydriver.cli.report import format_size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

__all__ = ("Progress", "ProgressBar", "ProgressLines", "make_progress", "steps")

LINE_INTERVAL = 1.0


class Progress(Protocol):
    """A display of progress. ``interval`` is the time between two updates, in seconds."""

    interval: float

    def begin(self, what: str, total: int) -> None:
        """Begins a step.

        :param what: the title of the step
        :param total: bytes of the whole step; 0 if it is not measured in bytes
        """

    def show(self, done: int, *, stopped: bool) -> None:
        """Updates the display.

        :param done: bytes that are done
        :param stopped: whether the machine is stopped; a person may be at a prompt then
        """

    def end(self) -> None:
        """Leaves the terminal as it was. Idempotent."""


def make_progress() -> Progress:
    """A bar if stderr is a terminal, else lines."""
    return ProgressBar() if _on_terminal() else ProgressLines()


class ProgressLines:
    """A line at the beginning, and one a second."""

    interval = 0.1

    def __init__(self) -> None:
        self._total = 0
        self._due = 0.0

    def begin(self, what: str, total: int) -> None:
        """Prints the first line."""
        self._total = total
        self._due = monotonic() + LINE_INTERVAL
        say(what, error=True)

    def show(self, done: int, *, stopped: bool) -> None:
        """Prints a line if it is time."""
        now = monotonic()
        if self._total and now >= self._due:
            self._due = now + LINE_INTERVAL
            share = min(100, 100 * done // self._total)
            say(f"{share:3} %, {format_size(done)}", error=True)

    def end(self) -> None:
        """Nothing to do."""


class ProgressBar:
    """A bar with the throughput and the time that is left; it vanishes at the end."""

    interval = 0.05

    def __init__(self) -> None:
        self._bar: RichProgress | None = None

    def begin(self, what: str, total: int) -> None:
        """Shows the bar, if there is anything to show; the last one vanishes."""
        self.end()
        if not total:
            say(what, error=True)
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self._bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
        self._task = self._bar.add_task(what, total=total)
        say(what, error=True)
        self._bar.start()

    def show(self, done: int, *, stopped: bool) -> None:
        """Moves the bar, which leaves the terminal to a person while the machine is stopped."""
        if self._bar is not None and not stopped:
            self._bar.update(self._task, completed=done, refresh=True)

    def end(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextlib.contextmanager
def steps(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """Shows a bar while a block runs; one line if stderr is not a terminal.

    :param what: the text beside the bar
    :param total: the size of the whole, in any unit
    :return: a function to call with the size of the part that is done
    """
    if not _on_terminal():
        say(what, error=True)
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=max(1, total))
        yield lambda done: progress.update(task, completed=done)


def _on_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
