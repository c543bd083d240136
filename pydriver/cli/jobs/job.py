# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A job: something that a command does with the system, on a thread of its own.

The thread may wait for the guest, for the driver or for a disk; the main thread stays free for
signals, for the progress display and for finding out that nothing moves any more. It ends a job
by cutting the power: without QEMU, every wait of the thread ends with an error.
"""

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from pydriver.cli.options import LookOptions
from pydriver.cli.report import Report
from pydriver.crash import CrashDirectory
from pydriver.errors import Stalled
from pydriver.system import System, SystemConfig
from pydriver.trace import Capture, LevelSummary
from pydriver.trace.registers import RegisterTrace

if TYPE_CHECKING:
    from pydriver.cli.jobs.pipeline import Pipeline

__all__ = ("Job", "Phase", "Step")


class Phase(Enum):
    """What a job is doing."""

    STARTING = "start"
    STREAMING = "stream"
    EXERCISING = "try the device"
    IDLE = "do nothing"
    ENDING = "end"


class Step(NamedTuple):
    """What a job is doing now.

    :ivar phase: in general
    :ivar title: for the progress display, or nothing
    :ivar size: bytes that it will have done at its end; 0: it is not measured in bytes
    """

    phase: Phase
    title: str = ""
    size: int = 0


class Job(ABC):
    """One job.

    :param wake: called when the step has changed, and when the job is over
    :param look: how it can be looked at
    :ivar step: what it is doing
    :ivar stream: the application, as soon as it runs
    :ivar failure: what went wrong in the application, or ``None``
    :ivar stopped: the machine has been stopped over QMP
    :ivar trace: what the run is captured into; set before :meth:`start`
    :ivar error: what ended it, if not its own end
    :ivar over: it has ended
    :ivar on_failure: writes a crash, if that was asked for
    """

    def __init__(self, wake: Callable[[], None], look: LookOptions) -> None:
        self._look = look
        self.on_failure = None if look.crash_dir is None else CrashDirectory(look.crash_dir)
        self.step = Step(Phase.STARTING)
        self.stream: Pipeline[Any] | None = None
        self.failure: str | None = None
        self.stopped = False
        self.trace: Capture | None = None
        self.error: BaseException | None = None
        self.over = False
        self._wake = wake
        self._system: System | None = None
        self._stack = contextlib.ExitStack()  # what the system is given, and outlives it
        self._thread = threading.Thread(target=self._run, name="pydriver-job", daemon=True)
        self.start = self._thread.start
        self.join = self._thread.join

    @abstractmethod
    def _config(self) -> SystemConfig:
        """The system that it wants, without what is for looking at it."""

    @abstractmethod
    def _work(self, system: System) -> None:
        """What it does with the system."""

    @property
    @abstractmethod
    def completed(self) -> int:
        """Changes whenever a request is completed or checked."""

    @abstractmethod
    def describe_outstanding(self) -> str:
        """What the device and the driver have not completed."""

    @abstractmethod
    def report(self) -> Report:
        """What is known, now or after the end."""

    @property
    def done(self) -> int:
        """Bytes that have been done in this step."""
        return self.stream.verified if self.stream is not None else 0

    def _levels(self) -> dict[str, LevelSummary]:
        """What the ISRs, DPCs and work items have taken, as soon as there is a system."""
        system = self._system
        return system.kernel.summary() if system is not None and system.has_kernel else {}

    def _idle(self, system: System, seconds: float) -> None:
        """Does nothing, as its step."""
        self._enter(Phase.IDLE, f"doing nothing for {seconds:g} s")
        never = Lock()
        never.acquire()
        system.kernel.wait(never, seconds)

    def keep_stall(self, stall: str) -> None:
        """Writes a crash for a system in which nothing moves, if that was asked for.

        :param stall: what did not move
        """
        system = self._system
        if self.on_failure is not None and system is not None and system.has_kernel:
            self.on_failure(system, Stalled(stall))

    def cut(self) -> None:
        """Cuts the power, if it is on: the thread ends soon."""
        if self._system is not None:
            self._system.cut_power()

    def _run(self) -> None:
        try:
            with self._stack:
                self._system = System(self._look_at(self._config()))
                with self._system as system:
                    system.machine.listen(self._on_event)
                    with self._views(system):
                        self._work(system)
        except BaseException as error:  # noqa: BLE001 - the main thread says what it means
            self.error = error
        finally:
            self.over = True
            self._wake()

    def _look_at(self, config: SystemConfig) -> SystemConfig:
        """Adds how the system is looked at."""
        look = self._look
        return replace(
            config,
            machine=replace(config.machine, qmp_path=look.qmp, gdb_path=look.gdb),
            register_trace=self._open_trace(),
            on_failure=self.on_failure,
            trace=self.trace,
        )

    def _views(self, system: System) -> contextlib.AbstractContextManager[object]:
        if self._look.debug_socket is None:
            return contextlib.nullcontext()
        from pydriver.debug.server import ViewServer

        return ViewServer(system, self._look.debug_socket)

    def _open_trace(self) -> RegisterTrace | None:
        if self._look.mmio_trace is None:
            return None
        trace = RegisterTrace(self._look.mmio_trace)
        self._stack.callback(trace.close)
        return trace

    def _enter(self, phase: Phase, title: str = "", size: int = 0) -> None:
        self.step = Step(phase, title, size)
        self._wake()

    def _on_event(self, name: str, data: dict[str, Any]) -> None:
        """On the QMP thread."""
        if name == "STOP":
            self.stopped = True
        elif name == "RESUME":
            self.stopped = False
