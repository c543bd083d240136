# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Locks, DPCs, timers, work items, and the serialization of callbacks."""
