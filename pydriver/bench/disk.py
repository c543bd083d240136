# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Reads of 4 KiB from NVMe: through the driver, and from Python by QEMU's qtest.

The medium is QEMU's null device, so that only the path to it is measured.
"""

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pydriver.bench.disk_qtest import QtestDisk
from pydriver.bench.figures import Figure, Load, Progress, closed_loop, in_turn
from pydriver.drivers import nvme
from pydriver.ke import VerifierConfig
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from pydriver.wdf import Device, File

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("DISK_LOADS", "DiskFigure", "measure_disk")

BLOCK = 4096
PLACES = 1000
"""Number of blocks of the medium that are read."""
DEPTHS = (1, 4, 16, 64)
QUEUES = (1, 4)
VENDOR, MODEL = 0x1B36, 0x0010
NULL_DEVICE = "driver=null-co,read-zeroes=on,size=1073741824"
QTEST, QTEST_SHARED = "qtest", "qtest, shared memory"
WAYS = (QTEST, QTEST_SHARED, *(f"driver, {each} queue{'s'[: each > 1]}" for each in QUEUES))
DISK_LOADS = len(DEPTHS) * len(WAYS)


@dataclass(frozen=True)
class DiskFigure:
    """The figure of one way to read at one depth.

    :ivar way: one of `WAYS`
    :ivar depth: the total number of reads in flight
    :ivar us: microseconds for one read
    :ivar p99_us: latency in microseconds that 99 of 100 reads did not exceed
    :ivar ratio: number of reads in the time that qtest takes for one, at the same depth
    """

    way: str
    depth: int
    us: Figure
    p99_us: Figure
    ratio: float


def measure_disk(repetitions: int, reads: int, accel: str, progress: Progress) -> list[DiskFigure]:
    """Makes the measurements, all in one run.

    :param repetitions: the number of repetitions of each, whose median is taken
    :param reads: the number of reads in each repetition
    :param accel: ``tcg`` or ``kvm``
    :param progress: the function that is called with the name of each measurement before it
    """
    devices = tuple(f"nvme,serial=q{each},drive=d{each}" for each in QUEUES)
    disks = tuple(
        word for each in QUEUES for word in ("-blockdev", f"{NULL_DEVICE},node-name=d{each}")
    )
    machine = MachineConfig(accel=accel, devices=devices, options=disks)
    with contextlib.ExitStack() as stack:
        by_qtest = [
            stack.enter_context(QtestDisk.started(NULL_DEVICE, BLOCK, _offset, shared=shared))
            for shared in (False, True)
        ]
        config = SystemConfig(machine, verifier=VerifierConfig(enabled=False))
        system = stack.enter_context(System(config))
        files = [
            stack.enter_context(_load(system, queues, index).open())
            for index, queues in enumerate(QUEUES)
        ]
        readers: list[Callable[[int, int], Load]] = [
            *(disk.read for disk in by_qtest),
            *(partial(_read, file) for file in files),
        ]
        keys = [(way, depth) for depth in DEPTHS for way in WAYS]
        subjects = {
            f"{way}, {depth} in flight": partial(readers[WAYS.index(way)], depth, reads)
            for way, depth in keys
        }
        results = in_turn(subjects, repetitions, progress)
    return _figures(dict(zip(keys, results.values(), strict=True)))


def _figures(loads: dict[tuple[str, int], list[Load]]) -> list[DiskFigure]:
    us = {key: Figure.of([each.us for each in samples]) for key, samples in loads.items()}
    return [
        DiskFigure(
            way,
            depth,
            us[way, depth],
            Figure.of([each.p99_us for each in samples]),
            us[QTEST, depth].median / us[way, depth].median,
        )
        for (way, depth), samples in loads.items()
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
