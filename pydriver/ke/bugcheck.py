# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Bug checks: what Windows would stop with, and the report that says why.

Where Windows or WDF defines the four parameters, they are those. Where WDF only breaks into the
debugger (a rule of the KMDF verifier, or of the static rules), the code is 0xC4,
DRIVER_VERIFIER_DETECTED_VIOLATION, with parameter 1 as listed in the Windows documentation or 0,
parameter 2 the current IRQL, and the rule's name in the report.
"""

import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from pydriver.ke.irql import irql_name

__all__ = (
    "ATTEMPTED_SWITCH_FROM_DPC",
    "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
    "DRIVER_POWER_STATE_FAILURE",
    "DRIVER_VERIFIER_DETECTED_VIOLATION",
    "IRQL_NOT_LESS_OR_EQUAL",
    "KMODE_EXCEPTION_NOT_HANDLED",
    "PAGE_FAULT_IN_NONPAGED_AREA",
    "PYTHON_EXCEPTION",
    "SPIN_LOCK_ALREADY_OWNED",
    "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
    "TIMER_OR_DPC_INVALID",
    "UNEXPECTED_KERNEL_MODE_TRAP",
    "WDF_VIOLATION",
    "BugCheck",
    "BugCheckState",
    "bug_check_name",
    "driver_stack",
)

IRQL_NOT_LESS_OR_EQUAL = 0x0A
SPIN_LOCK_ALREADY_OWNED = 0x0F
KMODE_EXCEPTION_NOT_HANDLED = 0x1E
PAGE_FAULT_IN_NONPAGED_AREA = 0x50
SYSTEM_THREAD_EXCEPTION_NOT_HANDLED = 0x7E
UNEXPECTED_KERNEL_MODE_TRAP = 0x7F
DRIVER_POWER_STATE_FAILURE = 0x9F
ATTEMPTED_SWITCH_FROM_DPC = 0xB8
DRIVER_VERIFIER_DETECTED_VIOLATION = 0xC4
TIMER_OR_DPC_INVALID = 0xC7
DRIVER_IRQL_NOT_LESS_OR_EQUAL = 0xD1
WDF_VIOLATION = 0x10D

_NAMES = {value: name for name, value in globals().items() if name.isupper() and name[0] != "_"}

PYTHON_EXCEPTION = 0xE0507945
"""Parameter 1 of 0x1E and 0x7E for a Python exception: customer bit, and "Pye"."""

REPORTED_EVENTS = 32


def bug_check_name(code: int) -> str:
    """``WDF_VIOLATION``; the number if it has no name here."""
    return _NAMES.get(code, f"0x{code:X}")


@dataclass(frozen=True)
class BugCheckState:
    """Everything that is known about a bug check.

    :ivar code: Windows' bug check code
    :ivar parameters: four, as Windows documents them for the code
    :ivar rule: the rule that was broken, by its name in the KMDF rule sets where it has one
    :ivar message: what happened, in one sentence
    :ivar callback: the driver's callback that was running, with its line; empty if none
    :ivar processor: number, or ``None`` for a passive thread on none
    :ivar irql: of that processor when it happened
    :ivar stack: the driver's call stack, or the traceback of the exception, as lines
    :ivar events: the recorder's last events, as lines
    """

    code: int
    parameters: tuple[int, int, int, int]
    rule: str
    message: str
    callback: str
    processor: int | None
    irql: int
    stack: tuple[str, ...]
    events: tuple[str, ...]

    @property
    def name(self) -> str:
        """The code's name, ``WDF_VIOLATION``."""
        return bug_check_name(self.code)

    def report(self) -> str:
        """All of it, for people."""
        parameters = ", ".join(f"0x{value:X}" for value in self.parameters)
        where = "no processor" if self.processor is None else f"processor {self.processor}"
        lines = [
            f"*** BUG CHECK 0x{self.code:X} {self.name} ({parameters})",
            f"    {self.message}",
            f"    rule:      {self.rule or '-'}",
            f"    callback:  {self.callback or '-'}",
            f"    at:        {where}, {irql_name(self.irql)}",
        ]
        if self.stack:
            lines += ["    driver's stack:", *(f"      {line}" for line in self.stack)]
        lines += [f"    the last {len(self.events)} events:", *(f"      {e}" for e in self.events)]
        return "\n".join(lines)


class BugCheck(BaseException):
    """The system has stopped. Not an ``Exception``: a driver that catches those must not go on.

    :ivar state: what the report says
    """

    def __init__(self, state: BugCheckState) -> None:
        super().__init__(state)
        self.state = state

    @property
    def code(self) -> int:
        """Windows' bug check code."""
        return self.state.code

    @property
    def parameters(self) -> tuple[int, int, int, int]:
        """The four parameters."""
        return self.state.parameters

    @property
    def rule(self) -> str:
        """The rule that was broken."""
        return self.state.rule

    @property
    def report(self) -> str:
        """The whole report."""
        return self.state.report()

    def __str__(self) -> str:
        return self.state.report()


_PACKAGE = Path(__file__).resolve().parent.parent
_FRAMEWORK = tuple(
    str(_PACKAGE / folder) + "/"
    for folder in ("abi", "machine", "link", "pci", "ke", "wdf", "trace")
)


def _is_driver(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith((*_FRAMEWORK, "<"))


def _name(frame: FrameType) -> str:
    code = frame.f_code
    name = getattr(code, "co_qualname", code.co_name)
    return f"{name} ({Path(code.co_filename).name}:{frame.f_lineno})"


def driver_stack(tb: TracebackType | None = None) -> tuple[str, tuple[str, ...]]:
    """Finds the callback that is running: the driver's innermost run of frames.

    :param tb: of an exception that left the callback; without it, the caller's stack is searched
    :return: the callback with its line, and the run of frames as lines, outermost first
    """
    frames: list[FrameType] = []
    if tb is not None:
        found: list[tuple[FrameType, int]] = list(traceback.walk_tb(tb))
        frames = [frame for frame, _ in found]
    else:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        frames.reverse()
    run: list[FrameType] = []
    for frame in reversed(frames):
        if _is_driver(frame):
            run.append(frame)
        elif run:
            break
    run.reverse()
    return (_name(run[0]) if run else "", tuple(_name(frame) for frame in run))
