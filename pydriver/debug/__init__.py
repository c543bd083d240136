# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Inspection and control of a running system: the base of `pydriver debug` and `attach`."""

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
