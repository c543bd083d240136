# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Captures a run for a timeline: the flight recorder, with a longer memory and with ends.

Content: the flight recorder's entries are the beginnings. While a run is traced, ends, queued DPCs
and writes of CR8 are added. The kernel asks its recorder for the parts that can record them: the
durations, the DPC queues, the mailboxes. An untraced system therefore has not one instruction more
on its interrupt path, and the ISRs and DPCs themselves are the same in both.

Bounds: entries lie in one ring, field after field, because a million tuples would keep Python's
garbage collector busy in the middle of ISRs. When the ring is full, the oldest entries are dropped.
Nothing is formatted before the system has ended.

Only QEMU knows when an interrupt was asserted. Its trace event `apic_deliver_irq` gives the time at
which the message reached the local APIC, with a resolution of 1 us. QEMU writes these lines into a
pipe, which costs it half as much as a file, and a thread empties the pipe at intervals. With KVM
the local APIC is in the host's kernel, and there are no such lines.
"""

import contextlib
import fcntl
import os
import re
from collections import deque
from threading import Event as Signal
from threading import Thread
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pydriver.trace.recorder import NO_PROCESSOR, Entry, Event, Recorder
from pydriver.trace.statistics import Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ("ENTRIES", "Asserted", "Capture")

ENTRIES: Final = 1 << 20
"""The number of entries that are kept, about 100 bytes each."""

FIELDS: Final = 6

READINGS: Final = 64

PIPE_BYTES: Final = 1 << 20
"""The most that a process without privileges gets: room for 10,000 interrupts."""
LINE_BYTES: Final = 100
"""The approximate length of the line of one interrupt; as many lines are kept as entries."""
INTERVAL: Final = 0.05
"""Seconds between two reads of the pipe; if it is full, QEMU waits."""

_DELIVERED = re.compile(
    rb"@(\d+)\.(\d+):apic_deliver_irq dest (\d+) dest_mode 0 delivery_mode [01] vector (\d+) "
)


class Asserted(NamedTuple):
    """An interrupt message that reached the local APICs.

    :ivar time: the time in ns, as in the entries; QEMU gives whole microseconds
    :ivar destination: the APIC ID of the processor
    :ivar vector: the vector of the interrupt
    """

    time: int
    destination: int
    vector: int


class Capture(Recorder):
    """A recorder that keeps a whole run.

    Give it to one system as ``SystemConfig.trace``, and read it when the system has ended.

    :param capacity: the number of entries that are kept
    :ivar apic_ids: the APIC IDs of the processors, by the processors' numbers
    :ivar offset: the nanoseconds to add to an entry's time to get the time of day
    """

    __slots__ = (
        "_capacity",
        "_ended",
        "_fields",
        "_lines",
        "_pipe",
        "_reader",
        "apic_ids",
        "offset",
    )

    def __init__(self, capacity: int = ENTRIES) -> None:
        super().__init__(0)
        self._capacity = capacity
        self._fields: deque[Any] = deque(maxlen=capacity * FIELDS)
        self.append = self._fields.extend
        self.apic_ids: list[int] = []
        self.offset = _clock_offset()
        self._lines: deque[bytes] = deque()
        self._pipe = (-1, -1)
        self._ended = Signal()
        self._reader = Thread(target=self._read, name="pydriver-trace", daemon=True)

    # For the kernel

    def dpc_queue(self, number: int, current: Any) -> "deque[Any]":
        """A DPC queue that records each DPC that is put into it, and the processor that does it."""
        return _DpcQueue(number, current, self.append)

    def durations(self, end: Event, number: int, limit: int | None = None) -> Durations:
        """Durations that record the end of each."""
        return _Durations(self.append, end, number, limit)

    def attach(self, link: Any) -> None:
        """Makes the mailbox of a processor record writes of CR8, and when a thread borrows it."""
        self.apic_ids.append(link.apic_id)
        link.__class__ = _traced_link(type(link), self.append)

    def qemu_options(self) -> tuple[str, ...]:
        """The options that make QEMU write a line for each interrupt that is asserted."""
        reading, writing = self._pipe = os.pipe()
        with contextlib.suppress(OSError):  # the pipes of the user are too large together
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.set_blocking(reading, False)
        self._reader.start()
        path = f"/proc/{os.getpid()}/fd/{writing}"
        return ("-trace", "apic_deliver_irq", "-msg", "timestamp=on", "-D", path)

    def _read(self) -> None:
        reading = self._pipe[0]
        room = self._capacity * LINE_BYTES
        ending = False
        while not ending:
            ending = self._ended.wait(INTERVAL)
            with contextlib.suppress(BlockingIOError):
                while part := os.read(reading, PIPE_BYTES):
                    self._lines.append(part)
                    room -= len(part)
            while room < 0:
                room += len(self._lines.popleft())

    def stop(self) -> None:
        """Ends the reading of QEMU's lines; called when the system has ended."""
        if self._reader.ident is not None:
            self._ended.set()
            self._reader.join()
            for descriptor in self._pipe:
                os.close(descriptor)

    # Reading afterwards

    @property
    def full(self) -> bool:
        """Whether the ring is full, so that the first entries may be missing."""
        return len(self._fields) == self._capacity * FIELDS

    def __len__(self) -> int:
        return len(self._fields) // FIELDS

    def last(self, count: int | None = None) -> list[Entry]:
        """The last ``count`` entries, oldest first; all that are kept without ``count``."""
        if count is None:
            return list(self)
        ends = len(self._fields)
        fields = [self._fields[at] for at in range(max(0, ends - count * FIELDS), ends)]
        return [tuple(fields[at : at + FIELDS]) for at in range(0, len(fields), FIELDS)]

    def __iter__(self) -> "Iterator[Entry]":
        fields = iter(list(self._fields))  # a job that hangs may still be at work
        return zip(fields, fields, fields, fields, fields, fields, strict=True)

    def asserted(self) -> list[Asserted]:
        """The interrupts that were asserted for one processor each, in order."""
        found = []
        for match in _DELIVERED.finditer(b"".join(self._lines)):
            seconds, micros, destination, vector = map(int, match.groups())
            time = (seconds * 1_000_000 + micros) * 1000 - self.offset
            found.append(Asserted(time, destination, vector))
        return found


