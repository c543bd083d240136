# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver replay`: a register trace, against a new device or as qtest commands."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from pydriver.cli.console import say
from pydriver.cli.files import OutputFile, open_input
from pydriver.cli.options import PATH
from pydriver.errors import MachineError
from pydriver.replay import LiveTarget, QtestFile, Replay, ReplayError
from pydriver.replay.live import Difference

__all__ = ("replay",)

DIFFERS = 1
MOST_LINES = 20
"""Differences that are printed."""

EPILOG = """\b
Exit codes: 0 all values are as recorded; 1 some differ, or QEMU has ended;
2 a bad command line, or a file that is not a trace; 130 Ctrl-C.
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=PATH)
@click.option(
    "--qemu",
    type=PATH,
    metavar="PATH",
    help="The QEMU with the device; default: the one that pydriver runs.",
)
@click.option(
    "--qtest",
    type=PATH,
    metavar="PATH",
    help="Do not replay: write the accesses there as qtest commands, and print the command line "
    "of a QEMU that takes them.",
)
def replay(file: Path, qemu: Path | None, qtest: Path | None) -> int:
    """Make the register accesses of a trace again, and print what differs.

    FILE was written by `pydriver run --mmio-trace FILE`. It is Python and is executed: replay only
    what you trust.
    """
    os.close(open_input(file))
    if qtest is not None:
        if qemu is not None:
            raise click.UsageError("--qemu is for a replay, not for --qtest")
        return _convert(file, qtest)
    return _replay(file, qemu)


def _replay(path: Path, qemu: Path | None) -> int:
    if qemu is not None and not qemu.is_file():
        raise click.UsageError(f"QEMU {qemu} is missing")
    shown = 0

    def show(difference: Difference) -> None:
        nonlocal shown
        shown += 1
        if shown <= MOST_LINES:
            say(_describe(path, difference, trace.source(difference.line)))
        elif shown == MOST_LINES + 1:
            say("...")

    with _terminable(), LiveTarget(qemu, show) as target:
        trace = Replay(path, target)
        try:
            trace.run()
        except ReplayError as error:
            if not isinstance(error.__cause__, MachineError):
                raise click.UsageError(str(error)) from error
            say(f"pydriver replay: error: {error}", error=True)
            return DIFFERS
    late = f", {target.late} of them late" if target.late else ""
    count = target.differences
    verdict = f"{count} differ{'s' * (count == 1)}" if count else "all as recorded"
    say(f"{trace.accesses} accesses, {target.compared} values compared{late}: {verdict}")
    return DIFFERS if count else 0


def _describe(path: Path, difference: Difference, source: str) -> str:
    statement, _, comment = source.partition("  # ")
    value, recorded = (
        hex(each) if isinstance(each, int) else each
        for each in (difference.value, difference.recorded)
    )
    what = statement.removeprefix("expect(").rpartition(", ")[0]
    where = f" ({comment})" if comment else ""
    return f"{path}:{difference.line}: {what} is {value}, recorded {recorded}{where}"


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Has SIGTERM and SIGHUP leave the block, so that QEMU ends too. SIGINT does it anyway."""
    before = {
        number: signal.signal(number, lambda received, _: sys.exit(128 + received))
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _convert(path: Path, result: Path) -> int:
    output = OutputFile(result)
    with contextlib.ExitStack() as stack:
        stack.callback(output.discard)
        size = 0

        def write(data: bytes) -> None:
            nonlocal size
            output.write(memoryview(data), size)
            size += len(data)

        target = QtestFile(write)
        try:
            Replay(path, target).run()
        except ReplayError as error:
            raise click.UsageError(str(error)) from error
        except OSError as error:
            raise click.UsageError(f"cannot write {result}: {error.strerror}") from error
        output.commit()
    say(f"{target.command_line} < {result}")
    return 0
