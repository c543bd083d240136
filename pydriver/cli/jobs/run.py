# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The job of `pydriver run`: a file goes through all queues of `mqdma`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import click

from pydriver.cli.instruments import Instruments
from pydriver.cli.jobs.job import Job, JobPhase
from pydriver.cli.jobs.pair import idle_option, interrupts_option, messages_option
from pydriver.cli.options import (
    PATH,
    Size,
    accel_option,
    cpus_option,
    group,
    json_option,
    path_option,
    read_by,
    verifier_option,
)
from pydriver.cli.report import QueueCounters, RunReport, counter, format_size
from pydriver.drivers.mqdma.faults import FAULTS

if TYPE_CHECKING:
    from pydriver.cli.files import OutputFile
    from pydriver.drivers.mqdma.queue import HardwareQueue
    from pydriver.system import System, SystemConfig

__all__ = ("MqdmaCounters", "RunJob", "RunOptions")

DEVICE = "mqdma0"
ALL_ONES = 0xFFFFFFFF


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of a run through mqdma. Without a file, the QEMU binary is streamed."""

    file: Path | None = read_by(click.argument("file", required=False, type=PATH))
    queues: int = read_by(
        click.option(
            "--queues",
            type=click.IntRange(1, 64),
            metavar="N",
            default=4,
            show_default=True,
            help="Hardware queues.",
        )
    )
    depth: int = read_by(
        click.option(
            "--depth",
            type=click.IntRange(1, 256),
            metavar="N",
            default=8,
            show_default=True,
            help="Requests in flight for each queue.",
        )
    )
    block: int = read_by(
        click.option(
            "--block",
            type=Size(4, 16 << 20, 4),
            default="64K",
            show_default=True,
            help="Size of a request, 4 to 16M, as a multiple of 4; K and M are binary.",
        )
    )
    interrupts: str = read_by(interrupts_option)
    messages: int | None = read_by(messages_option)
    cpus: int = read_by(cpus_option)
    accel: str = read_by(accel_option)
    fault: str | None = read_by(
        click.option(
            "--fault",
            type=click.Choice(list(FAULTS)),
            metavar="NAME",
            help="Cause this fault during the run; see below.",
        )
    )
    idle: float | None = read_by(idle_option)
    output: Path | None = read_by(
        path_option(
            "--output",
            "PATH",
            "Write what came back; the file appears only if all of it is right.",
        )
    )
    instruments: Instruments = group(Instruments)
    verifier: bool = read_by(verifier_option)
    as_json: bool = read_by(json_option)


@dataclass(frozen=True)
class MqdmaCounters(QueueCounters):
    """Counts of a hardware queue of mqdma.

    :ivar interrupts: messages that arrived for it, or causes that a shared ISR found for it
    :ivar isrs: interrupts claimed by the ISR
    :ivar dpcs: times that its DPC was queued
    :ivar coalesced: times that the DPC was queued already
    :ivar completed: completed requests
    :ivar lost: events that the device overwrote before the ISR took them; ``None``: not known,
        because the device does not answer any more
    :ivar repairs: times that the queue was reset
    :ivar retries: requests that were submitted again
    :ivar recovered: times that completions were found without an interrupt
    """

    interrupts: int = counter("interrupts")
    isrs: int = counter("ISRs claimed")
    dpcs: int = counter("DPCs queued")
    coalesced: int = counter("coalesced", json=False)
    completed: int = counter("completed")
    lost: int | None = counter("events lost")
    repairs: int = counter("resets", json=False, repair=True)
    retries: int = counter("retries", json=False, repair=True)
    recovered: int = counter("recovered", json=False, repair=True)


class RunJob(Job):
    """One run.

    :param options: the options of the run
    :param path: the path of the input
    :param source: the descriptor of the input
    :param size: bytes of the input; it may still grow
    :param output: the file for the result, or ``None``
    :param wake: a function to call when the step has changed, and when the job is over
    """

    def __init__(
        self,
        options: RunOptions,
        path: Path,
        source: int,
        size: int,
        output: "OutputFile | None",
        wake: Callable[[], None],
    ) -> None:
        from pydriver.drivers import mqdma

        super().__init__(wake, options.instruments)
        self._options = options
        # The driver is loaded now: what exists when the system starts is frozen for the garbage
        # collector, which then does not look at it in the middle of an ISR.
        self._entry = mqdma.driver_entry_with(
            mqdma.Parameters(depth=options.depth, block=options.block)
        )
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
        """Describes the requests that the device and the driver have not completed."""
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

    def report(self) -> RunReport:
        """The report on the job so far, or on all of it after its end."""
        report = RunReport(seconds=self._idled)
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

    def _config(self) -> "SystemConfig":
        from pydriver.drivers import mqdma
        from pydriver.ke import VerifierConfig
        from pydriver.machine import MachineConfig
        from pydriver.system import SystemConfig

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

    def _work(self, system: "System") -> None:
        from pydriver.cli.jobs.stream import Stream
        from pydriver.drivers import mqdma
        from pydriver.pci import InterruptMode

        options = self._options
        device = system.load_driver(self._entry, "mqdma").add_device(
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
                self._enter(JobPhase.STREAMING, title, self._bytes)
                self.stream.run()
            self._enter(JobPhase.ENDING)
            self._lost = [None if n == ALL_ONES else n for n in map(_lost, self._queues)]

    def _before_block(self, number: int) -> None:
        """Injects the fault when a third of the blocks has been read."""
        if number != self._fault_block or self._options.fault is None:
            return
        assert self._system is not None
        # The driver gives request i to queue i % queues.
        for name, value in FAULTS[self._options.fault].settings(number % self._options.queues):
            self._system.machine.set_property(DEVICE, name, value)


def _lost(queue: "HardwareQueue") -> int:
    return queue.lost()
