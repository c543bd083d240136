# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The watchdogs: DPCs and ISRs that do not end, and PnP and power callbacks that do not return.

One thread checks at intervals, which costs the interrupt path nothing. A processor is stuck if it
has been at or above DISPATCH_LEVEL at each check within the time-out, and in all that time has
neither returned from its outermost interrupt nor been given back (`link_cpu.quiescent`).
"""

import contextlib
import ctypes
from dataclasses import dataclass
from threading import Event, Lock, Thread, get_ident
from time import monotonic
from typing import TYPE_CHECKING

from pydriver.errors import LinkStopped, PydriverError
from pydriver.ke.bugcheck import (
    DPC_WATCHDOG_VIOLATION,
    DRIVER_POWER_STATE_FAILURE,
    BugCheck,
)
from pydriver.ke.clock import CLOCK_INTERVAL, TICKS_PER_SECOND
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.place import Call, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydriver.ke.borrowing import Borrowing
    from pydriver.ke.failure import FailStop
    from pydriver.ke.processor import Processor

__all__ = ("JOIN_TIMEOUT", "Watchdog", "abandon")

LOOKS = 8
"""Number of checks in a time-out."""

TOGETHER = 6
"""Number of time-outs that several ISRs and DPCs together may take, as in Windows:
[DpcWatchdogPeriod] divided by [DpcTimeout]."""

LONGEST_INTERVAL = 2.5
"""Seconds between two checks, at most."""

JOIN_TIMEOUT = 2.0
"""Seconds that a thread has to end."""

ABANDON_INTERVAL = 0.05
ABANDON_TRIES = 20
"""Interval in seconds, and number, of the attempts to make a thread leave a driver's code."""

BLOCKED_TOO_LONG = 3
"""Parameter 1 of 0x9F: a device has been blocking a power IRP for too long [Bug Check 0x9F]."""

CLOCK_INTERRUPTS = TICKS_PER_SECOND / CLOCK_INTERVAL
"""Number of clock interrupts in a second; 0x133 counts time in them."""


@dataclass
class _Stay:
    """A processor at or above DISPATCH_LEVEL.

    :ivar quiescent: the processor's count of that name when the stay was first seen
    :ivar since: the time at which the stay was first seen
    :ivar returned: the number of ISRs and DPCs that had returned at the last check
    :ivar alone_since: the time since which none has returned
    """

    quiescent: int
    since: float
    returned: int
    alone_since: float


@dataclass
class _Call:
    """A callback at PASSIVE_LEVEL with a time limit."""

    what: str
    subject: object
    deadline: float
    rule: str


