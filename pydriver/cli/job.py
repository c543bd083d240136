# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""One run of the system, on a thread of its own.

The thread may wait for the guest, for the driver or for a disk; the main thread stays free for
signals, for the progress display and for finding out that nothing moves any more. It ends a run
by cutting the power: without QEMU, every wait of the thread ends with an error.
"""

import contextlib
import signal
import threading
from collections.abc import Callable
from enum import Enum
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any

from pydriver.cli.faults import FAULTS
from pydriver.cli.options import Options
from pydriver.cli.report import QueueCounters, Report
from pydriver.cli.stream import Stream
from pydriver.drivers import mqdma
from pydriver.ke import System, SystemConfig, VerifierConfig
from pydriver.machine import MachineConfig
from pydriver.pci import InterruptMode

if TYPE_CHECKING:
    from pydriver.cli.output import OutputFile
    from pydriver.drivers.mqdma_queue import HardwareQueue

__all__ = ("Job", "Phase")

DEVICE = "mqdma0"
ALL_ONES = 0xFFFFFFFF


class Phase(Enum):
    """What a job is doing."""

    STARTING = "start"
    STREAMING = "stream"
    IDLE = "do nothing"
    ENDING = "end"


class Job:
    """One run.

    :param options: what to run
    :param source: descriptor of the input
    :param blocks: how many there will be, as far as one can know
    :param output: where the result goes to, or ``None``
    :param wake: called when the phase has changed, and when the job is over
    :ivar phase: what it is doing
    :ivar stopped: the machine has been stopped over QMP
    :ivar stream: the application, as soon as it runs
    :ivar error: what ended it, if not its own end
    :ivar over: it has ended
    """

    def __init__(
        self,
        options: Options,
        source: int,
        blocks: int,
        output: "OutputFile | None",
        wake: Callable[[], None],
    ) -> None:
        self.phase = Phase.STARTING
        self.stopped = False
        self.stream: Stream | None = None
        self.error: BaseException | None = None
        self.over = False
        self._options = options
        self._source = source
        self._fault_block = blocks // 3
        self._output = output
        self._wake = wake
        self._system: System | None = None
        self._queues: list[HardwareQueue] = []
        self._exclusive = False
        self._idled = 0.0
        self._lost: list[int | None] = []
        self._thread = threading.Thread(target=self._run, name="pydriver-run", daemon=True)
        self.start = self._thread.start
        self.join = self._thread.join

    @property
    def completed(self) -> int:
        """Changes whenever a request is completed or checked."""
        checked = self.stream.verified if self.stream else 0
        return checked + sum(queue.completed for queue in self._queues)

    @property
    def unclaimed(self) -> int:
        """Interrupts that no ISR claimed."""
        return sum(each.unclaimed for each in {queue.interrupt for queue in self._queues})

    @property
    def outstanding(self) -> dict[int, int]:
        """Requests that the device has, by queue."""
        return {queue.index: queue.in_flight for queue in self._queues if queue.in_flight}

    def cut(self) -> None:
        """Cuts the power, if it is on: the thread ends soon."""
        machine = getattr(self._system, "machine", None)
        if machine is not None and machine.pidfd >= 0:
            with contextlib.suppress(OSError):  # it has just been switched off
                signal.pidfd_send_signal(machine.pidfd, signal.SIGKILL)

    def report(self) -> Report:
        """What is known, now or after the end."""
        report = Report(seconds=self._idled)
        if self.stream is not None:
            report.size = self.stream.verified
            report.seconds = self.stream.seconds
        lost = self._lost or [None] * len(self._queues)
        report.queues = [
            self._counters(queue, overrun)
            for queue, overrun in zip(self._queues, lost, strict=True)
        ]
        kernel = getattr(self._system, "kernel", None)
        if kernel is not None:
            report.levels = kernel.summary()
        return report

    def _counters(self, queue: "HardwareQueue", lost: int | None) -> QueueCounters:
        return QueueCounters(
            interrupts=queue.interrupt.interrupts if self._exclusive else queue.interrupts,
            isrs=queue.isrs,
            dpcs=queue.dpcs_queued,
            coalesced=queue.dpcs_coalesced,
            completed=queue.completed,
            lost=lost,
            repairs=queue.repairs,
            retries=queue.retries,
            recovered=queue.recovered,
        )

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - the main thread says what it means
            self.error = error
        finally:
            self.over = True
            self._wake()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._wake()

    def _work(self) -> None:
        options = self._options
        entry = mqdma.driver_entry_with(mqdma.Parameters(depth=options.depth, block=options.block))
        self._system = System(
            SystemConfig(self._machine_config(), verifier=VerifierConfig(enabled=options.verifier))
        )
        with self._system as system:
            system.machine.listen(self._on_event)
            device = system.load_driver(entry, "mqdma").add_device(
                system.pci.find(mqdma.VENDOR, mqdma.DEVICE),
                interrupts=InterruptMode[options.interrupts.upper()],
                messages=options.messages,
            )
            context = device.get_typed_context(mqdma.MqdmaDevice)
            self._exclusive = context.exclusive
            self._queues = context.queues
            with device.open() as file:
                if options.idle is not None:
                    self._idle(options.idle)
                else:
                    self.stream = Stream(
                        system.kernel,
                        file,
                        self._source,
                        self._output,
                        options.block,
                        options.queues,
                        options.depth,
                        self._before_block,
                    )
                    self._enter(Phase.STREAMING)
                    self.stream.run()
                self._enter(Phase.ENDING)
                self._lost = [None if n == ALL_ONES else n for n in map(_lost, self._queues)]

    def _machine_config(self) -> MachineConfig:
        options = self._options
        return MachineConfig(
            cpus=options.cpus,
            accel=options.accel,
            bar2=mqdma.shared_memory(options.queues, options.depth, options.block),
            devices=(f"mqdma,id={DEVICE},memdev=bar2,queues={options.queues}",),
            qmp_path=options.qmp,
        )

    def _idle(self, seconds: float) -> None:
        self._enter(Phase.IDLE)
        assert self._system is not None
        never = Lock()
        never.acquire()
        start = perf_counter()
        self._system.kernel.wait(never, seconds)
        self._idled = perf_counter() - start

    def _before_block(self, number: int) -> None:
        """Makes the fault happen when a third of the blocks has been read."""
        if number != self._fault_block or self._options.fault is None:
            return
        assert self._system is not None
        # The driver gives request i to queue i % queues.
        for name, value in FAULTS[self._options.fault].settings(number % self._options.queues):
            path = f"/machine/peripheral/{DEVICE}"
            self._system.machine.qmp("qom-set", path=path, property=name, value=value)

    def _on_event(self, name: str, data: dict[str, Any]) -> None:
        """On the QMP thread."""
        if name == "STOP":
            self.stopped = True
        elif name == "RESUME":
            self.stopped = False


def _lost(queue: "HardwareQueue") -> int:
    return queue.lost()
