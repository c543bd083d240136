# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What a session debugs: a system with a driver, which does what the session asks for."""

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

    :ivar start: starts the thread, and the system on it
    :ivar join: waits for the end of the thread, for some seconds at most
    :ivar ready: set when the system runs, or has not come up
    :ivar over: whether the thread has ended
    :ivar error: the error that ended the thread, if it did not end by itself
    :ivar devices: the devices that the driver was given
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
        """The system, as soon as there is one."""

    @property
    @abstractmethod
    def application(self) -> bool:
        """Whether there is an application that can be started."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether something that was asked for is being done."""

    @abstractmethod
    def load(self) -> None:
        """Has the driver loaded and its devices started; does not wait for it."""

    @abstractmethod
    def exercise(self) -> None:
        """Has the application started; does not wait for it."""

    @abstractmethod
    def finish(self) -> None:
        """Has the system closed, after what is being done; does not wait for it."""

    @abstractmethod
    def cut(self) -> None:
        """Cuts the power of the machine, if it is on."""

    @abstractmethod
    def forget(self) -> None:
        """Has the next debuggee load the driver from its file again."""
