# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The software interrupt at DISPATCH_LEVEL, which empties a processor's DPC queue; its traps.

The time at which DPCs run: a DPC that is queued at or above DISPATCH_LEVEL runs when the IRQL falls
below it, and each way down makes sure of that: the return from an ISR asks the guest for the
software interrupt (LINK_RETURN_DISPATCH), `Kernel.lower_irql` sends it to its own processor before
it lowers, and the loop in `drain` continues until the queue is empty. A DPC that is queued below
DISPATCH_LEVEL sends the software interrupt at once.
"""

from collections.abc import Callable
from time import perf_counter_ns
from typing import Final

from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    TIMER_OR_DPC_INVALID,
    UNEXPECTED_KERNEL_MODE_TRAP,
)
from pydriver.ke.callbacks import Callbacks
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.processor import FIRST_INTERRUPT, VECTOR_DISPATCH, Processor, QueuedDpc
from pydriver.trace import Event

__all__ = ("connect_dispatch", "verify_dispatch")

DPC_CHANGED_APC_COUNT: Final = 4
"""Parameter 1 of 0xC7: a DPC has entered or left a critical region."""


def connect_dispatch(kernel: Callbacks, processor: Processor) -> None:
    """Connects the handlers of a processor's traps and of its software interrupt.

    :param kernel: the kernel that the processor belongs to
    :param processor: the processor, which has executed nothing yet
    """

    def trap() -> int:
        frame = processor.link.frame
        registers = frame.registers
        kernel.bug_check(
            UNEXPECTED_KERNEL_MODE_TRAP,
            frame.vector,
            registers.rip,
            registers.error_code,
            registers.cr2,
            message=f"exception {frame.vector} in the guest at RIP {registers.rip:#x}, "
            f"error code {registers.error_code:#x}, CR2 {registers.cr2:#x}",
        )

    handlers = processor.link.handlers
    for vector in range(FIRST_INTERRUPT):
        handlers[vector] = trap
    handlers[VECTOR_DISPATCH] = _make_drain(kernel, processor)
    if kernel.verifying:
        verify_dispatch(kernel, processor)


def verify_dispatch(kernel: Callbacks, processor: Processor) -> None:
    """Checks, from now on, how each DPC of a processor returns."""
    processor.link.handlers[VECTOR_DISPATCH] = _make_verified_drain(kernel, processor)


def _make_drain(kernel: Callbacks, processor: Processor) -> Callable[[], int]:
    dpcs = processor.dpcs
    number = processor.number
    record = kernel.record
    add = processor.dpc_durations.add
    now = perf_counter_ns
    kind = Event.DPC

    def drain() -> int:
        processor.draining = True
        try:
            while dpcs and kernel.failure is None:
                try:
                    dpc = dpcs.popleft()
                except IndexError:  # another processor removed the last one
                    break
                dpc.dequeued()
                start = now()
                record((start, kind, number, DISPATCH_LEVEL, dpc.owner, None))
                dpc.routine()
                add(now() - start)
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            kernel.escaped(error)
        processor.draining = False
        processor.drained += 1
        return 0

    return drain


def _make_verified_drain(kernel: Callbacks, processor: Processor) -> Callable[[], int]:
    """Makes a handler that also checks how each DPC returns."""
    current = kernel.current
    dpcs = processor.dpcs
    state = processor.state
    number = processor.number
    record = kernel.record
    add = processor.dpc_durations.add
    now = perf_counter_ns
    kind = Event.DPC

    def drain() -> int:
        processor.draining = True
        held = current.held
        count = len(held)
        regions = current.critical_regions
        try:
            while dpcs:
                # A DPC that queues itself again would otherwise keep the thread for ever.
                if kernel.failure is not None:
                    kernel.raise_failure()
                try:
                    dpc = dpcs.popleft()
                except IndexError:  # another processor removed the last one
                    break
                dpc.dequeued()
                start = now()
                record((start, kind, number, DISPATCH_LEVEL, dpc.owner, None))
                dpc.routine()
                add(now() - start)
                if state.irql != DISPATCH_LEVEL or len(held) > count:
                    _bad_dpc_return(kernel, processor, dpc, count)
                if current.critical_regions != regions:
                    _bad_apc_count(kernel, dpc, regions)
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            kernel.escaped(error)
        processor.draining = False
        processor.drained += 1
        return 0

    return drain


def _bad_dpc_return(kernel: Callbacks, processor: Processor, dpc: QueuedDpc, held: int) -> None:
    kept = kernel.report_kept(f"the DPC of {dpc.owner}", held, dpc.routine)
    irql = processor.state.irql
    if irql != DISPATCH_LEVEL:
        kernel.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            0,
            irql,
            DISPATCH_LEVEL,
            rule="IrqlDispatch",
            message=f"{dpc.owner} returned from its DPC at another IRQL",
            subject=dpc.owner,
            returned=dpc.routine,
            origin=kept or (kernel.current.raised_at if irql > DISPATCH_LEVEL else None),
        )


def _bad_apc_count(kernel: Callbacks, dpc: QueuedDpc, before: int) -> None:
    kernel.bug_check(
        TIMER_OR_DPC_INVALID,
        DPC_CHANGED_APC_COUNT,
        id(dpc.routine),
        before,
        kernel.current.critical_regions,
        rule="CriticalRegion",
        message=f"{dpc.owner} returned from its DPC with another count of critical regions",
        subject=dpc.owner,
        returned=dpc.routine,
    )
