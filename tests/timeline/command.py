# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The `pydriver` command, run to its end."""

import subprocess
import sys
from pathlib import Path

PYDRIVER = Path(sys.executable).with_name("pydriver")
TIMEOUT = 40.0


def run(*arguments: str | Path, prelude: str = "") -> "subprocess.CompletedProcess[str]":
    """Runs a command.

    :param arguments: the arguments of `pydriver`
    :param prelude: Python code to run first, in the same interpreter
    """
    program: list[str | Path] = [PYDRIVER]
    if prelude:
        main = "import sys; from pydriver.cli.main import main; sys.exit(main())"
        program = [sys.executable, "-c", f"{prelude}\n{main}"]
    return subprocess.run(
        [*program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def names(folder: Path) -> list[str]:
    """The names of the files in a folder."""
    return sorted(path.name for path in folder.iterdir())
