# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What `pydriver nvme copy` does: a file goes through the NVMe driver to a disk, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydriver.cli.jobs.disk_stream import DiskReader, DiskStream, DiskWriter
from pydriver.cli.jobs.job import Job, Phase
from pydriver.cli.options import LookOptions
from pydriver.cli.report import QueueCounters, Report, counter, format_size
from pydriver.drivers import nvme
from pydriver.ke import VerifierConfig
from pydriver.machine import MachineConfig
from pydriver.pci import InterruptMode
from pydriver.system import System, SystemConfig

if TYPE_CHECKING:
    from pydriver.drivers.nvme.queue import IoQueuePair
    from pydriver.ke import Kernel
    from pydriver.wdf import File
    from pydriver.wdf.io.irp import Irp

__all__ = ("CopyOptions", "NvmeCopyJob", "NvmeCounters")

VENDOR, DEVICE = 0x1B36, 0x0010
MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class CopyOptions(LookOptions):
    """The options of `pydriver nvme copy`.

    :ivar source: the file
    :ivar target: the disk's image
    :ivar queues: I/O queue pairs, 1 to 64
    :ivar depth: commands in flight for each of them, 1 to 256
    :ivar transfer: bytes of a request
    :ivar block_size: bytes of the disk's block
    :ivar interrupts: ``msix`` or ``intx``
    :ivar cpus: vCPUs, 1 to 8
    :ivar reset: reset the controller when half of the file has been sent
    :ivar check: read the disk again
    :ivar verifier: check the driver against the rules of the framework
    :ivar as_json: report as JSON
    """

    source: Path
    target: Path
    queues: int
    depth: int
    transfer: int
    block_size: int
    interrupts: str
    cpus: int
    reset: bool
    check: bool
    verifier: bool
    as_json: bool


@dataclass(frozen=True)
class NvmeCounters(QueueCounters):
    """What happened on an I/O queue pair.

    :ivar interrupts: that arrived on its vector; 0 with a line, which all queues share
    :ivar isrs: times that the ISR found completions
    :ivar dpcs: times that its DPC ran
    :ivar completed: requests
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

    :param options: what to copy
    :param source: descriptor of the file
    :param size: its bytes
    :param disk: the image that QEMU opens, of whole blocks; without a comma in its path
    :param wake: called when the step has changed, and when the job is over
    """

    def __init__(
        self,
        options: CopyOptions,
        source: int,
        size: int,
        disk: Path,
        wake: Callable[[], None],
    ) -> None:
        super().__init__(wake, options)
        self._options = options
        self._source = source
        self._size = size
        self._disk = disk
        self._controller: nvme.NvmeController | None = None
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
        """What the device and the driver have not completed."""
        return ", ".join(
            f"{queue.in_flight} on queue {queue.number}"
            for queue in self._queues
            if queue.in_flight
        )

    def report(self) -> Report:
        """What is known, now or after the end."""
        report = Report(size=self._bytes, seconds=self._seconds)
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

    def _config(self) -> SystemConfig:
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

    def _work(self, system: System) -> None:
        options = self._options
        parameters = nvme.Parameters(
            queues=options.queues, depth=options.depth, max_transfer=nvme.MAX_TRANSFER
        )
        device = system.load_driver(nvme.driver_entry_with(parameters), "nvme").add_device(
            system.pci.find(VENDOR, DEVICE), interrupts=InterruptMode[options.interrupts.upper()]
        )
        self._controller = device.get_typed_context(nvme.NvmeController)
        with device.open() as file:
            self._write(system, file)
            if self.stream is not None and self.stream.failure is None:
                file.device_control(nvme.IOCTL_FLUSH)
                if options.check:
                    self._read(system, file)
            self._enter(Phase.ENDING)

    def _write(self, system: System, file: "File") -> None:
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

    def _read(self, system: System, file: "File") -> None:
        self._run_stream(DiskReader(*self._ends(system, file)), "reading it back")

    def _ends(self, system: System, file: "File") -> "tuple[Kernel, File, int, int, int, int]":
        """What both directions go between, and how."""
        options = self._options
        window = options.queues * options.depth
        return system.kernel, file, self._source, options.transfer, window, options.block_size

    def _run_stream(self, stream: DiskStream, title: str) -> None:
        self.stream = stream
        self._enter(Phase.STREAMING, title, self._size)
        stream.run()
