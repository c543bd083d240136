# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Records of a run: events, accesses to registers, and how long callbacks took."""

from pydriver.trace.capture import Capture
from pydriver.trace.recorder import Entry, Event, Recorder
from pydriver.trace.statistics import Durations, LevelSummary, summarise

__all__ = (
    "Capture",
    "Durations",
    "Entry",
    "Event",
    "LevelSummary",
    "Recorder",
    "summarise",
)
