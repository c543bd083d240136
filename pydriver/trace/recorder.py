# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The flight recorder: the last events of a system, always on, formatted only when printed.

An entry is a plain tuple, made by the code that records it, because a call of a Python function
would cost more than the entry. An entry keeps its object alive: hot code therefore records objects
that live as long as the device, and gives short-lived ones (requests) as a number.
"""

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("Entry", "Event", "Recorder")

Entry = tuple[int, "Event", int, int, object, object]
"""Time in ns, event, processor (-1: a passive thread on none), IRQL or vector, object, argument."""

NO_PROCESSOR: Final = -1


class Event(IntEnum):
    """What can be recorded. The comment says what the fourth field and the argument are."""

    ISR = 1  # vector; argument: message number
    DPC = 2  # IRQL
    WORK_ITEM = 3  # IRQL
    UNCLAIMED = 4  # vector; argument: interrupts of the line that nobody claimed so far
    SPURIOUS = 5  # vector
    PRESENT = 6  # IRQL; a queue presents request number `argument`
    COMPLETE = 7  # IRQL; argument: request number << 32 | NTSTATUS
    CANCEL = 8  # IRQL; argument: request number
    PNP = 9  # IRQL; argument: the step or callback
    CALL = 10  # IRQL; argument: the DDI
    BUG_CHECK = 11  # IRQL; argument: code


_WITH_VECTOR = {Event.ISR, Event.UNCLAIMED, Event.SPURIOUS}


class Recorder:
    """A ring of the last entries.

    :param capacity: entries that are kept
    :ivar append: records one entry; a bound C method, safe at any IRQL and on any thread
    """

    __slots__ = ("_ring", "append")

    def __init__(self, capacity: int = 4096) -> None:
        self._ring: deque[Entry] = deque(maxlen=capacity)
        self.append: Callable[[Entry], None] = self._ring.append

    def last(self, count: int | None = None) -> list[Entry]:
        """The last ``count`` entries, oldest first; all that are kept without ``count``."""
        entries = list(self._ring)
        return entries if count is None else entries[-count:] if count else []

    def format(self, count: int | None = None) -> list[str]:
        """The last entries as lines, times relative to the newest one."""
        entries = self.last(count)
        newest = entries[-1][0] if entries else 0
        return [_line(entry, newest) for entry in entries]


def _line(entry: Entry, newest: int) -> str:
    time, event, processor, level, target, argument = entry
    where = "  - " if processor == NO_PROCESSOR else f"cpu{processor}"
    at = f"vector {level:#04x}" if event in _WITH_VECTOR else f"IRQL {level:<6}"
    return (
        f"{(time - newest) / 1000:+12.1f} us  {where}  {at}  {event.name:<10} "
        f"{describe(target)}{_argument(event, argument)}"
    )


def _argument(event: Event, argument: object) -> str:
    if event is Event.COMPLETE and isinstance(argument, int):
        return f"  request {argument >> 32}, 0x{argument & 0xFFFFFFFF:08X}"
    if event in {Event.PRESENT, Event.CANCEL}:
        return f"  request {argument}"
    return f"  {argument}" if argument is not None else ""


def describe(target: object) -> str:
    """How an object is called in a report."""
    return str(target) if target is not None else ""
