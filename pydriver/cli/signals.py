# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Signals that ask for an end, as something that the main thread can wait for.

A handler runs on the main thread between two of its steps, so it must not take a lock that the
main thread may hold, as that of a `threading.Event`. Releasing a plain lock is safe.
"""

import contextlib
import signal
from threading import Lock
from types import FrameType
from typing import Any, Self

__all__ = ("Signals",)

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """A context in which SIGINT, SIGTERM and SIGHUP are only remembered.

    :ivar received: the first of them, or ``None``
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._bell = Lock()
        self._bell.acquire()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in ENDING:
            # A shell starts a background job with SIGINT ignored, nohup one with SIGHUP. The
            # former is about the terminal's Ctrl-C; `kill -INT` must still work.
            if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def wake(self) -> None:
        """Ends :meth:`wait`, from any thread."""
        with contextlib.suppress(RuntimeError):  # it has been woken already
            self._bell.release()

    def wait(self, seconds: float) -> None:
        """Waits for a signal or for :meth:`wake`, on the main thread."""
        self._bell.acquire(timeout=seconds)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number)
        self.wake()
