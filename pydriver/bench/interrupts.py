# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The measurements of interrupts, made in turn, so that a busy moment affects them all.

Interrupts are raised by the guest itself, in C, by a write to mqdma's INT_RAISE, one at a time. So
`floor_us`, `upcall_us`, `isr_us` and `isr_dpc_us` differ only in the code that serves the
interrupt. The verifier is off, except for `cycle_verifier_us`, which is `cycle_us` on a second
system with the verifier on; `cycle_trace_us` is the same on a third system, which is traced.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from time import perf_counter, perf_counter_ns

from pydriver.abi._native import lib
from pydriver.bench import driver as bench_driver
from pydriver.bench.driver import READ, WRITE, BenchDevice
from pydriver.bench.figures import Figure, Progress, in_turn, percentile
from pydriver.drivers import mqdma
from pydriver.ke import VerifierConfig
from pydriver.link import Link
from pydriver.machine import Machine, MachineConfig
from pydriver.pci import InterruptMode
from pydriver.system import System, SystemConfig
from pydriver.trace import Capture
from pydriver.wdf import Device, Irp

__all__ = ("INTERRUPT_FIGURES", "InterruptReport", "measure_interrupts")

ISR_QUEUE, DPC_QUEUE, BARE_QUEUE = range(3)
BENCH_QUEUES = 3
CYCLE_QUEUES = 1
CYCLE_TIMEOUT = 60.0
BOOT_IPI = lib.LINK_VECTOR_IPI
INTERRUPT_FIGURES = 11


@dataclass(frozen=True)
class InterruptReport:
    """All figures of one run.

    :ivar figures: the figures by key; ``_us`` are microseconds for one, ``_ms`` milliseconds
    :ivar conditions: the conditions of the run: accelerator, vCPUs, processors, way of waiting
    """

    figures: dict[str, Figure]
    conditions: dict[str, str | int | float]

    def ratio(self, key: str, to: str) -> float:
        """Returns the median of one figure as a multiple of another's."""
        return self.figures[key].median / self.figures[to].median


def measure_interrupts(
    repetitions: int, count: int, accel: str, progress: Progress
) -> InterruptReport:
    """Makes all measurements.

    :param repetitions: the number of repetitions of each, whose median is taken
    :param count: the number of interrupts, accesses or requests in each repetition
    :param accel: ``tcg`` or ``kvm``
    :param progress: the function that is called with the name of each measurement before it
    """
    config = MachineConfig(
        accel=accel,
        bar2=1 << 20,
        devices=(
            f"mqdma,id=bench,queues={BENCH_QUEUES}",
            f"mqdma,id=cycle,memdev=bar2,queues={CYCLE_QUEUES}",
        ),
    )
    unverified = SystemConfig(config, verifier=VerifierConfig(enabled=False))
    traced_config = replace(unverified, trace=Capture())
    with (
        System(unverified) as system,
        System(SystemConfig(config)) as verified,
        System(traced_config) as traced,
    ):
        subjects = {
            **_subjects(system, verified, traced, count),
            "boot_ms": lambda: _boot(accel),
        }
        samples = in_turn(subjects, repetitions, progress)
        handovers = _each_handover(system, count)
        statistics_of_link = system.kernel.processors[0].link.statistics
    figures = {key: Figure.of(each) for key, each in samples.items()}
    conditions: dict[str, str | int | float] = {
        "accelerator": accel,
        "vcpus": config.cpus,
        "processors": len(os.sched_getaffinity(0)),
        "waiting": "spin, then sleep",
        "handover_p99_us": percentile(handovers),
        "sleeps": statistics_of_link["blocks"],
        "late_wakeups": statistics_of_link["blips"],
        "repetitions": repetitions,
        "count": count,
    }
    return InterruptReport(figures, conditions)


