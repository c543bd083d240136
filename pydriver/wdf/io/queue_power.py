# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The effects of the device's power and removal on a queue; all at PASSIVE_LEVEL.

When the device leaves D0, every queue is held first, which waits for the handlers on the stacks.
Then EvtIoStop is called for each owned request, and the sequence waits until each has been
completed, has gone to another queue, or is acknowledged [FxPkgIo::StopProcessingForPower].
"""

from typing import TYPE_CHECKING, Final

from pydriver.ke.status import STATUS_TIMEOUT
from pydriver.wdf.io.queue_config import IoStopAction
from pydriver.wdf.io.queue_states import QueueStates, calling_queues
from pydriver.wdf.io.request import Request
from pydriver.wdf.io.request_cancellation import cancel, cancel_held, cancel_in, end_cancelled
from pydriver.wdf.io.request_state import OWNED, QUEUED, StopState

if TYPE_CHECKING:
    from pydriver.wdf.io.file import File

__all__ = ("QueuePower",)

PATIENCE: Final = -100_000_000
"""The time for which a request may hold the power-down up before the verifier names it: 10 s."""


class QueuePower(QueueStates):
    """The part of a queue that follows the power of its device."""

    __slots__ = ()

    @property
    def owned_requests(self) -> tuple[Request, ...]:
        """The requests that the driver owns, the oldest first."""
        with self.lock:
            return tuple(sorted(self.owned, key=lambda request: request.number))

    def hold(self) -> None:
        """Stops presenting, and waits until no handler is on a stack."""
        if not self.config.power_managed or not self.powered:
            return
        with self.lock:
            self.powered = False
            self.update()
        self.wait_until(self._no_handler)

    def power_down(self, action: IoStopAction) -> None:
        """Waits until each owned request has ended or is acknowledged; after :meth:`hold`.

        :param action: the flag for EvtIoStop, SUSPEND or PURGE
        """
        if not self.config.power_managed:
            return
        self.hold()
        with self.lock:
            for request in self.owned:  # another queue may have kept it, and forwarded it then
                request.stop_state = StopState.RUNNING
        self._stop_owned(action)
        settled = self.event_when(self._settled)
        if settled.wait(PATIENCE) == STATUS_TIMEOUT:
            self._report_unsettled()
            settled.wait()

    def _no_handler(self) -> bool:
        return not self.handlers

    def _settled(self) -> bool:
        return all(request.stop_state is StopState.KEPT for request in self.owned)

    def _report_unsettled(self) -> None:
        stops = self.config.evt_io_stop is not None
        for request in self.owned_requests:
            if request.stop_state is not StopState.KEPT:
                self._kernel.verifier.violation(
                    "EvtIoStopCompleteOrStopAck" if stops else "DrvAckIoStop",
                    f"{request} keeps {self.device} from leaving D0: it is not completed, and "
                    + (
                        "EvtIoStop has not acknowledged it"
                        if stops
                        else "the queue has no EvtIoStop to acknowledge it"
                    ),
                    request,
                )

    def _stop_owned(self, action: IoStopAction) -> None:
        """Calls EvtIoStop for each owned request, and takes the requests to requeue back."""
        if self.config.evt_io_stop is None:
            return
        requests = self.owned_requests
        for request in requests:
            self._stop(request, action)
        for request in reversed(requests):
            self._take_back(request)

    def _stop(self, request: Request, action: IoStopAction) -> None:
        """Calls EvtIoStop for one request, whose cancellation waits meanwhile."""
        with self.lock:
            if request not in self.owned:
                return
            request.stop_state = StopState.STOPPING
            flags = action | IoStopAction.CANCELABLE if request.cancelable else action
        evt_io_stop = self.config.evt_io_stop
        assert evt_io_stop is not None
        self.deliver(evt_io_stop, self, request, flags)
        with self.lock:
            if request.stop_state is StopState.STOPPING:
                request.stop_state = StopState.RUNNING
        cancel_held(request)

    def _take_back(self, request: Request) -> None:
        given = False
        with self.lock:
            if request.stop_state is not StopState.REQUEUED or request not in self.owned:
                return
            request.stop_state = StopState.RUNNING
            request.presented = True
            self.owned.discard(request)
            cancelled = request.canceled
            if cancelled:
                given = cancel_in(request, self)
            else:
                request.state = QUEUED
                self.queued.appendleft(request)
        if cancelled:
            end_cancelled(request, self, given=given)

    def power_up(self) -> None:
        """Follows the device into D0: resumes the kept requests, and presents the waiting ones."""
        if self.powered:
            return
        with self.lock:
            self.powered = True
            self.update()
            kept = [request for request in self.owned if request.stop_state is StopState.KEPT]
            kept.sort(key=lambda request: request.number)
        for request in kept:
            with self.lock:
                resumed = request.state == OWNED and request.queue is self
                request.stop_state = StopState.RUNNING
            if resumed and self.config.evt_io_resume is not None:
                self.deliver(self.config.evt_io_resume, self, request)
        self.opened()

    def shut_down(self) -> None:
        """Follows the removal: asks for the owned requests back, and closes the queue."""
        if self.config.power_managed:
            self._stop_owned(IoStopAction.PURGE)
        self.close()

    def close(self) -> None:
        """Closes the queue for ever: cancels waiting requests, and waits for the owned ones.

        A request that the driver never completes is waited for without end; it is one of
        `owned_requests`. If a handler of this queue causes the removal, that handler is not waited
        for.
        """
        with self.lock:
            self.shut = True
            self.accepting = False
            self.dispatching = False
            self.update()
        self.cancel_all()
        self.wait_until(self._nothing_left if self in calling_queues() else self.empty)

    def _nothing_left(self) -> bool:
        return not self.owned and not self.queued

    def cancel_of_file(self, file: "File") -> None:
        """Cancels the requests of a closed handle that wait here."""
        with self.lock:
            requests = [request for request in self.queued if request.irp.file is file]
        for request in requests:
            cancel(request)
