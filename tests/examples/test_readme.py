# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What README.md names is there: its driver in examples/, its links, options and targets."""

import re
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "examples" / "edu_factorial.py"
README = (PROJECT / "README.md").read_text(encoding="utf-8")
TIMEOUT = 30


def without_header(source: str) -> str:
    """A source file from its docstring on."""
    return source[source.index('"""') :]


def test_the_driver_in_the_readme_is_the_example() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert blocks[0] == without_header(EXAMPLE.read_text(encoding="utf-8"))


def test_the_example_has_less_than_sixty_lines() -> None:
    lines = without_header(EXAMPLE.read_text(encoding="utf-8")).splitlines()
    assert sum(bool(line.strip()) for line in lines) < 60


def test_the_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_the_readme_names_all_options_of_a_run() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "pydriver.cli.main", "run", "--help"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    ).stdout
    options = set(re.findall(r"^  (?:-\w, )?(--[\w-]+)", help_text, re.MULTILINE))
    assert len(options) > 10
    assert [option for option in sorted(options) if option not in README] == []


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"(?:`|^|\$ )make ([a-z-]+)", README, re.MULTILINE))
    assert {"run", "test"} <= named
    assert named <= targets
