# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver analyze` names the line of each planted bug."""

import json

import pytest

from pydriver.cli.main import pydriver

from . import planted
from .conftest import Crasher


@pytest.mark.parametrize("name", planted.BUGS)
def test_analysis_names_the_line_of_a_planted_bug(
    crash: Crasher, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    bug, line = planted.BUGS[name], planted.marked_line(name)
    directory = str(crash(name))

    assert pydriver.main(["analyze", directory], standalone_mode=False) == 0
    text = capsys.readouterr().out
    assert f"FAULTING_SOURCE_FILE:  {planted.__file__}\n" in text
    assert f"FAULTING_SOURCE_LINE_NUMBER:  {line}\n" in text
    assert f">{line:6}: " in text
    assert bug.cause.upper() in text.upper()
    assert "FOLLOWUP:  " in text

    assert pydriver.main(["analyze", "--json", directory], standalone_mode=False) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["culprit"]["file"], found["culprit"]["line"]) == (planted.__file__, line)
    assert (found["bug_check"] or {}).get("code") == bug.code
