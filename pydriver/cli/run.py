# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver run`: its command line."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from pydriver.cli.options import (
    EXIT_CODES,
    Options,
    Size,
    cpus_option,
    json_option,
    look_options,
    qemu_option,
    verifier_option,
)
from pydriver.drivers.mqdma.faults import FAULTS

__all__ = ("run",)

FAULT_HELP = "\n".join(f"  {name:10}{fault.help}" for name, fault in FAULTS.items())

EPILOG = f"""\b
Faults, one of which can happen after a third of the data:
{FAULT_HELP}

{EXIT_CODES}"""


@click.command(epilog=EPILOG)
@click.argument("file", required=False, type=click.Path(readable=False, path_type=Path))
@click.option(
    "--queues",
    type=click.IntRange(1, 64),
    metavar="N",
    default=4,
    show_default=True,
    help="Hardware queues.",
)
@click.option(
    "--depth",
    type=click.IntRange(1, 256),
    metavar="N",
    default=8,
    show_default=True,
    help="Requests in flight for each queue.",
)
@click.option(
    "--block",
    type=Size(4, 16 << 20, 4),
    default="64K",
    show_default=True,
    help="Size of a request, 4 to 16M, as a multiple of 4; K and M are binary.",
)
@click.option(
    "--interrupts",
    type=click.Choice(["msix", "msi", "intx"]),
    default="msix",
    show_default=True,
    help="How the device interrupts.",
)
@click.option(
    "--messages",
    type=click.IntRange(1, 32),
    metavar="N",
    help="Most MSI or MSI-X messages to grant; default: all that the device has.",
)
@cpus_option
@click.option(
    "--accel",
    type=click.Choice(["tcg", "kvm"]),
    default="tcg",
    show_default=True,
    help="How QEMU runs the guest.",
)
@click.option(
    "--fault",
    type=click.Choice(list(FAULTS)),
    metavar="NAME",
    help="Let something break on the way; see below.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="DEVICE",
    help="Instead of streaming through mqdma: a device of QEMU, as its -device takes it. Can be "
    "given again. A drive that it names and nobody defines is an empty disk in memory, a netdev "
    "QEMU's user network.",
)
@click.option(
    "--driver",
    metavar="MODULE",
    help="The driver of that device: a module, a file, or the name of an installed driver.",
)
@qemu_option
@click.option(
    "--idle",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help="Start the driver, do nothing for that long, and report.",
)
@click.option(
    "--output",
    type=click.Path(readable=False, path_type=Path),
    metavar="PATH",
    help="Write what came back; the file appears only if all of it is right.",
)
@look_options
@verifier_option
@json_option
def run(**values: Any) -> int:
    """Boot the system and stream FILE through all queues of the device.

    Each block is copied by the device's DMA, which also computes its CRC-32C; the copy must be
    identical and the CRC the one that the crc32c library computes. FILE defaults to the QEMU
    binary that runs the system.

    With --device and --driver, the system has that device and that driver instead; if the driver
    brings an application to try it, that is run.
    """
    pair = {name: values.pop(name) for name in ("devices", "driver", "qemu_options")}
    if any(pair.values()):
        return _run_pair(values, pair)
    options = Options(**values)
    options.refuse_same(options.file, options.output)
    if options.messages is not None and options.interrupts == "intx":
        raise click.UsageError("--messages needs --interrupts msi or msix")
    from pydriver.cli.run_stream import run_stream

    return run_stream(options)


STREAM_ONLY = ("file", "queues", "depth", "block", "fault", "output")


def _run_pair(values: dict[str, Any], pair: dict[str, Any]) -> int:
    context = click.get_current_context()
    given = [
        name
        for name in STREAM_ONLY
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if given:
        what = "FILE" if given[0] == "file" else f"--{given[0]}"
        raise click.UsageError(f"{what} is for mqdma, not for --device and --driver")
    if not (pair["devices"] and pair["driver"]):
        raise click.UsageError("--device and --driver need each other")
    interrupts = values["interrupts"]
    if context.get_parameter_source("interrupts") is ParameterSource.DEFAULT:
        interrupts = None
    from pydriver.cli.jobs.pair import PairOptions
    from pydriver.cli.run_pair import run_pair

    rest = {name: value for name, value in values.items() if name not in STREAM_ONLY}
    options = PairOptions(**{**rest, **pair, "interrupts": interrupts})
    options.refuse_same()
    return run_pair(options)
