# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The execution of the statements of a register trace.

A trace is Python and is executed as such: it may be edited, shortened, or given loops. It can have
millions of lines, so it is compiled and executed in pieces.
"""

import ast
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from pydriver.errors import PydriverError

__all__ = ("Replay", "ReplayError", "Target")

PIECE = 1000
"""Minimum number of lines that are compiled together."""

STARTS = ("bar", "clock_step(", "config_", "expect(", "memory(", "port_", "read", "write", "#")
"""Beginnings of the lines before which a trace may be cut."""

MILLISECOND = 1_000_000

CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
CONFIG_ENABLE = 1 << 31
ECAM = 0xB0000000
PCIEXBAR, PCIEXBAR_ENABLE = 0x60, 1
"""Register of q35's host bridge that maps configuration space, and the bit that enables it."""

LETTERS = {1: "b", 2: "w", 4: "l", 8: "q"}


class ReplayError(PydriverError):
    """A trace cannot be executed; the message has the line and the reason."""


class Target(ABC):
    """The receiver of a trace's qtest commands."""

    @abstractmethod
    def start(self, memory: int, arguments: list[str]) -> None:
        """Makes the machine.

        :param memory: the size of RAM in bytes
        :param arguments: the command-line arguments of QEMU
        """

    @abstractmethod
    def command(self, *words: str) -> list[str]:
        """Executes a command and returns the words of its answer."""

    @abstractmethod
    def expect(self, value: Any, expected: Any, again: Callable[[], Any], line: int) -> None:
        """Compares a value that was read.

        :param value: the value that the device returned
        :param expected: the recorded value
        :param again: a function that reads once more
        :param line: the line of the trace
        """


