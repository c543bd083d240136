# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The subject of a session: a system with a driver, which carries out the session's requests."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydriver.system import System
    from pydriver.wdf import Device

__all__ = ("Debuggee",)


class Debuggee(ABC):
    """A system with the debugger's probe, on a thread of its own.

    :ivar start: a function that starts the thread, and the system on it
    :ivar join: a function that waits for the end of the thread, up to a number of seconds
    :ivar ready: an event that is set when the system runs, or has failed to start
    :ivar over: whether the thread has ended
    :ivar error: the error that ended the thread; ``None`` if there was none
    :ivar devices: the devices that were given to the driver
    """

    start: Callable[[], None]
    join: Callable[[float | None], None]
    ready: Event
    over: bool
    error: BaseException | None
    devices: Sequence["Device"]

    @property
    @abstractmethod
    def system(self) -> "System | None":
        """The system, or ``None`` before it exists."""

    @property
    @abstractmethod
    def application(self) -> bool:
        """Whether the debuggee has an application that can be started."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether a request is still being carried out."""

    @abstractmethod
    def load(self) -> None:
        """Requests that the driver is loaded and its devices are started, without waiting."""

    @abstractmethod
    def exercise(self) -> None:
        """Requests that the application is started, without waiting."""

    @abstractmethod
    def finish(self) -> None:
        """Requests that the system is closed after the requests before it, without waiting."""

    @abstractmethod
    def cut(self) -> None:
        """Cuts the power of the machine, if it is on."""

    @abstractmethod
    def forget(self) -> None:
        """Makes the next debuggee load the driver from its file again."""
