# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Viewers of a recorded run: assembly, latencies, the page, the picture, and Perfetto traces."""
