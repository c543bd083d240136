# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The job of `pydriver debug`, beside its shell: the system, its driver, and the application."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from queue import Queue
from threading import Event
from typing import TYPE_CHECKING

from pydriver.cli.jobs.job import JobPhase
from pydriver.cli.jobs.pair import PairJob, PairOptions
from pydriver.debug import Debuggee
from pydriver.debug.ddis import watched_ddis
from pydriver.drivers.catalog import forget_driver

if TYPE_CHECKING:
    from pydriver.debug import Debugger
    from pydriver.system import System, SystemConfig
    from pydriver.wdf import Device

__all__ = ("DebugJob",)

Task = Callable[["System"], None]


class DebugJob(PairJob, Debuggee):
    """A system that does what the shell has it do, on the job's own thread.

    :param options: the options of the run
    :param debugger: the debugger of the system
    :ivar devices: the devices that the driver was given
    :ivar ready: the system runs, or has not come up
    :ivar application: the module has an application that can be started
    """

    def __init__(self, options: PairOptions, debugger: "Debugger") -> None:
        self._debugger = debugger
        with watched_ddis(debugger.probe):  # a driver keeps what it imports
            super().__init__(options, lambda: None)
        self.devices: list[Device] = []
        self.ready = Event()
        self._tasks: Queue[Task | None] = Queue()
        self._exercise = getattr(import_module(self._package.module), "exercise", None)

    @property
    def application(self) -> bool:
        """``True`` if the driver's module brings an application."""
        return self._exercise is not None

    @property
    def busy(self) -> bool:
        """``True`` while a task is being done."""
        return self._tasks.unfinished_tasks > 0 and not self.over

    @property
    def system(self) -> "System | None":
        """The system, while it runs."""
        return self._system

    def load(self) -> None:
        """Has the driver loaded and its devices started."""
        self._tasks.put(self._load)

    def exercise(self) -> None:
        """Has the application started that comes with the driver."""
        self._tasks.put(self._try)

    def finish(self) -> None:
        """Has the job end, after what it is doing."""
        self._debugger.close()
        self._tasks.put(None)

    def forget(self) -> None:
        """Has the next job load the driver from its file again."""
        forget_driver(self._package)

    def _config(self) -> "SystemConfig":
        return replace(super()._config(), probe=self._debugger.probe)

    def _run(self) -> None:
        try:
            super()._run()
        finally:
            self.ready.set()

    def _work(self, system: "System") -> None:
        self._debugger.attach(system)
        with watched_ddis(self._debugger.probe):
            self.ready.set()
            while (task := self._tasks.get()) is not None:
                task(system)
                self._tasks.task_done()
        self._enter(JobPhase.ENDING)

    def _load(self, system: "System") -> None:
        self.devices += self._start_devices(system)

    def _try(self, system: "System") -> None:
        assert self._exercise is not None
        for device in self.devices:
            wrong = self._exercise(device)
            print(f"{device}: {wrong or 'the application found nothing wrong'}")
