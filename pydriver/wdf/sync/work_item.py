# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFWORKITEM: a callback at PASSIVE_LEVEL, on a system worker thread."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from threading import Lock, get_ident
from time import perf_counter_ns
from typing import ClassVar, Self

from pydriver.declarations.registry import callbacks, handle, structure
from pydriver.ke.event import KEvent
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.probes import Point, probed
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    NtStatusError,
)
from pydriver.place import callback_name
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.object.ddi import creation_ddi, ddi
from pydriver.wdf.object.device_base import require_device
from pydriver.wdf.object.object import (
    Object,
    ObjectAttributes,
    Phase,
)
from pydriver.wdf.sync.serialization import CallbackKind, PresentationLock, select_lock, serialized

__all__ = ("WorkItem", "WorkItemConfig")


callbacks(
    __name__,
    {
        "EVT_WDF_WORKITEM": "VOID (_In_ WDFWORKITEM WorkItem)",
    },
    highest=PASSIVE_LEVEL,
)


@structure(
    "WDF_WORKITEM_CONFIG",
    """
    ULONG Size;
    PFN_WDF_WORKITEM EvtWorkItemFunc;
    BOOLEAN AutomaticSerialization;
    """,
)
@dataclass(slots=True)
class WorkItemConfig:
    """WDF_WORKITEM_CONFIG.

    :ivar evt_work_item_func: EvtWorkItem(work_item), at PASSIVE_LEVEL
    :ivar automatic_serialization: whether to exclude the callbacks of the parent, if its scope
        says so
    """

    evt_work_item_func: "Callable[[WorkItem], None] | None" = None
    automatic_serialization: bool = True


class QueuedWork:
    """A callback that a worker thread runs: the common part of a work item and an interrupt's.

    `_flag` is a lock used as a test-and-set bit: it is held while the callback is queued, and
    cleared before the callback runs. `_guard` guards `_pending`, the runs that are queued or under
    way, and `_idle`.

    :param owner: the object that the callback belongs to, for its kernel and for the recorder
    :param routine: the callback, with its arguments bound
    """

    __slots__ = ("_flag", "_guard", "_idle", "_owner", "_pending", "_routine", "_threads")

    def __init__(self, owner: Object, routine: Callable[[], object]) -> None:
        self._owner = owner
        self._routine = probed(
            owner._kernel.probe, Point.WORK_ITEM, callback_name(routine), owner, routine
        )
        self._flag = Lock()
        self._guard = Lock()
        self._pending = 0
        self._idle: KEvent | None = None
        self._threads: set[int] = set()

    def enqueue(self) -> bool:
        """Queues the callback; ``False`` if it is queued already."""
        if not self._flag.acquire(blocking=False):
            return False
        with self._guard:
            self._pending += 1
        kernel = self._owner._kernel
        processor = kernel.current.processor
        number = NO_PROCESSOR if processor is None else processor.number
        now = perf_counter_ns()
        kernel.record((now, Event.WORK_ITEM_QUEUED, number, kernel.irql(), self._owner, None))
        kernel.workers.queue(self._run)
        return True

    @property
    def on_this_thread(self) -> bool:
        """Whether the caller is the callback."""
        return get_ident() in self._threads

    def flush(self) -> None:
        """Waits until the callback is neither queued nor running; at PASSIVE_LEVEL."""
        with self._guard:
            if not self._pending:
                return
            if self._idle is None:
                self._idle = KEvent(self._owner._kernel)
            idle = self._idle
        idle.wait()

    def _run(self) -> None:
        kernel = self._owner._kernel
        self._flag.release()
        start = perf_counter_ns()
        kernel.record((start, Event.WORK_ITEM, NO_PROCESSOR, PASSIVE_LEVEL, self._owner, None))
        thread = get_ident()
        self._threads.add(thread)
        try:
            kernel.workers.invoke(self._routine)
        finally:
            self._threads.discard(thread)
        kernel.workers.ran(perf_counter_ns() - start)
        with self._guard:
            self._pending -= 1
            if self._pending:
                return
            idle, self._idle = self._idle, None
        if idle is not None:
            idle.set()


@handle("WDFWORKITEM")
class WorkItem(Object):
    """A work item object."""

    __slots__ = ("_name", "_work")

    fx_type: ClassVar[int] = 0x1025
    passive_disposal: ClassVar[bool] = True

    def __init__(
        self,
        parent: Object,
        callback: "Callable[[WorkItem], None]",
        attributes: ObjectAttributes,
        lock: PresentationLock | None,
    ) -> None:
        super().__init__(parent._kernel, parent, attributes)
        self._name = f"work item {getattr(callback, '__name__', '-')} of {parent}"
        routine: Callable[[], object] = partial(callback, self)
        self._work = QueuedWork(self, routine if lock is None else serialized(lock, routine))

    def __str__(self) -> str:
        return self._name

    @classmethod
    @creation_ddi(
        "WdfWorkItemCreate",
        "NTSTATUS (_In_ PWDF_WORKITEM_CONFIG Config, _In_ PWDF_OBJECT_ATTRIBUTES Attributes, "
        "_Out_ WDFWORKITEM *WorkItem)",
    )
    def create(cls, config: WorkItemConfig, attributes: ObjectAttributes) -> Self:
        """Creates a work item.

        :param config: the callback and its serialization
        :param attributes: the attributes, with a parent: a device, or an object below one
        :raises NtStatusError: there is no parent, no device above it, or no callback; or automatic
            serialization with callbacks at DISPATCH_LEVEL
        """
        what = "WdfWorkItemCreate"
        attributes, parent = cls.check_attributes_with_parent(attributes, what)
        if config.evt_work_item_func is None:
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        require_device(parent, STATUS_INVALID_DEVICE_REQUEST, what)
        automatic = config.automatic_serialization
        lock = select_lock(parent, CallbackKind.PASSIVE, what, automatic=automatic)
        return cls(parent, config.evt_work_item_func, attributes, lock)

    @ddi("WdfWorkItemEnqueue", "VOID (_In_ WDFWORKITEM WorkItem)")
    def enqueue(self) -> None:
        """Queues the callback, unless it is queued already or the work item is being deleted."""
        if self._phase is not Phase.ALIVE:
            self._kernel.verifier.violation(
                "InvalidHandle", f"WdfWorkItemEnqueue of {self}, which is being deleted", self
            )
            return
        self._work.enqueue()

    @ddi(
        "WdfWorkItemFlush", "VOID (_In_ WDFWORKITEM WorkItem)", highest=PASSIVE_LEVEL, refusal=None
    )
    def flush(self) -> None:
        """Waits until the callback is neither queued nor running. It must not wait for itself."""
        if self._work.on_this_thread:
            self._kernel.verifier.violation(
                "WorkItemFlushFromCallback",
                f"WdfWorkItemFlush of {self} in its own callback would wait for itself",
                self,
            )
            return
        self._work.flush()

    @ddi("WdfWorkItemGetParentObject", "WDFOBJECT (_In_ WDFWORKITEM WorkItem)")
    def get_parent_object(self) -> Object:
        """The parent given at creation."""
        assert self._parent is not None
        return self._parent

    def _on_dispose(self) -> None:
        if not self._work.on_this_thread:
            self._work.flush()
