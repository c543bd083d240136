# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Kernel timers, and the thread that expires them [KeSetTimerEx, KeCancelTimer].

One thread waits for the earliest timer and does what is due: it signals the timer and queues its
DPC on the processor that set the timer, as the clock interrupt of Windows does. It is started when
the first timer is set. The clock ticks too, while a processor has DPCs that wait for that
(`KDpc.insert`).
"""

import contextlib
import heapq
from itertools import count
from threading import Condition, Lock, Thread, get_ident
from time import perf_counter_ns
from typing import TYPE_CHECKING

from pydriver.errors import LinkStopped
from pydriver.ke.bugcheck import BugCheck
from pydriver.ke.clock import CLOCK_INTERVAL, TICKS_PER_MS, Clock, MonotonicClock, timeout_ticks
from pydriver.ke.ddi import function_ddi
from pydriver.ke.event import Dispatcher, EventType
from pydriver.ke.irql import HIGH_LEVEL
from pydriver.ke.watchdog import JOIN_TIMEOUT
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.dpc import KDpc
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor

__all__ = ("KTimer", "TimerQueue")


class _Entry:
    """Something that is due at a time.

    :ivar due: earliest interrupt time
    :ivar latest: when it has to be done; the queue's key
    """

    __slots__ = ("action", "due", "latest", "processor", "serial")

    def __init__(
        self,
        due: int,
        latest: int,
        serial: int,
        processor: "Processor | None",
        action: "Callable[[_Entry], None]",
    ) -> None:
        self.due = due
        self.latest = latest
        self.serial = serial
        self.processor = processor
        self.action = action

    def __lt__(self, other: "_Entry") -> bool:
        return (self.latest, self.serial) < (other.latest, other.serial)


class TimerQueue:
    """The timers that are set, and their thread.

    `_changed` guards all fields, and the timers' `_entry`. Code at any IRQL takes it; nothing
    accesses the machine or waits under it, so that no interrupt can nest there.

    :param kernel: that they belong to
    :ivar clock: that they go by
    """

    def __init__(self, kernel: "Kernel") -> None:
        self.clock: Clock = MonotonicClock()
        self._kernel = kernel
        self._changed = Condition()
        self._heap: list[_Entry] = []
        self._serial = count()
        self._ticking: set[Processor] = set()
        self._expiring = False
        self._settled: list[Lock] = []
        self._ended = False
        self._thread: Thread | None = None

    def use(self, clock: Clock) -> None:
        """Goes by another clock; what is set has as long to go as before."""
        with self._changed:
            shift = clock.now() - self.clock.now()
            for entry in self._heap:
                entry.due += shift
                entry.latest += shift
            self.clock = clock
            clock.attach(self._changed)
            self._start_thread()
            self._changed.notify_all()

    def stop(self) -> None:
        """Ends the thread; what is set never expires."""
        with self._changed:
            self._ended = True
            self._heap.clear()
            self._changed.notify_all()
        thread = self._thread
        if thread is not None and thread.ident != get_ident():
            thread.join(JOIN_TIMEOUT)

    @property
    def lock(self) -> Condition:
        """Guards a timer's state together with the queue's."""
        return self._changed

    def insert(self, ticks: int, tolerance: int, action: "Callable[[_Entry], None]") -> _Entry:
        """Has something done by the thread; under :attr:`lock`.

        :param ticks: from now, in units of 100 ns
        :param tolerance: it may be done so much later, together with something else
        :param action: called without the lock, for the processor that the caller runs on
        """
        due = self.clock.now() + ticks
        entry = _Entry(
            due, due + tolerance, next(self._serial), self._kernel.current.processor, action
        )
        self.insert_again(entry)
        return entry

    def insert_again(self, entry: _Entry) -> None:
        """Puts an entry with a new time back; under :attr:`lock`."""
        if self._ended:
            return
        heapq.heappush(self._heap, entry)
        self._start_thread()
        if self._heap[0] is entry:
            self._changed.notify_all()

    def remove(self, entry: _Entry) -> None:
        """Takes an entry out; under :attr:`lock`."""
        with contextlib.suppress(ValueError):
            self._heap.remove(entry)
            heapq.heapify(self._heap)

    def settle(self) -> None:
        """Waits until the DPC of a timer that is just expiring is in its queue.

        Who has cancelled a timer and then flushes the DPCs must find it there.
        """
        with self._changed:
            if not self._expiring:
                return
            settled = Lock()
            settled.acquire()
            self._settled.append(settled)
        self._kernel.wait(settled)

    def tick(self, processor: "Processor") -> None:
        """Has a processor work off its DPC queue at the next clock tick; at any IRQL."""
        with self._changed:
            if processor in self._ticking:
                return
            self._ticking.add(processor)
            self.insert(CLOCK_INTERVAL, 0, self._tick).processor = processor

    def _tick(self, entry: _Entry) -> None:
        processor = entry.processor
        assert processor is not None
        with self._changed:
            self._ticking.discard(processor)
        if processor.dpcs:
            self._kernel.current.home = processor
            with self._kernel.borrowed():
                processor.request_dispatch()

    def _start_thread(self) -> None:
        if self._thread is None and not self._ended:
            self._thread = Thread(target=self._run, name="pydriver-timers", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        kernel = self._kernel
        try:
            while (due := self._next()) is not None:
                for entry in due:
                    entry.action(entry)
                self._expired()
        except (BugCheck, LinkStopped):
            pass  # it is the kernel's failure already
        except BaseException as error:  # nothing of a driver runs here: a defect of ours
            kernel.fail(error)
            raise

    def _expired(self) -> None:
        with self._changed:
            self._expiring = False
            settled, self._settled = self._settled, []
        for each in settled:
            with contextlib.suppress(RuntimeError):  # the system's failure woke it first
                each.release()

    def _next(self) -> list[_Entry] | None:
        """What is due, in the order of its times; ``None`` at the end."""
        with self._changed:
            while not self._ended:
                heap = self._heap
                now = self.clock.now()
                if heap and heap[0].latest <= now:
                    # What tolerates a delay goes with what does not.
                    due = [each for each in heap if each.due <= now]
                    heap[:] = [each for each in heap if each.due > now]
                    heapq.heapify(heap)
                    due.sort(key=lambda each: (each.due, each.serial))
                    self._expiring = True
                    return due
                self.clock.wait(self._changed, heap[0].latest if heap else None)
            return None


@function_ddi("KeInitializeTimer", "VOID (PKTIMER Timer)", highest=HIGH_LEVEL)
@function_ddi("KeInitializeTimerEx", "VOID (PKTIMER Timer, TIMER_TYPE Type)", highest=HIGH_LEVEL)
class KTimer(Dispatcher):
    """A kernel timer [KeInitializeTimerEx]. It is signaled when it expires.

    :param kernel: that it belongs to
    :param kind: what happens to those who wait for it
    :param owner: the object that records name
    """

    __slots__ = ("_dpc", "_entry", "_owner", "_period", "_timers", "_tolerance")

    def __init__(
        self,
        kernel: "Kernel",
        kind: EventType = EventType.NOTIFICATION,
        owner: object = None,
    ) -> None:
        super().__init__(kernel, kind)
        self._timers = kernel.timers
        self._entry: _Entry | None = None
        self._dpc: KDpc | None = None
        self._period = 0
        self._tolerance = 0
        self._owner = owner

    @property
    def queued(self) -> bool:
        """Whether it is set: a periodic timer until it is cancelled."""
        return self._entry is not None

    @function_ddi("KeSetTimer", "BOOLEAN (PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc)")
    @function_ddi(
        "KeSetTimerEx",
        "BOOLEAN (PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc)",
    )
    @function_ddi(
        "KeSetCoalescableTimer",
        "BOOLEAN (PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG TolerableDelay,"
        " PKDPC Dpc)",
    )
    def set(
        self,
        due_time: int,
        period: int = 0,
        dpc: "KDpc | None" = None,
        tolerable_delay: int = 0,
    ) -> bool:
        """Sets it, instead of what it was set to before.

        :param due_time: in units of 100 ns; negative: relative; else absolute, since 1601
        :param period: ms; 0: it expires once
        :param dpc: queued at each expiration
        :param tolerable_delay: ms that it may be late, to expire together with another timer
        :return: whether it was set before
        """
        timers = self._timers
        with timers.lock:
            before = self._take_out()
            self.clear()
            self._dpc = dpc
            self._period = period * TICKS_PER_MS
            self._tolerance = tolerable_delay * TICKS_PER_MS
            ticks = timeout_ticks(timers.clock, due_time)
            self._entry = timers.insert(ticks, self._tolerance, self._expire)
        return before

    @function_ddi("KeCancelTimer", "BOOLEAN (PKTIMER Timer)")
    def cancel(self) -> bool:
        """Takes it out of the queue; its DPC may be queued or running all the same.

        :return: whether it was set
        """
        with self._timers.lock:
            return self._take_out()

    @function_ddi("KeReadStateTimer", "BOOLEAN (PKTIMER Timer)")
    def read_state(self) -> bool:
        """Whether it is signaled."""
        return self.signaled

    def _take_out(self) -> bool:
        entry, self._entry = self._entry, None
        if entry is None:
            return False
        self._timers.remove(entry)
        return True

    def _expire(self, entry: _Entry) -> None:
        timers = self._timers
        with timers.lock:
            if self._entry is not entry:  # it was set again, or cancelled, in between
                return
            dpc = self._dpc
            self._signal()  # together with that: who sets it again clears this
            if self._period:
                entry.due += self._period
                entry.latest = entry.due + self._tolerance
                timers.insert_again(entry)
            else:
                self._entry = None
        kernel = self._kernel
        number = NO_PROCESSOR if entry.processor is None else entry.processor.number
        kernel.record((perf_counter_ns(), Event.TIMER, number, 0, self._owner or self, None))
        if dpc is not None:
            kernel.current.home = entry.processor or kernel.processors[0]
            dpc.insert()
