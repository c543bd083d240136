# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFSPINLOCK: raises to DISPATCH_LEVEL; keeps the IRQL to restore in the lock."""

from threading import Lock
from typing import TYPE_CHECKING, Self

from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    SPIN_LOCK_ALREADY_OWNED,
    WDF_VIOLATION,
)
from pydriver.wdf.ddi import DISPATCH_LEVEL, creation_ddi, ddi, irql_violation
from pydriver.wdf.object import Object, ObjectAttributes, ParentRule

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor

__all__ = ("SpinLock",)


class SpinLock(Object):
    """A spin lock.

    With one processor the raised IRQL is the whole lock: nobody else can run on it. With several
    there is a mutex too, taken after the raise and released before the IRQL falls, so that its
    holder is never interrupted by one who wants it.
    """

    __slots__ = ("_mutex", "_owner", "_saved", "interrupt_lock")

    def __init__(
        self, kernel: "Kernel", parent: Object | None, attributes: ObjectAttributes | None
    ) -> None:
        super().__init__(kernel, parent, attributes)
        self._mutex = Lock() if len(kernel.processors) > 1 else None
        self._owner: Processor | None = None
        self._saved = 0
        self.interrupt_lock = False

    @classmethod
    @creation_ddi("WdfSpinLockCreate", "NTSTATUS (PWDF_OBJECT_ATTRIBUTES, WDFSPINLOCK *)")
    def create(cls, attributes: ObjectAttributes) -> Self:
        """Creates a lock.

        :param attributes: with a parent [rule ParentObjectCheckLock]
        :raises NtStatusError: the attributes are not valid
        """
        attributes = cls.check_attributes(attributes, ParentRule.MANDATORY, "WdfSpinLockCreate")
        parent = attributes.parent_object
        assert parent is not None
        return cls(parent._kernel, parent, attributes)

    @ddi("WdfSpinLockAcquire", "VOID (WDFSPINLOCK SpinLock)", unchecked=True)
    def acquire(self) -> None:
        """Raises to DISPATCH_LEVEL and takes the lock. Not recursive."""
        kernel = self._kernel
        processor = self._current.processor
        irql = 0 if processor is None else processor.state.irql
        if irql > DISPATCH_LEVEL:
            irql_violation(kernel, "WdfSpinLockAcquire", irql)
        if self.interrupt_lock:
            self._refuse("WdfSpinLockAcquire")
        if irql != DISPATCH_LEVEL:
            irql = kernel.raise_irql(DISPATCH_LEVEL)
            processor = self._current.processor
        if self._owner is processor:
            kernel.bug_check(
                SPIN_LOCK_ALREADY_OWNED,
                id(self),
                rule="WdfSpinlock",
                message=f"{self} is acquired on the processor that holds it",
            )
        if self._mutex is not None:
            self._mutex.acquire()
        self._owner = processor
        self._saved = irql

    @ddi(
        "WdfSpinLockRelease",
        "VOID (WDFSPINLOCK SpinLock)",
        lowest=DISPATCH_LEVEL,
        unchecked=True,
    )
    def release(self) -> None:
        """Releases the lock and restores the IRQL that it was acquired at."""
        kernel = self._kernel
        processor = self._current.processor
        irql = 0 if processor is None else processor.state.irql
        if self.interrupt_lock:
            self._refuse("WdfSpinLockRelease")
        if self._owner is None or self._owner is not processor:
            kernel.bug_check(
                WDF_VIOLATION,
                0xB,
                id(self),
                1,
                rule="WdfSpinlockRelease",
                message=f"{self} is released by one who does not hold it",
            )
        if irql != DISPATCH_LEVEL:
            irql_violation(kernel, "WdfSpinLockRelease", irql)
        saved = self._saved
        if self._mutex is not None:
            processor.link.flush()
            self._owner = None
            self._mutex.release()
        else:
            self._owner = None
        if saved != DISPATCH_LEVEL:
            kernel.lower_irql(saved)

    def _refuse(self, what: str) -> None:
        self._kernel.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            0,
            self._kernel.irql(),
            rule="WdfSpinlock",
            message=f"{what} on a lock that belongs to an interrupt",
        )

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        # An exception in the block is a bug check further up: the IRQL it had matters there.
        if _[0] is None:
            self.release()
