# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The queue of actions that are due at a time, and the thread that carries them out.

One thread waits for the first entry, in place of the clock interrupt of Windows: it expires timers,
and makes processors run DPCs that wait for the next tick of the clock (`KDpc.insert`). It is
started when the first timer is set.
"""

import contextlib
import heapq
from collections.abc import Callable
from itertools import count
from threading import Condition, Lock, Thread, get_ident

from pydriver.errors import LinkStopped, MachineDied
from pydriver.ke.borrowing import Borrowing
from pydriver.ke.bugcheck import BugCheck
from pydriver.ke.clock import CLOCK_INTERVAL, Clock, MonotonicClock
from pydriver.ke.processor import Processor
from pydriver.ke.watchdog import JOIN_TIMEOUT

__all__ = ("Due", "TimerQueue")


class Due:
    """An action that is due at a time.

    :ivar due: the earliest interrupt time
    :ivar latest: the interrupt time by which it must be done; the key of the queue
    """

    __slots__ = ("action", "due", "latest", "processor", "serial")

    def __init__(
        self,
        due: int,
        latest: int,
        serial: int,
        processor: Processor | None,
        action: Callable[["Due"], None],
    ) -> None:
        self.due = due
        self.latest = latest
        self.serial = serial
        self.processor = processor
        self.action = action

    def __lt__(self, other: "Due") -> bool:
        return (self.latest, self.serial) < (other.latest, other.serial)


class TimerQueue:
    """The timers that are set, and their thread.

    `_changed` guards all fields, and the timers' `_entry`. Code at any IRQL takes it; nothing
    accesses the machine or waits under it, so that no interrupt can nest there.

    :param kernel: the kernel they belong to
    :ivar clock: the clock that they use
    """

    def __init__(self, kernel: Borrowing) -> None:
        self.clock: Clock = MonotonicClock()
        self._kernel = kernel
        self._changed = Condition()
        self._heap: list[Due] = []
        self._serial = count()
        self._ticking: set[Processor] = set()
        self._expiring = False
        self._settled: list[Lock] = []
        self._ended = False
        self._thread: Thread | None = None

    def use(self, clock: Clock) -> None:
        """Switches to another clock; the time left until each entry is due stays the same."""
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
        """Ends the thread; timers that are set then never expire."""
        with self._changed:
            self._ended = True
            self._heap.clear()
            self._changed.notify_all()
        thread = self._thread
        if thread is not None and thread.ident != get_ident():
            thread.join(JOIN_TIMEOUT)

    @property
    def lock(self) -> Condition:
        """The lock that guards a timer's state together with the queue's."""
        return self._changed

    def insert(self, ticks: int, tolerance: int, action: Callable[["Due"], None]) -> Due:
        """Adds an action for the thread; under :attr:`lock`.

        :param ticks: the time from now in units of 100 ns
        :param tolerance: the delay in the same units that is allowed, to join another action
        :param action: the function that is called without the lock, for the caller's processor
        """
        due = self.clock.now() + ticks
        entry = Due(
            due, due + tolerance, next(self._serial), self._kernel.current.processor, action
        )
        self.insert_again(entry)
        return entry

    def insert_again(self, entry: Due) -> None:
        """Puts an entry back with its new time; under :attr:`lock`."""
        if self._ended:
            return
        heapq.heappush(self._heap, entry)
        self._start_thread()
        if self._heap[0] is entry:
            self._changed.notify_all()

    def remove(self, entry: Due) -> None:
        """Takes an entry out; under :attr:`lock`."""
        with contextlib.suppress(ValueError):
            self._heap.remove(entry)
            heapq.heapify(self._heap)

    def settle(self) -> None:
        """Waits until the DPC of a timer that is just expiring is in its queue.

        A thread that cancels a timer and then flushes the DPCs must find it there.
        """
        with self._changed:
            if not self._expiring:
                return
            settled = Lock()
            settled.acquire()
            self._settled.append(settled)
        self._kernel.wait(settled)

    def tick(self, processor: Processor) -> None:
        """Makes a processor empty its DPC queue at the next clock tick; at any IRQL."""
        with self._changed:
            if processor in self._ticking:
                return
            self._ticking.add(processor)
            self.insert(CLOCK_INTERVAL, 0, self._tick).processor = processor

    def _tick(self, entry: Due) -> None:
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
            pass  # it is already the kernel's failure
        except MachineDied as error:  # the kernel may already know it
            kernel.fail(error)
        except BaseException as error:  # no code of a driver runs here: a defect of pydriver
            kernel.fail(error)
            raise

    def _expired(self) -> None:
        with self._changed:
            self._expiring = False
            settled, self._settled = self._settled, []
        for each in settled:
            with contextlib.suppress(RuntimeError):  # the system's failure woke it first
                each.release()

    def _next(self) -> list[Due] | None:
        """Returns the entries that are due, in the order of their times; ``None`` at the end."""
        with self._changed:
            while not self._ended:
                heap = self._heap
                now = self.clock.now()
                if heap and heap[0].latest <= now:
                    # Entries that tolerate a delay are done together with those that do not.
                    due = [each for each in heap if each.due <= now]
                    heap[:] = [each for each in heap if each.due > now]
                    heapq.heapify(heap)
                    due.sort(key=lambda each: (each.due, each.serial))
                    self._expiring = True
                    return due
                self.clock.wait(self._changed, heap[0].latest if heap else None)
            return None
