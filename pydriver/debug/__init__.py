# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Looking at a running system, and stopping it: what `pydriver debug` and `attach` are made of."""

from pydriver.debug.commands import Command, CommandError, Views
from pydriver.debug.debuggee import Debuggee
from pydriver.debug.debugger import Breakpoint, Debugger, Stop
from pydriver.debug.snapshots import Position, Snapshot

__all__ = (
    "Breakpoint",
    "Command",
    "CommandError",
    "Debuggee",
    "Debugger",
    "Position",
    "Snapshot",
    "Stop",
    "Views",
)
