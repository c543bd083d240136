# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A processor of the kernel: its IRQL, its DPC queue, and the thread that serves it.

Any thread may append to `dpcs` (the ends of a deque are atomic). `draining` is written only by the
owner of the processor's mailbox, which is the one thread that runs code on this processor; nested
code (an interrupt in a DPC) runs on the same thread. The module `dispatch` empties the queue.
"""

from threading import local
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final

from pydriver.abi._native import lib
from pydriver.place import Note, Place, driver_place_of
from pydriver.trace import Event

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from pydriver.link import ProcessorLink
    from pydriver.trace import Entry, Recorder

__all__ = (
    "DPC_GUIDELINE_NS",
    "ISR_GUIDELINE_NS",
    "VECTOR_DISPATCH",
    "CurrentProcessor",
    "Processor",
    "QueuedDpc",
)

VECTOR_DISPATCH: Final[int] = lib.LINK_VECTOR_DISPATCH
VECTOR_IPI: Final[int] = lib.LINK_VECTOR_IPI
RETURN_EOI: Final[int] = lib.LINK_RETURN_EOI
RETURN_EOI_DISPATCH: Final[int] = lib.LINK_RETURN_EOI | lib.LINK_RETURN_DISPATCH
FIRST_INTERRUPT: Final = 32

ISR_GUIDELINE_NS: Final = 25_000
DPC_GUIDELINE_NS: Final = 100_000
"""Microsoft's guidelines for the time that an ISR and a DPC may take [Bug Check 0x133]."""


class CurrentProcessor(local):
    """The processor of the calling thread, and other state of the thread.

    :ivar processor: the processor, or ``None`` for a passive thread that has borrowed none
    :ivar home: the processor that the thread borrows while it is passive
    :ivar keeps: whether it has borrowed for a block, and keeps the processor when its IRQL falls
    :ivar held: the locks that it holds, in order of acquisition; kept by the verifier
    :ivar critical_regions: the number of critical regions it is in [KeEnterCriticalRegion]
    :ivar dpc_arguments: the arguments of the DPC that begins on it
    :ivar raised_by: a note of the call that last raised its IRQL; taken while verifying
    """

    processor: "Processor | None" = None
    home: "Processor | None" = None
    keeps: bool = False
    critical_regions: int = 0
    dpc_arguments: tuple[Any, Any] = (None, None)
    raised_by: Note | None = None

    def __init__(self) -> None:
        self.held: list[object] = []

    @property
    def raised_at(self) -> Place | None:
        """The driver's line that last raised the IRQL, or ``None`` if the framework did."""
        return driver_place_of(self.raised_by)


class QueuedDpc:
    """An entry of a processor's DPC queue.

    :param routine: the function to call at DISPATCH_LEVEL
    :param owner: the object that records and reports name
    :param dequeued: the function to call when the DPC has left the queue, before the routine
    """

    __slots__ = ("dequeued", "owner", "routine")

    def __init__(
        self,
        routine: "Callable[[], object]",
        owner: object,
        dequeued: "Callable[[], object]" = int,
    ) -> None:
        self.routine = routine
        self.owner = owner
        self.dequeued = dequeued


class Processor:
    """One vCPU.

    :param link: the mailbox of the vCPU
    :param recorder: the recorder of the system
    :param current: the thread-local object with the processor of the calling thread
    :ivar state: ``struct link_cpu *``, whose irql is read where a property would cost too much
    :ivar number: the number of the processor, from 0
    :ivar dpcs: the DPC queue
    :ivar draining: whether the DPC queue is being emptied, by the thread on this processor
    :ivar interrupt_locks: interrupt locks that its owner has acquired, while the verifier is on
    :ivar isr_durations: the durations of the ISRs that ran here
    :ivar dpc_durations: the durations of the DPCs that ran here
    :ivar spurious: the number of interrupts to which no interrupt object was connected
    :ivar service_thread: the identifier of the thread that serves it
    :ivar owner: the identifier of the passive thread that borrowed it last
    """

    __slots__ = (
        "_record",
        "dpc_durations",
        "dpcs",
        "drained",
        "draining",
        "interrupt_locks",
        "isr_durations",
        "link",
        "number",
        "owner",
        "read32",
        "service_thread",
        "spurious",
        "state",
        "write32",
    )

    def __init__(
        self, link: "ProcessorLink", recorder: "Recorder", current: CurrentProcessor
    ) -> None:
        self.link = link
        recorder.attach(link)
        self._record: Callable[[Entry], object] = recorder.append
        self.state = link.state
        self.number = link.number
        self.dpcs: deque[QueuedDpc] = recorder.dpc_queue(self.number, current)
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
        for vector in range(FIRST_INTERRUPT, 256):
            handlers[vector] = self.unexpected_interrupt
        handlers[VECTOR_IPI] = self._ipi

    def __str__(self) -> str:
        return f"processor {self.number}"

    @property
    def irql(self) -> int:
        """CR8 of the frame that runs, as the guest stored it."""
        return self.link.cr8

    def request_dispatch(self) -> None:
        """Requests the software interrupt on this processor, whose owner the caller must be."""
        self.link.send_ipi(self.link.apic_id, VECTOR_DISPATCH)

    def unexpected_interrupt(self) -> int:
        """Serves a vector to which no interrupt object is connected."""
        self.spurious += 1
        vector = self.link.frame.vector
        self._record((perf_counter_ns(), Event.SPURIOUS, self.number, vector, self, self.spurious))
        return RETURN_EOI

    def _ipi(self) -> int:
        return RETURN_EOI
