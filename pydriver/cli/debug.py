# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver debug`: a driver and its device under an interactive shell."""

from typing import TYPE_CHECKING, Any

import click

from pydriver.cli.console import say
from pydriver.cli.main import FAILURE
from pydriver.cli.options import (
    EXIT_CODES,
    check_kvm,
    cpus_option,
    gdb_option,
    qemu_option,
    qmp_option,
    verifier_option,
)

if TYPE_CHECKING:
    from pydriver.cli.debug_job import DebugJob

__all__ = ("debug",)

END = 5.0
"""Seconds that the system has to end when the shell is left, before its power is cut."""


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
@qemu_option
@click.option("--interrupts", type=click.Choice(["msix", "msi", "intx"]))
@cpus_option
@click.option("--accel", type=click.Choice(["tcg", "kvm"]), default="tcg", show_default=True)
@qmp_option
@gdb_option
@click.option(
    "-c",
    "--command",
    "lines",
    multiple=True,
    metavar="COMMAND",
    help="Execute a command, then end; can be given again.",
)
@click.option(
    "--stop-first",
    is_flag=True,
    help="Do not load the driver before the first `go`, so that its start can be debugged.",
)
@verifier_option
def debug(lines: tuple[str, ...], stop_first: bool, **values: Any) -> int:  # noqa: FBT001
    """Boot the system with DEVICE and the driver, and debug it in an IPython shell.

    The shell knows WDFKD's commands by their names (wdfdevicequeues, wdfrequest ...), others for
    the machine (irql, bt, lapic, regs ...), and those that run it: go, stop, step, bp. `help`
    lists them. All else is Python, with `system`, `device`, `driver`, `kernel`, `machine`.

    `go` also starts the application that the driver's module brings: exercise(device).
    """
    if values["accel"] == "kvm":
        check_kvm()
    from pydriver.cli.debug_job import DebugJob
    from pydriver.cli.pair_job import PairOptions
    from pydriver.errors import ConfigurationError

    options = PairOptions(**values, messages=None, idle=None, as_json=False)
    try:
        job = DebugJob(options)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    job.start()
    try:
        code = _serve(job, lines, stop_first=stop_first)
    finally:
        _finish(job)
    # Of an application that still waits one hears by the power cut, which was ours.
    if job.error is not None and not job.was_cut:
        say(f"pydriver debug: the system has ended: {job.error}", error=True)
        return FAILURE
    return code


def _finish(job: "DebugJob") -> None:
    job.finish()
    job.join(END)
    while not job.over:
        job.was_cut = True
        job.cut()
        job.join(0.1)


def _serve(job: "DebugJob", lines: tuple[str, ...], *, stop_first: bool) -> int:
    from pydriver.cli.debug_session import DebugSession
    from pydriver.debug.shell import cache_folder, make_shell, run_lines
    from pydriver.errors import ConfigurationError

    job.ready.wait()
    if not job.over and not stop_first:
        job.load()
        while job.busy:
            job.join(0.01)
    if job.over and job.error is not None:
        if isinstance(job.error, ConfigurationError):
            raise click.UsageError(str(job.error)) from job.error
        raise job.error
    session = DebugSession(job, loaded=not stop_first)
    if lines:
        return 0 if run_lines(session.commands, lines, "pydriver> ") else FAILURE
    banner = f"{', '.join(map(str, job.devices)) or 'no driver yet'}; `help` lists the commands\n"
    shell = make_shell(session.commands, session.names, banner, cache_folder())
    with job.debugger.free():
        shell()
    return 0
