# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Stopping a system and letting it go on: breakpoints and steps, at the points of its probe.

A thread that reaches a point at which it has to stop stops the machine over QMP, says so, and
waits. Every other thread of the framework is held where it comes to its next point. What a thread
does between two points it does to the end.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import count
from threading import Condition, Lock, get_ident
from typing import TYPE_CHECKING

from pydriver.debug.snapshots import Counts, Position
from pydriver.errors import PydriverError
from pydriver.ke.irql import irql_name
from pydriver.ke.probes import Point
from pydriver.place import Stack

if TYPE_CHECKING:
    from pydriver.system import System

__all__ = ("Breakpoint", "Debugger", "Stop")

LOOK = 0.05
"""Seconds between two looks at whether the system has ended."""


@dataclass(frozen=True)
class Stop:
    """Why and where the system is stopped.

    :ivar reason: for people
    :ivar point: that was reached, or ``None``: it was stopped from outside
    :ivar thread: name of the thread that reached it
    :ivar processor: that it runs on, or ``None``
    :ivar irql: at which
    :ivar stack: the driver's frames of that thread, outermost first
    :ivar position: by which a new run comes to the same point
    """

    reason: str
    point: Point | None = None
    thread: str = ""
    processor: int | None = None
    irql: int = 0
    stack: tuple[str, ...] = ()
    position: Position | None = None

    def __str__(self) -> str:
        if self.point is None:
            return self.reason
        where = "no processor" if self.processor is None else f"processor {self.processor}"
        stack = "".join(f"\n    {line}" for line in reversed(self.stack))
        return f"{self.reason}\n    on {where} at {irql_name(self.irql)}, {self.thread}{stack}"


@dataclass
class Breakpoint:
    """Where to stop.

    :ivar number: by which it is cleared
    :ivar point: of what kind
    :ivar name: shell pattern for what is reached: a callback, a DDI, a rule
    :ivar detail: vector or address, or ``None`` for any
    :ivar hits: how often it stopped the system
    """

    number: int
    point: Point
    name: str = "*"
    detail: int | None = None
    hits: int = field(default=0, compare=False)

    def fits(self, point: Point, name: str, detail: int) -> bool:
        """Whether to stop there."""
        return (
            point is self.point
            and (self.detail is None or self.detail == detail)
            and (self.name == "*" or fnmatchcase(name, self.name))
        )

    def __str__(self) -> str:
        what = self.name if self.detail is None else f"{self.detail:#x}"
        return f"{self.number}: {self.point.value} {what}, hit {self.hits} times"


