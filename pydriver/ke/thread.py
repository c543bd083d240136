# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Single threads at PASSIVE_LEVEL: those of passive ISRs, and of drivers."""

import contextlib
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import stands_for
from pydriver.errors import LinkStopped
from pydriver.ke.bugcheck import SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, BugCheck
from pydriver.ke.ddi import function_ddi
from pydriver.ke.event import Dispatcher
from pydriver.ke.irql import PASSIVE_LEVEL, irql_name
from pydriver.ke.status import STATUS_INVALID_PARAMETER, STATUS_SUCCESS
from pydriver.ke.system_threads import DriverThread
from pydriver.ke.watchdog import JOIN_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.driver_object import DriverObject
    from pydriver.ke.kernel import Kernel

__all__ = (
    "KThread",
    "PassiveThread",
    "create_system_thread",
    "terminate_system_thread",
)


class PassiveThread:
    """A system thread at PASSIVE_LEVEL that calls a routine each time it is woken.

    `_wake` is a lock used as a binary semaphore: held while there is nothing to do.

    :param kernel: the kernel the thread belongs to
    :param name: the purpose of the thread, for its name
    :param routine: the routine that it calls
    """

    def __init__(self, kernel: "Kernel", name: str, routine: "Callable[[], object]") -> None:
        self._kernel = kernel
        self._routine = routine
        self._wake = Lock()
        self._wake.acquire()
        self._ending = False
        self._thread = kernel.threads.run(self._serve, name)

    def wake(self) -> None:
        """Requests a call of the routine, at any IRQL; two requests before it begins are one."""
        with contextlib.suppress(RuntimeError):  # already woken
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
    """Raised by a thread that ends itself from within its routine."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@stands_for("KTHREAD")
class KThread(Dispatcher):
    """A thread that a driver has created. It is signaled when it has ended.

    :param kernel: the kernel the thread belongs to
    :param driver_object: the driver object of the driver that created it
    :param routine: the driver's ThreadStart(context), which is called at PASSIVE_LEVEL
    :param context: the argument of the routine
    :ivar exit_status: the NTSTATUS with which it has ended
    :ivar thread: Python's thread
    :ivar entry: the thread's record in the kernel's list
    """

    __slots__ = ("_context", "_name", "_routine", "driver_object", "entry", "exit_status", "thread")

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
        self.entry = DriverThread(self.thread, driver_object, self)

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
            pass  # it is already the kernel's failure
        finally:
            self.entry.ended = True  # before a waiting thread can unload the driver
            self._signal()


@function_ddi(
    "PsCreateSystemThread",
    "NTSTATUS (_Out_ PHANDLE ThreadHandle, _In_ ULONG DesiredAccess, "
    "_In_opt_ POBJECT_ATTRIBUTES ObjectAttributes, _In_opt_ HANDLE ProcessHandle, "
    "_Out_opt_ PCLIENT_ID ClientId, _In_ PKSTART_ROUTINE StartRoutine, "
    "_In_opt_ PVOID StartContext)",
    highest=PASSIVE_LEVEL,
    binding=Binding(omits=("DesiredAccess", "ObjectAttributes", "ProcessHandle", "ClientId")),
)
def create_system_thread(
    driver_object: "DriverObject",
    start_routine: "Callable[[Any], object]",
    start_context: Any = None,
) -> KThread:
    """Creates a thread at PASSIVE_LEVEL; the driver must end it before it is unloaded.

    :param driver_object: the driver object of the driver whose thread it is
    :param start_routine: the driver's ThreadStart(context)
    :param start_context: the argument of the routine
    :return: the thread, which can be waited for
    """
    kernel = driver_object.kernel
    _check_passive(kernel, "PsCreateSystemThread")
    thread = KThread(kernel, driver_object, start_routine, start_context)
    kernel.threads.add(thread.entry)
    return thread


@function_ddi(
    "PsTerminateSystemThread", "NTSTATUS (_In_ NTSTATUS ExitStatus)", highest=PASSIVE_LEVEL
)
def terminate_system_thread(kernel: "Kernel", exit_status: int) -> int:
    """Ends the calling thread.

    :param exit_status: the NTSTATUS to end with
    :return: STATUS_INVALID_PARAMETER, if :func:`create_system_thread` did not make the thread
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
