# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Execution level, synchronization scope and automatic serialization [fxcallbacklock.hpp].

A device, and a queue, may have a presentation lock. The framework holds it while it calls the
callbacks that it serializes; the driver can take it with WdfObjectAcquireLock. The lock that a
callback is called under is decided once, when its object is created, and kept as `lock or None`.

A thread must not enter a presentation lock twice: that is WDF_VIOLATION 2. The framework itself
checks first (`held_here`), and defers the call instead.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from threading import get_ident
from time import sleep
from typing import TYPE_CHECKING, ClassVar

from pydriver.ke.bugcheck import WDF_VIOLATION, WdfViolation
from pydriver.ke.event import EventType, KEvent
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.spin_mutex import SpinMutex
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL,
    NtStatusError,
)
from pydriver.wdf.object.object import (
    ExecutionLevel,
    Object,
    SynchronizationScope,
)

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor
    from pydriver.wdf.object.object import ObjectAttributes

__all__ = (
    "CallbackKind",
    "DispatchLock",
    "PassiveLock",
    "PresentationLock",
    "Presenting",
    "effective_level",
    "effective_scope",
    "make_lock",
    "select_lock",
    "serialized",
)

DEVICE_ORDER = 0x20
QUEUE_ORDER = 0x31
"""Places in the order of the framework's locks."""


class CallbackKind(Enum):
    """The level of the callback of a DPC, a timer, a work item or an interrupt."""

    PASSIVE = "passive"
    DISPATCH = "dispatch"


class PresentationLock(ABC):
    """The lock of a device or of a queue.

    :param owner: the device or the queue
    :ivar saved: the IRQL before its last acquisition, for a driver that releases it
    """

    __slots__ = ("_kernel", "_owner", "saved")

    kind: ClassVar[CallbackKind]
    held_rule: ClassVar[str] = "PresentationLockHeld"

    def __init__(self, owner: Object) -> None:
        self._kernel: Kernel = owner._kernel
        self._owner = owner
        self.saved = PASSIVE_LEVEL

    def __str__(self) -> str:
        return f"presentation lock of {self._owner}"

    @property
    @abstractmethod
    def held_here(self) -> bool:
        """Whether the calling thread holds the lock."""

    @abstractmethod
    def acquire(self) -> int:
        """Takes the lock.

        :return: the IRQL to give to :meth:`release`
        """

    @abstractmethod
    def release(self, irql: int) -> None:
        """Gives the lock back, and restores the IRQL.

        If a callback that ran under the lock has dropped it, that is a violation, and nothing is
        given back.
        """

    def _entered(self) -> None:
        kernel = self._kernel
        if not kernel.verifying:
            return
        for outer in kernel.current.held:
            if isinstance(outer, PresentationLock) and outer.order > self.order:
                kernel.verifier.violation(
                    "PresentationLockOrder",
                    f"the {self} is acquired after the {outer}; the device's lock comes first",
                    self._owner,
                )
                return  # two threads can deadlock: one report is enough
        kernel.verifier.acquired(self)

    @property
    def order(self) -> int:
        """The place in the order in which locks must be acquired [FxVerifierLock]."""
        return DEVICE_ORDER if self._owner.device_above is self._owner else QUEUE_ORDER

    def _dropped(self) -> None:
        self._kernel.verifier.violation(
            "PresentationLockDropped",
            f"a callback was called under the {self} and returned without it",
            self._owner,
        )

    def _left(self) -> None:
        if self._kernel.verifying:
            self._kernel.verifier.released(self)

    def _check_recursion(self) -> None:
        if self.held_here:
            self._kernel.bug_check(
                WDF_VIOLATION,
                WdfViolation.RECURSIVE_LOCK,
                id(self),
                message=f"the {self} is entered by the thread that holds it",
                subject=self._owner,
            )


class DispatchLock(PresentationLock):
    """A spin lock, for callbacks at DISPATCH_LEVEL [FxCallbackSpinLock]."""

    __slots__ = ("_holder", "_mutex")

    kind: ClassVar[CallbackKind] = CallbackKind.DISPATCH

    def __init__(self, owner: Object) -> None:
        super().__init__(owner)
        self._mutex = SpinMutex(self._kernel) if len(self._kernel.processors) > 1 else None
        self._holder: Processor | None = None

    @property
    def held_here(self) -> bool:
        """Whether the calling thread holds the lock: at DISPATCH_LEVEL, a thread is a processor."""
        processor = self._kernel.current.processor
        return processor is not None and self._holder is processor

    def acquire(self) -> int:
        """Raises to DISPATCH_LEVEL and takes the lock."""
        self._check_recursion()
        kernel = self._kernel
        if kernel.verifying and kernel.irql() == PASSIVE_LEVEL:
            sleep(0)  # lets another thread in, to provoke races
        irql = kernel.raise_irql(DISPATCH_LEVEL)
        processor = kernel.current.processor
        if self._mutex is not None:
            self._mutex.acquire(processor)
        self._holder = processor
        self.saved = irql
        self._entered()
        return irql

    def release(self, irql: int) -> None:
        """Gives the lock back; due DPCs run before this returns."""
        if not self.held_here:
            self._dropped()
            return
        self._left()
        processor = self._holder
        self._holder = None
        if self._mutex is not None:
            self._mutex.release(processor)
        self._kernel.lower_irql(irql)


