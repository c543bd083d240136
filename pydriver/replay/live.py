# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A new device, on which the accesses of a register trace are made again.

Its clock is stepped by the time that was recorded between two accesses. Work that a device does in
a thread of QEMU, such as a disk read, takes real time instead; so a register that does not yet have
the recorded value is read again for a while.
"""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from pydriver.machine.binary import default_qemu
from pydriver.machine.qtest import QtestMachine
from pydriver.replay.session import ReplayError, Target

__all__ = ("Difference", "LiveTarget")

PATIENCE = 1.0
"""Seconds in which a register must get its value."""
PAUSE = 0.001
PAUSE_NS = 10_000
"""Nanoseconds by which the device's clock is stepped before each further read."""
VAIN_WAITS = 3
"""Number of futile waits after which no wait is made any more: the device is another one."""


class Difference(NamedTuple):
    """A register whose value differs from the recorded one.

    :ivar line: the line of the trace
    :ivar value: the value that the new device returned
    :ivar recorded: the value in the trace
    """

    line: int
    value: int | str
    recorded: int | str


class LiveTarget(Target):
    """QEMU, as a context manager.

    :param qemu: the binary; ``None`` for the one that ``make qemu`` built
    :param found: a function that is called with each difference
    :ivar compared: the number of values compared
    :ivar differences: the number of those that differed
    :ivar late: the number of those that were right only after a while
    """

    def __init__(self, qemu: Path | None, found: Callable[[Difference], None]) -> None:
        self.compared = self.differences = self.late = 0
        self._binary = str(qemu or default_qemu())
        self._found = found
        self._machine: QtestMachine | None = None
        self._waits = VAIN_WAITS
        self._ahead = 0
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, memory: int, arguments: list[str]) -> None:
        """Starts QEMU."""
        if self._machine is not None:
            raise ReplayError("a trace has one machine")
        self._machine = QtestMachine(self._binary, *arguments, ram_size=memory)
        self._stack.callback(self._machine.kill)

    def command(self, *words: str) -> list[str]:
        """Makes QEMU execute a command."""
        machine = self._machine
        if machine is None:
            raise ReplayError("an access before `machine(...)`")
        if words[0] == "clock_step":
            return self._step(machine, int(words[1]))
        return machine.command(*words)

    def expect(self, value: Any, expected: Any, again: Callable[[], Any], line: int) -> None:
        """Compares a value, and reads it again for a while if it differs."""
        self.compared += 1
        if value == expected:
            return
        first = value
        deadline = time.monotonic() + PATIENCE
        while self._waits and value != expected and time.monotonic() < deadline:
            time.sleep(PAUSE)
            assert self._machine is not None
            self._machine.step(PAUSE_NS)
            self._ahead += PAUSE_NS
            value = again()
        if value == expected:
            self.late += 1
            return
        self._waits = max(0, self._waits - 1)
        self.differences += 1
        self._found(Difference(line, first, expected))

    def _step(self, machine: QtestMachine, ns: int) -> list[str]:
        known = min(ns, self._ahead)
        self._ahead -= known
        if ns > known:
            machine.step(ns - known)
        return []
