# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Every signature is C, with all information for callers in C and for the Python method."""

import ast
import dataclasses
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from pycparser.c_parser import ParseError

import pydriver.ke.structures
import pydriver.wdf
from pydriver.declarations.binding import Binding, bind
from pydriver.declarations.header import header
from pydriver.declarations.kinds import Kind, Typed, kind_of, kind_of_parameter
from pydriver.declarations.model import FunctionType, Model, model
from pydriver.declarations.registry import CALLBACKS, ENUMERATIONS, HANDLES, STRUCTURES
from pydriver.declarations.sal import Direction, parse_signature
from pydriver.ke import status
from pydriver.ke.ddi import REGISTRY
from pydriver.ke.irql import HIGH_LEVEL
from pydriver.wdf.object.function_table import COUNTS, FUNCTIONS, INDICES
from pydriver.wdf.sync.dpc import Dpc

assert pydriver.wdf
assert pydriver.ke.structures

SIGNATURES = {name: each.signature for name, each in REGISTRY.items()}


@cache
def functions() -> dict[str, FunctionType]:
    return model(SIGNATURES).functions


def typed(name: str) -> dict[str, Typed]:
    parameters = zip(REGISTRY[name].parsed().parameters, functions()[name].parameters, strict=True)
    return {each.name: kind_of_parameter(each, type_) for each, (_, type_) in parameters}


# Handles of objects that do not exist here: a driver passes NULL.
WITHOUT_CLASS = {"WDFIOTARGET"}


@pytest.mark.parametrize(
    "compiler",
    [["gcc", "-m64", "-mms-bitfields"], ["clang", "--target=x86_64-pc-windows-msvc"]],
    ids=lambda each: each[0],
)
def test_compiler_reads_all_declarations(compiler: list[str], tmp_path: Path) -> None:
    source = tmp_path / "ddi.c"
    source.write_text(header(SIGNATURES), encoding="utf-8")
    done = subprocess.run(
        [*compiler, "-std=c11", "-fsyntax-only", "-Wno-builtin-requires-header", str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_parser_finds_the_parameters_that_each_signature_names() -> None:
    found = {name: [each for each, _ in functions()[name].parameters] for name in REGISTRY}
    assert found == {
        name: [each.name for each in declared.parsed().parameters]
        for name, declared in REGISTRY.items()
    }


@pytest.mark.parametrize(
    "signature",
    [
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ attributes Attributes)",
        "NTSTATUS (_In_ WDFDEVICE Device Device)",
        "status (_In_ WDFDEVICE Device)",
    ],
)
def test_signature_that_is_not_c_is_an_error(signature: str) -> None:
    with pytest.raises(ParseError):
        Model(header({"WdfWrong": signature}))


@pytest.mark.parametrize(
    "signature",
    [
        "NTSTATUS (WDFDEVICE Device)",
        "NTSTATUS (_In_ WDFDEVICE)",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES)",
        "creates a device",
    ],
)
def test_signature_without_direction_or_name_is_an_error(signature: str) -> None:
    with pytest.raises(ValueError, match=r"direction|not a result"):
        parse_signature(signature)


def test_annotations_are_taken_apart() -> None:
    signature = parse_signature(
        "NTSTATUS (_In_ size_t Minimum, _Outptr_result_bytebuffer_(*Length) PVOID *Buffer, "
        "_Out_opt_ size_t *Length, _Inout_opt_ PULONG Both, _In_reads_(Count) PUCHAR Bytes)"
    )
    found = {
        each.name: (each.direction, each.optional, each.pointer, each.size, each.in_bytes)
        for each in signature.parameters
    }
    assert found == {
        "Minimum": (Direction.IN, False, False, "", False),
        "Buffer": (Direction.OUT, False, True, "*Length", True),
        "Length": (Direction.OUT, True, False, "", False),
        "Both": (Direction.INOUT, True, False, "", False),
        "Bytes": (Direction.IN, False, False, "Count", False),
    }


def test_each_method_and_its_c_function_correspond() -> None:
    problems = {name: each.call().problems for name, each in REGISTRY.items()}
    assert {name: each for name, each in problems.items() if each} == {}


def test_outputs_are_expressions_of_the_result_or_a_status() -> None:
    for name, declared in REGISTRY.items():
        call = declared.call()
        for text in (*call.outputs.values(), *([call.none] if call.none else [])):
            tree = ast.parse(text, mode="eval")
            names = {each.id for each in ast.walk(tree) if isinstance(each, ast.Name)}
            if text.startswith("STATUS_"):
                assert hasattr(status, text), name
            else:
                assert names <= {"result", "len"}, name


def test_what_does_not_correspond_is_named() -> None:
    signature = parse_signature("BOOLEAN (_In_ WDFDPC Dpc, _In_ ULONG Delay, _Out_ PULONG Old)")
    problems = bind(signature, Dpc.cancel, Binding(), takes_object=True).problems
    assert problems == (
        "wait has no parameter in C",
        "bool does not hold return, Old",
        "Delay has no parameter in Python",
    )
    binding = Binding(omits=("Nothing",), adds=("wait",), outputs={"Missing": "result"})
    assert bind(signature, Dpc.cancel, binding, takes_object=True).problems == (
        "Nothing is not a parameter in C",
        "wait has no default, and no parameter in C",
        "Old is not returned",
        "return is not returned",
        "Missing is not an output",
        "Delay has no parameter in Python",
        "Old has no parameter in Python",
    )


