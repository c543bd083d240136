# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The kernel's spin lock, for code that uses no framework lock [KSPIN_LOCK].

With one processor the raised IRQL is the whole lock. With several there is also a mutex, taken
after the raise and released before the IRQL falls, so that its holder is never interrupted by code
that wants it.
"""

from typing import TYPE_CHECKING, ClassVar, NoReturn

from pydriver.declarations.registry import stands_for
from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    SPIN_LOCK_ALREADY_OWNED,
    SPIN_LOCK_NOT_OWNED,
)
from pydriver.ke.ddi import function_ddi
from pydriver.ke.irql import DISPATCH_LEVEL, HIGH_LEVEL, irql_name
from pydriver.ke.spin_mutex import SpinMutex

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor

__all__ = ("ACQUIRED_ABOVE_DISPATCH", "RELEASED_NOT_AT_DISPATCH", "KSpinLock")

RELEASED_NOT_AT_DISPATCH = 0x32
ACQUIRED_BELOW_DISPATCH = 0x40
RELEASED_BELOW_DISPATCH = 0x41
ACQUIRED_ABOVE_DISPATCH = 0x42
"""Parameter 1 of 0xC4: a spin lock routine at a wrong IRQL."""


@function_ddi("KeInitializeSpinLock", "VOID (_Out_ PKSPIN_LOCK SpinLock)", highest=HIGH_LEVEL)
@stands_for("KSPIN_LOCK")
class KSpinLock:
    """A spin lock; the caller keeps the IRQL to restore.

    :param kernel: the kernel the lock belongs to
    """

    __slots__ = ("_kernel", "_mutex", "_owner")

    held_rule: ClassVar[str] = "SpinlockRelease"

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._mutex = SpinMutex(kernel) if len(kernel.processors) > 1 else None
        self._owner: Processor | None = None

    def __str__(self) -> str:
        return f"kernel spin lock {id(self):#x}"

    @function_ddi("KeAcquireSpinLock", "VOID (_Inout_ PKSPIN_LOCK SpinLock, _Out_ PKIRQL OldIrql)")
    def acquire(self) -> int:
        """Raises to DISPATCH_LEVEL and takes the lock; at or below that level.

        :return: the IRQL to pass to :meth:`release`
        """
        irql = self._kernel.irql()
        if irql > DISPATCH_LEVEL:
            self._wrong_irql(ACQUIRED_ABOVE_DISPATCH, "KeAcquireSpinLock", irql)
        if irql != DISPATCH_LEVEL:
            self._kernel.raise_irql(DISPATCH_LEVEL)
        self._take()
        return irql

    @function_ddi(
        "KeReleaseSpinLock",
        "VOID (_Inout_ PKSPIN_LOCK SpinLock, _In_ KIRQL NewIrql)",
        lowest=DISPATCH_LEVEL,
    )
    def release(self, new_irql: int) -> None:
        """Gives the lock back and restores the IRQL; at DISPATCH_LEVEL.

        :param new_irql: the IRQL that :meth:`acquire` returned
        """
        irql = self._kernel.irql()
        if irql != DISPATCH_LEVEL:
            self._wrong_irql(RELEASED_NOT_AT_DISPATCH, "KeReleaseSpinLock", irql)
        self._give_back()
        if new_irql != DISPATCH_LEVEL:
            self._kernel.lower_irql(new_irql)

    @function_ddi(
        "KeAcquireSpinLockAtDpcLevel",
        "VOID (_Inout_ PKSPIN_LOCK SpinLock)",
        lowest=DISPATCH_LEVEL,
        highest=HIGH_LEVEL,
    )
    def acquire_at_dpc_level(self) -> None:
        """Takes the lock; at or above DISPATCH_LEVEL."""
        irql = self._kernel.irql()
        if irql < DISPATCH_LEVEL:
            self._wrong_irql(ACQUIRED_BELOW_DISPATCH, "KeAcquireSpinLockAtDpcLevel", irql)
        self._take()

    @function_ddi(
        "KeReleaseSpinLockFromDpcLevel",
        "VOID (_Inout_ PKSPIN_LOCK SpinLock)",
        lowest=DISPATCH_LEVEL,
        highest=HIGH_LEVEL,
    )
    def release_from_dpc_level(self) -> None:
        """Gives the lock back; at or above DISPATCH_LEVEL, where the processor stays."""
        irql = self._kernel.irql()
        if irql < DISPATCH_LEVEL:
            self._wrong_irql(RELEASED_BELOW_DISPATCH, "KeReleaseSpinLockFromDpcLevel", irql)
        self._give_back()

    def _take(self) -> None:
        kernel = self._kernel
        processor = kernel.current.processor
        if self._owner is processor:
            kernel.bug_check(
                SPIN_LOCK_ALREADY_OWNED,
                id(self),
                rule="Spinlock",
                message=f"{self} is acquired on the processor that holds it",
                subject=self,
            )
        if self._mutex is not None:
            self._mutex.acquire(processor)
        self._owner = processor
        if kernel.verifying:
            kernel.verifier.acquired(self)

    def _give_back(self) -> None:
        kernel = self._kernel
        processor = kernel.current.processor
        if processor is None or self._owner is not processor:
            kernel.bug_check(
                SPIN_LOCK_NOT_OWNED,
                id(self),
                rule="SpinlockRelease",
                message=f"{self} is released on a processor that does not hold it",
                subject=self,
            )
        if kernel.verifying:
            kernel.verifier.released(self)
        if self._mutex is not None:
            self._owner = None
            self._mutex.release(processor)
        else:
            self._owner = None

    def _wrong_irql(self, kind: int, what: str, irql: int) -> NoReturn:
        self._kernel.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            kind,
            irql,
            id(self),
            rule="Spinlock",
            message=f"{what} at {irql_name(irql)}",
            subject=self,
        )
