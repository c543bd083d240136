# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver debug`: a driver and its device under an interactive shell."""

from typing import TYPE_CHECKING, Any

import click

from pydriver.cli.console import say
from pydriver.cli.jobs.pair import PairOptions
from pydriver.cli.main import FAILURE
from pydriver.cli.options import EXIT_CODES, collect, lines_option, options_of

if TYPE_CHECKING:
    from pydriver.debug.session import DebugSession

__all__ = ("debug",)


@click.command(epilog=EXIT_CODES)
@click.option(
    "--device",
    "devices",
    multiple=True,
    required=True,
    metavar="DEVICE",
    help="A device of QEMU, as its -device takes it; can be given again.",
)
@click.option(
    "--driver",
    required=True,
    metavar="MODULE",
    help="The driver: a module, a file, or the name of an installed driver.",
)
@options_of(PairOptions, only=("qemu_options",))
@click.option("--interrupts", type=click.Choice(["msix", "msi", "intx"]))
@options_of(PairOptions, only=("cpus", "accel", "qmp", "gdb"))
@lines_option
@click.option(
    "--stop-first",
    is_flag=True,
    help="Do not load the driver before the first `go`, so that its start can be debugged.",
)
@options_of(PairOptions, only=("verifier",))
def debug(lines: tuple[str, ...], stop_first: bool, **values: Any) -> int:  # noqa: FBT001
    """Boot the system with DEVICE and the driver, and debug it in an IPython shell.

    The shell knows WDFKD's commands by their names (wdfdevicequeues, wdfrequest ...), others for
    the machine (irql, bt, lapic, regs ...), and those that run it: go, stop, step, bp, restart,
    restore. `help` lists them. All else is Python, with `system`, `device`, `driver`, `kernel`,
    `machine`.

    `go` also starts the application that the driver's module brings: exercise(device).
    """
    from pydriver.cli.jobs.debug import DebugJob
    from pydriver.debug.session import END, DebugSession
    from pydriver.errors import ConfigurationError

    options = collect(PairOptions, values)
    try:
        session = DebugSession(lambda debugger: DebugJob(options, debugger), stop_first=stop_first)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    try:
        code = _serve(session, lines)
    finally:
        failure = session.end(END)
    if failure is not None:
        say(f"pydriver debug: the system has ended: {failure}", error=True)
        return FAILURE
    return code


def _serve(session: "DebugSession", lines: tuple[str, ...]) -> int:
    from pydriver.debug.shell import cache_folder, make_shell, run_lines

    if lines:
        return 0 if run_lines(session.commands, lines, "pydriver> ") else FAILURE
    banner = f"{session.title}; `help` lists the commands\n"
    shell = make_shell(session.commands, session.namespace, banner, cache_folder())
    with session.debugger.free():
        shell()
    return 0
