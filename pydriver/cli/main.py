# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The `pydriver` command: its subcommands, and how every one of them ends.

A subcommand's module is imported when the subcommand is called, and prints through
:mod:`pydriver.cli.console`. A mistake of the user is one line on stderr and exit code 2.
"""

import importlib
import sys

import click

from pydriver.cli.console import say
from pydriver.errors import PydriverError

__all__ = ("FAILURE", "INTERRUPTED", "USAGE", "main", "pydriver")

FAILURE = 1
"""Exit code: the command was tried and failed."""
USAGE = 2
"""Exit code: the command line asks for something that is not possible."""
INTERRUPTED = 130
"""Exit code: Ctrl-C."""

NATIVE = "pydriver.abi._native"

COMMANDS = {
    "run": "stream a file through the emulated system and check every byte",
    "replay": "make the register accesses of a trace again, or qtest commands of them",
    "devices": "list the PCI functions of a machine and their drivers",
    "nvme": "copy an image to an NVMe disk and check it",
    "debug": "debug a driver and its device in an interactive shell",
    "attach": "look at a running system from another terminal",
    "timeline": "show a trace of a run: latencies, a page, a picture",
    "bench": "measure what the interrupt path costs",
    "analyze": "explain the directory that a crash has left",
    "ddi": "list the DDIs that are implemented",
}


class Commands(click.Group):
    """The subcommands, each imported from the module of its name when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Lists the names, for the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"pydriver.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: FBT001
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        say(f"pydriver {version('pydriver')}")
        ctx.exit()


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and exit.",
)
@click.pass_context
def pydriver(ctx: click.Context) -> None:
    """A Windows driver framework in Python, driven by real interrupts.

    A QEMU PCI device interrupts an emulated processor; a very small guest hands each interrupt to
    this program, which runs the driver: its ISR at DIRQL, its DPCs at DISPATCH_LEVEL, its work
    items at PASSIVE_LEVEL.

    `pydriver COMMAND --help` tells more about a command.
    """
    if ctx.invoked_subcommand is None:
        say(ctx.get_help())


def main() -> int:
    """The console script.

    :return: exit code
    """
    try:
        code = pydriver.main(standalone_mode=False)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        name = context.command_path if context else "pydriver"
        say(f"{name}: error: {' '.join(error.format_message().split())}", error=True)
        return USAGE
    except PydriverError as error:
        say(f"pydriver: error: {error}", error=True)
        return FAILURE
    except ModuleNotFoundError as error:
        if error.name != NATIVE:
            raise
        say(f"pydriver: error: the extension {NATIVE} is missing (make run builds it)", error=True)
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        say("pydriver: interrupted", error=True)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
