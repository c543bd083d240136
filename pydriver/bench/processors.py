# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Full cycles of two busy queues, each with a vector of its own, on machines with more processors.

Queue i's vector arrives on processor i modulo their number, and its DPC runs there.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from pydriver.bench.figures import Figure, Load, Progress, closed_loop, in_turn
from pydriver.drivers import mqdma
from pydriver.ke import System, SystemConfig, VerifierConfig
from pydriver.machine import MachineConfig
from pydriver.pci import InterruptMode
from pydriver.wdf import File

__all__ = ("PROCESSORS", "ProcessorsFigure", "measure_processors")

PROCESSORS = (1, 2, 4, 8)
QUEUES = 2


@dataclass(frozen=True)
class ProcessorsFigure:
    """The load with so many processors.

    :ivar processors: vCPUs
    :ivar us: microseconds for one request
    :ivar p99_us: latency that 99 of 100 requests did not exceed
    :ivar ratio: throughput, as a multiple of that with one processor
    """

    processors: int
    us: Figure
    p99_us: Figure
    ratio: float


def measure_processors(
    repetitions: int, requests: int, accel: str, progress: Progress
) -> list[ProcessorsFigure]:
    """Runs the measurements, all in one run.

    :param repetitions: of each; the medians are over these
    :param requests: in each of them
    :param accel: ``tcg`` or ``kvm``
    :param progress: told of each
    """
    with contextlib.ExitStack() as stack:
        files = {
            processors: stack.enter_context(_open(stack, processors, accel))
            for processors in PROCESSORS
        }
        subjects = {
            f"{processors} processors": _cycles(file, requests)
            for processors, file in files.items()
        }
        results = in_turn(subjects, repetitions, progress)
    loads = dict(zip(PROCESSORS, results.values(), strict=True))
    us = {each: Figure.of([load.us for load in samples]) for each, samples in loads.items()}
    return [
        ProcessorsFigure(
            each,
            us[each],
            Figure.of([load.p99_us for load in samples]),
            us[PROCESSORS[0]].median / us[each].median,
        )
        for each, samples in loads.items()
    ]


def _open(stack: contextlib.ExitStack, processors: int, accel: str) -> File:
    machine = MachineConfig(
        cpus=processors,
        accel=accel,
        bar2=1 << 20,
        devices=(f"mqdma,memdev=bar2,queues={QUEUES}",),
    )
    config = SystemConfig(machine, verifier=VerifierConfig(enabled=False))
    system = stack.enter_context(System(config))
    driver = system.load_driver(mqdma.driver_entry_with(mqdma.Parameters(depth=4, block=4096)))
    function = system.pci.find(mqdma.VENDOR, mqdma.DEVICE)
    return driver.add_device(function, interrupts=InterruptMode.MSIX).open()


def _cycles(file: File, requests: int) -> Callable[[], Load]:
    return lambda: closed_loop(
        lambda place, completed, context: file.device_control_async(
            mqdma.IOCTL_NOP, on_complete=completed, context=context
        ),
        QUEUES,
        requests,
    )
