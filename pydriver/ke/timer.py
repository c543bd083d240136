# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Kernel timers [KeSetTimerEx, KeCancelTimer].

When a timer is due, the thread of the timer queue signals it, and queues its DPC on the processor
that set the timer.
"""

from time import perf_counter_ns
from typing import TYPE_CHECKING

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import stands_for
from pydriver.ke.clock import TICKS_PER_MS, timeout_ticks
from pydriver.ke.ddi import function_ddi
from pydriver.ke.event import Dispatcher, EventType
from pydriver.ke.irql import HIGH_LEVEL
from pydriver.ke.timer_queue import Due
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR

if TYPE_CHECKING:
    from pydriver.ke.dpc import KDpc
    from pydriver.ke.kernel import Kernel

__all__ = ("KTimer",)


@function_ddi(
    "KeInitializeTimer",
    "VOID (_Out_ PKTIMER Timer)",
    highest=HIGH_LEVEL,
    binding=Binding(adds=("kind", "owner")),
)
@function_ddi(
    "KeInitializeTimerEx",
    "VOID (_Out_ PKTIMER Timer, _In_ TIMER_TYPE Type)",
    highest=HIGH_LEVEL,
    binding=Binding(parameters={"Type": "kind"}, adds=("owner",)),
)
@stands_for("KTIMER")
class KTimer(Dispatcher):
    """A kernel timer [KeInitializeTimerEx]. It is signaled when it expires.

    :param kernel: the kernel the timer belongs to
    :param kind: the effect of a signal on waiters
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
        self._entry: Due | None = None
        self._dpc: KDpc | None = None
        self._period = 0
        self._tolerance = 0
        self._owner = owner

    @property
    def queued(self) -> bool:
        """Whether it is set; a periodic timer is until it is cancelled."""
        return self._entry is not None

    @function_ddi(
        "KeSetTimer",
        "BOOLEAN (_Inout_ PKTIMER Timer, _In_ LARGE_INTEGER DueTime, _In_opt_ PKDPC Dpc)",
        binding=Binding(adds=("period", "tolerable_delay")),
    )
    @function_ddi(
        "KeSetTimerEx",
        "BOOLEAN (_Inout_ PKTIMER Timer, _In_ LARGE_INTEGER DueTime, _In_ LONG Period, "
        "_In_opt_ PKDPC Dpc)",
        binding=Binding(adds=("tolerable_delay",)),
    )
    @function_ddi(
        "KeSetCoalescableTimer",
        "BOOLEAN (_Inout_ PKTIMER Timer, _In_ LARGE_INTEGER DueTime, _In_ ULONG Period, "
        "_In_ ULONG TolerableDelay, _In_opt_ PKDPC Dpc)",
    )
    def set(
        self,
        due_time: int,
        period: int = 0,
        dpc: "KDpc | None" = None,
        tolerable_delay: int = 0,
    ) -> bool:
        """Sets the timer; an earlier setting is replaced.

        :param due_time: the time in units of 100 ns: relative if negative, else absolute, since
            1601
        :param period: the period in ms; 0 to expire only once
        :param dpc: the DPC to queue at each expiration, or ``None``
        :param tolerable_delay: the delay in ms that is allowed so that it expires together with
            another timer
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

    @function_ddi("KeCancelTimer", "BOOLEAN (_Inout_ PKTIMER Timer)")
    def cancel(self) -> bool:
        """Takes it out of the queue; its DPC may nevertheless be queued or running.

        :return: whether it was set
        """
        with self._timers.lock:
            return self._take_out()

    @function_ddi("KeReadStateTimer", "BOOLEAN (_In_ PKTIMER Timer)")
    def read_state(self) -> bool:
        """Returns whether the timer is signaled."""
        return self.signaled

    def _take_out(self) -> bool:
        entry, self._entry = self._entry, None
        if entry is None:
            return False
        self._timers.remove(entry)
        return True

    def _expire(self, entry: Due) -> None:
        timers = self._timers
        with timers.lock:
            if self._entry is not entry:  # it was set again, or cancelled, meanwhile
                return
            dpc = self._dpc
            self._signal()  # under the same lock: setting it again clears this
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
