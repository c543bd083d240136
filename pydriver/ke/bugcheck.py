# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Bug checks: what Windows would stop with, and the report that says why.

The four parameters are those that Windows or WDF defines for the code. Where WDF only breaks into
the debugger there is no bug check: see `pydriver.ke.verifier`.
"""

import contextlib
import linecache
import sys
import traceback
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, partial
from pathlib import Path
from types import CodeType, FrameType, FunctionType, MethodType, TracebackType
from typing import Self

from pydriver.ke.irql import irql_name

__all__ = (
    "ATTEMPTED_SWITCH_FROM_DPC",
    "DPC_WATCHDOG_VIOLATION",
    "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
    "DRIVER_POWER_STATE_FAILURE",
    "DRIVER_VERIFIER_DETECTED_VIOLATION",
    "IRQL_NOT_LESS_OR_EQUAL",
    "KMODE_EXCEPTION_NOT_HANDLED",
    "PAGE_FAULT_IN_NONPAGED_AREA",
    "PYTHON_EXCEPTION",
    "SPIN_LOCK_ALREADY_OWNED",
    "SPIN_LOCK_NOT_OWNED",
    "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
    "TIMER_OR_DPC_INVALID",
    "UNEXPECTED_KERNEL_MODE_TRAP",
    "WDF_VIOLATION",
    "WDF_VIOLATION_NAMES",
    "BugCheck",
    "BugCheckState",
    "Incident",
    "StackFrame",
    "WdfViolation",
    "bug_check_name",
    "callback_name",
    "callback_place",
    "driver_frames",
    "is_driver_file",
    "is_driver_frame",
)

IRQL_NOT_LESS_OR_EQUAL = 0x0A
SPIN_LOCK_ALREADY_OWNED = 0x0F
SPIN_LOCK_NOT_OWNED = 0x10
KMODE_EXCEPTION_NOT_HANDLED = 0x1E
PAGE_FAULT_IN_NONPAGED_AREA = 0x50
SYSTEM_THREAD_EXCEPTION_NOT_HANDLED = 0x7E
UNEXPECTED_KERNEL_MODE_TRAP = 0x7F
DRIVER_POWER_STATE_FAILURE = 0x9F
ATTEMPTED_SWITCH_FROM_DPC = 0xB8
DRIVER_VERIFIER_DETECTED_VIOLATION = 0xC4
TIMER_OR_DPC_INVALID = 0xC7
DRIVER_IRQL_NOT_LESS_OR_EQUAL = 0xD1
DPC_WATCHDOG_VIOLATION = 0x133
WDF_VIOLATION = 0x10D

_NAMES = {value: name for name, value in globals().items() if name.isupper() and name[0] != "_"}


class WdfViolation(IntEnum):
    """Parameter 1 of WDF_VIOLATION [WDF_BUGCHECK_CODES]."""

    RECURSIVE_LOCK = 2
    VERIFIER_FATAL_ERROR = 3
    """a request is completed, and its memory is referenced"""
    REQUIRED_PARAMETER_IS_NULL = 4
    INVALID_HANDLE = 5
    REQUEST_FATAL_ERROR = 6
    OBJECT_ERROR = 7
    DMA_FATAL_ERROR = 8
    """the state of a transaction forbids the call"""
    QUEUE_FATAL_ERROR = 0xA
    INVALID_LOCK_OPERATION = 0xB
    VERIFIER_IRQL_MISMATCH = 0xE
    """a callback returned at another IRQL"""
    VERIFIER_CRITICAL_REGION_MISMATCH = 0xF
    """a callback has entered or left a critical region"""


PYTHON_EXCEPTION = 0xE0507945
"""Parameter 1 of 0x1E and 0x7E for a Python exception: customer bit, and "Pye"."""

WDF_VIOLATION_NAMES = {
    0x1: "POWER_ROUTINE_TIMED_OUT",
    0x2: "RECURSIVE_LOCK",
    0x3: "VERIFIER_FATAL_ERROR",
    0x4: "REQUIRED_PARAMETER_IS_NULL",
    0x5: "INVALID_HANDLE",
    0x6: "REQUEST_FATAL_ERROR",
    0x7: "OBJECT_ERROR",
    0x8: "DMA_FATAL_ERROR",
    0xA: "QUEUE_FATAL_ERROR",
    0xB: "INVALID_LOCK_OPERATION",
    0xC: "PNP_FATAL_ERROR",
    0xD: "POWER_MULTIPLE_PPO",
    0xE: "VERIFIER_IRQL_MISMATCH",
    0xF: "VERIFIER_CRITICAL_REGION_MISMATCH",
    0x10: "API_UNAVAILABLE",
}
"""Parameter 1 of WDF_VIOLATION [Bug Check 0x10D]."""

REPORTED_EVENTS = 32
REPORTED_FRAMES = 12


def bug_check_name(code: int) -> str:
    """``WDF_VIOLATION``; the number if it has no name here."""
    return _NAMES.get(code, f"0x{code:X}")


KMDF_RULES = frozenset(
    {
        "BufAfterReqCompletedIntIoctl",
        "BufAfterReqCompletedIoctl",
        "BufAfterReqCompletedRead",
        "BufAfterReqCompletedWrite",
        "ChangeQueueState",
        "CompleteCanceledReq",
        "DoubleCompletion",
        "DrvAckIoStop",
        "EvtIoStopCompleteOrStopAck",
        "EvtIoStopResume",
        "EvtSurpriseRemoveNoSuspendQueue",
        "FileObjectConfigured",
        "InputBufferAPI",
        "InvalidReqAccess",
        "KmdfIrql",
        "KmdfIrql2",
        "MarkCancOnCancReqLocal",
        "MdlAfterReqCompletedIoctl",
        "MdlAfterReqCompletedRead",
        "MemAfterReqCompletedIoctl",
        "MemAfterReqCompletedRead",
        "MemAfterReqCompletedWrite",
        "NoIoQueuePurgeSynchronously",
        "OutputBufferAPI",
        "ReqDelete",
        "ReqIsCancOnCancReq",
        "ReqMarkCancelableSend",
        "RequestCompleted",
        "RequestGetStatusValid",
        "Spinlock",
        "SpinlockRelease",
        "StopAckWithinEvtIoStop",
        "WdfInterruptLock",
        "WdfInterruptLockRelease",
        "WdfIoQueueRetrieveFoundRequest",
        "WdfIoQueueRetrieveNextRequest",
        "WdfSpinlock",
        "WdfSpinlockRelease",
        "WdfWaitlock",
        "WdfWaitlockRelease",
    }
)
"""Rules of the KMDF rule sets that this verifier checks; each has a documentation page of its
name, ``kmdf-<rule>`` [DDI Compliance Rules, KMDF]."""


@dataclass(frozen=True)
class StackFrame:
    """A line of a driver.

    :ivar function: that the line is in, by its qualified name
    :ivar file: full path
    :ivar line: from 1
    """

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.function} ({Path(self.file).name}:{self.line})"

    @property
    def source(self) -> str:
        """The text of the line, without its indentation; empty if the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()

    @classmethod
    def of(cls, code: CodeType, line: int) -> Self:
        """A line of a function's code."""
        return cls(getattr(code, "co_qualname", code.co_name), code.co_filename, line)

    @classmethod
    def at(cls, code: CodeType, instruction: int) -> Self:
        """The line of an instruction, which is a frame's ``f_lasti``.

        Its ``f_lineno`` is searched for each time that it is read: too dear to be noted often.
        """
        for start, end, line in code.co_lines():
            if start <= instruction < end and line is not None:
                return cls.of(code, line)
        return cls.of(code, code.co_firstlineno)


