# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A processor of the kernel: its IRQL, its DPC queue, and the thread that serves it.

Who touches what. `dpcs` may be appended to by any thread (a deque's ends are atomic). `draining`
is written by the owner of the processor's mailbox only, which is the one thread that runs code on
this processor; what it nests (an interrupt in a DPC) runs on the same thread.

When DPCs run. One that is queued at or above DISPATCH_LEVEL runs when the IRQL falls below it,
and each way down sees to that: an ISR's return asks the guest for the software interrupt
(LINK_RETURN_DISPATCH), `Kernel.lower_irql` sends it to itself before it lowers, and the loop in
`drain` goes on until the queue is empty. One that is queued below DISPATCH_LEVEL sends the
software interrupt at once.
"""

from threading import local
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from pydriver.abi._native import lib
from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    TIMER_OR_DPC_INVALID,
    UNEXPECTED_KERNEL_MODE_TRAP,
    StackFrame,
    is_driver_file,
)
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.verifier import DPC_GUIDELINE_NS, ISR_GUIDELINE_NS
from pydriver.trace import Event

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable
    from types import CodeType

    from pydriver.ke.dpc import KDpc
    from pydriver.ke.kernel import Kernel
    from pydriver.link import ProcessorLink

__all__ = ("CurrentProcessor", "Processor")

VECTOR_DISPATCH: Final[int] = lib.LINK_VECTOR_DISPATCH
VECTOR_IPI: Final[int] = lib.LINK_VECTOR_IPI
RETURN_EOI: Final[int] = lib.LINK_RETURN_EOI
RETURN_EOI_DISPATCH: Final[int] = lib.LINK_RETURN_EOI | lib.LINK_RETURN_DISPATCH
FIRST_INTERRUPT: Final = 32

DPC_CHANGED_APC_COUNT: Final = 4
"""Parameter 1 of 0xC7: a DPC has entered or left a critical region."""


class CurrentProcessor(local):
    """What the calling thread runs on.

    :ivar processor: ``None`` for a passive thread that has borrowed none
    :ivar home: the processor that a passive thread borrows
    :ivar keeps: it has borrowed for a block, and stays on the processor when its IRQL falls
    :ivar held: the locks that it holds, the last one acquired at the end; kept by the verifier
    :ivar critical_regions: that it is in [KeEnterCriticalRegion]
    :ivar dpc_arguments: of the DPC that begins on it
    :ivar raised_by: who raised its IRQL last, as code and instruction; kept while verifying
    """

    processor: "Processor | None" = None
    home: "Processor | None" = None
    keeps: bool = False
    critical_regions: int = 0
    dpc_arguments: tuple[Any, Any] = (None, None)
    raised_by: "tuple[CodeType, int] | None" = None

    def __init__(self) -> None:
        self.held: list[object] = []

    @property
    def raised_at(self) -> StackFrame | None:
        """The driver's line that raised the IRQL last; ``None`` if the framework did."""
        if self.raised_by is None or not is_driver_file(self.raised_by[0].co_filename):
            return None
        return StackFrame.at(*self.raised_by)


class Processor:
    """One vCPU.

    :param kernel: that it belongs to
    :param link: its mailbox
    :ivar state: ``struct link_cpu *``: its irql is read where a property would cost too much
    :ivar number: from 0
    :ivar dpcs: the DPC queue
    :ivar draining: the DPC queue is being worked off, on the thread that runs on this processor
    :ivar interrupt_locks: interrupt locks that its owner has acquired, while the verifier is on
    :ivar isr_durations: of the ISRs that ran here
    :ivar dpc_durations: of the DPCs that ran here
    :ivar spurious: interrupts that no interrupt object is connected to
    :ivar service_thread: identifier of the thread that serves it
    :ivar owner: identifier of the passive thread that borrowed it last
    """

    __slots__ = (
        "dpc_durations",
        "dpcs",
        "drained",
        "draining",
        "interrupt_locks",
        "isr_durations",
        "kernel",
        "link",
        "number",
        "owner",
        "read32",
        "service_thread",
        "spurious",
        "state",
        "write32",
    )

    def __init__(self, kernel: "Kernel", link: "ProcessorLink") -> None:
        self.kernel = kernel
        self.link = link
        recorder = kernel.recorder
        recorder.attach(link)
        self.state = link.state
        self.number = link.number
        self.dpcs: deque[KDpc] = recorder.dpc_queue(self.number, kernel.current)
        self.draining = False
        self.drained = 0
        self.interrupt_locks = 0
        self.isr_durations = recorder.durations(Event.ISR_END, self.number, ISR_GUIDELINE_NS)
        self.dpc_durations = recorder.durations(Event.DPC_END, self.number, DPC_GUIDELINE_NS)
        self.spurious = 0
        self.service_thread: int | None = None
        self.owner: int | None = None
        self.read32 = link.read32
        self.write32 = link.write32
        handlers = link.handlers
        for vector in range(FIRST_INTERRUPT):
            handlers[vector] = self._trap
        for vector in range(FIRST_INTERRUPT, 256):
            handlers[vector] = self.unexpected_interrupt
        handlers[VECTOR_DISPATCH] = self._make_drain()
        handlers[VECTOR_IPI] = self._ipi
        if kernel.verifying:
            self.start_verifying()

    def __str__(self) -> str:
        return f"processor {self.number}"

    def start_verifying(self) -> None:
        """Looks from now on at how each DPC returns."""
        self.link.handlers[VECTOR_DISPATCH] = self._make_verified_drain()

    @property
    def irql(self) -> int:
        """CR8 of the frame that runs, as the guest stored it."""
        return self.link.cr8

    def request_dispatch(self) -> None:
        """Asks this processor, of which the caller is the owner, for the software interrupt."""
        self.link.send_ipi(self.link.apic_id, VECTOR_DISPATCH)

    def unexpected_interrupt(self) -> int:
        """Serves a vector that no interrupt object is connected to."""
        self.spurious += 1
        vector = self.link.frame.vector
        self.kernel.record(
            (perf_counter_ns(), Event.SPURIOUS, self.number, vector, self, self.spurious)
        )
        return RETURN_EOI

    def _ipi(self) -> int:
        return RETURN_EOI

    def _trap(self) -> int:
        frame = self.link.frame
        registers = frame.registers
        self.kernel.bug_check(
            UNEXPECTED_KERNEL_MODE_TRAP,
            frame.vector,
            registers.rip,
            registers.error_code,
            registers.cr2,
            message=f"exception {frame.vector} in the guest at RIP {registers.rip:#x}, "
            f"error code {registers.error_code:#x}, CR2 {registers.cr2:#x}",
        )

    def _make_drain(self) -> "Callable[[], int]":
        kernel = self.kernel
        dpcs = self.dpcs
        number = self.number
        record = kernel.record
        add = self.dpc_durations.add
        now = perf_counter_ns
        kind = Event.DPC

        def drain() -> int:
            self.draining = True
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
            self.draining = False
            self.drained += 1
            return 0

        return drain

    def _make_verified_drain(self) -> "Callable[[], int]":
        """The same, and looks at how each DPC returns."""
        kernel = self.kernel
        current = kernel.current
        dpcs = self.dpcs
        state = self.state
        number = self.number
        record = kernel.record
        add = self.dpc_durations.add
        now = perf_counter_ns
        kind = Event.DPC

        def drain() -> int:
            self.draining = True
            held = current.held
            count = len(held)
            regions = current.critical_regions
            try:
                while dpcs:
                    # A DPC that queues itself again would keep the thread for ever.
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
                        self._bad_dpc_return(dpc, count)
                    if current.critical_regions != regions:
                        self._bad_apc_count(dpc, regions)
            except Exception as error:  # noqa: BLE001 -- becomes a bug check
                kernel.escaped(error)
            self.draining = False
            self.drained += 1
            return 0

        return drain

    def _bad_dpc_return(self, dpc: "KDpc", held: int) -> None:
        kernel = self.kernel
        kept = kernel.report_kept(f"the DPC of {dpc.owner}", held, dpc.routine)
        irql = self.state.irql
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

    def _bad_apc_count(self, dpc: "KDpc", before: int) -> None:
        self.kernel.bug_check(
            TIMER_OR_DPC_INVALID,
            DPC_CHANGED_APC_COUNT,
            id(dpc.routine),
            before,
            self.kernel.current.critical_regions,
            rule="CriticalRegion",
            message=f"{dpc.owner} returned from its DPC with another count of critical regions",
            subject=dpc.owner,
            returned=dpc.routine,
        )