class Debugger:
    """The debugger of one system after the other. Its :meth:`probe` goes into their configurations.

    :ivar system: that is debugged; see :meth:`attach`
    :ivar breakpoints: by number
    """

    system: "System"

    def __init__(self) -> None:
        self.breakpoints: dict[int, Breakpoint] = {}
        self._counts = Counts()
        self._counting = Lock()
        self._goal: Position | None = None
        self._numbers = count(1)
        self._changed = Condition()
        self._stopped: Stop | None = None
        self._step: Point | None = None
        self._armed = False
        self._closed = False
        self._free: set[int] = set()  # threads that are never held: the person's own

    def attach(self, system: "System") -> None:
        """Turns to a system that has just been started. The breakpoints stay."""
        with self._changed:
            self.system = system
            self._counts = Counts()
            self._stopped = self._step = None
            self._closed = False
            self._arm()

    # The driver's side

    def probe(self, point: Point, name: str, subject: object, detail: int) -> None:
        """Called at each point, on the thread that reaches it."""
        if self._closed or get_ident() in self._free:
            return
        with self._counting:
            self._counts[point, name] += 1
            ordinal = self._counts[point, name]
        if not self._armed:
            return
        with self._changed:
            self._wait_while_stopped()
            position = Position(point, name, ordinal)
            reason = "" if self._closed else self._reason(position, detail)
            if not reason:
                return
            about = f" ({subject})" if subject is not None else ""
            self._stop(self._describe(f"{reason}: {point.value} {name}{about}", position))
            self._wait_while_stopped()

    def _reason(self, position: Position, detail: int) -> str:
        point, name, _ = position
        if self._goal is not None:
            if self._goal != position:
                return ""
            self._goal = None
            return "restored"
        if self._step is point:
            self._step = None
            return "step"
        for each in self.breakpoints.values():
            if each.fits(point, name, detail):
                each.hits += 1
                return f"breakpoint {each.number}"
        return ""

    def _describe(self, reason: str, position: Position) -> Stop:
        kernel = self.system.kernel
        processor = kernel.current.processor
        stack = tuple(map(str, Stack.current().places))
        number = None if processor is None else processor.number
        name = threading.current_thread().name
        return Stop(reason, position.point, name, number, kernel.irql(), stack, position)

    def _wait_while_stopped(self) -> None:
        kernel = self.system.kernel
        while self._stopped is not None and not self._closed and kernel.failure is None:
            self._changed.wait(LOOK)

    # The person's side

    @contextlib.contextmanager
    def free(self) -> Iterator[None]:
        """The calling thread is never held in the block: it is the person's."""
        ident = get_ident()
        self._free.add(ident)
        try:
            yield
        finally:
            self._free.discard(ident)

    @property
    def stopped(self) -> Stop | None:
        """Why the system is stopped; ``None``: it runs."""
        return self._stopped

    def stop(self, reason: str = "stopped") -> Stop:
        """Stops the system, wherever it is."""
        with self._changed:
            if self._stopped is None:
                self._stop(Stop(reason))
            assert self._stopped is not None
            return self._stopped

    def resume(self) -> None:
        """Lets the system go on, if it is stopped."""
        with self._changed:
            if self._stopped is None:
                return
            self._stopped = None
            with contextlib.suppress(PydriverError):  # it has ended: its waiters are told by that
                self.system.machine.resume()
            self._changed.notify_all()

    def step(self, point: Point) -> None:
        """Lets the system go on to the next point of a kind."""
        with self._changed:
            self._step = point
            self._arm()
        self.resume()

    @property
    def counts(self) -> Counts:
        """How often each point has been reached in this system."""
        with self._counting:
            return self._counts.copy()

    def seek(self, position: Position | None) -> None:
        """Stops the system at a position; until then no breakpoint counts.

        :param position: it; ``None``: at none any more
        """
        with self._changed:
            self._goal = position
            self._arm()

    def wait(self, timeout: float | None = None, until: Callable[[], bool] = bool) -> Stop | None:
        """Waits until the system is stopped.

        :param timeout: seconds; ``None`` waits for ever
        :param until: ends the wait when it is true
        :return: ``None``: it still runs, or has ended
        """
        kernel = self.system.kernel
        with self._changed:
            remaining = timeout
            while self._stopped is None and kernel.failure is None and not until():
                if remaining is not None and remaining <= 0:
                    return None
                self._changed.wait(LOOK)
                if remaining is not None:
                    remaining -= LOOK
            return self._stopped

    def break_at(self, point: Point, name: str = "*", detail: int | None = None) -> Breakpoint:
        """Adds a breakpoint."""
        with self._changed:
            added = Breakpoint(next(self._numbers), point, name, detail)
            self.breakpoints[added.number] = added
            self._arm()
        return added

    def clear(self, number: int) -> None:
        """Removes a breakpoint.

        :raises KeyError: there is none of that number
        """
        with self._changed:
            del self.breakpoints[number]
            self._arm()

    def close(self) -> None:
        """Lets everything go on, and stops nothing any more. Idempotent."""
        self._closed = True
        self.resume()

    def _arm(self) -> None:
        self._armed = bool(
            self.breakpoints or self._step or self._stopped or self._goal is not None
        )

    def _stop(self, stop: Stop) -> None:
        self._stopped = stop
        self._armed = True
        self._step = None
        with contextlib.suppress(PydriverError):  # it has ended
            self.system.machine.stop()
        self._changed.notify_all()
