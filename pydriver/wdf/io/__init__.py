# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Requests, queues, and file objects."""
