# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFTIMER: a callback at a time, at DISPATCH_LEVEL or, through a work item, at PASSIVE_LEVEL."""

from dataclasses import dataclass
from functools import partial
from threading import Lock, get_ident
from typing import TYPE_CHECKING, ClassVar, Final, Self

from pydriver.declarations.registry import callbacks, handle, structure
from pydriver.ke.dpc import KDpc
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED,
    NtStatusError,
)
from pydriver.ke.timer import KTimer
from pydriver.wdf.object.ddi import PASSIVE_LEVEL, creation_ddi, ddi, irql_violation
from pydriver.wdf.object.device_base import require_device
from pydriver.wdf.object.object import (
    ExecutionLevel,
    Object,
    ObjectAttributes,
    Phase,
)
from pydriver.wdf.sync.serialization import CallbackKind, PresentationLock, select_lock, serialized
from pydriver.wdf.sync.work_item import QueuedWork

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Timer", "TimerConfig")

MAXLONG: Final = 0x7FFFFFFF


callbacks(
    __name__,
    {
        "EVT_WDF_TIMER": "VOID (_In_ WDFTIMER Timer)",
    },
)


@structure(
    "WDF_TIMER_CONFIG",
    """
    ULONG Size;
    PFN_WDF_TIMER EvtTimerFunc;
    ULONG Period;
    BOOLEAN AutomaticSerialization;
    ULONG TolerableDelay;
    _Alignas(8) BOOLEAN UseHighResolutionTimer;
    """,
    older={"1.7": "AutomaticSerialization", "1.11": "TolerableDelay"},
)
@dataclass(slots=True)
class TimerConfig:
    """WDF_TIMER_CONFIG.

    :ivar evt_timer_func: EvtTimerFunc(timer), at DISPATCH_LEVEL, or at PASSIVE_LEVEL if the
        attributes say so
    :ivar period: the time between two callbacks, in ms; 0: one callback for each start
    :ivar automatic_serialization: whether to exclude the callbacks of the parent, if its scope
        says so
    :ivar tolerable_delay: the time by which a callback may be late, in ms, to share the wake-up of
        another timer
    :ivar use_high_resolution_timer: whether to be exact, which excludes a tolerable delay. Here
        every timer without such a delay is exact
    """

    evt_timer_func: "Callable[[Timer], None] | None" = None
    period: int = 0
    automatic_serialization: bool = True
    tolerable_delay: int = 0
    use_high_resolution_timer: bool = False


