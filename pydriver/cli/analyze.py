# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver analyze`: the analysis of a crash directory."""

from pathlib import Path

import click

from pydriver.cli.console import say
from pydriver.cli.options import PATH, json_option
from pydriver.errors import ConfigurationError

__all__ = ("analyze",)

EPILOG = """\b
The guest's memory, with gdb:
  gdb DIR/guest.elf DIR/memory.elf

Exit codes: 0 it was analysed; 2 there is no such crash directory.
"""


@click.command(epilog=EPILOG)
@click.argument("directory", metavar="DIR", type=PATH)
@json_option
def analyze(directory: Path, as_json: bool) -> int:  # noqa: FBT001
    """Explain the crash in DIR, as a debugger's `!analyze -v` does.

    DIR was written by `pydriver run --crash-dir DIR`, or by a program that gives its system a
    `pydriver.crash.CrashDirectory`. The analysis names the bug check and its parameters, or the
    rule that was broken and its requirement; the callback, the processor and its IRQL; the line of
    the driver that is to blame, with the lines around it; the state of the objects involved, the
    last events, and the most likely mistake.
    """
    from pydriver.crash import analyse, read_crash

    try:
        analysis = analyse(read_crash(directory))
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    return 0 if say(analysis.json() if as_json else analysis.text()) else 1
