# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A processor of the kernel: its IRQL, its DPC queue, and the thread that serves it.

`dpcs` may be appended to by any thread (a deque's ends are atomic). `draining` is written by the
owner of the processor's mailbox only, which is the one thread that runs code on this processor;
what it nests (an interrupt in a DPC) runs on the same thread. The module `dispatch` works off the
queue.
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
"""Guidelines of Microsoft for the time that an ISR and a DPC may take [Bug Check 0x133]."""


class CurrentProcessor(local):
    """What the calling thread runs on.

    :ivar processor: ``None`` for a passive thread that has borrowed none
    :ivar home: the processor that a passive thread borrows
    :ivar keeps: it has borrowed for a block, and stays on the processor when its IRQL falls
    :ivar held: the locks that it holds, the last one acquired at the end; kept by the verifier
    :ivar critical_regions: that it is in [KeEnterCriticalRegion]
    :ivar dpc_arguments: of the DPC that begins on it
    :ivar raised_by: a note of the call that raised its IRQL last; taken while verifying
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
        """The driver's line that raised the IRQL last; ``None`` if the framework did."""
        return driver_place_of(self.raised_by)


class QueuedDpc:
    """What a processor's DPC queue holds.

    :param routine: called at DISPATCH_LEVEL
    :param owner: the object that records and reports name
    :param dequeued: called when the DPC has been taken from the queue, before the routine
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
    :param current: tells which processor the calling thread runs on
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
        """Asks this processor, of which the caller is the owner, for the software interrupt."""
        self.link.send_ipi(self.link.apic_id, VECTOR_DISPATCH)

    def unexpected_interrupt(self) -> int:
        """Serves a vector that no interrupt object is connected to."""
        self.spurious += 1
        vector = self.link.frame.vector
        self._record((perf_counter_ns(), Event.SPURIOUS, self.number, vector, self, self.spurious))
        return RETURN_EOI

    def _ipi(self) -> int:
        return RETURN_EOI