def _clock_offset() -> int:
    """Nanoseconds from our clock to the time of day, as in QEMU's lines; the two do not drift.

    The narrowest of several readings counts: a thread may be delayed between two clocks.
    """
    readings = []
    for _ in range(READINGS):
        before, day, after = perf_counter_ns(), time_ns(), perf_counter_ns()
        readings.append((after - before, day - (before + after) // 2))
    return min(readings)[1]


class _DpcQueue(deque[Any]):
    """A DPC queue that records each DPC that is put into it."""

    def __init__(self, number: int, current: Any, record: "Callable[[Any], object]") -> None:
        super().__init__()
        append, appendleft = super().append, super().appendleft
        now = perf_counter_ns
        kind = Event.DPC_QUEUED

        def note(dpc: Any) -> None:
            here = current.processor
            by = NO_PROCESSOR if here is None else here.number
            record((now(), kind, by, number, dpc.owner, None))

        def put(dpc: Any) -> None:
            note(dpc)
            append(dpc)

        def put_first(dpc: Any) -> None:
            note(dpc)
            appendleft(dpc)

        # On the object: a method would look all of this up at each call.
        self.append = put  # type: ignore[method-assign]
        self.appendleft = put_first  # type: ignore[method-assign]


class _Durations(Durations):
    """Durations that record the end of each."""

    __slots__ = ("add",)

    def __init__(
        self, record: "Callable[[Any], object]", end: Event, number: int, limit: int | None
    ) -> None:
        super().__init__(limit=limit)
        now = perf_counter_ns
        keep = self.samples.append

        # Repeats the lines of the method that it replaces: a call would cost as much as they do.
        def add(duration: int) -> None:
            record((now(), end, number, duration, None, None))
            self.count += 1
            self.total += duration
            keep(duration)
            if duration > self._notable:
                self._note(duration)

        self.add = add  # type: ignore[method-assign]


def _traced_link(base: type, record: "Callable[[Any], object]") -> type:
    """The class of a mailbox that records writes of CR8 and borrowing."""
    write, acquire, release = base.set_cr8, base.acquire, base.release  # type: ignore[attr-defined]
    now = perf_counter_ns

    def set_cr8(self: Any, level: int) -> None:
        record((now(), Event.IRQL, self.number, level, None, None))
        write(self, level)

    def traced_acquire(self: Any) -> None:
        acquire(self)
        record((now(), Event.BORROW, self.number, 0, None, None))

    def traced_release(self: Any) -> None:
        record((now(), Event.GIVE_BACK, self.number, 0, None, None))
        release(self)

    methods = {
        "__slots__": (),
        "set_cr8": set_cr8,
        "acquire": traced_acquire,
        "release": traced_release,
    }
    return type(base.__name__, (base,), methods)
