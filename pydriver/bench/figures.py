# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What measurements give, and how they are repeated."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from threading import Event
from time import perf_counter, perf_counter_ns
from typing import TypeVar

from pydriver.wdf import Irp

__all__ = ("Figure", "Load", "Progress", "closed_loop", "from_here", "in_turn", "percentile")

TIMEOUT = 120.0
P99 = 99

T = TypeVar("T")

Progress = Callable[[str], object]
"""Called with the name of each measurement before it is made."""

Submit = Callable[[int, Callable[[Irp], object], int], object]
"""Sends a request: the number of its place, what to call when it is complete, its context."""

Begin = Callable[[Callable[[int], None], int], object]
"""Calls a function with each place below the number that it is given, from wherever it likes."""


@dataclass(frozen=True)
class Figure:
    """One measurement: the median over the repetitions, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: list[float]) -> "Figure":
        """From the repetitions."""
        return cls(statistics.median(samples), min(samples), max(samples))


@dataclass(frozen=True)
class Load:
    """What a number of requests took, of which some were always in flight.

    :ivar us: microseconds for one: the time by the number
    :ivar p99_us: 99 of 100 were complete after as many microseconds
    """

    us: float
    p99_us: float


def percentile(nanoseconds: list[int]) -> float:
    """The 99th percentile, in microseconds."""
    return statistics.quantiles(nanoseconds, n=100)[P99 - 1] / 1000


def from_here(send: Callable[[int], None], depth: int) -> None:
    """The first requests come from the calling thread."""
    for place in range(depth):
        send(place)


def closed_loop(submit: Submit, depth: int, requests: int, begin: Begin = from_here) -> Load:
    """Keeps requests in flight: each one that is complete sends the next in its place.

    :param submit: sends one
    :param depth: in flight
    :param requests: in all
    :param begin: sends the first ones
    :raises TimeoutError: they do not complete
    """
    tickets = count(depth)  # its next() is atomic: completions come on several processors
    times: list[int] = []
    done = Event()

    def send(place: int) -> None:
        submit(place, completed, place << 64 | perf_counter_ns())

    def completed(irp: Irp) -> None:
        times.append(perf_counter_ns() - (irp.context & (1 << 64) - 1))
        if next(tickets) < requests:
            send(irp.context >> 64)
        elif len(times) == requests:
            done.set()

    start = perf_counter()
    begin(send, depth)
    if not done.wait(TIMEOUT):
        raise TimeoutError(f"{requests - len(times)} of {requests} requests did not complete")
    return Load((perf_counter() - start) / requests * 1e6, percentile(times))


def in_turn(
    subjects: Mapping[str, Callable[[], T]], repetitions: int, progress: Progress
) -> dict[str, list[T]]:
    """Makes measurements in turn, so that a busy moment of the machine hits them all.

    :param subjects: by name
    :param repetitions: of each
    :param progress: told of each
    """
    results: dict[str, list[T]] = {name: [] for name in subjects}
    for _ in range(repetitions):
        for name, subject in subjects.items():
            progress(name)
            results[name].append(subject())
    return results
