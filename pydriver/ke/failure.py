# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""How a system fails, and waits that end with it.

The first bug check, or the first error that ends the link, is kept in `failure`; every wait ends
with it, on whatever thread, and every later wait raises it at once.
"""

import contextlib
from collections.abc import Callable, Iterable
from threading import Lock
from time import perf_counter_ns
from typing import Any, NoReturn

from pydriver.errors import LinkStopped, MachineDied, PydriverError
from pydriver.ke.bugcheck import (
    REPORTED_EVENTS,
    BugCheck,
    BugCheckState,
    bug_check_name,
)
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.probes import Point, Probe
from pydriver.ke.processor import CurrentProcessor
from pydriver.place import Place, Stack, place_of_callback
from pydriver.trace import Event, Recorder
from pydriver.trace.recorder import NO_PROCESSOR

__all__ = ("FailStop",)

LOOK_INTERVAL = 0.05
"""Seconds between two looks at whether the system has failed, of who waits for a spin lock."""


class FailStop:
    """The part of the kernel that ends the system, and that waits.

    :param freeze: stops the machine and ends every wait on the link; called once, at a failure
    :param recorder: for the events
    :param probe: of a debugger, or ``None``
    :ivar current: what the calling thread runs on
    :ivar recorder: the last events
    :ivar record: appends one entry to the recorder
    :ivar failure: what ended the system, or ``None``
    :ivar describe: says in lines what state objects are in; set by the framework
    """

    def __init__(
        self, freeze: Callable[[], None], recorder: Recorder, probe: Probe | None = None
    ) -> None:
        self.probe = probe
        self.current = CurrentProcessor()
        self.recorder = recorder
        self.record = self.recorder.append
        self.failure: BaseException | None = None
        self.describe: Callable[[Iterable[object]], tuple[str, ...]] = lambda objects: ()
        self._freeze = freeze
        self._failing = Lock()
        # Locks held by their waiters' wish: whoever releases one wakes the waiter. A set's
        # add and discard are atomic.
        self._waiters: set[Lock] = set()

    def irql(self) -> int:
        """The calling thread's IRQL [KeGetCurrentIrql]."""
        processor = self.current.processor
        return PASSIVE_LEVEL if processor is None else int(processor.state.irql)

    # Waiting

    def wait(self, lock: Lock, timeout: float | None = None) -> bool:
        """Waits until somebody releases ``lock``, which the caller has acquired before.

        :param timeout: seconds; ``None`` waits for ever
        :return: ``False`` if the time is over
        :raises BugCheck: or what else ended the system
        """
        self._waiters.add(lock)
        try:
            if self.failure is None:
                done = lock.acquire(timeout=-1 if timeout is None else timeout)
        finally:
            self._waiters.discard(lock)
        if self.failure is not None:
            self.raise_failure()
        return done

    def spin(self, mutex: Lock) -> None:
        """Waits for the mutex of a spin lock, at a raised IRQL; ends if the system does."""
        while not mutex.acquire(timeout=LOOK_INTERVAL):
            if self.failure is not None:
                self.raise_failure()

    # Failing

    def raise_failure(self) -> NoReturn:
        """Raises what ended the system, on this thread too."""
        failure = self.failure
        if isinstance(failure, BugCheck):
            raise BugCheck(failure.state)
        if isinstance(failure, MachineDied):
            raise MachineDied(*failure.args) from failure
        raise LinkStopped(f"the system has ended: {failure}") from failure

    def fail(self, error: BaseException) -> bool:
        """Ends the system: wakes every waiter.

        :return: ``False`` if it had failed before; then nothing changes
        """
        with self._failing:
            if self.failure is not None:
                return False
            self.failure = error
        with contextlib.suppress(PydriverError):  # what failed first is what counts
            self._freeze()
        for lock in list(self._waiters):
            with contextlib.suppress(RuntimeError):  # it has just been released
                lock.release()
        return True

    def incident(
        self,
        rule: str,
        message: str,
        subject: object = None,
        error: BaseException | None = None,
        stack: Stack | None = None,
        returned: object = None,
        origin: Place | None = None,
    ) -> dict[str, Any]:
        """What is known about this moment: the fields of an :class:`Incident`.

        :param error: the exception behind it, whose traceback names the driver's line
        :param stack: of another thread, if it is about that one
        :param returned: the callback, if it has returned and is on no stack
        :param origin: the line in it that is to blame; without it, its first one
        """
        processor = self.current.processor
        try:
            irql = self.irql()
        except PydriverError:
            irql = PASSIVE_LEVEL
        involved = [subject]
        if returned is not None:
            place = origin or place_of_callback(returned)
            places: tuple[Place, ...] = () if place is None else (place,)
        else:
            if error is not None:
                stack = Stack.of_error(error)
            # An exception has left no call if it was raised by the call of what cannot be called.
            if stack is None or (error is not None and not stack.places):
                stack = Stack.current()
            places = stack.places
            involved += stack.objects
        return {
            "rule": rule,
            "message": message,
            "subject": "" if subject is None else str(subject),
            "callback": str(places[0]) if places else "",
            "processor": None if processor is None else processor.number,
            "irql": irql,
            "frames": places,
            "objects": self.describe(involved),
            "events": tuple(self.recorder.format(REPORTED_EVENTS)),
        }

    def bug_check(
        self,
        code: int,
        p1: int = 0,
        p2: int = 0,
        p3: int = 0,
        p4: int = 0,
        *,
        rule: str = "",
        message: str,
        subject: object = None,
        error: BaseException | None = None,
        stack: Stack | None = None,
        returned: object = None,
        origin: Place | None = None,
    ) -> NoReturn:
        """Stops the system [KeBugCheckEx].

        :param code: Windows' code
        :param p1: first of the four parameters
        :param rule: name of the rule that was broken
        :param message: what happened, one sentence
        :param subject: the object that it is about
        :param error: the Python exception behind it
        :param stack: of another thread, if it is about that one
        :param returned: see :meth:`incident`
        :param origin: see :meth:`incident`
        :raises BugCheck: always; the first one, if there was one before
        """
        if self.failure is not None:
            self.raise_failure()
        processor = self.current.processor
        number = NO_PROCESSOR if processor is None else processor.number
        try:
            irql = self.irql()
        except PydriverError:
            irql = PASSIVE_LEVEL
        self.record((perf_counter_ns(), Event.BUG_CHECK, number, irql, subject, f"0x{code:X}"))
        incident = self.incident(rule, message, subject, error, stack, returned, origin)
        if self.probe is not None:
            self.probe(Point.RULE, rule or bug_check_name(code), subject, code)
        bug_check = BugCheck(BugCheckState(code=code, parameters=(p1, p2, p3, p4), **incident))
        if not self.fail(bug_check):
            self.raise_failure()
        raise bug_check from error
