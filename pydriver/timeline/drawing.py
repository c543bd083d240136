# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The drawing of a timeline: the one model that the page and the picture show.

The model has the rows from top to bottom, the order and the nesting of the slices in each row, the
arrows, the colours of both themes, and the distances between ticks. A viewer adds what depends on
its medium: sizes, fonts, and what the reader can do with it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pydriver.timeline.timeline import Category, Counter, Group, Slice, Timeline, Track

__all__ = (
    "HIGHEST_IRQL",
    "IRQL_COLOURS",
    "STEPS",
    "STYLES",
    "THEME",
    "TICK_PIXELS",
    "Colour",
    "Drawing",
    "Head",
    "LevelRow",
    "Row",
    "SliceRow",
    "Step",
    "Style",
    "irql_colour",
    "step",
    "ticks",
)

# Colours


@dataclass(frozen=True)
class Colour:
    """A colour of the drawing, as CSS writes it.

    :ivar light: the colour on a light background; the picture uses this one
    :ivar dark: the colour on a dark background
    """

    light: str
    dark: str


THEME: Final = {
    "back": Colour("#ffffff", "#14171d"),
    "panel": Colour("#f5f6f8", "#1c2028"),
    "line": Colour("#e1e4e9", "#2d323d"),
    "text": Colour("#1b1f27", "#e6e9ef"),
    "faint": Colour("#6a7280", "#959dab"),
    "label": Colour("#ffffff", "#0d1015"),  # the text on a slice
    "accent": Colour("#2563c9", "#7aa7f5"),
    "shade": Colour("rgba(37, 99, 201, .14)", "rgba(122, 167, 245, .2)"),
}
"""The colours of everything but slices and levels."""


@dataclass(frozen=True)
class Style:
    """The look of the slices of one category.

    :ivar colour: the colour of the slice
    :ivar pale: the slice is so pale that its label has the colour of ordinary text
    """

    colour: Colour
    pale: bool = False


_RED = Colour("#d6455d", "#ff7d90")
_BLUE = Colour("#2f76d2", "#6ba8ff")
_GREEN = Colour("#2c9a62", "#5fd29a")

STYLES: Final = {
    Category.THREAD: Style(Colour("#c3c8d1", "#454c59"), pale=True),
    Category.DPC: Style(_BLUE),
    Category.ISR: Style(_RED),
    Category.WORK_ITEM: Style(_GREEN),
    Category.PENDING: Style(Colour("#e0a021", "#f2bd54")),
    Category.IN_SERVICE: Style(_RED),
    Category.MASKED: Style(Colour("#8d95a3", "#6b7382")),
    Category.QUEUED: Style(Colour("#9dbde8", "#3d5680"), pale=True),
    Category.RUNNING: Style(_BLUE),
    Category.REQUEST: Style(Colour("#8b63c9", "#b792f0")),
    Category.COMPLETED: Style(_GREEN),
    Category.MERGED: Style(Colour("#b4600f", "#f0a05a")),
    Category.EVENT: Style(Colour("#6a7280", "#9aa3b2")),
}
"""The look of each category, in the order of drawing: of two that share a pixel, the later one is
on top."""

HIGHEST_IRQL: Final = 15
IRQL_COLOURS: Final = (
    (2, Colour("#f2c3cb", "#5f3842")),  # DISPATCH_LEVEL
    (HIGHEST_IRQL, Colour("#e07486", "#c46473")),  # device interrupts
)
"""The colours of IRQLs, each up to the level before it."""


def irql_colour(level: int) -> Colour:
    """The colour of an IRQL.

    :param level: the IRQL, 0 to 15
    """
    return next(colour for highest, colour in IRQL_COLOURS if level <= highest)


# Ticks


@dataclass(frozen=True)
class Step:
    """A round distance between two ticks.

    :ivar us: the distance in microseconds
    :ivar unit: the unit of the labels
    :ivar scale: microseconds in one unit
    :ivar digits: decimal places that tell neighbouring ticks apart
    """

    us: float
    unit: str
    scale: float
    digits: int

    def label(self, us: float) -> str:
        """The label of a tick.

        :param us: the time of the tick, in microseconds
        """
        return f"{us / self.scale:.{self.digits}f} {self.unit}"


def _steps() -> Iterator[Step]:
    for exponent in range(-3, 10):
        if exponent < 0:
            unit, power = "us", 0
        elif exponent < 5:
            unit, power = "ms", 3
        else:
            unit, power = "s", 6
        for digit in (1, 2, 5):
            us = float(f"{digit}e{exponent}")
            yield Step(us, unit, 10.0**power, max(0, power - exponent))