def test_kinds_of_parameters_are_known() -> None:
    known = {*STRUCTURES, *ENUMERATIONS, *CALLBACKS, *HANDLES}
    for name in REGISTRY:
        for each in typed(name).values():
            assert each.kind is not Kind.VOID, name
            if each.kind is Kind.HANDLE:
                assert (each.python is None) == (each.name in WITHOUT_CLASS), name
            if each.kind in {Kind.STRUCTURE, Kind.ENUMERATION, Kind.CALLBACK, Kind.HANDLE}:
                assert each.name in known, name


def test_kinds_tell_apart_what_a_marshaller_treats_apart() -> None:
    def kinds(name: str) -> dict[str, tuple[Kind, str]]:
        return {parameter: (found.kind, found.name) for parameter, found in typed(name).items()}

    assert kinds("WdfInterruptCreate") == {
        "Device": (Kind.HANDLE, "WDFDEVICE"),
        "Configuration": (Kind.STRUCTURE, "WDF_INTERRUPT_CONFIG"),
        "Attributes": (Kind.STRUCTURE, "WDF_OBJECT_ATTRIBUTES"),
        "Interrupt": (Kind.HANDLE, "WDFINTERRUPT"),
    }
    assert kinds("WdfRequestRetrieveInputBuffer") == {
        "Request": (Kind.HANDLE, "WDFREQUEST"),
        "MinimumRequiredLength": (Kind.VALUE, "size_t"),
        "Buffer": (Kind.BUFFER, "VOID"),
        "Length": (Kind.VALUE, "size_t"),
    }
    assert kinds("WdfRequestMarkCancelableEx")["EvtRequestCancel"] == (
        Kind.CALLBACK,
        "EVT_WDF_REQUEST_CANCEL",
    )
    assert kinds("WdfDeviceInitAssignName")["DeviceName"] == (Kind.STRING, "UNICODE_STRING")
    assert kinds("WdfDeviceInitSetDeviceClass")["DeviceClassGuid"] == (Kind.GUID, "GUID")
    assert kinds("KeSetTimer")["DueTime"] == (Kind.VALUE, "LARGE_INTEGER")
    assert kinds("KeInsertQueueDpc")["Dpc"] == (Kind.OBJECT, "KDPC")
    assert kinds("READ_REGISTER_ULONG")["Register"] == (Kind.POINTER, "ULONG")


def test_structure_with_a_size_is_passed_by_size() -> None:
    assert typed("WdfTimerCreate")["Config"].by_size
    assert not typed("WdfCmResourceListAppendDescriptor")["Descriptor"].by_size


def test_each_ddi_of_wdf_is_in_the_function_table() -> None:
    entries = {
        each.binding.entry or name for name, each in REGISTRY.items() if name.startswith("Wdf")
    }
    assert entries - set(FUNCTIONS) == {"WdfGetDriver"}, "inline in C"


def test_function_table_has_the_order_of_kmdf() -> None:
    assert len(FUNCTIONS) == len(set(FUNCTIONS)) == COUNTS["1.33"] == 458
    assert INDICES["WdfChildListCreate"] == 0
    assert INDICES["WdfDeviceCreate"] == 75
    assert INDICES["WdfDriverCreate"] == 116
    assert INDICES["WdfInterruptQueueWorkItemForIsr"] >= COUNTS["1.9"] - 1
    assert FUNCTIONS[457] == "WdfDeviceSetDeviceInterfaceStateEx"


def test_each_callback_is_the_type_of_a_field_or_of_a_parameter() -> None:
    texts = "\n".join(
        [
            *(each.fields for each in STRUCTURES.values()),
            *SIGNATURES.values(),
            *(each.signature for each in CALLBACKS.values()),
        ]
    )
    assert [each.name for each in CALLBACKS.values() if each.pointer not in texts] == []


def test_irqls_of_callbacks_are_a_range() -> None:
    for each in CALLBACKS.values():
        assert 0 <= each.lowest <= each.highest <= HIGH_LEVEL, each.name


def test_each_python_callback_takes_the_parameters_of_c_and_returns_their_result() -> None:
    """Parameters match by position; a result of ``None`` is STATUS_SUCCESS, and FALSE."""
    results = {"VOID": {"None"}, "NTSTATUS": {"int | None"}, "BOOLEAN": {"bool", "bool | None"}}
    seen = set()
    for name, structure in STRUCTURES.items():
        for kind in structure.classes:
            hints = {each.name: str(each.type) for each in dataclasses.fields(kind.python)}
            members = {path: field for path, field, _ in model().structure(name).members()}
            for path, attribute in model().attributes(name, kind.python).items():
                found = kind_of(members[path].type)
                if found.kind is not Kind.CALLBACK or attribute not in hints:
                    continue
                signature = parse_signature(CALLBACKS[found.name].signature)
                parameters, result = callable_of(hints[attribute])
                assert parameters == len(signature.parameters), f"{name}.{path}"
                assert result in results[signature.result], f"{name}.{path}"
                seen.add(found.name)
    assert len(seen) >= 45


def callable_of(annotation: str) -> tuple[int, str]:
    """The number of parameters and the result of a ``Callable[[...], result] | None``."""
    found = re.search(r"Callable\[\[(?P<inside>[^\]]*)\], (?P<result>[^\]]*)\]", annotation)
    assert found is not None, annotation
    result = found["result"].replace("NoneType", "None")
    result = re.sub(r"typing\.Optional\[(\w+)$", r"\1 | None", result)
    return len(found["inside"].split(",")), result
