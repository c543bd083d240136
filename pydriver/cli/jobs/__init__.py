# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Jobs that commands run on a system: streaming, pairs, disks, debugging."""
