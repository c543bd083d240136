# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver nvme`: an NVMe disk behind the Python driver."""

from pathlib import Path
from typing import Any

import click

from pydriver.cli.console import say
from pydriver.cli.options import (
    EXIT_CODES,
    Size,
    cpus_option,
    json_option,
    look_options,
    verifier_option,
)

__all__ = ("nvme",)


@click.group(invoke_without_command=True)
@click.pass_context
def nvme(ctx: click.Context) -> None:
    """Drive QEMU's NVMe controller with the Python driver."""
    if ctx.invoked_subcommand is None:
        say(ctx.get_help())


@nvme.command(epilog=EXIT_CODES)
@click.argument("source", metavar="IMAGE-IN", type=click.Path(readable=False, path_type=Path))
@click.argument("target", metavar="IMAGE-OUT", type=click.Path(readable=False, path_type=Path))
@click.option(
    "--queues",
    type=click.IntRange(1, 64),
    metavar="N",
    default=4,
    show_default=True,
    help="I/O queue pairs.",
)
@click.option(
    "--depth",
    type=click.IntRange(1, 256),
    metavar="N",
    default=32,
    show_default=True,
    help="Commands in flight for each of them.",
)
@click.option(
    "--transfer",
    type=Size(4096, 4 << 20, 4096),
    default="64K",
    show_default=True,
    help="Size of a request, 4K to 4M; K and M are binary.",
)
@click.option(
    "--block-size",
    type=click.Choice(["512", "4096"]),
    default="512",
    show_default=True,
    help="Bytes of the disk's block.",
)
@click.option(
    "--interrupts",
    type=click.Choice(["msix", "intx"]),
    default="msix",
    show_default=True,
    help="How the controller interrupts.",
)
@cpus_option
@click.option("--reset", is_flag=True, help="Reset the controller when half has been sent.")
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="Read the disk again, and compare.",
)
@look_options
@verifier_option
@json_option
def copy(**values: Any) -> int:
    """Write IMAGE-IN to an empty disk, which becomes IMAGE-OUT.

    The disk is as large as the image. It has its name when all of it is right, and not before.
    """
    from pydriver.cli.jobs.nvme import CopyOptions
    from pydriver.cli.nvme_copy import copy_image

    options = CopyOptions(**{**values, "block_size": int(values["block_size"])})
    options.refuse_same(options.source, options.target)
    return copy_image(options)
