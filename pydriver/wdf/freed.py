# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Handles that are used after their object was destroyed: WDF_VIOLATION 5.

That costs a living object nothing: a destroyed one changes its class, to one whose DDIs all
bug-check.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydriver.ke.bugcheck import WDF_VIOLATION

if TYPE_CHECKING:
    from pydriver.wdf.object import Object

__all__ = ("INVALID_HANDLE", "freed")

INVALID_HANDLE = 5
"""Parameter 1 of WDF_VIOLATION."""


def _freed_method(name: str) -> Callable[..., Any]:
    def method(self: "Object", *arguments: Any, **more: Any) -> Any:
        self._kernel.bug_check(
            WDF_VIOLATION,
            INVALID_HANDLE,
            id(self),
            self.fx_type,
            rule=self.freed_rule,
            message=f"{name} on {self}, which has been freed",
            subject=self,
        )

    return method


_freed: "dict[type[Object], type[Object]]" = {}


def freed(kind: "type[Object]") -> "type[Object]":
    """The class of a destroyed object of some class: every DDI is WDF_VIOLATION 5."""
    known = _freed.get(kind)
    if known is not None:
        return known
    methods: dict[str, Any] = {"__slots__": ()}
    for base in kind.__mro__:
        for attribute, value in vars(base).items():
            name = getattr(value, "ddi_name", None)
            if name is not None:
                methods.setdefault(attribute, _freed_method(name))
    result = _freed[kind] = type(f"Freed{kind.__name__}", (kind,), methods)
    return result
