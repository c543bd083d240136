# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Threads at PASSIVE_LEVEL: system worker threads, events, delays."""

import contextlib
from collections import deque
from enum import IntEnum
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING

from pydriver.errors import LinkStopped
from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    SYSTEM_THREAD_EXCEPTION_NOT_HANDLED,
    BugCheck,
)
from pydriver.ke.irql import DISPATCH_LEVEL, irql_name
from pydriver.ke.status import STATUS_SUCCESS, STATUS_TIMEOUT
from pydriver.trace import Durations

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.kernel import Kernel

__all__ = (
    "EventType",
    "KEvent",
    "PassiveThread",
    "WorkerThreads",
    "delay_execution_thread",
    "start_system_thread",
    "timeout_seconds",
)

JOIN_TIMEOUT = 2.0
TICKS_PER_SECOND = 10_000_000
"""Windows counts time in units of 100 ns."""


def timeout_seconds(timeout: int | None) -> float | None:
    """A relative time in Windows' units, negative, as seconds; ``None`` stays ``None``."""
    return None if timeout is None else -timeout / TICKS_PER_SECOND


class WorkerThreads:
    """System worker threads [ExQueueWorkItem]: a fixed number, one queue.

    :param kernel: that they belong to
    :param count: threads
    :ivar durations: of the work items that they ran
    """

    def __init__(self, kernel: "Kernel", count: int) -> None:
        self._kernel = kernel
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._run, name=f"pydriver-worker{number}", daemon=True)
            for number in range(count)
        ]
        self.queue = self._queue.put
        """Has a function called by one of the threads; at or below DISPATCH_LEVEL."""
        self.durations = Durations()
        self._durations_lock = Lock()  # the threads' only common data

    def ran(self, duration: int) -> None:
        """Counts a work item that took so many ns."""
        with self._durations_lock:
            self.durations.add(duration)

    def invoke(self, routine: "Callable[[], object]") -> None:
        """Calls a work item's callback, which must return at PASSIVE_LEVEL without a lock."""
        kernel = self._kernel
        try:
            kernel.invoke(routine, enhanced=False, code=SYSTEM_THREAD_EXCEPTION_NOT_HANDLED)
        finally:
            kernel.current.held.clear()

    def start(self) -> None:
        """Starts the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets the threads finish what is queued, and joins them."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        kernel = self._kernel
        while (work := self._queue.get()) is not None:
            if kernel.failure is not None:
                continue
            _run_system_routine(kernel, work)


def _run_system_routine(kernel: "Kernel", routine: "Callable[[], object]") -> None:
    try:
        routine()
    except Exception as error:  # noqa: BLE001 -- becomes a bug check
        with contextlib.suppress(BugCheck, LinkStopped, Exception):
            kernel.escaped(error, SYSTEM_THREAD_EXCEPTION_NOT_HANDLED)
    except BugCheck:
        pass  # it is the kernel's failure already


def start_system_thread(kernel: "Kernel", routine: "Callable[[], object]") -> None:
    """Runs a function on a thread of its own, at PASSIVE_LEVEL [PsCreateSystemThread].

    For what waits for work items, and so must not be one.

    :param kernel: that the function is about
    :param routine: the function
    """
    Thread(
        target=_run_system_routine,
        args=(kernel, routine),
        name="pydriver-system-thread",
        daemon=True,
    ).start()


class PassiveThread:
    """A system thread at PASSIVE_LEVEL that calls a routine each time it is woken.

    `_wake` is a lock used as a binary semaphore: held while there is nothing to do.

    :param kernel: that it belongs to
    :param name: what it is for
    :param routine: that it calls
    """

    def __init__(self, kernel: "Kernel", name: str, routine: "Callable[[], object]") -> None:
        self._kernel = kernel
        self._routine = routine
        self._wake = Lock()
        self._wake.acquire()
        self._ending = False
        self._thread = Thread(target=self._run, name=f"pydriver-{name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Has the routine called, at any IRQL; twice before it begins is as once."""
        with contextlib.suppress(RuntimeError):  # woken already
            self._wake.release()

    def stop(self) -> None:
        """Ends the thread, after the call that is under way; at PASSIVE_LEVEL."""
        self._ending = True
        self.wake()
        self._thread.join(JOIN_TIMEOUT)

    def _run(self) -> None:
        kernel = self._kernel
        try:
            while kernel.wait(self._wake) and not self._ending:
                self._routine()
        except (BugCheck, LinkStopped):
            pass  # it is the kernel's failure already
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            with contextlib.suppress(BugCheck, LinkStopped, Exception):
                kernel.escaped(error, SYSTEM_THREAD_EXCEPTION_NOT_HANDLED)


