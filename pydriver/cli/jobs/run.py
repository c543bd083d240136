# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What `pydriver run` does: a file goes through all queues of `mqdma`."""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from pydriver.cli.jobs.job import Job, Phase
from pydriver.cli.jobs.stream import Stream
from pydriver.cli.options import Options
from pydriver.cli.report import MqdmaCounters, Report, format_size
from pydriver.drivers import mqdma
from pydriver.drivers.mqdma.faults import FAULTS
from pydriver.ke import VerifierConfig
from pydriver.machine import MachineConfig
from pydriver.pci import InterruptMode
from pydriver.system import System, SystemConfig

if TYPE_CHECKING:
    from pathlib import Path

    from pydriver.cli.output import OutputFile
    from pydriver.drivers.mqdma.queue import HardwareQueue

__all__ = ("RunJob",)

DEVICE = "mqdma0"
ALL_ONES = 0xFFFFFFFF


class RunJob(Job):
    """One run.

    :param options: what to run
    :param path: of the input
    :param source: its descriptor
    :param size: its bytes, as far as one can know
    :param output: where the result goes to, or ``None``
    :param wake: called when the step has changed, and when the job is over
    """

    def __init__(
        self,
        options: Options,
        path: "Path",
        source: int,
        size: int,
        output: "OutputFile | None",
        wake: Callable[[], None],
    ) -> None:
        super().__init__(wake, options)
        self._options = options
        self._path = path
        self._source = source
        self._bytes = size
        self._fault_block = -(-size // options.block) // 3
        self._output = output
        self._queues: list[HardwareQueue] = []
        self._exclusive = False
        self._idled = 0.0
        self._lost: list[int | None] = []

    @property
    def completed(self) -> int:
        """Changes whenever a request is completed or checked."""
        return self.done + sum(queue.completed for queue in self._queues)

    def describe_outstanding(self) -> str:
        """What the device and the driver have not completed."""
        parts = [
            f"{queue.in_flight} on queue {queue.index}" for queue in self._queues if queue.in_flight
        ]
        in_flight = self.stream.in_flight if self.stream else 0
        waiting = in_flight - sum(queue.in_flight for queue in self._queues)
        if waiting > 0:
            parts.append(f"{waiting} waiting in the driver")
        text = ", ".join(parts)
        unclaimed = sum(each.unclaimed for each in {queue.interrupt for queue in self._queues})
        if unclaimed:
            text += f"; {unclaimed} interrupts that no ISR claimed"
        return text

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
        report.levels = self._levels()
        return report

    def _counters(self, queue: "HardwareQueue", lost: int | None) -> MqdmaCounters:
        return MqdmaCounters(
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

    def _config(self) -> SystemConfig:
        options = self._options
        return SystemConfig(
            MachineConfig(
                cpus=options.cpus,
                accel=options.accel,
                bar2=mqdma.shared_memory(options.queues, options.depth, options.block),
                devices=(f"mqdma,id={DEVICE},memdev=bar2,queues={options.queues}",),
            ),
            verifier=VerifierConfig(enabled=options.verifier),
        )

    def _work(self, system: System) -> None:
        options = self._options
        entry = mqdma.driver_entry_with(mqdma.Parameters(depth=options.depth, block=options.block))
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
                start = perf_counter()
                self._idle(system, options.idle)
                self._idled = perf_counter() - start
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
                title = f"streaming {self._path}, {format_size(self._bytes)}"
                self._enter(Phase.STREAMING, title, self._bytes)
                self.stream.run()
            self._enter(Phase.ENDING)
            self._lost = [None if n == ALL_ONES else n for n in map(_lost, self._queues)]

    def _before_block(self, number: int) -> None:
        """Makes the fault happen when a third of the blocks has been read."""
        if number != self._fault_block or self._options.fault is None:
            return
        assert self._system is not None
        # The driver gives request i to queue i % queues.
        for name, value in FAULTS[self._options.fault].settings(number % self._options.queues):
            self._system.machine.set_property(DEVICE, name, value)


def _lost(queue: "HardwareQueue") -> int:
    return queue.lost()