@dataclass(frozen=True, kw_only=True)
class Incident:
    """What is known about a moment at which a rule was broken.

    :ivar rule: the rule, by its name in the KMDF rule sets where it has one
    :ivar message: what happened, in one sentence
    :ivar subject: the object that it is about; empty if none
    :ivar callback: the driver's callback that was running, with its line; empty if none
    :ivar processor: number, or ``None`` for a passive thread on none
    :ivar irql: of that processor when it happened
    :ivar frames: the driver's call stack, or the traceback of the exception, outermost first; of
        a callback that has returned, the line that made its return wrong
    :ivar objects: the state of the objects that were involved, as lines
    :ivar events: the recorder's last events, as lines
    """

    rule: str
    message: str
    subject: str
    callback: str
    processor: int | None
    irql: int
    frames: tuple[StackFrame, ...]
    objects: tuple[str, ...]
    events: tuple[str, ...]

    @property
    def stack(self) -> tuple[str, ...]:
        """The frames as lines."""
        return tuple(map(str, self.frames))

    @property
    def page(self) -> str:
        """The rule's page in the driver documentation, ``kmdf-kmdfirql``; empty if none."""
        return f"kmdf-{self.rule.lower()}" if self.rule in KMDF_RULES else ""

    @property
    def cause(self) -> str:
        """What a report names as broken: the rule."""
        return self.rule

    def lines(self, title: str, *, events: bool) -> list[str]:
        """All of it as lines, under a title."""
        where = "no processor" if self.processor is None else f"processor {self.processor}"
        page = f" (documented as {self.page})" if self.page else ""
        lines = [
            title,
            f"    {self.message}",
            f"    rule:      {self.cause}{page}",
            *([f"    object:    {self.subject}"] if self.subject else ()),
            f"    callback:  {self.callback or '-'}",
            f"    at:        {where}, {irql_name(self.irql)}",
        ]
        if self.frames:
            outer = len(self.frames) - REPORTED_FRAMES
            lines.append("    driver's stack:")
            lines += [f"      {outer} more, then:"] if outer > 0 else []
            for each in self.frames[-REPORTED_FRAMES:]:
                lines += [f"      {each}", *([f"        {each.source}"] if each.source else ())]
        if events and self.objects:
            lines += ["    objects:", *(f"      {line}" for line in self.objects)]
        if events:
            lines.append(f"    the last {len(self.events)} events:")
            lines += [f"      {each}" for each in self.events]
        return lines


