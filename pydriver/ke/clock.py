# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The clock that timers go by: the host's, or one that a test steps.

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
"""Between two clock interrupts of Windows: 15.625 ms."""

UNIX_EPOCH: Final = 11_644_473_600 * TICKS_PER_SECOND
"""1 January 1970 as a system time."""


class Clock(ABC):
    """Tells the time, and waits for a time."""

    @abstractmethod
    def now(self) -> int:
        """Interrupt time, in units of 100 ns; never goes back."""

    @abstractmethod
    def system_time(self) -> int:
        """System time (UTC), in units of 100 ns since 1601."""

    @abstractmethod
    def attach(self, changed: Condition) -> None:
        """Tells the clock whose time it is: the condition that the timers' thread waits on."""

    @abstractmethod
    def wait(self, changed: Condition, deadline: int | None) -> None:
        """Waits until a time, or until there is another one to wait for.

        :param changed: held by the caller; notified when there is something new
        :param deadline: interrupt time; ``None``: only for ``changed``
        """


class MonotonicClock(Clock):
    """The host's clocks: monotonic for interrupt time, the wall's for system time."""

    def __init__(self) -> None:
        self._start = monotonic_ns()

    def now(self) -> int:
        """Time since the clock was made."""
        return (monotonic_ns() - self._start) // NS_PER_TICK

    def system_time(self) -> int:
        """The host's wall clock."""
        return time_ns() // NS_PER_TICK + UNIX_EPOCH

    def attach(self, changed: Condition) -> None:
        """Needs nothing: it goes on by itself."""

    def wait(self, changed: Condition, deadline: int | None) -> None:
        """Sleeps on the condition."""
        if deadline is None:
            changed.wait()
        else:
            changed.wait(max(0, deadline - self.now()) / TICKS_PER_SECOND)


class ManualClock(Clock):
    """A clock that stands still until a test calls :meth:`advance`.

    `_changed`, the condition of the timers' thread, guards all fields; `_idle` says that the
    thread has done what was due, and waits.

    :param system_time: at the start
    """

    def __init__(self, system_time: int = UNIX_EPOCH) -> None:
        self._now = 0
        self._epoch = system_time
        self._changed: Condition | None = None
        self._idle = False

    def now(self) -> int:
        """What was advanced so far."""
        return self._now

    def system_time(self) -> int:
        """The time at the start, and what was advanced so far."""
        return self._epoch + self._now

    def attach(self, changed: Condition) -> None:
        """From now on :meth:`advance` waits for the thread."""
        self._changed = changed

    def wait(self, changed: Condition, deadline: int | None) -> None:
        """Waits for the test."""
        if deadline is not None and deadline <= self._now:
            return
        self._idle = True
        changed.notify_all()
        changed.wait()
        self._idle = False

    def advance(self, ticks: int, timeout: float = 10.0) -> None:
        """Lets time go by; what is due then has been done (DPCs: queued) when this returns.

        :param ticks: units of 100 ns
        :param timeout: seconds that the timers' thread may need for it
        :raises TimeoutError: it needs longer
        """
        changed = self._changed
        assert changed is not None, "TimerQueue.use() was not called"
        with changed:
            self._now += ticks
            self._idle = False
            changed.notify_all()
            if not changed.wait_for(lambda: self._idle, timeout):
                raise TimeoutError("the timers' thread does not come to rest")


def timeout_ticks(clock: Clock, due_time: int) -> int:
    """How long from now: a time as timers and waits take it.

    :param due_time: in units of 100 ns; negative: relative; else absolute, since 1601
    :return: units of 100 ns, not negative
    """
    return -due_time if due_time < 0 else max(0, due_time - clock.system_time())
