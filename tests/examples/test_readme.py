# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""README.md shows the example as it is; its links lead somewhere, and every target exists."""

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "examples" / "edu_factorial.py"
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def without_header(source: str) -> str:
    """The text of a source file, from its docstring on."""
    return source[source.index('"""') :]


def test_the_driver_in_the_readme_is_the_example() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert blocks[0] == without_header(EXAMPLE.read_text(encoding="utf-8"))


def test_the_example_is_the_driver_of_the_template() -> None:
    template = PROJECT / "docs/template/factorial_driver.py"
    assert EXAMPLE.samefile(template)
    assert not template.is_symlink()  # the folder can be copied


def test_the_example_has_less_than_sixty_lines() -> None:
    lines = without_header(EXAMPLE.read_text(encoding="utf-8")).splitlines()
    assert sum(bool(line.strip()) for line in lines) < 60


def test_the_links_of_the_readme_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert links
    assert [link for link in links if not (PROJECT / link).exists()] == []


def test_every_make_target_that_a_page_names_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    pages = [PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]
    text = "\n".join([README, *(page.read_text(encoding="utf-8") for page in pages)])
    named = set(re.findall(r"(?:`|^ *|\$ )make ([a-z-]+)", text, re.MULTILINE))
    assert {"run", "test"} <= named
    assert named <= targets
