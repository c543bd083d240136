# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What the interrupt path costs: measurements in one run, to be read as ratios."""

from pydriver.bench.measure import Figure, Report, measure

__all__ = ("Figure", "Report", "measure")
