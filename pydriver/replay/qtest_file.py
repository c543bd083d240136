# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A register trace as qtest commands, the form in which QEMU's maintainers take reproducers."""

import shlex
from collections.abc import Callable
from typing import Any

from pydriver.replay.session import Target

__all__ = ("QtestFile",)

MIB = 1 << 20


class QtestFile(Target):
    """A target that writes the commands to a file.

    :param write: a function that takes the text
    :ivar command_line: the command line of a QEMU that reads the commands on its standard input
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
        """Does nothing, because nothing is read here."""
