# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Interrupt objects: configuration, connection, locks, and the service routine."""
