# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Two busy queues, each with a vector of its own, on machines with one to eight processors.

Queue i's vector arrives on processor i modulo their number, and its DPC runs there. That DPC
completes requests and sends the next ones in their places, so each processor keeps its queue busy.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from pydriver.bench.figures import Figure, Load, Progress, closed_loop, in_turn
from pydriver.drivers import mqdma
from pydriver.ke import KDpc, Kernel, VerifierConfig
from pydriver.machine import MachineConfig
from pydriver.pci import InterruptMode
from pydriver.system import System, SystemConfig
from pydriver.wdf import File, Irp

__all__ = ("LOADS", "PROCESSORS", "ProcessorsFigure", "measure_processors")

PROCESSORS = (1, 2, 4, 8)
QUEUES = 2
DEPTH = 8
"""Requests in flight on each queue."""

COPY = 65536
"""Length of a copy in bytes: the largest request that the driver takes by default."""

LOADS = {"empty request": 0, f"copy of {COPY >> 10} KiB": COPY}
"""Number of bytes that the device copies, by the name of the load."""

COPY_SHARE = 8
"""Number of empty requests for each copy; there are fewer copies because they take longer."""


@dataclass(frozen=True)
class ProcessorsFigure:
    """The figure of a load on a number of processors.

    :ivar load: the name of the load
    :ivar processors: the number of vCPUs
    :ivar us: microseconds for one request
    :ivar p99_us: latency in microseconds that 99 of 100 requests did not exceed
    :ivar ratio: throughput, as a multiple of the throughput with one processor
    """

    load: str
    processors: int
    us: Figure
    p99_us: Figure
    ratio: float


def measure_processors(
    repetitions: int, requests: int, accel: str, progress: Progress
) -> list[ProcessorsFigure]:
    """Makes the measurements, all in one run.

    :param repetitions: the number of repetitions of each, whose median is taken
    :param requests: the number of empty requests in each repetition
    :param accel: ``tcg`` or ``kvm``
    :param progress: the function that is called with the name of each measurement before it
    """
    with contextlib.ExitStack() as stack:
        files = {
            processors: stack.enter_context(_open(stack, processors, accel))
            for processors in PROCESSORS
        }
        subjects = {
            f"{load}, {processors} vCPUs": partial(_cycles, files[processors], size, requests)
            for load, size in LOADS.items()
            for processors in PROCESSORS
        }
        results = in_turn(subjects, repetitions, progress)
    keys = [(load, processors) for load in LOADS for processors in PROCESSORS]
    loads = dict(zip(keys, results.values(), strict=True))
    us = {key: Figure.of([each.us for each in samples]) for key, samples in loads.items()}
    return [
        ProcessorsFigure(
            load,
            processors,
            us[load, processors],
            Figure.of([each.p99_us for each in samples]),
            us[load, PROCESSORS[0]].median / us[load, processors].median,
        )
        for (load, processors), samples in loads.items()
    ]


def _open(stack: contextlib.ExitStack, processors: int, accel: str) -> File:
    parameters = mqdma.Parameters(depth=DEPTH)
    machine = MachineConfig(
        cpus=processors,
        accel=accel,
        bar2=1 << (QUEUES * parameters.layout.size - 1).bit_length(),
        devices=(f"mqdma,memdev=bar2,queues={QUEUES}",),
    )
    config = SystemConfig(machine, verifier=VerifierConfig(enabled=False))
    system = stack.enter_context(System(config))
    driver = system.load_driver(mqdma.driver_entry_with(parameters))
    function = system.pci.find(mqdma.VENDOR, mqdma.DEVICE)
    return driver.add_device(function, interrupts=InterruptMode.MSIX).open()


def _cycles(file: File, size: int, requests: int) -> Load:
    code, data, output = mqdma.IOCTL_NOP, b"", 0
    if size:
        code, data, output = mqdma.IOCTL_COPY, bytes(size), size + mqdma.CRC_BYTES
        requests = max(requests // COPY_SHARE, 1)

    def submit(place: int, completed: Callable[[Irp], object], context: int) -> None:
        file.device_control_async(code, data, output, completed, context)

    return closed_loop(
        submit, QUEUES * DEPTH, requests, partial(_on_processors, file.device.system.kernel)
    )


def _on_processors(kernel: Kernel, send: Callable[[int], None], depth: int) -> None:
    """Sends the first requests from a DPC on the processor of each queue."""

    def routine(dpc: KDpc, context: None, first: int, last: int) -> None:
        for place in range(first, last):
            send(place)

    share = depth // QUEUES
    for queue in range(QUEUES):
        dpc = KDpc.initialize(kernel, routine)
        dpc.set_target_processor(queue % len(kernel.processors))
        dpc.insert(queue * share, (queue + 1) * share)
