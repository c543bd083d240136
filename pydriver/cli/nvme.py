# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver nvme`: an NVMe disk behind the Python driver."""

import contextlib
import os
from functools import partial
from typing import Any

import click

from pydriver.cli.console import say
from pydriver.cli.files import OutputFile, open_input
from pydriver.cli.jobs.nvme import CopyOptions, NvmeCopyJob
from pydriver.cli.options import EXIT_CODES, collect, options_of

__all__ = ("nvme",)

COMMAND = "pydriver nvme copy"


@click.group(invoke_without_command=True)
@click.pass_context
def nvme(ctx: click.Context) -> None:
    """Drive QEMU's NVMe controller with the Python driver."""
    if ctx.invoked_subcommand is None:
        say(ctx.get_help())


@nvme.command(epilog=EXIT_CODES)
@options_of(CopyOptions)
def copy(**values: Any) -> int:
    """Write IMAGE-IN to an empty disk, which becomes IMAGE-OUT.

    The disk is as large as the image. It has its name when all of it is right, and not before.
    """
    options = collect(CopyOptions, values)
    options.instruments.refuse_same(options.source, options.target)
    from pydriver.cli.jobs.supervise import run_command

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

        def commit() -> None:
            output.resize(size)
            output.commit()

        return run_command(
            COMMAND,
            options.instruments,
            partial(NvmeCopyJob, options, source, size, output.link),
            as_json=options.as_json,
            source=options.source,
            commit=commit,
        )
