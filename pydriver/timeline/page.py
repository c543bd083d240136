# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A timeline as one HTML page that needs nothing else: no network, no server.

The page's style and script are beside this module. The data go into the page as arrays of numbers
in base64, because a browser reads those much faster than as many objects in JSON.
"""

import base64
import html
import json
from array import array
from importlib import resources
from sys import byteorder
from typing import Any

from pydriver.timeline.latency import Figures, measure
from pydriver.timeline.timeline import Group, Slice, Timeline

__all__ = ("make_page",)

NO_END = -1.0


def make_page(timeline: Timeline, title: str) -> str:
    """Makes the page.

    :param timeline: to show
    :param title: of the page
    """
    files = resources.files("pydriver.timeline")
    page = files.joinpath("page.html").read_text("utf-8")
    parts = {
        "TITLE": html.escape(title),
        "STYLE": files.joinpath("page.css").read_text("utf-8"),
        "SCRIPT": files.joinpath("page.js").read_text("utf-8"),
        # In a script element, only this would end it.
        "DATA": json.dumps(_data(timeline)).replace("</", "<\\/"),
        "FIGURES": _figures(timeline, measure(timeline)),
    }
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


def _data(timeline: Timeline) -> dict[str, Any]:
    """Everything that the script draws; times are microseconds from the beginning."""
    begin, end = timeline.span
    rank = {group: index for index, group in enumerate(Group)}
    tracks = sorted(timeline.tracks, key=lambda track: (rank[track.group], track.name, track.lane))
    place = {track.number: index for index, track in enumerate(tracks)}
    on_track: list[list[Slice]] = [[] for _ in tracks]
    for each in timeline.slices:
        on_track[place[each.track]].append(each)
    names: dict[str, int] = {}
    details: dict[str, int] = {}
    flows: dict[int, list[int]] = {}
    data = []
    number = 0
    for track, slices in zip(tracks, on_track, strict=True):
        slices.sort(key=lambda each: (each.begin, -(each.end or each.begin)))
        for index, each in enumerate(slices, number):
            for flow in each.flows:
                flows.setdefault(flow, []).append(index)
        number += len(slices)
        data.append(_track(track.group, track.name, track.lane, slices, begin, names, details))
    pairs = [pair for pair in flows.values() if len(pair) == 2]
    return {
        "span": (end - begin) / 1000,
        "groups": [group.value for group in Group],
        "names": list(names),
        "details": list(details),
        "tracks": data,
        "flows": _encode("i", [index for pair in pairs for index in pair]),
        "counters": [
            {
                "name": f"IRQL of processor {counter.processor}",
                "times": _encode("d", [(time - begin) / 1000 for time, _ in counter.samples]),
                "values": _encode("d", [float(value) for _, value in counter.samples]),
            }
            for counter in timeline.counters
        ],
    }


def _track(
    group: Group,
    name: str,
    lane: int,
    slices: list[Slice],
    begin: int,
    names: dict[str, int],
    details: dict[str, int],
) -> dict[str, Any]:
    columns: tuple[list[float], list[float], list[int], list[int]] = ([], [], [], [])
    for each in slices:
        columns[0].append((each.begin - begin) / 1000)
        columns[1].append(NO_END if each.end is None else each.duration / 1000)
        label = f"{each.category.value}\n{each.name}"
        columns[2].append(names.setdefault(label, len(names)))
        detail = "\n".join(f"{key}: {value}" for key, value in each.values.items())
        columns[3].append(details.setdefault(detail, len(details)))
    return {
        "group": list(Group).index(group),
        "name": name,
        "lane": lane,
        "begins": _encode("d", columns[0]),
        "lengths": _encode("d", columns[1]),
        "names": _encode("i", columns[2]),
        "details": _encode("i", columns[3]),
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
