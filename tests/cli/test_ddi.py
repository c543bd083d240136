# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver ddi`: its lists, for people and for programs."""

import json

from pydriver.declared import public_path
from pydriver.wdf import REGISTRY

from .command import assert_error, run


def test_every_ddi_is_a_row_with_its_method_and_its_irql() -> None:
    result = run("ddi")
    assert (result.code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    for name, declared in REGISTRY.items():
        (line,) = [each for each in lines if each.split()[:1] == [name]]
        assert f" {public_path(declared)} " in line
        assert declared.signature in line
    assert lines[-1] == f"{len(REGISTRY)} DDIs and kernel routines"


def test_a_pattern_selects_and_tests_are_named() -> None:
    result = run("ddi", "wdfdpc*", "--tests")
    assert result.code == 0
    assert (
        "WdfDpcEnqueue\n    BOOLEAN (_In_ WDFDPC Dpc)\n    pydriver.wdf.Dpc.enqueue"
        in result.stdout
    )
    assert "WdfTimerStart" not in result.stdout
    assert "::test_" in result.stdout


def test_json_has_all_that_is_known() -> None:
    result = run("ddi", "WdfDpcEnqueue", "--json")
    listed = json.loads(result.stdout)
    assert list(listed) == ["WdfDpcEnqueue"]
    entry = listed["WdfDpcEnqueue"]
    assert entry["method"] == "pydriver.wdf.sync.dpc:Dpc.enqueue"
    assert (entry["lowest"], entry["highest"]) == (0, 15)
    assert entry["tests"]


def test_json_has_parameters_with_types_and_directions() -> None:
    name = "WdfRequestRetrieveInputBuffer"
    entry = json.loads(run("ddi", name, "--json").stdout)[name]
    assert entry["index"] == 269
    assert entry["result"]["kind"] == "status"
    fields = ("name", "type", "kind", "direction", "optional", "size", "python")
    assert [tuple(each[field] for field in fields) for each in entry["parameters"]] == [
        ("Request", "WDFREQUEST", "handle", "in", False, None, "self"),
        ("MinimumRequiredLength", "size_t", "value", "in", False, None, "minimum_length"),
        ("Buffer", "PVOID *", "buffer", "out", False, "*Length", None),
        ("Length", "size_t *", "value", "out", True, None, None),
    ]
    outputs = {"Buffer": "result", "Length": "len(result)", "return": "STATUS_SUCCESS"}
    assert entry["outputs"] == outputs
    assert entry["parameters"][0]["class"] == "wdf.Request"


def test_json_has_structures_callbacks_enumerations_and_handles() -> None:
    listed = json.loads(run("ddi", "--json").stdout)
    assert set(REGISTRY) < set(listed)
    config = listed["WDF_DPC_CONFIG"]
    assert (config["kind"], config["size"], config["by_size"]) == ("structure", 24, True)
    assert config["classes"] == ["wdf.DpcConfig"]
    fields = {each["name"]: each for each in config["fields"]}
    assert (fields["EvtDpcFunc"]["offset"], fields["EvtDpcFunc"]["of"]) == (8, "EVT_WDF_DPC")
    assert fields["EvtDpcFunc"]["attributes"] == {"wdf.DpcConfig": "evt_dpc_func"}
    assert listed["EVT_WDF_DPC"]["places"] == ["WDF_DPC_CONFIG.EvtDpcFunc"]
    assert listed["EVT_WDF_REQUEST_CANCEL"]["places"] == [
        "WdfRequestMarkCancelable(EvtRequestCancel)",
        "WdfRequestMarkCancelableEx(EvtRequestCancel)",
    ]
    tri_state = listed["WDF_TRI_STATE"]
    assert tri_state["values"][2] == {"name": "WdfUseDefault", "value": 2, "member": "USE_DEFAULT"}
    assert listed["WDFDPC"] == {"kind": "handle", "name": "WDFDPC", "class": "wdf.Dpc"}
    last = listed["WDF_TIMER_CONFIG"]["fields"][-1]
    assert (last["type"], last["offset"], last["alignment"]) == ("BOOLEAN", 32, 8)
    assert listed["WDF_INTERRUPT_CONFIG"]["older"] == {"1.9": 56, "1.11 beta": 96, "1.11": 96}


def test_types_are_shown_to_people_too() -> None:
    text = run("ddi", "WDF_DPC_CONFIG", "EVT_WDF_DPC", "WDF_TRI_STATE", "WDFDPC").stdout
    assert "    structure, 0x18 bytes, pydriver.wdf.DpcConfig\n    0x0000 ULONG Size\n" in text
    assert (
        "VOID (_In_ WDFDPC Dpc)\n    IRQL = DISPATCH_LEVEL (2)\n    WDF_DPC_CONFIG.EvtDpcFunc\n"
        in text
    )
    assert "    0x2 WdfUseDefault\n" in text
    assert "WDFDPC\n    handle, pydriver.wdf.Dpc\n" in text
    assert text.splitlines()[-1] == "0 DDIs and kernel routines, 4 types"


def test_a_pattern_that_nothing_has_is_an_error() -> None:
    assert_error(run("ddi", "NtNothing*"), 2, "nothing is called NtNothing")


def test_without_the_list_of_tests_all_else_is_listed_and_tests_says_what_is_missing() -> None:
    prelude = "import pathlib, pydriver.cli.ddi as d; d.COVERED = pathlib.Path('/nowhere/covered')"
    assert_error(
        run("ddi", "--tests", prelude=prelude), 2, "--tests needs .* /nowhere/covered, .* clone"
    )
    entry = run("ddi", "WdfDpcEnqueue", prelude=prelude)
    assert (entry.code, "tests" in entry.stdout) == (0, False)
    assert "BOOLEAN (_In_ WDFDPC Dpc)" in entry.stdout
    heading, *_ = run("ddi", prelude=prelude).stdout.splitlines()
    assert heading.split() == ["DDI", "IRQL", "Python", "C"]
    listed = json.loads(run("ddi", "WdfDpcEnqueue", "--json", prelude=prelude).stdout)
    assert listed["WdfDpcEnqueue"]["tests"] is None
