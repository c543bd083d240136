# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The times that timers and waits take: 64 bits, in units of 100 ns [wdfcore.h].

A negative time is relative to now; a positive one is absolute, since 1 January 1601.
"""

from pydriver.ke.clock import TICKS_PER_MS, TICKS_PER_SECOND
from pydriver.ke.ddi import function_ddi
from pydriver.ke.irql import HIGH_LEVEL

__all__ = (
    "WDF_ABS_TIMEOUT_IN_MS",
    "WDF_ABS_TIMEOUT_IN_SEC",
    "WDF_ABS_TIMEOUT_IN_US",
    "WDF_REL_TIMEOUT_IN_MS",
    "WDF_REL_TIMEOUT_IN_SEC",
    "WDF_REL_TIMEOUT_IN_US",
)


@function_ddi("WDF_ABS_TIMEOUT_IN_SEC", "LONGLONG (_In_ ULONGLONG Time)", highest=HIGH_LEVEL)
def WDF_ABS_TIMEOUT_IN_SEC(time: int) -> int:  # noqa: N802 -- the function's name
    """The time so many seconds after the beginning of 1601."""
    return time * TICKS_PER_SECOND


@function_ddi("WDF_ABS_TIMEOUT_IN_MS", "LONGLONG (_In_ ULONGLONG Time)", highest=HIGH_LEVEL)
def WDF_ABS_TIMEOUT_IN_MS(time: int) -> int:  # noqa: N802
    """The time so many milliseconds after the beginning of 1601."""
    return time * TICKS_PER_MS


@function_ddi("WDF_ABS_TIMEOUT_IN_US", "LONGLONG (_In_ ULONGLONG Time)", highest=HIGH_LEVEL)
def WDF_ABS_TIMEOUT_IN_US(time: int) -> int:  # noqa: N802
    """The time so many microseconds after the beginning of 1601."""
    return time * 10


@function_ddi("WDF_REL_TIMEOUT_IN_SEC", "LONGLONG (_In_ ULONGLONG Time)", highest=HIGH_LEVEL)
def WDF_REL_TIMEOUT_IN_SEC(time: int) -> int:  # noqa: N802
    """The time so many seconds from now."""
    return -WDF_ABS_TIMEOUT_IN_SEC(time)


@function_ddi("WDF_REL_TIMEOUT_IN_MS", "LONGLONG (_In_ ULONGLONG Time)", highest=HIGH_LEVEL)
def WDF_REL_TIMEOUT_IN_MS(time: int) -> int:  # noqa: N802
    """The time so many milliseconds from now."""
    return -WDF_ABS_TIMEOUT_IN_MS(time)


@function_ddi("WDF_REL_TIMEOUT_IN_US", "LONGLONG (_In_ ULONGLONG Time)", highest=HIGH_LEVEL)
def WDF_REL_TIMEOUT_IN_US(time: int) -> int:  # noqa: N802
    """The time so many microseconds from now."""
    return -WDF_ABS_TIMEOUT_IN_US(time)
