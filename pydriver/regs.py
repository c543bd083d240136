# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Registers declared as classes that read like a datasheet.

A register's class attributes are its fields; a map's class attributes are its registers::

    class Control(Register32):
        enable = bit(0)
        mode = bits(7, 4)
        parity = bits(9, 8, Parity)

    class Uart(RegisterMap):
        CONTROL = at(0x00, Control)
        FIFO = at(range(0x40, 0x80, 4), Register32)

    uart = Uart(link, 0xFEB00000)
    if uart.CONTROL.read().enable:
        uart.CONTROL.write(enable=1, parity=Parity.ODD)
    uart.FIFO[3].val = 0x55

The datasheet's bare notation means the same: ``enable = 0``, ``mode = 7, 4``,
``parity = 9, 8, Parity``, ``CONTROL = 0x00, Control``, ``FIFO = range(0x40, 0x80, 4), Register32``.
`bit`, `bits` and `at` exist because a type checker sees an attribute's declared value: with them it
knows the type of ``uart.CONTROL.read().mode``.

Values are immutable; `Register.replace` makes a changed copy. This module is for clarity: code that
must be fast calls the accessor with the raw offset.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, cast, overload

__all__ = (
    "Accessor",
    "BoundRegister",
    "Field",
    "Register",
    "Register8",
    "Register16",
    "Register32",
    "Register64",
    "RegisterArray",
    "RegisterMap",
    "at",
    "bit",
    "bits",
)


class Accessor(Protocol):
    """The object a register map reads and writes through: a processor's link, for example."""

    def read8(self, address: int, /) -> int:
        """Read one byte at `address`."""

    def read16(self, address: int, /) -> int:
        """Read 16 bits at `address`."""

    def read32(self, address: int, /) -> int:
        """Read 32 bits at `address`."""

    def read64(self, address: int, /) -> int:
        """Read 64 bits at `address`."""

    def write8(self, address: int, value: int, /) -> None:
        """Write one byte at `address`."""

    def write16(self, address: int, value: int, /) -> None:
        """Write 16 bits at `address`."""

    def write32(self, address: int, value: int, /) -> None:
        """Write 32 bits at `address`."""

    def write64(self, address: int, value: int, /) -> None:
        """Write 64 bits at `address`."""


T = TypeVar("T")
E = TypeVar("E", bound=IntEnum)
R = TypeVar("R", bound="Register")
M = TypeVar("M", bound="RegisterMap")


class Field(Generic[T]):
    """A field of a register: bits `msb` down to `lsb`, read as an attribute of a register's value.

    If there is an `enumeration`, a value that has no member in it is read as a plain int, because
    hardware may return anything.
    """

    __slots__ = ("enumeration", "lsb", "mask", "msb", "name")

    def __init__(self, msb: int, lsb: int, enumeration: type[IntEnum] | None = None) -> None:
        if not 0 <= lsb <= msb:
            raise TypeError(
                f"bits {msb}:{lsb} are not a field: give the most significant bit first"
            )
        self.msb = msb
        self.lsb = lsb
        self.mask = (1 << (msb - lsb + 1)) - 1
        self.enumeration = enumeration
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, instance: "Register", owner: type, /) -> T: ...
    def __get__(self, instance: "Register | None", owner: type, /) -> Self | T:
        if instance is None:
            return self
        value = (int(instance) >> self.lsb) & self.mask
        if self.enumeration is None:
            return cast("T", value)
        try:
            return cast("T", self.enumeration(value))
        except ValueError:
            return cast("T", value)

    def __set__(self, instance: "Register", value: object) -> None:
        raise AttributeError(f"{type(instance).__name__} is a value; use replace({self.name}=...)")

    def insert(self, word: int, value: int) -> int:
        """Put `value` into this field of `word`.

        :param word: the register's value.
        :param value: the field's new value, not shifted.
        :return: the register's new value.
        :raises ValueError: the value does not fit.
        """
        if not 0 <= value <= self.mask:
            raise ValueError(f"{self.name} = {value:#x} does not fit in bits {self.msb}:{self.lsb}")
        return word & ~(self.mask << self.lsb) | int(value) << self.lsb


def bit(number: int) -> Field[int]:
    """Declare a field of one bit.

    :param number: the number of the bit; 0 is the least significant.
    """
    return Field(number, number)