@handle("WDFTIMER")
class Timer(Object):
    """A timer object.

    `_guard` makes one step of the look at `_stopping` and the start: no start slips in between
    the cancellation of a stop that waits and the end of its wait.
    """

    __slots__ = (
        "_config",
        "_guard",
        "_kdpc",
        "_ktimer",
        "_name",
        "_start_aborted",
        "_stopping",
        "_threads",
        "_work",
    )

    fx_type: ClassVar[int] = 0x1028
    allows_level: ClassVar[bool] = True
    passive_disposal: ClassVar[bool] = True

    def __init__(
        self,
        parent: Object,
        config: TimerConfig,
        attributes: ObjectAttributes,
        kind: CallbackKind,
        lock: PresentationLock | None,
    ) -> None:
        super().__init__(parent._kernel, parent, attributes)
        callback = config.evt_timer_func
        assert callback is not None
        self._config = config
        self._name = f"timer {getattr(callback, '__name__', '-')} of {parent}"
        self._guard = Lock()
        self._stopping = 0
        self._start_aborted = False
        self._threads: set[int] = set()
        routine: Callable[[], object] = partial(callback, self)
        if lock is not None:
            routine = serialized(lock, routine)
        self._work: QueuedWork | None = None
        if kind is CallbackKind.PASSIVE:
            self._work = QueuedWork(self, routine)
            self._kdpc = KDpc(self._kernel, self._work.enqueue, self)
        else:
            self._kdpc = KDpc(self._kernel, self._noting_thread(routine), self)
        self._ktimer = KTimer(self._kernel, owner=self)

    def __str__(self) -> str:
        return self._name

    @classmethod
    @creation_ddi(
        "WdfTimerCreate",
        "NTSTATUS (_In_ PWDF_TIMER_CONFIG Config, _In_ PWDF_OBJECT_ATTRIBUTES Attributes, "
        "_Out_ WDFTIMER *Timer)",
    )
    def create(cls, config: TimerConfig, attributes: ObjectAttributes) -> Self:
        """Creates a timer, which is not started.

        :param config: the callback, its period and its serialization
        :param attributes: the attributes, with a parent: a device, or an object below one; with the
            execution level PASSIVE the callback runs at PASSIVE_LEVEL
        :raises NtStatusError: there is no parent, or no device above it; the times exclude each
            other; or automatic serialization with callbacks of the other level
        """
        what = "WdfTimerCreate"
        attributes, parent = cls.check_attributes_with_parent(attributes, what)
        if config.evt_timer_func is None:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: no EvtTimerFunc")
        if not 0 <= config.period <= MAXLONG:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: Period {config.period}")
        if config.use_high_resolution_timer and config.tolerable_delay:
            raise NtStatusError(
                STATUS_INVALID_PARAMETER, f"{what}: high resolution and a tolerable delay"
            )
        passive = attributes.execution_level is ExecutionLevel.PASSIVE
        if passive and config.period:
            raise NtStatusError(
                STATUS_NOT_SUPPORTED,
                f"{what}: a periodic timer at passive level; use one at dispatch level, or start it"
                " again in its callback",
            )
        require_device(parent, STATUS_INVALID_DEVICE_REQUEST, what)
        kind = CallbackKind.PASSIVE if passive else CallbackKind.DISPATCH
        lock = select_lock(parent, kind, what, automatic=config.automatic_serialization)
        return cls(parent, config, attributes, kind, lock)

    @ddi("WdfTimerStart", "BOOLEAN (_In_ WDFTIMER Timer, _In_ LONGLONG DueTime)")
    def start(self, due_time: int) -> bool:
        """Starts the timer, or starts it again with a new time.

        :param due_time: the time in units of 100 ns; negative: relative; 0: at once; positive:
            absolute, since 1601
        :return: whether the timer was started already; also ``False`` if it was not started because
            a call of :meth:`stop` is waiting
        """
        with self._guard:
            if self._phase is Phase.ALIVE:
                if self._stopping:
                    self._start_aborted = True
                    return False
                config = self._config
                return self._ktimer.set(due_time, config.period, self._kdpc, config.tolerable_delay)
        self._kernel.verifier.violation(
            "InvalidHandle", f"WdfTimerStart of {self}, which is being deleted", self
        )
        return False

    @ddi("WdfTimerStop", "BOOLEAN (_In_ WDFTIMER Timer, _In_ BOOLEAN Wait)")
    def stop(self, *, wait: bool) -> bool:
        """Stops the timer.

        :param wait: whether to wait until the callback is neither running nor queued; at
            PASSIVE_LEVEL, and not in that callback
        :return: whether the timer was started
        """
        if not wait:
            return self._ktimer.cancel()
        kernel = self._kernel
        irql = kernel.irql()
        if irql != PASSIVE_LEVEL and kernel.verifying:
            irql_violation(kernel, "WdfTimerStop", irql, self, PASSIVE_LEVEL)
            return False
        if self._in_callback:
            kernel.verifier.violation(
                "TimerStopFromCallback",
                f"WdfTimerStop of {self} in its own callback would wait for itself",
                self,
            )
            return False
        with self._guard:
            self._stopping += 1
            started = self._ktimer.cancel()
        self._wait_for_callback()
        with self._guard:
            self._stopping -= 1
            started = started or self._start_aborted
            if not self._stopping:
                self._start_aborted = False
        return started

    @ddi("WdfTimerGetParentObject", "WDFOBJECT (_In_ WDFTIMER Timer)")
    def get_parent_object(self) -> Object:
        """The parent given at creation."""
        assert self._parent is not None
        return self._parent

    @property
    def _in_callback(self) -> bool:
        work = self._work
        return get_ident() in self._threads if work is None else work.on_this_thread

    def _noting_thread(self, routine: "Callable[[], object]") -> "Callable[[], object]":
        threads = self._threads

        def call() -> None:
            thread = get_ident()
            threads.add(thread)
            routine()
            threads.discard(thread)

        return call

    def _wait_for_callback(self) -> None:
        self._kernel.flush_queued_dpcs()
        if self._work is not None:
            self._work.flush()

    def _on_dispose(self) -> None:
        with self._guard:
            self._ktimer.cancel()
        if not self._in_callback:
            self._wait_for_callback()
