# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A timeline: tracks, what is on them and when, and what led to what.

It is what a captured run becomes, what a Perfetto trace is written from and read into, and what the
page and the picture show.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ("Category", "Counter", "Group", "Slice", "Timeline", "Track")


class Group(StrEnum):
    """What tracks have in common."""

    PROCESSORS = "processors"
    VECTORS = "vectors"
    DPCS = "DPCs"
    WORK_ITEMS = "work items"
    QUEUES = "queues"
    THREADS = "passive threads"


class Category(StrEnum):
    """What a slice is; those of the last paragraph are moments."""

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

    :ivar number: of the track, from 0
    :ivar group: that it belongs to
    :ivar name: unique in its group, but for its lanes
    :ivar lane: what overlaps is on tracks of one name with different lanes
    """

    number: int
    group: Group
    name: str
    lane: int = 0


@dataclass(slots=True)
class Slice:
    """Something that takes time, or a moment.

    :ivar track: number of its track
    :ivar category: what it is
    :ivar name: what to call it
    :ivar begin: ns
    :ivar end: ns; ``None``: it is a moment
    :ivar values: what else is known of it
    :ivar flows: numbers of the flows that go through it
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
        """Nanoseconds; 0 for a moment."""
        return 0 if self.end is None else self.end - self.begin


@dataclass(slots=True)
class Counter:
    """A value over time: the IRQL of a processor.

    :ivar processor: its number
    :ivar samples: ns and value, in order
    """

    processor: int
    samples: list[tuple[int, int]] = field(default_factory=list)

    @property
    def label(self) -> str:
        """The name of the counter, with the name of the processor's track in it."""
        return f"IRQL of processor {self.processor}"


@dataclass
class Timeline:
    """All of it.

    :ivar tracks: by number
    :ivar slices: in no order
    :ivar counters: the IRQL of each processor
    :ivar about: what the run was, as text by heading
    """

    tracks: list[Track] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    counters: list[Counter] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)

    def add_track(self, group: Group, name: str, lane: int = 0) -> Track:
        """Adds a track at the end."""
        track = Track(len(self.tracks), group, name, lane)
        self.tracks.append(track)
        return track

    def of(self, *categories: Category) -> Iterator[Slice]:
        """The slices of some categories."""
        wanted = set(categories)
        return (each for each in self.slices if each.category in wanted)

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last nanosecond of all; 0 and 0 if there is nothing."""
        times = [*_times(self.slices), *(s[0] for each in self.counters for s in each.samples)]
        return (min(times), max(times)) if times else (0, 0)


def _times(slices: Iterable[Slice]) -> Iterator[int]:
    for each in slices:
        yield each.begin
        if each.end is not None:
            yield each.end
