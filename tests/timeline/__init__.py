# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Timelines: assembly, the Perfetto trace, the page, the picture, and the command."""
