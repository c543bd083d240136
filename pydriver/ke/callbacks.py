# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Calls of a driver's callbacks: checks of how they return, and of exceptions that leave them."""

from collections.abc import Callable
from typing import Any, NoReturn

from pydriver.errors import AccessFault, LinkStopped, MachineDied
from pydriver.ke.bugcheck import (
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    KMODE_EXCEPTION_NOT_HANDLED,
    PAGE_FAULT_IN_NONPAGED_AREA,
    PYTHON_EXCEPTION,
    WDF_VIOLATION,
    WdfViolation,
)
from pydriver.ke.failure import FailStop
from pydriver.ke.irql import APC_LEVEL, DISPATCH_LEVEL, irql_name
from pydriver.ke.probes import Point
from pydriver.ke.status import STATUS_SUCCESS, NtStatusError
from pydriver.ke.verifier import Verifier
from pydriver.place import Place, callback_name

__all__ = ("Callbacks",)


class Callbacks(FailStop):
    """The part of the kernel that calls drivers.

    :ivar verifier: the verifier, with the broken rules
    :ivar verifying: whether the verifier is on
    """

    verifier: Verifier
    verifying: bool

    def invoke(
        self,
        callback: Callable[..., Any],
        *arguments: Any,
        enhanced: bool = True,
        code: int = KMODE_EXCEPTION_NOT_HANDLED,
        statuses: bool = False,
    ) -> Any:
        """Calls a driver's callback. An exception that leaves it is a bug check.

        With the verifier on, the callback must return at the IRQL at which it was called, and
        must have released the locks that it has acquired.

        :param enhanced: whether it is one of the callbacks that WDF's enhanced verifier wraps: a
            return at another IRQL is then WDF_VIOLATION 0xE
        :param code: the code of the bug check for an exception: 0x1E, or 0x7E for a worker thread
        :param statuses: whether an :class:`NtStatusError` that leaves the callback is its result
        :return: the result of the callback
        """
        if self.probe is not None:
            self.probe(
                Point.CALLBACK, callback_name(callback), arguments[0] if arguments else None, 0
            )
        if not self.verifying:
            try:
                return callback(*arguments)
            except Exception as error:  # noqa: BLE001 -- becomes a bug check
                return self._status_of(error, code, statuses=statuses)
        current = self.current
        processor = current.processor
        entered = 0 if processor is None else processor.state.irql
        locks = current.held
        held = len(locks)
        regions = current.critical_regions
        try:
            result = callback(*arguments)
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            result = self._status_of(error, code, statuses=statuses)
        processor = current.processor
        left = 0 if processor is None else processor.state.irql
        if (
            left != entered
            or len(locks) > held
            or (enhanced and current.critical_regions != regions)
        ):
            self.bad_return(callback, entered, left, held, regions, enhanced=enhanced)
        return result

    def _status_of(self, error: Exception, code: int, *, statuses: bool) -> int:
        if not statuses or not isinstance(error, NtStatusError):
            self.escaped(error, code)
        return error.status

    def invoke_status(self, callback: Callable[..., int | None], *arguments: Any) -> int:
        """Calls a callback that returns NTSTATUS; ``None`` means STATUS_SUCCESS.

        The status of an :class:`NtStatusError` that leaves it is its result, as ``return status``
        after ``if (!NT_SUCCESS(status))`` would be.
        """
        status = self.invoke(callback, *arguments, statuses=True)
        if status is None:
            return STATUS_SUCCESS
        if not isinstance(status, int) or isinstance(status, bool):
            self.escaped(
                TypeError(f"{callback_name(callback)} returned {status!r}, not an NTSTATUS")
            )
        return status

    def bad_return(
        self,
        callback: Callable[..., Any],
        entered: int,
        left: int,
        held: int,
        regions: int,
        *,
        enhanced: bool,
    ) -> None:
        """Reports a callback that has changed the state of its thread.

        :param entered: the IRQL at which it was called
        :param left: the IRQL at which it returned
        :param held: the number of locks that the thread held when it was called
        :param regions: the number of critical regions that the thread was in then
        :param enhanced: see :meth:`invoke`
        """
        name = callback_name(callback)
        kept = self.report_kept(name, held, callback)
        if left == entered:
            change = self.current.critical_regions - regions
            if enhanced and change and entered <= APC_LEVEL:
                self.bug_check(
                    WDF_VIOLATION,
                    WdfViolation.VERIFIER_CRITICAL_REGION_MISMATCH,
                    id(callback),
                    rule="CriticalRegion",
                    message=f"{name} returned {abs(change)} critical region(s) "
                    f"{'deeper' if change > 0 else 'higher'} than it was called",
                    returned=callback,
                    origin=kept,
                )
            return
        message = f"{name} was called at {irql_name(entered)} and returned at {irql_name(left)}"
        origin = kept or (self.current.raised_at if left > entered else None)
        if enhanced:
            self.bug_check(
                WDF_VIOLATION,
                WdfViolation.VERIFIER_IRQL_MISMATCH,
                entered,
                left,
                message=message,
                returned=callback,
                origin=origin,
            )
        self.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            0,
            left,
            entered,
            rule="KmdfIrql2",
            message=message,
            returned=callback,
            origin=origin,
        )

    def report_kept(self, name: str, held: int, callback: object = None) -> Place | None:
        """Reports the locks that a callback has kept to the verifier, and forgets them.

        :param name: the name of the callback
        :param held: the number of locks that the thread held when it was called
        :param callback: the callback, or a routine that calls it; ``None`` if it is still on the
            stack
        :return: the line that acquired the first of the locks
        """
        kept = self.current.held[held:]
        del self.current.held[held:]
        places = [self.verifier.acquired_at(lock) for lock in kept]
        for lock, place in zip(kept, places, strict=True):
            self.verifier.violation(
                getattr(lock, "held_rule", "WdfSpinlockRelease"),
                f"{name} returned and still holds {lock}",
                lock,
                returned=callback,
                origin=place,
            )
        return next(filter(None, places), None)

    def escaped(self, error: Exception, code: int = KMODE_EXCEPTION_NOT_HANDLED) -> NoReturn:
        """Stops the system because an exception left a driver's callback, unless it has ended.

        :param error: the exception
        :param code: 0x1E, or 0x7E for a worker thread
        """
        if self.failure is not None:
            self.raise_failure()
        if isinstance(error, MachineDied):
            self.fail(error)
            raise error
        if isinstance(error, LinkStopped):
            raise error
        if isinstance(error, AccessFault):
            irql = self.irql()
            message = f"the driver touched {error.address:#x}: {error}"
            if irql >= DISPATCH_LEVEL:
                self.bug_check(
                    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
                    error.address,
                    irql,
                    error.error_code >> 1 & 1,
                    message=message,
                    error=error,
                )
            self.bug_check(
                PAGE_FAULT_IN_NONPAGED_AREA,
                error.address,
                error.error_code >> 1 & 1,
                message=message,
                error=error,
            )
        self.bug_check(
            code,
            PYTHON_EXCEPTION,
            message=f"{type(error).__name__} left a driver's callback: {error}",
            error=error,
        )
