# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The registry of DDIs: each is declared once, at its method or function, by a decorator.

The IRQL check, the recorder's entry, the reference table in `docs/` and the exact-name functions of
`pydriver.ddi` come from the declaration. The check is compiled with the method's own parameters,
because a wrapper with ``*args`` costs more than the check; a DDI that is legal at every IRQL and
not recorded is registered and left as it is.

A call above its IRQL limit is a violation for the verifier. The call then does what it does in WDF:
where the framework checks the IRQL at run time, which the declaration says with `refusal`, the call
fails as declared and does nothing; elsewhere it runs. With the verifier off, nothing is checked.
"""

import inspect
from collections.abc import Callable
from enum import Enum
from time import perf_counter_ns
from typing import Any, NoReturn, TypeVar, cast

from pydriver.declarations.binding import DEFAULT, Binding
from pydriver.ke.ddi import REGISTRY, Ddi, function_ddi, register
from pydriver.ke.irql import (
    APC_LEVEL,
    DISPATCH_LEVEL,
    HIGH_LEVEL,
    PASSIVE_LEVEL,
    irql_name,
)
from pydriver.ke.kernel import Kernel
from pydriver.ke.status import (
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST,
    NtStatusError,
)
from pydriver.place import GENERATED
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR

__all__ = (
    "APC_LEVEL",
    "DISPATCH_LEVEL",
    "HIGH_LEVEL",
    "PASSIVE_LEVEL",
    "RAISES",
    "REGISTRY",
    "RUNS",
    "Binding",
    "Ddi",
    "creation_ddi",
    "ddi",
    "function_ddi",
    "irql_violation",
)


class Refusal(Enum):
    """The effect of a call above its IRQL limit, if the call does not return a value."""

    RUNS = "runs"
    RAISES = "raises"


RUNS = Refusal.RUNS
"""The framework does not check the IRQL at run time: the call goes on, and may fail later."""

RAISES = Refusal.RAISES
"""The framework checks: NtStatusError with STATUS_INVALID_DEVICE_REQUEST."""


F = TypeVar("F", bound=Callable[..., Any])


def _register(
    name: str,
    signature: str,
    lowest: int,
    highest: int,
    function: Callable[..., Any],
    binding: Binding,
) -> None:
    method = f"{function.__module__}:{function.__qualname__}"
    register(name, signature, lowest, highest, method, binding)


def irql_violation(
    kernel: Kernel, name: str, irql: int, subject: object = None, limit: int | None = None
) -> None:
    """Reports a DDI that was called at a wrong IRQL to the verifier.

    :param kernel: the kernel the object belongs to
    :param name: the name of the DDI
    :param irql: the IRQL of the call
    :param subject: the object
    :param limit: the limit for these arguments, if it differs from the declared one
    """
    if limit is None:
        declared = REGISTRY[name]
        limit = declared.highest if irql > declared.highest else declared.lowest
    kernel.verifier.violation(
        "KmdfIrql",
        f"{name} at {irql_name(irql)}; its limit is {irql_name(limit)}",
        subject,
    )


def _refuse(name: str) -> NoReturn:
    raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{name} at too high an IRQL")


_TEMPLATE = """\
def {name}(self{parameters}):
    processor = self._current.processor
    irql = 0 if processor is None else processor.state.irql
    if {condition} and self._kernel.verifying:
        _violation(self._kernel, {ddi!r}, irql, self)
{refusal}{record}    return _function(self{arguments})
"""

_RECORD = """\
    self._kernel.record(
        (_now(), _event, -1 if processor is None else processor.number, irql, self, {ddi!r}))
