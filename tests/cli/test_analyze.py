# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`--crash-dir` of the commands that run a system, and `pydriver analyze`."""

import json
from pathlib import Path

import pytest

from .command import Command, Result, assert_error, names, run

PROJECT = Path(__file__).resolve().parents[2]
PLANTED = "tests.crash.planted"
QUICK_STALL = "import pydriver.cli.jobs.supervise; pydriver.cli.jobs.supervise.STALL = 0.5"


def run_planted(bug: str, *options: str | Path, prelude: str = "") -> Result:
    """`pydriver run` with a driver that has a bug."""
    environment = {"PYTHONPATH": str(PROJECT), "PLANTED_BUG": bug}
    pair = ("--device", "edu", "--driver", PLANTED)
    with Command("run", *pair, *options, prelude=prelude, environment=environment) as command:
        return command.finish()


@pytest.mark.parametrize(
    ("bug", "kind", "function"),
    [
        ("touches_nothing", "bug check", "touches_nothing"),
        ("completes_twice", "verifier", "completes_twice"),
        ("forgets", "stall", "forgets"),
    ],
)
def test_run_keeps_a_crash_that_analyze_explains(
    tmp_path: Path, bug: str, kind: str, function: str
) -> None:
    directory = tmp_path / "crash"
    result = run_planted(bug, "--crash-dir", directory, prelude=QUICK_STALL)
    assert result.code == 1
    assert f"pydriver analyze {directory} explains it" in result.stderr
    analysis = run("analyze", directory)
    assert analysis.code == 0
    assert f"FAULTING_FUNCTION:  {function}\n" in analysis.stdout
    found = json.loads(run("analyze", "--json", directory).stdout)
    assert (found["kind"], found["culprit"]["function"]) == (kind, function)
    assert names(tmp_path) == ["crash"]


def test_run_without_a_directory_keeps_nothing_and_says_how_to(tmp_path: Path) -> None:
    result = run_planted("touches_nothing")
    assert result.code == 1
    assert "edu.registers.read32(NOWHERE)" in result.stderr
    assert "!wdfinterrupt 0x" in result.stderr
    assert "pydriver run: --crash-dir DIR keeps more" in result.stderr


def test_run_that_is_correct_makes_no_directory(tmp_path: Path) -> None:
    result = run("run", "/bin/true", "--crash-dir", tmp_path / "crash")
    assert result.code == 0
    assert names(tmp_path) == []


@pytest.mark.parametrize("command", [("run",), ("nvme", "copy", "/bin/true", "out")])
def test_directory_that_is_not_empty_is_refused(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "something").touch()
    result = run(*command, "--crash-dir", tmp_path)
    assert_error(result, 2, f"cannot write a crash to {tmp_path}: .* is not empty")
    assert names(tmp_path) == ["something"]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "is missing"),
        (lambda path: path.touch(), "is not a directory"),
        (lambda path: path.mkdir(), "is not a crash directory: it has no crash.json"),
        (
            lambda path: (path.mkdir(), (path / "crash.json").write_text("{")),
            "crash.json is not valid JSON",
        ),
        (
            lambda path: (path.mkdir(), (path / "crash.json").write_text('{"format": 7}')),
            "has format 7, not 1",
        ),
        (
            lambda path: (path.mkdir(), (path / "crash.json").write_text('{"format": 1}')),
            "crash.json is damaged",
        ),
    ],
    ids=["missing", "file", "empty", "damaged", "format", "incomplete"],
)
def test_what_is_no_crash_directory_is_refused(tmp_path: Path, make: object, text: str) -> None:
    assert callable(make)
    make(tmp_path / "crash")
    assert_error(run("analyze", tmp_path / "crash"), 2, text)


def test_help_names_gdb() -> None:
    result = run("analyze", "--help")
    assert result.code == 0
    assert "gdb DIR/guest.elf DIR/memory.elf" in result.stdout