class Watchdog:
    """The watchdogs of a system.

    :param kernel: the kernel that it stops
    :param dpc_timeout: the limit in seconds for an ISR or a DPC
    :param power_timeout: the limit in seconds for a PnP or power callback
    """

    def __init__(self, kernel: "Borrowing", dpc_timeout: float, power_timeout: float) -> None:
        self._kernel = kernel
        self._dpc_timeout = dpc_timeout
        self._power_timeout = power_timeout
        self._stays: dict[int, _Stay] = {}
        self._calls: dict[int, _Call] = {}
        self._end = Event()
        self._holders: set[object] = set()
        self._held_since = 0.0
        self._guard = Lock()  # guards the two, and the limits that a hold moves
        self._thread = Thread(target=self._run, name="pydriver-watchdog", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._end.set()
        if self._thread.ident is not None and self._thread.ident != get_ident():
            self._thread.join(JOIN_TIMEOUT)

    @contextlib.contextmanager
    def limit(self, what: str, subject: object, rule: str = "") -> "Iterator[None]":
        """Limits the time of a PnP or power callback that the block calls, or of its wait.

        :param what: the name of the callback or wait, for the report
        :param subject: the device
        :param rule: the rule that is broken when the time is over
        """
        ident = get_ident()
        outer = self._calls.get(ident)
        self._calls[ident] = _Call(what, subject, monotonic() + self._power_timeout, rule)
        try:
            yield
        finally:
            if outer is None:
                del self._calls[ident]
            else:
                self._calls[ident] = outer

    def hold(self, holder: object) -> None:
        """Stops counting time, because the machine is stopped.

        :param holder: the object whose :meth:`release` ends this, unless others also hold it
        """
        with self._guard:
            if not self._holders:
                self._held_since = monotonic()
            self._holders.add(holder)

    def release(self, holder: object) -> None:
        """Undoes :meth:`hold`; nothing happens if the holder does not hold it."""
        with self._guard:
            if holder not in self._holders:
                return
            self._holders.remove(holder)
            if not self._holders:
                self._stays.clear()
                for call in list(self._calls.values()):
                    call.deadline += monotonic() - self._held_since

    def _run(self) -> None:
        interval = min(self._dpc_timeout, self._power_timeout) / LOOKS
        with contextlib.suppress(BugCheck, PydriverError):  # another failure came first
            while not self._end.wait(min(interval, LONGEST_INTERVAL)):
                if self._kernel.failure is not None:
                    return
                if self._holders:
                    continue
                for processor in self._kernel.processors:
                    self._look_at(processor)
                self._look_at_calls()

    def _look_at(self, processor: "Processor") -> None:
        state = processor.state
        quiescent = state.quiescent
        if not state.level and state.irql < DISPATCH_LEVEL:
            self._stays.pop(processor.number, None)
            return
        stay = self._stays.get(processor.number)
        now = monotonic()
        returned = processor.isr_durations.count + processor.dpc_durations.count
        if stay is None or stay.quiescent != quiescent:
            self._stays[processor.number] = _Stay(quiescent, now, returned, now)
            return
        if stay.returned != returned:
            stay.returned, stay.alone_since = returned, now
        spent = now - stay.since
        alone = now - stay.alone_since
        timeout = self._dpc_timeout
        single = bool(state.level) and alone >= timeout
        # ISRs and DPCs that each return, but follow one another, may take longer together.
        if not single and spent < timeout * (TOGETHER if state.level else 1):
            return
        if single:
            spent = alone
        ticks = int(spent * CLOCK_INTERRUPTS)
        allotment = int(timeout * CLOCK_INTERRUPTS)
        ident = processor.owner if state.borrowed else processor.service_thread
        what = "one ISR or DPC" if single else "code at or above DISPATCH_LEVEL"
        self._stuck(
            ident,
            DPC_WATCHDOG_VIOLATION,
            (0, ticks, allotment) if single else (1, ticks, 0),
            f"{what} has kept processor {processor.number} for {spent:.1f} s",
            processor=processor,
        )

    def _look_at_calls(self) -> None:
        now = monotonic()
        for ident, call in list(self._calls.items()):
            if now > call.deadline:
                self._stuck(
                    ident,
                    DRIVER_POWER_STATE_FAILURE,
                    (BLOCKED_TOO_LONG, id(call.subject), 0),
                    f"{call.what} of {call.subject} has not returned for "
                    f"{self._power_timeout:.1f} s",
                    call.rule,
                )

    def _stuck(
        self,
        ident: int | None,
        code: int,
        parameters: tuple[int, int, int],
        message: str,
        rule: str = "",
        processor: "Processor | None" = None,
    ) -> None:
        kernel = self._kernel
        stack = Stack.of_thread(ident)
        # The report concerns that processor: this thread itself runs on none.
        kernel.current.processor = processor
        try:
            kernel.bug_check(code, *parameters, rule=rule, message=message, stack=stack)
        finally:
            kernel.current.processor = None
            # Without a callback an application waits in the framework: the failure wakes it.
            if ident is not None and stack is not None and stack.callback is not None:
                self._free(ident, stack.callback)

    def _free(self, ident: int, stuck: Call) -> None:
        """Makes the stuck thread leave the driver's code, unless the failure makes it leave."""
        arrived = None
        for _ in range(ABANDON_TRIES):
            self._end.wait(ABANDON_INTERVAL)
            if not stuck.running:
                return
            # Again only if the driver has caught it: a second one would hit unrelated code.
            if arrived is None or arrived.is_set():
                arrived = abandon(self._kernel, ident)


def abandon(kernel: "FailStop", ident: int) -> Event:
    """Raises the system's failure in a thread that does not end by itself.

    :return: an event that is set when that has happened, which needs the thread to run Python code
    """
    arrived = Event()
    failure = kernel.failure

    # Python makes the exception, without arguments.
    class Stopped(BugCheck):
        def __init__(self) -> None:
            assert isinstance(failure, BugCheck)
            super().__init__(failure.state)
            arrived.set()

    class Ended(LinkStopped):
        def __init__(self) -> None:
            super().__init__("the system has ended")
            arrived.set()

    kind = Stopped if isinstance(failure, BugCheck) else Ended
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))
    return arrived
