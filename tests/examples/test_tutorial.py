# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""docs/tutorial.md is followed to the letter, in a folder outside of the project."""

import os
import re
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"(?:^`(?P<name>[\w.]+)`:\n\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
TIMEOUT = 40


def test_the_tutorial_runs_as_it_stands(tmp_path: Path) -> None:
    commands = 0
    for block in FENCE.finditer((PROJECT / "docs/tutorial.md").read_text(encoding="utf-8")):
        if block["kind"] == "python":
            (tmp_path / block["name"]).write_text(block["text"], encoding="utf-8")
            continue
        assert block["kind"] == "console"
        output: list[str] = []
        expected = [line for line in block["text"].splitlines() if not line.startswith("$ ")]
        for line in block["text"].splitlines():
            if line.startswith("$ "):
                commands += 1
                output += run(line[2:], tmp_path)
        assert output == expected
    assert commands == 7


def run(command: str, folder: Path) -> list[str]:
    ended = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**os.environ, "PYDRIVER": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return ended.stdout.splitlines()
