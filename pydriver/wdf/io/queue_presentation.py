# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The presentation of requests: the calls of the driver, their lock and their thread.

Invariants, all under the device's I/O lock, under which nothing waits and no register is accessed:

- a request is in `queued`, or in `owned`, or in neither and completed;
- a request is presented only if the queue dispatches, is powered, and fewer than `limit` are
  owned;
- the thread that takes a request out of `queued` presents it. The request's `presenting` names the
  queue while a handler of that queue is called with it: completing it there does not present the
  next one, the loop that called the handler does. So handlers do not recurse;
- `handlers` counts the handlers on all stacks.

A queue without a lock and without a level (the default) presents wherever a request arrives or
leaves: `open` and `straight` say that it may. A *gated* queue, with a presentation lock or with
handlers at PASSIVE_LEVEL, presents only in `dispatch`; its `open` and `straight` are never set. If
the calling thread holds the lock already, or runs at too high an IRQL, a gated queue leaves the
call to a DPC or to a worker thread [FxIoQueue::DispatchEvents].
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from pydriver.ke.dpc import KDpc
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.io.irp import RequestType
from pydriver.wdf.io.queue_config import (
    IoQueueConfig,
    IoQueueDispatchType,
    StateCallback,
)
from pydriver.wdf.io.request import Request
from pydriver.wdf.io.request_completion import complete
from pydriver.wdf.io.request_state import OWNED
from pydriver.wdf.object.object import (
    ExecutionLevel,
    Object,
    ObjectAttributes,
    SynchronizationScope,
)
from pydriver.wdf.sync.serialization import (
    CallbackKind,
    DispatchLock,
    Presenting,
    effective_level,
    effective_scope,
    make_lock,
)

if TYPE_CHECKING:
    from threading import Lock

    from pydriver.wdf.io.device import IoDevice
    from pydriver.wdf.object.device_base import WdfDevice

__all__ = ("QueuePresentation",)

UNLIMITED = 0xFFFFFFFF
TRANSFERS = frozenset({RequestType.READ, RequestType.WRITE})
"""The requests that are completed at once if they are empty, unless the driver wants them."""

_PRESENT = Event.PRESENT
_now = perf_counter_ns

Handler = Callable[[Request], object]
Callback = Callable[..., object]


