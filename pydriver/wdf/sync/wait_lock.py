# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFWAITLOCK: a mutex for PASSIVE_LEVEL; a synchronization event that is initially set."""

from threading import get_ident
from typing import TYPE_CHECKING, ClassVar, Self

from pydriver.declarations.registry import handle
from pydriver.ke.event import EventType, KEvent
from pydriver.ke.status import STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS, NtStatusError
from pydriver.wdf.object.ddi import PASSIVE_LEVEL, creation_ddi, ddi, irql_violation
from pydriver.wdf.object.object import Object, ObjectAttributes

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel

__all__ = ("WaitLock",)


@handle("WDFWAITLOCK")
class WaitLock(Object):
    """A wait lock, not recursive: a thread that acquires it twice waits for ever, as in WDF."""

    __slots__ = ("_event", "_holder")

    fx_type: ClassVar[int] = 0x1023
    held_rule: ClassVar[str] = "WdfWaitlockRelease"

    def __init__(
        self, kernel: "Kernel", parent: Object | None, attributes: ObjectAttributes | None
    ) -> None:
        super().__init__(kernel, parent, attributes)
        self._event = KEvent(kernel, EventType.SYNCHRONIZATION, state=True)
        self._holder: int | None = None

    @classmethod
    @creation_ddi(
        "WdfWaitLockCreate",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES LockAttributes, _Out_ WDFWAITLOCK *Lock)",
    )
    def create(cls, attributes: ObjectAttributes) -> Self:
        """Creates a lock.

        :param attributes: the attributes, which must name a parent: there is no current driver
            whose object could be the default, and the rule ParentObjectCheckLock wants one anyway
        :raises NtStatusError: the attributes are not valid
        """
        attributes, parent = cls.check_attributes_with_parent(attributes, "WdfWaitLockCreate")
        return cls(parent._kernel, parent, attributes)

    @ddi("WdfWaitLockAcquire", "NTSTATUS (_In_ WDFWAITLOCK Lock, _In_opt_ PLONGLONG Timeout)")
    def acquire(self, timeout: int | None = None) -> int:
        """Takes the lock; at PASSIVE_LEVEL unless ``timeout`` is 0.

        The holder is in a critical region.

        :param timeout: the time in units of 100 ns. ``None``: for ever; 0: only try; negative:
            relative; positive: absolute, since 1601
        :return: STATUS_SUCCESS: the lock is held; STATUS_TIMEOUT: it is not
        :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: the IRQL is too high to wait
        """
        kernel = self._kernel
        if timeout != 0 and kernel.verifying:
            irql = kernel.irql()
            if irql != PASSIVE_LEVEL:
                irql_violation(kernel, "WdfWaitLockAcquire", irql, self, PASSIVE_LEVEL)
                raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, "WdfWaitLockAcquire")
        if timeout != 0 and self._holder == get_ident():
            kernel.verifier.violation(
                "WdfWaitlock", f"{self} is acquired by the thread that holds it", self
            )
        kernel.enter_critical_region()
        status = self._event.wait(timeout)
        if status != STATUS_SUCCESS:
            kernel.leave_critical_region()
        else:
            self._holder = get_ident()
            if kernel.verifying:
                kernel.verifier.acquired(self)
        return status

    @ddi("WdfWaitLockRelease", "VOID (_In_ WDFWAITLOCK Lock)")
    def release(self) -> None:
        """Gives the lock back. Only the thread that holds it may do so."""
        kernel = self._kernel
        if kernel.verifying:
            if self._holder != get_ident():
                kernel.verifier.violation(
                    "WdfWaitlockRelease",
                    f"{self} is released by a thread that does not hold it",
                    self,
                )
            kernel.verifier.released(self)
        self._holder = None
        self._event.set()
        kernel.leave_critical_region()

    def _on_dispose(self) -> None:
        if self._holder is not None:
            self._kernel.verifier.violation("WdfWaitlock", f"{self} is deleted while held", self)
        self._kernel.verifier.forget_lock(self)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
