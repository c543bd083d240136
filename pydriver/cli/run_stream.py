# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver run`: from its options to its exit code."""

import contextlib
import os
from pathlib import Path

import click

from pydriver.cli.console import say
from pydriver.cli.options import Options, check_kvm, open_input
from pydriver.cli.output import OutputFile
from pydriver.cli.report import CORRECT
from pydriver.cli.run_job import RunJob
from pydriver.cli.signals import Signals
from pydriver.cli.supervise import Watch, complain, say_interrupted
from pydriver.errors import ConfigurationError
from pydriver.machine.qemu import default_qemu

__all__ = ("run_stream",)

COMMAND = "pydriver run"
WRONG_EXIT = 1


def run_stream(options: Options) -> int:
    """Runs the job that the options describe.

    :return: exit code
    :raises click.UsageError: it cannot be run
    """
    with contextlib.ExitStack() as stack:
        if options.accel == "kvm":
            check_kvm()
        path = options.file or _default_input()
        source = open_input(path)
        stack.callback(os.close, source)
        output = None
        if options.output is not None and options.idle is None:
            output = OutputFile(options.output)
            stack.callback(output.discard)
        with Signals() as signals:
            size = os.fstat(source).st_size
            job = RunJob(options, path, source, size, output, signals.wake)
            stall = Watch(job, signals).run()
        if signals.received is not None:
            return say_interrupted(COMMAND, signals.received)
        return _conclude(options, path, job, stall, output)


def _default_input() -> Path:
    path = default_qemu()
    if not path.is_file():
        raise click.UsageError(f"QEMU {path} is missing (make qemu builds it)")
    return path


def _conclude(
    options: Options, path: Path, job: RunJob, stall: str, output: OutputFile | None
) -> int:
    """Prints what the run has shown.

    :return: exit code
    """
    error = None if stall else job.error
    if isinstance(error, ConfigurationError):
        raise click.UsageError(str(error)) from error
    report = job.report()
    report.verdict = stall or (job.stream and job.stream.failure) or CORRECT
    if error is None and report.verdict == CORRECT and output is not None:
        try:
            output.commit()
        except OSError as reason:
            error = reason
    if error is not None:
        report.verdict = complain(COMMAND, error, path)
    written = True
    if options.as_json or error is None:
        written = say(report.json() if options.as_json else report.text())
    return 0 if written and report.verdict == CORRECT else WRONG_EXIT
