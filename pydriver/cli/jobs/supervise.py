# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The main thread of a command: starts its job, watches it, and reports how it ended.

Exit codes: 0 correct; 1 not; 128 + n for signal n. A mistake of the user is a click.UsageError,
which ends with 2.
"""

import contextlib
import signal
from collections.abc import Callable
from time import monotonic

import click

from pydriver.cli.console import say
from pydriver.cli.instruments import Instruments
from pydriver.cli.jobs.job import Job, JobPhase
from pydriver.cli.progress import Progress, make_progress
from pydriver.cli.report import CORRECT
from pydriver.cli.signals import Signals
from pydriver.errors import ConfigurationError, MachineDied, PydriverError
from pydriver.ke import BugCheck, VerifierError

__all__ = ("run_command",)

WRONG_EXIT = 1
SIGNAL_EXIT = 128

STALL = 10.0
"""Seconds without a completed request, or that the driver takes to end."""
START = 40.0
"""Seconds that the system takes to start; the link gives the guest 20 of them."""
GRACE = 1.5
"""Seconds that a job has to end without power before the process ends without it."""
CUT_INTERVAL = 0.05
IDLE_INTERVAL = 1.0

CRASHES = (BugCheck, VerifierError, MachineDied)
"""The errors for which a crash directory is written."""

ENDINGS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "terminated: the terminal is gone",
}


class Supervisor:
    """Runs a job: shows its progress, and ends it when nothing moves or a signal arrives.

    :param job: the job to run
    :param signals: the signals that end it
    """

    def __init__(self, job: Job, signals: Signals) -> None:
        self._job = job
        self._signals = signals
        self._progress: Progress = make_progress()
        self._step = job.step
        self._completed = 0
        self._still = 0.0

    def run(self) -> str:
        """Runs the job to its end.

        :return: a sentence about what stopped moving; empty if nothing did
        """
        job = self._job
        job.start()
        try:
            stall = self._watch()
        finally:
            self._progress.end()
        if stall:
            job.keep_stall(stall)
        deadline = monotonic() + GRACE
        while not job.over and monotonic() < deadline:
            # Again and again: it may be about to switch the power on.
            job.cut()
            self._signals.wait(CUT_INTERVAL)
        if job.over:
            job.join()  # it has nothing left to do but to end
        return stall

    def _watch(self) -> str:
        job, signals, progress = self._job, self._signals, self._progress
        before = monotonic()
        while not job.over and signals.received is None:
            signals.wait(IDLE_INTERVAL if job.step.phase is JobPhase.IDLE else progress.interval)
            now = monotonic()
            # This process may have been stopped for hours: that does not count.
            if stall := self._find_stall(min(now - before, IDLE_INTERVAL)):
                return stall
            before = now
            progress.show(job.done, stopped=job.stopped)
        return ""

    def _find_stall(self, seconds: float) -> str:
        """Counts the seconds in which nothing moved; returns a sentence when there are too many."""
        job = self._job
        if job.step is not self._step:
            self._step = job.step
            self._still = 0.0
            if self._step.title:
                self._progress.begin(self._step.title, self._step.size)
        completed = job.completed
        if completed != self._completed or job.stopped or not self._must_move():
            self._completed = completed
            self._still = 0.0
            return ""
        self._still += seconds
        if self._still < (START if self._step.phase is JobPhase.STARTING else STALL):
            return ""
        return self._describe_stall()

    def _must_move(self) -> bool:
        if self._step.phase is JobPhase.STREAMING:
            return self._job.stream is not None and self._job.stream.in_driver
        return self._step.phase is not JobPhase.IDLE

    def _describe_stall(self) -> str:
        if self._step.phase is not JobPhase.STREAMING:
            return f"the system did not {self._step.phase.value} within {self._still:.0f} s"
        outstanding = self._job.describe_outstanding() or "a call of the driver's"
        return f"no request completed for {self._still:.0f} s; outstanding: {outstanding}"


def run_command(
    command: str,
    instruments: Instruments,
    make_job: Callable[[Callable[[], None]], Job],
    *,
    as_json: bool,
    source: object = None,
    commit: Callable[[], object] | None = None,
) -> int:
    """Runs a job from its making to its report: what all commands with a job have in common.

    :param command: the command's name, for messages
    :param instruments: the ways to look at the job
    :param make_job: a function that makes the job; its argument wakes this thread
    :param as_json: whether the report is JSON
    :param source: the input, for messages; ``None`` if there is none
    :param commit: a function that keeps the output; called if all of it is right
    :return: exit code
    :raises click.UsageError: the command line asks for something that cannot be
    """
    with instruments.trace or contextlib.nullcontext() as tracing:
        with Signals() as signals:
            try:
                job = make_job(signals.wake)
            except ConfigurationError as error:
                raise click.UsageError(str(error)) from error
            stall = Supervisor(job, signals).run()
        if signals.received is not None:
            return _say_interrupted(command, signals.received)
        written = 0 if tracing is None else tracing.write(command)
        return written | _conclude(command, job, stall, source, as_json=as_json, commit=commit)


def _say_interrupted(command: str, received: signal.Signals) -> int:
    """Reports the signal that ended a command.

    :return: exit code
    """
    say(f"{command}: {ENDINGS[received]}", error=True)
    return SIGNAL_EXIT + received


def _complain(command: str, error: BaseException, source: object) -> str:
    """Prints the error that ended a job; a bug check with its report.

    :param source: the input, for messages
    :return: the error in a sentence
    """
    sentence = _describe(error, source)
    detail = sentence
    if isinstance(error, BugCheck):
        detail = error.report
    elif isinstance(error, VerifierError):
        detail = str(error)
    say(f"{command}: error: {detail}", error=True)
    return sentence


def _conclude(
    command: str,
    job: Job,
    stall: str,
    source: object,
    *,
    as_json: bool,
    commit: Callable[[], object] | None,
) -> int:
    """Prints the report of a job.

    :param command: the command's name, for messages
    :param stall: a sentence about what stopped moving, or an empty string
    :param source: the input, for messages
    :param as_json: whether the report is JSON
    :param commit: a function that keeps the output; called if all of it is right
    :return: exit code
    :raises click.UsageError: the command line asks for something that cannot be
    """
    error = None if stall else job.error
    if isinstance(error, ConfigurationError):
        raise click.UsageError(str(error)) from error
    report = job.report()
    report.verdict = stall or job.failure or (job.stream and job.stream.failure) or CORRECT
    if error is None and report.verdict == CORRECT and commit is not None:
        try:
            commit()
        except OSError as reason:
            error = reason
    if error is not None:
        report.verdict = _complain(command, error, source)
    _say_crash(command, job, failed=bool(stall) or isinstance(error, CRASHES))
    written = True
    if as_json or error is None:
        written = say(report.json() if as_json else report.text())
    return 0 if written and report.verdict == CORRECT else WRONG_EXIT


def _say_crash(command: str, job: Job, *, failed: bool) -> None:
    """Prints the path of the crash directory, or the option that would have made one."""
    directory = job.instruments.crash_dir
    if directory is not None and directory.result is not None:
        say(f"{command}: {directory.result}", error=True)
    elif failed and directory is None:
        say(f"{command}: --crash-dir DIR keeps more, for `pydriver analyze DIR`", error=True)


def _describe(error: BaseException, source: object) -> str:
    """Describes the error that ended a job in a sentence; with QEMU's last lines if it was QEMU.

    :param source: the input, for messages
    :raises BaseException: the error itself, if it is a defect of pydriver
    """
    if isinstance(error, BugCheck):
        return f"bug check 0x{error.code:X} {error.state.name}: {error.state.message}"
    if isinstance(error, VerifierError):
        rules = dict.fromkeys(each.rule for each in error.violations)
        return f"the driver broke rules: {', '.join(rules)}"
    if isinstance(error, PydriverError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory; fewer --queues, a smaller --depth or --block need less"
    if isinstance(error, OSError):
        what = f"write {error.filename}" if error.filename else f"read {source}"
        return f"cannot {what}: {error.strerror}"
    raise error
