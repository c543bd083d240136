# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The declared types: structures, enumerations, callbacks, handles, and plain typedefs.

Each function here records one declaration, as C text, and parses nothing. Names, types and order
are those of the public headers: wdm.h, ntddk.h, and the headers of KMDF 1.33.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar, cast

__all__ = (
    "CALLBACKS",
    "ENUMERATIONS",
    "HANDLES",
    "OBJECTS",
    "OPAQUE",
    "STRUCTURES",
    "TYPEDEFS",
    "Callback",
    "Enumeration",
    "Structure",
    "callbacks",
    "camel_case",
    "constants",
    "enumeration",
    "enumerators",
    "handle",
    "opaque",
    "represents",
    "snake_case",
    "stands_for",
    "structure",
    "typedef",
)

C = TypeVar("C", bound=type)


@dataclass(slots=True)
class Structure:
    """One structure or union.

    :ivar name: the name of the typedef, ``WDF_DPC_CONFIG``; the tag has an underscore before it
    :ivar fields: the members in C, in order
    :ivar union: whether it is a union
    :ivar pack: the largest alignment of a member in bytes, as in ``#pragma pack``; 0 if natural
    :ivar pointers: the names of the pointer's typedefs: the name with a P in front, and others
    :ivar older: the last fields of shorter versions of the structure, by the newest version with
        each (``"1.9"``), or the size in bytes of a version where a field was not only appended
    :ivar classes: the Python classes that represent it
    """

    name: str
    fields: str
    union: bool = False
    pack: int = 0
    pointers: tuple[str, ...] = ()
    older: Mapping[str, str | int] = field(default_factory=dict)
    classes: list["Representation"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Representation:
    """The representation of a structure by a Python class.

    :ivar python: the class
    :ivar attributes: the attributes that do not follow from the rule of names, by the path of the C
        member, for example ``u.Memory.Start``
    :ivar omits: C members that the class lacks
    :ivar adds: attributes that are not members in C
    """

    python: type
    attributes: Mapping[str, str]
    omits: tuple[str, ...]
    adds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enumeration:
    """One enumeration, or a family of ``#define`` constants.

    :ivar name: the name of the typedef; for constants, the name of the family
    :ivar values: the values in order
    :ivar python: the class, or ``None``
    :ivar members: the C names by member of the class
    :ivar macro: whether the enumerators are macros
    :ivar c_type: the integer type of the parameters and fields that take them; ``""`` for the
        enumeration itself
    """

    name: str
    values: Mapping[str, int]
    python: type[IntEnum] | None
    members: Mapping[str, str]
    macro: bool = False
    c_type: str = ""


@dataclass(frozen=True, slots=True)
class Callback:
    """The type of a function that a driver supplies.

    :ivar name: the name of the function type, ``EVT_WDF_INTERRUPT_ISR``
    :ivar pointer: the name of the type of a pointer to it, ``PFN_WDF_INTERRUPT_ISR``
    :ivar signature: the result and the parameters, in C
    :ivar lowest: the lowest IRQL at which it is called
    :ivar highest: the highest IRQL at which it is called
    :ivar module: the Python module that declares it
    """

    name: str
    pointer: str
    signature: str
    lowest: int
    highest: int
    module: str


STRUCTURES: dict[str, Structure] = {}
ENUMERATIONS: dict[str, Enumeration] = {}
CALLBACKS: dict[str, Callback] = {}
HANDLES: dict[str, type | None] = {}
"""The Python class of each kind of handle."""

OPAQUE: dict[str, None] = {}
"""Structures whose fields a driver does not see."""

OBJECTS: dict[str, type] = {}
"""Python classes of the kernel's objects, by the name of their structure."""

TYPEDEFS: dict[str, str] = {}
"""Plain typedefs: name, and the declaration without ``typedef``."""


def snake_case(name: str) -> str:
    """Returns the Python name for a C name: ``evt_dpc_func`` for ``EvtDpcFunc``."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return name.lower()


def camel_case(name: str) -> str:
    """Returns the C name of an enumerator: ``AllClose`` for ``ALL_CLOSE``."""
    return "".join(part.capitalize() for part in name.split("_"))


def typedef(declaration: str) -> None:
    """Declares a plain type.

    :param declaration: the C declaration without ``typedef``, for example
        ``const UNICODE_STRING *PCUNICODE_STRING``
    """
    found = re.search(r"(\w+)\s*(?:\[\d+\])?$", declaration)
    assert found is not None, declaration
    _add(TYPEDEFS, found[1], declaration)


def opaque(name: str) -> None:
    """Declares a structure that drivers use by pointer only.

    :param name: the name of the typedef
    """
    _add(OPAQUE, name, None)


def handle(name: str) -> Callable[[C], C]:
    """Declares a kind of handle, and as a decorator the class of its objects.

    :param name: the name of the handle, for example ``WDFDEVICE``
    """
    _add(HANDLES, name, None)

    def declare(python: C) -> C:
        HANDLES[name] = python
        return python

    return declare


def structure(
    name: str,
    fields: str,
    *,
    union: bool = False,
    pack: int = 0,
    pointers: Sequence[str] = (),
    older: Mapping[str, str | int] | None = None,
    attributes: Mapping[str, str] | None = None,
    omits: tuple[str, ...] = (),
    adds: tuple[str, ...] = (),
) -> Callable[[C], C]:
    """Declares a structure, and as a decorator the Python class that represents it.

    :param name: the name of the typedef
    :param fields: the members in C, in order
    :param union: whether it is a union
    :param pack: the largest alignment of a member, in bytes
    :param pointers: further names of the pointer's type
    :param older: the last fields of shorter versions, or their sizes in bytes
    :param attributes: the Python attributes that do not follow from the rule, by path of the C
        member
    :param omits: C members that the class lacks, besides ``Size``
    :param adds: attributes that are not members in C
    """
    declared = Structure(name, fields, union, pack, (f"P{name}", *pointers), dict(older or {}))
    _add(STRUCTURES, name, declared)
    return represents(name, attributes, omits=omits, adds=adds)


def represents(
    name: str,
    attributes: Mapping[str, str] | None = None,
    *,
    omits: tuple[str, ...] = (),
    adds: tuple[str, ...] = (),
) -> Callable[[C], C]:
    """Declares a Python class that represents a structure that is declared elsewhere.

    :param name: the name of the structure's typedef
    :param attributes: the attributes that do not follow from the rule, by path of the C member
    :param omits: C members that the class lacks
    :param adds: attributes that are not members in C
    """

    def declare(python: C) -> C:
        representation = Representation(python, dict(attributes or {}), omits, adds)
        STRUCTURES[name].classes.append(representation)
        return python

    return declare


def stands_for(name: str) -> Callable[[C], C]:
    """Declares the class whose objects represent those of a structure, without its fields.

    :param name: the name of the structure, for example ``KDPC``
    """

    def declare(python: C) -> C:
        _add(OBJECTS, name, python)
        return python

    return declare


def enumeration(
    name: str,
    prefix: str = "",
    *,
    c_type: str = "",
    names: Mapping[str, str] | None = None,
    more: Mapping[str, int] | None = None,
) -> Callable[[C], C]:
    """Declares the C enumeration that a class represents.

    :param name: the name of the typedef
    :param prefix: the prefix of each enumerator; the rest is the member's name in camel case
    :param c_type: the integer type by which C passes it, if that is not the enumeration
    :param names: the C names that do not follow from the rule, by member; ``""`` for none
    :param more: enumerators that the class lacks
    """
    return _enumeration(name, lambda member: prefix + camel_case(member), names, more, c_type)


def constants(
    name: str,
    prefix: str,
    *,
    c_type: str = "ULONG",
    names: Mapping[str, str] | None = None,
    more: Mapping[str, int] | None = None,
) -> Callable[[C], C]:
    """Declares the family of ``#define`` constants that a class represents.

    :param name: the name of the family
    :param prefix: the prefix of each constant; the rest is the member's name
    :param c_type: the C type of the parameters and fields that take them
    :param names: the C names that do not follow from the rule, by member
    :param more: constants that the class lacks
    """
    return _enumeration(name, lambda member: prefix + member, names, more, c_type, macro=True)


def _enumeration(
    name: str,
    rule: Callable[[str], str],
    names: Mapping[str, str] | None,
    more: Mapping[str, int] | None,
    c_type: str,
    *,
    macro: bool = False,
) -> Callable[[C], C]:
    def declare(python: C) -> C:
        kind = cast("type[IntEnum]", python)
        members = {member: (names or {}).get(member, rule(member)) for member in kind.__members__}
        # A member like NONE of a set of flags has no name in C.
        members = {member: c_name for member, c_name in members.items() if c_name}
        values = {c_name: int(kind[member]) for member, c_name in members.items()}
        values.update(more or {})
        declared = Enumeration(name, values, kind, members, macro, c_type)
        _add(ENUMERATIONS, name, declared)
        return python

    return declare


def enumerators(name: str, values: Mapping[str, int]) -> None:
    """Declares an enumeration without a Python class.

    :param name: the name of the typedef
    :param values: the values by enumerator
    """
    _add(ENUMERATIONS, name, Enumeration(name, dict(values), None, {}))


def callbacks(
    module: str,
    signatures: Mapping[str, str],
    *,
    pointer: str = "P",
    lowest: int = 0,
    highest: int = 2,
) -> None:
    """Declares types of functions that a driver supplies.

    The type of a pointer to `EVT_WDF_X` is `PFN_WDF_X`; that of others has a prefix.

    :param module: the caller's ``__name__``
    :param signatures: the signatures in C, by name of the function type
    :param pointer: the prefix of the pointer's type
    :param lowest: the lowest IRQL at which they are called
    :param highest: the highest IRQL at which they are called
    """
    for name, signature in signatures.items():
        found = re.sub(r"^EVT_", "PFN_", name) if name.startswith("EVT_") else pointer + name
        _add(CALLBACKS, name, Callback(name, found, signature, lowest, highest, module))


def _add(declared: dict[str, Any], name: str, value: object) -> None:
    if name in declared:
        raise TypeError(f"{name} is declared twice")
    declared[name] = value
