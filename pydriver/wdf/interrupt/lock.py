# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The lock of an interrupt, which excludes its ISR and other code of the driver from each other.

At DIRQL: while the ISR runs, and while the lock is held, the processor's CR8 is at least the
interrupt's SynchronizeIrql. That masks the interrupt, and with one processor this is the whole
lock. With several, a mutex keeps the other processors out: it is taken after the IRQL is raised,
and released before it falls. Mutex and holder are the interrupt's own, or those of the WDFSPINLOCK
that it shares with other interrupts.

The lock of a passive interrupt is a wait lock.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from pydriver.ke.bugcheck import (
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    KMODE_EXCEPTION_NOT_HANDLED,
    SPIN_LOCK_ALREADY_OWNED,
)
from pydriver.ke.irql import LAST_DEVICE_LEVEL
from pydriver.ke.spin_mutex import SpinMutex
from pydriver.ke.status import STATUS_ACCESS_VIOLATION, STATUS_SUCCESS
from pydriver.wdf.object.ddi import DISPATCH_LEVEL, PASSIVE_LEVEL, ddi, irql_violation
from pydriver.wdf.object.object import Object, ObjectAttributes, check_pointer
from pydriver.wdf.sync.wait_lock import WaitLock

if TYPE_CHECKING:
    from pydriver.ke.processor import Processor
    from pydriver.wdf.interrupt.config import InterruptConfig
    from pydriver.wdf.interrupt.device import InterruptDevice
    from pydriver.wdf.interrupt.interrupt import Interrupt
    from pydriver.wdf.interrupt.kinterrupt import KInterrupt
    from pydriver.wdf.sync.spin_lock import SpinLock

__all__ = ("InterruptLocking",)


