# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Every block of README.md and of the pages is run, and every link in them leads somewhere."""
