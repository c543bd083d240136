# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The framework under its exact names: ``from pydriver.ddi import WdfDpcEnqueue``.

Every name of the registry is a function here. Its first argument is the handle; the others are
those of the method: ``WdfTimerStart(timer, due_time)`` is ``timer.start(due_time)``. A DDI that
creates an object takes the arguments of ``create`` and returns the object.

A handle that is NULL, freed, or of another type is WDF_VIOLATION 5, as in WDF.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

import pydriver.wdf
from pydriver.ke.kernel import Kernel
from pydriver.wdf import REGISTRY, Ddi
from pydriver.wdf.object.object import Object, check_handle

__all__ = tuple(sorted(REGISTRY))

assert pydriver.wdf  # its modules fill the registry


def __getattr__(name: str) -> Callable[..., Any]:
    declared = REGISTRY.get(name)
    if declared is None:
        raise AttributeError(f"there is no DDI {name}; pydriver ddi lists them")
    function = globals()[name] = _function(declared)
    return function


def __dir__() -> list[str]:
    return list(__all__)


def _function(declared: Ddi) -> Callable[..., Any]:
    module, _, path = declared.method.partition(":")
    owner_name, _, method_name = path.rpartition(".")
    home = importlib.import_module(module)
    if not owner_name:
        function: Callable[..., Any] = getattr(home, method_name)
        return function
    owner: type = getattr(home, owner_name)
    method: Callable[..., Any] = getattr(owner, method_name)
    if isinstance(vars(owner).get(method_name), classmethod) or not issubclass(owner, Object):
        return method

    @functools.wraps(method)
    def call(handle: Any, *arguments: Any, **more: Any) -> Any:
        if not isinstance(handle, owner):
            kernel = _kernel_of((handle, *arguments, *more.values()))
            if kernel is None:
                raise TypeError(f"{declared.name} needs a {owner.__name__}, not {handle!r}")
            check_handle(kernel, handle, owner, declared.name)
        # The handle's own class: a freed object's methods say that it is freed.
        override = getattr(type(handle), method_name) if handle.freed else method
        return override(handle, *arguments, **more)

    call.__name__ = call.__qualname__ = declared.name
    return call


def _kernel_of(candidates: tuple[Any, ...]) -> Kernel | None:
    for each in candidates:
        kernel = getattr(each, "_kernel", None)
        if isinstance(kernel, Kernel):
            return kernel
    return None
