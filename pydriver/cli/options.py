# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Options of the command line: those that commands share, and the declaration of a job's own.

A job's options are a frozen dataclass beside the job. Each of its fields is an option: its name,
its type, its help and its default are there, and nowhere else::

    @dataclass(frozen=True, kw_only=True)
    class CopyOptions:
        depth: int = read_by(click.option("--depth", type=click.IntRange(1, 256), default=32))

    @click.command()
    @options_of(CopyOptions)
    def copy(**values: Any) -> int:
        options = collect(CopyOptions, values)
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields
from pathlib import Path
from typing import Any, TypeVar

import click

from pydriver.errors import ConfigurationError

__all__ = (
    "EXIT_CODES",
    "PATH",
    "Command",
    "Size",
    "accel_option",
    "collect",
    "cpus_option",
    "group",
    "json_option",
    "lines_option",
    "option_names",
    "options_of",
    "path_option",
    "qemu_option",
    "read_by",
    "verifier_option",
)

KIB = 1 << 10
MIB = 1 << 20

Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")
Option = Callable[[Command], Command]
T = TypeVar("T")

EXIT_CODES = """\b
Exit codes: 0 the verdict is "correct"; 1 it is not, or the system came down;
2 a bad command line, or something that is missing; 130 Ctrl-C.
"""

PATH = click.Path(readable=False, path_type=Path)
"""A path that whoever opens it checks, with a message that says what it was opened for."""

OPTION = "pydriver.option"
GROUP = "pydriver.group"


def read_by(option: Callable[..., Any], *, default: Any = MISSING) -> Any:
    """A field that an option of the command line gives its value.

    :param option: the decorator, as ``click.option`` makes it, with the field's name as the
        parameter's
    :param default: the value for code that makes an instance itself
    """
    return field(default=default, metadata={OPTION: option})


def group(kind: type[Any]) -> Any:
    """A field that is a class of options itself."""
    return field(default_factory=kind, metadata={GROUP: kind})


def options_of(*kinds: type[Any], only: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """Gives a command the options of classes.

    An option that two classes have is there once; the help has them in the order of the first
    class, and what only a later one has before the next option that both have.

    :param kinds: the classes
    :param only: the names of the fields to take; all of them if there is none
    """
    declared: dict[str, Callable[..., Any]] = {}
    order: list[str] = []
    for kind in kinds:
        found = _declarations(kind)
        declared = found | declared
        at = len(order)
        for name in reversed(found):
            if name in order:
                at = order.index(name)
            else:
                order.insert(at, name)

    def decorate(command: Command) -> Command:
        for name in reversed(order):
            if not only or name in only:
                command = declared[name](command)
        return command

    return decorate


def option_names(kind: type[Any]) -> tuple[str, ...]:
    """The names of the options of a class, in their order."""
    return tuple(_declarations(kind))


def collect(kind: type[T], values: Mapping[str, Any]) -> T:
    """Makes an instance of a class of options.

    :param kind: the class
    :param values: the values that click has read, by the names of the options; others may be there
    """
    taken = {}
    for each in fields(kind):  # type: ignore[arg-type]
        if GROUP in each.metadata:
            taken[each.name] = collect(each.metadata[GROUP], values)
        elif each.name in values:
            taken[each.name] = values[each.name]
    return kind(**taken)


def _declarations(kind: type[Any]) -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for each in fields(kind):
        if GROUP in each.metadata:
            found |= _declarations(each.metadata[GROUP])
        else:
            found[each.name] = each.metadata[OPTION]
    return found


def _check_accel(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Refuses KVM where it is not usable, before anything starts."""
    if value == "kvm":
        from pydriver.machine.kvm import check_kvm

        try:
            check_kvm()
        except ConfigurationError as error:
            raise click.UsageError(str(error)) from error
    return value


accel_option = click.option(
    "--accel",
    type=click.Choice(["tcg", "kvm"]),
    default="tcg",
    show_default=True,
    callback=_check_accel,
    help="The accelerator of QEMU.",
)
cpus_option = click.option(
    "--cpus",
    type=click.IntRange(1, 8),
    metavar="N",
    default=1,
    show_default=True,
    help="Emulated processors.",
)
verifier_option = click.option(
    "--verifier/--no-verifier",
    default=True,
    show_default=True,
    help="Check the driver against the rules of the framework.",
)
qemu_option = click.option(
    "--qemu-option",
    "qemu_options",
    multiple=True,
    metavar="OPTION",
    help='Another option of QEMU for it, as "-drive file=...,if=none,id=d0".',
)
lines_option = click.option(
    "-c",
    "--command",
    "lines",
    multiple=True,
    metavar="COMMAND",
    help="Execute a command, then end; can be given again.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")


def path_option(name: str, metavar: str, about: str, **more: Any) -> Callable[[Command], Command]:
    """An option that takes a path."""
    return click.option(name, type=PATH, metavar=metavar, help=about, **more)


class Size(click.ParamType[int]):
    """A number of bytes: 4096, 64K, 1M.

    :param low: the smallest size
    :param high: the largest size
    :param step: the number that a size must be a multiple of
    """

    name = "size"

    def __init__(self, low: int, high: int, step: int) -> None:
        self.low = low
        self.high = high
        self.step = step

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Makes a number of bytes of the text."""
        if isinstance(value, int):
            return value
        text = str(value).upper()
        unit = {"K": KIB, "M": MIB}.get(text[-1:], 1)
        digits = text[:-1] if unit > 1 else text
        if not (digits.isascii() and digits.isdigit()):
            self.fail(f"{value!r} is not a size such as 4096, 64K or 1M", param, ctx)
        size = int(digits) * unit
        if not self.low <= size <= self.high or size % self.step:
            self.fail(
                f"{value} is not a multiple of {self.step} from {self.low} to {self.high >> 20}M",
                param,
                ctx,
            )
        return size

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The placeholder in the help."""
        return "BYTES"
