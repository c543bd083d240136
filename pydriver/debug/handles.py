# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Handles: short numbers for framework objects, so that a user can name an object of a view."""

from itertools import count
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pydriver.wdf.device.wdfkd import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydriver.system import System
    from pydriver.wdf import Object

__all__ = ("Handles", "objects_below")

VIEWED = frozenset({"wdfdevice", "wdfqueue", "wdfrequest", "wdfinterrupt"})
"""Types of objects that have a command of their own."""

FIRST = 0x1000
STEP = 0x10


class Handles:
    """The handles of one system's objects, given when an object is shown for the first time.

    :param system: the system that the objects belong to
    """

    def __init__(self, system: "System") -> None:
        self._system = system
        self._numbers: WeakKeyDictionary[Object, int] = WeakKeyDictionary()
        self._next = count(FIRST, STEP)

    def of(self, target: "Object") -> str:
        """Returns an object's handle as views print it, for example ``0x1010``."""
        number = self._numbers.get(target)
        if number is None:
            number = self._numbers[target] = next(self._next)
        return f"{number:#06x}"

    def command(self, target: "Object") -> str:
        """Returns the command that shows the object, for example ``!wdfqueue 0x1010``."""
        word = kind_of(target).lower()
        return f"!{word if word in VIEWED else 'wdfobject'} {self.of(target)}"

    def find(self, text: str) -> "Object | None":
        """Returns the object with a handle, or with a name as views print it, or ``None``."""
        try:
            wanted = int(text, 16)
        except ValueError:
            return next((each for each in self.all() if str(each) == text), None)
        return next((each for each, number in self._numbers.items() if number == wanted), None)

    def all(self) -> "Iterator[Object]":
        """Yields all objects that can be reached from the drivers, including requests."""
        for driver in self._system.drivers:
            if driver.driver is not None:
                yield from objects_below(driver.driver)


def objects_below(target: "Object") -> "Iterator[Object]":
    """Yields an object, its children at all depths, and the requests of its queues."""
    from pydriver.wdf import IoQueue

    yield target
    if isinstance(target, IoQueue):
        yield from requests_of(target)
    for child in target.children:
        yield from objects_below(child)


def requests_of(queue: "Object") -> "list[Object]":
    """Returns the requests of a queue: those that the driver owns, then those that wait."""
    owned = sorted(queue.owned, key=lambda request: request.number)  # type: ignore[attr-defined]
    return [*owned, *queue.queued]  # type: ignore[attr-defined]
