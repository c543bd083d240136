# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A timeline as a still picture, for a report: all of the run, and the figures below it.

Pillow draws it: it needs no display and no fonts of the system, and is a fraction of a plotting
library. A pixel that several slices share gets darker the more of its time they fill.
"""

import io
from collections.abc import Iterable

from PIL import Image, ImageDraw, ImageFont

from pydriver.timeline.latency import measure
from pydriver.timeline.timeline import Category, Counter, Group, Slice, Timeline, Track

__all__ = ("make_picture",)

WIDTH = 1600
MARGIN = 28
GUTTER = 350
ROW = 22
HEAD = 30
COUNTER = 36
LINE = 22
MOST_ROWS = 90
"""Tracks that are drawn; a note says how many are left out."""
TICKS = 8

BACK, PANEL, GRID, TEXT, FAINT = "#ffffff", "#f3f5f7", "#e1e4e9", "#1b1f27", "#6a7280"
COLOURS = {
    Category.ISR: "#d6455d",
    Category.DPC: "#2f76d2",
    Category.WORK_ITEM: "#2c9a62",
    Category.THREAD: "#c3c8d1",
    Category.PENDING: "#e0a021",
    Category.IN_SERVICE: "#d6455d",
    Category.MASKED: "#8d95a3",
    Category.QUEUED: "#9dbde8",
    Category.RUNNING: "#2f76d2",
    Category.REQUEST: "#8b63c9",
    Category.COMPLETED: "#2c9a62",
    Category.MERGED: "#b4600f",
    Category.EVENT: "#6a7280",
}
NESTING = (Category.THREAD, Category.DPC, Category.ISR)
"""What encloses what on a processor: the innermost is drawn last."""
MOST_IRQL = 15

Row = tuple[Track | Counter | Group, list[Slice]]


def make_picture(timeline: Timeline, title: str) -> bytes:
    """Draws the picture.

    :param timeline: to show
    :param title: above it
    :return: a PNG file
    """
    return _Picture(timeline, title).draw()


class _Picture:
    """One picture."""

    def __init__(self, timeline: Timeline, title: str) -> None:
        self._timeline = timeline
        self._title = title
        self._figures = measure(timeline)
        self._begin, end = timeline.span
        self._span = max(1, end - self._begin)
        rows = _rows(timeline)
        self._left_out = len(rows) - MOST_ROWS
        self._rows = rows[:MOST_ROWS]
        self._bottom = MARGIN + 74 + sum(_height(row[0]) for row in self._rows)
        lines = 4 + max(len(self._figures.buckets), len(self._figures.routines[:8]))
        image = Image.new("RGB", (WIDTH, self._bottom + MARGIN * 2 + lines * LINE), BACK)
        self._image = image
        self._pen = ImageDraw.Draw(image)
        self._font = ImageFont.load_default(14)
        self._small = ImageFont.load_default(13)
        self._large = ImageFont.load_default(22)

    def draw(self) -> bytes:
        """All of it."""
        self._pen.text((MARGIN, MARGIN - 6), self._title, TEXT, self._large)
        count = len(self._timeline.slices)
        about = f"{count:,} events in {self._span / 1e6:,.3f} ms"
        recorded = self._timeline.about.get("recorded")
        about += f", recorded {recorded}" if recorded else ""
        self._pen.text((MARGIN, MARGIN + 24), about, FAINT, self._font)
        top = MARGIN + 70
        self._draw_ruler(top - 18)
        for content, slices in self._rows:
            self._draw_row(content, slices, top)
            top += _height(content)
        if self._left_out > 0:
            self._pen.text((MARGIN, top + 2), f"{self._left_out} more tracks", FAINT, self._small)
        self._draw_figures(self._bottom + MARGIN)
        output = io.BytesIO()
        self._image.save(output, "PNG", optimize=True)
        return output.getvalue()

    def _x(self, time: int) -> float:
        return GUTTER + (time - self._begin) / self._span * (WIDTH - MARGIN - GUTTER)

    def _draw_ruler(self, top: int) -> None:
        for tick in range(TICKS):
            time = self._begin + self._span * tick // TICKS
            x = self._x(time)
            self._pen.line((x, top + 16, x, self._bottom), GRID)
            label = f"{(time - self._begin) / 1e6:,.2f} ms"
            self._pen.text((x + 3, top), label, FAINT, self._small)

    def _draw_row(self, content: Track | Counter | Group, slices: list[Slice], top: int) -> None:
        if isinstance(content, Group):
            self._pen.rectangle((MARGIN, top + 4, WIDTH - MARGIN, top + HEAD - 4), PANEL)
            self._pen.text((MARGIN + 8, top + 6), content.value, TEXT, self._font)
        elif isinstance(content, Counter):
            name = f"IRQL of processor {content.processor}"
            self._pen.text((MARGIN + 20, top + 10), name, FAINT, self._small)
            self._draw_counter(content, top)
        else:
            lane = content.lane and bool(slices)
            text = slices[0].category.replace("_", " ") if lane else content.name
            self._pen.text(
                (MARGIN + (36 if lane else 20), top + 3),
                self._shorten(text, GUTTER - MARGIN - 44),
                FAINT if lane else TEXT,
                self._small,
            )
            self._draw_slices(slices, top)

    def _shorten(self, text: str, room: int) -> str:
        while text and self._small.getlength(text) > room:
            text = f"{text.rstrip('…')[:-1]}…"
        return text

    def _draw_slices(self, slices: list[Slice], top: int) -> None:
        for category in sorted({each.category for each in slices}, key=_depth):
            colour = Image.new("RGB", (1, 1), COLOURS[category]).getpixel((0, 0))
            assert isinstance(colour, tuple)
            for column, share in self._coverage(
                each for each in slices if each.category is category
            ):
                shade = max(0.3, min(1.0, share))
                below = self._image.getpixel((column, top + ROW // 2))
                assert isinstance(below, tuple)
                mixed = tuple(
                    round(new * shade + old * (1 - shade))
                    for new, old in zip(colour, below, strict=True)
                )
                self._pen.line((column, top + 3, column, top + ROW - 3), mixed)

    def _coverage(self, slices: Iterable[Slice]) -> list[tuple[int, float]]:
        """Which columns of pixels slices are in, and how much of each they fill."""
        columns: dict[int, float] = {}
        for each in slices:
            left = self._x(each.begin)
            right = self._x(each.begin + each.duration) if each.end is not None else left + 0.5
            right = min(max(right, left), WIDTH - MARGIN - 1.0)
            for column in range(int(left), int(right) + 1):
                part = min(right, column + 1) - max(left, column)
                columns[column] = columns.get(column, 0.0) + max(part, 0.02)
        return sorted(columns.items())

    def _draw_counter(self, counter: Counter, top: int) -> None:
        bottom = top + COUNTER - 3
        highest: dict[int, int] = {}
        level, since = 0, GUTTER
        for time, value in (*counter.samples, (self._begin + self._span, 0)):
            column = int(self._x(time))
            for each in range(since, column + 1):
                highest[each] = max(highest.get(each, 0), level)
            highest[column] = max(highest.get(column, 0), value)
            level, since = value, column + 1
        for column, value in highest.items():
            if value:
                high = round(value * (COUNTER - 6) / MOST_IRQL)
                colour = "#ecb3bb" if value <= 2 else COLOURS[Category.ISR]
                self._pen.line((column, bottom - high, column, bottom), colour)

    # The figures

    def _draw_figures(self, top: int) -> None:
        figures = self._figures
        known = [
            [name, f"{each.count:,}", f"{each.highest:,.1f}", f"{each.mean:,.1f}"]
            if each.count
            else [name, "0", "?", "?"]
            for name, each in figures.latencies.items()
        ]
        self._draw_table(
            MARGIN, top, [150, 70, 90, 80], ["latency", "count", "highest us", "mean us"], known
        )
        levels = list(figures.counts)
        buckets = [[b.label, *(f"{b.counts[each]:,}" for each in levels)] for b in figures.buckets]
        self._draw_table(480, top, [140, 70, 70, 90], ["runs that took", *levels], buckets)
        routines = [
            [
                self._shorten(_describe(each.name, each.target), 380),
                each.level,
                f"{each.count:,}",
                f"{each.highest:,.1f}",
            ]
            for each in figures.routines[:8]
        ]
        headings = ["highest routine times", "level", "count", "us"]
        self._draw_table(910, top, [400, 80, 80, 90], headings, routines)

    def _draw_table(
        self, left: int, top: int, widths: list[int], headings: list[str], rows: list[list[str]]
    ) -> None:
        for index, row in enumerate([headings, *rows]):
            y = top + index * LINE
            x = left
            for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
                length = self._small.getlength(cell)
                at = x if number == 0 else x + width - length
                self._pen.text((at, y), cell, TEXT if index else FAINT, self._small)
                x += width
            line = y + LINE - 4
            self._pen.line((left, line, left + sum(widths), line), GRID)


def _describe(name: str, target: str) -> str:
    return name if target in {"", name} else f"{name}, {target}"


def _depth(category: Category) -> int:
    return NESTING.index(category) if category in NESTING else len(NESTING)


def _height(content: Track | Counter | Group) -> int:
    if isinstance(content, Group):
        return HEAD
    return COUNTER if isinstance(content, Counter) else ROW


def _rows(timeline: Timeline) -> list[Row]:
    """From top to bottom: a group's head, and its tracks."""
    on_track: dict[int, list[Slice]] = {}
    for each in timeline.slices:
        on_track.setdefault(each.track, []).append(each)
    rows: list[Row] = []
    for group in Group:
        tracks = sorted(
            (each for each in timeline.tracks if each.group is group),
            key=lambda track: (track.name, track.lane),
        )
        if tracks:
            rows.append((group, []))
        for index, track in enumerate(tracks):
            rows.append((track, on_track.get(track.number, [])))
            if group is Group.PROCESSORS and index < len(timeline.counters):
                rows.append((timeline.counters[index], []))
    return rows
