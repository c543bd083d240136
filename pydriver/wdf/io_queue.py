# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFQUEUE: sequential, parallel and manual queues [fxioqueue.cpp].

Invariants, all under the device's I/O lock, under which nothing waits and no register is accessed:

- a request is in `queued`, or in `owned`, or in neither and completed;
- a request is presented only if `open` says so and fewer than `limit` are owned; `straight` says
  that one that arrives may be presented without waiting;
- whoever takes a request out of `queued` presents it. `presenting` is set while its handler is
  called: completing it there does not present the next one, the loop that called the handler
  does. So handlers do not recurse.
"""

from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
    STATUS_WDF_NO_CALLBACK,
    STATUS_WDF_PAUSED,
    NtStatusError,
)
from pydriver.ke.thread import KEvent
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.ddi import PASSIVE_LEVEL, creation_ddi, ddi
from pydriver.wdf.io_queue_config import (
    IoQueueConfig,
    IoQueueDispatchType,
    IoQueueState,
    IoStopAction,
    StateCallback,
)
from pydriver.wdf.irp import RequestType
from pydriver.wdf.object import (
    ExecutionLevel,
    Object,
    ObjectAttributes,
    ParentRule,
    SynchronizationScope,
)
from pydriver.wdf.request import COMPLETED, OWNED, QUEUED, Request
from pydriver.wdf.serialization import (
    CallbackKind,
    Presenting,
    effective_level,
    effective_scope,
    make_lock,
)

if TYPE_CHECKING:
    from threading import Lock

    from pydriver.wdf.device import Device
    from pydriver.wdf.file import File
    from pydriver.wdf.irp import Irp

__all__ = ("IoQueue",)

UNLIMITED = 0xFFFFFFFF


class IoQueue(Presenting):
    """A queue of requests.

    :ivar device: that it belongs to
    :ivar config: as at creation
    :ivar accepting: requests may be added
    :ivar queued: requests that wait, the oldest first
    :ivar owned: requests that the driver has
    """

    __slots__ = (
        "_handlers",
        "_name",
        "_ready",
        "accepting",
        "config",
        "device",
        "dispatching",
        "limit",
        "lock",
        "manual",
        "open",
        "owned",
        "powered",
        "queued",
        "stopping",
        "straight",
        "watchers",
    )

    fx_type: ClassVar[int] = 0x1003
    allows_level: ClassVar[bool] = True
    allows_scope: ClassVar[bool] = True
    passive_disposal: ClassVar[bool] = True

    def __init__(
        self,
        device: "Device",
        parent: Object,
        config: IoQueueConfig,
        attributes: ObjectAttributes,
    ) -> None:
        super().__init__(device._kernel, parent, attributes, deletable=not config.default_queue)
        self.device = device
        self.config = config
        self.execution_level = effective_level(attributes, device.execution_level)
        self.synchronization_scope = effective_scope(attributes, device.synchronization_scope)
        if self.synchronization_scope is SynchronizationScope.QUEUE:
            self.serialization_lock = make_lock(self, self.execution_level)
        elif self.synchronization_scope is SynchronizationScope.DEVICE:
            self.serialization_lock = device.device_lock
        else:
            self.serialization_lock = None
        passive = self.execution_level is ExecutionLevel.PASSIVE
        self.callback_kind = CallbackKind.PASSIVE if passive else CallbackKind.DISPATCH
        self._name = f"queue {len(device.queues)} of {device}"
        self.lock: Lock = device.io_lock
        self.queued: deque[Request] = deque()
        self.owned: set[Request] = set()
        self.manual = config.dispatch_type is IoQueueDispatchType.MANUAL
        limit = config.number_of_presented_requests
        if config.dispatch_type is IoQueueDispatchType.SEQUENTIAL:
            self.limit = 1
        else:
            self.limit = UNLIMITED if limit is None else limit
        self.accepting = True
        self.dispatching = True
        self.powered = device.powered or not config.power_managed
        self.stopping = False
        self._ready: tuple[StateCallback, Any] | None = None
        # Called once, outside of the lock, as soon as its condition holds.
        self.watchers: list[tuple[Callable[[], bool], Callable[[], None]]] = []
        self._handlers = self._make_handlers()
        self.open = self.straight = False
        self._update()

    def __str__(self) -> str:
        return self._name

    @classmethod
    @creation_ddi(
        "WdfIoQueueCreate",
        "NTSTATUS (WDFDEVICE, PWDF_IO_QUEUE_CONFIG, PWDF_OBJECT_ATTRIBUTES, WDFQUEUE *)",
    )
    def create(
        cls,
        device: "Device",
        config: IoQueueConfig,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Creates a queue.

        :param device: that it belongs to
        :param config: what it presents, and how
        :param attributes: a parent other than the device must be below the device
        :raises NtStatusError: a check failed [WdfIoQueueCreate]
        """
        what = "WdfIoQueueCreate"
        attributes = cls.check_attributes(attributes, ParentRule.OPTIONAL, what)
        parent = attributes.parent_object or device
        if parent.device_above is not device:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: parent {parent}")
        manual = config.dispatch_type is IoQueueDispatchType.MANUAL
        handlers = (
            config.evt_io_default,
            config.evt_io_read,
            config.evt_io_write,
            config.evt_io_device_control,
        )
        if manual and any(handlers):
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: a manual queue with handlers")
        if not manual and not any(handlers):
            raise NtStatusError(STATUS_WDF_NO_CALLBACK, what)
        limited = config.number_of_presented_requests is not None
        if limited and config.dispatch_type is not IoQueueDispatchType.PARALLEL:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: a limit, but not parallel")
        if config.default_queue and not device.initializing:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{what}: default queue after start")
        if config.default_queue and device.default_queue is not None:
            raise NtStatusError(STATUS_UNSUCCESSFUL, f"{what}: a second default queue")
        queue = cls(device, parent, config, attributes)
        device.queues.append(queue)
        if config.default_queue:
            device.set_default_queue(queue)
        return queue

    # Presenting

    def _make_handlers(self) -> dict[int, Callable[[Request], None]]:
        config = self.config
        handlers: dict[int, Callable[[Request], None]] = {}
        default, read, write = config.evt_io_default, config.evt_io_read, config.evt_io_write
        control = config.evt_io_device_control

        def call_default(request: Request) -> None:
            assert default is not None
            default(self, request)

        def call_read(request: Request) -> None:
            assert read is not None
            read(self, request, request.length)

        def call_write(request: Request) -> None:
            assert write is not None
            write(self, request, request.length)

        def call_control(request: Request) -> None:
            assert control is not None
            irp = request.irp
            size = 0 if irp.input is None else len(irp.input)
            control(self, request, irp.length, size, irp.code)

        def refuse(request: Request) -> None:
            request.complete(STATUS_INVALID_DEVICE_REQUEST)

        fallback = refuse if default is None else call_default
        for kind, callback, caller in (
            (RequestType.READ, read, call_read),
            (RequestType.WRITE, write, call_write),
            (RequestType.DEVICE_CONTROL, control, call_control),
        ):
            handlers[kind] = fallback if callback is None else caller
        for kind in (RequestType.CREATE, RequestType.DEVICE_CONTROL_INTERNAL):
            handlers.setdefault(kind, fallback)
        return handlers

    def handles(self, kind: RequestType) -> bool:
        """Whether the queue can take requests of a kind."""
        config = self.config
        return (
            self.manual
            or config.evt_io_default is not None
            or {
                RequestType.READ: config.evt_io_read,
                RequestType.WRITE: config.evt_io_write,
                RequestType.DEVICE_CONTROL: config.evt_io_device_control,
            }.get(kind)
            is not None
        )

    def submit(self, irp: "Irp") -> None:
        """Takes a request from the application; at IRQL <= DISPATCH_LEVEL."""
        if not irp.length and irp.kind in _ZERO and not self.config.allow_zero_length_requests:
            irp.finish(STATUS_SUCCESS, 0)
            return
        request = Request(irp, self)
        lock = self.lock
        lock.acquire()
        if self.straight and not self.queued and len(self.owned) < self.limit:
            self.owned.add(request)
            request.state = OWNED
            request.presenting = True
            lock.release()
            self.present(request)
            return
        accepting = self.accepting
        if accepting:
            self.queued.append(request)
        else:
            request.state = COMPLETED
        lock.release()
        if accepting:
            self.told()
        else:
            irp.finish(STATUS_INVALID_DEVICE_STATE, 0)

    def take(self, request: Request) -> bool:
        """Takes a request that is forwarded; the lock is held.

        :return: whether the caller has to present it
        """
        if self.straight and not self.queued and len(self.owned) < self.limit:
            self.owned.add(request)
            request.presenting = True
            return True
        request.state = QUEUED
        self.queued.append(request)
        return False

    def told(self) -> None:
        """A request was put into `queued`: tells the driver, if the queue is manual."""
        if self._ready is not None and len(self.queued) == 1:
            self._notify_ready()

    def left(self, request: Request) -> None:
        """A request has left the driver, or this queue: present the next one."""
        lock = self.lock
        lock.acquire()
        self.owned.discard(request)
        following = None if request.presenting else self.next()
        lock.release()
        if following is not None:
            self.present(following)
        if self.watchers:
            self.watch()

    def resume(self) -> None:
        """Presents what is waiting, after the queue was opened."""
        lock = self.lock
        while True:
            lock.acquire()
            request = self.next()
            lock.release()
            if request is None:
                return
            self.present(request)

    def next(self) -> Request | None:
        """Takes a request to be presented, if there is one; the lock is held."""
        if not self.open or not self.queued or len(self.owned) >= self.limit:
            return None
        request = self.queued.popleft()
        request.state = OWNED
        request.presenting = True
        self.owned.add(request)
        return request

    def present(self, request: Request | None) -> None:
        """Calls the handler of a request that was taken, and of those that can follow it."""
        kernel = self._kernel
        lock = self.lock
        handlers = self._handlers
        while request is not None:
            processor = self._current.processor
            kernel.record(
                (
                    perf_counter_ns(),
                    _PRESENT,
                    NO_PROCESSOR if processor is None else processor.number,
                    request.length,
                    self,
                    request.number,
                )
            )
            try:
                handlers[request.irp.kind](request)
            except Exception as error:  # noqa: BLE001 -- becomes a bug check
                kernel.escaped(error)
            lock.acquire()
            request.presenting = False
            request = self.next()
            lock.release()

    def _notify_ready(self) -> None:
        ready = self._ready
        if ready is None or not self.dispatching or not self.powered:
            return
        callback, context = ready
        try:
            callback(self, context)
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            self._kernel.escaped(error)

    def _update(self) -> None:
        """After a change of what they depend on; the lock is held."""
        self.open = self.dispatching and self.powered and not self.manual
        self.straight = self.open and self.accepting

    # DDIs

    @ddi("WdfIoQueueGetDevice", "WDFDEVICE (WDFQUEUE Queue)")
    def get_device(self) -> "Device":
        """The device that the queue belongs to."""
        return self.device

    @ddi(
        "WdfIoQueueGetState",
        "WDF_IO_QUEUE_STATE (WDFQUEUE, PULONG QueueRequests, PULONG DriverRequests)",
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

    @ddi("WdfIoQueueRetrieveNextRequest", "NTSTATUS (WDFQUEUE Queue, WDFREQUEST *OutRequest)")
    def retrieve_next_request(self) -> Request | None:
        """Takes the oldest request out of the queue.

        :return: ``None`` for STATUS_NO_MORE_ENTRIES
        :raises NtStatusError: STATUS_WDF_PAUSED: the queue is stopped, or the device not in D0
        """
        with self.lock:
            if not self.dispatching or not self.powered:
                raise NtStatusError(STATUS_WDF_PAUSED, f"WdfIoQueueRetrieveNextRequest({self})")
            if not self.queued:
                return None
            request = self.queued.popleft()
            request.state = OWNED
            self.owned.add(request)
        return request

    @ddi(
        "WdfIoQueueRetrieveRequestByFileObject",
        "NTSTATUS (WDFQUEUE Queue, WDFFILEOBJECT FileObject, WDFREQUEST *OutRequest)",
    )
    def retrieve_request_by_file_object(self, file: "File") -> Request | None:
        """Takes the oldest request of a file out of the queue.

        :return: ``None`` for STATUS_NO_MORE_ENTRIES
        :raises NtStatusError: STATUS_WDF_PAUSED: the queue is stopped, or the device not in D0
        """
        with self.lock:
            if not self.dispatching or not self.powered:
                raise NtStatusError(
                    STATUS_WDF_PAUSED, f"WdfIoQueueRetrieveRequestByFileObject({self})"
                )
            for request in self.queued:
                if request.irp.file is file:
                    self.queued.remove(request)
                    request.state = OWNED
                    self.owned.add(request)
                    return request
        return None

    @ddi(
        "WdfIoQueueReadyNotify",
        "NTSTATUS (WDFQUEUE Queue, PFN_WDF_IO_QUEUE_STATE QueueReady, WDFCONTEXT Context)",
    )
    def ready_notify(self, queue_ready: StateCallback | None, context: Any = None) -> int:
        """Has a callback called when the manual queue gets its first request.

        :param queue_ready: EvtIoQueueState(queue, context); ``None`` ends it
        :return: STATUS_INVALID_DEVICE_REQUEST: the queue is not manual, or has a callback
        """
        if not self.manual or (queue_ready is None) == (self._ready is None):
            return STATUS_INVALID_DEVICE_REQUEST
        if queue_ready is None:
            if self.dispatching:
                return STATUS_INVALID_DEVICE_REQUEST
            self._ready = None
            return STATUS_SUCCESS
        self._ready = (queue_ready, context)
        if self.queued:
            self._notify_ready()
        return STATUS_SUCCESS

    @ddi("WdfIoQueueStart", "VOID (WDFQUEUE Queue)")
    def start(self) -> None:
        """Accepts and presents requests again."""
        with self.lock:
            self.accepting = True
            self.dispatching = True
            self._update()
        self._opened()

    @ddi(
        "WdfIoQueueStop",
        "VOID (WDFQUEUE Queue, PFN_WDF_IO_QUEUE_STATE StopComplete, WDFCONTEXT Context)",
    )
    def stop(self, stop_complete: StateCallback | None = None, context: Any = None) -> None:
        """Presents nothing more, but still accepts.

        :param stop_complete: EvtIoQueueState(queue, context), when the driver owns none
        """
        with self.lock:
            self.dispatching = False
            self._update()
        self._when(self._nothing_owned, stop_complete, context)

    @ddi(
        "WdfIoQueueDrain",
        "VOID (WDFQUEUE Queue, PFN_WDF_IO_QUEUE_STATE DrainComplete, WDFCONTEXT Context)",
    )
    def drain(self, drain_complete: StateCallback | None = None, context: Any = None) -> None:
        """Accepts nothing more, but still presents what is waiting.

        :param drain_complete: EvtIoQueueState(queue, context), when nothing waits or is owned
        """
        with self.lock:
            self.accepting = False
            self._update()
        self._when(self._empty, drain_complete, context)

    @ddi(
        "WdfIoQueuePurge",
        "VOID (WDFQUEUE Queue, PFN_WDF_IO_QUEUE_STATE PurgeComplete, WDFCONTEXT Context)",
    )
    def purge(self, purge_complete: StateCallback | None = None, context: Any = None) -> None:
        """Accepts nothing more; cancels what is waiting, and what is owned and cancelable.

        :param purge_complete: EvtIoQueueState(queue, context), when nothing waits or is owned
        """
        with self.lock:
            self.accepting = False
            self._update()
        self._cancel_all()
        self._when(self._empty, purge_complete, context)

    @ddi(
        "WdfIoQueueStopSynchronously", "VOID (WDFQUEUE Queue)", highest=PASSIVE_LEVEL, refusal=None
    )
    def stop_synchronously(self) -> None:
        """As :meth:`stop`, and waits until the driver owns no request."""
        with self.lock:
            self.dispatching = False
            self._update()
        self._await(self._nothing_owned)

    @ddi(
        "WdfIoQueueDrainSynchronously", "VOID (WDFQUEUE Queue)", highest=PASSIVE_LEVEL, refusal=None
    )
    def drain_synchronously(self) -> None:
        """As :meth:`drain`, and waits until nothing waits or is owned."""
        with self.lock:
            self.accepting = False
            self._update()
        self._await(self._empty)

    @ddi(
        "WdfIoQueuePurgeSynchronously", "VOID (WDFQUEUE Queue)", highest=PASSIVE_LEVEL, refusal=None
    )
    def purge_synchronously(self) -> None:
        """As :meth:`purge`, and waits until nothing waits or is owned."""
        with self.lock:
            self.accepting = False
            self._update()
        self._cancel_all()
        self._await(self._empty)

    # State changes

    def _nothing_owned(self) -> bool:
        return not self.owned

    def _empty(self) -> bool:
        return not self.owned and not self.queued

    def _opened(self) -> None:
        if self.queued and self._ready is not None:
            self._notify_ready()
        self.resume()

    def _cancel_all(self, file: "File | None" = None) -> None:
        with self.lock:
            requests = [*self.queued, *self.owned]
        for request in requests:
            if file is None or request.irp.file is file:
                request.cancel()

    def _when(
        self, condition: Callable[[], bool], callback: StateCallback | None, context: Any
    ) -> None:
        if callback is None:
            return
        if len(self.watchers) > 0:
            self._kernel.bug_check(
                WDF_VIOLATION,
                0xA,
                id(self),
                rule="ChangeQueueState",
                message=f"a state change of {self} is still pending",
            )

        def call() -> None:
            try:
                callback(self, context)
            except Exception as error:  # noqa: BLE001 -- becomes a bug check
                self._kernel.escaped(error)

        self.watchers.append((condition, call))
        self.watch()

    def _await(self, condition: Callable[[], bool]) -> None:
        event = KEvent(self._kernel)

        def wake() -> None:
            event.set()

        self.watchers.append((condition, wake))
        self.watch()
        event.wait()

    def watch(self) -> None:
        """Calls the watchers whose condition holds."""
        with self.lock:
            due = [watcher for watcher in self.watchers if watcher[0]()]
            for watcher in due:
                self.watchers.remove(watcher)
        for _, call in due:
            call()

    # Power and removal, by the device at PASSIVE_LEVEL

    def power_up(self) -> None:
        """The device is in D0: present what has waited."""
        if self.powered:
            return
        with self.lock:
            self.powered = True
            self._update()
            kept = [request for request in self.owned if request.stop_acknowledged is False]
        for request in kept:
            request.stop_acknowledged = None
            if self.config.evt_io_resume is not None:
                try:
                    self.config.evt_io_resume(self, request)
                except Exception as error:  # noqa: BLE001 -- becomes a bug check
                    self._kernel.escaped(error)
        self._opened()

    def power_down(self, action: IoStopAction) -> None:
        """The device leaves D0: waits until every owned request has ended or is acknowledged."""
        if not self.config.power_managed or not self.powered:
            return
        with self.lock:
            self.powered = False
            self._update()
            owned = list(self.owned)
        self._ask_to_stop(owned, action)
        self._await(self._nothing_pending)

    def _ask_to_stop(self, owned: list[Request], action: IoStopAction) -> None:
        evt_io_stop = self.config.evt_io_stop
        if evt_io_stop is not None:
            self.stopping = True
            for request in owned:
                if request.state == OWNED:
                    flags = action
                    if request._cancel_routine is not None:
                        flags |= IoStopAction.CANCELABLE
                    try:
                        evt_io_stop(self, request, flags)
                    except Exception as error:  # noqa: BLE001 -- becomes a bug check
                        self._kernel.escaped(error)
            self.stopping = False
            self._requeue_acknowledged(owned)

    def _nothing_pending(self) -> bool:
        return all(request.stop_acknowledged is not None for request in self.owned)

    def _requeue_acknowledged(self, requests: list[Request]) -> None:
        with self.lock:
            for request in reversed(requests):
                if request.stop_acknowledged and request.state == OWNED:
                    request.stop_acknowledged = None
                    request.state = QUEUED
                    request.presented = True
                    self.owned.discard(request)
                    self.queued.appendleft(request)

    def shut_down(self) -> None:
        """The device is being removed: nothing is accepted any more, what waits is cancelled."""
        with self.lock:
            self.accepting = False
            self.dispatching = False
            self._update()
            owned = list(self.owned)
        if self.config.power_managed:
            self._ask_to_stop(owned, IoStopAction.PURGE)
        self._cancel_all()
        self._await(self._empty)

    def cancel_of_file(self, file: "File") -> None:
        """A handle was closed: cancels its requests that wait here."""
        with self.lock:
            requests = [request for request in self.queued if request.irp.file is file]
        for request in requests:
            request.cancel()

    def _on_dispose(self) -> None:
        self.shut_down()
        if self in self.device.queues:
            self.device.queues.remove(self)


_ZERO = {RequestType.READ, RequestType.WRITE}
_PRESENT = Event.PRESENT
