# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A progress display for long builds: one live line on a terminal, else a few plain lines."""

import shutil
import sys
import time
from typing import TextIO

#: Without a terminal, seconds between two lines.
_PLAIN_SECONDS = 15.0
#: On a terminal, the least seconds between two updates.
_LIVE_SECONDS = 0.1


def _clock(seconds: float) -> str:
    """Write a duration as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Progress:
    """Shows the current step of a build and how much is done.

    ``title`` stands before each line; the lines go to ``stream`` (standard error by default).
    """

    def __init__(self, title: str, stream: TextIO | None = None) -> None:
        self._title = title
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._drawn = False
        self._last = 0.0
        self._started = time.monotonic()
        self._first: tuple[int, float] | None = None

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._erase()
        print(f"{self._title}: {text}", file=self._stream, flush=True)
        self._last = time.monotonic()

    def update(self, done: int, total: int, what: str = "") -> None:
        """Show that ``done`` of ``total`` steps are done and that ``what`` is being made."""
        now = time.monotonic()
        if self._first is None or done < self._first[0]:
            self._first = (done, now)
        if now - self._last < (_LIVE_SECONDS if self._live else _PLAIN_SECONDS):
            return
        self._last = now
        first_done, first_time = self._first
        left = ""
        if done > first_done:
            seconds = (now - first_time) / (done - first_done) * (total - done)
            left = f", about {_clock(seconds)} left"
        text = f"{done * 100 // total:3d}% ({done}/{total}), {_clock(now - self._started)}{left}"
        if not self._live:
            print(f"{self._title}: {text}", file=self._stream, flush=True)
            return
        width = shutil.get_terminal_size().columns
        bar_width = 24
        filled = bar_width * done // total
        bar = "#" * filled + "." * (bar_width - filled)
        line = f"{self._title}: [{bar}] {text}  {what}"
        self._stream.write("\r\x1b[K" + line[: width - 1])
        self._stream.flush()
        self._drawn = True

    def close(self) -> None:
        """Remove the live line."""
        self._erase()

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._drawn = False
