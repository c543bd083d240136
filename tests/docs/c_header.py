# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Compiles the C code of a page: a driver's with the declared types and DDIs, a device's in QEMU.

Windows' own headers are not free. Headers made from the declarations take their place: each handle
has its own type, so that a wrong handle is an error.
"""

import subprocess
from pathlib import Path

import pydriver.ke.structures
import pydriver.wdf
from pydriver.declarations import header as declarations
from pydriver.ke.ddi import REGISTRY

from .blocks import PROJECT

__all__ = ("compile_c", "header")

assert pydriver.ke.structures
assert pydriver.wdf  # its modules fill the registry

MACROS = """\
#pragma once
#define NULL ((void *)0)
#define CONST const
#define TRUE 1
#define FALSE 0
#define STATUS_SUCCESS ((NTSTATUS)0)
#define STATUS_INVALID_PARAMETER ((NTSTATUS)0xC000000D)
#define UNREFERENCED_PARAMETER(p) ((void)(p))
#define NT_SUCCESS(status) ((NTSTATUS)(status) >= 0)
#define _IRQL_requires_max_(irql)
#define _Use_decl_annotations_
#define WDF_DECLARE_CONTEXT_TYPE_WITH_NAME(type, name) type *name(WDFOBJECT handle)
"""

WARNINGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]


def header() -> str:
    """All DDIs as prototypes, after the types in them."""
    signatures = {name: each.signature for name, each in REGISTRY.items()}
    return MACROS + declarations.header(signatures)


def compile_c(source: Path) -> str:
    """Compiles a driver's C.

    :param source: the file; the headers are written beside it
    :return: the output of the compiler
    """
    (source.parent / "ntddk.h").write_text(header(), encoding="utf-8")
    (source.parent / "wdf.h").write_text('#include "ntddk.h"\n', encoding="utf-8")
    return _compile([*WARNINGS, f"-I{source.parent}", str(source)], PROJECT)


def _compile(arguments: list[str], directory: Path) -> str:
    ended = subprocess.run(
        ["cc", *arguments], cwd=directory, capture_output=True, text=True, check=False
    )
    return ended.stderr if ended.returncode or ended.stderr else ""
