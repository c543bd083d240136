# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFSPINLOCK: raises to DISPATCH_LEVEL; keeps the IRQL to restore in the lock."""

from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn, Self

from pydriver.declarations.registry import handle
from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    SPIN_LOCK_ALREADY_OWNED,
    WDF_VIOLATION,
    WdfViolation,
)
from pydriver.ke.irql import irql_name
from pydriver.ke.spin_lock import ACQUIRED_ABOVE_DISPATCH, RELEASED_NOT_AT_DISPATCH
from pydriver.ke.spin_mutex import SpinMutex
from pydriver.ke.verifier import ACQUIRED, HELD, THREAD, AcquisitionNote, acquired_at
from pydriver.wdf.object.ddi import DISPATCH_LEVEL, creation_ddi, ddi
from pydriver.wdf.object.object import Object, ObjectAttributes

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor

__all__ = ("SpinLock",)

HISTORY: Final = 10
"""The number of acquisitions that a lock remembers."""


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One acquisition of a lock, noted while the verifier is on.

    :ivar thread: the identifier of the thread that acquired it
    :ivar caller: the driver's file and line; empty if the framework acquired it
    :ivar acquired: the time of the acquisition, in ns
    :ivar held: the time for which the lock was held, in ns; ``None`` while it is held
    """

    thread: int
    caller: str
    acquired: int
    held: int | None

    @classmethod
    def of(cls, note: AcquisitionNote) -> Self:
        """The acquisition in a note of the verifier."""
        place = acquired_at(note)
        caller = "" if place is None else f"{Path(place.file).name}:{place.line}"
        return cls(note[THREAD], caller, note[ACQUIRED], note[HELD])


@handle("WDFSPINLOCK")
class SpinLock(Object):
    """A spin lock.

    With one processor the raised IRQL is the whole lock: no other code can run on it. With
    several there is a mutex too, taken after the raise and released before the IRQL falls, so
    that its holder is never interrupted by code that wants the lock.

    :ivar interrupt_lock: whether the lock belongs to an interrupt
    """

    __slots__ = ("_mutex", "_notes", "_owner", "_saved", "interrupt_lock")

    fx_type: ClassVar[int] = 0x1024
    held_rule: ClassVar[str] = "WdfSpinlockRelease"

    def __init__(
        self, kernel: "Kernel", parent: Object | None, attributes: ObjectAttributes | None
    ) -> None:
        super().__init__(kernel, parent, attributes)
        self._mutex = SpinMutex(kernel) if len(kernel.processors) > 1 else None
        self._owner: Processor | None = None
        self._saved = 0
        self._notes: deque[AcquisitionNote] = deque(maxlen=HISTORY)
        self.interrupt_lock = False

    @property
    def history(self) -> tuple[Acquisition, ...]:
        """The last acquisitions, the oldest first, noted while the verifier is on."""
        return tuple(Acquisition.of(note) for note in tuple(self._notes))

    @classmethod
    @creation_ddi(
        "WdfSpinLockCreate",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES SpinLockAttributes, "
        "_Out_ WDFSPINLOCK *SpinLock)",
    )
    def create(cls, attributes: ObjectAttributes) -> Self:
        """Creates a lock.

        :param attributes: the attributes, which must name a parent: there is no current driver
            whose object could be the default, and the rule ParentObjectCheckLock wants one anyway
        :raises NtStatusError: the attributes are not valid
        """
        attributes, parent = cls.check_attributes_with_parent(attributes, "WdfSpinLockCreate")
        return cls(parent._kernel, parent, attributes)

    @ddi("WdfSpinLockAcquire", "VOID (_In_ WDFSPINLOCK SpinLock)", unchecked=True)
    def acquire(self) -> None:
        """Raises to DISPATCH_LEVEL and takes the lock. It is not recursive.

        To acquire a lock that belongs to an interrupt is a violation, and leaves the lock alone.
        """
        kernel = self._kernel
        processor = self._current.processor
        irql = 0 if processor is None else processor.state.irql
        if irql > DISPATCH_LEVEL:
            self._wrong_irql(ACQUIRED_ABOVE_DISPATCH, "WdfSpinLockAcquire", irql)
        if self.interrupt_lock:
            self._refuse("WdfSpinLockAcquire")
            return
        if irql != DISPATCH_LEVEL:
            irql = kernel.raise_irql(DISPATCH_LEVEL)
            processor = self._current.processor
        if self._owner is processor:
            kernel.bug_check(
                SPIN_LOCK_ALREADY_OWNED,
                id(self),
                rule="WdfSpinlock",
                message=f"{self} is acquired on the processor that holds it",
                subject=self,
            )
        if self._mutex is not None:
            self._mutex.acquire(processor)
        self._owner = processor
        self._saved = irql
        if kernel.verifying:
            self._notes.append(kernel.verifier.acquired(self))

    @ddi(
        "WdfSpinLockRelease",
        "VOID (_In_ WDFSPINLOCK SpinLock)",
        lowest=DISPATCH_LEVEL,
        unchecked=True,
    )
    def release(self) -> None:
        """Releases the lock and restores the IRQL at which *it* was acquired [fxspinlock.cpp].

        Two locks that are released in the wrong order therefore lower the IRQL too early.
        """
        kernel = self._kernel
        processor = self._current.processor
        irql = 0 if processor is None else processor.state.irql
        if self.interrupt_lock:
            self._refuse("WdfSpinLockRelease")
            return
        if kernel.verifying:
            if self._owner is None or self._owner is not processor:
                kernel.bug_check(
                    WDF_VIOLATION,
                    WdfViolation.INVALID_LOCK_OPERATION,
                    id(self),
                    1,
                    rule="WdfSpinlockRelease",
                    message=f"{self} is released by a caller that does not hold it",
                    subject=self,
                )
            if irql != DISPATCH_LEVEL:
                self._wrong_irql(RELEASED_NOT_AT_DISPATCH, "WdfSpinLockRelease", irql)
            kernel.verifier.released(self)
        if self._owner is None:
            return
        saved = self._saved
        if self._mutex is not None:
            self._owner = None
            self._mutex.release(processor)
        else:
            self._owner = None
        # Without the verifier any release goes through; the IRQL it lowers is that of its caller.
        if saved < irql:
            kernel.lower_irql(saved)

    def _refuse(self, what: str) -> None:
        self._kernel.verifier.violation(
            "WdfSpinlock", f"{what} on a lock that belongs to an interrupt", self
        )

    def _wrong_irql(self, kind: int, what: str, irql: int) -> NoReturn:
        self._kernel.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            kind,
            irql,
            id(self),
            rule="KmdfIrql",
            message=f"{what} at {irql_name(irql)}",
            subject=self,
        )

    def _on_dispose(self) -> None:
        if self._owner is not None:
            self._kernel.verifier.violation("WdfSpinlock", f"{self} is deleted while held", self)
        self._kernel.verifier.forget_lock(self)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        # An exception in the block becomes a bug check further up, where its IRQL matters.
        if _[0] is None:
            self.release()