@overload
def bits(msb: int, lsb: int) -> Field[int]: ...
@overload
def bits(msb: int, lsb: int, enumeration: type[E]) -> Field[E | int]: ...
def bits(msb: int, lsb: int, enumeration: type[IntEnum] | None = None) -> Field[Any]:
    """Declare a field of several bits.

    :param msb: the field's most significant bit.
    :param lsb: the field's least significant bit.
    :param enumeration: the names of the field's values.
    """
    return Field(msb, lsb, enumeration)


def _field(declared: object) -> Field[Any] | None:
    """Return the field that a class attribute declares, in either notation, or None."""
    match declared:
        case Field():
            return declared
        case bool():
            return None
        case int(number):
            return Field(number, number)
        case (int(msb), int(lsb)):
            return Field(msb, lsb)
        case (int(msb), int(lsb), type() as enumeration) if issubclass(enumeration, IntEnum):
            return Field(msb, lsb, enumeration)
    return None


class Register:
    """A register's value, with its fields as attributes. Subclass one of the four widths.

    :param value: the value of the whole register.
    :param fields: the fields to set in that value, by name.
    :raises ValueError: the value or a field's value does not fit.
    :raises TypeError: the register has no field of that name.
    """

    __slots__ = ("_value",)
    _width: ClassVar[int] = 0
    _fields: ClassVar[dict[str, Field[Any]]] = {}

    def __init_subclass__(cls) -> None:
        fields = dict(cls._fields)
        taken = 0
        for name, declared in list(vars(cls).items()):
            field = None if name.startswith("_") else _field(declared)
            if field is None:
                continue
            if cls._width and field.msb >= cls._width:
                raise TypeError(
                    f"{cls.__name__}.{name}: bit {field.msb} of a {cls._width}-bit register"
                )
            if taken & (field.mask << field.lsb):
                raise TypeError(f"{cls.__name__}.{name}: bits {field.msb}:{field.lsb} are taken")
            taken |= field.mask << field.lsb
            if field is not declared:
                field.name = name
                setattr(cls, name, field)
            fields[name] = field
        cls._fields = fields

    def __init__(self, value: int = 0, /, **fields: int) -> None:
        if value < 0 or value >> self._width:
            raise ValueError(
                f"{type(self).__name__}: {value:#x} does not fit in {self._width} bits"
            )
        for name, part in fields.items():
            try:
                field = self._fields[name]
            except KeyError:
                raise TypeError(f"{type(self).__name__} has no field {name!r}") from None
            value = field.insert(value, part)
        self._value = value

    def replace(self, **fields: int) -> Self:
        """Return a copy in which the named fields have other values.

        :raises ValueError: a value does not fit its field.
        :raises TypeError: the register has no field of that name.
        """
        return type(self)(self._value, **fields)

    def __int__(self) -> int:
        return self._value

    def __index__(self) -> int:
        return self._value

    def __bool__(self) -> bool:
        return self._value != 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self._value == other
        return type(other) is type(self) and self._value == int(other)

    def __hash__(self) -> int:
        return hash(self._value)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Yield each field's name and value, least significant first."""
        for name, field in sorted(self._fields.items(), key=lambda item: item[1].lsb):
            yield name, field.__get__(self, type(self))

    def __repr__(self) -> str:
        parts = [f"{self._value:#0{self._width // 4 + 2}x}"]
        for name, value in self:
            text = (
                value.name if isinstance(value, IntEnum) else f"{value:#x}" if value > 9 else value
            )
            parts.append(f"{name}={text}")
        return f"{type(self).__name__}({', '.join(parts)})"


class Register8(Register):
    """A register of 8 bits."""

    __slots__ = ()
    _width = 8


class Register16(Register):
    """A register of 16 bits."""

    __slots__ = ()
    _width = 16


class Register32(Register):
    """A register of 32 bits."""

    __slots__ = ()
    _width = 32


class Register64(Register):
    """A register of 64 bits."""

    __slots__ = ()
    _width = 64


class BoundRegister(Generic[R]):
    """A register at an address: the value of an attribute of a `RegisterMap` instance."""

    __slots__ = ("_read", "_write", "address", "name", "type")

    def __init__(self, access: Accessor, address: int, register: type[R], name: str) -> None:
        width = register._width
        self.address = address
        self.type = register
        self.name = name
        self._read = cast("Callable[[int], int]", getattr(access, f"read{width}"))
        self._write = cast("Callable[[int, int], None]", getattr(access, f"write{width}"))

    def read(self) -> R:
        """Read the register and decode it."""
        return self.type(self._read(self.address))

    def write(self, value: int | R = 0, /, **fields: int) -> None:
        """Write the register.

        :param value: the whole value; fields that are not named come from it, and so are 0 by
            default.
        :param fields: the fields to set in it, by name.
        :raises ValueError: a value does not fit.
        """
        self._write(self.address, int(self.type(int(value), **fields)))

    def set(self, **fields: int) -> R:
        """Read the register, replace the named fields, and write it back.

        This is not atomic: the caller must make sure that nothing else writes the register between
        the read and the write.

        :return: the value written.
        """
        value = self.read().replace(**fields)
        self._write(self.address, int(value))
        return value

    @property
    def val(self) -> int:
        """The register as a plain integer; an assignment writes the register."""
        return self._read(self.address)

    @val.setter
    def val(self, value: int) -> None:
        self._write(self.address, value)

    def __repr__(self) -> str:
        return f"<{self.type.__name__} {self.name} at {self.address:#x}>"


