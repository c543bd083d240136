# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Handles: what every DDI checks of its arguments, and what a handle is after its object's end.

A handle that is used after its object was destroyed is WDF_VIOLATION 5. That costs a living object
nothing: a destroyed one changes its class, to one whose DDIs all bug-check.
"""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from pydriver.ke.bugcheck import WDF_VIOLATION, WdfViolation

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.wdf.object.object import Object

__all__ = (
    "Phase",
    "check_handle",
    "check_pointer",
    "freed_class",
)


class Phase(Enum):
    """How far an object's life has gone [Framework Object Life Cycle]."""

    ALIVE = 0
    DEFERRED = 1
    """deleted at too high an IRQL: the disposer will dispose of it"""
    DISPOSING = 2
    """its children and it are being cleaned up"""
    DISPOSED = 3
    """cleaned up; references keep it"""
    DESTROYED = 4


def check_handle(kernel: "Kernel", handle: object, kind: "type[Object]", what: str) -> None:
    """Bug-checks a handle that is NULL, freed, or of another type, as every DDI does.

    :param handle: an argument of the DDI
    :param kind: that it must be
    :param what: the DDI, for the report
    """
    if isinstance(handle, kind) and not handle.freed:
        return
    kernel.bug_check(
        WDF_VIOLATION,
        WdfViolation.INVALID_HANDLE,
        0 if handle is None else id(handle),
        kind.fx_type,
        message=f"{what}: {describe_handle(handle)} is no {kind.__name__}",
        subject=handle,
    )


def check_pointer(kernel: "Kernel", pointer: object, what: str, subject: object = None) -> None:
    """Bug-checks a required argument that is NULL, as every DDI does.

    :param pointer: an argument of the DDI
    :param what: the DDI and the argument, for the report
    :param subject: the object that the DDI is called with
    """
    if pointer is None:
        kernel.bug_check(
            WDF_VIOLATION,
            WdfViolation.REQUIRED_PARAMETER_IS_NULL,
            message=f"{what} is required, and NULL",
            subject=subject,
        )


def describe_handle(handle: object) -> str:
    """A handle that is not valid, for a message."""
    if handle is None:
        return "NULL"
    if getattr(handle, "freed", False):
        return f"the freed {handle}"
    return f"{handle!s}, of type {type(handle).__name__},"


def _freed_method(name: str) -> Callable[..., Any]:
    def method(self: "Object", *arguments: Any, **more: Any) -> Any:
        self._kernel.bug_check(
            WDF_VIOLATION,
            WdfViolation.INVALID_HANDLE,
            id(self),
            self.fx_type,
            rule=self.freed_rule,
            message=f"{name} on {self}, which has been freed",
            subject=self,
        )

    return method


_freed: "dict[type[Object], type[Object]]" = {}


def freed_class(kind: "type[Object]") -> "type[Object]":
    """The class of a destroyed object of some class: every DDI is WDF_VIOLATION 5."""
    known = _freed.get(kind)
    if known is not None:
        return known
    methods: dict[str, Any] = {"__slots__": (), "object_class": kind}
    for base in kind.__mro__:
        for attribute, value in vars(base).items():
            name = getattr(value, "ddi_name", None)
            if name is not None:
                methods.setdefault(attribute, _freed_method(name))
    result = _freed[kind] = type(f"Freed{kind.__name__}", (kind,), methods)
    return result
