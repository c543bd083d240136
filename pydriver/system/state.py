# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What state a system is in, and which calls that state allows."""

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
    """Where in its life a system is. A system is started once."""

    NEW = "has not been started"
    BOOTING = "is booting"
    ENUMERATING = "is enumerating its bus"
    RUNNING = "is running"
    ENDING = "is being closed"
    CLOSED = "has been closed"


class Stateful:
    """An object whose calls depend on its state.

    :ivar state: where in its life the object is; may change at any moment, on another thread
    """

    state: SystemState


def require(
    *states: SystemState,
) -> Callable[[Callable[Concatenate[SelfT, P], ResultT]], Callable[Concatenate[SelfT, P], ResultT]]:
    """Allows a method in some states only; in another one it raises :class:`StateError`.

    :param states: the states in which it may be called
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
