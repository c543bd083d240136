# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""All declared types as one C text, in an order in which a compiler can read it."""

import re
from collections.abc import Iterator, Mapping

import pydriver.declarations.base_types  # noqa: F401 -- declares them
from pydriver.declarations.registry import (
    CALLBACKS,
    ENUMERATIONS,
    HANDLES,
    OPAQUE,
    STRUCTURES,
    TYPEDEFS,
    Structure,
)
from pydriver.declarations.sal import parse_signature

__all__ = ("header",)

_WORD = re.compile(r"\b([A-Za-z_]\w*)\b(\s*\*)?")


def header(functions: Mapping[str, str] | None = None) -> str:
    """Everything that is declared, in C.

    :param functions: signatures of functions to declare at the end, by name
    """
    return "\n".join(
        [
            *_forward(),
            *(f"typedef {text};" for text in _sorted_typedefs()),
            *_enumerations(),
            *_callbacks(),
            *(_structure(STRUCTURES[name]) for name in _sorted_structures()),
            *(parse_signature(text).prototype(name) for name, text in (functions or {}).items()),
            "",
        ]
    )


def _forward() -> Iterator[str]:
    """Typedefs that need no other: of handles, and of structures that are defined later."""
    for name in HANDLES:
        # A handle is a pointer to a type of its own: a compiler tells WDFDPC from WDFTIMER.
        base = "void" if name == "WDFOBJECT" else f"struct {name}__"
        yield f"typedef {base} *{name};\ntypedef {name} *P{name};"
    for name in OPAQUE:
        yield f"typedef struct _{name} {name}, *P{name};"
    for each in STRUCTURES.values():
        pointers = ", ".join(f"*{pointer}" for pointer in each.pointers)
        yield f"typedef {_keyword(each)} _{each.name} {each.name}, {pointers};"


def _keyword(declared: Structure) -> str:
    return "union" if declared.union else "struct"


def _sorted_typedefs() -> list[str]:
    """Each after those that it names."""
    done: dict[str, str] = {}

    def visit(name: str) -> None:
        text = TYPEDEFS.get(name)
        if text is None or name in done:
            return
        for word in re.findall(r"\w+", text):
            if word != name:
                visit(word)
        done[name] = text

    for name in TYPEDEFS:
        visit(name)
    return list(done.values())


def _enumerations() -> Iterator[str]:
    for each in ENUMERATIONS.values():
        lines = ",\n".join(f"    {name} = {_number(value)}" for name, value in each.values.items())
        if each.macro:
            # An enumeration without a name holds constants that both C and its parsers know.
            yield f"enum {{\n{lines}\n}};"
        else:
            yield f"typedef enum _{each.name} {{\n{lines}\n}} {each.name}, *P{each.name};"


def _number(value: int) -> str:
    return str(value) if value < 1 << 31 else f"(int){value:#x}"


def _callbacks() -> Iterator[str]:
    for each in CALLBACKS.values():
        yield f"typedef {parse_signature(each.signature).prototype(each.name)}"
        yield f"typedef {each.name} *{each.pointer};"


def _sorted_structures() -> list[str]:
    """Each after those that it contains."""
    done: dict[str, None] = {}

    def visit(name: str) -> None:
        name = _alias(name)
        declared = STRUCTURES.get(name)
        if declared is None or name in done:
            return
        for found in _WORD.finditer(declared.fields):
            if found[2] is None and found[1] != name:
                visit(found[1])
        done[name] = None

    for name in STRUCTURES:
        visit(name)
    return list(done)


def _alias(name: str) -> str:
    text = TYPEDEFS.get(name, "")
    found = re.fullmatch(rf"(\w+) {name}", text)
    return _alias(found[1]) if found else name


def _structure(declared: Structure) -> str:
    fields = declared.fields.strip("\n")
    text = f"{_keyword(declared)} _{declared.name} {{\n{fields}\n}};"
    if declared.pack:
        return f"#pragma pack(push, {declared.pack})\n{text}\n#pragma pack(pop)"
    return text
