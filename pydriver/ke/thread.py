# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Threads at PASSIVE_LEVEL: worker threads, those of passive ISRs, and those of drivers."""

import contextlib
import sys
from queue import SimpleQueue
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any

from pydriver.errors import LinkStopped, PydriverError
from pydriver.ke.bugcheck import SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, BugCheck
from pydriver.ke.ddi import function_ddi
from pydriver.ke.event import Dispatcher
from pydriver.ke.irql import PASSIVE_LEVEL, irql_name
from pydriver.ke.status import STATUS_INVALID_PARAMETER, STATUS_SUCCESS
from pydriver.ke.watchdog import JOIN_TIMEOUT, abandon
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.driver_object import DriverObject
    from pydriver.ke.kernel import Kernel

__all__ = (
    "KThread",
    "PassiveThread",
    "SystemThreads",
    "WorkerThreads",
    "create_system_thread",
    "terminate_system_thread",
)


class WorkerThreads:
    """System worker threads [ExQueueWorkItem]: a fixed number, one queue.

    :param kernel: that they belong to
    :param name: what they are for
    :param count: threads
    :ivar durations: of the work items that they ran
    """

    def __init__(self, kernel: "Kernel", name: str, count: int) -> None:
        self._kernel = kernel
        self._queue: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._run, name=f"pydriver-{name}{number}", daemon=True)
            for number in range(count)
        ]
        self.queue = self._queue.put
        """Has a function called by one of the threads; at or below DISPATCH_LEVEL."""
        self.durations = kernel.recorder.durations(Event.WORK_ITEM_END, NO_PROCESSOR)
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
            kernel.current.critical_regions = 0

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
        # The watchdog may abandon a work item that is just returning.
        with contextlib.suppress(BugCheck):
            while (work := self._queue.get()) is not None:
                if kernel.failure is not None:
                    continue
                _run_system_routine(kernel, work)


def _run_system_routine(kernel: "Kernel", routine: "Callable[[], object]") -> None:
    try:
        routine()
    except Exception as error:  # noqa: BLE001 -- becomes a bug check
        with contextlib.suppress(BugCheck, PydriverError):  # that, or what came before it
            kernel.escaped(error, SYSTEM_THREAD_EXCEPTION_NOT_HANDLED)
    except BugCheck:
        pass  # it is the kernel's failure already


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
        self._thread = kernel.threads.run(self._serve, name)

    def wake(self) -> None:
        """Has the routine called, at any IRQL; twice before it begins is as once."""
        with contextlib.suppress(RuntimeError):  # woken already
            self._wake.release()

    def stop(self) -> None:
        """Ends the thread, after the call that is under way; at PASSIVE_LEVEL."""
        self._ending = True
        self.wake()
        self._thread.join(JOIN_TIMEOUT)

    def _serve(self) -> None:
        while self._kernel.wait(self._wake) and not self._ending:
            self._routine()


