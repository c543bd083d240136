# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What is kept of a test whose system has failed: a crash directory with the test's name."""

import re
from typing import TYPE_CHECKING

from pydriver.crash import write_crash

if TYPE_CHECKING:
    from pathlib import Path

    from pydriver.testing.watch import Watch

__all__ = ("keep_evidence",)

LONGEST_NAME = 100


def keep_evidence(watch: "Watch", failure: BaseException, base: "Path") -> str:
    """Writes a crash directory.

    :param watch: of the test; its system has not been ended
    :param failure: what went wrong
    :param base: where the directory is made, with the name of the test
    :return: one line that says where it is, and what explains it; or why it is not there
    """
    name = re.sub(r"[^\w.-]+", "_", watch.item.nodeid).strip("_")[-LONGEST_NAME:]
    try:
        directory = _new_directory(base, name)
    except OSError as error:
        return f"no crash directory in {base}: {error.strerror or error}"
    return f"crash directory: {write_crash(directory, watch.system, failure)}"


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