class QueuePresentation(Presenting):
    """The part of a queue that calls the driver.

    :ivar device: the device that the queue belongs to
    :ivar io: the device's I/O package
    :ivar config: the configuration at creation, with the defaults resolved
    :ivar accepting: whether requests may be added
    :ivar dispatching: whether it is neither stopped nor purged
    :ivar powered: whether the device is in D0, or the queue is not power managed
    :ivar queued: the requests that wait, the oldest first
    :ivar owned: the requests that the driver has
    :ivar handlers: the number of handlers that are on a stack now
    :ivar manual: whether the driver retrieves the requests
    :ivar gated: whether handlers are called under a lock, or at PASSIVE_LEVEL
    """

    __slots__ = (
        "_by_kind",
        "_deferred",
        "_kdpc",
        "_name",
        "_ready",
        "_wide",
        "accepting",
        "callback_kind",
        "config",
        "device",
        "dispatching",
        "execution_level",
        "gated",
        "handlers",
        "io",
        "limit",
        "lock",
        "manual",
        "open",
        "owned",
        "passive",
        "powered",
        "queued",
        "serialization_lock",
        "straight",
        "synchronization_scope",
        "watchers",
    )

    def __init__(
        self,
        device: "IoDevice",
        parent: Object,
        config: IoQueueConfig,
        attributes: ObjectAttributes,
    ) -> None:
        super().__init__(device._kernel, parent, attributes, deletable=not config.default_queue)
        self.device: WdfDevice = device
        self.io = device.io
        self.config = config
        self._set_level(device, attributes)
        self._name = f"queue {len(device.io.queues)} of {device}"
        self.lock: Lock = device.io.lock
        self.queued: deque[Request] = deque()
        self.owned: set[Request] = set()
        self.handlers = 0
        self.manual = config.dispatch_type is IoQueueDispatchType.MANUAL
        limit = config.number_of_presented_requests
        if config.dispatch_type is IoQueueDispatchType.SEQUENTIAL:
            self.limit = 1
        else:
            self.limit = UNLIMITED if limit is None else limit
        self.accepting = True
        self.dispatching = True
        self.powered = device.io.powered or not config.power_managed
        self._ready: tuple[StateCallback, Any] | None = None
        # Each is called once, outside of the lock, as soon as its condition holds.
        self.watchers: list[tuple[Callable[[], bool], Callable[[], None]]] = []
        self._by_kind = self._make_handlers()
        self._deferred: deque[Callable[[], None]] = deque()
        self._kdpc = KDpc(self._kernel, self._run_deferred, self)
        self.open = self.straight = self._wide = False
        self.update()

    def __str__(self) -> str:
        return self._name

    def _set_level(self, device: "IoDevice", attributes: ObjectAttributes) -> None:
        self.execution_level = effective_level(attributes, device.execution_level)
        self.synchronization_scope = effective_scope(attributes, device.synchronization_scope)
        if self.synchronization_scope is SynchronizationScope.QUEUE:
            self.serialization_lock = make_lock(self, self.execution_level)
        elif self.synchronization_scope is SynchronizationScope.DEVICE:
            self.serialization_lock = device.device_lock
        else:
            self.serialization_lock = None
        self.passive = self.execution_level is ExecutionLevel.PASSIVE
        self.callback_kind = CallbackKind.PASSIVE if self.passive else CallbackKind.DISPATCH
        self.gated = self.passive or self.serialization_lock is not None

    def update(self) -> None:
        """Updates the summaries after a change of what they depend on; the I/O lock is held."""
        self._wide = self.dispatching and self.powered and not self.manual
        self.open = self._wide and not self.gated
        self.straight = self.open and self.accepting

    # Handlers by type of request

    def _make_handlers(self) -> dict[int, Handler]:
        config = self.config
        default = self._checked(config.evt_io_default)

        def call_default(request: Request) -> None:
            assert default is not None
            default(self, request)

        fallback: Handler = _refuse if default is None else call_default
        control = self._control(config.evt_io_device_control)
        internal_control = self._control(config.evt_io_internal_device_control)
        return {
            RequestType.CREATE: fallback,
            RequestType.READ: self._transfer(config.evt_io_read, fallback),
            RequestType.WRITE: self._transfer(config.evt_io_write, fallback),
            RequestType.DEVICE_CONTROL: control or fallback,
            RequestType.DEVICE_CONTROL_INTERNAL: internal_control or fallback,
        }

    def _checked(self, callback: Callback | None) -> Callback | None:
        """A callback with the checks of `Kernel.invoke`, if the verifier is on."""
        kernel = self._kernel
        if callback is None or not (kernel.verifying or kernel.probe):
            return callback
        return partial(kernel.invoke, callback)

    def _transfer(self, callback: Callback | None, fallback: Handler) -> Handler:
        """A handler of reads or writes that completes empty ones, unless the driver wants them."""
        checked = self._checked(callback)
        wanted = self.config.allow_zero_length_requests

        def call(request: Request) -> None:
            length = request.length
            if not length and not wanted:
                complete(request, STATUS_SUCCESS, 0)
            elif checked is None:
                fallback(request)
            else:
                checked(self, request, length)

        return call

    def _control(self, callback: Callback | None) -> Handler | None:
        checked = self._checked(callback)
        if checked is None:
            return None

        def call(request: Request) -> None:
            irp = request.irp
            size = 0 if irp.input is None else len(irp.input)
            checked(self, request, irp.length, size, irp.code)

        return call

    # Requests that arrive and leave

    def told(self, *, first: bool) -> None:
        """Called when a request was put into `queued`, so that a thread takes it.

        :param first: whether nothing was waiting before it, as seen when it was put there
        """
        if self.gated:
            self.dispatch()
        if first and self._ready is not None:
            self.notify_ready()

    def left(self, request: Request) -> None:
        """Presents the next request, after one has left the driver or this queue."""
        lock = self.lock
        lock.acquire()
        self.owned.discard(request)
        if request.presenting is self:
            lock.release()
        else:
            following = self.next()
            lock.release()
            if following is not None:
                self.present(following)
            elif self.gated:
                self.dispatch()
        if self.watchers:
            self.watch()

    def resume(self) -> None:
        """Presents the waiting requests, after the queue was opened."""
        if self.gated:
            self.dispatch()
            return
        lock = self.lock
        while True:
            lock.acquire()
            request = self.next()
            lock.release()
            if request is None:
                return
            self.present(request)

    def next(self) -> Request | None:
        """Takes a request to be presented, if there is one; the I/O lock is held."""
        if not self.open or not self.queued or len(self.owned) >= self.limit:
            return None
        return self._take_first()

    def _take_first(self) -> Request:
        request = self.queued.popleft()
        request.state = OWNED
        request.presenting = self
        self.owned.add(request)
        self.handlers += 1
        return request

    # Presenting

    def present(self, request: Request | None) -> None:
        """Calls the handler of a request that was taken, and of those that can follow it."""
        kernel = self._kernel
        lock = self.lock
        by_kind = self._by_kind
        while request is not None:
            processor = self._current.processor
            kernel.record(
                (
                    _now(),
                    _PRESENT,
                    NO_PROCESSOR if processor is None else processor.number,
                    request.length,
                    self,
                    request.number,
                )
            )
            try:
                by_kind[request.irp.kind](request)
            except Exception as error:  # noqa: BLE001 -- becomes a bug check
                kernel.escaped(error)
            lock.acquire()
            self.handlers -= 1
            if request.presenting is self:
                request.presenting = None
            request = self.next()
            lock.release()
        if self.watchers:
            self.watch()

    def dispatch(self) -> None:
        """Presents the waiting requests of a gated queue; later, if this thread must not.

        The first look is without the lock: code that changes its conditions calls this afterwards.
        """
        if not self._wide or not self.queued or len(self.owned) >= self.limit:
            return
        if self.deferring:
            self.defer(self.dispatch)
            return
        lock = self.lock
        while True:
            with lock:
                if not self._wide or not self.queued or len(self.owned) >= self.limit:
                    break
                request = self._take_first()
            self.call_gated(self._present_one, (request,))
            with lock:
                self.handlers -= 1
                if request.presenting is self:
                    request.presenting = None
        if self.watchers:
            self.watch()

    def _present_one(self, request: Request) -> None:
        kernel = self._kernel
        processor = self._current.processor
        number = NO_PROCESSOR if processor is None else processor.number
        kernel.record((_now(), _PRESENT, number, request.length, self, request.number))
        try:
            self._by_kind[request.irp.kind](request)
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            kernel.escaped(error)

    # Other callbacks

    def deliver(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Calls a callback in the same way as the handlers; later, if this thread must not."""
        if not self.gated:
            self._kernel.invoke(callback, *arguments)
        elif self.deferring:
            self.defer(lambda: self.call_gated(self._kernel.invoke, (callback, *arguments)))
        else:
            self.call_gated(self._kernel.invoke, (callback, *arguments))

    def call_gated(self, routine: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        """Calls a function under the presentation lock, if there is one."""
        gate = self.serialization_lock
        if gate is None:
            routine(*arguments)
            return
        irql = gate.acquire()
        routine(*arguments)
        gate.release(irql)

    @property
    def deferring(self) -> bool:
        """Whether this thread must not call the driver: it holds the lock, or its IRQL is high."""
        gate = self.serialization_lock
        if gate is not None and gate.held_here:
            return True
        return self.passive and self._kernel.irql() > PASSIVE_LEVEL

    def defer(self, work: Callable[[], None]) -> None:
        """Leaves a call to a DPC, or to a worker thread."""
        self._deferred.append(work)
        if isinstance(self.serialization_lock, DispatchLock):
            self._kdpc.insert()  # if it is queued already, it has not looked yet
        else:
            self._kernel.workers.queue(self._run_deferred)

    def _run_deferred(self) -> None:
        while True:
            try:
                work = self._deferred.popleft()
            except IndexError:
                return
            work()

    def notify_ready(self) -> None:
        """Tells the driver that the manual queue has got requests, if the driver may have them."""
        ready = self._ready
        if ready is None or not self.dispatching or not self.powered:
            return
        callback, context = ready
        self.deliver(callback, self, context)

    def watch(self) -> None:
        """Calls the watchers whose condition holds."""
        with self.lock:
            due = [watcher for watcher in self.watchers if watcher[0]()]
            for watcher in due:
                self.watchers.remove(watcher)
        for _, call in due:
            call()


def _refuse(request: Request) -> None:
    complete(request, STATUS_INVALID_DEVICE_REQUEST, 0)