class Replay:
    """The names that a trace uses, and its execution.

    :param path: the path of the trace
    :param target: the receiver of its accesses
    :ivar accesses: the number of accesses made
    """

    def __init__(self, path: Path, target: Target) -> None:
        self.accesses = 0
        self._path = path
        self._target = target
        self._first = 0
        self._lines: list[str] = []
        self._mapped = False
        self._again: Callable[[], Any] = int
        self._names: dict[str, Any] = {
            "__name__": "pydriver.replay.trace",
            "__file__": str(path),
            "machine": self._machine,
            "memory": self._memory,
            "clock_step": self._clock_step,
            "expect": self._expect,
            "read_block": self._read_block,
            "write_block": self._write_block,
            "port_in": self._port_in,
            "port_out": self._port_out,
        }
        for width in LETTERS:
            self._names[f"read{8 * width}"] = self._reader(width)
            self._names[f"write{8 * width}"] = self._writer(width)
            self._names[f"config_write{8 * width}"] = self._config_writer(width)

    def run(self) -> None:
        """Executes the trace.

        :raises ReplayError: the file is not a trace, or a statement of it fails
        """
        try:
            with self._path.open(encoding="utf-8") as file:
                for self._first, self._lines in _pieces(file):
                    self._execute()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ReplayError(f"cannot read {self._path}: {reason}") from error

    def source(self, line: int) -> str:
        """Returns a line of the piece that is being executed, or was executed last."""
        index = line - self._first - 1
        return self._lines[index].strip() if 0 <= index < len(self._lines) else ""

    def _execute(self) -> None:
        path = str(self._path)
        try:
            tree = ast.parse("".join(self._lines), path)
            code = compile(ast.increment_lineno(tree, self._first), path, "exec")
        except (SyntaxError, ValueError) as error:
            line = self._first + (getattr(error, "lineno", None) or 1)
            raise ReplayError(f"{path}:{line}: this is not a register trace: {error}") from error
        try:
            exec(code, self._names)
        except Exception as error:
            line = self._line_of(error.__traceback__)
            reason = str(error)
            if not isinstance(error, PydriverError):
                reason = f"{type(error).__name__}: {reason}"
            statement = self.source(line).partition("  # ")[0]
            raise ReplayError(f"{path}:{line}: {statement}: {reason}") from error

    def _line_of(self, traceback: TracebackType | None) -> int:
        """Returns the trace's line in which an exception was raised."""
        line = 0
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == str(self._path):
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        return line

    # The functions of a trace

    def _machine(self, *, memory: int, arguments: list[str]) -> None:
        self._target.start(memory, arguments)

    def _memory(self, address: int, data: str) -> None:
        self._target.command("write", hex(address), hex(len(data) // 2), f"0x{data}")

    def _clock_step(self, ns: int) -> None:
        # A device that counts in milliseconds, as edu does, may be late by one.
        slack = MILLISECOND if ns >= MILLISECOND else 0
        if ns + slack:
            self._target.command("clock_step", str(ns + slack))

    def _expect(self, value: Any, expected: Any) -> None:
        self._target.expect(value, expected, self._again, _line())

    def _get(self, read: Callable[[], Any]) -> Any:
        self.accesses += 1
        self._again = read
        return read()

    def _reader(self, width: int) -> Callable[[int], int]:
        name = f"read{LETTERS[width]}"
        command = self._target.command

        def read(address: int) -> int:
            return self._get(lambda: int(command(name, hex(address))[0], 0))  # type: ignore[no-any-return]

        return read

    def _writer(self, width: int) -> Callable[[int, int], None]:
        name = f"write{LETTERS[width]}"
        command = self._target.command

        def write(address: int, value: int) -> None:
            self.accesses += 1
            command(name, hex(address), hex(value))

        return write

    def _read_block(self, address: int, width: int, count: int) -> str:
        name = f"read{LETTERS[width]}"

        def read() -> str:
            values = [
                int(self._target.command(name, hex(at))[0], 0)
                for at in range(address, address + width * count, width)
            ]
            return b"".join(value.to_bytes(width, "little") for value in values).hex()

        return self._get(read)  # type: ignore[no-any-return]

    def _write_block(self, address: int, width: int, data: str) -> None:
        self.accesses += 1
        values = bytes.fromhex(data)
        for at in range(0, len(values), width):
            value = int.from_bytes(values[at : at + width], "little")
            self._target.command(f"write{LETTERS[width]}", hex(address + at), hex(value))

    def _port_in(self, port: int, width: int) -> int:
        name = f"in{LETTERS[width]}"
        return self._get(lambda: int(self._target.command(name, hex(port))[0], 0))  # type: ignore[no-any-return]

    def _port_out(self, port: int, width: int, value: int) -> None:
        self.accesses += 1
        self._target.command(f"out{LETTERS[width]}", hex(port), hex(value))

    def _config_writer(self, width: int) -> Callable[[str, int, int], None]:
        def write(slot: str, offset: int, value: int) -> None:
            self.accesses += 1
            bus, _, place = slot.partition(":")
            device, _, function = place.partition(".")
            function_offset = int(bus, 16) << 16 | int(device, 16) << 11 | int(function) << 8
            if offset < 0x100:
                self._select(function_offset | offset & 0xFC)
                self._out(CONFIG_DATA + offset % 4, width, value)
                return
            self._map_configuration()
            address = ECAM + (function_offset << 4) + offset
            self._target.command(f"write{LETTERS[width]}", hex(address), hex(value))

        return write

    def _map_configuration(self) -> None:
        """Maps configuration space, because ports reach only 256 bytes of each function."""
        if not self._mapped:
            self._select(PCIEXBAR)
            self._out(CONFIG_DATA, 4, ECAM | PCIEXBAR_ENABLE)
            self._mapped = True

    def _select(self, place: int) -> None:
        self._out(CONFIG_ADDRESS, 4, CONFIG_ENABLE | place)

    def _out(self, port: int, width: int, value: int) -> None:
        self._target.command(f"out{LETTERS[width]}", hex(port), hex(value))


def _pieces(file: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Cuts a trace between statements; yields each piece with the number of lines before it."""
    first = 0
    lines: list[str] = []
    for number, line in enumerate(file):
        if len(lines) >= PIECE and line.startswith(STARTS):
            yield first, lines
            first, lines = number, []
        lines.append(line)
    yield first, lines


def _line() -> int:
    """Returns the line of the statement that is being executed: the caller's caller."""
    return sys._getframe(2).f_lineno
