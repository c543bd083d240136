# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The search for the QEMU to start."""

import os
import shutil
from pathlib import Path

from pydriver.errors import ConfigurationError

__all__ = ("BUILD", "QEMU_NAME", "default_qemu", "find_qemu")

BUILD = Path(__file__).resolve().parent.parent / "_build"
"""The folder in which ``make`` puts the guest and a link to QEMU."""

QEMU_NAME = "qemu-system-x86_64"


def default_qemu() -> Path:
    """Returns the QEMU that is used if none is named.

    It is ``$PYDRIVER_QEMU``; without that variable the binary that ``make qemu`` built; without
    that one ``qemu-system-x86_64`` in ``$PATH``.

    :return: a path, which may not exist
    """
    if named := os.environ.get("PYDRIVER_QEMU"):
        return Path(named)
    built = BUILD / QEMU_NAME
    if built.exists():
        return built
    return Path(shutil.which(QEMU_NAME) or built)


def find_qemu(named: Path | None = None) -> Path:
    """The program to execute.

    :param named: the binary, or its name in ``$PATH``; ``None`` for :func:`default_qemu`
    :raises ConfigurationError: there is no such program
    """
    path = named or default_qemu()
    found = shutil.which(path)
    if found is None:
        raise ConfigurationError(f"QEMU {path} is missing (make qemu builds it)")
    return Path(found)
