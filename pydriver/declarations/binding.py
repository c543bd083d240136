# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The correspondence of a C function and the Python method that implements it.

The signatures decide, by these rules; a :class:`Binding` at the declaration has the deviations.

- A method's object is the first parameter, if that is a handle or a pointer.
- A Python parameter is the C parameter of its name: ``due_time`` is ``DueTime``; else the only one
  left whose first or last words it is: ``attributes`` is ``QueueAttributes``. ``*arguments`` are
  all the others. ``kernel`` and ``driver_object`` are the caller's, where C has no such parameter.
- A parameter that gives the size of a buffer belongs to the buffer's Python object.
- The outputs by pointer (``_Out_``, or ``_Inout_`` without a Python parameter) are the result: one
  output is the result itself, several are its elements, the C result first unless that is
  VOID or NTSTATUS.
- An exception's status is the NTSTATUS. Without one it is STATUS_SUCCESS, or the result itself if
  nothing is returned by pointer and the method returns a number.

The source of an output is an expression of ``result``: ``result``, ``result[1]``,
``len(result)``, ``result.irql``.
"""

import inspect
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydriver.declarations.registry import snake_case
from pydriver.declarations.sal import Direction, Parameter, Signature

__all__ = ("AMBIENT", "DEFAULT", "Binding", "Call", "bind")

AMBIENT = frozenset({"driver_object", "kernel"})
"""Python parameters whose values come from the caller's system."""

RETURN = "return"
"""The C function's own result among the outputs."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Deviations from the rules, at one declaration.

    :ivar parameters: Python parameters by C parameter; ``"self, offset"`` is an address in two
        parts
    :ivar omits: C parameters that Python lacks, because here they have no effect
    :ivar adds: Python parameters that C lacks; a caller in C leaves them at their default
    :ivar outputs: expression of ``result`` by the C parameter, a path in it, or ``return``
    :ivar none: name of the NTSTATUS that a result of ``None`` means
    :ivar entry: name in the function table, where the DDI is a macro over it
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    omits: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    outputs: Mapping[str, str] = field(default_factory=dict)
    none: str = ""
    entry: str = ""


DEFAULT = Binding()


@dataclass(frozen=True, slots=True)
class Call:
    """A C function and its Python method.

    :ivar parameters: Python parameters by C parameter, in C's order; ``self`` is the object
    :ivar omitted: C parameters without a Python parameter
    :ivar sizes: buffer by the C parameter that gives its size
    :ivar outputs: expression of ``result`` by the C parameter, a path in it, or ``return``
    :ivar none: name of the NTSTATUS that a result of ``None`` means
    :ivar problems: parameters and results that do not correspond; empty in a complete declaration
    """

    parameters: Mapping[str, str]
    omitted: tuple[str, ...]
    sizes: Mapping[str, str]
    outputs: Mapping[str, str]
    none: str
    problems: tuple[str, ...]


def bind(
    signature: Signature,
    method: Callable[..., Any],
    binding: Binding,
    *,
    takes_object: bool,
) -> Call:
    """Applies the rules.

    :param signature: the signature of the C function
    :param method: the Python function, class method or class
    :param binding: deviations from the rules
    :param takes_object: whether the first C parameter may be the method's object
    """
    problems: list[str] = []
    names = [each.name for each in signature.parameters]
    unknown = {*binding.parameters, *binding.omits} - set(names)
    problems += [f"{each} is not a parameter in C" for each in sorted(unknown)]
    found = dict(binding.parameters)
    if takes_object and names and names[0] not in found:
        found[names[0]] = "self"
    _match(signature, found, _parameters(method), binding, problems)
    parameters = {each: found[each] for each in names if each in found}
    returned = [
        each
        for each in signature.parameters
        if each.name not in {*parameters, *binding.omits} and each.direction is not Direction.IN
    ]
    outputs = _outputs(signature, returned, method, binding, problems)
    sizes = _sizes(signature, parameters, outputs, binding)
    known = {*parameters, *binding.omits, *sizes, *(each.partition(".")[0] for each in outputs)}
    problems += [f"{each} has no parameter in Python" for each in names if each not in known]
    return Call(parameters, binding.omits, sizes, outputs, binding.none, tuple(problems))


def _match(
    signature: Signature,
    found: dict[str, str],
    parameters: Mapping[str, inspect.Parameter],
    binding: Binding,
    problems: list[str],
) -> None:
    """Finds the C parameter of each Python one."""
    free = {
        snake_case(each.name): each.name
        for each in signature.parameters
        if each.name not in {*found, *binding.omits}
    }
    written = {each.name for each in signature.parameters if each.direction is Direction.OUT}
    given = {name.strip() for each in found.values() for name in each.split(",")}
    left = [each for each in parameters.values() if each.name not in {*given, *binding.adds}]
    for each in list(left):
        if each.name in free:
            found[free.pop(each.name)] = each.name
            left.remove(each)
    for each in left:
        name = each.name.replace("_", "")
        words = {key: key.replace("_", "") for key in free}
        near = [
            key
            for key in free
            if free[key] not in written
            and (words[key].startswith(name) or words[key].endswith(name))
        ]
        if each.kind is inspect.Parameter.VAR_POSITIONAL:
            found.update(dict.fromkeys(free.values(), each.name))
        elif len(near) == 1:
            found[free.pop(near[0])] = each.name
        elif each.name not in AMBIENT:
            problems.append(f"{each.name} has no parameter in C")
    for name in binding.adds:
        if parameters[name].default is inspect.Parameter.empty:
            problems.append(f"{name} has no default, and no parameter in C")


def _parameters(method: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Returns the parameters of a call: without ``self`` or ``cls``."""
    if inspect.isclass(method):
        method = method.__init__
    parameters = dict(inspect.signature(inspect.unwrap(_function(method))).parameters)
    for each in ("self", "cls"):
        parameters.pop(each, None)
    return parameters


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    return method.__func__ if isinstance(method, types.MethodType) else method


