# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The sizes and offsets of declared structures are those that C compilers find."""

import dataclasses
import subprocess
from pathlib import Path

import pytest

import pydriver.ke.structures
import pydriver.wdf
import pydriver.wdf.object.function_table
from pydriver.declarations.header import header
from pydriver.declarations.model import Model, model
from pydriver.declarations.registry import ENUMERATIONS, STRUCTURES, Structure

assert pydriver.wdf.object.function_table
assert pydriver.ke.structures

COMPILERS = {
    # On Windows a long has four bytes, and bit fields have units of their type: no declaration
    # uses `long`, and -mms-bitfields makes the bit fields right.
    "gcc": ["gcc", "-m64", "-mms-bitfields"],
    "clang": ["clang", "--target=x86_64-pc-windows-msvc"],
}

# Known from the public symbols of Windows 10 and 11 for x64, and from KMDF's bind information.
SIZES = {
    "BUS_INTERFACE_STANDARD": 0x40,
    "CM_PARTIAL_RESOURCE_DESCRIPTOR": 0x14,
    "DEVICE_OBJECT": 0x150,
    "DRIVER_OBJECT": 0x150,
    "FILE_OBJECT": 0xD8,
    "GROUP_AFFINITY": 0x10,
    "GUID": 0x10,
    "IO_STACK_LOCATION": 0x48,
    "IRP": 0xD0,
    "KAPC": 0x58,
    "KDEVICE_QUEUE": 0x28,
    "KDPC": 0x40,
    "KEVENT": 0x18,
    "KTIMER": 0x40,
    "LARGE_INTEGER": 8,
    "MDL": 0x30,
    "SCATTER_GATHER_ELEMENT": 0x18,
    "SCATTER_GATHER_LIST": 0x10,
    "UNICODE_STRING": 0x10,
    "WDF_BIND_INFO": 0x30,
    "WDF_OBJECT_ATTRIBUTES": 0x38,
    "WDF_OBJECT_CONTEXT_TYPE_INFO": 0x28,
}
OFFSETS = {
    ("IRP", "IoStatus"): 0x30,
    ("IRP", "UserBuffer"): 0x70,
    ("IRP", "Tail.Overlay.CurrentStackLocation"): 0xB8,
    ("DEVICE_OBJECT", "DeviceExtension"): 0x40,
    ("DEVICE_OBJECT", "Dpc"): 0xC8,
    ("DRIVER_OBJECT", "DriverUnload"): 0x68,
    ("DRIVER_OBJECT", "MajorFunction"): 0x70,
    ("IO_STACK_LOCATION", "Parameters.DeviceIoControl.IoControlCode"): 0x18,
    ("IO_STACK_LOCATION", "DeviceObject"): 0x28,
    ("MDL", "ByteCount"): 0x28,
    ("CM_PARTIAL_RESOURCE_DESCRIPTOR", "u.Interrupt.Vector"): 8,
    ("WDF_BIND_INFO", "FuncCount"): 0x1C,
    ("WDF_BIND_INFO", "FuncTable"): 0x20,
    ("WDF_DRIVER_GLOBALS", "DriverName"): 0x10,
    ("WDF_DRIVER_GLOBALS", "DisplaceDriverUnload"): 0x30,
    ("WDF_INTERRUPT_INFO", "Group"): 0x38,
    ("WDF_OBJECT_CONTEXT_TYPE_INFO", "UniqueType"): 0x18,
}


def assertions(declared: Model) -> str:
    """C text in which each size and each offset of a model is a static assertion."""
    lines = []
    for name in STRUCTURES:
        aggregate = declared.structure(name)
        lines.append(f'_Static_assert(sizeof({name}) == {aggregate.size}, "{name}");')
        for path, field, offset in aggregate.members():
            if field.bits is None:
                lines.append(
                    f"_Static_assert(__builtin_offsetof({name}, {path}) == {offset}, "
                    f'"{name}.{path}");'
                )
    for name, enumeration in ENUMERATIONS.items():
        lines += [
            f'_Static_assert((unsigned){each} == {value & 0xFFFFFFFF}u, "{each}");'
            for each, value in enumeration.values.items()
        ]
        if not enumeration.macro:
            lines.append(f'_Static_assert(sizeof({name}) == 4, "{name}");')
    return "\n".join(lines)


def compile_c(compiler: str, text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    source = folder / "declarations.c"
    source.write_text(text, encoding="utf-8")
    return subprocess.run(
        [*COMPILERS[compiler], "-std=c11", "-Werror", "-fsyntax-only", str(source)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiler_finds_the_declared_sizes_and_offsets(compiler: str, tmp_path: Path) -> None:
    done = compile_c(compiler, header() + assertions(model()), tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("compiler", COMPILERS)
def test_compiler_rejects_an_offset_that_is_not_so(compiler: str, tmp_path: Path) -> None:
    text = assertions(model()).replace("(IRP, UserBuffer) == 112", "(IRP, UserBuffer) == 116")
    done = compile_c(compiler, header() + text, tmp_path)
    assert done.returncode != 0
    assert "IRP.UserBuffer" in done.stderr


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_size_is_the_one_of_windows(name: str, size: int) -> None:
    assert model().structure(name).size == size


@pytest.mark.parametrize(("name", "path", "offset"), [(*k, v) for k, v in OFFSETS.items()])
def test_offset_is_the_one_of_windows(name: str, path: str, offset: int) -> None:
    found = {each: at for each, _, at in model().structure(name).members()}
    assert found[path] == offset


def test_bit_fields_share_a_unit_as_in_microsofts_compiler() -> None:
    text = """
    struct _B { unsigned int a : 3; unsigned int b : 30; unsigned char c : 4;
                unsigned char d : 4; unsigned short e : 1; };
    typedef struct _B B;
    """
    fields = {each.name: each for each in Model(text).structure("B").fields or ()}
    places = {name: (each.offset, each.bit) for name, each in fields.items()}
    assert places == {"a": (0, 0), "b": (4, 0), "c": (8, 0), "d": (8, 4), "e": (10, 0)}
    assert Model(text).structure("B").size == 12


def test_structure_by_size_starts_with_its_size() -> None:
    for name, declared in STRUCTURES.items():
        if declared.older:
            assert (model().structure(name).fields or ())[0].name == "Size", name


@pytest.mark.parametrize("name", [each for each in STRUCTURES if STRUCTURES[each].older])
def test_older_versions_are_shorter_in_the_order_of_versions(name: str) -> None:
    sizes = [model().size(name, version) for version in STRUCTURES[name].older]
    assert sizes == sorted(sizes)
    assert all(0 < each < model().size(name) for each in sizes)


@pytest.mark.parametrize(
    ("declared", "python"),
    [(each, kind.python) for each in STRUCTURES.values() for kind in each.classes],
)
def test_each_attribute_is_a_member_and_each_member_an_attribute_or_left_out(
    declared: Structure, python: type
) -> None:
    attributes = {each.name for each in dataclasses.fields(python) if not each.name.startswith("_")}
    (kind,) = [each for each in declared.classes if each.python is python]
    found = set(model().attributes(declared.name, python).values())
    assert found - attributes - set(vars(python)) == set(), "a field, or a method"
    assert attributes - found == set(kind.adds)
    paths = [path for path, _, _ in model().structure(declared.name).members()]
    assert [each for each in (*kind.attributes, *kind.omits) if each not in paths] == []
