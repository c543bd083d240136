# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""How far a run has got, on stderr: a bar for a person, a line now and then for a log."""

import sys
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from pydriver.cli.console import say
from pydriver.cli.report import format_size

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

__all__ = ("Bar", "Lines", "Progress", "make_progress")

LINE_INTERVAL = 1.0


class Progress(Protocol):
    """What shows how far it is. ``interval`` is how often it likes to be told, in seconds."""

    interval: float

    def begin(self, what: str, total: int) -> None:
        """Says what begins, and how many bytes there are to do."""

    def show(self, done: int, *, stopped: bool) -> None:
        """Says how many bytes are done.

        :param stopped: the machine is stopped; a person may be at a prompt
        """

    def end(self) -> None:
        """Leaves the terminal as it was. Idempotent."""


def make_progress() -> Progress:
    """A bar if stderr is a terminal, else lines."""
    return Bar() if sys.stderr is not None and sys.stderr.isatty() else Lines()


class Lines:
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


class Bar:
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
