# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A test and its system: the failures in the test, and whether the test expected them."""

from enum import IntEnum
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from pydriver.errors import MachineDied, MachineError
from pydriver.ke import BugCheck, VerifierError
from pydriver.testing.evidence import keep_evidence

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pydriver.ke import Violation
    from pydriver.system import System
    from pydriver.trace.recorder import Entry, Event, Recorder

__all__ = ("Fate", "RecorderSlice", "Watch")


class Fate(IntEnum):
    """The fate of a system after the test. It only gets worse."""

    SHARED = 0
    """drivers are unloaded, and another test gets it"""
    SPENT = 1
    """drivers are unloaded, and it ends"""
    BROKEN = 2
    """a driver may wait for an event that never comes: the power is cut"""


class RecorderSlice:
    """The events of the recorder since a test began; the recorder itself spans all tests.

    :param recorder: the recorder of the system
    """

    def __init__(self, recorder: "Recorder") -> None:
        self._recorder = recorder
        self._start = perf_counter_ns()

    def last(self, count: int | None = None) -> "list[Entry]":
        """Returns the test's last ``count`` entries, oldest first; by default all that are kept."""
        entries = [each for each in self._recorder.last() if each[0] >= self._start]
        return entries if count is None else entries[-count:] if count else []

    def format(self, count: int | None = None) -> list[str]:
        """Returns the same entries as lines, with times relative to the newest one."""
        return self._recorder.format(len(self.last(count)))

    def count(self, event: "Event") -> int:
        """Counts the entries of the test that are of a kind."""
        return sum(each[1] == event for each in self.last())


class Watch:
    """The effects of a test on its system.

    :param item: the test
    :param system: the system that the test was given
    :param events: most events of the recorder in the report of the test
    :param crashes: the folder for crash directories
    :ivar recorder: the events that were recorded in the test
    :ivar fate: the fate of the system
    :ivar known: the failure of the system, if the test expected it or it has been reported
    :ivar doomed: whether the test ends the system, and checks that itself
    :ivar failed: whether the test has failed
    :ivar unexpected: the violations that were found while the test waited for others
    :ivar objects: the objects that the test was given, by the names of the fixtures
    """

    def __init__(self, item: "pytest.Item", system: "System", events: int, crashes: "Path") -> None:
        self.item = item
        self.system = system
        self.recorder = RecorderSlice(system.kernel.recorder)
        self.fate = Fate.SHARED
        self.known: BaseException | None = None
        self.doomed = False
        self.failed = False
        self.unexpected: list[Violation] = []
        self.objects: dict[str, Any] = {"system": system, "machine": system.machine}
        self._events = events
        self._crashes = crashes
        self._log_start = system.machine.log_size
        self._clock = system.kernel.timers.clock
        self._told: list[tuple[str, str]] = []
        self._slices: list[tuple[str, str]] | None = None

    def worsen(self, fate: Fate) -> None:
        """Sets the fate, if it is worse than the present one."""
        self.fate = max(self.fate, fate)

    def restore_clock(self) -> None:
        """Gives the timers back the clock that they had before the test."""
        timers = self.system.kernel.timers
        if timers.clock is not self._clock:
            timers.use(self._clock)

    # Failures

    @property
    def failure(self) -> BaseException | None:
        """The error that ended the system, as far as the system knows."""
        return self.system.kernel.failure

    def _death(self) -> MachineDied | None:
        """Returns the end of QEMU, if it does not answer; the kernel may not know of it yet."""
        machine = self.system.machine
        try:
            machine.qmp("query-status")
        except MachineDied as died:
            return died
        except MachineError:
            return machine.death()
        return None

    def take_violations(self) -> "list[Violation]":
        """Returns the violations since the last call, or since the test began."""
        verifier = self.system.kernel.verifier
        found = list(verifier.violations)
        verifier.clear()
        return found

    def verdict(self, error: BaseException | None = None) -> str:
        """Returns a report of failures that the test did not expect; empty if there are none.

        Each is reported only once.

        :param error: the error with which the test failed; the report does not repeat it
        """
        if self._slices is not None:
            return ""  # the system has ended, or is another test's
        failure = self.failure or self._death()
        if self.doomed and failure is not None:
            self.worsen(Fate.BROKEN)
            return ""
        titles: list[str] = []
        found: list[str] = []
        said = False
        if failure is not None:
            self.worsen(Fate.BROKEN)
            if self.known is None:
                self.known = failure
                found.append(_describe(failure))
                said = str(error) == str(failure)
                titles.append(_title(failure))
        violations = [*self.unexpected, *self.take_violations()]
        self.unexpected.clear()
        found += [each.report() for each in violations]
        titles += [f"violation of {each.rule}" for each in violations]
        if not found:
            return ""
        self.worsen(Fate.SPENT)
        title = f"unexpected {', '.join(titles)} in {self.item.nodeid}"
        report = "\n".join([title, *found])
        cause = VerifierError(violations) if failure is None else failure
        evidence = keep_evidence(self.item.nodeid, self.system, cause, self._crashes)
        return "\n".join([title, *found[1:], evidence] if said else [report, evidence])

    def test_failed(self, error: BaseException) -> None:
        """Notes that the test has failed, so that no other test gets its system."""
        self.failed = True
        self.worsen(Fate.BROKEN)
        verdict = self.verdict(error)
        if verdict:
            self._told.append(("pydriver", verdict))

    # Reports

    def sections(self) -> list[tuple[str, str]]:
        """Returns the sections of a report: recorder events and QEMU's output in this test."""
        slices = self._current_slices() if self._slices is None else self._slices
        return [*self._told, *slices]

    def close(self) -> None:
        """Keeps the sections as they are, before the system is given to another test or ends."""
        self._slices = self._current_slices()

    def _current_slices(self) -> list[tuple[str, str]]:
        return [
            (title, "\n".join(lines))
            for title, lines in (
                ("pydriver recorder", self.recorder.format(self._events)),
                ("pydriver QEMU log", self.system.machine.log(self._log_start)),
            )
            if lines
        ]


def _title(failure: BaseException) -> str:
    if isinstance(failure, BugCheck):
        return f"bug check 0x{failure.code:X} {failure.state.name}"
    return "end of QEMU" if isinstance(failure, MachineDied) else "failure of the link"


def _describe(failure: BaseException) -> str:
    if isinstance(failure, BugCheck):
        return failure.report
    if isinstance(failure, MachineDied):
        return f"*** QEMU DIED\n    {failure}"
    return f"*** THE LINK TO THE GUEST FAILED\n    {type(failure).__name__}: {failure}"