class EventType(IntEnum):
    """What a set event does to its waiters [KeInitializeEvent]."""

    NOTIFICATION = 0
    """releases all, and stays set"""
    SYNCHRONIZATION = 1
    """releases one, and resets itself"""


class KEvent:
    """A kernel event.

    `_lock` guards `_set` and `_waiting`; nothing waits or accesses the machine under it.

    :param kernel: that it belongs to
    :param kind: notification or synchronization
    """

    __slots__ = ("_kernel", "_kind", "_lock", "_set", "_waiting")

    def __init__(self, kernel: "Kernel", kind: EventType = EventType.NOTIFICATION) -> None:
        self._kernel = kernel
        self._kind = kind
        self._lock = Lock()
        self._set = False
        self._waiting: deque[Lock] = deque()

    @property
    def signaled(self) -> bool:
        """Whether it is set [KeReadStateEvent]."""
        return self._set

    def set(self) -> bool:
        """Sets the event, at or below DISPATCH_LEVEL [KeSetEvent].

        :return: whether it was set before
        """
        irql = self._kernel.irql()
        if irql > DISPATCH_LEVEL:
            self._kernel.bug_check(
                DRIVER_VERIFIER_DETECTED_VIOLATION,
                0x80,
                irql,
                rule="IrqlKeSetEvent",
                message=f"KeSetEvent at {irql_name(irql)}",
            )
        with self._lock:
            before = self._set
            if self._kind is EventType.NOTIFICATION:
                self._set = True
                woken = list(self._waiting)
                self._waiting.clear()
            elif self._waiting:
                woken = [self._waiting.popleft()]
            else:
                self._set = True
                woken = []
            for waiter in woken:
                with contextlib.suppress(RuntimeError):  # the system's failure woke it first
                    waiter.release()
        return before

    def clear(self) -> None:
        """Resets the event [KeClearEvent]."""
        self._set = False

    def wait(self, timeout: int | None = None) -> int:
        """Waits until the event is set [KeWaitForSingleObject].

        :param timeout: ``None``: for ever; 0: only look, at or below DISPATCH_LEVEL; negative:
            relative, in units of 100 ns
        :return: STATUS_SUCCESS or STATUS_TIMEOUT
        """
        if timeout != 0:
            self._kernel.check_wait("KeWaitForSingleObject")
        with self._lock:
            if self._set:
                self._set = self._kind is EventType.NOTIFICATION
                return STATUS_SUCCESS
            if timeout == 0:
                return STATUS_TIMEOUT
            waiter = Lock()
            waiter.acquire()
            self._waiting.append(waiter)
        if self._kernel.wait(waiter, timeout_seconds(timeout)):
            return STATUS_SUCCESS
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                return STATUS_TIMEOUT
        return STATUS_SUCCESS  # it was set between the time-out and now


def delay_execution_thread(kernel: "Kernel", interval: int) -> int:
    """Sleeps, at or below APC_LEVEL; ends early if the system ends [KeDelayExecutionThread].

    :param interval: negative, in units of 100 ns
    """
    kernel.check_wait("KeDelayExecutionThread")
    never = Lock()
    never.acquire()
    kernel.wait(never, timeout_seconds(interval))
    return STATUS_SUCCESS
