# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What `pydriver run` was asked for, and which of that can be refused before anything starts."""

import fcntl
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import click

from pydriver.errors import ConfigurationError

__all__ = (
    "EXIT_CODES",
    "Options",
    "Size",
    "check_kvm",
    "cpus_option",
    "crash_dir_option",
    "gdb_option",
    "json_option",
    "mmio_trace_option",
    "open_input",
    "qemu_option",
    "qmp_option",
    "refuse_file",
    "verifier_option",
)

KIB = 1 << 10
MIB = 1 << 20

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
qmp_option = click.option(
    "--qmp",
    type=click.Path(readable=False, path_type=Path),
    metavar="PATH",
    help="Put a QMP socket there, for a person to look at QEMU.",
)
gdb_option = click.option(
    "--gdb",
    type=click.Path(readable=False, path_type=Path),
    metavar="PATH",
    help="Put a socket for gdb there, to debug the guest.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
mmio_trace_option = click.option(
    "--mmio-trace",
    type=click.Path(readable=False, path_type=Path),
    metavar="PATH",
    help="Write every register access there, as Python that `pydriver replay` runs again.",
)


def _check_crash_dir(ctx: click.Context, param: click.Parameter, value: Path | None) -> Path | None:
    """Refuses a directory that cannot be written before anything starts."""
    if value is not None:
        from pydriver.crash import CrashDirectory

        try:
            CrashDirectory(value).check()
        except (ConfigurationError, OSError, ValueError) as error:
            raise click.UsageError(f"cannot write a crash to {value}: {error}") from error
    return value


crash_dir_option = click.option(
    "--crash-dir",
    type=click.Path(readable=False, path_type=Path),
    callback=_check_crash_dir,
    metavar="DIR",
    help="Keep what is known of a bug check, a broken rule, a stall or QEMU's death in a new "
    "directory, for `pydriver analyze`.",
)

KVM = "/dev/kvm"
KVM_GET_API_VERSION = 0xAE00
KVM_CREATE_VM = 0xAE01
KVM_API_VERSION = 12


@dataclass(frozen=True)
class Options:
    """The options of `pydriver run`.

    :ivar file: the input; ``None`` for the QEMU binary that runs the system
    :ivar queues: hardware queues, 1 to 64
    :ivar depth: requests in flight for each of them, 1 to 256
    :ivar block: bytes of a request, 4 to 16 MiB
    :ivar interrupts: ``msix``, ``msi`` or ``intx``
    :ivar messages: most messages to grant; ``None`` for all that the device offers
    :ivar cpus: vCPUs, 1 to 8
    :ivar accel: ``tcg`` or ``kvm``
    :ivar fault: key of :data:`pydriver.cli.faults.FAULTS`, or ``None``
    :ivar idle: seconds to do nothing instead of streaming, or ``None``
    :ivar verifier: check the driver against the rules of the framework
    :ivar as_json: report as JSON
    :ivar qmp: where to put a QMP socket for a person, or ``None``
    :ivar gdb: where to put a socket for gdb, or ``None``
    :ivar debug_socket: where to put a socket for `pydriver attach`, or ``None``
    :ivar output: where to write the result, or ``None``
    :ivar mmio_trace: where to write the register accesses, or ``None``
    :ivar crash_dir: where to write a crash, or ``None``
    :ivar trace: where to write a trace, or ``None``
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
    qmp: Path | None
    gdb: Path | None
    debug_socket: Path | None
    output: Path | None
    mmio_trace: Path | None = None
    crash_dir: Path | None = None
    trace: Path | None = None


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
    try:
        kvm = os.open(KVM, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise click.UsageError(f"KVM is not usable: {KVM}: {error.strerror}") from error
    try:
        version = fcntl.ioctl(kvm, KVM_GET_API_VERSION)
        if version != KVM_API_VERSION:
            raise click.UsageError(f"KVM is not usable: it has API version {version}")
        os.close(fcntl.ioctl(kvm, KVM_CREATE_VM))
    except OSError as error:
        raise click.UsageError(f"KVM is not usable: {error.strerror}") from error
    finally:
        os.close(kvm)
