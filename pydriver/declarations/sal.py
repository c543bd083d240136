# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Signatures with source annotations (SAL): the C in them, and the facts of the annotations.

SAL 2.0 is Microsoft's language for the directions, sizes and NULLs of parameters; no other C
compiler knows it. [Understanding SAL; sal.h]
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

__all__ = ("Direction", "Parameter", "Signature", "parse_signature")


class Direction(Enum):
    """The direction of a parameter: the callee reads it, or writes its target, or does both."""

    IN = "in"
    OUT = "out"
    INOUT = "inout"


_ANNOTATION = re.compile(r"(_[A-Z]\w*_)\s*(?=\(|[\s*]|\b)")
_SIZED = re.compile(
    r"_(?:In|Out|Inout|Outptr)(?:_opt)?(?:_result)?"
    r"_(?:reads|writes|updates|bytebuffer|buffer)(?P<bytes>_bytes)?(?:_all)?(?:_opt)?_$"
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    :ivar name: the name in C
    :ivar declaration: the declaration in C, without annotations: ``WDFDPC *Dpc``
    :ivar annotations: the annotations in order, with their arguments, for example
        ``_Out_writes_bytes_(Length)``
    :ivar direction: the direction, from the first annotation that has one
    :ivar optional: whether NULL is allowed
    :ivar pointer: whether a pointer is written (``_Outptr_``)
    :ivar size: the size of the buffer, as an expression of other parameters; ``""`` for none
    :ivar in_bytes: whether the size counts bytes, not elements
    """

    name: str
    declaration: str
    annotations: tuple[str, ...]
    direction: Direction
    optional: bool
    pointer: bool
    size: str
    in_bytes: bool


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature.

    :ivar result: the type of the result, in C
    :ivar parameters: the parameters in order
    """

    result: str
    parameters: tuple[Parameter, ...]

    def prototype(self, name: str) -> str:
        """Returns the declaration of a function, in C, without annotations.

        :param name: the name of the function
        """
        parameters = ", ".join(each.declaration for each in self.parameters) or "void"
        return f"{self.result} {name}({parameters});"


def parse_signature(text: str) -> Signature:
    """Takes a signature apart.

    :param text: the signature, for example ``NTSTATUS (_In_ WDFDEVICE Device, _Out_ WDFKEY *Key)``
    :raises ValueError: a parameter has no name or no direction, or it is not a signature
    """
    found = re.fullmatch(r"\s*([\w\s*]+?)\s*\((.*)\)\s*", text, re.S)
    if found is None:
        raise ValueError(f"not a result and parameters: {text}")
    result, inside = found.groups()
    if inside.strip().upper() in {"VOID", ""}:
        return Signature(result, ())
    return Signature(result, tuple(_parameter(each, text) for each in _split(inside)))


def _split(inside: str) -> Iterator[str]:
    depth = start = 0
    for position, character in enumerate(inside):
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            yield inside[start:position].strip()
            start = position + 1
    yield inside[start:].strip()


def _parameter(text: str, signature: str) -> Parameter:
    annotations: list[str] = []
    rest = text
    while found := _ANNOTATION.match(rest):
        end = found.end(1)
        argument = re.match(r"\s*(\((?:[^()]|\([^()]*\))*\))", rest[end:])
        annotation = found[1]
        if argument is not None:
            annotation += argument[1]
            end += argument.end()
        annotations.append(annotation)
        rest = rest[end:].lstrip()
    direction = _direction(annotations)
    name = re.search(r"\b(\w+)(?:\[\w*\])?$", rest)
    if direction is None or name is None or not rest[: name.start()].strip():
        raise ValueError(
            f"a parameter needs a direction, a type and a name: {text!r} of {signature}"
        )
    size, in_bytes = _size(annotations)
    return Parameter(
        name[1],
        rest,
        tuple(annotations),
        direction,
        any("_opt_" in each.partition("(")[0] for each in annotations),
        any(each.startswith("_Outptr_") for each in annotations),
        size,
        in_bytes,
    )


def _direction(annotations: list[str]) -> Direction | None:
    for each in annotations:
        for start, direction in (
            ("_Inout_", Direction.INOUT),
            ("_In_", Direction.IN),
            ("_Out", Direction.OUT),
        ):
            if each.startswith(start):
                return direction
    return None


def _size(annotations: list[str]) -> tuple[str, bool]:
    for each in annotations:
        word, _, argument = each.partition("(")
        found = _SIZED.match(word)
        if found is not None:
            return argument.removesuffix(")").strip(), "bytes" in word or "bytebuffer" in word
    return "", False
