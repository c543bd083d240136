# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Interrupt request levels as x64 Windows has them: the value of CR8, a vector's upper four bits.

An IRQL is never kept in a variable here: it is the CR8 that the guest last stored in the mailbox of
the processor that the calling thread runs on, and PASSIVE_LEVEL for a thread that runs on none.
"""

__all__ = (
    "APC_LEVEL",
    "CLOCK_LEVEL",
    "DISPATCH_LEVEL",
    "FIRST_DEVICE_LEVEL",
    "HIGH_LEVEL",
    "IPI_LEVEL",
    "LAST_DEVICE_LEVEL",
    "PASSIVE_LEVEL",
    "irql_name",
)

PASSIVE_LEVEL = 0
APC_LEVEL = 1
DISPATCH_LEVEL = 2
FIRST_DEVICE_LEVEL = 3
LAST_DEVICE_LEVEL = 11
CLOCK_LEVEL = 13
IPI_LEVEL = 14
HIGH_LEVEL = 15

_NAMES = {
    PASSIVE_LEVEL: "PASSIVE_LEVEL",
    APC_LEVEL: "APC_LEVEL",
    DISPATCH_LEVEL: "DISPATCH_LEVEL",
    CLOCK_LEVEL: "CLOCK_LEVEL",
    IPI_LEVEL: "IPI_LEVEL",
    HIGH_LEVEL: "HIGH_LEVEL",
}


def irql_name(irql: int) -> str:
    """Returns ``DISPATCH_LEVEL (2)`` for 2; for a level of devices ``DIRQL (5)``."""
    name = _NAMES.get(irql, "DIRQL" if irql < CLOCK_LEVEL else "IRQL")
    return f"{name} ({irql})"
