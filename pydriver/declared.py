# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""All declarations as data, for `pydriver ddi --json` and for the pages of the reference.

DDIs and kernel routines with their parameters, callbacks, structures with their fields,
enumerations, handles: each is one dictionary of strings, numbers and lists.
"""

import inspect
from collections.abc import Iterator
from functools import cache
from typing import Any

import pydriver.ke.structures
import pydriver.wdf
from pydriver.declarations.kinds import Kind, Typed, kind_of, kind_of_parameter
from pydriver.declarations.model import (
    Aggregate,
    Array,
    FunctionType,
    Model,
    model,
    spelled,
    stripped,
)
from pydriver.declarations.registry import (
    CALLBACKS,
    ENUMERATIONS,
    HANDLES,
    OBJECTS,
    OPAQUE,
    STRUCTURES,
    Callback,
    Enumeration,
    Structure,
)
from pydriver.declarations.sal import Signature, parse_signature
from pydriver.ke.ddi import REGISTRY, Ddi
from pydriver.wdf.object.function_table import INDICES

__all__ = (
    "callback_entry",
    "ddi_entry",
    "entry",
    "enumeration_entry",
    "public_class",
    "public_path",
    "structure_entry",
    "type_names",
)

assert pydriver.ke.structures
assert pydriver.wdf

PACKAGES = (pydriver.wdf, pydriver.ke)
"""The packages that a driver imports names from."""

Entry = dict[str, Any]


def public_path(declared: Ddi) -> str:
    """Returns a DDI's method as a driver names it: by the class that its package exports.

    A class of the framework may have several parts. A DDI belongs to the exported class that has
    its method, in whichever part the method is defined.

    :param declared: the DDI
    :return: a path without ``pydriver.``, for example ``wdf.Device.assign_s0_idle_settings``
    """
    module, _, path = declared.method.partition(":")
    owner, _, method = path.rpartition(".")
    function = declared.implementation()
    if not owner:
        exported = public_class(function)
        return exported or f"{module.removeprefix('pydriver.')}.{path}"
    home = getattr(inspect.getmodule(function), owner, None)
    for name, exported_class in _exported_classes():
        if exported_class is home:
            return f"{name}.{method}"
    for name, exported_class in _exported_classes():
        if _has(exported_class, method, declared):
            return f"{name}.{method}"
    return f"{module.removeprefix('pydriver.')}.{path}"


def _has(exported: type, method: str, declared: Ddi) -> bool:
    found = getattr(exported, method, None)
    if found is None:
        return False
    here = inspect.unwrap(getattr(found, "__func__", found))
    function = declared.implementation()
    there = inspect.unwrap(getattr(function, "__func__", function))
    return here is there or getattr(found, "ddi_name", None) == declared.name


def public_class(python: Any) -> str:
    """Returns a class or function as a driver names it, ``""`` if no package exports it.

    :param python: the class or function
    """
    name = getattr(python, "__name__", "")
    for package in PACKAGES:
        if getattr(package, name, None) is python:
            return f"{package.__name__.removeprefix('pydriver.')}.{name}"
    return ""


@cache
def _exported_classes() -> tuple[tuple[str, type], ...]:
    return tuple(
        (f"{package.__name__.removeprefix('pydriver.')}.{name}", value)
        for package in PACKAGES
        for name in package.__all__
        if isinstance(value := getattr(package, name), type)
    )


@cache
def _model() -> Model:
    return model({name: each.signature for name, each in REGISTRY.items()})


def type_names() -> list[str]:
    """Returns the callbacks, structures, enumerations and handles, each sorted by name."""
    return [
        name
        for kind in (CALLBACKS, STRUCTURES, ENUMERATIONS, HANDLES, OPAQUE)
        for name in sorted(kind)
    ]


def entry(name: str) -> Entry:
    """Returns the declaration of a C name.

    :param name: the name of a DDI, callback, structure, enumeration, handle or opaque structure
    :raises KeyError: there is no such declaration
    """
    if name in REGISTRY:
        return ddi_entry(REGISTRY[name])
    if name in CALLBACKS:
        return callback_entry(CALLBACKS[name])
    if name in STRUCTURES:
        return structure_entry(STRUCTURES[name])
    if name in ENUMERATIONS:
        return enumeration_entry(ENUMERATIONS[name])
    if name in HANDLES:
        return {"kind": "handle", "name": name, "class": _class(HANDLES[name])}
    OPAQUE[name]
    return {"kind": "opaque", "name": name, "class": _class(OBJECTS.get(name))}


def ddi_entry(declared: Ddi) -> Entry:
    """Returns the data of a DDI or a kernel routine.

    :param declared: its declaration
    """
    call = declared.call()
    signature, function = declared.parsed(), _model().functions[declared.name]
    parameters = _parameters(signature, function)
    for each in parameters:
        each["python"] = call.parameters.get(each["name"])
        if each["python"] is not None and "," in each["python"]:
            each["kind"] = Kind.POINTER.value
        each["size_of"] = call.sizes.get(each["name"])
    function_name = declared.binding.entry or declared.name
    return {
        "kind": "ddi" if declared.name.startswith("Wdf") else "routine",
        "name": declared.name,
        "signature": declared.signature,
        "lowest": declared.lowest,
        "highest": declared.highest,
        "method": declared.method,
        "python": public_path(declared),
        "entry": function_name if function_name in INDICES else None,
        "index": INDICES.get(function_name),
        "result": _typed(kind_of(function.result), spelled(function.result)),
        "parameters": parameters,
        "outputs": dict(call.outputs),
        "none": call.none or None,
    }


def callback_entry(declared: Callback) -> Entry:
    """Returns the data of a callback.

    :param declared: its declaration
    """
    function = stripped(_model().types[declared.name])
    assert isinstance(function, FunctionType)
    return {
        "kind": "callback",
        "name": declared.name,
        "pointer": declared.pointer,
        "signature": declared.signature,
        "lowest": declared.lowest,
        "highest": declared.highest,
        "module": declared.module,
        "result": _typed(kind_of(function.result), spelled(function.result)),
        "parameters": _parameters(parse_signature(declared.signature), function),
        "places": list(_places(declared.name)),
    }


def _places(callback: str) -> Iterator[str]:
    """Yields the fields and the parameters that hold a callback."""
    for name in sorted(STRUCTURES):
        for path, field, _ in _model().structure(name).members():
            inner = stripped(field.type)
            element = inner.element if isinstance(inner, Array) else field.type
            if _is(kind_of(element), callback):
                yield f"{name}.{path}"
    for name in sorted(REGISTRY):
        function = _model().functions[name]
        for parameter, type_ in function.parameters:
            if _is(kind_of(type_), callback):
                yield f"{name}({parameter})"


def _is(typed: Typed, callback: str) -> bool:
    return typed.kind is Kind.CALLBACK and typed.name == callback


def structure_entry(declared: Structure) -> Entry:
    """Returns the data of a structure or a union.

    :param declared: its declaration
    """
    whole = _model().structure(declared.name)
    attributes = {
        _class(each.python) or each.python.__name__: _model().attributes(declared.name, each.python)
        for each in declared.classes
    }
    fields = []
    for path, field, offset in whole.members():
        inner = stripped(field.type)
        nested = isinstance(inner, Aggregate) and not inner.name
        fields.append(
            {
                "name": path,
                **_typed(kind_of(field.type), spelled(field.type)),
                "offset": offset,
                "size": field.type.size,
                "alignment": field.alignment,
                "bit": field.bit,
                "bits": field.bits,
                "nested": nested,
                "attributes": {
                    python: each[path] for python, each in attributes.items() if path in each
                },
            }
        )
    return {
        "kind": "union" if declared.union else "structure",
        "name": declared.name,
        "pointers": list(declared.pointers),
        "size": whole.size,
        "alignment": whole.alignment,
        "by_size": fields[0]["name"] == "Size",
        "older": {each: _model().size(declared.name, each) for each in declared.older},
        "classes": list(attributes),
        "object": _class(OBJECTS.get(declared.name)),
        "fields": fields,
    }


def enumeration_entry(declared: Enumeration) -> Entry:
    """Returns the data of an enumeration, or of a family of constants.

    :param declared: its declaration
    """
    members = {c_name: member for member, c_name in declared.members.items()}
    return {
        "kind": "constants" if declared.macro else "enumeration",
        "name": declared.name,
        "type": declared.c_type or declared.name,
        "class": _class(declared.python),
        "values": [
            {"name": name, "value": value, "member": members.get(name)}
            for name, value in declared.values.items()
        ],
    }


def _parameters(signature: Signature, function: FunctionType) -> list[Entry]:
    pairs = zip(signature.parameters, function.parameters, strict=True)
    return [
        {
            "name": each.name,
            **_typed(kind_of_parameter(each, type_), spelled(type_)),
            "annotations": list(each.annotations),
            "direction": each.direction.value,
            "optional": each.optional,
            "size": each.size or None,
        }
        for each, (_, type_) in pairs
    ]


def _typed(typed: Typed, text: str) -> Entry:
    return {
        "type": text,
        "kind": typed.kind.value,
        "of": typed.name,
        "class": _class(typed.python),
        "by_size": typed.by_size,
    }


def _class(python: type | None) -> str | None:
    if python is None:
        return None
    return (
        public_class(python) or f"{python.__module__.removeprefix('pydriver.')}.{python.__name__}"
    )