@dataclass(frozen=True, kw_only=True)
class BugCheckState(Incident):
    """Everything that is known about a bug check.

    :ivar code: Windows' bug check code
    :ivar parameters: four, as Windows documents them for the code
    """

    code: int
    parameters: tuple[int, int, int, int]

    @property
    def name(self) -> str:
        """The code's name, ``WDF_VIOLATION``."""
        return bug_check_name(self.code)

    @property
    def cause(self) -> str:
        """The rule; without one Windows' name of parameter 1 of WDF_VIOLATION, or of the code."""
        names = WDF_VIOLATION_NAMES if self.code == WDF_VIOLATION else {}
        return self.rule or names.get(self.parameters[0], self.name)

    def report(self) -> str:
        """All of it, for people."""
        parameters = ", ".join(f"0x{value:X}" for value in self.parameters)
        title = f"*** BUG CHECK 0x{self.code:X} {self.name} ({parameters})"
        return "\n".join(self.lines(title, events=True))


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


GENERATED = "<DDI "
"""How the names of the files begin that the DDIs' checks are compiled from."""

_PACKAGE = Path(__file__).resolve().parent.parent
_FRAMEWORK = (
    *(
        str(_PACKAGE / folder) + "/"
        for folder in (
            "abi",
            "machine",
            "link",
            "system",
            "timeline",
            "pci",
            "ke",
            "wdf",
            "crash",
            "trace",
            "debug",
            "testing",
        )
    ),
    GENERATED,
    str(_PACKAGE / "ddi.py"),
)


@cache
def is_driver_file(name: str) -> bool:
    """Whether a file has a driver's code, or an application's: none of ours."""
    return not name.startswith(_FRAMEWORK)


def is_driver_frame(frame: FrameType) -> bool:
    """Whether a frame runs a driver's code, or an application's: none of ours."""
    return is_driver_file(frame.f_code.co_filename)


def _is_nobodys(frame: FrameType) -> bool:
    """What starts a thread of the host, or a test, is nobody's callback."""
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in ("threading", "_pytest", "pluggy")


def callback_name(callback: object) -> str:
    """How a driver calls a callback, for a message."""
    while isinstance(callback, partial):
        callback = callback.func
    return getattr(callback, "__qualname__", None) or type(callback).__qualname__


def callback_place(callback: object) -> StackFrame | None:
    """Where a driver defines a callback.

    :param callback: it, or a routine of the framework that calls it
    :return: ``None`` if it is not written in Python
    """
    seen: set[int] = set()
    found = [callback]
    while found:
        each = found.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, partial):
            found += [each.func, *each.args]
        elif isinstance(each, MethodType):
            found += [each.__func__, getattr(each.__self__, "_routine", None)]
        elif isinstance(each, FunctionType):
            code = each.__code__
            if is_driver_file(code.co_filename):
                return StackFrame.of(code, code.co_firstlineno)
            for cell in each.__closure__ or ():
                with contextlib.suppress(ValueError):  # it is empty
                    found.append(cell.cell_contents)
    return None


def driver_frames(
    tb: TracebackType | None = None, frame: FrameType | None = None
) -> list[tuple[FrameType, int]]:
    """Finds the callback that is running: the driver's innermost run of frames.

    :param tb: of an exception that left the callback; without it, a stack is searched
    :param frame: the innermost one of that stack; without it, the caller's
    :return: the frames with their lines, outermost first
    """
    frames: list[tuple[FrameType, int]] = []
    if tb is not None:
        frames += traceback.walk_tb(tb)
    else:
        frames += traceback.walk_stack(frame or sys._getframe(1))
        frames.reverse()
    run: list[tuple[FrameType, int]] = []
    for each, line in reversed(frames):
        if is_driver_frame(each) and not _is_nobodys(each):
            run.append((each, line))
        elif run:
            break
    run.reverse()
    return run
