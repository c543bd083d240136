# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Stop and continue: breakpoints and steps, at the points of a system's probe.

A thread that must stop at a point stops the machine over QMP, reports the stop, and waits. Every
other thread of the framework is held at the next point that it reaches. Between two points a thread
is never interrupted.
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
"""Seconds between two checks of whether the system has ended."""


@dataclass(frozen=True)
class Stop:
    """A stop of the system: its reason and its place.

    :ivar reason: the reason, for people
    :ivar point: the point that was reached, or ``None`` if the system was stopped from outside
    :ivar thread: the name of the thread that reached it
    :ivar processor: the number of the processor that the thread runs on, or ``None``
    :ivar irql: the IRQL of the thread
    :ivar stack: the driver's frames of that thread, outermost first
    :ivar position: the position at which another run reaches the same point
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
    """A breakpoint.

    :ivar number: the number by which it is cleared
    :ivar point: the kind of point
    :ivar name: a shell pattern for the name of the callback, the DDI or the rule
    :ivar detail: a vector or an address, or ``None`` for any
    :ivar hits: the number of times it has stopped the system
    """

    number: int
    point: Point
    name: str = "*"
    detail: int | None = None
    hits: int = field(default=0, compare=False)

    def fits(self, point: Point, name: str, detail: int) -> bool:
        """Whether the breakpoint matches a point that was reached."""
        return (
            point is self.point
            and (self.detail is None or self.detail == detail)
            and (self.name == "*" or fnmatchcase(name, self.name))
        )

    def __str__(self) -> str:
        what = self.name if self.detail is None else f"{self.detail:#x}"
        return f"{self.number}: {self.point.value} {what}, hit {self.hits} times"


class Debugger:
    """The debugger of successive systems. Its :meth:`probe` belongs in their configurations.

    :ivar system: the system that is being debugged; see :meth:`attach`
    :ivar breakpoints: the breakpoints by number
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
        self._free: set[int] = set()  # threads that are never held: the user's own

    def attach(self, system: "System") -> None:
        """Switches to a system that has just been started. The breakpoints are kept."""
        with self._changed:
            self.system = system
            self._counts = Counts()
            self._stopped = self._step = None
            self._closed = False
            self._arm()

    # The driver's side

    def probe(self, point: Point, name: str, subject: object, detail: int) -> None:
        """Handles a point; called on the thread that reaches it."""
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

    # The user's side

    @contextlib.contextmanager
    def free(self) -> Iterator[None]:
        """Exempts the calling thread from being held inside the block: it is the user's."""
        ident = get_ident()
        self._free.add(ident)
        try:
            yield
        finally:
            self._free.discard(ident)

    @property
    def stopped(self) -> Stop | None:
        """The stop that the system is in, or ``None`` if it runs."""
        return self._stopped

    def stop(self, reason: str = "stopped") -> Stop:
        """Stops the system at once, between points."""
        with self._changed:
            if self._stopped is None:
                self._stop(Stop(reason))
            assert self._stopped is not None
            return self._stopped

    def resume(self) -> None:
        """Continues the system, if it is stopped."""
        with self._changed:
            if self._stopped is None:
                return
            self._stopped = None
            with contextlib.suppress(PydriverError):  # it has ended, which wakes all waiters
                self.system.machine.resume()
            self._changed.notify_all()

    def step(self, point: Point) -> None:
        """Continues the system up to the next point of a kind."""
        with self._changed:
            self._step = point
            self._arm()
        self.resume()

    @property
    def counts(self) -> Counts:
        """The number of times that each point has been reached in this system."""
        with self._counting:
            return self._counts.copy()

    def seek(self, position: Position | None) -> None:
        """Stops the system at a position; until then breakpoints are ignored.

        :param position: the position, or ``None`` to cancel an earlier call
        """
        with self._changed:
            self._goal = position
            self._arm()

    def wait(self, timeout: float | None = None, until: Callable[[], bool] = bool) -> Stop | None:
        """Waits until the system is stopped.

        :param timeout: the longest time to wait in seconds; ``None`` waits for ever
        :param until: a function that ends the wait when it returns true
        :return: the stop, or ``None`` if the system still runs or has ended
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

        :raises KeyError: no breakpoint has that number
        """
        with self._changed:
            del self.breakpoints[number]
            self._arm()

    def close(self) -> None:
        """Continues all threads, and stops none from now on. Idempotent."""
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
