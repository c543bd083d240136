# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Snapshots: points of a run, to which one goes back by running it again from its beginning.

Neither half of a system can be put back: QEMU saves no machine that has an NVMe controller, nor the
ivshmem device in which the link rings, and a driver's state is Python's. But a system boots in some
20 ms, so that it is run anew up to the point instead. What an interrupt interrupts may differ from
run to run; therefore a snapshot also knows how often each other point had been reached by then, and
says what is different when it is reached again.
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from pydriver.ke.probes import Point

__all__ = ("Counts", "Position", "Snapshot")

LISTED = 5
"""Differences that are named."""

Counts = Counter[tuple[Point, str]]
"""How often each point has been reached, by its kind and its name."""


class Position(NamedTuple):
    """One moment at which a point was reached.

    :ivar point: its kind
    :ivar name: of what was reached
    :ivar ordinal: the first time is 1
    """

    point: Point
    name: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.point.value} {self.name}, number {self.ordinal}"


@dataclass(frozen=True)
class Snapshot:
    """Where a session can go back to.

    :ivar name: by which it is restored
    :ivar position: the point at which the system was stopped
    :ivar counts: what had been reached by then
    :ivar started: the application had been started
    """

    name: str
    position: Position
    counts: Counts
    started: bool

    def __str__(self) -> str:
        return f"{self.name}: {self.position}"

    def compare(self, counts: Counts) -> str:
        """What is different in another run that has come to the same point, for people."""
        changed = sorted(
            (f"{point.value} {name}", self.counts[point, name], counts[point, name])
            for point, name in self.counts.keys() | counts.keys()
            if self.counts[point, name] != counts[point, name]
        )
        if not changed:
            return f"all {self.counts.total()} points before it are the same as then"
        lines = [f"    {what}: {then} times then, {now} now" for what, then, now in changed]
        if len(lines) > LISTED:
            lines[LISTED:] = [f"    and {len(lines) - LISTED} more"]
        return "\n".join(("not everything before it is the same as then:", *lines))
