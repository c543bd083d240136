# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The threads at PASSIVE_LEVEL of a kernel: its workers, the framework's threads, and drivers'."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Lock, Thread, current_thread

from pydriver.errors import PydriverError
from pydriver.ke.bugcheck import SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, BugCheck
from pydriver.ke.callbacks import Callbacks
from pydriver.ke.watchdog import JOIN_TIMEOUT, abandon
from pydriver.place import Stack
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR

__all__ = ("DriverThread", "SystemThreads", "WorkerThreads")


class WorkerThreads:
    """System worker threads [ExQueueWorkItem]: a fixed number of threads with one queue.

    :param kernel: the kernel they belong to
    :param name: the purpose of the threads, for their names
    :param count: the number of threads
    :ivar durations: the durations of the work items that they ran
    """

    def __init__(self, kernel: Callbacks, name: str, count: int) -> None:
        self._kernel = kernel
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._run, name=f"pydriver-{name}{number}", daemon=True)
            for number in range(count)
        ]
        self.queue = self._queue.put
        """Queues a function for one of the threads to call; at or below DISPATCH_LEVEL."""
        self.durations = kernel.recorder.durations(Event.WORK_ITEM_END, NO_PROCESSOR)
        self._durations_lock = Lock()  # the threads' only common data

    def ran(self, duration: int) -> None:
        """Counts a work item, with its duration in ns."""
        with self._durations_lock:
            self.durations.add(duration)

    def invoke(self, routine: Callable[[], object]) -> None:
        """Calls a work item's callback, which must return at PASSIVE_LEVEL without a lock."""
        kernel = self._kernel
        try:
            kernel.invoke(routine, enhanced=False, code=SYSTEM_THREAD_EXCEPTION_NOT_HANDLED)
        finally:
            kernel.current.held.clear()
            kernel.current.critical_regions = 0

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets the threads finish all queued functions, and joins them."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        kernel = self._kernel
        # The watchdog may abandon a work item that is just returning.
        with contextlib.suppress(BugCheck):
            while (work := self._queue.get()) is not None:
                if kernel.failure is not None:
                    continue
                _run_system_routine(kernel, work)


def _run_system_routine(kernel: Callbacks, routine: Callable[[], object]) -> None:
    try:
        routine()
    except Exception as error:  # noqa: BLE001 -- becomes a bug check
        with contextlib.suppress(BugCheck, PydriverError):  # that one, or an earlier failure
            kernel.escaped(error, SYSTEM_THREAD_EXCEPTION_NOT_HANDLED)
    except BugCheck:
        pass  # it is already the kernel's failure


@dataclass(eq=False)
class DriverThread:
    """The kernel's record of a thread that a driver has created.

    :ivar thread: the thread itself
    :ivar driver_object: the driver object of the driver that created it
    :ivar subject: the object that reports name
    :ivar ended: whether its routine has returned
    """

    thread: Thread
    driver_object: object
    subject: object
    ended: bool = field(default=False, init=False)


class SystemThreads:
    """The threads that drivers have created, and those of the framework.

    :param kernel: the kernel they belong to
    """

    def __init__(self, kernel: Callbacks) -> None:
        self._kernel = kernel
        self._lock = Lock()  # guards the lists
        self._threads: list[DriverThread] = []
        self._own: list[Thread] = []

    def run(self, routine: Callable[[], object], name: str = "system-thread") -> Thread:
        """Runs a function on a thread of its own, at PASSIVE_LEVEL.

        This is for work that waits for work items, and so must not be one.

        :param routine: the function
        :param name: the name of the thread
        :return: the thread, which has been started
        """
        thread = Thread(
            target=_run_system_routine,
            args=(self._kernel, routine),
            name=f"pydriver-{name}",
            daemon=True,
        )
        with self._lock:
            self._own = [each for each in self._own if each.is_alive()]
            thread.start()
            self._own.append(thread)
        return thread

    def add(self, thread: DriverThread) -> None:
        """Starts a thread."""
        with self._lock:
            self._threads = [each for each in self._threads if not each.ended]
            self._threads.append(thread)
        thread.thread.start()

    def has_made(self, thread: Thread) -> bool:
        """Returns whether a thread is one of these threads."""
        return any(each.thread is thread for each in tuple(self._threads))

    def check_ended(self, driver_object: object) -> None:
        """Reports threads that still run while their driver is unloaded to the verifier."""
        for each in tuple(self._threads):
            if each.driver_object is not driver_object or each.ended:
                continue
            self._kernel.verifier.violation(
                "SystemThreadLeft",
                f"{each.subject} has not ended, but its driver is being unloaded",
                each.subject,
                stack=Stack.of_thread(each.thread.ident),
            )

    def stop(self) -> None:
        """Joins the threads; the system must have ended, which has ended their waits."""
        for thread in (*(each.thread for each in self._threads), *self._own):
            if thread.ident is None or thread is current_thread():
                continue
            thread.join(JOIN_TIMEOUT)
            if thread.is_alive():
                abandon(self._kernel, thread.ident)
                thread.join(JOIN_TIMEOUT)
        self._threads.clear()
        self._own.clear()
