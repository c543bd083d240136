# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Service routines of interrupts: made when an interrupt is connected, called at each interrupt.

This is the hot path. Each routine is one function with everything that it needs bound to locals,
and takes only the locks that the interrupt needs: none with one processor, where the IRQL is the
lock; a mutex with several; a raised IRQL when the lock is shared with an interrupt of a higher
DIRQL. The routine for a message with one processor exists twice: when the verifier is on, it also
checks that the ISR returns at the IRQL of its call and keeps no interrupt lock.
"""

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, cast

from pydriver.ke.processor import RETURN_EOI, RETURN_EOI_DISPATCH
from pydriver.place import callback_name
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR

if TYPE_CHECKING:
    from pydriver.ke.processor import Processor
    from pydriver.wdf.interrupt.connection import InterruptConnection
    from pydriver.wdf.interrupt.interrupt import Interrupt

__all__ = ("line_routine", "message_routine", "passive_routine")


def message_routine(connection: "InterruptConnection") -> Callable[[], int]:
    """Makes the routine for a vector with a single interrupt object.

    :return: the routine, which returns flags for the return from the upcall
    """
    interrupt = cast("Interrupt", connection)
    if interrupt._lock is not interrupt or interrupt._mutex is not None:
        return _locked_message(interrupt)
    if interrupt._kernel.verifying:
        return _verified_message(interrupt)
    return _plain_message(interrupt)


def _plain_message(interrupt: "Interrupt") -> Callable[[], int]:
    processor = interrupt.processor
    isr = interrupt.isr
    assert processor is not None
    kernel = interrupt._kernel
    record = kernel.record
    now = perf_counter_ns
    add = processor.isr_durations.add
    dpcs = processor.dpcs
    number = processor.number
    vector = interrupt.vector
    message = interrupt.message_number
    kind = Event.ISR
    eoi, eoi_dispatch = RETURN_EOI, RETURN_EOI_DISPATCH

    def serve() -> int:
        start = now()
        record((start, kind, number, vector, interrupt, message))
        interrupt.interrupts += 1
        interrupt._owner = processor
        try:
            if not (claimed := isr(interrupt, message)):
                interrupt.unclaimed += 1
                if claimed is None:
                    raise _no_boolean(isr)  # noqa: TRY301 -- a bug check, as any exception is
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            kernel.escaped(error)
        interrupt._owner = None
        add(now() - start)
        if dpcs and not processor.draining:
            return eoi_dispatch
        return eoi

    return serve


def _verified_message(interrupt: "Interrupt") -> Callable[[], int]:
    processor = interrupt.processor
    isr = interrupt.isr
    assert processor is not None
    kernel = interrupt._kernel
    record = kernel.record
    now = perf_counter_ns
    add = processor.isr_durations.add
    dpcs = processor.dpcs
    number = processor.number
    state = processor.state
    vector = interrupt.vector
    level = interrupt.irql
    message = interrupt.message_number
    kind = Event.ISR
    eoi, eoi_dispatch = RETURN_EOI, RETURN_EOI_DISPATCH

    def serve() -> int:
        start = now()
        record((start, kind, number, vector, interrupt, message))
        interrupt.interrupts += 1
        interrupt._owner = processor
        locks = processor.interrupt_locks
        try:
            if not (claimed := isr(interrupt, message)):
                interrupt.unclaimed += 1
                if claimed is None:
                    raise _no_boolean(isr)  # noqa: TRY301 -- a bug check, as any exception is
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            kernel.escaped(error)
        if state.irql != level or processor.interrupt_locks != locks:
            _report_return(interrupt, processor, level, locks)
        interrupt._owner = None
        add(now() - start)
        if dpcs and not processor.draining:
            return eoi_dispatch
        return eoi

    return serve


def _no_boolean(isr: Callable[..., object]) -> TypeError:
    """The error for an ISR without ``return``, which would not compile in C."""
    return TypeError(
        f"{callback_name(isr)} returned None, which is not a BOOLEAN: return True if the interrupt "
        "was the device's, else False"
    )


def _report_return(interrupt: "Interrupt", processor: "Processor", level: int, locks: int) -> None:
    """Reports an ISR that returned at another IRQL, or with a lock that it acquired."""
    kernel = interrupt._kernel
    isr = interrupt.config.evt_interrupt_isr
    assert isr is not None
    held = kernel.current.held
    kept = max(0, processor.interrupt_locks - locks)
    processor.interrupt_locks = locks
    kernel.bad_return(
        isr,
        level,
        processor.state.irql,
        len(held) - kept,
        kernel.current.critical_regions,
        enhanced=False,
    )


def _locked_message(interrupt: "Interrupt") -> Callable[[], int]:
    processor = interrupt.processor
    assert processor is not None
    call = line_routine(interrupt)
    dpcs = processor.dpcs

    def serve() -> int:
        call()
        if dpcs and not processor.draining:
            return RETURN_EOI_DISPATCH
        return RETURN_EOI

    return serve


def line_routine(connection: "InterruptConnection") -> Callable[[], bool]:
    """Makes the routine that calls the ISR under the interrupt's lock.

    :return: the routine, which returns whether the ISR claimed the interrupt
    """
    interrupt = cast("Interrupt", connection)
    processor = interrupt.processor
    isr = interrupt.isr
    assert processor is not None
    kernel = interrupt._kernel
    verifying = kernel.verifying
    record = kernel.record
    now = perf_counter_ns
    add = processor.isr_durations.add
    link = processor.link
    state = processor.state
    number = processor.number
    vector = interrupt.vector
    message = interrupt.message_number
    lock = interrupt._lock
    mutex = lock._mutex
    synchronize = interrupt.synchronize_irql

    def call() -> bool:
        start = now()
        record((start, Event.ISR, number, vector, interrupt, message))
        interrupt.interrupts += 1
        # On a shared line, the level of the vector may differ from this interrupt's.
        entered = state.irql
        if synchronize > entered:
            link.set_cr8(synchronize)
        if mutex is not None:
            mutex.acquire(processor)
        lock._owner = processor
        locks = processor.interrupt_locks
        claimed = False
        if interrupt._kinterrupt is not None:
            try:
                result = isr(interrupt, message)
                if result is None:
                    raise _no_boolean(isr)  # noqa: TRY301 -- a bug check, as any exception is
                claimed = bool(result)
            except Exception as error:  # noqa: BLE001 -- becomes a bug check
                kernel.escaped(error)
            if verifying and (state.irql != synchronize or processor.interrupt_locks != locks):
                _report_return(interrupt, processor, synchronize, locks)
        lock._owner = None
        if mutex is not None:
            mutex.release(processor)
        if synchronize > entered:
            link.set_cr8(entered)
        if not claimed:
            interrupt.unclaimed += 1
        add(now() - start)
        return claimed

    return call


def passive_routine(connection: "InterruptConnection") -> Callable[[], bool]:
    """Makes the routine that calls the ISR at PASSIVE_LEVEL, under the wait lock.

    :return: the routine, which returns whether the ISR claimed the interrupt
    """
    interrupt = cast("Interrupt", connection)
    wait_lock = interrupt.wait_lock
    isr = interrupt.isr
    assert wait_lock is not None
    kernel = interrupt._kernel
    vector = interrupt.vector
    message = interrupt.message_number

    def call() -> bool:
        wait_lock.acquire()
        claimed = False
        if interrupt._kinterrupt is not None:
            start = perf_counter_ns()
            kernel.record((start, Event.ISR, NO_PROCESSOR, vector, interrupt, message))
            interrupt.interrupts += 1
            result = kernel.invoke(isr, interrupt, message, enhanced=False)
            if result is None:
                kernel.escaped(_no_boolean(isr))
            claimed = bool(result)
        wait_lock.release()
        if not claimed:
            interrupt.unclaimed += 1
        return claimed

    return call
