# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver timeline`: a trace as a table, as a page and as a picture."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pydriver.cli.console import say
from pydriver.cli.files import OutputFile, open_input
from pydriver.cli.options import PATH, json_option
from pydriver.cli.progress import steps
from pydriver.cli.report import table

if TYPE_CHECKING:
    from pydriver.timeline.latency import Figures
    from pydriver.timeline.timeline import Timeline

__all__ = ("timeline",)

WRONG_EXIT = 1
SUFFIXES = (".html", ".png")
ROUTINES = 12
"""Callbacks in the table; the page has all."""

EPILOG = """\b
Exit codes: 0 it worked; 1 the output could not be written;
2 a bad command line, or a file that is not a trace of pydriver.
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=PATH)
@click.option(
    "--output",
    "-o",
    "outputs",
    multiple=True,
    type=PATH,
    metavar="PATH",
    help="Write a page (.html) or a picture (.png). Can be given again. A picture needs Pillow: "
    "pip install 'pydriver[timeline]'.",
)
@json_option
def timeline(file: Path, outputs: tuple[Path, ...], as_json: bool) -> int:  # noqa: FBT001
    """Show the trace FILE that `pydriver run --trace FILE` wrote.

    Prints the figures that LatencyMon would: highest and mean latency from interrupt to ISR and to
    DPC, the longest callbacks, and how many ran how long. The page has these too, below a timeline
    that can be zoomed, moved and filtered; it is one file and needs no network.
    """
    for path in outputs:
        if path.suffix.lower() not in SUFFIXES:
            raise click.UsageError(f"{path}: the name of a page or picture ends in .html or .png")
    if any(path.suffix.lower() == ".png" for path in outputs):
        _require_pillow()
    found = _read(file)
    from pydriver.timeline.latency import measure

    figures = measure(found)
    for path in outputs:
        if code := _write(found, path, file.name):
            return code
    written = say(_json(figures) if as_json else _text(figures, found))
    return 0 if written else WRONG_EXIT


def _require_pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise click.UsageError(
            "a picture needs Pillow, which is not installed: pip install 'pydriver[timeline]'"
        ) from error


def _read(path: Path) -> "Timeline":
    from pydriver.timeline.perfetto import TraceError, read_trace

    try:
        with os.fdopen(open_input(path), "rb") as file:
            data = file.read()
    except OSError as error:
        raise click.UsageError(f"cannot read {path}: {error.strerror}") from error
    try:
        with steps(f"reading {path}", len(data)) as advance:
            return read_trace(data, advance)
    except TraceError as error:
        raise click.UsageError(f"cannot read {path}: {error}") from error


def _write(found: "Timeline", path: Path, name: str) -> int:
    output = OutputFile(path)
    try:
        with steps(f"writing {path}", 0):
            if path.suffix.lower() == ".html":
                from pydriver.timeline.page import make_page

                content = make_page(found, f"Timeline of {name}").encode()
            else:
                from pydriver.timeline.picture import make_picture

                content = make_picture(found, f"Timeline of {name}")
            output.write(memoryview(content), 0)
        output.commit()
    except OSError as error:
        say(f"pydriver timeline: error: cannot write {path}: {error.strerror}", error=True)
        return WRONG_EXIT
    finally:
        output.discard()
    return 0


def _json(figures: "Figures") -> str:
    return json.dumps(asdict(figures))


def _text(figures: "Figures", found: "Timeline") -> str:
    levels = list(figures.counts)
    latencies = [["latency", "count", "highest us", "mean us"]]
    for name, each in figures.latencies.items():
        known = (f"{each.highest:.1f}", f"{each.mean:.1f}") if each.count else ("?", "?")
        latencies.append([name, str(each.count), *known])
    buckets = [["runs that took", *levels]]
    buckets += [[b.label, *(str(b.counts[level]) for level in levels)] for b in figures.buckets]
    routines = [["callback", "level", "count", "highest us", "mean us"]]
    for each in figures.routines[:ROUTINES]:
        times = (f"{each.highest:.1f}", f"{each.mean:.1f}")
        routines.append([each.label, each.level, str(each.count), *times])
    parts = [table(latencies), "", table(buckets), "", table(routines), ""]
    parts.append(f"{len(found.slices)} events in {figures.seconds:.3f} s")
    parts += [f"{key}: {value}" for key, value in found.about.items()]
    return "\n".join(parts)