def _sizes(
    signature: Signature, taken: Mapping[str, str], outputs: Mapping[str, str], binding: Binding
) -> dict[str, str]:
    """Returns the parameters that only give the size of a buffer, with the buffers."""
    known = {*taken, *outputs}
    return {
        buffer.size.lstrip("*"): buffer.name
        for buffer in signature.parameters
        if buffer.name in known and buffer.size.lstrip("*") not in {"", *known, *binding.omits}
    }


def _outputs(
    signature: Signature,
    returned: list[Parameter],
    method: Callable[..., Any],
    binding: Binding,
    problems: list[str],
) -> dict[str, str]:
    if inspect.isclass(method):
        annotation: Any = method
    else:
        unwrapped = inspect.unwrap(_function(method))
        annotation = inspect.signature(unwrapped).return_annotation
    text = _spelled(annotation)
    counts = _elements(annotation, text)
    names = [each.name for each in returned]
    status = signature.result == "NTSTATUS"
    has_value = signature.result != "VOID" and not status
    if binding.outputs:
        outputs = dict(binding.outputs)
        wanted = {*names, *([RETURN] if has_value else [])}
        if status and RETURN not in outputs:
            outputs[RETURN] = "STATUS_SUCCESS"
        given = {each.partition(".")[0] for each in outputs}
        missing = wanted - given
        unknown = given - {*(each.name for each in signature.parameters), RETURN}
        problems += [f"{each} is not returned" for each in sorted(missing)]
        problems += [f"{each} is not an output" for each in sorted(unknown)]
    else:
        wanted_names = [*([RETURN] if has_value else []), *names]
        outputs = {}
        if len(wanted_names) == 1:
            outputs[wanted_names[0]] = "result"
        else:
            for number, name in enumerate(wanted_names):
                outputs[name] = f"result[{number}]"
            if len(wanted_names) != counts and wanted_names:
                problems.append(f"{text} does not hold {', '.join(wanted_names)}")
        if not wanted_names and status:
            outputs[RETURN] = "STATUS_SUCCESS" if text == "None" else "result"
            if text not in {"None", "int"}:
                problems.append(f"{text} is not an NTSTATUS")
        elif not wanted_names and text not in {"None", "NoReturn"}:
            problems.append(f"{text} is not returned in C")
        elif wanted_names and text == "None":
            problems.append(f"None does not hold {', '.join(wanted_names)}")
        elif status:
            outputs[RETURN] = "STATUS_SUCCESS"
    if status and names and re.search(r"\bNone\b", text) and not binding.none:
        problems.append(f"{text} may be None; no NTSTATUS says so")
    return outputs


def _spelled(annotation: Any) -> str:
    if annotation is None or annotation is type(None):
        return "None"
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _elements(annotation: Any, text: str) -> int:
    """Returns the number of elements of a tuple type; 1 for all other types."""
    fields = getattr(annotation, "_fields", None)
    if fields is not None:
        return len(fields)
    found = re.match(r"tuple\[(.*)\]", text if text.startswith("tuple") else str(annotation))
    if found is None:
        return 1
    inside, depth, count = found[1], 0, 1
    for character in inside:
        depth += (character in "[(") - (character in "])")
        if character == "," and depth == 0:
            count += 1
    return count
