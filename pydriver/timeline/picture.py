# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A timeline as a still picture, for a report: all of the run, and the figures below it.

It is a PNG file, because every report, wiki and issue tracker shows one, and because a long run as
an SVG would have about as many elements as the picture has pixels. Pillow draws the
:class:`Drawing`, in its light colours: it needs no display and no fonts of the system, and is a
fraction of a plotting library. A pixel that several slices share gets darker the more of its time
they fill.
"""

import io
from collections.abc import Iterable

from PIL import Image, ImageColor, ImageDraw, ImageFont

from pydriver.timeline.drawing import (
    HIGHEST_IRQL,
    STYLES,
    THEME,
    Drawing,
    Head,
    LevelRow,
    Row,
    SliceRow,
    irql_colour,
    ticks,
)
from pydriver.timeline.latency import measure
from pydriver.timeline.timeline import Counter, Slice, Timeline

__all__ = ("make_picture",)

WIDTH = 1600
MARGIN = 28
GUTTER = 350
CHART = WIDTH - MARGIN - GUTTER
ROW = 22
NESTED = 17
"""The distance from a slice to the one that is nested in it."""
HEAD = 30
COUNTER = 36
LINE = 22
MOST_ROWS = 90
"""The most rows that are drawn; a note says how many are left out."""
MOST_ROUTINES = 8

BACK, PANEL, GRID = (THEME[name].light for name in ("back", "panel", "line"))
TEXT, FAINT = (THEME[name].light for name in ("text", "faint"))


def make_picture(timeline: Timeline, title: str) -> bytes:
    """Draws the picture.

    :param timeline: the timeline to show
    :param title: the title above it
    :return: the content of a PNG file
    """
    return _Picture(timeline, title).draw()


class _Picture:
    """One picture."""

    def __init__(self, timeline: Timeline, title: str) -> None:
        self._timeline = timeline
        self._title = title
        self._figures = measure(timeline)
        self._drawing = drawing = Drawing(timeline)
        self._left_out = len(drawing.rows) - MOST_ROWS
        self._rows = drawing.rows[:MOST_ROWS]
        self._bottom = MARGIN + 74 + sum(_height(row) for row in self._rows)
        lines = 4 + max(len(self._figures.buckets), len(self._figures.routines[:MOST_ROUTINES]))
        image = Image.new("RGB", (WIDTH, self._bottom + MARGIN * 2 + lines * LINE), BACK)
        self._image = image
        self._pen = ImageDraw.Draw(image)
        self._font = ImageFont.load_default(14)
        self._small = ImageFont.load_default(13)
        self._large = ImageFont.load_default(22)

    def draw(self) -> bytes:
        """Draws all of it, and returns the content of a PNG file."""
        self._pen.text((MARGIN, MARGIN - 6), self._title, TEXT, self._large)
        count = len(self._timeline.slices)
        about = f"{count:,} events in {self._drawing.span / 1e6:,.3f} ms"
        recorded = self._timeline.about.get("recorded")
        about += f", recorded {recorded}" if recorded else ""
        self._pen.text((MARGIN, MARGIN + 24), about, FAINT, self._font)
        top = MARGIN + 70
        self._draw_ruler(top - 18)
        for row in self._rows:
            self._draw_row(row, top)
            top += _height(row)
        if self._left_out > 0:
            self._pen.text((MARGIN, top + 2), f"{self._left_out} more tracks", FAINT, self._small)
        self._draw_figures(self._bottom + MARGIN)
        output = io.BytesIO()
        self._image.save(output, "PNG", optimize=True)
        return output.getvalue()

    def _x(self, time: int) -> float:
        return GUTTER + (time - self._drawing.begin) / self._drawing.span * CHART

    def _draw_ruler(self, top: int) -> None:
        span = self._drawing.span / 1000
        for us, label in ticks(span, CHART):
            x = GUTTER + us / span * CHART
            self._pen.line((x, top + 16, x, self._bottom), GRID)
            if x + 3 + self._small.getlength(label) < WIDTH:
                self._pen.text((x + 3, top), label, FAINT, self._small)

    def _draw_row(self, row: Row, top: int) -> None:
        if isinstance(row, Head):
            self._pen.rectangle((MARGIN, top + 4, WIDTH - MARGIN, top + HEAD - 4), PANEL)
            self._pen.text((MARGIN + 8, top + 6), row.group.value, TEXT, self._font)
        elif isinstance(row, LevelRow):
            self._pen.text((MARGIN + 20, top + 10), row.label, FAINT, self._small)
            self._draw_levels(row.counter, top)
        else:
            self._pen.text(
                (MARGIN + (36 if row.lane else 20), top + 3),
                self._shorten(row.label, GUTTER - MARGIN - 44),
                FAINT if row.lane else TEXT,
                self._small,
            )
            self._draw_slices(row, top)

    def _shorten(self, text: str, room: int) -> str:
        while text and self._small.getlength(text) > room:
            text = f"{text.rstrip('…')[:-1]}…"
        return text

    def _draw_slices(self, row: SliceRow, top: int) -> None:
        for depth in range(row.depth):
            y = top + depth * NESTED
            here = [each for each, at in zip(row.slices, row.depths, strict=True) if at == depth]
            for category, style in STYLES.items():
                colour = ImageColor.getrgb(style.colour.light)
                for column, share in self._coverage(
                    each for each in here if each.category is category
                ):
                    shade = max(0.3, min(1.0, share))
                    below = self._image.getpixel((column, y + ROW // 2))
                    assert isinstance(below, tuple)
                    mixed = tuple(
                        round(new * shade + old * (1 - shade))
                        for new, old in zip(colour, below, strict=True)
                    )
                    self._pen.line((column, y + 3, column, y + ROW - 3), mixed)

    def _coverage(self, slices: Iterable[Slice]) -> list[tuple[int, float]]:
        """The columns of pixels that have slices, and the share of each column that they fill."""
        columns: dict[int, float] = {}
        for each in slices:
            left = self._x(each.begin)
            right = self._x(each.begin + each.duration) if each.end is not None else left + 0.5
            right = min(max(right, left), WIDTH - MARGIN - 1.0)
            for column in range(int(left), int(right) + 1):
                part = min(right, column + 1) - max(left, column)
                columns[column] = columns.get(column, 0.0) + max(part, 0.02)
        return sorted(columns.items())

    def _draw_levels(self, counter: Counter, top: int) -> None:
        bottom = top + COUNTER - 3
        highest: dict[int, int] = {}
        level, since = 0, GUTTER
        for time, value in (*counter.samples, (self._drawing.begin + self._drawing.span, 0)):
            column = int(self._x(time))
            for each in range(since, column + 1):
                highest[each] = max(highest.get(each, 0), level)
            highest[column] = max(highest.get(column, 0), value)
            level, since = value, column + 1
        for column, value in highest.items():
            if value:
                high = round(value * (COUNTER - 6) / HIGHEST_IRQL)
                colour = irql_colour(value).light
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
                self._shorten(each.label, 380),
                each.level,
                f"{each.count:,}",
                f"{each.highest:,.1f}",
            ]
            for each in figures.routines[:MOST_ROUTINES]
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


def _height(row: Row) -> int:
    if isinstance(row, Head):
        return HEAD
    return COUNTER if isinstance(row, LevelRow) else ROW + (row.depth - 1) * NESTED