class PassiveLock(PresentationLock):
    """A mutex, for callbacks at PASSIVE_LEVEL [FxCallbackMutexLock]."""

    __slots__ = ("_event", "_holder")

    kind: ClassVar[CallbackKind] = CallbackKind.PASSIVE

    def __init__(self, owner: Object) -> None:
        super().__init__(owner)
        self._event = KEvent(self._kernel, EventType.SYNCHRONIZATION, state=True)
        self._holder: int | None = None

    @property
    def held_here(self) -> bool:
        """Whether the calling thread holds the lock."""
        return self._holder == get_ident()

    def acquire(self) -> int:
        """Enters a critical region and waits for the lock."""
        self._check_recursion()
        self._kernel.enter_critical_region()
        self._event.wait()
        self._holder = get_ident()
        self._entered()
        self.saved = self._kernel.irql()
        return self.saved

    def release(self, irql: int) -> None:
        """Gives the lock back."""
        if not self.held_here:
            self._dropped()
            return
        self._left()
        self._holder = None
        self._event.set()
        self._kernel.leave_critical_region()


def serialized(lock: PresentationLock, routine: Callable[[], object]) -> Callable[[], None]:
    """A function that calls a callback under a presentation lock."""

    def call() -> None:
        irql = lock.acquire()
        routine()
        lock.release(irql)

    return call


def effective_level(
    attributes: "ObjectAttributes | None", inherited: ExecutionLevel
) -> ExecutionLevel:
    """The execution level of a driver, a device or a queue: its own or its parent's."""
    if attributes is None or attributes.execution_level is ExecutionLevel.INHERIT_FROM_PARENT:
        return inherited
    return attributes.execution_level


def effective_scope(
    attributes: "ObjectAttributes | None", inherited: SynchronizationScope
) -> SynchronizationScope:
    """The synchronization scope of a driver, a device or a queue: its own or its parent's."""
    inherit = SynchronizationScope.INHERIT_FROM_PARENT
    if attributes is None or attributes.synchronization_scope is inherit:
        return inherited
    return attributes.synchronization_scope


def make_lock(owner: Object, level: ExecutionLevel) -> PresentationLock:
    """A presentation lock for callbacks of an execution level."""
    return PassiveLock(owner) if level is ExecutionLevel.PASSIVE else DispatchLock(owner)


class Presenting(Object):
    """An object with a presentation lock: a device or a queue.

    :ivar execution_level: the effective level, PASSIVE or DISPATCH
    :ivar synchronization_scope: the effective scope, DEVICE, QUEUE or NONE
    :ivar serialization_lock: the lock under which its callbacks, and those serialized with them,
        are called; ``None`` for scope NONE
    :ivar callback_kind: the kind of the callbacks under that lock
    """

    # The subclasses have the slots, because a device inherits from DeviceBase too.
    __slots__ = ()

    execution_level: ExecutionLevel
    synchronization_scope: SynchronizationScope
    serialization_lock: PresentationLock | None
    callback_kind: CallbackKind

    def acquire_lock(self) -> None:
        """Takes the presentation lock [WdfObjectAcquireLock]."""
        lock = self.serialization_lock
        if lock is None:
            self._no_presentation_lock("WdfObjectAcquireLock")
        lock.acquire()

    def release_lock(self) -> None:
        """Gives the presentation lock back [WdfObjectReleaseLock]."""
        lock = self.serialization_lock
        if lock is None:
            self._no_presentation_lock("WdfObjectReleaseLock")
        if not lock.held_here:
            self._kernel.bug_check(
                WDF_VIOLATION,
                WdfViolation.INVALID_LOCK_OPERATION,
                id(self),
                1,
                message=f"the {lock} is released by a thread that does not hold it",
                subject=self,
            )
        lock.release(lock.saved)


def select_lock(
    parent: Object | None, kind: CallbackKind, what: str, *, automatic: bool
) -> PresentationLock | None:
    """The lock under which a DPC, a timer, a work item or an interrupt calls its callback.

    :param parent: the parent of the new object; the nearest queue or device at or above it decides
    :param kind: the level of the callback
    :param what: the DDI, for the error
    :param automatic: the AutomaticSerialization of the configuration
    :return: the lock; ``None``: the callback is called without one
    :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: no device is above the parent;
        STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL: the lock is for callbacks of the other kind
        [fxobject.cpp, _GetEffectiveLock]
    """
    if not automatic:
        return None
    owner = parent
    while owner is not None and not isinstance(owner, Presenting):
        owner = owner.parent
    if owner is None:
        raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, what)
    lock = owner.serialization_lock
    if lock is None:
        return None
    if owner.callback_kind is not kind:
        owner._kernel.verifier.violation(
            "ExecutionLevel",
            f"{what} with AutomaticSerialization: its callback runs at {kind.value} level, but "
            f"those of {owner} run at {owner.callback_kind.value} level",
            owner,
        )
        raise NtStatusError(STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL, what)
    return lock
