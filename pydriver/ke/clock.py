# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The clocks that timers use: the host's, or one that a test steps.

Times are in Windows' unit, 100 ns. Interrupt time counts from the start of the clock; system time
from 1 January 1601.
"""

from abc import ABC, abstractmethod
from threading import Condition
from time import monotonic_ns, time_ns
from typing import Final

__all__ = (
    "CLOCK_INTERVAL",
    "TICKS_PER_MS",
    "TICKS_PER_SECOND",
    "Clock",
    "ManualClock",
    "MonotonicClock",
    "timeout_ticks",
)

TICKS_PER_SECOND: Final = 10_000_000
TICKS_PER_MS: Final = 10_000
NS_PER_TICK: Final = 100

CLOCK_INTERVAL: Final = 156_250
"""Time between two clock interrupts of Windows, 15.625 ms."""

UNIX_EPOCH: Final = 11_644_473_600 * TICKS_PER_SECOND
"""1 January 1970 as a system time."""


class Clock(ABC):
    """Tells the time, and waits for a time."""

    @abstractmethod
    def now(self) -> int:
        """Returns the interrupt time in units of 100 ns; it never decreases."""

    @abstractmethod
    def system_time(self) -> int:
        """Returns the system time (UTC) in units of 100 ns since 1601."""

    @abstractmethod
    def attach(self, changed: Condition) -> None:
        """Gives the clock the condition that the timers' thread waits on."""

    @abstractmethod
    def wait(self, changed: Condition, deadline: int | None) -> None:
        """Waits until a time, or until the condition is notified because the time has changed.

        :param changed: the condition, which the caller holds
        :param deadline: an interrupt time, or ``None`` to wait only for ``changed``
        """


class MonotonicClock(Clock):
    """The host's clocks: monotonic for interrupt time, the wall's for system time."""

    def __init__(self) -> None:
        self._start = monotonic_ns()

    def now(self) -> int:
        """Returns the time since the clock was made."""
        return (monotonic_ns() - self._start) // NS_PER_TICK

    def system_time(self) -> int:
        """Returns the time of the host's wall clock."""
        return time_ns() // NS_PER_TICK + UNIX_EPOCH

    def attach(self, changed: Condition) -> None:
        """Does nothing, because the clock runs by itself."""

    def wait(self, changed: Condition, deadline: int | None) -> None:
        """Sleeps on the condition."""
        if deadline is None:
            changed.wait()
        else:
            changed.wait(max(0, deadline - self.now()) / TICKS_PER_SECOND)


class ManualClock(Clock):
    """A clock that stands still until a test calls :meth:`advance`.

    `_changed`, the condition of the timers' thread, guards all fields; `_idle` is true when the
    thread has done all that was due and waits.

    :param system_time: the system time at the start
    """

    def __init__(self, system_time: int = UNIX_EPOCH) -> None:
        self._now = 0
        self._epoch = system_time
        self._changed: Condition | None = None
        self._idle = False

    def now(self) -> int:
        """Returns the sum of all advances so far."""
        return self._now

    def system_time(self) -> int:
        """Returns the system time at the start plus all advances so far."""
        return self._epoch + self._now

    def attach(self, changed: Condition) -> None:
        """Makes :meth:`advance` wait for the thread from now on."""
        self._changed = changed

    def wait(self, changed: Condition, deadline: int | None) -> None:
        """Waits until the test advances the clock."""
        if deadline is not None and deadline <= self._now:
            return
        self._idle = True
        changed.notify_all()
        changed.wait()
        self._idle = False

    def advance(self, ticks: int, timeout: float = 10.0) -> None:
        """Advances the time; all that is due has been done, or queued as DPC, on return.

        :param ticks: the time to advance by, in units of 100 ns
        :param timeout: the longest time in seconds that the timers' thread may need
        :raises TimeoutError: the thread needs longer
        """
        changed = self._changed
        assert changed is not None, "TimerQueue.use() was not called"
        with changed:
            self._now += ticks
            self._idle = False
            changed.notify_all()
            if not changed.wait_for(lambda: self._idle, timeout):
                raise TimeoutError(f"the timers' thread has not finished within {timeout} s")


def timeout_ticks(clock: Clock, due_time: int) -> int:
    """Converts a time, as timers and waits take it, to the time from now.

    :param due_time: the time in units of 100 ns; relative if negative, else absolute, since 1601
    :return: the time from now in units of 100 ns, not negative
    """
    return -due_time if due_time < 0 else max(0, due_time - clock.system_time())
