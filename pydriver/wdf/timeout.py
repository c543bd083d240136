# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Times as timers and waits take them: 64 bits, in units of 100 ns [wdfcore.h].

Negative is relative to now; positive is absolute, since 1 January 1601.
"""

__all__ = (
    "WDF_ABS_TIMEOUT_IN_MS",
    "WDF_ABS_TIMEOUT_IN_SEC",
    "WDF_ABS_TIMEOUT_IN_US",
    "WDF_REL_TIMEOUT_IN_MS",
    "WDF_REL_TIMEOUT_IN_SEC",
    "WDF_REL_TIMEOUT_IN_US",
)


def WDF_ABS_TIMEOUT_IN_SEC(time: int) -> int:  # noqa: N802 -- the function's name
    """So many seconds after 1601."""
    return time * 10_000_000


def WDF_ABS_TIMEOUT_IN_MS(time: int) -> int:  # noqa: N802
    """So many milliseconds after 1601."""
    return time * 10_000


def WDF_ABS_TIMEOUT_IN_US(time: int) -> int:  # noqa: N802
    """So many microseconds after 1601."""
    return time * 10


def WDF_REL_TIMEOUT_IN_SEC(time: int) -> int:  # noqa: N802
    """In so many seconds."""
    return -WDF_ABS_TIMEOUT_IN_SEC(time)


def WDF_REL_TIMEOUT_IN_MS(time: int) -> int:  # noqa: N802
    """In so many milliseconds."""
    return -WDF_ABS_TIMEOUT_IN_MS(time)


def WDF_REL_TIMEOUT_IN_US(time: int) -> int:  # noqa: N802
    """In so many microseconds."""
    return -WDF_ABS_TIMEOUT_IN_US(time)
