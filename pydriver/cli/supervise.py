# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The main thread of `pydriver run`: starts the job, watches it, and says how it ended.

Exit codes: 0 correct; 1 not; 128 + n for signal n. What the user did wrong is a click.UsageError,
which ends with 2.
"""

import contextlib
import os
import signal
from pathlib import Path
from time import monotonic

import click

from pydriver.cli.console import say
from pydriver.cli.job import Job, Phase
from pydriver.cli.options import Options, check_kvm, open_input
from pydriver.cli.output import OutputFile
from pydriver.cli.progress import Progress, make_progress
from pydriver.cli.report import CORRECT, format_size
from pydriver.cli.signals import Signals
from pydriver.errors import ConfigurationError, PydriverError
from pydriver.ke import BugCheck, VerifierError
from pydriver.machine.qemu import default_qemu

__all__ = ("supervise",)

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

ENDINGS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "terminated: the terminal is gone",
}


def supervise(options: Options) -> int:
    """Runs the job that the options describe.

    :return: exit code
    :raises click.UsageError: it cannot be run
    """
    with contextlib.ExitStack() as stack:
        if options.accel == "kvm":
            check_kvm()
        path = options.file or _default_input()
        source = open_input(path)
        stack.callback(os.close, source)
        output = None
        if options.output is not None and options.idle is None:
            output = OutputFile(options.output)
            stack.callback(output.discard)
        watch = _Watch(options, path, source, output)
        with Signals() as signals:
            stall = watch.run(signals)
        if signals.received is not None:
            say(f"pydriver run: {ENDINGS[signals.received]}", error=True)
            return SIGNAL_EXIT + signals.received
        return _conclude(options, path, watch.job, stall, output)


def _default_input() -> Path:
    path = default_qemu()
    if not path.is_file():
        raise click.UsageError(f"QEMU {path} is missing (make qemu builds it)")
    return path


class _Watch:
    """A job, its progress display, and how long nothing has moved."""

    def __init__(
        self, options: Options, path: Path, source: int, output: OutputFile | None
    ) -> None:
        self._options = options
        self._path = path
        self._size = os.fstat(source).st_size
        self._blocks = -(-self._size // options.block)
        self._source = source
        self._output = output
        self._progress: Progress = make_progress()
        self._phase = Phase.STARTING
        self._completed = 0
        self._still = 0.0

    def run(self, signals: Signals) -> str:
        """Runs the job to its end.

        :return: what did not move any more, or nothing
        """
        self.job = Job(self._options, self._source, self._blocks, self._output, signals.wake)
        self.job.start()
        try:
            stall = self._watch(signals)
        finally:
            self._progress.end()
        deadline = monotonic() + GRACE
        while not self.job.over and monotonic() < deadline:
            # Again and again: it may be about to switch the power on.
            self.job.cut()
            signals.wait(CUT_INTERVAL)
        return stall

    def _watch(self, signals: Signals) -> str:
        job, progress = self.job, self._progress
        before = monotonic()
        while not job.over and signals.received is None:
            signals.wait(IDLE_INTERVAL if job.phase is Phase.IDLE else progress.interval)
            now = monotonic()
            # We may have been stopped for hours: that does not count.
            if stall := self._find_stall(min(now - before, IDLE_INTERVAL)):
                return stall
            before = now
            if job.stream is not None:
                progress.show(job.stream.verified)
        return ""

    def _find_stall(self, seconds: float) -> str:
        """Counts seconds in which nothing moved; says so when they are too many."""
        job = self.job
        if job.phase is not self._phase:
            self._phase = job.phase
            self._still = 0.0
            self._announce()
        completed = job.completed
        if completed != self._completed or job.stopped or not self._must_move():
            self._completed = completed
            self._still = 0.0
            return ""
        self._still += seconds
        if self._still < (START if self._phase is Phase.STARTING else STALL):
            return ""
        return self._describe_stall()

    def _must_move(self) -> bool:
        if self._phase is Phase.STREAMING:
            assert self.job.stream is not None
            return self.job.stream.in_flight > 0
        return self._phase is not Phase.IDLE

    def _announce(self) -> None:
        if self._phase is Phase.STREAMING:
            what = f"streaming {self._path}, {format_size(self._size)}"
            self._progress.begin(what, self._size)
        elif self._phase is Phase.IDLE:
            self._progress.begin(f"doing nothing for {self._options.idle:g} s", 0)

    def _describe_stall(self) -> str:
        job = self.job
        if self._phase is not Phase.STREAMING:
            return f"the system did not {self._phase.value} within {self._still:.0f} s"
        assert job.stream is not None
        outstanding = job.outstanding
        parts = [f"{count} on queue {index}" for index, count in outstanding.items()]
        waiting = job.stream.in_flight - sum(outstanding.values())
        if waiting > 0:
            parts.append(f"{waiting} waiting in the driver")
        text = f"no request completed for {self._still:.0f} s; outstanding: {', '.join(parts)}"
        if unclaimed := job.unclaimed:
            text += f"; {unclaimed} interrupts that no ISR claimed"
        return text


def _conclude(options: Options, path: Path, job: Job, stall: str, output: OutputFile | None) -> int:
    """Prints what the run has shown.

    :return: exit code
    """
    error = None if stall else job.error
    if isinstance(error, ConfigurationError):
        raise click.UsageError(str(error)) from error
    report = job.report()
    report.verdict = stall or (job.stream and job.stream.failure) or CORRECT
    if error is None and report.verdict == CORRECT and output is not None:
        try:
            output.commit()
        except OSError as reason:
            error = reason
    if error is not None:
        report.verdict = _describe(error, path)
        detail = error.report if isinstance(error, BugCheck) else report.verdict
        if isinstance(error, VerifierError):
            detail = str(error)
        say(f"pydriver run: error: {detail}", error=True)
    written = True
    if options.as_json or error is None:
        written = say(report.json() if options.as_json else report.text())
    return 0 if written and report.verdict == CORRECT else WRONG_EXIT


def _describe(error: BaseException, path: Path) -> str:
    """What ended a job, in a sentence; with QEMU's last lines if it was QEMU.

    :raises BaseException: the error itself, if it is a defect of ours
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
        what = f"write {error.filename}" if error.filename else f"read {path}"
        return f"cannot {what}: {error.strerror}"
    raise error
