# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The verifier finds enough mistakes of drivers, each by an existing rule or bug check.

A marked test itself checks, when it runs, that the mistake is made and found.
"""

import ast

import pytest

from pydriver.ke import bugcheck

from .test_rows import PROJECT, TESTS, load_script

MISTAKES = load_script().mistakes(TESTS)
FEWEST_MISTAKES = 40


def rules_of_the_verifier() -> set[str]:
    """Every string in a module of the framework, except the list of documented rules."""
    found = set()
    for path in (PROJECT / "pydriver").rglob("*.py"):
        if path.name != "bugcheck.py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found


RULES = rules_of_the_verifier()


def test_enough_mistakes_are_found() -> None:
    assert len({(each.rule, each.code) for each in MISTAKES}) >= FEWEST_MISTAKES


def test_each_mistake_is_marked_once() -> None:
    assert len({(each.rule, each.code, each.test) for each in MISTAKES}) == len(MISTAKES)


@pytest.mark.parametrize("rule", sorted({each.rule for each in MISTAKES if each.code is None}))
def test_rule_of_a_mistake_is_one_of_the_verifier(rule: str) -> None:
    assert rule in RULES


@pytest.mark.parametrize(
    ("rule", "code"),
    sorted({(each.rule, each.code) for each in MISTAKES if each.code is not None}),
)
def test_bug_check_of_a_mistake_has_a_rule_or_the_name_that_windows_gives_it(
    rule: str, code: int
) -> None:
    names = {bugcheck.bug_check_name(code)}
    if code == bugcheck.WDF_VIOLATION:
        names |= set(bugcheck.WDF_VIOLATION_NAMES.values())
    assert not bugcheck.bug_check_name(code).startswith("0x")
    assert rule in names or rule in RULES


@pytest.mark.parametrize("rule", sorted(bugcheck.KMDF_RULES))
def test_documented_rule_is_checked(rule: str) -> None:
    assert rule in RULES
