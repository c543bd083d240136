# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The dispatcher objects, on which a thread can wait, and the plainest of them, the event."""

import contextlib
from collections import deque
from enum import IntEnum
from threading import Lock
from typing import TYPE_CHECKING

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import enumeration, stands_for
from pydriver.ke.bugcheck import DRIVER_VERIFIER_DETECTED_VIOLATION
from pydriver.ke.clock import TICKS_PER_SECOND, timeout_ticks
from pydriver.ke.ddi import function_ddi
from pydriver.ke.irql import APC_LEVEL, DISPATCH_LEVEL, HIGH_LEVEL, irql_name
from pydriver.ke.status import STATUS_SUCCESS, STATUS_TIMEOUT

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel

__all__ = ("Dispatcher", "EventType", "KEvent", "delay_execution_thread")

SET_EVENT_ABOVE_DISPATCH = 0x80
"""Parameter 1 of 0xC4: KeSetEvent at a wrong IRQL."""


@enumeration(
    "EVENT_TYPE",
    names={"NOTIFICATION": "NotificationEvent", "SYNCHRONIZATION": "SynchronizationEvent"},
)
class EventType(IntEnum):
    """The effect of a signal on the waiters [EVENT_TYPE, TIMER_TYPE]."""

    NOTIFICATION = 0
    """releases all, and stays set"""
    SYNCHRONIZATION = 1
    """releases one, and resets itself"""


class Dispatcher:
    """A dispatcher object: signaled or not, with threads that wait.

    `_lock` guards `_set` and `_waiting`; nothing waits or accesses the machine under it.

    :param kernel: the kernel the object belongs to
    :param kind: notification or synchronization
    :param state: whether it is signaled at first
    """

    __slots__ = ("_kernel", "_kind", "_lock", "_set", "_waiting")

    def __init__(
        self, kernel: "Kernel", kind: EventType = EventType.NOTIFICATION, *, state: bool = False
    ) -> None:
        self._kernel = kernel
        self._kind = kind
        self._lock = Lock()
        self._set = state
        self._waiting: deque[Lock] = deque()

    @property
    def signaled(self) -> bool:
        """Whether a wait would end at once."""
        return self._set

    def clear(self) -> None:
        """Makes the object not signaled [KeClearEvent]."""
        self._set = False

    @function_ddi(
        "KeWaitForSingleObject",
        "NTSTATUS (_In_ PVOID Object, _In_ KWAIT_REASON WaitReason, "
        "_In_ KPROCESSOR_MODE WaitMode, _In_ BOOLEAN Alertable, "
        "_In_opt_ PLARGE_INTEGER Timeout)",
        binding=Binding(omits=("WaitReason", "WaitMode", "Alertable")),
    )
    def wait(self, timeout: int | None = None) -> int:
        """Waits until it is signaled; at or below APC_LEVEL, or DISPATCH_LEVEL with a time of 0.

        :param timeout: the time-out in units of 100 ns: ``None`` waits for ever, 0 does not wait, a
            negative value is relative, a positive one absolute, since 1601
        :return: STATUS_SUCCESS or STATUS_TIMEOUT
        """
        kernel = self._kernel
        kernel.check_wait("KeWaitForSingleObject", DISPATCH_LEVEL if timeout == 0 else APC_LEVEL)
        with self._lock:
            if self._set:
                self._set = self._kind is EventType.NOTIFICATION
                return STATUS_SUCCESS
            if timeout == 0:
                return STATUS_TIMEOUT
            waiter = Lock()
            waiter.acquire()
            self._waiting.append(waiter)
        if kernel.wait(waiter, seconds(kernel, timeout)):
            return STATUS_SUCCESS
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                return STATUS_TIMEOUT
        return STATUS_SUCCESS  # it was signaled after the time-out

    def _signal(self) -> bool:
        """Makes the object signaled; returns whether it was before."""
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


@function_ddi(
    "KeInitializeEvent",
    "VOID (_Out_ PRKEVENT Event, _In_ EVENT_TYPE Type, _In_ BOOLEAN State)",
    highest=HIGH_LEVEL,
    binding=Binding(parameters={"Type": "kind"}),
)
@stands_for("KEVENT")
class KEvent(Dispatcher):
    """A kernel event.

    :param kernel: the kernel the event belongs to
    :param kind: notification or synchronization
    :param state: whether it is set at first
    """

    __slots__ = ()

    def __init__(
        self, kernel: "Kernel", kind: EventType = EventType.NOTIFICATION, *, state: bool = False
    ) -> None:
        super().__init__(kernel, kind, state=state)

    @function_ddi(
        "KeSetEvent",
        "LONG (_Inout_ PRKEVENT Event, _In_ KPRIORITY Increment, _In_ BOOLEAN Wait)",
        binding=Binding(omits=("Increment",)),
    )
    def set(self, *, wait: bool = False) -> bool:
        """Sets the event, at or below DISPATCH_LEVEL.

        :param wait: whether the caller waits next, which is allowed at or below APC_LEVEL
        :return: whether it was set before
        """
        irql = self._kernel.irql()
        if irql > (APC_LEVEL if wait else DISPATCH_LEVEL):
            self._kernel.bug_check(
                DRIVER_VERIFIER_DETECTED_VIOLATION,
                SET_EVENT_ABOVE_DISPATCH,
                irql,
                rule="IrqlKeSetEvent",
                message=f"KeSetEvent{' with Wait' if wait else ''} at {irql_name(irql)}",
            )
        return self._signal()

    @function_ddi("KeClearEvent", "VOID (_Inout_ PRKEVENT Event)")
    def clear(self) -> None:
        """Resets the event."""
        self._set = False

    @function_ddi("KeResetEvent", "LONG (_Inout_ PRKEVENT Event)")
    def reset(self) -> bool:
        """Resets the event.

        :return: whether it was set
        """
        with self._lock:
            before, self._set = self._set, False
        return before

    @function_ddi("KeReadStateEvent", "LONG (_In_ PRKEVENT Event)")
    def read_state(self) -> bool:
        """Returns whether the event is set."""
        return self._set


def seconds(kernel: "Kernel", timeout: int | None) -> float | None:
    """Converts a time, as waits take it, to seconds from now; ``None`` stays ``None``."""
    if timeout is None:
        return None
    return timeout_ticks(kernel.timers.clock, timeout) / TICKS_PER_SECOND


@function_ddi(
    "KeDelayExecutionThread",
    "NTSTATUS (_In_ KPROCESSOR_MODE WaitMode, _In_ BOOLEAN Alertable, "
    "_In_ PLARGE_INTEGER Interval)",
    highest=APC_LEVEL,
    binding=Binding(omits=("WaitMode", "Alertable")),
)
def delay_execution_thread(kernel: "Kernel", interval: int) -> int:
    """Sleeps, at or below APC_LEVEL; ends early if the system ends.

    :param interval: the time in units of 100 ns; relative if negative, absolute, since 1601, if
        positive
    :return: STATUS_SUCCESS, because nothing alerts a thread here
    """
    kernel.check_wait("KeDelayExecutionThread")
    never = Lock()
    never.acquire()
    kernel.wait(never, seconds(kernel, interval))
    return STATUS_SUCCESS
