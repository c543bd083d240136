# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The C of a page is compiled: a driver's with the names of the DDI table, a device's in QEMU.

Windows' own headers are not free. What takes their place is made from the signatures in the
registry: a prototype for each DDI, and a type for each name in them; handles are types of their
own, so that a wrong one is an error.
"""

import re
import subprocess
from pathlib import Path

import pydriver.wdf
from pydriver.wdf.object.ddi import REGISTRY

from .blocks import PROJECT

__all__ = ("compile_c", "header")

assert pydriver.wdf  # its modules fill the registry

SIGNATURE = re.compile(r"(?P<result>.+?) \((?P<parameters>.*)\)")
TYPE = re.compile(r"(?P<type>(?:volatile |CONST )?\w+)(?P<pointer> \*)?")

BASE = """\
#pragma once
#include <stddef.h>
#define CONST const
#define VOID void
#define TRUE 1
#define FALSE 0
#define STATUS_SUCCESS ((NTSTATUS)0)
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define UNREFERENCED_PARAMETER(p) ((void)(p))
#define NT_SUCCESS(status) ((NTSTATUS)(status) >= 0)
typedef int NTSTATUS, LONG;
typedef unsigned char BOOLEAN, UCHAR, KIRQL;
typedef unsigned short USHORT, WCHAR;
typedef unsigned int ULONG;
typedef long long LONGLONG;
typedef unsigned long long ULONGLONG, ULONG64, ULONG_PTR;
typedef char CCHAR, KPROCESSOR_MODE;
typedef size_t SIZE_T;
typedef void *PVOID, *HANDLE;
typedef HANDLE WDFOBJECT, WDFCONTEXT;
typedef union { LONGLONG QuadPart; } LARGE_INTEGER, PHYSICAL_ADDRESS;
typedef ULONG *PULONG;
typedef KIRQL *PKIRQL;
typedef LARGE_INTEGER *PLARGE_INTEGER;
typedef LONGLONG *PLONGLONG;
typedef WCHAR *PWSTR;
#define _IRQL_requires_max_(irql)
#define _Use_decl_annotations_
"""

CALLBACKS = """\
typedef BOOLEAN EVT_WDF_INTERRUPT_ISR(WDFINTERRUPT, ULONG);
typedef VOID EVT_WDF_INTERRUPT_DPC(WDFINTERRUPT, WDFOBJECT);
#define WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(type, name) type *name(WDFOBJECT handle)
"""

WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]


def header() -> str:
    """All DDIs as prototypes, and the types in them."""
    known = set(re.findall(r"\w+", BASE)) | {"volatile"}
    types: dict[str, str] = {}
    prototypes = []
    for declared in REGISTRY.values():
        match = SIGNATURE.fullmatch(declared.signature)
        assert match is not None, declared.signature
        result = match["result"]
        parameters = [_parameter(each.strip()) for each in match["parameters"].split(",")]
        for each in (result, *parameters):
            name = each.split(" *")[0].split()[-1]
            if name not in known:
                is_value = name.startswith(("WDF_", "K")) or not name.startswith(("WDF", "P", "LP"))
                types[name] = f"typedef int {name};" if is_value else _opaque(name)
        prototypes.append(f"{result} {declared.name}({', '.join(parameters)});")
    lines = [*types.values(), CALLBACKS, *prototypes]
    return BASE + "\n".join(lines) + "\n"


def _opaque(name: str) -> str:
    return f"typedef struct {name}__ *{name};"


def _parameter(text: str) -> str:
    match = TYPE.match("PWDF_OBJECT_ATTRIBUTES" if text == "attributes" else text)
    assert match is not None, text
    return match["type"] + (match["pointer"] or "")


def compile_c(source: Path) -> str:
    """Compiles a driver's C.

    :param source: the file; the headers are put beside it
    :return: what the compiler says
    """
    for name in ("ntddk.h", "wdf.h"):
        (source.parent / name).write_text(header(), encoding="utf-8")
    return _compile([*WARNINGS, f"-I{source.parent}", str(source)], PROJECT)


def _compile(arguments: list[str], directory: Path) -> str:
    ended = subprocess.run(
        ["cc", *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    return ended.stderr if ended.returncode or ended.stderr else ""
