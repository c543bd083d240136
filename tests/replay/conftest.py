# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Files to stream, as the command's own tests have them."""

from tests.cli.conftest import endless, small

__all__ = ("endless", "small")