class InterruptLocking(Object):
    """The lock of an interrupt object.

    :ivar config: the driver's configuration
    :ivar synchronize_irql: the IRQL of the ISR and of the code that holds the lock
    :ivar wait_lock: the lock of a passive interrupt; ``None`` for others
    """

    # _lock is the object whose _mutex and _owner count: this one, or the shared spin lock.
    # _saved is WDF's one slot for the IRQL to restore: a second acquisition overwrites it.
    __slots__ = (
        "_kinterrupt",
        "_lock",
        "_mutex",
        "_owner",
        "_saved",
        "config",
        "synchronize_irql",
        "wait_lock",
    )

    held_rule: ClassVar[str] = "WdfInterruptLockRelease"

    def __init__(
        self,
        device: "InterruptDevice",
        parent: Object,
        config: "InterruptConfig",
        attributes: ObjectAttributes,
    ) -> None:
        kernel = device._kernel
        super().__init__(kernel, parent, attributes, deletable=False)
        self.config = config
        self.synchronize_irql = 0
        self._kinterrupt: KInterrupt | None = None
        self._mutex = SpinMutex(kernel) if len(kernel.processors) > 1 else None
        self._owner: Processor | None = None
        self._saved = 0
        spin_lock = config.spin_lock
        self._lock: SpinLock | InterruptLocking = self if spin_lock is None else spin_lock
        if spin_lock is not None:
            spin_lock.interrupt_lock = True
        self.wait_lock: WaitLock | None = None
        if config.passive_handling:
            self.wait_lock = config.wait_lock or WaitLock(kernel, self, None)

    @ddi(
        "WdfInterruptAcquireLock",
        "VOID (_In_ WDFINTERRUPT Interrupt)",
        highest=LAST_DEVICE_LEVEL,
        unchecked=True,
    )
    def acquire_lock(self) -> None:
        """Raises the IRQL to SynchronizeIrql and takes the lock; waits for a passive interrupt's.

        The lock is not recursive. An interrupt that is not connected has no lock: the call returns
        without it, as does a call above PASSIVE_LEVEL for a passive interrupt. Both are violations.
        """
        processor = self._current.processor
        irql = PASSIVE_LEVEL if processor is None else processor.state.irql
        if self.wait_lock is not None:
            self._acquire_wait_lock(self.wait_lock, irql)
            return
        kernel = self._kernel
        if self._kinterrupt is None:
            self._saved = irql
            self._lock_violation("WdfInterruptAcquireLock while it is not connected")
            return
        level = self.synchronize_irql
        lock = self._lock
        if irql > level:
            irql_violation(kernel, "WdfInterruptAcquireLock", irql, self, level)
        if processor is not None and lock._owner is processor:
            kernel.bug_check(
                SPIN_LOCK_ALREADY_OWNED,
                id(self),
                rule="WdfInterruptLock",
                message=f"the lock of {self} is acquired on the processor that holds it",
                subject=self,
            )
        if irql != level:
            irql = kernel.raise_irql(level)
            processor = self._current.processor
        if lock._mutex is not None:
            lock._mutex.acquire(processor)
        lock._owner = processor
        self._saved = irql
        if kernel.verifying and processor is not None:
            processor.interrupt_locks += 1
            kernel.verifier.acquired(self)

    def _acquire_wait_lock(self, wait_lock: WaitLock, irql: int) -> None:
        if irql > PASSIVE_LEVEL and self._kernel.verifying:
            irql_violation(self._kernel, "WdfInterruptAcquireLock", irql, self, limit=PASSIVE_LEVEL)
            return
        wait_lock.acquire()

    @ddi(
        "WdfInterruptReleaseLock",
        "VOID (_In_ WDFINTERRUPT Interrupt)",
        highest=LAST_DEVICE_LEVEL,
        unchecked=True,
    )
    def release_lock(self) -> None:
        """Releases the lock and restores the IRQL; a pending interrupt arrives before this returns.

        A call by a caller that does not hold the lock, or while the interrupt is not connected, is
        a violation and does nothing.
        """
        kernel = self._kernel
        processor = self._current.processor
        if self.wait_lock is not None:
            self._release_wait_lock(self.wait_lock, processor)
            return
        lock = self._lock
        if self._kinterrupt is None:
            self._lock_violation("WdfInterruptReleaseLock while it is not connected")
            return
        if processor is None or lock._owner is not processor:
            self._lock_violation("WdfInterruptReleaseLock by a caller that does not hold it")
            return
        if kernel.verifying:
            processor.interrupt_locks -= 1
            kernel.verifier.released(self)
        saved = self._saved
        if lock._mutex is not None:
            lock._owner = None
            lock._mutex.release(processor)
        else:
            lock._owner = None
        if saved != self.synchronize_irql:
            kernel.lower_irql(saved)

    def _release_wait_lock(self, wait_lock: WaitLock, processor: "Processor | None") -> None:
        irql = PASSIVE_LEVEL if processor is None else processor.state.irql
        if irql > PASSIVE_LEVEL and self._kernel.verifying:
            irql_violation(self._kernel, "WdfInterruptReleaseLock", irql, self, limit=PASSIVE_LEVEL)
            return
        wait_lock.release()

    @ddi(
        "WdfInterruptTryToAcquireLock",
        "BOOLEAN (_In_ WDFINTERRUPT Interrupt)",
        highest=PASSIVE_LEVEL,
        refusal=False,
    )
    def try_to_acquire_lock(self) -> bool:
        """Takes the lock of a passive interrupt if it is free.

        :return: ``True``: it is held now; ``False``: it is not, or the interrupt is handled at
            DIRQL, which is a violation
        """
        if self.wait_lock is None:
            self._lock_violation("WdfInterruptTryToAcquireLock is for passive interrupts only")
            return False
        return self.wait_lock.acquire(0) == STATUS_SUCCESS

    @ddi(
        "WdfInterruptSynchronize",
        "BOOLEAN (_In_ WDFINTERRUPT Interrupt, _In_ PFN_WDF_INTERRUPT_SYNCHRONIZE Callback, "
        "_In_ WDFCONTEXT Context)",
    )
    def synchronize(
        self, callback: "Callable[[Interrupt, Any], bool]", context: Any = None
    ) -> bool:
        """Calls EvtInterruptSynchronize(interrupt, context) under the lock, at SynchronizeIrql.

        :param callback: EvtInterruptSynchronize
        :param context: an object for the callback
        :return: the result of the callback; ``False``, without a call, for a passive interrupt
            above PASSIVE_LEVEL
        :raises BugCheck: there is no callback, or the interrupt is not connected
        """
        kernel = self._kernel
        check_pointer(kernel, callback, "WdfInterruptSynchronize: Callback", self)
        if self.wait_lock is not None:
            irql = kernel.irql()
            if irql > PASSIVE_LEVEL and kernel.verifying:
                irql_violation(kernel, "WdfInterruptSynchronize", irql, self, limit=PASSIVE_LEVEL)
                return False
        elif self._kinterrupt is None:
            self._null_pointer("WdfInterruptSynchronize: it is not connected")
        return self._call_synchronized(callback, self, context)

    def _call_synchronized(self, callback: Callable[..., Any], *arguments: Any) -> bool:
        self.acquire_lock()
        result = self._kernel.invoke(callback, *arguments, enhanced=False)
        self.release_lock()
        return bool(result)

    def _call_status_locked(self, callback: Callable[..., int | None] | None) -> int:
        """Calls EvtInterruptEnable or EvtInterruptDisable under the lock; returns its NTSTATUS."""
        if callback is None:
            return STATUS_SUCCESS
        self.acquire_lock()
        status = self._kernel.invoke_status(callback, self, self.device_above)
        self.release_lock()
        return status

    def _lock_violation(self, what: str) -> None:
        self._kernel.verifier.violation("WdfInterruptLock", f"{what}: {self}", self)

    def _null_pointer(self, what: str) -> NoReturn:
        """Stops the system, as where WDF uses a null pointer without a check."""
        kernel = self._kernel
        irql = kernel.irql()
        message = f"{what}: {self}"
        if irql >= DISPATCH_LEVEL:
            kernel.bug_check(DRIVER_IRQL_NOT_LESS_OR_EQUAL, 0, irql, message=message, subject=self)
        kernel.bug_check(
            KMODE_EXCEPTION_NOT_HANDLED, STATUS_ACCESS_VIOLATION, message=message, subject=self
        )
