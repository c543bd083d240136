# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The kind of a parameter, a field or a result, by which a marshaller treats it."""

from dataclasses import dataclass
from enum import Enum

from pydriver.declarations.base_types import STRINGS
from pydriver.declarations.model import (
    Aggregate,
    Array,
    EnumerationType,
    Named,
    Pointer,
    Scalar,
    Type,
    stripped,
)
from pydriver.declarations.registry import (
    CALLBACKS,
    ENUMERATIONS,
    HANDLES,
    OBJECTS,
    STRUCTURES,
)
from pydriver.declarations.sal import Direction, Parameter

__all__ = ("Kind", "Typed", "kind_of", "kind_of_parameter")


class Kind(Enum):
    """The ways in which a value crosses between C and Python.

    A string or a GUID is copied; a structure is read or written field by field; an object of the
    kernel represents its memory; a pointer is a number, or the driver's own Python object.
    """

    VALUE = "value"
    BOOLEAN = "boolean"
    STATUS = "status"
    ENUMERATION = "enumeration"
    HANDLE = "handle"
    CALLBACK = "callback"
    STRING = "string"
    GUID = "guid"
    STRUCTURE = "structure"
    OBJECT = "object"
    BUFFER = "buffer"
    POINTER = "pointer"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Typed:
    """A kind, with the name of the type.

    :ivar kind: the kind
    :ivar name: the C name of the handle, enumeration, callback or structure; for a value, its type
    :ivar python: the Python class that represents it, if there is one
    :ivar by_size: whether it is a structure whose first member is its size, as the caller was
        compiled
    """

    kind: Kind
    name: str
    python: type | None = None
    by_size: bool = False


def kind_of_parameter(parameter: Parameter, type_: Type) -> Typed:
    """Returns the kind of a parameter; for an output by pointer, the kind of its target.

    :param parameter: the parameter, with its annotations
    :param type_: its type
    """
    inner = stripped(type_)
    if parameter.size and not (isinstance(inner, Pointer) and parameter.pointer):
        target = inner.target if isinstance(inner, Pointer) else type_
        found = kind_of(target)
        if found.kind is Kind.STRUCTURE:
            return found
        return Typed(Kind.BUFFER, _name(target))
    if parameter.pointer and parameter.size:
        return Typed(Kind.BUFFER, "VOID")
    if parameter.direction is not Direction.IN and isinstance(inner, Pointer):
        found = kind_of(type_)
        return found if found.kind in {Kind.STRUCTURE, Kind.OBJECT} else kind_of(inner.target)
    return kind_of(type_)


def kind_of(type_: Type) -> Typed:
    """Returns the kind of a type.

    :param type_: the type
    """
    named = type_
    while isinstance(named, Named):
        found = _by_name(named.name)
        if found is not None:
            return found
        named = named.target
    if isinstance(named, Pointer):
        return _pointer(named)
    if isinstance(named, EnumerationType):
        return Typed(Kind.ENUMERATION, _name(type_))
    if isinstance(named, Aggregate):
        return _structure(named)
    if isinstance(named, Array):
        return Typed(Kind.BUFFER, _name(named.element))
    if isinstance(named, Scalar) and named.size == 0:
        return Typed(Kind.VOID, "VOID")
    return Typed(Kind.VALUE, _name(type_))


def _by_name(name: str) -> Typed | None:
    if name in HANDLES:
        return Typed(Kind.HANDLE, name, HANDLES[name])
    if name in {"BOOLEAN", "NTSTATUS"}:
        return Typed(Kind.BOOLEAN if name == "BOOLEAN" else Kind.STATUS, name)
    if name in STRINGS:
        return Typed(Kind.STRING, name)
    if name in ENUMERATIONS and not ENUMERATIONS[name].macro:
        return Typed(Kind.ENUMERATION, name, ENUMERATIONS[name].python)
    for each in ENUMERATIONS.values():
        if each.c_type == name and name not in {"ULONG", "UCHAR"}:
            return Typed(Kind.ENUMERATION, each.name, each.python)
    for callback in CALLBACKS.values():
        if callback.pointer == name:
            return Typed(Kind.CALLBACK, callback.name)
    if name == "KSPIN_LOCK":
        return Typed(Kind.OBJECT, name, OBJECTS.get(name))
    return None


def _pointer(pointer: Pointer) -> Typed:
    target = stripped(pointer.target)
    if "volatile" in pointer.qualifiers:
        return Typed(Kind.POINTER, _name(pointer.target))  # to a register: the address matters
    if isinstance(target, Aggregate):
        return _structure(target)
    found = kind_of(pointer.target)
    if found.kind in {Kind.OBJECT, Kind.VALUE, Kind.STATUS, Kind.BOOLEAN}:
        return found
    return Typed(Kind.POINTER, _name(pointer.target))


def _structure(aggregate: Aggregate) -> Typed:
    name = aggregate.name
    if name in {"LARGE_INTEGER", "ULARGE_INTEGER"}:
        return Typed(Kind.VALUE, name)
    if name == "UNICODE_STRING":
        return Typed(Kind.STRING, name)
    if name == "GUID":
        return Typed(Kind.GUID, name)
    if name in OBJECTS:
        return Typed(Kind.OBJECT, name, OBJECTS[name])
    declared = STRUCTURES.get(name)
    if not name:
        return Typed(Kind.STRUCTURE, name)
    if declared is None:
        return Typed(Kind.POINTER, name)
    classes = declared.classes
    python = classes[0].python if len(classes) == 1 else None
    return Typed(Kind.STRUCTURE, name, python, _has_size(aggregate))


def _has_size(aggregate: Aggregate) -> bool:
    fields = aggregate.fields or ()
    return bool(fields) and fields[0].name == "Size"


def _name(type_: Type) -> str:
    if isinstance(type_, Named | Aggregate):
        return type_.name
    return type_.name if isinstance(type_, Scalar) and type_.size else "VOID"
