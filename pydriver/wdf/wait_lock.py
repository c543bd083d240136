# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFWAITLOCK: a mutex for PASSIVE_LEVEL; a synchronization event that is initially set."""

from typing import TYPE_CHECKING, Self

from pydriver.ke.status import STATUS_SUCCESS
from pydriver.ke.thread import EventType, KEvent
from pydriver.wdf.ddi import PASSIVE_LEVEL, creation_ddi, ddi, irql_violation
from pydriver.wdf.object import Object, ObjectAttributes, ParentRule

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel

__all__ = ("WaitLock",)


class WaitLock(Object):
    """A wait lock. Not recursive."""

    __slots__ = ("_event",)

    def __init__(
        self, kernel: "Kernel", parent: Object | None, attributes: ObjectAttributes | None
    ) -> None:
        super().__init__(kernel, parent, attributes)
        self._event = KEvent(kernel, EventType.SYNCHRONIZATION)
        self._event.set()

    @classmethod
    @creation_ddi("WdfWaitLockCreate", "NTSTATUS (PWDF_OBJECT_ATTRIBUTES, WDFWAITLOCK *)")
    def create(cls, attributes: ObjectAttributes) -> Self:
        """Creates a lock.

        :param attributes: with a parent [rule ParentObjectCheckLock]
        :raises NtStatusError: the attributes are not valid
        """
        attributes = cls.check_attributes(attributes, ParentRule.MANDATORY, "WdfWaitLockCreate")
        parent = attributes.parent_object
        assert parent is not None
        return cls(parent._kernel, parent, attributes)

    @ddi("WdfWaitLockAcquire", "NTSTATUS (WDFWAITLOCK Lock, PLONGLONG Timeout)")
    def acquire(self, timeout: int | None = None) -> int:
        """Takes the lock; at PASSIVE_LEVEL unless ``timeout`` is 0.

        :param timeout: ``None``: for ever; 0: only try; negative: relative, in units of 100 ns
        :return: STATUS_SUCCESS: it is held; STATUS_TIMEOUT: it is not
        """
        if timeout != 0:
            irql = self._kernel.irql()
            if irql != PASSIVE_LEVEL:
                irql_violation(self._kernel, "WdfWaitLockAcquire", irql, PASSIVE_LEVEL)
        return self._event.wait(timeout)

    @ddi("WdfWaitLockRelease", "VOID (WDFWAITLOCK Lock)")
    def release(self) -> None:
        """Gives the lock back."""
        self._event.set()

    def __enter__(self) -> Self:
        if self.acquire() != STATUS_SUCCESS:
            raise AssertionError
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
