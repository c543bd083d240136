# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Bug checks, with which Windows would stop, and the report that explains them.

The four parameters are those that Windows or WDF defines for the code. Where WDF only breaks into
the debugger there is no bug check: see `pydriver.ke.verifier`.
"""

from dataclasses import dataclass
from enum import IntEnum

from pydriver.declarations.registry import enumeration
from pydriver.ke.irql import irql_name
from pydriver.place import Place

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
    "WdfViolation",
    "bug_check_name",
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


@enumeration(
    "WDF_BUGCHECK_CODES",
    "",
    names={
        "RECURSIVE_LOCK": "WDF_RECURSIVE_LOCK",
        "VERIFIER_FATAL_ERROR": "WDF_VERIFIER_FATAL_ERROR",
        "REQUIRED_PARAMETER_IS_NULL": "WDF_REQUIRED_PARAMETER_IS_NULL",
        "INVALID_HANDLE": "WDF_INVALID_HANDLE",
        "REQUEST_FATAL_ERROR": "WDF_REQUEST_FATAL_ERROR",
        "OBJECT_ERROR": "WDF_OBJECT_ERROR",
        "DMA_FATAL_ERROR": "WDF_DMA_FATAL_ERROR",
        "QUEUE_FATAL_ERROR": "WDF_QUEUE_FATAL_ERROR",
        "INVALID_LOCK_OPERATION": "WDF_INVALID_LOCK_OPERATION",
        "VERIFIER_IRQL_MISMATCH": "WDF_VERIFIER_IRQL_MISMATCH",
        "VERIFIER_CRITICAL_REGION_MISMATCH": "WDF_VERIFIER_CRITICAL_REGION_MISMATCH",
    },
    more={
        "WDF_POWER_ROUTINE_TIMED_OUT": 1,
        "WDF_INVALID_INTERRUPT": 9,
        "WDF_PNP_FATAL_ERROR": 12,
        "WDF_POWER_MULTIPLE_PPO": 13,
        "WDF_API_UNAVAILABLE": 16,
    },
)
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
    """Returns the name of a code, such as ``WDF_VIOLATION``; the number if it has no name here."""
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
"""Rules of the KMDF rule sets that this verifier checks; each has a documentation page named
``kmdf-<rule>`` [DDI Compliance Rules, KMDF]."""


@dataclass(frozen=True, kw_only=True)
class Incident:
    """The facts about a moment at which a rule was broken.

    :ivar rule: the rule, by its name in the KMDF rule sets where it has one
    :ivar message: the event, in one sentence
    :ivar subject: the object concerned; empty if there is none
    :ivar callback: the driver's callback that was running, with its line; empty if there was none
    :ivar processor: the number of the processor, or ``None`` for a passive thread on none
    :ivar irql: the IRQL of that processor at that moment
    :ivar frames: the driver's call stack, or the traceback of the exception, outermost first; for
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
    frames: tuple[Place, ...]
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
        """The rule that a report names as broken."""
        return self.rule

    def lines(self, title: str, *, events: bool) -> list[str]:
        """Returns all facts as lines, under a title."""
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
    """All facts about a bug check.

    :ivar code: the bug check code of Windows
    :ivar parameters: the four parameters, as Windows documents them for the code
    """

    code: int
    parameters: tuple[int, int, int, int]

    @property
    def name(self) -> str:
        """The name of the code, such as ``WDF_VIOLATION``."""
        return bug_check_name(self.code)

    @property
    def cause(self) -> str:
        """The rule; if there is none, the name of parameter 1 of WDF_VIOLATION, or of the code."""
        names = WDF_VIOLATION_NAMES if self.code == WDF_VIOLATION else {}
        return self.rule or names.get(self.parameters[0], self.name)

    def report(self) -> str:
        """The whole report, for people."""
        parameters = ", ".join(f"0x{value:X}" for value in self.parameters)
        title = f"*** BUG CHECK 0x{self.code:X} {self.name} ({parameters})"
        return "\n".join(self.lines(title, events=True))


class BugCheck(BaseException):
    """The system has stopped. Not an ``Exception``, so that a driver that catches those stops too.

    :ivar state: the facts that the report shows
    """

    def __init__(self, state: BugCheckState) -> None:
        super().__init__(state)
        self.state = state

    @property
    def code(self) -> int:
        """The bug check code of Windows."""
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
