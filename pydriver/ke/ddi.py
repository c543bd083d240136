# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The registry of what a driver may call: framework DDIs, and the kernel routines of this package.

Each is declared once, at its Python function or method; `pydriver.wdf.object.ddi` adds the IRQL
check of the framework's DDIs.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from types import MethodType
from typing import Any, TypeVar, cast

from pydriver.declarations.binding import DEFAULT, Binding, Call, bind
from pydriver.declarations.registry import HANDLES
from pydriver.declarations.sal import Signature, parse_signature
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL

__all__ = ("REGISTRY", "Ddi", "function_ddi", "register")


@dataclass(frozen=True, slots=True)
class Ddi:
    """One DDI.

    :ivar name: exact WDF name, ``WdfDpcEnqueue``
    :ivar signature: in C: result and parameters
    :ivar lowest: lowest IRQL at which it may be called
    :ivar highest: highest one
    :ivar method: where it is in Python, ``pydriver.wdf.sync.dpc:Dpc.enqueue``
    :ivar binding: deviations of the method from the signature
    """

    name: str
    signature: str
    lowest: int
    highest: int
    method: str
    binding: Binding = DEFAULT

    def implementation(self) -> Callable[..., Any]:
        """The Python function, method or class."""
        module, _, path = self.method.partition(":")
        return cast("Callable[..., Any]", attrgetter(path)(importlib.import_module(module)))

    def parsed(self) -> Signature:
        """The signature, taken apart."""
        return parse_signature(self.signature)

    def call(self) -> Call:
        """The correspondence of the C function and the method."""
        signature, method = self.parsed(), self.implementation()
        bound = "." not in self.method.partition(":")[2] or isinstance(method, type | MethodType)
        first = signature.parameters[0].declaration if signature.parameters else ""
        # A handle or a pointer; `KIRQL NewIrql` is a value.
        takes_object = not bound and (first.partition(" ")[0] in HANDLES or first.startswith("P"))
        return bind(signature, method, self.binding, takes_object=takes_object)


REGISTRY: dict[str, Ddi] = {}
"""Every DDI by its WDF name; filled while the modules of the packages are imported."""

F = TypeVar("F", bound=Callable[..., Any])


def register(
    name: str,
    signature: str,
    lowest: int,
    highest: int,
    method: str,
    binding: Binding = DEFAULT,
) -> Ddi:
    """Declares a DDI.

    :param name: exact Windows name
    :param signature: in C
    :param lowest: lowest IRQL at which it may be called
    :param highest: highest one
    :param method: where it is in Python, ``module:Class.method``
    :param binding: deviations of the method from the signature
    :raises TypeError: another method has that name
    """
    declared = REGISTRY.setdefault(name, Ddi(name, signature, lowest, highest, method, binding))
    if declared.method != method:
        raise TypeError(f"{name} is declared by {declared.method} and by {method}")
    return declared


def function_ddi(
    name: str,
    signature: str,
    *,
    highest: int = DISPATCH_LEVEL,
    lowest: int = PASSIVE_LEVEL,
    binding: Binding = DEFAULT,
) -> Callable[[F], F]:
    """Registers a function, or a method of what is no framework object: a kernel routine.

    It checks its IRQL itself, by the rules of the kernel: a broken one is a bug check.

    :param name: exact Windows name, ``KeSetEvent``
    :param signature: in C
    :param highest: highest IRQL at which it may be called
    :param lowest: lowest one
    :param binding: deviations of the function from the signature
    """

    def declare(function: F) -> F:
        method = f"{function.__module__}:{function.__qualname__}"
        register(name, signature, lowest, highest, method, binding)
        return function

    return declare
