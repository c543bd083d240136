# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A register trace as qtest commands, as QEMU's maintainers get reproducers."""

import shlex
from collections.abc import Callable
from typing import Any

from pydriver.replay.session import Target

__all__ = ("QtestFile",)

MIB = 1 << 20


class QtestFile(Target):
    """Takes commands, and writes them.

    :param write: takes the text
    :ivar command_line: of a QEMU that reads the commands on its standard input
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self.command_line = ""

    def start(self, memory: int, arguments: list[str]) -> None:
        """Makes the command line."""
        self.command_line = shlex.join(
            [
                *("qemu-system-x86_64", "-display", "none", "-machine", "q35,accel=qtest"),
                *("-m", f"{memory // MIB}M", "-nodefaults", *arguments, "-qtest", "stdio"),
            ]
        )

    def command(self, *words: str) -> list[str]:
        """Writes a line."""
        self._write(f"{' '.join(words)}\n".encode())
        return ["0"]

    def expect(self, value: Any, expected: Any, again: Callable[[], Any], line: int) -> None:
        """Nothing is read here."""