"""


def ddi(
    name: str,
    signature: str,
    *,
    highest: int = DISPATCH_LEVEL,
    lowest: int = PASSIVE_LEVEL,
    refusal: object = RUNS,
    recorded: bool = False,
    unchecked: bool = False,
    binding: Binding = DEFAULT,
) -> Callable[[F], F]:
    """Declares a method of an object as a DDI.

    :param name: the exact WDF name
    :param signature: the signature in C
    :param highest: the highest IRQL at which it may be called
    :param lowest: the lowest IRQL at which it may be called
    :param refusal: the effect of WDF's IRQL check on the call: :data:`RAISES`, or the value that
        the call returns; :data:`RUNS` if there is no such check
    :param recorded: whether each call is an entry of the recorder
    :param unchecked: whether the method checks the IRQL itself, because it needs its value
    :param binding: the deviations of the method from the signature
    """

    def declare(function: F) -> F:
        _register(name, signature, lowest, highest, function, binding)
        function.ddi_name = name  # type: ignore[attr-defined]
        if unchecked or (highest >= HIGH_LEVEL and not recorded):
            return function
        return cast("F", _checked(function, name, lowest, highest, refusal, recorded=recorded))

    return declare


_REFUSALS = {RUNS: "", RAISES: "        _refuse({ddi!r})\n"}


def _checked(
    function: Callable[..., Any],
    name: str,
    lowest: int,
    highest: int,
    refusal: object,
    *,
    recorded: bool,
) -> Callable[..., Any]:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    text, arguments, keyword_only = "", "", False
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            text += ", *"
        text += f", {parameter.name}"
        arguments += (
            f", {parameter.name}={parameter.name}" if keyword_only else (f", {parameter.name}")
        )
        if parameter.default is not inspect.Parameter.empty:
            text += f"=_default_{parameter.name}"
    condition = (
        f"irql > {highest}" if lowest == PASSIVE_LEVEL else (f"not {lowest} <= irql <= {highest}")
    )
    namespace: dict[str, Any] = {
        "_function": function,
        "_violation": irql_violation,
        "_refuse": _refuse,
        "_refusal": refusal,
        "_now": perf_counter_ns,
        "_event": Event.CALL,
        **{f"_default_{each.name}": each.default for each in parameters},
    }
    source = _TEMPLATE.format(
        name=function.__name__,
        parameters=text,
        arguments=arguments,
        condition=condition,
        ddi=name,
        record=_RECORD.format(ddi=name) if recorded else "",
        refusal=(
            _REFUSALS[refusal].format(ddi=name)
            if isinstance(refusal, Refusal)
            else "        return _refusal\n"
        ),
    )
    exec(compile(source, f"{GENERATED}{name}>", "exec"), namespace)
    wrapper = namespace[function.__name__]
    for attribute in ("__module__", "__qualname__", "__doc__", "__annotations__", "ddi_name"):
        setattr(wrapper, attribute, getattr(function, attribute))
    wrapper.__wrapped__ = function
    return cast("Callable[..., Any]", wrapper)


def creation_ddi(
    name: str,
    signature: str,
    *,
    highest: int = DISPATCH_LEVEL,
    refusal: object = RUNS,
    binding: Binding = DEFAULT,
) -> Callable[[F], F]:
    """Declares the class method that creates an object; its place is under ``@classmethod``.

    The kernel is that of the first argument that belongs to one: a device, a driver, a driver
    object, or attributes with a parent. The verifier can make the creation fail.

    :param name: the exact WDF name
    :param signature: the signature in C
    :param highest: the highest IRQL at which it may be called
    :param refusal: :data:`RAISES` if WDF checks the IRQL at run time
    :param binding: the deviations of the method from the signature
    """

    def declare(function: F) -> F:
        _register(name, signature, PASSIVE_LEVEL, highest, function, binding)

        def create(cls: type, *args: Any, **kwargs: Any) -> Any:
            kernel = _find_kernel((*args, *kwargs.values()))
            if kernel is not None:
                _before_creation(kernel, name, highest, refusal)
            return function(cls, *args, **kwargs)

        for attribute in ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__"):
            setattr(create, attribute, getattr(function, attribute))
        create.__wrapped__ = function  # type: ignore[attr-defined]
        return cast("F", create)

    return declare


def _before_creation(kernel: Kernel, name: str, highest: int, refusal: object) -> None:
    irql = kernel.irql()
    if irql > highest and kernel.verifying:
        irql_violation(kernel, name, irql)
        if refusal is RAISES:
            _refuse(name)
    processor = kernel.current.processor
    number = NO_PROCESSOR if processor is None else processor.number
    kernel.record((perf_counter_ns(), Event.CALL, number, irql, None, name))
    if kernel.verifier.fails_creation():
        raise NtStatusError(STATUS_INSUFFICIENT_RESOURCES, f"{name}: the verifier makes it fail")


def _find_kernel(arguments: tuple[Any, ...]) -> Kernel | None:
    for argument in arguments:
        owner = getattr(argument, "parent_object", None) or argument
        kernel = getattr(owner, "_kernel", None)
        if isinstance(kernel, Kernel):
            return kernel
    return None
