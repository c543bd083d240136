# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A timeline as one HTML page that needs nothing else: no network, no server.

The page's style and script are beside this module; what they show is the :class:`Drawing`, and the
colours become CSS variables. The data go into the page as arrays of numbers in base64, because a
browser reads those much faster than as many objects in JSON.
"""

import base64
import html
import json
from array import array
from dataclasses import asdict
from importlib import resources
from sys import byteorder
from typing import Any

from pydriver.timeline.drawing import (
    IRQL_COLOURS,
    STEPS,
    STYLES,
    THEME,
    TICK_PIXELS,
    Colour,
    Drawing,
    Head,
    LevelRow,
    Row,
)
from pydriver.timeline.latency import LEVELS, Figures, measure
from pydriver.timeline.timeline import Timeline

__all__ = ("make_page",)

NO_END = -1.0


def make_page(timeline: Timeline, title: str) -> str:
    """Makes the page.

    :param timeline: the timeline to show
    :param title: the title of the page
    """
    files = resources.files("pydriver.timeline")
    page = files.joinpath("page.html").read_text("utf-8")
    parts = {
        "TITLE": html.escape(title),
        "STYLE": _colours() + files.joinpath("page.css").read_text("utf-8"),
        "SCRIPT": files.joinpath("page.js").read_text("utf-8"),
        # In a script element, only this would end it.
        "DATA": json.dumps(_data(Drawing(timeline))).replace("</", "<\\/"),
        "FIGURES": _figures(timeline, measure(timeline)),
    }
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


def _palette() -> dict[str, Colour]:
    """All colours, by the names of their CSS variables."""
    return {
        **THEME,
        **{category.value: style.colour for category, style in STYLES.items()},
        **{f"irql_{level}": colour for level, colour in IRQL_COLOURS},
    }


def _colours() -> str:
    """The style sheet's part with the variables, for both themes."""
    palette = _palette().items()
    light = " ".join(f"--{name}: {colour.light};" for name, colour in palette)
    dark = " ".join(f"--{name}: {colour.dark};" for name, colour in palette)
    return (
        f":root {{ color-scheme: light; {light} }}\n:root.dark {{ color-scheme: dark; {dark} }}\n"
    )


def _data(drawing: Drawing) -> dict[str, Any]:
    """The drawing for the script; times are microseconds from the beginning."""
    names: dict[str, int] = {}
    details: dict[str, int] = {}
    rows = [_row(row, drawing.begin, names, details) for row in drawing.rows]
    return {
        "span": drawing.span / 1000,
        "rows": rows,
        "names": list(names),
        "details": list(details),
        "arrows": _encode("i", [number for pair in drawing.arrows for number in pair]),
        "palette": list(_palette()),
        "pale": [category.value for category, style in STYLES.items() if style.pale],
        "irqls": [[level, f"irql_{level}"] for level, _ in IRQL_COLOURS],
        "levels": list(LEVELS.items()),
        "steps": [asdict(each) for each in STEPS],
        "tick_pixels": TICK_PIXELS,
    }


def _row(row: Row, begin: int, names: dict[str, int], details: dict[str, int]) -> dict[str, Any]:
    """A row for the script.

    :param row: the row
    :param begin: the time of the left edge, in ns
    :param names: the numbers of categories and names; what is new is added
    :param details: the numbers of the texts with a slice's values; what is new is added
    """
    if isinstance(row, Head):
        return {"kind": "head", "label": row.group.value}
    if isinstance(row, LevelRow):
        samples = row.counter.samples
        return {
            "kind": "levels",
            "label": row.label,
            "begins": _encode("d", [(time - begin) / 1000 for time, _ in samples]),
            "values": _encode("d", [float(value) for _, value in samples]),
        }
    columns: tuple[list[float], list[float], list[int], list[int]] = ([], [], [], [])
    for each in row.slices:
        columns[0].append((each.begin - begin) / 1000)
        columns[1].append(NO_END if each.end is None else each.duration / 1000)
        name = f"{each.category.value}\n{each.name}"
        columns[2].append(names.setdefault(name, len(names)))
        detail = "\n".join(f"{key}: {value}" for key, value in each.values.items())
        columns[3].append(details.setdefault(detail, len(details)))
    return {
        "kind": "slices",
        "name": row.name,
        "label": row.label,
        "lane": row.lane,
        "begins": _encode("d", columns[0]),
        "lengths": _encode("d", columns[1]),
        "names": _encode("i", columns[2]),
        "details": _encode("i", columns[3]),
        "depths": _encode("B", row.depths),
    }


def _encode(kind: str, values: "list[float] | list[int]") -> str:
    packed = array(kind, values)
    if byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode("ascii")


def _figures(timeline: Timeline, figures: Figures) -> str:
    latencies = [
        [name, f"{each.count:,}", f"{each.highest:.1f}", f"{each.mean:.1f}"]
        if each.count
        else [name, "0", "not known", "not known"]
        for name, each in figures.latencies.items()
    ]
    routines = [
        [
            html.escape(each.name)
            + (f"<small>{html.escape(each.target)}</small>" if each.target != each.name else ""),
            each.level,
            f"{each.count:,}",
            f"{each.highest:.1f}",
            f"{each.mean:.1f}",
            f"{each.total / 1e4 / figures.seconds:.2f}" if figures.seconds else "0",
        ]
        for each in figures.routines
    ]
    levels = list(figures.counts)
    buckets = [
        [bucket.label, *(f"{bucket.counts[level]:,}" for level in levels)]
        for bucket in figures.buckets
    ]
    about = "".join(
        f"<p><b>{html.escape(key)}:</b> {html.escape(value)}</p>"
        for key, value in timeline.about.items()
    )
    return "".join(
        (
            _table("Latency", ["", "count", "highest us", "mean us"], latencies),
            _table("Runs by their time", ["", *levels], buckets),
            _table(
                "Highest routine times",
                ["callback", "level", "count", "highest us", "mean us", "% of the time"],
                routines,
            ),
            f'<div class="about">{about}</div>',
        )
    )


def _table(caption: str, headings: list[str], rows: list[list[str]]) -> str:
    head = "".join(f"<th>{html.escape(each)}</th>" for each in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )
