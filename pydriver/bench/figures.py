# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The figures of measurements, and the repetition of measurements."""

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
"""A function that is called with the name of each measurement before it is made."""

Submit = Callable[[int, Callable[[Irp], object], int], object]
"""A function that sends a request, given its place, its completion function and its context."""

Begin = Callable[[Callable[[int], None], int], object]
"""A function that calls its first argument with each place below the second, on any thread."""


@dataclass(frozen=True)
class Figure:
    """The median, the least and the most of a measurement over its repetitions."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: list[float]) -> "Figure":
        """Makes a figure from the values of the repetitions."""
        return cls(statistics.median(samples), min(samples), max(samples))


@dataclass(frozen=True)
class Load:
    """The time that a number of requests took, with a constant number in flight.

    :ivar us: microseconds for one request: the whole time, divided by the number of requests
    :ivar p99_us: latency in microseconds that 99 of 100 requests did not exceed
    """

    us: float
    p99_us: float


def percentile(nanoseconds: list[int]) -> float:
    """Returns the 99th percentile, in microseconds."""
    return statistics.quantiles(nanoseconds, n=100)[P99 - 1] / 1000


def from_here(send: Callable[[int], None], depth: int) -> None:
    """Sends the first requests on the calling thread."""
    for place in range(depth):
        send(place)


def closed_loop(submit: Submit, depth: int, requests: int, begin: Begin = from_here) -> Load:
    """Keeps requests in flight: each one that completes sends the next in its place.

    :param submit: the function that sends a request
    :param depth: the number of requests in flight
    :param requests: the total number of requests
    :param begin: the function that sends the first ones
    :raises TimeoutError: the requests do not complete
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
    """Makes measurements in turn, so that a busy moment of the machine affects them all.

    :param subjects: the measurements by name
    :param repetitions: the number of repetitions of each
    :param progress: the function that is called with the name of each measurement before it
    """
    results: dict[str, list[T]] = {name: [] for name in subjects}
    for _ in range(repetitions):
        for name, subject in subjects.items():
            progress(name)
            results[name].append(subject())
    return results