class _Terminated(BaseException):
    """A thread ends itself from within its routine."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class KThread(Dispatcher):
    """A thread that a driver has created. It is signaled when it has ended.

    :param kernel: that it belongs to
    :param driver_object: of the driver that created it
    :param routine: ThreadStart(context), at PASSIVE_LEVEL
    :param context: passed to it
    :ivar exit_status: NTSTATUS that it has ended with
    """

    __slots__ = ("_context", "_name", "_routine", "driver_object", "exit_status", "thread")

    def __init__(
        self,
        kernel: "Kernel",
        driver_object: "DriverObject",
        routine: "Callable[[Any], object]",
        context: Any,
    ) -> None:
        super().__init__(kernel)
        self.driver_object = driver_object
        self.exit_status = STATUS_SUCCESS
        self._routine = routine
        self._context = context
        name = getattr(routine, "__name__", "-")
        self._name = f"system thread {name} of {driver_object.name}"
        self.thread = Thread(target=self._run, name=f"pydriver-thread-{name}", daemon=True)

    def __str__(self) -> str:
        return self._name

    def _run(self) -> None:
        kernel = self._kernel
        try:
            kernel.invoke(
                self._routine,
                self._context,
                enhanced=False,
                code=SYSTEM_THREAD_EXCEPTION_NOT_HANDLED,
            )
        except _Terminated as end:
            self.exit_status = end.status
            kernel.report_kept(f"the terminated {self}", 0)
        except (BugCheck, LinkStopped):
            pass  # it is the kernel's failure already
        finally:
            self._signal()


class SystemThreads:
    """The threads that drivers have created, and those of the framework.

    :param kernel: that they belong to
    """

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._lock = Lock()  # guards the lists
        self._threads: list[KThread] = []
        self._own: list[Thread] = []

    def run(self, routine: "Callable[[], object]", name: str = "system-thread") -> Thread:
        """Runs a function on a thread of its own, at PASSIVE_LEVEL.

        For what waits for work items, and so must not be one.

        :param routine: the function
        :param name: of the thread
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

    def add(self, thread: KThread) -> None:
        """Starts a thread."""
        with self._lock:
            self._threads = [each for each in self._threads if not each.signaled]
            self._threads.append(thread)
        thread.thread.start()

    def has_made(self, thread: Thread) -> bool:
        """Whether a thread is one of them."""
        return any(each.thread is thread for each in tuple(self._threads))

    def check_ended(self, driver_object: "DriverObject") -> None:
        """Tells the verifier of threads that are still running when their driver is unloaded."""
        for each in tuple(self._threads):
            if each.driver_object is not driver_object or each.signaled:
                continue
            ident = each.thread.ident
            frame = None if ident is None else sys._current_frames().get(ident)
            self._kernel.verifier.violation(
                "SystemThreadLeft",
                f"{each} has not ended, but its driver is being unloaded",
                each,
                frame=frame,
            )

    def stop(self) -> None:
        """Joins the threads; the system has ended, and with it their waits."""
        for thread in (*(each.thread for each in self._threads), *self._own):
            if thread.ident is None or thread is current_thread():
                continue
            thread.join(JOIN_TIMEOUT)
            if thread.is_alive():
                abandon(self._kernel, thread.ident)
                thread.join(JOIN_TIMEOUT)
        self._threads.clear()
        self._own.clear()


@function_ddi(
    "PsCreateSystemThread",
    "NTSTATUS (PHANDLE ThreadHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES, HANDLE, PCLIENT_ID,"
    " PKSTART_ROUTINE StartRoutine, PVOID StartContext)",
    highest=PASSIVE_LEVEL,
)
def create_system_thread(
    driver_object: "DriverObject",
    start_routine: "Callable[[Any], object]",
    start_context: Any = None,
) -> KThread:
    """Creates a thread at PASSIVE_LEVEL; the driver has to end it before it is unloaded.

    :param driver_object: of the driver whose thread it is
    :param start_routine: ThreadStart(context)
    :param start_context: passed to it
    :return: the thread, which can be waited for
    """
    kernel = driver_object.system.kernel
    _check_passive(kernel, "PsCreateSystemThread")
    thread = KThread(kernel, driver_object, start_routine, start_context)
    kernel.threads.add(thread)
    return thread


@function_ddi("PsTerminateSystemThread", "NTSTATUS (NTSTATUS ExitStatus)", highest=PASSIVE_LEVEL)
def terminate_system_thread(kernel: "Kernel", exit_status: int) -> int:
    """Ends the calling thread.

    :param exit_status: NTSTATUS
    :return: STATUS_INVALID_PARAMETER, to a thread that :func:`create_system_thread` has not made
    """
    _check_passive(kernel, "PsTerminateSystemThread")
    if not kernel.threads.has_made(current_thread()):
        return STATUS_INVALID_PARAMETER
    raise _Terminated(exit_status)


def _check_passive(kernel: "Kernel", what: str) -> None:
    irql = kernel.irql()
    if irql != PASSIVE_LEVEL:
        kernel.verifier.violation(
            "IrqlPassive", f"{what} at {irql_name(irql)}; its limit is PASSIVE_LEVEL (0)"
        )
