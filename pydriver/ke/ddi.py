# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The registry of the calls that a driver can make: framework DDIs, and kernel routines.

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

    :ivar name: the exact WDF name, such as ``WdfDpcEnqueue``
    :ivar signature: the result and the parameters, in C
    :ivar lowest: the lowest IRQL at which it may be called
    :ivar highest: the highest IRQL at which it may be called
    :ivar method: the Python method, such as ``pydriver.wdf.sync.dpc:Dpc.enqueue``
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

    :param name: the exact Windows name
    :param signature: the result and the parameters, in C
    :param lowest: the lowest IRQL at which it may be called
    :param highest: the highest IRQL at which it may be called
    :param method: the Python method, as ``module:Class.method``
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
    """Registers a kernel routine: a function, or a method of an object outside the framework.

    It checks its IRQL itself, by the rules of the kernel: breaking one is a bug check.

    :param name: the exact Windows name, such as ``KeSetEvent``
    :param signature: the result and the parameters, in C
    :param highest: the highest IRQL at which it may be called
    :param lowest: the lowest IRQL at which it may be called
    :param binding: deviations of the function from the signature
    """

    def declare(function: F) -> F:
        method = f"{function.__module__}:{function.__qualname__}"
        register(name, signature, lowest, highest, method, binding)
        return function

    return declare
