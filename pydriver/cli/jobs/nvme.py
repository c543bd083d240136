# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The job of `pydriver nvme copy`: a file goes through the NVMe driver to a disk, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydriver.cli.instruments import Instruments
from pydriver.cli.jobs.job import Job, JobPhase
from pydriver.cli.options import (
    PATH,
    Size,
    cpus_option,
    group,
    json_option,
    read_by,
    verifier_option,
)
from pydriver.cli.report import QueueCounters, RunReport, counter, format_size

if TYPE_CHECKING:
    from pydriver.cli.jobs.disk_stream import DiskStream
    from pydriver.drivers.nvme import NvmeController
    from pydriver.drivers.nvme.queue import IoQueuePair
    from pydriver.ke import Kernel
    from pydriver.system import System, SystemConfig
    from pydriver.wdf import File, Irp

__all__ = ("CopyOptions", "NvmeCopyJob", "NvmeCounters")

VENDOR, DEVICE = 0x1B36, 0x0010
MIB = 1 << 20


def _number(ctx: click.Context, param: click.Parameter, value: str) -> int:
    return int(value)


@dataclass(frozen=True, kw_only=True)
class CopyOptions:
    """The options of `pydriver nvme copy`."""

    source: Path = read_by(click.argument("source", metavar="IMAGE-IN", type=PATH))
    target: Path = read_by(click.argument("target", metavar="IMAGE-OUT", type=PATH))
    queues: int = read_by(
        click.option(
            "--queues",
            type=click.IntRange(1, 64),
            metavar="N",
            default=4,
            show_default=True,
            help="I/O queue pairs.",
        )
    )
    depth: int = read_by(
        click.option(
            "--depth",
            type=click.IntRange(1, 256),
            metavar="N",
            default=32,
            show_default=True,
            help="Commands in flight for each of them.",
        )
    )
    transfer: int = read_by(
        click.option(
            "--transfer",
            type=Size(4096, 4 << 20, 4096),
            default="64K",
            show_default=True,
            help="Size of a request, 4K to 4M; K and M are binary.",
        )
    )
    block_size: int = read_by(
        click.option(
            "--block-size",
            type=click.Choice(["512", "4096"]),
            default="512",
            show_default=True,
            callback=_number,
            help="Bytes of the disk's block.",
        )
    )
    interrupts: str = read_by(
        click.option(
            "--interrupts",
            type=click.Choice(["msix", "intx"]),
            default="msix",
            show_default=True,
            help="The interrupt mode of the controller.",
        )
    )
    cpus: int = read_by(cpus_option)
    reset: bool = read_by(
        click.option("--reset", is_flag=True, help="Reset the controller when half has been sent.")
    )
    check: bool = read_by(
        click.option(
            "--check/--no-check",
            default=True,
            show_default=True,
            help="Read the disk again, and compare.",
        )
    )
    instruments: Instruments = group(Instruments)
    verifier: bool = read_by(verifier_option)
    as_json: bool = read_by(json_option)


@dataclass(frozen=True)
class NvmeCounters(QueueCounters):
    """Counts of an I/O queue pair.

    :ivar interrupts: interrupts on its vector; 0 with a line, which all queues share
    :ivar isrs: times that the ISR found completions
    :ivar dpcs: times that its DPC ran
    :ivar completed: completed requests
    :ivar retries: commands that were handed over again
    :ivar recovered: times that completions were found without an interrupt
    """

    interrupts: int = counter("interrupts")
    isrs: int = counter("ISRs with work")
    dpcs: int = counter("DPCs")
    completed: int = counter("completed")
    retries: int = counter("retries")
    recovered: int = counter("recovered", json=False, repair=True)