STEPS: Final = tuple(_steps())
"""All distances between ticks, from 1 ns to 5,000 s. The page takes them as data: it can be
zoomed."""

TICK_PIXELS: Final = 110
"""The least distance between two ticks, in pixels: their labels need it."""


def step(least: float) -> Step:
    """The shortest round distance that is long enough.

    :param least: the least distance in microseconds
    """
    return next((each for each in STEPS if each.us >= least), STEPS[-1])


def ticks(span: float, width: float) -> Iterator[tuple[float, str]]:
    """The ticks of a whole timeline: their times in microseconds, and their labels.

    :param span: the length of the timeline in microseconds
    :param width: its width in pixels
    """
    chosen = step(span * TICK_PIXELS / width)
    for number in range(int(span / chosen.us) + 1):
        yield number * chosen.us, chosen.label(number * chosen.us)


# Rows

MOST_DEPTH: Final = 5
"""The depth at which slices are drawn that are nested deeper."""


@dataclass(frozen=True)
class Head:
    """A row that opens a group.

    :ivar group: the group
    """

    group: Group


@dataclass(frozen=True)
class SliceRow:
    """A row of slices: one track.

    :ivar group: the group of the track
    :ivar name: the track's name
    :ivar label: the text before the row: the name, or for a further lane what is on it
    :ivar lane: the number of the lane; 0 is the track's first
    :ivar slices: the slices by their beginnings, what encloses before what is enclosed
    :ivar depths: the number of slices that enclose each slice, at most `MOST_DEPTH`
    """

    group: Group
    name: str
    label: str
    lane: int
    slices: list[Slice]
    depths: list[int]

    @property
    def depth(self) -> int:
        """The number of slices that may be above each other in the row, at least 1."""
        return 1 + max(self.depths, default=0)


@dataclass(frozen=True)
class LevelRow:
    """A row with the IRQL of a processor over time.

    :ivar group: the group of the processors
    :ivar label: the text before the row
    :ivar counter: the samples
    """

    group: Group
    label: str
    counter: Counter


Row = Head | SliceRow | LevelRow


class Drawing:
    """The drawing of one timeline.

    :param timeline: the timeline to draw
    :ivar begin: the time of the left edge, in ns
    :ivar span: the time from the left edge to the right one, in ns; at least 1
    :ivar rows: the rows from top to bottom
    :ivar arrows: cause and effect of each flow, as numbers of slices, which are counted from 0
        through all rows
    """

    def __init__(self, timeline: Timeline) -> None:
        self.begin, end = timeline.span
        self.span = max(1, end - self.begin)
        self.rows = list(_rows(timeline))
        self.arrows = list(_arrows(self.rows))


def _rows(timeline: Timeline) -> Iterator[Row]:
    on_track: dict[int, list[Slice]] = {}
    for each in timeline.slices:
        on_track.setdefault(each.track, []).append(each)
    counters = {counter.label: counter for counter in timeline.counters}
    for group in Group:
        tracks = [track for track in timeline.tracks if track.group is group]
        if tracks:
            yield Head(group)
        for track in sorted(tracks, key=_place):
            yield _slice_row(track, on_track.get(track.number, []))
            counter = counters.get(f"IRQL of {track.name}")
            if group is Group.PROCESSORS and counter is not None:
                yield LevelRow(group, counter.label, counter)


def _place(track: Track) -> tuple[int, str, int]:
    """The place of a track in its group: by name, and processor 2 comes before processor 10."""
    return (len(track.name) if track.group is Group.PROCESSORS else 0, track.name, track.lane)


def _slice_row(track: Track, slices: list[Slice]) -> SliceRow:
    ordered = sorted(slices, key=lambda each: (each.begin, -each.begin - each.duration))
    label = track.name
    if track.lane and ordered:
        label = ordered[0].category.replace("_", " ")
    return SliceRow(track.group, track.name, label, track.lane, ordered, list(_depths(ordered)))


def _depths(slices: list[Slice]) -> Iterator[int]:
    ends: list[int] = []
    for each in slices:
        while ends and ends[-1] <= each.begin:
            ends.pop()
        yield min(len(ends), MOST_DEPTH)
        if each.end is not None:
            ends.append(each.end)


def _arrows(rows: list[Row]) -> Iterator[tuple[int, int]]:
    slices = [each for row in rows if isinstance(row, SliceRow) for each in row.slices]
    flows: dict[int, list[int]] = {}
    for number, each in enumerate(slices):
        for flow in each.flows:
            flows.setdefault(flow, []).append(number)
    for ends in flows.values():
        if len(ends) == 2:  # the other end of a flow may be older than what was kept
            first, second = sorted(ends, key=lambda number: slices[number].begin)
            yield first, second
