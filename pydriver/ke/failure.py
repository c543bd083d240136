# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The failure of a system, and waits that end with it.

The first bug check, or the first error that ends the link, is kept in `failure`. It ends every
wait, on any thread, and every later wait raises it at once.
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
"""Seconds between two checks for a failure of the system while waiting for a spin lock."""


class FailStop:
    """The part of the kernel that ends the system, and that waits.

    :param freeze: the function that stops the machine and ends every wait on the link; called once,
        at a failure
    :param recorder: the recorder for events
    :param probe: a debugger's probe, or ``None``
    :ivar current: the processor that the calling thread runs on, and other state of the thread
    :ivar recorder: the recorder, with the last events
    :ivar record: the function that appends one entry to the recorder
    :ivar failure: the error that ended the system, or ``None``
    :ivar describe: the function that describes the state of objects in lines; set by the framework
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
        # Locks that waiters have acquired in order to wait: releasing one wakes its waiter. The
        # add and discard of a set are atomic.
        self._waiters: set[Lock] = set()

    def irql(self) -> int:
        """The calling thread's IRQL [KeGetCurrentIrql]."""
        processor = self.current.processor
        return PASSIVE_LEVEL if processor is None else int(processor.state.irql)

    # Waiting

    def wait(self, lock: Lock, timeout: float | None = None) -> bool:
        """Waits until another thread releases ``lock``, which the caller has acquired before.

        :param timeout: the longest time to wait in seconds; ``None`` waits for ever
        :return: ``False`` if the time is over
        :raises BugCheck: the system has ended; another error if that is what ended it
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
        """Raises, on this thread too, the error that ended the system."""
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
        with contextlib.suppress(PydriverError):  # the first failure counts
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
        """Collects the facts about this moment: the fields of an :class:`Incident`.

        :param error: the exception behind it, whose traceback names the driver's line
        :param stack: the stack of the thread concerned, if that is another one
        :param returned: the callback, if it has returned and so is not on a stack
        :param origin: the line in the callback that is to blame; its first line if omitted
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
            # An exception has left no call if it was raised because the object is not callable.
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

        :param code: the bug check code of Windows
        :param p1: the first of the four parameters
        :param rule: the name of the rule that was broken
        :param message: the event, in one sentence
        :param subject: the object concerned
        :param error: the Python exception behind it
        :param stack: the stack of the thread concerned, if that is another one
        :param returned: see :meth:`incident`
        :param origin: see :meth:`incident`
        :raises BugCheck: always; if there was one before, that one
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
