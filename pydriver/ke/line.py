# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A line: an input of the I/O APIC, level-triggered, and the ISRs that share it.

At each interrupt the ISRs at DIRQL are called in the order of connection until one claims the
interrupt for its device. If none does, and there are ISRs for PASSIVE_LEVEL, the line is masked,
and a thread calls those and unmasks the line: a level that is still active then interrupts again.

The result of a passive ISR is not known at DIRQL; therefore those come last, wherever they were
connected.

The tuples are replaced as a whole, so that a processor that walks one sees the old or the new one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Flag
from time import perf_counter_ns
from typing import TYPE_CHECKING, Final

from pydriver.ke.processor import RETURN_EOI, RETURN_EOI_DISPATCH
from pydriver.ke.thread import PassiveThread
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR

if TYPE_CHECKING:
    from pydriver.ke.exclusive import Exclusive
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor
    from pydriver.pci import IoApic, VectorBlock

__all__ = ("STORM", "Line", "LineIsr", "LineMask", "LineRoutine")

STORM: Final = 1000
"""Number of successive unclaimed interrupts after which a line is masked."""

LineRoutine = Callable[[], bool]
"""An ISR on a line, with its lock: ``True`` if the interrupt was its device's."""


class LineMask(Flag):
    """The reasons why a line is masked."""

    IDLE = 1
    """no ISR is on it, or none that is active"""
    PASSIVE = 2
    """its passive ISRs have not finished"""
    STORM = 4
    """nobody claimed its interrupts"""


@dataclass(eq=False, slots=True)
class LineIsr:
    """An ISR on a line.

    :ivar routine: the function that calls it
    :ivar owner: the interrupt object, for reports
    :ivar passive: whether it is called at PASSIVE_LEVEL
    :ivar active: whether it is called at all
    """

    routine: LineRoutine
    owner: object
    passive: bool = False
    active: bool = field(default=True, init=False)


class Line:
    """An input of the I/O APIC.

    :param kernel: the kernel of the processors
    :param ioapic: the I/O APIC of the machine
    :param exclusively: the function that makes a block in which masks may be changed
    :ivar gsi: the number of the input
    :ivar block: the vector of the input
    :ivar processor: the processor that takes its interrupts
    :ivar exclusive: whether its first user refuses to share it
    :ivar users: the number of devices that it was given to
    :ivar isrs: the ISRs in the order of connection
    :ivar masked: the reasons why it is masked; changed in a block of `Exclusive`
    :ivar unclaimed: the number of interrupts that no ISR claimed
    :ivar unclaimed_in_a_row: the number of those since an interrupt was claimed
    """

    def __init__(
        self,
        kernel: "Kernel",
        ioapic: "IoApic",
        exclusively: Callable[[], "Exclusive"],
        gsi: int,
        block: "VectorBlock",
        processor: "Processor",
        *,
        exclusive: bool,
    ) -> None:
        self._kernel = kernel
        self._ioapic = ioapic
        self._exclusively = exclusively
        self.gsi = gsi
        self.block = block
        self.processor = processor
        self.exclusive = exclusive
        self.users = 0
        self.isrs: tuple[LineIsr, ...] = ()
        self.masked = LineMask.IDLE
        self.unclaimed = 0
        self.unclaimed_in_a_row = 0
        self._chain: tuple[LineRoutine, ...] = ()
        self._passive_chain: tuple[LineRoutine, ...] = ()
        self._thread: PassiveThread | None = None

    def __str__(self) -> str:
        return f"line {self.gsi}"

    @property
    def active(self) -> bool:
        """Whether at least one of its ISRs is called."""
        return bool(self._chain or self._passive_chain)

    def add(self, isr: LineIsr) -> None:
        """Puts an ISR on the line; in a block of `Exclusive`, as the next two methods."""
        if isr.passive and self._thread is None:
            self._thread = PassiveThread(self._kernel, f"{self}", self._serve_passive)
        self.isrs = (*self.isrs, isr)
        self._update()

    def remove(self, isr: LineIsr) -> None:
        """Takes an ISR off the line; its routine may still be running."""
        self.isrs = tuple(each for each in self.isrs if each is not isr)
        self._update()

    def set_active(self, isr: LineIsr, *, active: bool) -> None:
        """Sets whether an ISR is called."""
        isr.active = active
        self._update()

    def _update(self) -> None:
        active = [each for each in self.isrs if each.active]
        self._chain = tuple(each.routine for each in active if not each.passive)
        self._passive_chain = tuple(each.routine for each in active if each.passive)

    def end_thread(self) -> None:
        """Ends the thread, if no ISR on the line needs one; at PASSIVE_LEVEL."""
        with self._exclusively():  # an ISR added meanwhile finds it, or makes its own
            thread = self._thread
            if thread is None or any(each.passive for each in self.isrs):
                return
            self._thread = None
        thread.stop()
        # The thread may have ended before it did the work that it was woken for.
        with self._exclusively():
            self.unmask(LineMask.PASSIVE)

    def serve(self) -> int:
        """Serves an interrupt at DIRQL [Servicing an Interrupt]."""
        processor = self.processor
        for routine in self._chain:
            if routine():
                self.unclaimed_in_a_row = 0
                break
        else:
            thread = self._thread
            if self._passive_chain and thread is not None:
                with self._exclusively():
                    self.mask(LineMask.PASSIVE)
                thread.wake()
            else:
                self._nobody()
        if processor.dpcs and not processor.draining:
            return RETURN_EOI_DISPATCH
        return RETURN_EOI

    def _serve_passive(self) -> None:
        for routine in self._passive_chain:
            if routine():
                self.unclaimed_in_a_row = 0
                break
        else:
            self._nobody()
        with self._exclusively():
            self.unmask(LineMask.PASSIVE)

    def _nobody(self) -> None:
        self.unclaimed += 1
        self.unclaimed_in_a_row += 1
        self.record(Event.UNCLAIMED, self.unclaimed)
        if self.unclaimed_in_a_row >= STORM:
            self._end_storm()

    def _end_storm(self) -> None:
        times = self.unclaimed_in_a_row
        with self._exclusively():
            self.mask(LineMask.STORM)
        self.record(Event.STORM, times)
        owners = ", ".join(str(each.owner) for each in self.isrs) or "nobody"
        self._kernel.verifier.violation(
            "InterruptStorm",
            f"{self} has interrupted {times} times in a row, and no ISR claimed it: it is masked "
            f"until one is connected to it again; on it: {owners}",
            self,
        )

    def mask(self, reason: LineMask) -> None:
        """Masks the line for a reason; in a block of `Exclusive`."""
        before = self.masked
        self.masked = before | reason
        if not before:
            self.record(Event.MASK, reason.value)
            self._ioapic.mask(self.gsi)

    def unmask(self, reason: LineMask) -> None:
        """Removes reasons for masking the line; in a block of `Exclusive`."""
        before = self.masked
        self.masked = before & ~reason
        if before and not self.masked:
            self.record(Event.UNMASK, reason.value)
            self._ioapic.unmask(self.gsi)

    def record(self, event: Event, argument: int) -> None:
        """Records an event of the line."""
        kernel = self._kernel
        current = kernel.current.processor
        number = NO_PROCESSOR if current is None else current.number
        kernel.record((perf_counter_ns(), event, number, self.block.base, self, argument))
