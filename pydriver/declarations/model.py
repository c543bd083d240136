# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The declared types, parsed: sizes, offsets and signatures for x64.

The rules are those of Microsoft's C compiler: `int`, `long` and enumerations have four bytes,
pointers eight, and a bit field shares a unit with the one before it only where both have types of
one size. [Microsoft C: storage and alignment of structures, bit fields]
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from pydriver.declarations.header import header
from pydriver.declarations.registry import STRUCTURES, snake_case

__all__ = (
    "Aggregate",
    "Array",
    "EnumerationType",
    "Field",
    "FunctionType",
    "Model",
    "Named",
    "Pointer",
    "Scalar",
    "Type",
    "model",
    "spelled",
    "stripped",
)

POINTER_SIZE = 8


@dataclass(frozen=True, slots=True)
class Scalar:
    """An integer type, or void.

    :ivar name: the name in C
    :ivar size: the size in bytes; 0 for void
    :ivar signed: whether it has negative values
    """

    name: str
    size: int
    signed: bool

    @property
    def alignment(self) -> int:
        """The number of bytes."""
        return max(self.size, 1)


@dataclass(frozen=True, slots=True)
class EnumerationType:
    """An enumeration.

    :ivar name: the name in C
    :ivar values: the enumerators in order
    """

    name: str
    values: tuple[tuple[str, int], ...]
    size: int = 4
    alignment: int = 4


