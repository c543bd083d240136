# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The kernel under the framework: IRQL, processors, DPC queues, timers, threads, bug checks."""

import importlib
from typing import Any

from pydriver.ke.bugcheck import BugCheck, BugCheckState
from pydriver.ke.clock import Clock, ManualClock, MonotonicClock
from pydriver.ke.dpc import Importance, KDpc, flush_queued_dpcs
from pydriver.ke.driver_object import DriverObject
from pydriver.ke.event import EventType, KEvent, delay_execution_thread
from pydriver.ke.guest_memory import GuestBlock, GuestMemory
from pydriver.ke.kernel import Kernel
from pydriver.ke.namespace import Namespace
from pydriver.ke.processor import Processor
from pydriver.ke.registry import Registry
from pydriver.ke.routines import (
    get_current_processor_number,
    query_active_processor_count,
    query_interrupt_time,
    query_performance_counter,
    query_system_time,
    stall_execution_processor,
)
from pydriver.ke.spin_lock import KSpinLock
from pydriver.ke.status import NT_SUCCESS, NtStatusError, status_name
from pydriver.ke.thread import (
    KThread,
    create_system_thread,
    terminate_system_thread,
)
from pydriver.ke.timer import KTimer
from pydriver.ke.verifier import Verifier, VerifierConfig, VerifierError, Violation
from pydriver.place import Place

__all__ = (
    "NT_SUCCESS",
    "BugCheck",
    "BugCheckState",
    "Clock",
    "DriverObject",
    "EventType",
    "GuestBlock",
    "GuestMemory",
    "Importance",
    "KDpc",
    "KEvent",
    "KSpinLock",
    "KThread",
    "KTimer",
    "Kernel",
    "ManualClock",
    "MonotonicClock",
    "Namespace",
    "NtStatusError",
    "Place",
    "Processor",
    "Registry",
    "Verifier",
    "VerifierConfig",
    "VerifierError",
    "Violation",
    "create_system_thread",
    "delay_execution_thread",
    "flush_queued_dpcs",
    "get_current_processor_number",
    "query_active_processor_count",
    "query_interrupt_time",
    "query_performance_counter",
    "query_system_time",
    "stall_execution_processor",
    "status_name",
    "terminate_system_thread",
)

_MOVED = ("System", "SystemConfig")
"""Names that older tests of drivers still import from here, now in ``pydriver.system``."""


def __getattr__(name: str) -> Any:
    if name in _MOVED:
        return getattr(importlib.import_module("pydriver.system"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
