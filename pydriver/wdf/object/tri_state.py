# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDF_TRI_STATE: yes, no, or the framework's default."""

from enum import IntEnum

from pydriver.declarations.registry import enumeration

__all__ = ("TriState",)


@enumeration("WDF_TRI_STATE", "Wdf")
class TriState(IntEnum):
    """WDF_TRI_STATE."""

    FALSE = 0
    TRUE = 1
    USE_DEFAULT = 2
