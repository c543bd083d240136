# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Python's ``breakpoint()`` in a driver: the machine is stopped while the debugger has a prompt.

This works with Python's own debugger only, not with another one that is set in
``sys.breakpointhook`` or ``$PYTHONBREAKPOINT``.
"""

import contextlib
import os
import pdb
import sys
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from pydriver.errors import PydriverError

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.machine import Machine

__all__ = ("breakpoints_stop", "paused")

_running: "list[tuple[Machine, Kernel]]" = []


@contextlib.contextmanager
def breakpoints_stop(machine: "Machine", kernel: "Kernel") -> Iterator[None]:
    """Stops the machine, inside the block, while ``breakpoint()`` has a prompt.

    :param machine: the machine of a system
    :param kernel: the kernel of that system
    """
    system = (machine, kernel)
    _running.append(system)
    before = sys.breakpointhook
    if before is sys.__breakpointhook__ and "PYTHONBREAKPOINT" not in os.environ:
        sys.breakpointhook = _break
    try:
        yield
    finally:
        _running.remove(system)
        if not _running and sys.breakpointhook is _break:
            sys.breakpointhook = sys.__breakpointhook__


@contextlib.contextmanager
def paused(machine: "Machine", kernel: "Kernel") -> Iterator[None]:
    """Stops the machine for the duration of the block; the watchdogs pause with it."""
    with contextlib.suppress(PydriverError):  # it has ended
        machine.stop()
    try:
        yield
    finally:
        if kernel.failure is None:
            with contextlib.suppress(PydriverError):
                machine.resume()


class _Debugger(pdb.Pdb):
    """Python's debugger, for the threads of a system."""

    def interaction(self, frame: FrameType | None, traceback: TracebackType | None) -> None:
        """Shows the prompt, with all machines stopped."""
        with contextlib.ExitStack() as stack:
            for machine, kernel in _running:
                stack.enter_context(paused(machine, kernel))
            super().interaction(frame, traceback)


def _break(*_: Any, **__: Any) -> None:
    caller = sys._getframe(1)
    _Debugger(nosigint=True).set_trace(caller)
