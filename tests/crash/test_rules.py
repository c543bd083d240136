# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Every rule and every bug check is explained."""

import re
from pathlib import Path

import pytest

from pydriver.crash.bug_checks import meaning_of
from pydriver.crash.rules import rule_text
from pydriver.ke import bugcheck

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reference" / "verifier.md"
"""The rules that tests show, made from their marks."""

SHOWN = set(re.findall(r"^\| `(\w+)`", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE))
CODES = {
    name: value
    for name, value in vars(bugcheck).items()
    if bugcheck.bug_check_name(value if isinstance(value, int) else -1) == name
}
NAMES = {*CODES, *bugcheck.WDF_VIOLATION_NAMES.values()}


@pytest.mark.parametrize("rule", sorted(SHOWN - NAMES | bugcheck.KMDF_RULES))
def test_rule_is_explained(rule: str) -> None:
    assert rule_text(rule)


@pytest.mark.parametrize("name", CODES)
def test_bug_check_and_its_parameters_are_explained(name: str) -> None:
    meaning = meaning_of(CODES[name], (0, 0, 0, 0))
    assert "not described" not in meaning.text
    assert all(meaning.parameters)


@pytest.mark.parametrize("subclass", bugcheck.WdfViolation)
def test_each_wdf_violation_has_its_own_parameters(subclass: bugcheck.WdfViolation) -> None:
    meaning = meaning_of(bugcheck.WDF_VIOLATION, (subclass, 0, 0, 0))
    assert meaning.parameters[0] == f"Subclass: {subclass.name}"
