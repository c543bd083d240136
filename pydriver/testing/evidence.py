# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The evidence of a test whose system has failed: a crash directory with the test's name."""

import re
from typing import TYPE_CHECKING

from pydriver.crash import write_crash

if TYPE_CHECKING:
    from pathlib import Path

    from pydriver.system import System

__all__ = ("keep_evidence",)

LONGEST_NAME = 100


def keep_evidence(test: str, system: "System", failure: BaseException, base: "Path") -> str:
    """Writes a crash directory.

    :param test: the node id of the test
    :param system: the system of the test, which has not been ended
    :param failure: the failure to explain
    :param base: the folder for the directory, which gets the name of the test
    :return: one line with the path and the command that explains it; or the reason why there is
        none
    """
    name = re.sub(r"[^\w.-]+", "_", test).strip("_")[-LONGEST_NAME:]
    try:
        directory = _new_directory(base, name)
    except OSError as error:
        return f"no crash directory in {base}: {error.strerror or error}"
    return f"crash directory: {write_crash(directory, system, failure)}"


def _new_directory(base: "Path", name: str) -> "Path":
    base.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        directory = base / (name if number == 1 else f"{name}-{number}")
        try:
            directory.mkdir()
        except FileExistsError:
            number += 1
        else:
            return directory