class NvmeCopyJob(Job):
    """One copy.

    :param options: the options of the copy
    :param source: descriptor of the file
    :param size: bytes of the file
    :param disk: the image that QEMU opens, of whole blocks; without a comma in its path
    :param wake: a function to call when the step has changed, and when the job is over
    """

    def __init__(
        self,
        options: CopyOptions,
        source: int,
        size: int,
        disk: Path,
        wake: Callable[[], None],
    ) -> None:
        from pydriver.drivers import nvme

        super().__init__(wake, options.instruments)
        self._options = options
        # The driver is loaded now: what exists when the system starts is frozen for the garbage
        # collector, which then does not look at it in the middle of an ISR.
        self._entry = nvme.driver_entry_with(
            nvme.Parameters(
                queues=options.queues, depth=options.depth, max_transfer=nvme.MAX_TRANSFER
            )
        )
        self._source = source
        self._size = size
        self._disk = disk
        self._controller: NvmeController | None = None
        self._seconds = 0.0
        self._bytes = 0
        self._reset: Irp | None = None

    @property
    def _queues(self) -> "list[IoQueuePair]":
        return self._controller.used if self._controller is not None else []

    @property
    def completed(self) -> int:
        """Changes whenever a request is completed or checked."""
        return self.done + sum(queue.completed for queue in self._queues)

    def describe_outstanding(self) -> str:
        """Describes the requests that the device and the driver have not completed."""
        return ", ".join(
            f"{queue.in_flight} on queue {queue.number}"
            for queue in self._queues
            if queue.in_flight
        )

    def report(self) -> RunReport:
        """The report on the job so far, or on all of it after its end."""
        report = RunReport(size=self._bytes, seconds=self._seconds)
        report.queues = [self._counters(queue) for queue in self._queues]
        report.levels = self._levels()
        return report

    def _counters(self, queue: "IoQueuePair") -> NvmeCounters:
        interrupts = 0
        assert self._controller is not None
        if self._options.interrupts == "msix":
            interrupts = self._controller.device.interrupts[queue.number].interrupts
        return NvmeCounters(
            interrupts, queue.isrs, queue.dpcs, queue.completed, queue.retries, queue.recovered
        )

    def _config(self) -> "SystemConfig":
        from pydriver.ke import VerifierConfig
        from pydriver.machine import MachineConfig
        from pydriver.system import SystemConfig

        options = self._options
        in_flight = options.queues * options.depth * options.transfer
        block = options.block_size
        sizes = f"logical_block_size={block},physical_block_size={block}"
        return SystemConfig(
            MachineConfig(
                cpus=options.cpus,
                memory=min(2048 * MIB, -(-(in_flight + 32 * MIB) // (32 * MIB)) * 32 * MIB),
                devices=(f"nvme,id=nvme0,serial=pydriver,drive=disk,mdts=0,{sizes}",),
                options=("-drive", f"file={self._disk},format=raw,if=none,id=disk"),
            ),
            verifier=VerifierConfig(enabled=options.verifier),
        )

    def _work(self, system: "System") -> None:
        from pydriver.drivers import nvme
        from pydriver.pci import InterruptMode

        options = self._options
        device = system.load_driver(self._entry, "nvme").add_device(
            system.pci.find(VENDOR, DEVICE), interrupts=InterruptMode[options.interrupts.upper()]
        )
        self._controller = device.get_typed_context(nvme.NvmeController)
        with device.open() as file:
            self._write(system, file)
            if self.stream is not None and self.stream.failure is None:
                file.device_control(nvme.IOCTL_FLUSH)
                if options.check:
                    self._read(system, file)
            self._enter(JobPhase.ENDING)

    def _write(self, system: "System", file: "File") -> None:
        from pydriver.cli.jobs.disk_stream import DiskWriter
        from pydriver.drivers import nvme

        options = self._options
        half = -(-self._size // options.transfer) // 2

        def before(number: int) -> None:
            if options.reset and number == half:
                self._reset = file.device_control_async(nvme.IOCTL_RESET)

        writer = DiskWriter(*self._ends(system, file), before)
        self._run_stream(writer, f"writing {options.source}, {format_size(self._size)}")
        if self._reset is not None:
            self._reset.result()
        self._bytes, self._seconds = writer.verified, writer.seconds

    def _read(self, system: "System", file: "File") -> None:
        from pydriver.cli.jobs.disk_stream import DiskReader

        self._run_stream(DiskReader(*self._ends(system, file)), "reading it back")

    def _ends(self, system: "System", file: "File") -> "tuple[Kernel, File, int, int, int, int]":
        """The arguments that both directions of the stream have in common."""
        options = self._options
        window = options.queues * options.depth
        return system.kernel, file, self._source, options.transfer, window, options.block_size

    def _run_stream(self, stream: "DiskStream", title: str) -> None:
        self.stream = stream
        self._enter(JobPhase.STREAMING, title, self._size)
        stream.run()
