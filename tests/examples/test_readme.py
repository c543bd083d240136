# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What README.md shows: its driver is the file in examples/, it runs, and its mistake is found."""

import math
import re
import subprocess
import sys
import textwrap
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
EXAMPLE = PROJECT / "examples" / "edu_factorial.py"
README = (PROJECT / "README.md").read_text(encoding="utf-8")
TIMEOUT = 30

RIGHT = "interrupt.queue_dpc_for_isr()"
WRONG = "edu.request.complete(STATUS_SUCCESS)"


def without_header(source: str) -> str:
    """A source file from its docstring on."""
    return source[source.index('"""') :]


def run(script: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )


def test_the_driver_in_the_readme_is_the_example() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert blocks == [without_header(EXAMPLE.read_text(encoding="utf-8"))]


def test_the_example_has_less_than_sixty_lines() -> None:
    lines = without_header(EXAMPLE.read_text(encoding="utf-8")).splitlines()
    assert sum(bool(line.strip()) for line in lines) < 60


def test_the_example_computes_factorials() -> None:
    ended = run(EXAMPLE)
    assert ended.stderr == ""
    assert ended.stdout == "".join(f"{n}! = {math.factorial(n)}\n" for n in range(1, 13))
    assert ended.returncode == 0


def test_the_mistake_in_the_readme_gives_the_report_in_the_readme(tmp_path: Path) -> None:
    source = EXAMPLE.read_text(encoding="utf-8")
    assert source.count(RIGHT) == 1
    assert f"replace `{RIGHT}` by `{WRONG}`" in " ".join(README.split())
    script = tmp_path / EXAMPLE.name
    script.write_text(source.replace(RIGHT, WRONG), encoding="utf-8")

    ended = run(script)

    assert ended.returncode == 1
    report = ended.stderr[ended.stderr.index("1 rule was broken") :]
    assert "rule:      KmdfIrql" in report
    assert textwrap.indent(report, "    ") in README


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
    named = set(re.findall(r"(?:`|^    |\$ )make ([a-z-]+)", README, re.MULTILINE))
    assert {"run", "test"} <= named
    assert named <= targets
