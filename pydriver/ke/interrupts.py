# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Which vectors go to whom: messages to one routine, a line to a chain of them.

All calls are for PASSIVE_LEVEL. `_lock` guards the vector allocator and the table of lines; the
chains are replaced as a whole, so that a processor that walks one sees the old or the new one.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from time import perf_counter_ns
from typing import TYPE_CHECKING

from pydriver.errors import VectorsExhaustedError
from pydriver.ke.processor import RETURN_EOI, RETURN_EOI_DISPATCH
from pydriver.pci import Trigger, VectorAllocator
from pydriver.trace import Event

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor
    from pydriver.pci import IoApic, VectorBlock

__all__ = ("InterruptVectors", "Line", "LineRoutine")

LineRoutine = Callable[[], bool]
"""An ISR on a line, with its lock: ``True`` if the interrupt was its device's."""


class Line:
    """An input of the I/O APIC and the ISRs that share it.

    :ivar gsi: the input
    :ivar block: its vector
    :ivar processor: on which it is taken
    :ivar unclaimed: interrupts that no ISR claimed
    """

    def __init__(self, gsi: int, block: "VectorBlock", processor: "Processor") -> None:
        self.gsi = gsi
        self.block = block
        self.processor = processor
        self.unclaimed = 0
        self.chain: tuple[LineRoutine, ...] = ()
        self.users = 0

    def __str__(self) -> str:
        return f"line {self.gsi}"

    def serve(self) -> int:
        """Calls the ISRs in the order of connection until one claims [Servicing an Interrupt]."""
        processor = self.processor
        for routine in self.chain:
            if routine():
                break
        else:
            self.unclaimed += 1
            vector = self.block.base
            processor.kernel.record(
                (perf_counter_ns(), Event.UNCLAIMED, processor.number, vector, self, self.unclaimed)
            )
        if processor.dpcs and not processor.draining:
            return RETURN_EOI_DISPATCH
        return RETURN_EOI


class InterruptVectors:
    """Vectors, and what serves them.

    :param kernel: that owns the processors
    :param ioapic: of the machine
    """

    def __init__(self, kernel: "Kernel", ioapic: "IoApic") -> None:
        self.kernel = kernel
        self.ioapic = ioapic
        self.allocator = VectorAllocator([each.link.apic_id for each in kernel.processors])
        self._lock = Lock()
        self._lines: dict[int, Line] = {}

    def allocate(self, irqls: Sequence[int], count: int, processor: int) -> "VectorBlock":
        """Takes vectors at the first of some IRQLs that has them.

        :param irqls: in the order of preference
        :param count: adjacent vectors, a power of 2
        :param processor: number of the processor
        :raises VectorsExhaustedError: none of them has
        """
        with self._lock:
            for irql in irqls:
                try:
                    return self.allocator.allocate(irql, count, processor)
                except VectorsExhaustedError:
                    pass
        raise VectorsExhaustedError(
            f"no {count} adjacent vectors free at the IRQLs {list(irqls)} on processor {processor}"
        )

    def free(self, block: "VectorBlock") -> None:
        """Gives vectors back."""
        with self._lock:
            self.allocator.free(block)

    def connect(self, processor: "Processor", vector: int, routine: Callable[[], int]) -> None:
        """Leads a vector of a processor to a service routine, which returns link_return flags."""
        processor.link.handlers[vector] = routine

    def disconnect(self, processor: "Processor", vector: int) -> None:
        """Undoes :meth:`connect`."""
        processor.link.handlers[vector] = processor.unexpected_interrupt

    def line(self, gsi: int, irqls: Sequence[int], processor: int) -> Line:
        """A line for one more device; the first one decides on vector and processor."""
        with self._lock:
            line = self._lines.get(gsi)
        if line is None:
            block = self.allocate(irqls, 1, processor)
            line = Line(gsi, block, self.kernel.processors[processor])
            with self._lock:
                self._lines[gsi] = line
        line.users += 1
        return line

    def release_line(self, line: Line) -> None:
        """Undoes :meth:`line`."""
        line.users -= 1
        if not line.users:
            with self._lock:
                del self._lines[line.gsi]
            self.free(line.block)

    def connect_line(self, line: Line, routine: LineRoutine) -> None:
        """Adds an ISR to a line's chain, and unmasks the line with the first one."""
        first = not line.chain
        line.chain = (*line.chain, routine)
        if first:
            vector = line.block.base
            self.connect(line.processor, vector, line.serve)
            self.ioapic.connect(line.gsi, vector, line.processor.link.apic_id, Trigger.LEVEL)
            self.ioapic.unmask(line.gsi)

    def disconnect_line(self, line: Line, routine: LineRoutine) -> None:
        """Takes an ISR out of a line's chain, and masks the line after the last one."""
        line.chain = tuple(each for each in line.chain if each is not routine)
        if not line.chain:
            self.ioapic.mask(line.gsi)
            self.disconnect(line.processor, line.block.base)