class RegisterArray(Generic[T]):
    """Equal registers, or equal groups of registers, at a constant distance."""

    __slots__ = ("_make", "addresses", "name")

    def __init__(self, make: Callable[[int, str], T], addresses: range, name: str) -> None:
        self._make = make
        self.addresses = addresses
        self.name = name

    def __len__(self) -> int:
        return len(self.addresses)

    def __getitem__(self, index: int) -> T:
        if not 0 <= index < len(self.addresses):
            raise IndexError(f"{self.name}[{index}]: there are {len(self.addresses)}")
        return self._make(self.addresses[index], f"{self.name}[{index}]")

    def __iter__(self) -> Iterator[T]:
        return (self[index] for index in range(len(self)))


class _At(Generic[T]):
    """An entry of a register map: an offset, and the class of the registers there."""

    def __init__(self, where: int | range, what: "type[Register | RegisterMap]") -> None:
        self.where = where
        self.what = what
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type, /) -> Self: ...
    @overload
    def __get__(self, instance: "RegisterMap", owner: type, /) -> T: ...
    def __get__(self, instance: "RegisterMap | None", owner: type, /) -> Self | T:
        if instance is None:
            return self
        what, access, base = self.what, instance.access, instance.base

        def make(address: int, name: str) -> object:
            if issubclass(what, Register):
                return BoundRegister(access, address, what, name)
            return what(access, address)

        made: object
        if isinstance(self.where, range):
            where = self.where
            addresses = range(base + where.start, base + where.stop, where.step)
            made = RegisterArray(make, addresses, self.name)
        else:
            made = make(base + self.where, self.name)
        # Found there from now on, without this descriptor.
        vars(instance)[self.name] = made
        return cast("T", made)


@overload
def at(offset: int, what: type[R]) -> _At[BoundRegister[R]]: ...
@overload
def at(offset: int, what: type[M]) -> _At[M]: ...
@overload
def at(offset: range, what: type[R]) -> _At[RegisterArray[BoundRegister[R]]]: ...
@overload
def at(offset: range, what: type[M]) -> _At[RegisterArray[M]]: ...
def at(offset: int | range, what: type[Register] | type["RegisterMap"]) -> _At[Any]:
    """Declare the register, or the group of registers, at an offset of a register map.

    :param offset: bytes from the map's base; for an array ``range(first, end, stride)``.
    :param what: a register class, or the map of a group of registers.
    """
    return _At(offset, what)


class RegisterMap:
    """Registers at offsets from a base address. Subclass it and declare them with `at`.

    :param access: the accessor that carries out reads and writes.
    :param base: the address of offset 0, in the accessor's address space.
    """

    _entries: ClassVar[dict[str, _At[Any]]] = {}
    access: Accessor
    base: int

    def __init_subclass__(cls) -> None:
        entries = dict(cls._entries)
        for name, declared in list(vars(cls).items()):
            entry = declared
            match declared:
                case (int() | range() as where, type() as what) if issubclass(
                    what, Register | RegisterMap
                ):
                    entry = _At(where, what)
                    entry.name = name
                    setattr(cls, name, entry)
            if isinstance(entry, _At):
                entries[name] = entry
        cls._entries = entries

    def __init__(self, access: Accessor, base: int = 0) -> None:
        self.access = access
        self.base = base

    def __setattr__(self, name: str, value: object) -> None:
        if name in self._entries:
            raise AttributeError(f"{type(self).__name__}.{name} is a register; assign to its .val")
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[BoundRegister[Any]]:
        """Yield the registers in the order of their declaration, arrays element by element."""
        for name in self._entries:
            entry = getattr(self, name)
            for item in entry if isinstance(entry, RegisterArray) else (entry,):
                if isinstance(item, RegisterMap):
                    yield from item
                else:
                    yield item

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.base:#x}>"
