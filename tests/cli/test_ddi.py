# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver ddi`: what it lists, for people and for programs."""

import json

from pydriver.wdf import REGISTRY

from .command import assert_error, run


def test_every_ddi_is_a_row_with_its_method_and_its_irql() -> None:
    result = run("ddi")
    assert (result.code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    for name, declared in REGISTRY.items():
        (line,) = [each for each in lines if each.split()[:1] == [name]]
        assert declared.method.rpartition(":")[2] in line
        assert declared.signature in line
    assert lines[-1] == f"{len(REGISTRY)} DDIs and kernel routines"


def test_a_pattern_selects_and_tests_are_named() -> None:
    result = run("ddi", "wdfdpc*", "--tests")
    assert result.code == 0
    assert (
        "WdfDpcEnqueue\n    BOOLEAN (WDFDPC Dpc)\n    pydriver.wdf.sync.dpc.Dpc.enqueue"
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


def test_a_pattern_that_nothing_has_is_an_error() -> None:
    assert_error(run("ddi", "NtNothing*"), 2, "no DDI is called NtNothing")
