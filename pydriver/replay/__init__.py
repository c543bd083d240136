# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The replay of a register trace: against a new device, or into a file of qtest commands."""

from pydriver.replay.live import LiveTarget
from pydriver.replay.qtest_file import QtestFile
from pydriver.replay.session import Replay, ReplayError, Target

__all__ = ("LiveTarget", "QtestFile", "Replay", "ReplayError", "Target")
