# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Every row of the WDF reference is shown by a test, or left out with a reason."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import pydriver.wdf

TESTS = Path(__file__).resolve().parent.parent
PROJECT = TESTS.parent
SCRIPT = PROJECT / "build-tools" / "ddi_reference.py"
LEFT_OUT = PROJECT / "docs" / "reference" / "left-out.md"
FEWEST_DDIS = 150


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ddi_reference", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REFERENCE = tomllib.loads((Path(__file__).parent / "rows.toml").read_text(encoding="utf-8"))
DDIS = [name for section in REFERENCE["ddis"].values() for name in section]
ROWS = [
    *DDIS,
    *REFERENCE["callbacks"]["4"],
    *(f"{struct}.{field}" for struct, fields in REFERENCE["fields"].items() for field in fields),
]
COVERED: dict[str, list[str]] = load_script().covered(TESTS)
# | `name` | reason |
REASONS = dict(
    re.findall(r"^\| `([\w.]+)` \| (\S.*\S) \|$", LEFT_OUT.read_text(encoding="utf-8"), re.M)
)


@pytest.mark.parametrize("row", ROWS)
def test_row_of_the_reference_is_shown_by_a_test_or_left_out_with_a_reason(row: str) -> None:
    assert (row in COVERED) != (row in REASONS), "shown, or left out: one of the two"


@pytest.mark.parametrize("name", DDIS)
def test_ddi_of_the_reference_is_implemented_or_left_out_with_a_reason(name: str) -> None:
    assert (name in pydriver.wdf.REGISTRY) != (name in REASONS)


@pytest.mark.parametrize("name", pydriver.wdf.REGISTRY)
def test_implemented_ddi_has_a_test(name: str) -> None:
    assert name in COVERED


def test_what_is_left_out_is_a_row_of_the_reference() -> None:
    assert [name for name in REASONS if name not in ROWS] == []


def test_marks_name_what_exists() -> None:
    known = {*ROWS, *pydriver.wdf.REGISTRY}
    assert [name for name in COVERED if name not in known] == []


def test_enough_is_implemented_for_real_drivers() -> None:
    assert len(pydriver.wdf.REGISTRY) >= FEWEST_DDIS


def test_test_that_covers_a_ddi_calls_it() -> None:
    """The method's name is in the text of the test's module, called or handed on."""
    texts: dict[str, set[str]] = {}
    for path in TESTS.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            if isinstance(node.value, str)
        }
        texts[path.relative_to(PROJECT).as_posix()] = names
    idle = []
    for name, declared in pydriver.wdf.REGISTRY.items():
        method = declared.method.rpartition(":")[2].rpartition(".")[2]
        for test in COVERED.get(name, ()):
            if not {method, name} & texts[test.partition("::")[0]]:
                idle.append((name, test))
    assert idle == []


def test_generated_list_is_up_to_date() -> None:
    checked = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout
