# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver nvme copy`: from its options to its exit code."""

import contextlib
import os

import click

from pydriver.cli.jobs.nvme import CopyOptions, NvmeCopyJob
from pydriver.cli.jobs.supervise import Watch, conclude, say_interrupted
from pydriver.cli.options import open_input
from pydriver.cli.output import OutputFile
from pydriver.cli.signals import Signals
from pydriver.cli.tracing import Tracing

__all__ = ("copy_image",)

COMMAND = "pydriver nvme copy"


def copy_image(options: CopyOptions) -> int:
    """Copies.

    :return: exit code
    :raises click.UsageError: it cannot be done
    """
    with contextlib.ExitStack() as stack:
        source = open_input(options.source)
        stack.callback(os.close, source)
        size = os.fstat(source).st_size
        if not size:
            raise click.UsageError(f"{options.source} is empty")
        output = OutputFile(options.target)
        stack.callback(output.discard)
        block = options.block_size
        try:
            output.resize(-(-size // block) * block)
        except OSError as error:
            raise click.UsageError(f"cannot write {options.target}: {error.strerror}") from error
        tracing = stack.enter_context(Tracing(options.trace, COMMAND))
        with Signals() as signals:
            job = NvmeCopyJob(options, source, size, output.link, signals.wake)
            job.trace = tracing.capture
            stall = Watch(job, signals).run()
        if signals.received is not None:
            return say_interrupted(COMMAND, signals.received)

        def commit() -> None:
            output.resize(size)
            output.commit()

        return tracing.write() | conclude(
            COMMAND, job, stall, options.source, as_json=options.as_json, commit=commit
        )
