# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A timeline: tracks with slices on them, and the flows from causes to effects.

A captured run becomes a timeline; a Perfetto trace is written from one and read into one; the page
and the picture show one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ("Category", "Counter", "Group", "Slice", "Timeline", "Track")


class Group(StrEnum):
    """The kinds of things that tracks stand for, in the order in which they are shown."""

    PROCESSORS = "processors"
    VECTORS = "vectors"
    DPCS = "DPCs"
    WORK_ITEMS = "work items"
    QUEUES = "queues"
    THREADS = "passive threads"


class Category(StrEnum):
    """The kinds of slices; those of the last paragraph are moments."""

    ISR = "isr"  # on its processor
    DPC = "dpc"
    THREAD = "thread"  # a passive thread has borrowed the processor
    WORK_ITEM = "work_item"  # on its own track

    PENDING = "pending"  # a vector: from asserted to delivered
    IN_SERVICE = "in_service"  # a vector: from delivered to the end of its ISR
    MASKED = "masked"
    QUEUED = "queued"  # a DPC or a work item: from the request to the beginning
    RUNNING = "running"  # a DPC on its own track
    REQUEST = "request"  # a queue: from presented to completed, or to the next queue

    COMPLETED = "completed"  # a request, on the track of its queue
    MERGED = "merged"  # asserted again before it was delivered
    EVENT = "event"  # anything else


@dataclass(slots=True)
class Track:
    """A line of the timeline.

    :ivar number: the number of the track, from 0
    :ivar group: the group of the track
    :ivar name: the name; only the lanes of one thing share it in their group
    :ivar lane: the lane: slices that overlap are on tracks with one name and different lanes
    """

    number: int
    group: Group
    name: str
    lane: int = 0


@dataclass(slots=True)
class Slice:
    """Something that takes time, or a moment.

    :ivar track: the number of its track
    :ivar category: the kind of slice
    :ivar name: the name to show
    :ivar begin: the time of the beginning in ns
    :ivar end: the time of the end in ns; ``None`` for a moment
    :ivar values: other facts about it, by name
    :ivar flows: the numbers of the flows that go through it
    """

    track: int
    category: Category
    name: str
    begin: int
    end: int | None = None
    values: dict[str, int | str] = field(default_factory=dict)
    flows: list[int] = field(default_factory=list)

    @property
    def duration(self) -> int:
        """The duration in nanoseconds; 0 for a moment."""
        return 0 if self.end is None else self.end - self.begin


@dataclass(slots=True)
class Counter:
    """A value over time: the IRQL of a processor.

    :ivar processor: the number of the processor
    :ivar samples: pairs of a time in ns and the value from then on, in order
    """

    processor: int
    samples: list[tuple[int, int]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The name of the counter, with the name of the processor's track in it."""
        return f"IRQL of processor {self.processor}"


@dataclass
class Timeline:
    """A timeline.

    :ivar tracks: the tracks by their numbers
    :ivar slices: the slices, in no particular order
    :ivar counters: the IRQL of each processor
    :ivar about: facts about the run, each a heading with a text
    """

    tracks: list[Track] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    counters: list[Counter] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)

    def add_track(self, group: Group, name: str, lane: int = 0) -> Track:
        """Adds a track at the end.

        :param group: the group of the track
        :param name: the name of the track
        :param lane: the number of its lane
        """
        track = Track(len(self.tracks), group, name, lane)
        self.tracks.append(track)
        return track

    def of(self, *categories: Category) -> Iterator[Slice]:
        """The slices of some categories.

        :param categories: the categories
        """
        wanted = set(categories)
        return (each for each in self.slices if each.category in wanted)

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last time of all, in ns; 0 and 0 if the timeline is empty."""
        times = [*_times(self.slices), *(s[0] for each in self.counters for s in each.samples)]
        return (min(times), max(times)) if times else (0, 0)


def _times(slices: Iterable[Slice]) -> Iterator[int]:
    for each in slices:
        yield each.begin
        if each.end is not None:
            yield each.end
