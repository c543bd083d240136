# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Handles: the checks of every DDI on its arguments, and the handles of destroyed objects.

The use of a handle after its object was destroyed is WDF_VIOLATION 5. A living object pays nothing
for this check: a destroyed object changes its class to one whose DDIs all bug-check.
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
    """The stages of an object's life [Framework Object Life Cycle]."""

    ALIVE = 0
    DEFERRED = 1
    """deleted at too high an IRQL: the disposer will dispose of it"""
    DISPOSING = 2
    """the object and its children are being cleaned up"""
    DISPOSED = 3
    """cleaned up; references keep it"""
    DESTROYED = 4


def check_handle(kernel: "Kernel", handle: object, kind: "type[Object]", what: str) -> None:
    """Bug-checks a handle that is NULL, freed, or of another type, as every DDI does.

    :param handle: an argument of the DDI
    :param kind: the class that the argument must have
    :param what: the DDI, for the report
    """
    if isinstance(handle, kind) and not handle.freed:
        return
    kernel.bug_check(
        WDF_VIOLATION,
        WdfViolation.INVALID_HANDLE,
        0 if handle is None else id(handle),
        kind.fx_type,
        message=f"{what} needs a handle of type {kind.__name__}, not {describe_handle(handle)}",
        subject=handle,
    )


def check_pointer(kernel: "Kernel", pointer: object, what: str, subject: object = None) -> None:
    """Bug-checks a required argument that is NULL, as every DDI does.

    :param pointer: an argument of the DDI
    :param what: the DDI and the argument, for the report
    :param subject: the object on which the DDI is called
    """
    if pointer is None:
        kernel.bug_check(
            WDF_VIOLATION,
            WdfViolation.REQUIRED_PARAMETER_IS_NULL,
            message=f"{what} is required, but it is NULL",
            subject=subject,
        )


def describe_handle(handle: object) -> str:
    """The text for a handle that is not valid, in a message."""
    if handle is None:
        return "NULL"
    if getattr(handle, "freed", False):
        return f"the freed {handle}"
    return f"{handle!s}, which is of type {type(handle).__name__}"


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
    """The class that an object of some class gets when destroyed: each DDI is WDF_VIOLATION 5."""
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
