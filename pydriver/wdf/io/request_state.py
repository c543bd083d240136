# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The states of a request: its holder, its cancellation, and the effect of EvtIoStop."""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from pydriver.wdf.io.request import Request

__all__ = (
    "CALLED",
    "COMPLETED",
    "CREATED",
    "LOST",
    "NOT_CANCELABLE",
    "OWNED",
    "QUEUED",
    "CancelCallback",
    "StopState",
)

# Plain numbers: they are compared for every request.
QUEUED = 0
"""in a queue"""
OWNED = 1
"""presented to the driver"""
COMPLETED = 2
"""the IRP is complete, or is about to be"""
CREATED = 3
"""made by the driver; no queue ever has it"""

CancelCallback = Callable[["Request"], None]


def CALLED(request: "Request") -> NoReturn:  # noqa: N802 -- a value, like the ones above
    """Stands for a cancel callback that has been taken, to be called."""
    raise AssertionError(f"{request} is cancelled twice")


def LOST(request: "Request") -> NoReturn:  # noqa: N802
    """Like CALLED, but the driver has got STATUS_CANCELLED from WdfRequestUnmarkCancelable."""
    raise AssertionError(f"{request} is cancelled twice")


NOT_CANCELABLE = (None, CALLED, LOST)


class StopState(Enum):
    """The fate of an owned request while its queue is powered down."""

    RUNNING = "running"
    STOPPING = "in EvtIoStop"
    KEPT = "acknowledged; the driver keeps it"
    REQUEUED = "acknowledged; it goes back to its queue"
