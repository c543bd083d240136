# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Kernel routines that do not belong to an object: the time, the processors, a stall.

Their first argument is the kernel, which a driver finds as ``device.system.kernel``.
"""

from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from pydriver.declarations.binding import Binding
from pydriver.ke.ddi import function_ddi
from pydriver.ke.irql import APC_LEVEL, HIGH_LEVEL

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel

__all__ = (
    "get_current_processor_number",
    "query_active_processor_count",
    "query_interrupt_time",
    "query_performance_counter",
    "query_system_time",
    "stall_execution_processor",
)

STALL_LIMIT_US: Final = 50
"""Microseconds of the longest stall that Microsoft allows [KeStallExecutionProcessor]."""

NS_PER_SECOND: Final = 1_000_000_000


@function_ddi("KeStallExecutionProcessor", "VOID (_In_ ULONG MicroSeconds)", highest=HIGH_LEVEL)
def stall_execution_processor(kernel: "Kernel", microseconds: int) -> None:
    """Keeps the processor busy at its IRQL for at least a time; higher interrupts preempt it.

    :param microseconds: the time, up to 50; more is a violation
    """
    end = perf_counter_ns() + microseconds * 1000
    if microseconds > STALL_LIMIT_US:
        kernel.verifier.violation(
            "StallTooLong",
            f"KeStallExecutionProcessor of {microseconds} us; its limit is {STALL_LIMIT_US} us",
        )
    processor = kernel.current.processor
    while perf_counter_ns() < end:
        if processor is not None:
            processor.link.sync()  # where interrupts come in


@function_ddi("KeGetCurrentProcessorNumber", "ULONG (VOID)", highest=HIGH_LEVEL)
@function_ddi(
    "KeGetCurrentProcessorNumberEx",
    "ULONG (_Out_opt_ PPROCESSOR_NUMBER ProcNumber)",
    highest=HIGH_LEVEL,
    binding=Binding(outputs={"return": "result", "ProcNumber.Number": "result"}),
)
def get_current_processor_number(kernel: "Kernel") -> int:
    """Returns the number of the processor that the caller runs on.

    Below DISPATCH_LEVEL the result may change at any time. A thread that runs on no processor gets
    the number of the one that it borrows for its accesses.
    """
    current = kernel.current
    processor = current.processor or current.home
    return 0 if processor is None else processor.number


@function_ddi(
    "KeQueryActiveProcessorCount",
    "ULONG (_Out_opt_ PKAFFINITY ActiveProcessors)",
    highest=APC_LEVEL,
    binding=Binding(outputs={"return": "result", "ActiveProcessors": "(1 << result) - 1"}),
)
def query_active_processor_count(kernel: "Kernel") -> int:
    """Returns the number of processors of the system."""
    return len(kernel.processors)


@function_ddi("KeQuerySystemTime", "VOID (_Out_ PLARGE_INTEGER CurrentTime)", highest=HIGH_LEVEL)
def query_system_time(kernel: "Kernel") -> int:
    """Returns the UTC time in units of 100 ns since 1 January 1601."""
    return kernel.timers.clock.system_time()


@function_ddi("KeQueryInterruptTime", "ULONGLONG (VOID)", highest=HIGH_LEVEL)
def query_interrupt_time(kernel: "Kernel") -> int:
    """Returns the time since the system's start in units of 100 ns."""
    return kernel.timers.clock.now()


@function_ddi(
    "KeQueryPerformanceCounter",
    "LARGE_INTEGER (_Out_opt_ PLARGE_INTEGER PerformanceFrequency)",
    highest=HIGH_LEVEL,
)
def query_performance_counter(kernel: "Kernel") -> tuple[int, int]:
    """Reads a counter of the host that never decreases.

    :return: the counter, and its counts per second
    """
    return perf_counter_ns(), NS_PER_SECOND
