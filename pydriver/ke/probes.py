# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Probes: points at which a debugger can inspect the system, and hold the thread that passes.

A system has them only if its configuration asks for them. Each is put around a function when its
object is made (an interrupt, a DPC, a processor's handlers), so that a system without probes has no
trace of them on its paths.
"""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydriver.link.processor import Handler

__all__ = ("Point", "Probe", "ProbedHandlers", "probed")


class Point(Enum):
    """The kinds of points: each is an event that is about to happen."""

    UPCALL = "upcall"
    """an interrupt or a trap is handed to the kernel; detail: the vector"""
    INTERRUPT = "interrupt"
    """EvtInterruptIsr is called; detail: the vector"""
    DPC = "dpc"
    """a DPC's routine is called"""
    WORK_ITEM = "work_item"
    """a work item's callback is called"""
    CALLBACK = "callback"
    """another callback of a driver is called"""
    REGISTER = "register"
    """a register is read or written; detail: the address"""
    DDI = "ddi"
    """a driver calls the framework"""
    RULE = "rule"
    """the verifier has found a broken rule, or the system is about to stop"""


Probe = Callable[[Point, str, object, int], None]
"""``probe(point, name, subject, detail)``; called on the thread that passes, and may hold it."""

F = TypeVar("F", bound=Callable[..., Any])


def probed(
    probe: Probe | None,
    point: Point,
    name: str,
    subject: object,
    function: F,
    detail: Callable[[], int] = int,
) -> F:
    """Returns a function with a probe before it; the function itself if there is no probe.

    :param probe: the probe of the system, or ``None``
    :param name: the name of the function, as in the driver's source
    :param subject: the object concerned
    :param detail: see :class:`Point`
    """
    if probe is None:
        return function

    def with_probe(*arguments: Any, **more: Any) -> Any:
        probe(point, name, subject, detail())
        return function(*arguments, **more)

    with_probe.__qualname__ = name
    return with_probe  # type: ignore[return-value]


class ProbedHandlers(list["Handler"]):
    """The handlers of a processor's upcalls, with a probe before each.

    :param handlers: the handlers of the processor's link
    :param probe: the probe of the system
    """

    def __init__(self, handlers: "list[Handler]", probe: Probe) -> None:
        super().__init__(handlers)
        self._probe = probe

    def __getitem__(self, vector: Any) -> Any:
        handler = super().__getitem__(vector)
        self._probe(Point.UPCALL, f"vector {vector:#04x}", None, vector)
        return handler
