# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The service routines of interrupts: made when an interrupt is connected, called at each one.

This is the hot path. Each routine is one function with everything that it needs bound to locals,
and has only the locks that the interrupt needs: none with one processor, where the IRQL is the
lock; a mutex with several; a raised IRQL when the lock is shared with an interrupt of a higher
DIRQL.
"""

from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING

from pydriver.ke.processor import RETURN_EOI, RETURN_EOI_DISPATCH
from pydriver.trace import Event

if TYPE_CHECKING:
    from pydriver.wdf.interrupt import Interrupt

__all__ = ("line_routine", "message_routine")


def message_routine(interrupt: "Interrupt") -> Callable[[], int]:
    """Serves a vector that one interrupt object has for itself: flags of the upcall's return."""
    locked = interrupt.mutex is not None or interrupt.config.spin_lock is not None
    return _locked_message(interrupt) if locked else _plain_message(interrupt)


def _plain_message(interrupt: "Interrupt") -> Callable[[], int]:
    processor = interrupt.processor
    isr = interrupt.config.evt_interrupt_isr
    assert processor is not None
    assert isr is not None
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
        interrupt.holder = processor
        try:
            if not isr(interrupt, message):
                interrupt.unclaimed += 1
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            kernel.escaped(error)
        interrupt.holder = None
        add(now() - start)
        if dpcs and not processor.draining:
            return eoi_dispatch
        return eoi

    return serve


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


def line_routine(interrupt: "Interrupt") -> Callable[[], bool]:
    """Calls the ISR under the interrupt's lock: whether it claimed the interrupt."""
    processor = interrupt.processor
    isr = interrupt.config.evt_interrupt_isr
    assert processor is not None
    assert isr is not None
    kernel = interrupt._kernel
    record = kernel.record
    now = perf_counter_ns
    add = processor.isr_durations.add
    link = processor.link
    number = processor.number
    vector = interrupt.vector
    message = interrupt.message_number
    mutex = interrupt.mutex
    level = interrupt.irql
    synchronize = interrupt.synchronize_irql
    hold = interrupt.set_holder

    def call() -> bool:
        start = now()
        record((start, Event.ISR, number, vector, interrupt, message))
        interrupt.interrupts += 1
        if synchronize > level:
            link.set_cr8(synchronize)
        if mutex is not None:
            mutex.acquire()
        hold(processor)
        try:
            claimed = bool(isr(interrupt, message))
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            kernel.escaped(error)
        if mutex is not None:
            link.flush()
            hold(None)
            mutex.release()
        else:
            hold(None)
        if synchronize > level:
            link.set_cr8(level)
        if not claimed:
            interrupt.unclaimed += 1
        add(now() - start)
        return claimed

    return call
