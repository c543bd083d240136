# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The benchmarks: all measurements of one run, which should be read as ratios."""

from pydriver.bench.disk import DISK_LOADS, DiskFigure, measure_disk
from pydriver.bench.figures import Figure, Progress
from pydriver.bench.interrupts import INTERRUPT_FIGURES, InterruptReport, measure_interrupts
from pydriver.bench.processors import LOADS, PROCESSORS, ProcessorsFigure, measure_processors

__all__ = (
    "DISK_LOADS",
    "INTERRUPT_FIGURES",
    "LOADS",
    "PROCESSORS",
    "DiskFigure",
    "Figure",
    "InterruptReport",
    "ProcessorsFigure",
    "Progress",
    "measure_disk",
    "measure_interrupts",
    "measure_processors",
)
