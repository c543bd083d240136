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
        "WdfDpcEnqueue\n    BOOLEAN (_In_ WDFDPC Dpc)\n    pydriver.wdf.sync.dpc.Dpc.enqueue"
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
