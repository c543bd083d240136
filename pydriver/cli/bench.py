# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver bench`: what the interrupt path costs, as ratios measured in one run."""

import json
from typing import Any

import click

from pydriver.bench import Report, measure
from pydriver.cli.console import say

__all__ = ("bench",)

LABELS = {
    "floor_us": "guest-only floor",
    "upcall_us": "bare upcall",
    "isr_us": "ISR",
    "isr_dpc_us": "ISR and DPC",
    "cycle_us": "full cycle",
    "cycle_verifier_us": "full cycle, verified",
    "mmio_read_us": "register read",
    "handover_us": "hand-over",
    "bar2_read_us": "BAR2 read",
    "boot_ms": "boot",
}

EXPLANATION = """\
floor: MSI, C handler in the guest reads and writes a register, EOI. Bare upcall: the same read and
write decided by Python. ISR: through the framework. Full cycle: from doorbell to completed request,
one at a time; verified: with the verifier on, which is off for all others. Hand-over: to the guest
and back. Boot: from QEMU's start to the first upcall."""

BASES = {
    "upcall_us": "floor_us",
    "isr_us": "upcall_us",
    "isr_dpc_us": "upcall_us",
    "cycle_us": "upcall_us",
    "cycle_verifier_us": "cycle_us",
    "mmio_read_us": "handover_us",
}
"""What a figure is given as a multiple of."""


@click.command()
@click.option(
    "--repetitions",
    type=click.IntRange(1, 1000),
    default=7,
    show_default=True,
    help="How often each measurement is made; medians are over these.",
)
@click.option(
    "--count",
    type=click.IntRange(100, 1_000_000),
    default=4000,
    show_default=True,
    help="Interrupts, reads and requests in each of them.",
)
@click.option("--accel", type=click.Choice(["tcg", "kvm"]), default="tcg", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(repetitions: int, count: int, accel: str, as_json: bool) -> None:  # noqa: FBT001
    """Measure what the interrupt path costs.

    Trust the ratios, not the microseconds: all figures of a run are measured in turn on the same
    machine, which may be busy or slow. Nothing else should run meanwhile.
    """
    report = _measure(repetitions, count, accel)
    if as_json:
        say(json.dumps(as_object(report)))
    else:
        _print(report)


def _measure(repetitions: int, count: int, accel: str) -> Report:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("measuring", total=repetitions * len(LABELS))

        def show(key: str) -> None:
            progress.update(task, description=LABELS[key], advance=1)

        return measure(repetitions, count, accel, show)


def as_object(report: Report) -> dict[str, Any]:
    """The report as JSON has it: each median, its range beside it, the ratios, the conditions."""
    result: dict[str, Any] = {}
    for key, figure in report.figures.items():
        result[key] = round(figure.median, 3)
        result[f"{key}_range"] = [round(figure.least, 3), round(figure.most, 3)]
    result["ratios"] = {f"{key}/{to}": round(report.ratio(key, to), 3) for key, to in BASES.items()}
    result["conditions"] = report.conditions
    return result


def _print(report: Report) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="What the interrupt path costs")
    table.add_column("measurement")
    for heading in ("median", "least", "most", "ratio"):
        table.add_column(heading, justify="right")
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
    console = Console()
    console.print(table)
    conditions = ", ".join(
        f"{name.replace('_', ' ')} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
        for name, value in report.conditions.items()
    )
    console.print(f"{EXPLANATION}\n{conditions}", highlight=False)
