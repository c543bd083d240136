# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Reads of 4 KiB from NVMe: through the driver, and from Python by QEMU's qtest.

The medium is QEMU's null device, so that the way to it is measured. By qtest a write of a register
is a message to QEMU; completions are polled for in the memory that both share. Rings and commands
are the driver's own code on both sides.
"""

import contextlib
from dataclasses import dataclass

from pydriver.bench.disk_qtest import QtestDisk
from pydriver.bench.figures import Figure, Load, Progress, closed_loop, in_turn
from pydriver.drivers import nvme
from pydriver.ke import System, SystemConfig, VerifierConfig
from pydriver.machine import MachineConfig
from pydriver.wdf import Device, File

__all__ = ("DISK_LOADS", "DiskFigure", "measure_disk")

BLOCK = 4096
PLACES = 1000
"""Blocks of the medium that are read."""
DEPTHS = (1, 4, 16, 64)
QUEUES = (1, 4)
VENDOR, MODEL = 0x1B36, 0x0010
NULL_DEVICE = "driver=null-co,read-zeroes=on,size=1073741824"
DISK_LOADS = len(DEPTHS) * (len(QUEUES) + 1)


@dataclass(frozen=True)
class DiskFigure:
    """One way to read at one depth.

    :ivar queues: I/O queue pairs; 0: by qtest, which has one
    :ivar depth: reads in flight, in all
    :ivar us: microseconds for one read
    :ivar p99_us: latency that 99 of 100 reads did not exceed
    :ivar ratio: reads in the time of one by qtest, at the same depth
    """

    queues: int
    depth: int
    us: Figure
    p99_us: Figure
    ratio: float


def measure_disk(repetitions: int, reads: int, accel: str, progress: Progress) -> list[DiskFigure]:
    """Runs the measurements, all in one run.

    :param repetitions: of each; the medians are over these
    :param reads: in each of them
    :param accel: ``tcg`` or ``kvm``
    :param progress: told of each
    """
    devices = tuple(f"nvme,serial=q{each},drive=d{each}" for each in QUEUES)
    disks = tuple(
        word for each in QUEUES for word in ("-blockdev", f"{NULL_DEVICE},node-name=d{each}")
    )
    machine = MachineConfig(accel=accel, devices=devices, options=disks)
    with contextlib.ExitStack() as stack:
        qtest = stack.enter_context(QtestDisk.started(NULL_DEVICE, BLOCK, _offset))
        config = SystemConfig(machine, verifier=VerifierConfig(enabled=False))
        system = stack.enter_context(System(config))
        files = {
            queues: stack.enter_context(_load(system, queues, index).open())
            for index, queues in enumerate(QUEUES)
        }
        keys = [(queues, depth) for depth in DEPTHS for queues in (0, *QUEUES)]

        def read(queues: int, depth: int) -> Load:
            if not queues:
                return qtest.read(depth, reads)
            return _read(files[queues], depth, reads)

        subjects = {
            f"{queues or 'qtest, 1'} queues, depth {depth}": (
                lambda queues=queues, depth=depth: read(queues, depth)
            )
            for queues, depth in keys
        }
        results = in_turn(subjects, repetitions, progress)
    return _figures(dict(zip(keys, results.values(), strict=True)))


def _figures(loads: dict[tuple[int, int], list[Load]]) -> list[DiskFigure]:
    us = {key: Figure.of([each.us for each in samples]) for key, samples in loads.items()}
    return [
        DiskFigure(
            queues,
            depth,
            us[queues, depth],
            Figure.of([each.p99_us for each in samples]),
            us[0, depth].median / us[queues, depth].median,
        )
        for (queues, depth), samples in loads.items()
    ]


def _load(system: System, queues: int, index: int) -> Device:
    parameters = nvme.Parameters(queues=queues, depth=max(DEPTHS))
    driver = system.load_driver(nvme.driver_entry_with(parameters), f"nvme-{queues}")
    return driver.add_device(system.pci.find(VENDOR, MODEL, index))


def _read(file: File, depth: int, reads: int) -> Load:
    buffers = [bytearray(BLOCK) for _ in range(depth)]
    return closed_loop(
        lambda place, completed, context: file.read_async(
            buffers[place], _offset(place), completed, context
        ),
        depth,
        reads,
    )


def _offset(place: int) -> int:
    return place * 7919 % PLACES * BLOCK
