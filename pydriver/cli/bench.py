# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver bench`: the cost of the interrupt path, as ratios measured in one run."""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from pydriver.bench import (
    DISK_LOADS,
    INTERRUPT_FIGURES,
    LOADS,
    PROCESSORS,
    DiskFigure,
    Figure,
    InterruptReport,
    ProcessorsFigure,
    measure_disk,
    measure_interrupts,
    measure_processors,
)
from pydriver.cli.console import say
from pydriver.cli.options import accel_option, json_option

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ("bench",)

LABELS = {
    "floor_us": "guest-only floor",
    "upcall_us": "bare upcall",
    "isr_us": "ISR",
    "isr_dpc_us": "ISR and DPC",
    "cycle_us": "full cycle",
    "cycle_verifier_us": "full cycle, verified",
    "cycle_trace_us": "full cycle, traced",
    "mmio_read_us": "register read",
    "handover_us": "hand-over",
    "bar2_read_us": "BAR2 read",
    "boot_ms": "boot",
}

EXPLANATION = """\
floor: MSI, C handler in the guest reads and writes a register, EOI. Bare upcall: the same read and
write decided by Python. ISR: through the framework. Full cycle: from doorbell to completed request,
one at a time; verified: with the verifier on, which is off for all others; traced: as by
`pydriver run --trace`. Hand-over: to the guest and back. Boot: from QEMU's start to the first
upcall."""

BASES = {
    "upcall_us": "floor_us",
    "isr_us": "upcall_us",
    "isr_dpc_us": "upcall_us",
    "cycle_us": "upcall_us",
    "cycle_verifier_us": "cycle_us",
    "cycle_trace_us": "cycle_us",
    "mmio_read_us": "handover_us",
}
"""The figure that another one is given as a multiple of."""


PARTS = ("interrupts", "nvme", "processors")


@dataclass
class Results:
    """The results; ``None`` for a part that was not measured."""

    interrupts: InterruptReport | None = None
    nvme: list[DiskFigure] | None = None
    processors: list[ProcessorsFigure] | None = None


@click.command()
@click.argument("parts", type=click.Choice(PARTS), nargs=-1, metavar="[PART]...")
@click.option(
    "--repetitions",
    type=click.IntRange(1, 1000),
    default=7,
    show_default=True,
    help="Number of times that each measurement is made; the figures are medians.",
)
@click.option(
    "--count",
    type=click.IntRange(100, 1_000_000),
    default=4000,
    show_default=True,
    help="Number of interrupts, reads or requests in each measurement.",
)
@accel_option
@json_option
def bench(
    parts: tuple[str, ...],
    repetitions: int,
    count: int,
    accel: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Measure the cost of interrupts, of NVMe reads and of more processors.

    PART is interrupts, nvme or processors; without one all are measured.

    Trust the ratios, not the microseconds: all figures of a part are measured in turn on the same
    machine, which may be busy or slow. Nothing else should run meanwhile.
    """
    results = _measure(set(parts) or set(PARTS), repetitions, count, accel)
    if as_json:
        say(json.dumps(as_object(results)))
    else:
        _print(results)


def _measure(parts: set[str], repetitions: int, count: int, accel: str) -> Results:
    from rich.console import Console
    from rich.progress import Progress

    lengths = {
        "interrupts": INTERRUPT_FIGURES,
        "nvme": DISK_LOADS,
        "processors": len(PROCESSORS) * len(LOADS),
    }
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        total = repetitions * sum(lengths[part] for part in parts)
        task = progress.add_task("measuring", total=total)

        def show(key: str) -> None:
            progress.update(task, description=LABELS.get(key, key), advance=1)

        results = Results()
        if "interrupts" in parts:
            results.interrupts = measure_interrupts(repetitions, count, accel, show)
        if "nvme" in parts:
            results.nvme = measure_disk(repetitions, count, accel, show)
        if "processors" in parts:
            results.processors = measure_processors(repetitions, count, accel, show)
    return results


def as_object(results: Results) -> dict[str, Any]:
    """The report as JSON has it: each median, its range beside it, the ratios, the conditions."""
    result: dict[str, Any] = {}
    report = results.interrupts
    if report is not None:
        for key, figure in report.figures.items():
            result[key] = round(figure.median, 3)
            result[f"{key}_range"] = _range(figure)
        ratios = {f"{key}/{to}": round(report.ratio(key, to), 3) for key, to in BASES.items()}
        result["ratios"] = ratios
        result["conditions"] = report.conditions
    if results.nvme is not None:
        result["nvme"] = [
            {"way": each.way, "depth": each.depth, "ratio_to_qtest": round(each.ratio, 3)}
            | _load(each)
            for each in results.nvme
        ]
    if results.processors is not None:
        result["processors"] = [
            {
                "load": each.load,
                "processors": each.processors,
                "ratio_to_one": round(each.ratio, 3),
            }
            | _load(each)
            for each in results.processors
        ]
    return result


def _range(figure: Figure) -> list[float]:
    return [round(figure.least, 3), round(figure.most, 3)]


def _load(each: DiskFigure | ProcessorsFigure) -> dict[str, Any]:
    return {
        "us": round(each.us.median, 3),
        "us_range": _range(each.us),
        "p99_us": round(each.p99_us.median, 3),
    }


def _print(results: Results) -> None:
    from rich.console import Console

    console = Console()
    if results.interrupts is not None:
        _print_interrupts(console, results.interrupts)
    if results.nvme is not None:
        _print_nvme(console, results.nvme)
    if results.processors is not None:
        _print_processors(console, results.processors)


def _print_interrupts(console: "Console", report: InterruptReport) -> None:
    table = _table("What the interrupt path costs", "median", "least", "most", "ratio")
    table.add_column("to")
    for key, figure in report.figures.items():
        unit = key.rsplit("_", 1)[1]
        base = BASES.get(key)
        table.add_row(
            LABELS[key],
            *(f"{value:.2f} {unit}" for value in (figure.median, figure.least, figure.most)),
            f"{report.ratio(key, base):.2f}x" if base else "",
            LABELS[base] if base else "",
        )
    console.print(table)
    conditions = ", ".join(
        f"{name.replace('_', ' ')} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in report.conditions.items()
    )
    console.print(f"{EXPLANATION}\n{conditions}", highlight=False)


def _print_nvme(console: "Console", figures: list[DiskFigure]) -> None:
    table = _table("Reads of 4 KiB from NVMe", "in flight", *LOAD_COLUMNS, "qtest = 1")
    for each in figures:
        table.add_row(each.way, str(each.depth), *_cells(each), f"{each.ratio:.2f}x")
    console.print(table)
    console.print(
        "The medium is QEMU's null device. qtest: from Python, a message to QEMU for each access to"
        "\nregisters and memory; with shared memory: only for those to registers.",
        highlight=False,
    )


def _print_processors(console: "Console", figures: list[ProcessorsFigure]) -> None:
    table = _table("Full cycles of two busy queues", "vCPUs", *LOAD_COLUMNS, "1 vCPU = 1")
    for each in figures:
        table.add_row(each.load, str(each.processors), *_cells(each), f"{each.ratio:.2f}x")
    console.print(table)
    console.print("for one: the time divided by the number of requests; p99: of their latencies")


LOAD_COLUMNS = ("for one", "least", "most", "p99")


def _cells(each: DiskFigure | ProcessorsFigure) -> list[str]:
    values = (each.us.median, each.us.least, each.us.most, each.p99_us.median)
    return [f"{value:.1f} us" for value in values]


def _table(title: str, *headings: str) -> "Table":
    from rich.table import Table

    table = Table(title=title)
    table.add_column("measurement")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
