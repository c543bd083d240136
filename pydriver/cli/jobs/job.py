# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A job: something that a command does with the system, on a thread of its own.

The thread may wait for the guest, for the driver or for a disk; the main thread stays free for
signals, for the progress display and for finding out that nothing moves any more. It ends a job
by cutting the power: without QEMU, every wait of the thread ends with an error.

The module of a job is imported for the help of its command, because the job's options stand beside
the job. So it imports the framework, which takes longer than the help, inside its functions.
"""

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from pydriver.cli.instruments import Instruments
from pydriver.errors import Stalled

if TYPE_CHECKING:
    from pydriver.cli.jobs.pipeline import Pipeline
    from pydriver.cli.report import RunReport
    from pydriver.system import System, SystemConfig
    from pydriver.trace import LevelSummary

__all__ = ("Job", "JobPhase", "Step")


class JobPhase(Enum):
    """The kind of work that a job is doing."""

    STARTING = "start"
    STREAMING = "stream"
    EXERCISING = "try the device"
    IDLE = "do nothing"
    ENDING = "end"


class Step(NamedTuple):
    """The work that a job is doing now.

    :ivar phase: the kind of work
    :ivar title: the title for the progress display; empty for none
    :ivar size: bytes of the whole step; 0 if it is not measured in bytes
    """

    phase: JobPhase
    title: str = ""
    size: int = 0


class Job(ABC):
    """One job.

    :param wake: a function to call when the step has changed, and when the job is over
    :param instruments: the ways to look at the job
    :ivar instruments: the ways to look at the job
    :ivar step: the current step
    :ivar stream: the application; ``None`` until it runs
    :ivar failure: the failure of the application, or ``None``
    :ivar stopped: ``True`` while somebody has stopped the machine over QMP
    :ivar error: the exception that ended the job, or ``None``
    :ivar over: ``True`` when the job has ended
    """

    def __init__(self, wake: Callable[[], None], instruments: Instruments) -> None:
        self.instruments = instruments
        self.step = Step(JobPhase.STARTING)
        self.stream: Pipeline[Any] | None = None
        self.failure: str | None = None
        self.stopped = False
        self.error: BaseException | None = None
        self.over = False
        self._wake = wake
        self._system: System | None = None
        self._stack = contextlib.ExitStack()  # things that the system uses and that must outlive it
        self._thread = threading.Thread(target=self._run, name="pydriver-job", daemon=True)
        self.start = self._thread.start
        self.join = self._thread.join

    @abstractmethod
    def _config(self) -> "SystemConfig":
        """The system that the job needs, without instruments."""

    @abstractmethod
    def _work(self, system: "System") -> None:
        """The work: uses the system, and returns when it is done."""

    @property
    @abstractmethod
    def completed(self) -> int:
        """Changes whenever a request is completed or checked."""

    @abstractmethod
    def describe_outstanding(self) -> str:
        """Describes the requests that the device and the driver have not completed."""

    @abstractmethod
    def report(self) -> "RunReport":
        """The report on the job so far, or on all of it after its end."""

    @property
    def done(self) -> int:
        """Bytes of the current step that are done."""
        return self.stream.verified if self.stream is not None else 0

    def _levels(self) -> "dict[str, LevelSummary]":
        """The times of the ISRs, DPCs and work items; empty while there is no system."""
        system = self._system
        return system.kernel.summary() if system is not None and system.has_kernel else {}

    def _idle(self, system: "System", seconds: float) -> None:
        """Does nothing for a time, as a step of its own."""
        self._enter(JobPhase.IDLE, f"doing nothing for {seconds:g} s")
        never = Lock()
        never.acquire()
        system.kernel.wait(never, seconds)

    def keep_stall(self, stall: str) -> None:
        """Writes a crash directory for a system in which nothing moves, if one was asked for.

        :param stall: a sentence about what does not move
        """
        system = self._system
        crash = self.instruments.crash_dir
        if crash is not None and system is not None and system.has_kernel:
            crash(system, Stalled(stall))

    def cut(self) -> None:
        """Cuts the power, if it is on: the thread ends soon."""
        if self._system is not None:
            self._system.cut_power()

    def _run(self) -> None:
        from pydriver.system import System

        instruments = self.instruments
        try:
            with self._stack:
                self._system = System(instruments.fit(self._config(), self._stack))
                with self._system as system:
                    system.machine.listen(self._on_event)
                    with instruments.views(system):
                        self._work(system)
        except BaseException as error:  # noqa: BLE001 - the main thread reports it
            self.error = error
        finally:
            self.over = True
            self._wake()

    def _enter(self, phase: JobPhase, title: str = "", size: int = 0) -> None:
        self.step = Step(phase, title, size)
        self._wake()

    def _on_event(self, name: str, data: dict[str, Any]) -> None:
        """Notes an event; called on the QMP thread."""
        if name == "STOP":
            self.stopped = True
        elif name == "RESUME":
            self.stopped = False
