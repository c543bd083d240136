# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver run`: from its options to its exit code."""

import contextlib
import os
from pathlib import Path

import click

from pydriver.cli.jobs.run import RunJob
from pydriver.cli.jobs.supervise import Watch, conclude, say_interrupted
from pydriver.cli.options import Options, check_kvm, open_input
from pydriver.cli.output import OutputFile
from pydriver.cli.signals import Signals
from pydriver.cli.tracing import Tracing
from pydriver.machine.binary import default_qemu

__all__ = ("run_stream",)

COMMAND = "pydriver run"


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
        tracing = stack.enter_context(Tracing(options.trace, COMMAND))
        with Signals() as signals:
            size = os.fstat(source).st_size
            job = RunJob(options, path, source, size, output, signals.wake)
            job.trace = tracing.capture
            stall = Watch(job, signals).run()
        if signals.received is not None:
            return say_interrupted(COMMAND, signals.received)
        return tracing.write() | conclude(
            COMMAND,
            job,
            stall,
            path,
            as_json=options.as_json,
            commit=output.commit if output is not None else None,
        )


def _default_input() -> Path:
    path = default_qemu()
    if not path.is_file():
        raise click.UsageError(f"QEMU {path} is missing (make qemu builds it)")
    return path
