# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Counts and durations of the runs of each level, in bounded memory."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ("Durations", "LevelSummary", "summarise")

SAMPLES = 16384
"""The number of durations kept for the percentiles: the most recent ones."""


class Durations:
    """Durations of one kind on one processor, in nanoseconds.

    Only one thread at a time adds: the one that serves the processor.

    :param samples: the number of durations that are kept
    :param limit: the time in ns that no duration should exceed; ``None``: no limit
    :ivar count: the number of durations that were added
    :ivar total: the sum of them
    :ivar longest: the longest of them
    :ivar over: the number of durations that exceeded the limit
    :ivar samples: the most recent of them
    """

    # _notable is the smaller of `longest` and the limit: one comparison serves both.
    __slots__ = ("_limit", "_notable", "count", "longest", "over", "samples", "total")

    def __init__(self, samples: int = SAMPLES, limit: int | None = None) -> None:
        self._limit = limit
        self._notable = 0
        self.count = 0
        self.total = 0
        self.longest = 0
        self.over = 0
        self.samples: deque[int] = deque(maxlen=samples)

    def add(self, duration: int) -> None:
        """Counts one duration in ns."""
        self.count += 1
        self.total += duration
        self.samples.append(duration)
        if duration > self._notable:
            self._note(duration)

    def _note(self, duration: int) -> None:
        self.longest = max(self.longest, duration)
        limit = self._limit
        if limit is None:
            self._notable = self.longest
            return
        self.over += duration > limit
        self._notable = min(self.longest, limit)

    def clear(self) -> None:
        """Forgets all durations."""
        self.count = self.total = self.longest = self.over = self._notable = 0
        self.samples.clear()


@dataclass(frozen=True)
class LevelSummary:
    """The figures of a level. The percentiles are of the most recent samples, the others of all.

    :ivar count: the number of runs
    :ivar mean_us: the mean in microseconds; this and the next three are 0 if there was no run
    :ivar p50_us: the median
    :ivar p99_us: the 99th percentile
    :ivar max_us: the longest run
    :ivar over: the number of runs that took longer than they should [Bug Check 0x133]
    """

    count: int
    mean_us: float
    p50_us: float
    p99_us: float
    max_us: float
    over: int = 0


def summarise(parts: Iterable[Durations]) -> LevelSummary:
    """One summary of the durations of several processors."""
    parts = list(parts)
    count = sum(part.count for part in parts)
    if not count:
        return LevelSummary(0, 0.0, 0.0, 0.0, 0.0)
    samples = sorted(sample for part in parts for sample in list(part.samples))
    return LevelSummary(
        count,
        sum(part.total for part in parts) / count / 1000,
        _percentile(samples, 50),
        _percentile(samples, 99),
        max(part.longest for part in parts) / 1000,
        sum(part.over for part in parts),
    )


def _percentile(ordered: list[int], percent: int) -> float:
    """The percentile by nearest rank, in microseconds."""
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[rank - 1] / 1000
