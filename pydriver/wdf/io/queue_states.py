# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The states of a queue: start, stop, drain, purge, and the report of a complete change.

One change of each kind may be pending, with a callback or a waiting thread at its end: to idle
(stop), and to empty (drain, purge). A change is complete only when no handler of the queue is on a
stack [FxIoQueue::QueueIdle, QueuePurge].
"""

import sys
from collections.abc import Callable
from enum import Enum
from threading import get_ident
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from pydriver.ke.bugcheck import WDF_VIOLATION, WdfViolation
from pydriver.ke.event import KEvent
from pydriver.wdf.io.queue_config import IoQueueConfig, IoQueueState, StateCallback
from pydriver.wdf.io.queue_presentation import QueuePresentation
from pydriver.wdf.io.request_cancellation import cancel
from pydriver.wdf.object.ddi import PASSIVE_LEVEL, ddi
from pydriver.wdf.object.object import Object, ObjectAttributes, Phase

if TYPE_CHECKING:
    from pydriver.wdf.io.device import IoDevice

__all__ = ("QueueStates", "calling_queues")


class Change(Enum):
    """A state change that can be pending."""

    IDLE = "stop"
    EMPTY = "drain or purge"


class QueueStates(QueuePresentation):
    """The part of a queue that changes its state.

    :ivar pending: the state changes that are not complete yet
    :ivar shut: whether the device is being removed, so that nothing is ever accepted again
    """

    __slots__ = ("pending", "shut")

    def __init__(
        self,
        device: "IoDevice",
        parent: Object,
        config: IoQueueConfig,
        attributes: ObjectAttributes,
    ) -> None:
        super().__init__(device, parent, config, attributes)
        self.pending: set[Change] = set()
        self.shut = False

    @ddi(
        "WdfIoQueueGetState",
        "WDF_IO_QUEUE_STATE (_In_ WDFQUEUE Queue, _Out_opt_ PULONG QueueRequests, "
        "_Out_opt_ PULONG DriverRequests)",
    )
    def get_state(self) -> tuple[IoQueueState, int, int]:
        """The state, the number of waiting requests, and the number that the driver owns."""
        with self.lock:
            queued, owned = len(self.queued), len(self.owned)
            state = IoQueueState(0)
            if self.accepting:
                state |= IoQueueState.ACCEPT_REQUESTS
            if self.dispatching:
                state |= IoQueueState.DISPATCH_REQUESTS
            if not self.powered:
                state |= IoQueueState.PNP_HELD
        if not queued:
            state |= IoQueueState.NO_REQUESTS
        if not owned:
            state |= IoQueueState.DRIVER_NO_REQUESTS
        return state, queued, owned

    @ddi("WdfIoQueueStart", "VOID (_In_ WDFQUEUE Queue)")
    def start(self) -> None:
        """Accepts and presents requests again; accepts nothing while the device is removed."""
        self._check_change("WdfIoQueueStart")
        self._set(accepting=True, dispatching=True)
        self.opened()

    @ddi(
        "WdfIoQueueStop",
        "VOID (_In_ WDFQUEUE Queue, _In_opt_ PFN_WDF_IO_QUEUE_STATE StopComplete, "
        "_In_opt_ WDFCONTEXT Context)",
    )
    def stop(self, stop_complete: StateCallback | None = None, context: Any = None) -> None:
        """Presents nothing more, but still accepts.

        :param stop_complete: EvtIoQueueState(queue, context), called without the presentation lock
            when the driver owns no request
        """
        self._check_change("WdfIoQueueStop", Change.IDLE if stop_complete else None)
        self._set(dispatching=False)
        self._call_when(Change.IDLE, stop_complete, context)

    @ddi(
        "WdfIoQueueStopAndPurge",
        "VOID (_In_ WDFQUEUE Queue, _In_opt_ PFN_WDF_IO_QUEUE_STATE StopAndPurgeComplete, "
        "_In_opt_ WDFCONTEXT Context)",
    )
    def stop_and_purge(
        self, stop_and_purge_complete: StateCallback | None = None, context: Any = None
    ) -> None:
        """Presents nothing more, but still accepts; cancels as :meth:`purge` does.

        :param stop_and_purge_complete: EvtIoQueueState(queue, context), called as for :meth:`stop`
        """
        self._check_change(
            "WdfIoQueueStopAndPurge", Change.IDLE if stop_and_purge_complete else None
        )
        self._set(dispatching=False)
        self.cancel_all()
        self._call_when(Change.IDLE, stop_and_purge_complete, context)

    @ddi(
        "WdfIoQueueDrain",
        "VOID (_In_ WDFQUEUE Queue, _In_opt_ PFN_WDF_IO_QUEUE_STATE DrainComplete, "
        "_In_opt_ WDFCONTEXT Context)",
    )
    def drain(self, drain_complete: StateCallback | None = None, context: Any = None) -> None:
        """Accepts nothing more, but presents the waiting requests.

        :param drain_complete: EvtIoQueueState(queue, context), called when nothing waits or is
            owned
        """
        self._check_change("WdfIoQueueDrain", Change.EMPTY if drain_complete else None)
        self._set(accepting=False, dispatching=True)
        self._call_when(Change.EMPTY, drain_complete, context)
        self.opened()

    @ddi(
        "WdfIoQueuePurge",
        "VOID (_In_ WDFQUEUE Queue, _In_opt_ PFN_WDF_IO_QUEUE_STATE PurgeComplete, "
        "_In_opt_ WDFCONTEXT Context)",
    )
    def purge(self, purge_complete: StateCallback | None = None, context: Any = None) -> None:
        """Accepts nothing more; cancels the waiting requests, and the owned cancelable ones.

        :param purge_complete: EvtIoQueueState(queue, context), called when nothing waits or is
            owned
        """
        self._check_change("WdfIoQueuePurge", Change.EMPTY if purge_complete else None)
        self._set(accepting=False)
        self.cancel_all()
        self._call_when(Change.EMPTY, purge_complete, context)

    @ddi(
        "WdfIoQueueStopSynchronously",
        "VOID (_In_ WDFQUEUE Queue)",
        highest=PASSIVE_LEVEL,
        refusal=None,
    )
    def stop_synchronously(self) -> None:
        """Stops as :meth:`stop`, and waits until the driver owns no request."""
        waits = self._check_wait("WdfIoQueueStopSynchronously", Change.IDLE)
        self._set(dispatching=False)
        self._wait_for(Change.IDLE, waits=waits)

    @ddi(
        "WdfIoQueueStopAndPurgeSynchronously",
        "VOID (_In_ WDFQUEUE Queue)",
        highest=PASSIVE_LEVEL,
        refusal=None,
    )
    def stop_and_purge_synchronously(self) -> None:
        """Stops as :meth:`stop_and_purge`, and waits until the driver owns no request."""
        waits = self._check_wait("WdfIoQueueStopAndPurgeSynchronously", Change.IDLE)
        self._set(dispatching=False)
        self.cancel_all()
        self._wait_for(Change.IDLE, waits=waits)

    @ddi(
        "WdfIoQueueDrainSynchronously",
        "VOID (_In_ WDFQUEUE Queue)",
        highest=PASSIVE_LEVEL,
        refusal=None,
    )
    def drain_synchronously(self) -> None:
        """Drains as :meth:`drain`, and waits until nothing waits or is owned."""
        waits = self._check_wait("WdfIoQueueDrainSynchronously", Change.EMPTY)
        self._set(accepting=False, dispatching=True)
        self.opened()
        self._wait_for(Change.EMPTY, waits=waits)

    @ddi(
        "WdfIoQueuePurgeSynchronously",
        "VOID (_In_ WDFQUEUE Queue)",
        highest=PASSIVE_LEVEL,
        refusal=None,
    )
    def purge_synchronously(self) -> None:
        """Purges as :meth:`purge`, and waits until nothing waits or is owned."""
        waits = self._check_wait("WdfIoQueuePurgeSynchronously", Change.EMPTY)
        self._set(accepting=False)
        self.cancel_all()
        self._wait_for(Change.EMPTY, waits=waits)

    # The steps

    def _set(self, *, accepting: bool | None = None, dispatching: bool | None = None) -> None:
        with self.lock:
            if accepting is not None:
                self.accepting = accepting and not self.shut
            if dispatching is not None:
                self.dispatching = dispatching
            self.update()

    def opened(self) -> None:
        """Tells the driver, or presents the waiting requests, when the queue may present again."""
        if self.queued and self._ready is not None:
            self.notify_ready()
        self.resume()

    def cancel_all(self) -> None:
        """Cancels the waiting requests, and the owned cancelable ones."""
        with self.lock:
            requests = [*self.queued, *self.owned]
        for request in requests:
            cancel(request, purging=True)

    def idle(self) -> bool:
        """Whether the driver owns nothing and no handler is on a stack; the I/O lock is held."""
        return not self.owned and not self.handlers

    def empty(self) -> bool:
        """Whether the queue is idle, and nothing waits either; the I/O lock is held."""
        return not self.owned and not self.handlers and not self.queued

    def _condition(self, change: Change) -> Callable[[], bool]:
        return self.idle if change is Change.IDLE else self.empty

    def _check_change(self, what: str, change: Change | None = None) -> None:
        """Reports a change of a queue that is being deleted, or has a pending one of the kind."""
        if self._phase is not Phase.ALIVE or change in self.pending:
            why = (
                f"a {change.value} is pending" if change in self.pending else "it is being deleted"
            )
            self._kernel.bug_check(
                WDF_VIOLATION,
                WdfViolation.QUEUE_FATAL_ERROR,
                id(self),
                rule="ChangeQueueState",
                message=f"{what} of {self}, but {why}",
                subject=self,
            )
        if self.device.surprised_thread == get_ident():
            self._kernel.verifier.violation(
                "EvtSurpriseRemoveNoSuspendQueue",
                f"{what} of {self} in EvtDeviceSurpriseRemoval",
                self,
            )
        if self.pending:
            names = " and ".join(each.value for each in self.pending)
            self._kernel.verifier.violation(
                "ChangeQueueState", f"{what} of {self} while a {names} is not complete", self
            )

    def _check_wait(self, what: str, change: Change) -> bool:
        """Whether the call may wait: not in a handler of this queue, which it would wait for."""
        self._check_change(what, change)
        callers = calling_queues()
        if callers:
            names = ", ".join(str(each) for each in callers)
            self._kernel.verifier.violation(
                "NoIoQueuePurgeSynchronously", f"{what} of {self} in a callback of {names}", self
            )
        return self not in callers

    def _call_when(self, change: Change, callback: StateCallback | None, context: Any) -> None:
        if callback is None:
            return

        def call() -> None:
            self.pending.discard(change)
            if change is Change.IDLE:
                self._kernel.invoke(callback, self, context)
            else:
                self.deliver(callback, self, context)

        self.pending.add(change)
        self.watchers.append((self._condition(change), call))
        self.watch()

    def _wait_for(self, change: Change, *, waits: bool) -> None:
        if not waits:
            return
        self.pending.add(change)
        try:
            self.wait_until(self._condition(change))
        finally:
            self.pending.discard(change)

    def event_when(self, condition: Callable[[], bool]) -> KEvent:
        """An event that is set as soon as a condition of the queue holds.

        :param condition: the condition, evaluated with the I/O lock held
        """
        event = KEvent(self._kernel)

        def wake() -> None:
            event.set()

        self.watchers.append((condition, wake))
        self.watch()
        return event

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Waits until a condition of the queue holds; at PASSIVE_LEVEL."""
        self.event_when(condition).wait()


_CALLERS: frozenset[CodeType] = frozenset(
    routine.__code__
    for routine in (
        QueuePresentation.present,
        QueuePresentation.deliver,
        QueuePresentation.call_gated,
    )
)
"""The methods that call the driver: each is one of the queue that is calling."""


def calling_queues() -> list[QueuePresentation]:
    """The queues whose callbacks are on the calling thread's stack, which is searched for them.

    A call of a callback notes nothing for this: it is needed only where a call would wait.
    """
    found: list[QueuePresentation] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code in _CALLERS:
            queue = frame.f_locals["self"]
            if queue not in found:
                found.append(queue)
        frame = frame.f_back
    return found
