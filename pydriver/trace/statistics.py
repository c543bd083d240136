# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""How often each level ran and how long it took, in bounded memory."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ("Durations", "LevelSummary", "summarise")

SAMPLES = 16384
"""Durations kept for the percentiles: the most recent ones."""


class Durations:
    """Durations of one kind on one processor, in nanoseconds.

    One thread at a time adds: the one that serves the processor.

    :param samples: how many are kept
    :param limit: that none should exceed, in ns; ``None``: there is none
    :ivar count: all that were added
    :ivar total: their sum
    :ivar longest: the longest of them
    :ivar over: how many exceeded the limit
    :ivar samples: the most recent of them
    """

    # _notable is the smaller one of `longest` and the limit: one comparison for both.
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
        """Count one duration in ns."""
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
        """Forget all."""
        self.count = self.total = self.longest = self.over = self._notable = 0
        self.samples.clear()


@dataclass(frozen=True)
class LevelSummary:
    """A level's figures. The percentiles are of the most recent samples, the rest of all.

    :ivar count: how often the level ran
    :ivar mean_us: microseconds; 0 when it never ran, as the other three
    :ivar p50_us: median
    :ivar p99_us: 99th percentile
    :ivar max_us: the longest
    :ivar over: how often it took longer than it should [Bug Check 0x133]
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
    """Nearest rank, in microseconds."""
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[rank - 1] / 1000
