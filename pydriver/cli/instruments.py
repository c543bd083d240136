# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The instruments of a run: options that let a person look at it, while it runs and afterwards."""

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydriver.cli.options import path_option, read_by
from pydriver.cli.tracing import Tracing, trace_option
from pydriver.errors import ConfigurationError

if TYPE_CHECKING:
    from pydriver.crash import CrashDirectory
    from pydriver.system import System, SystemConfig

__all__ = ("Instruments",)


def _crash_directory(
    ctx: click.Context, param: click.Parameter, path: Path | None
) -> "CrashDirectory | None":
    """Refuses a directory that cannot be written before anything starts."""
    if path is None:
        return None
    from pydriver.crash import CrashDirectory

    directory = CrashDirectory(path)
    try:
        directory.check()
    except (ConfigurationError, OSError, ValueError) as error:
        raise click.UsageError(f"cannot write a crash to {path}: {error}") from error
    return directory


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """The instruments of one run; ``None`` for each that was not asked for."""

    qmp: Path | None = read_by(
        path_option("--qmp", "PATH", "Put a QMP socket there, for a person to look at QEMU."),
        default=None,
    )
    gdb: Path | None = read_by(
        path_option("--gdb", "PATH", "Put a socket for gdb there, to debug the guest."),
        default=None,
    )
    debug_socket: Path | None = read_by(
        path_option("--debug-socket", "PATH", "Put a socket for `pydriver attach` there."),
        default=None,
    )
    mmio_trace: Path | None = read_by(
        path_option(
            "--mmio-trace",
            "FILE",
            "Write every register access there, as Python that `pydriver replay` runs again.",
        ),
        default=None,
    )
    trace: Tracing | None = read_by(trace_option, default=None)
    crash_dir: "CrashDirectory | None" = read_by(
        path_option(
            "--crash-dir",
            "DIR",
            "Keep what is known of a bug check, a broken rule, a stall or QEMU's death in a new "
            "directory, for `pydriver analyze`.",
            callback=_crash_directory,
        ),
        default=None,
    )

    def refuse_same(self, *others: Path | None) -> None:
        """Refuses to write over another file of the command.

        :param others: the other files
        :raises click.UsageError: naming the file
        """
        taken = {os.path.realpath(each) for each in others if each is not None}
        for each in (self.mmio_trace, None if self.trace is None else self.trace.path):
            if each is not None:
                path = os.path.realpath(each)
                if path in taken:
                    raise click.UsageError(f"{each} is given for two files")
                taken.add(path)

    def fit(self, config: "SystemConfig", stack: contextlib.ExitStack) -> "SystemConfig":
        """Adds the instruments that a system has from its start.

        :param config: the system without instruments
        :param stack: the stack to close after the system has ended
        :raises ConfigurationError: a file cannot be written
        """
        register_trace = None
        if self.mmio_trace is not None:
            from pydriver.trace.registers import RegisterTrace

            register_trace = RegisterTrace(self.mmio_trace)
            stack.callback(register_trace.close)
        return replace(
            config,
            machine=replace(config.machine, qmp_path=self.qmp, gdb_path=self.gdb),
            register_trace=register_trace,
            on_failure=self.crash_dir,
            trace=None if self.trace is None else self.trace.capture,
        )

    def views(self, system: "System") -> contextlib.AbstractContextManager[object]:
        """A block in which `pydriver attach` may look at a running system."""
        if self.debug_socket is None:
            return contextlib.nullcontext()
        from pydriver.debug.server import ViewServer

        return ViewServer(system, self.debug_socket)
