# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The flight recorder: the last events of a system. It is always on and formats only on demand.

An entry is a plain tuple, made by the code that records it, because a call of a Python function
would cost more than the entry. An entry keeps its object alive: hot code therefore records objects
that live as long as the device, and gives short-lived ones (requests) as a number.
"""

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from pydriver.trace.statistics import Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ("Entry", "Event", "Recorder")

Entry = tuple[int, "Event", int, int, object, object]
"""Time in ns, event, processor (-1: a passive thread on none), detail, object, argument."""

NO_PROCESSOR: Final = -1


class Event(IntEnum):
    """The kinds of entries. The comment gives the meaning of the detail and of the argument."""

    ISR = 1  # vector; argument: message number
    DPC = 2  # IRQL
    WORK_ITEM = 3  # IRQL
    UNCLAIMED = 4  # vector; argument: interrupts of the line so far that nobody claimed
    SPURIOUS = 5  # vector
    PRESENT = 6  # length of the request; a queue presents request number `argument`
    COMPLETE = 7  # NTSTATUS; argument: request number
    CANCEL = 8  # IRQL; argument: request number
    PNP = 9  # IRQL; argument: the step or callback
    CALL = 10  # IRQL; argument: the DDI
    BUG_CHECK = 11  # IRQL; argument: code
    VIOLATION = 12  # IRQL; argument: the rule
    TIMER = 13  # IRQL
    STORM = 14  # vector; argument: unclaimed interrupts in a row
    WORK_ITEM_QUEUED = 15  # IRQL
    MASK = 16  # vector
    UNMASK = 17  # vector

    # Recorded only while a run is traced: see `capture`.
    ISR_END = 32  # duration in nanoseconds; without an object
    DPC_END = 33  # the same
    WORK_ITEM_END = 34  # the same
    DPC_QUEUED = 35  # the processor whose queue it is; the entry's is the one that queues
    IRQL = 36  # the value that is written to CR8
    BORROW = 37  # 0; a passive thread runs on the processor from here on
    GIVE_BACK = 38  # 0; the thread gives the processor back


_DETAILS = {
    Event.ISR: "vector {:#04x}",
    Event.MASK: "vector {:#04x}",
    Event.UNMASK: "vector {:#04x}",
    Event.ISR_END: "{} ns",
    Event.DPC_END: "{} ns",
    Event.WORK_ITEM_END: "{} ns",
    Event.DPC_QUEUED: "for cpu{}",
    Event.UNCLAIMED: "vector {:#04x}",
    Event.SPURIOUS: "vector {:#04x}",
    Event.PRESENT: "{} bytes",
    Event.COMPLETE: "0x{:08X}",
}
_WITH_REQUEST = {Event.PRESENT, Event.COMPLETE, Event.CANCEL}


class Recorder:
    """A ring of the last entries.

    :param capacity: the number of entries that are kept
    :ivar append: records one entry; a bound C method, safe at any IRQL and on any thread
    """

    __slots__ = ("_ring", "append")

    def __init__(self, capacity: int = 4096) -> None:
        self._ring: deque[Entry] = deque(maxlen=capacity)
        self.append: Callable[[Entry], None] = self._ring.append

    # A recorder that traces overrides these.

    def dpc_queue(self, number: int, current: Any) -> "deque[Any]":
        """The DPC queue of a processor.

        :param number: the number of the processor
        :param current: the object that knows the processor on which the calling thread runs
        """
        return deque()

    def durations(self, end: Event, number: int, limit: int | None = None) -> Durations:
        """The counter of the durations of a level.

        :param end: the event at the end of each duration
        :param number: the number of the processor, or `NO_PROCESSOR`
        :param limit: the time in ns that no duration should exceed
        """
        return Durations(limit=limit)

    def attach(self, link: object) -> None:
        """Takes the mailbox of a processor."""

    def last(self, count: int | None = None) -> list[Entry]:
        """The last ``count`` entries, oldest first; all that are kept without ``count``."""
        entries = list(self._ring)
        return entries if count is None else entries[-count:] if count else []

    def format(self, count: int | None = None) -> list[str]:
        """The last entries as lines, with times relative to the newest entry."""
        return self.format_entries(self.last(count))

    @staticmethod
    def format_entries(entries: "Sequence[Entry]") -> list[str]:
        """Entries as lines, with times relative to the last of them."""
        newest = entries[-1][0] if entries else 0
        return [_line(entry, newest) for entry in entries]


def _line(entry: Entry, newest: int) -> str:
    time, event, processor, detail, target, argument = entry
    where = "  - " if processor == NO_PROCESSOR else f"cpu{processor}"
    at = _DETAILS.get(event, "IRQL {}").format(detail)
    return (
        f"{(time - newest) / 1000:+12.1f} us  {where}  {at:<12} {event.name:<10} "
        f"{describe(target)}{_argument(event, argument)}"
    )


def _argument(event: Event, argument: object) -> str:
    if event in _WITH_REQUEST:
        return f"  request {argument}"
    return f"  {argument}" if argument is not None else ""


def describe(target: object) -> str:
    """The name of an object in a report."""
    return str(target) if target is not None else ""
