# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver run`: a file through mqdma, or any device with any driver."""

import contextlib
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pydriver.cli.files import OutputFile, open_input
from pydriver.cli.jobs.pair import PairJob, PairOptions
from pydriver.cli.jobs.run import RunJob, RunOptions
from pydriver.cli.options import EXIT_CODES, collect, option_names, options_of
from pydriver.drivers.mqdma.faults import FAULTS

__all__ = ("run",)

COMMAND = "pydriver run"
FAULT_HELP = "\n".join(f"  {name:10}{fault.help}" for name, fault in FAULTS.items())

EPILOG = f"""\b
Faults, one of which can happen after a third of the data:
{FAULT_HELP}

{EXIT_CODES}"""


@click.command(epilog=EPILOG)
@options_of(RunOptions, PairOptions)
def run(**values: Any) -> int:
    """Boot the system and stream FILE through all queues of the device.

    Each block is copied by the device's DMA, which also computes its CRC-32C; the copy must be
    identical and the CRC the one that the crc32c library computes. FILE defaults to the QEMU
    binary that runs the system.

    With --device and --driver, the system has that device and that driver instead; if the driver
    brings an application to try it, that is run.
    """
    if any(values[name] for name in _only(PairOptions, RunOptions)):
        return _run_pair(values)
    return _run_stream(collect(RunOptions, values))


def _only(kind: type[Any], other: type[Any]) -> list[str]:
    """The options that the other kind of run does not have."""
    others = option_names(other)
    return [name for name in option_names(kind) if name not in others]


def _run_stream(options: RunOptions) -> int:
    options.instruments.refuse_same(options.file, options.output)
    if options.messages is not None and options.interrupts == "intx":
        raise click.UsageError("--messages needs --interrupts msi or msix")
    from pydriver.cli.jobs.supervise import run_command

    with contextlib.ExitStack() as stack:
        path = options.file or _default_input()
        source = open_input(path)
        stack.callback(os.close, source)
        output = None
        if options.output is not None and options.idle is None:
            output = OutputFile(options.output)
            stack.callback(output.discard)
        return run_command(
            COMMAND,
            options.instruments,
            partial(RunJob, options, path, source, os.fstat(source).st_size, output),
            as_json=options.as_json,
            source=path,
            commit=output.commit if output is not None else None,
        )


def _default_input() -> Path:
    from pydriver.machine.binary import default_qemu

    path = default_qemu()
    if not path.is_file():
        raise click.UsageError(f"QEMU {path} is missing (make qemu builds it)")
    return path


def _run_pair(values: dict[str, Any]) -> int:
    context = click.get_current_context()
    given = [
        name
        for name in _only(RunOptions, PairOptions)
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        what = "FILE" if given[0] == "file" else f"--{given[0]}"
        raise click.UsageError(f"{what} is for mqdma, not for --device and --driver")
    if not (values["devices"] and values["driver"]):
        raise click.UsageError("--device and --driver need each other")
    options = collect(PairOptions, values)
    if context.get_parameter_source("interrupts") is ParameterSource.DEFAULT:
        options = replace(options, interrupts=None)
    options.instruments.refuse_same()
    from pydriver.cli.jobs.supervise import run_command

    return run_command(
        COMMAND, options.instruments, partial(PairJob, options), as_json=options.as_json
    )
