# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Traces, timelines and what shows them."""
