# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The states of a system, and the check of which calls a state allows."""

import functools
from collections.abc import Callable
from enum import Enum
from typing import Concatenate, ParamSpec, TypeVar

from pydriver.errors import StateError

__all__ = ("Stateful", "SystemState", "require")

P = ParamSpec("P")
ResultT = TypeVar("ResultT")
SelfT = TypeVar("SelfT", bound="Stateful")


class SystemState(Enum):
    """The state of a system. A system can be started only once."""

    NEW = "has not been started"
    BOOTING = "is booting"
    ENUMERATING = "is enumerating its bus"
    RUNNING = "is running"
    ENDING = "is being closed"
    CLOSED = "has been closed"


class Stateful:
    """An object whose calls depend on its state.

    :ivar state: the object's state; another thread may change it at any moment
    """

    state: SystemState


def require(
    *states: SystemState,
) -> Callable[[Callable[Concatenate[SelfT, P], ResultT]], Callable[Concatenate[SelfT, P], ResultT]]:
    """Allows calls of a method in some states only; others raise :class:`StateError`.

    :param states: the states in which the method may be called
    """

    def decorate(
        method: Callable[Concatenate[SelfT, P], ResultT],
    ) -> Callable[Concatenate[SelfT, P], ResultT]:
        @functools.wraps(method)
        def checked(self: SelfT, /, *arguments: P.args, **more: P.kwargs) -> ResultT:
            if self.state not in states:
                raise StateError(
                    f"{method.__qualname__} was called, but the system {self.state.value}"
                )
            return method(self, *arguments, **more)

        return checked

    return decorate
