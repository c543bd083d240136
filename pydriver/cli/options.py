# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What `pydriver run` was asked for, and which of that can be refused before anything starts."""

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from pydriver.errors import ConfigurationError

__all__ = (
    "EXIT_CODES",
    "LookOptions",
    "Options",
    "Size",
    "check_kvm",
    "cpus_option",
    "gdb_option",
    "json_option",
    "look_options",
    "open_input",
    "qemu_option",
    "qmp_option",
    "refuse_file",
    "verifier_option",
)

KIB = 1 << 10
MIB = 1 << 20

Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")

EXIT_CODES = """\b
Exit codes: 0 the verdict is "correct"; 1 it is not, or the system came down;
2 a bad command line, or something that is missing; 130 Ctrl-C.
"""

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


def _path_option(name: str, metavar: str, about: str, **more: Any) -> Callable[[Command], Command]:
    kind = click.Path(readable=False, path_type=Path)
    return click.option(name, type=kind, metavar=metavar, help=about, **more)


qmp_option = _path_option("--qmp", "PATH", "Put a QMP socket there, for a person to look at QEMU.")
gdb_option = _path_option("--gdb", "PATH", "Put a socket for gdb there, to debug the guest.")
json_option = click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")


def _check_crash_dir(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuses a directory that cannot be written before anything starts."""
    if value is not None:
        from pydriver.crash import CrashDirectory

        try:
            CrashDirectory(value).check()
        except (ConfigurationError, OSError, ValueError) as error:
            raise click.UsageError(f"cannot write a crash to {value}: {error}") from error
    return value


_LOOKS = (
    qmp_option,
    gdb_option,
    _path_option("--debug-socket", "PATH", "Put a socket for `pydriver attach` there."),
    _path_option(
        "--mmio-trace",
        "FILE",
        "Write every register access there, as Python that `pydriver replay` runs again.",
    ),
    _path_option(
        "--trace",
        "FILE",
        "Write a Perfetto trace of the run: for ui.perfetto.dev, and for `pydriver timeline`.",
    ),
    _path_option(
        "--crash-dir",
        "DIR",
        "Keep what is known of a bug check, a broken rule, a stall or QEMU's death in a new "
        "directory, for `pydriver analyze`.",
        callback=_check_crash_dir,
    ),
)


def look_options(command: Command) -> Command:
    """The options of :class:`LookOptions`."""
    for option in reversed(_LOOKS):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class LookOptions:
    """How a run can be looked at: while it runs, and afterwards. ``None``: not in this way.

    :ivar qmp: where to put a QMP socket for a person
    :ivar gdb: where to put a socket for gdb
    :ivar debug_socket: where to put a socket for `pydriver attach`
    :ivar mmio_trace: where to write the register accesses
    :ivar trace: where to write a trace
    :ivar crash_dir: where to write a crash
    """

    qmp: Path | None = None
    gdb: Path | None = None
    debug_socket: Path | None = None
    mmio_trace: Path | None = None
    trace: Path | None = None
    crash_dir: Path | None = None

    def refuse_same(self, *others: Path | None) -> None:
        """Refuses to write what is looked at over another file of the command.

        :param others: those files
        :raises click.UsageError: naming the file
        """
        taken = {os.path.realpath(each) for each in others if each is not None}
        for each in (self.mmio_trace, self.trace):
            if each is not None:
                path = os.path.realpath(each)
                if path in taken:
                    raise click.UsageError(f"{each} is given for two files")
                taken.add(path)


@dataclass(frozen=True, kw_only=True)
class Options(LookOptions):
    """The options of `pydriver run`.

    :ivar file: the input; ``None`` for the QEMU binary that runs the system
    :ivar queues: hardware queues, 1 to 64
    :ivar depth: requests in flight for each of them, 1 to 256
    :ivar block: bytes of a request, 4 to 16 MiB
    :ivar interrupts: ``msix``, ``msi`` or ``intx``
    :ivar messages: most messages to grant; ``None`` for all that the device offers
    :ivar cpus: vCPUs, 1 to 8
    :ivar accel: ``tcg`` or ``kvm``
    :ivar fault: key of :data:`pydriver.drivers.mqdma.faults.FAULTS`, or ``None``
    :ivar idle: seconds to do nothing instead of streaming, or ``None``
    :ivar verifier: check the driver against the rules of the framework
    :ivar as_json: report as JSON
    :ivar output: where to write the result, or ``None``
    """

    file: Path | None
    queues: int
    depth: int
    block: int
    interrupts: str
    messages: int | None
    cpus: int
    accel: str
    fault: str | None
    idle: float | None
    verifier: bool
    as_json: bool
    output: Path | None


class Size(click.ParamType[int]):
    """A number of bytes: 4096, 64K, 1M.

    :param low: smallest
    :param high: largest
    :param step: it must be a multiple of that
    """

    name = "size"

    def __init__(self, low: int, high: int, step: int) -> None:
        self.low = low
        self.high = high
        self.step = step

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number."""
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
        """For the help."""
        return "BYTES"


def open_input(path: Path) -> int:
    """Opens the input.

    :return: a descriptor
    :raises click.UsageError: it cannot be read, or is no regular file
    """
    try:
        # O_NONBLOCK: a FIFO without a writer is refused, not waited for.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise click.UsageError(f"cannot read {path}: {reason}") from error
    if fault := refuse_file(os.fstat(fd).st_mode):
        os.close(fd)
        raise click.UsageError(f"cannot read {path}: {fault}")
    return fd


def refuse_file(mode: int) -> str:
    """Why a file cannot be input or output: it is no regular file. Empty if it can."""
    if stat.S_ISDIR(mode):
        return "it is a directory"
    return "" if stat.S_ISREG(mode) else "it is not a regular file"


def check_kvm() -> None:
    """Tries whether a virtual machine can be made.

    :raises click.UsageError: saying why not
    """
    from pydriver.machine import kvm

    try:
        kvm.check_kvm()
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