def _subjects(
    system: System, verified: System, traced: System, count: int
) -> dict[str, Callable[[], float]]:
    """Returns the measurements by key; each returns microseconds for one."""
    driver = system.load_driver(bench_driver.driver_entry)
    function = system.pci.find(mqdma.VENDOR, mqdma.DEVICE, 0)
    device = driver.add_device(function, interrupts=InterruptMode.MSIX)
    cycle_device = _load_cycle(system)
    verified_device = _load_cycle(verified)
    traced_device = _load_cycle(traced)
    context = device.get_typed_context(BenchDevice)
    link = system.kernel.processors[0].link
    base = context.registers.address
    vector = context.interrupts[BARE_QUEUE].vector
    raise_interrupts = system.machine.image.symbol("raise_interrupts")
    measure_floor = system.machine.image.symbol("measure_floor")
    read32, write32 = link.read32, link.write32
    read_at, write_at, raise_at = base + READ, base + WRITE, base + lib.MQDMA_REG_INT_RAISE

    def bare() -> int:
        write32(write_at, read32(read_at))
        return lib.LINK_RETURN_EOI  # type: ignore[no-any-return]

    link.handlers[vector] = bare

    def floor() -> float:
        offsets = vector << 48 | lib.MQDMA_REG_INT_RAISE << 32 | READ << 16 | WRITE
        with system.kernel.borrowed():
            return _timed(lambda: link.call(measure_floor, base, offsets, BARE_QUEUE, count), count)

    def interrupts(queue: int) -> float:
        with system.kernel.borrowed():
            return _timed(lambda: link.call(raise_interrupts, raise_at, queue, count), count)

    def commands(command: Callable[[], object]) -> float:
        with system.kernel.borrowed():
            return _timed(lambda: _repeat(command, count), count)

    assert system.machine.bar2 is not None
    word = system.machine.bar2.pointer(0, "uint32_t *")
    scratch = base + lib.MQDMA_REG_SCRATCH0
    return {
        "floor_us": floor,
        "upcall_us": lambda: interrupts(BARE_QUEUE),
        "isr_us": lambda: interrupts(ISR_QUEUE),
        "isr_dpc_us": lambda: interrupts(DPC_QUEUE),
        "cycle_us": lambda: _cycles(cycle_device, count),
        "cycle_verifier_us": lambda: _cycles(verified_device, count),
        "cycle_trace_us": lambda: _cycles(traced_device, count),
        "mmio_read_us": lambda: commands(partial(read32, scratch)),
        "handover_us": lambda: commands(link.sync),
        "bar2_read_us": lambda: _timed(lambda: _repeat(partial(word.__getitem__, 0), count), count),
    }


def _load_cycle(system: System) -> Device:
    """Loads the driver of the device whose requests are measured, and returns that device."""
    driver = system.load_driver(mqdma.driver_entry_with(mqdma.Parameters(depth=4, block=4096)))
    function = system.pci.find(mqdma.VENDOR, mqdma.DEVICE, 1)
    return driver.add_device(function, interrupts=InterruptMode.MSIX)


def _timed(work: Callable[[], object], count: int) -> float:
    start = perf_counter_ns()
    work()
    return (perf_counter_ns() - start) / count / 1000


def _repeat(work: Callable[[], object], count: int) -> None:
    for _ in range(count):
        work()


def _cycles(device: Device, count: int) -> float:
    """Measures from doorbell write to completed request, one request at a time.

    A completion submits the next request; the time from there to its doorbell is not counted.
    """
    queue = device.get_typed_context(mqdma.MqdmaDevice).queues[0]
    write32 = queue.write32
    done = Event()
    left = count
    total = rung = 0

    def write32_with_time(offset: int, value: int) -> None:
        nonlocal rung
        if offset == queue.doorbell:
            rung = perf_counter_ns()
        write32(offset, value)

    def completed(irp: Irp) -> None:
        nonlocal left, total
        total += perf_counter_ns() - rung
        left -= 1
        if left:
            file.device_control_async(mqdma.IOCTL_NOP, on_complete=completed)
        else:
            done.set()

    queue.write32 = write32_with_time
    try:
        with device.open() as file:
            file.device_control_async(mqdma.IOCTL_NOP, on_complete=completed)
            if not done.wait(CYCLE_TIMEOUT):
                raise TimeoutError(f"{left} of {count} requests did not complete")
    finally:
        queue.write32 = write32
    return total / count / 1000


def _each_handover(system: System, count: int) -> list[int]:
    """Measures single hand-overs there and back, in nanoseconds, for the percentile."""
    link = system.kernel.processors[0].link
    times = []
    with system.kernel.borrowed():
        for _ in range(count):
            start = perf_counter_ns()
            link.sync()
            times.append(perf_counter_ns() - start)
    return times


def _boot(accel: str) -> float:
    """Measures the milliseconds from the creation of the QEMU process to the first upcall."""
    arrived: list[float] = []
    machine = Machine(MachineConfig(accel=accel, bar2=0))
    start = perf_counter()
    with machine, Link(machine) as link:
        processor = link.processors[0]

        def first() -> int:
            arrived.append(perf_counter())
            return lib.LINK_RETURN_EOI  # type: ignore[no-any-return]

        processor.handlers[BOOT_IPI] = first
        with processor.borrowed():
            processor.send_ipi(processor.apic_id, BOOT_IPI)
            while not arrived:
                processor.sync()
    return (arrived[0] - start) * 1000