@dataclass(frozen=True, slots=True)
class Named:
    """A type by its typedef's name.

    :ivar name: the name of the typedef
    :ivar target: the type
    """

    name: str
    target: "Type"

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.target.size

    @property
    def alignment(self) -> int:
        """The number of bytes."""
        return self.target.alignment


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer.

    :ivar target: the type that it points to
    :ivar qualifiers: the qualifiers of the target: ``const``, ``volatile``
    """

    target: "Type"
    qualifiers: tuple[str, ...] = ()
    size: int = POINTER_SIZE
    alignment: int = POINTER_SIZE


@dataclass(frozen=True, slots=True)
class Array:
    """An array.

    :ivar element: the type of an element
    :ivar count: the number of elements
    """

    element: "Type"
    count: int

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.element.size * self.count

    @property
    def alignment(self) -> int:
        """The number of bytes."""
        return self.element.alignment


@dataclass(frozen=True, slots=True)
class Field:
    """A member of a structure or union.

    :ivar name: the name; ``""`` for an anonymous structure or union
    :ivar type: the type
    :ivar offset: the offset in bytes; for a bit field, the offset of its unit
    :ivar bit: the first bit in the unit, or ``None`` if it is not a bit field
    :ivar bits: the width of a bit field
    :ivar alignment: bytes; more than the type's own where the member is declared so
    """

    name: str
    type: "Type"
    offset: int
    bit: int | None = None
    bits: int | None = None
    alignment: int = 1


@dataclass(slots=True, eq=False)
class Aggregate:
    """A structure or union.

    :ivar name: the name in C; ``""`` if it has none
    :ivar union: whether it is a union
    :ivar fields: the members in order, or ``None`` if only the name is known
    :ivar size: the size in bytes
    :ivar alignment: the alignment in bytes
    """

    name: str
    union: bool
    fields: tuple[Field, ...] | None = None
    size: int = 0
    alignment: int = 1

    def members(self, prefix: str = "", base: int = 0) -> Iterator[tuple[str, Field, int]]:
        """Yields all members down to the innermost, with their paths and offsets.

        As in C, an anonymous structure or union adds nothing to the paths of its members.

        :param prefix: the prefix of the paths
        :param base: the offset of the whole, in bytes
        """
        for each in self.fields or ():
            inner = stripped(each.type)
            path = f"{prefix}{each.name}"
            if each.name:
                yield path, each, base + each.offset
            if isinstance(inner, Aggregate) and not (each.name and inner.name):
                deeper = f"{path}." if each.name else prefix
                yield from inner.members(deeper, base + each.offset)


@dataclass(frozen=True, slots=True)
class FunctionType:
    """A function.

    :ivar result: the type of the result
    :ivar parameters: the names and types of the parameters, in order
    """

    result: "Type"
    parameters: tuple[tuple[str, "Type"], ...]
    size: int = 0
    alignment: int = 1


Type: TypeAlias = Scalar | EnumerationType | Named | Pointer | Array | Aggregate | FunctionType


def stripped(type_: Type) -> Type:
    """Returns the type behind typedefs.

    :param type_: the type
    """
    while isinstance(type_, Named):
        type_ = type_.target
    return type_


def spelled(type_: Type) -> str:
    """Returns a type as C spells it, as far as that is possible without a name.

    :param type_: the type
    """
    match type_:
        case Named(name) | Scalar(name) | EnumerationType(name):
            return name
        case Pointer(target, qualifiers):
            return f"{' '.join((*qualifiers, spelled(target)))} *".replace("* *", "**")
        case Array(element, count):
            return f"{spelled(element)}[{count}]"
        case Aggregate():
            return type_.name or ("union" if type_.union else "struct")
        case FunctionType(result, parameters):
            inside = ", ".join(spelled(each) for _, each in parameters) or "void"
            return f"{spelled(result)} ({inside})"


_SCALARS = {
    "void": Scalar("void", 0, signed=False),
    "char": Scalar("char", 1, signed=True),
    "signed char": Scalar("signed char", 1, signed=True),
    "unsigned char": Scalar("unsigned char", 1, signed=False),
    "short": Scalar("short", 2, signed=True),
    "unsigned short": Scalar("unsigned short", 2, signed=False),
    "int": Scalar("int", 4, signed=True),
    "unsigned int": Scalar("unsigned int", 4, signed=False),
    "long long": Scalar("long long", 8, signed=True),
    "unsigned long long": Scalar("unsigned long long", 8, signed=False),
}


class Model:
    """Types and functions of a C text.

    :param text: the C text, without preprocessor directives except ``#pragma pack``
    :raises pycparser.c_parser.ParseError: the text is not C
    :ivar types: the types, by name of the typedef
    :ivar functions: the functions by name
    :ivar constants: the values of all enumerators, by name
    """

    def __init__(self, text: str) -> None:
        from pycparser import c_ast, c_parser

        self._ast: Any = c_ast
        self.types: dict[str, Type] = {}
        self.functions: dict[str, FunctionType] = {}
        self.constants: dict[str, int] = {}
        self._tags: dict[str, Aggregate | EnumerationType] = {}
        self._pack = 0
        for node in c_parser.CParser().parse(text).ext:
            self._read(node)

    def structure(self, name: str) -> Aggregate:
        """Returns a structure or union.

        :param name: the name of the typedef
        :raises KeyError: there is no such structure or union
        """
        found = stripped(self.types[name])
        if not isinstance(found, Aggregate):
            raise KeyError(name)
        return found

    def size(self, name: str, version: str = "") -> int:
        """Returns the size of a structure in bytes.

        :param name: the name of the typedef
        :param version: one of the older versions of its declaration; ``""`` for the newest
        :raises KeyError: there is no such structure, or no such version
        """
        whole = self.structure(name)
        if not version:
            return whole.size
        last = STRUCTURES[name].older[version]
        if isinstance(last, int):
            return last
        end = next(each.offset + each.type.size for each in whole.fields or () if each.name == last)
        return -(-end // whole.alignment) * whole.alignment

    def attributes(self, name: str, python: type) -> dict[str, str]:
        """Returns the attributes of a class that represents a structure, by path of the C member.

        :param name: the name of the structure's typedef
        :param python: the class
        :raises KeyError: there is no such structure
        :raises StopIteration: the class does not represent it
        """
        kind = next(each for each in STRUCTURES[name].classes if each.python is python)
        several = len(STRUCTURES[name].classes) > 1
        found = {}
        for path, field, _ in self.structure(name).members():
            inner = stripped(field.type)
            if path in kind.attributes:
                found[path] = kind.attributes[path]
            elif isinstance(inner, Aggregate) and not inner.name:
                continue  # its members follow
            elif not several and path != "Size" and not _under(path, kind.omits):
                found[path] = snake_case(field.name)
        return found

    def _read(self, node: Any) -> None:
        ast = self._ast
        if isinstance(node, ast.Pragma):
            words = node.string.replace("(", " ").replace(")", " ").replace(",", " ").split()
            self._pack = int(words[2]) if words[1] == "push" else 0
        elif isinstance(node, ast.Typedef):
            self.types[node.name] = Named(node.name, self._type(node.type))
        elif isinstance(node, ast.Decl) and isinstance(node.type, ast.FuncDecl):
            function = self._type(node.type)
            assert isinstance(function, FunctionType)
            self.functions[node.name] = function
        else:
            self._type(node.type)

    def _type(self, node: Any) -> Type:
        ast = self._ast
        if isinstance(node, ast.TypeDecl):
            return self._type(node.type)
        if isinstance(node, ast.IdentifierType):
            name = " ".join(node.names)
            return _SCALARS.get(name) or self.types[name]
        if isinstance(node, ast.PtrDecl):
            return Pointer(self._type(node.type), tuple(getattr(node.type, "quals", None) or ()))
        if isinstance(node, ast.ArrayDecl):
            count = 0 if node.dim is None else self._value(node.dim)
            return Array(self._type(node.type), count)
        if isinstance(node, ast.FuncDecl):
            parameters = node.args.params if node.args is not None else []
            return FunctionType(
                self._type(node.type),
                tuple((each.name, self._type(each.type)) for each in parameters if each.name),
            )
        if isinstance(node, ast.Enum):
            return self._enumeration(node)
        if isinstance(node, ast.Struct | ast.Union):
            return self._aggregate(node)
        raise TypeError(f"{type(node).__name__} is not a type")

    def _value(self, node: Any) -> int:
        ast = self._ast
        if isinstance(node, ast.Constant):
            return int(node.value.rstrip("uUlL"), 0)
        if isinstance(node, ast.ID):
            return self.constants[node.name]
        if isinstance(node, ast.UnaryOp) and node.op == "-":
            return -self._value(node.expr)
        if isinstance(node, ast.Cast):
            value = self._value(node.expr)
            return value - (1 << 32) if value >= 1 << 31 else value
        raise TypeError(f"{type(node).__name__} is not a constant")

    def _enumeration(self, node: Any) -> Type:
        values: list[tuple[str, int]] = []
        for each in node.values.enumerators if node.values is not None else ():
            values.append((each.name, self._value(each.value)))
        if node.name and not values:
            return self._tags[node.name]
        self.constants.update(values)
        made = EnumerationType((node.name or "").removeprefix("_"), tuple(values))
        if node.name:
            self._tags[node.name] = made
        return made

    def _aggregate(self, node: Any) -> Aggregate:
        union = isinstance(node, self._ast.Union)
        name = node.name or ""
        made = self._tags.get(name) if name else None
        if made is None:
            made = Aggregate(name.removeprefix("_"), union)
            if name:
                self._tags[name] = made
        assert isinstance(made, Aggregate)
        if node.decls is not None:
            self._lay_out(made, node.decls)
        return made

    def _lay_out(self, made: Aggregate, nodes: list[Any]) -> None:
        fields: list[Field] = []
        end = 0  # first free byte
        unit: tuple[int, int, int] | None = None  # offset, size, next free bit
        alignment = 1
        for node in nodes:
            type_ = self._type(node.type)
            natural = type_.alignment
            if self._pack:
                natural = min(natural, self._pack)
            for each in getattr(node, "align", None) or ():
                natural = max(natural, self._value(each.alignment))
            width = None if node.bitsize is None else self._value(node.bitsize)
            name = node.name or ""
            if width is None or made.union:
                offset = 0 if made.union else -(-end // natural) * natural
                bit = None if width is None else 0
                fields.append(Field(name, type_, offset, bit, width, natural))
                end, unit = max(end, offset + type_.size), None
            else:
                if unit is None or unit[1] != type_.size or unit[2] + width > 8 * type_.size:
                    unit = (-(-end // natural) * natural, type_.size, 0)
                    end = unit[0] + type_.size
                if name:
                    fields.append(Field(name, type_, unit[0], unit[2], width, natural))
                unit = (unit[0], unit[1], unit[2] + width)
            alignment = max(alignment, natural)
        made.fields = tuple(fields)
        made.alignment = alignment
        made.size = -(-end // alignment) * alignment


def _under(path: str, tops: tuple[str, ...]) -> bool:
    return any(path == each or path.startswith(f"{each}.") for each in tops)


def model(functions: Mapping[str, str] | None = None) -> Model:
    """Parses all declarations.

    :param functions: the signatures of functions, by name
    """
    return _parsed(header(functions))


@lru_cache(maxsize=4)
def _parsed(text: str) -> Model:
    return Model(text)
