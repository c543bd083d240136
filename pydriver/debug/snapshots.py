# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Snapshots: points of a run, which are restored by running it again from the beginning.

Neither half of a system can be saved: QEMU cannot save a machine that has an NVMe controller, nor
the ivshmem device whose doorbell the link rings, and a driver's state is in Python. But a system
boots in about 20 ms, so it is run again up to the point instead. An interrupt may interrupt
different code in each run. Therefore a snapshot also has the number of times that each other point
had been reached by then, and reports the differences when it is reached again.
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from pydriver.ke.probes import Point

__all__ = ("Counts", "Position", "Snapshot")

LISTED = 5
"""Number of differences that are listed."""

Counts = Counter[tuple[Point, str]]
"""Number of times that each point has been reached, by its kind and its name."""


class Position(NamedTuple):
    """A moment at which a point was reached.

    :ivar point: the kind of the point
    :ivar name: the name of the point
    :ivar ordinal: the number of times it had been reached, including this one
    """

    point: Point
    name: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.point.value} {self.name}, number {self.ordinal}"


@dataclass(frozen=True)
class Snapshot:
    """A position to which a session can return.

    :ivar name: the name by which it is restored
    :ivar position: the point at which the system was stopped
    :ivar counts: the number of times that each point had been reached by then
    :ivar started: whether the application had been started
    """

    name: str
    position: Position
    counts: Counts
    started: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.position}"

    def compare(self, counts: Counts) -> str:
        """Returns, for people, the differences of another run that reached the same point."""
        changed = sorted(
            (f"{point.value} {name}", self.counts[point, name], counts[point, name])
            for point, name in self.counts.keys() | counts.keys()
            if self.counts[point, name] != counts[point, name]
        )
        if not changed:
            return f"all {self.counts.total()} points before it are the same as before"
        lines = [f"    {what}: {then} times then, {now} now" for what, then, now in changed]
        if len(lines) > LISTED:
            lines[LISTED:] = [f"    and {len(lines) - LISTED} more"]
        return "\n".join(("not all points before it are the same as before:", *lines))
