# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The plugin's options and ini keys, and the settings that follow from them."""

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from pydriver.errors import ConfigurationError

__all__ = ("Settings", "add_options", "check_options", "is_used")

ACCELERATORS = ("tcg", "kvm")
QEMU_NAME = "qemu-system-x86_64"
EVENTS = 40
MAX_CPUS = 8

INI = {
    "pydriver_device": (
        "linelist",
        "the device under test, as QEMU's -device takes it; further devices on a line each",
    ),
    "pydriver_driver": (
        "string",
        "the module of the driver, or the name under which it is installed",
    ),
    "pydriver_interrupts": (
        "string",
        "the interrupt mode: msix, msi or intx; default: the mode with most messages",
    ),
    "pydriver_options": ("args", "other options of QEMU"),
}


def add_options(parser: pytest.Parser) -> None:
    """Registers all options of the command line and all ini keys."""
    group = parser.getgroup("pydriver", "pydriver: drivers on an emulated device")
    group.addoption(
        "--pydriver-qemu",
        metavar="PATH",
        help=f"QEMU. Default: $PYDRIVER_QEMU, the one that `make qemu` built, or {QEMU_NAME} in "
        "$PATH.",
    )
    group.addoption(
        "--pydriver-accel",
        choices=ACCELERATORS,
        default="tcg",
        help="The accelerator of QEMU. Default: tcg.",
    )
    group.addoption(
        "--pydriver-cpus",
        type=_cpus,
        metavar="N",
        default=1,
        help="Number of processors, 1 to 8, for tests that do not set it. Default: 1.",
    )
    group.addoption(
        "--pydriver-events",
        type=int,
        metavar="N",
        default=EVENTS,
        help=f"Events of the recorder in the report of a test, at most. Default: {EVENTS}.",
    )
    group.addoption(
        "--pydriver-crash-dir",
        metavar="DIR",
        help="Keep the crash directories there, one for each test whose system failed. Default: in "
        "pytest's temporary directory, which goes with the third run after this one.",
    )
    group.addoption(
        "--pydriver-shell-on-fail",
        action="store_true",
        help="Open a Python console when a test has failed, with its fixtures; the machine is "
        "stopped meanwhile.",
    )
    for name, (kind, text) in INI.items():
        parser.addini(name, text, type=kind)  # type: ignore[arg-type]


def is_used(config: pytest.Config) -> bool:
    """``True`` if the configuration names a device or a driver, or an option was given."""
    option = config.option
    return bool(
        config.getini("pydriver_device")
        or config.getini("pydriver_driver")
        or option.pydriver_qemu
        or option.pydriver_accel != "tcg"
    )


@dataclass(frozen=True)
class Settings:
    """The settings that the command line makes.

    :ivar qemu: the binary, which may be missing while no test needs it
    :ivar accel: the accelerator: ``tcg`` or ``kvm``
    :ivar cpus: the number of vCPUs for tests that do not set it
    :ivar events: most events of the recorder in a report
    :ivar crash_dir: the folder for crash directories; ``None`` for pytest's temporary one
    """

    qemu: Path
    accel: str
    cpus: int
    events: int
    crash_dir: Path | None

    @classmethod
    def of(cls, config: pytest.Config) -> "Settings":
        """Reads the settings; :func:`check_options` must have accepted them."""
        option = config.option
        where = option.pydriver_crash_dir
        return cls(
            qemu=_qemu(option.pydriver_qemu),
            accel=option.pydriver_accel,
            cpus=option.pydriver_cpus,
            events=option.pydriver_events,
            crash_dir=config.invocation_params.dir / where if where else None,
        )


def check_options(config: pytest.Config) -> None:
    """Refuses options that cannot work, before any test runs.

    :raises pytest.UsageError: a value is wrong
    """
    option = config.option
    if option.pydriver_events < 0:
        raise pytest.UsageError(f"--pydriver-events={option.pydriver_events} is negative")
    given = option.pydriver_qemu
    if given is not None and shutil.which(Path(given).expanduser()) is None:
        raise pytest.UsageError(f"--pydriver-qemu={given}: there is no such program")
    if option.pydriver_accel == "kvm":
        _check_kvm()
    if option.pydriver_shell_on_fail and getattr(option, "dist", "no") != "no":
        raise pytest.UsageError("--pydriver-shell-on-fail needs one process: leave out -n")


def _cpus(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_CPUS:
        raise argparse.ArgumentTypeError(f"{text}: 1 to {MAX_CPUS} are possible")
    return int(text)


def _qemu(given: str | None) -> Path:
    if given is not None:
        return Path(given).expanduser()
    from pydriver.machine.binary import default_qemu

    return default_qemu()


def _check_kvm() -> None:
    from pydriver.machine.kvm import check_kvm

    try:
        check_kvm()
    except ConfigurationError as error:
        raise pytest.UsageError(f"--pydriver-accel=kvm: {error}") from error
