# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""LatencyMon's figures of a timeline: latencies, routine times, counts per bucket.

As in LatencyMon, an interrupt's latencies begin when the interrupt is asserted and end when its ISR
begins, and when the DPC begins that the ISR has queued. The time of a routine includes that of
whatever has interrupted it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from pydriver.timeline.timeline import Category, Slice, Timeline

__all__ = ("BUCKETS", "Bucket", "Figures", "Latency", "Routine", "measure")

BUCKETS = (250, 500, 1000, 2000, 4000)
"""The upper limits of LatencyMon's buckets, in microseconds; the last bucket has none."""

LEVELS = {Category.ISR: "ISR", Category.DPC: "DPC", Category.WORK_ITEM: "work item"}


@dataclass(frozen=True)
class Latency:
    """A latency. Times are in microseconds.

    :ivar count: the number of measurements
    :ivar highest: the longest
    :ivar mean: the mean
    """

    count: int = 0
    highest: float = 0.0
    mean: float = 0.0

    @classmethod
    def of(cls, nanoseconds: Iterable[int]) -> "Latency":
        """The latency that follows from measurements in nanoseconds."""
        values = list(nanoseconds)
        if not values:
            return cls()
        return cls(len(values), max(values) / 1000, sum(values) / len(values) / 1000)


@dataclass(frozen=True)
class Routine(Latency):
    """The time that a callback took.

    :ivar level: ISR, DPC or work item
    :ivar name: the name of the callback
    :ivar target: the object to which the callback belongs
    :ivar total: the time of all its runs, in microseconds
    """

    level: str = ""
    name: str = ""
    target: str = ""
    total: float = 0.0

    @property
    def label(self) -> str:
        """The callback and its object, unless the callback's name has the object in it."""
        return self.name if self.target in {"", self.name} else f"{self.name}, {self.target}"


@dataclass(frozen=True)
class Bucket:
    """The number of runs whose time lies between two limits.

    :ivar label: the label of the bucket
    :ivar counts: the number of runs of each level
    """

    label: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Figures:
    """All figures.

    :ivar seconds: the length of the timeline
    :ivar latencies: the latencies by their names
    :ivar routines: the times of each callback, the longest first
    :ivar buckets: the runs by their time, in LatencyMon's buckets
    :ivar counts: the number of runs of each level
    """

    seconds: float
    latencies: dict[str, Latency]
    routines: list[Routine] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


def measure(timeline: Timeline) -> Figures:
    """Measures a timeline. Slices that had not ended with the run do not count."""
    begin, end = timeline.span
    runs: dict[str, list[Slice]] = {level: [] for level in LEVELS.values()}
    for each in timeline.of(*LEVELS):
        if "unfinished" not in each.values:
            runs[LEVELS[each.category]].append(each)
    return Figures(
        (end - begin) / 1e9,
        {
            "interrupt to ISR": _latency(runs["ISR"], "interrupt_to_isr_ns"),
            "interrupt to DPC": _latency(runs["DPC"], "interrupt_to_dpc_ns"),
        },
        _routines(runs),
        _buckets(runs),
        {level: len(each) for level, each in runs.items()},
    )


def _latency(runs: list[Slice], key: str) -> Latency:
    return Latency.of(int(each.values[key]) for each in runs if key in each.values)


def _routines(runs: dict[str, list[Slice]]) -> list[Routine]:
    routines = []
    for level, slices in runs.items():
        groups: dict[tuple[str, str], list[int]] = {}
        for each in slices:
            key = (each.name, str(each.values.get("object", "")))
            groups.setdefault(key, []).append(each.duration)
        for (name, target), values in groups.items():
            one = Latency.of(values)
            total = sum(values) / 1000
            routines.append(Routine(one.count, one.highest, one.mean, level, name, target, total))
    return sorted(routines, key=lambda each: -each.highest)


def _buckets(runs: dict[str, list[Slice]]) -> list[Bucket]:
    labels = [f"under {BUCKETS[0]} us"]
    labels += [f"{low} to {high} us" for low, high in pairwise(BUCKETS)]
    labels.append(f"{BUCKETS[-1]} us or more")
    counts: list[dict[str, int]] = [dict.fromkeys(runs, 0) for _ in labels]
    for level, slices in runs.items():
        for each in slices:
            counts[_bucket(each.duration)][level] += 1
    return [Bucket(label, each) for label, each in zip(labels, counts, strict=True)]


def _bucket(nanoseconds: int) -> int:
    return sum(nanoseconds >= limit * 1000 for limit in BUCKETS)
