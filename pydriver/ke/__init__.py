# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The kernel under the framework: IRQL, processors, DPC queues, threads, bug checks."""

from pydriver.ke.bugcheck import BugCheck, BugCheckState
from pydriver.ke.dpc import Importance, KDpc
from pydriver.ke.kernel import Kernel
from pydriver.ke.namespace import Namespace
from pydriver.ke.processor import Processor
from pydriver.ke.registry import Registry
from pydriver.ke.status import NT_SUCCESS, NtStatusError, status_name
from pydriver.ke.system import DriverObject, System, SystemConfig
from pydriver.ke.thread import EventType, KEvent, delay_execution_thread, start_system_thread
from pydriver.ke.verifier import Verifier, VerifierConfig, VerifierError, Violation

__all__ = (
    "NT_SUCCESS",
    "BugCheck",
    "BugCheckState",
    "DriverObject",
    "EventType",
    "Importance",
    "KDpc",
    "KEvent",
    "Kernel",
    "Namespace",
    "NtStatusError",
    "Processor",
    "Registry",
    "System",
    "SystemConfig",
    "Verifier",
    "VerifierConfig",
    "VerifierError",
    "Violation",
    "delay_execution_thread",
    "start_system_thread",
    "status_name",
)
