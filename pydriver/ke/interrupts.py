# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The receivers of interrupt vectors: one routine for a message, several ISRs for a line.

`_lock` guards the vector allocator and the table of lines, at PASSIVE_LEVEL. Masks, here and in the
devices, are guarded by `exclusive`, at any IRQL.
"""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from pydriver.errors import VectorsExhaustedError
from pydriver.ke.exclusive import Exclusive
from pydriver.ke.line import Line, LineIsr, LineMask
from pydriver.pci import Trigger, VectorAllocator

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.processor import Processor
    from pydriver.pci import IoApic, VectorBlock

__all__ = ("InterruptVectors",)


class InterruptVectors:
    """The vectors, and the routines that serve them.

    :param kernel: the kernel that owns the processors
    :param ioapic: the I/O APIC of the machine
    """

    def __init__(self, kernel: "Kernel", ioapic: "IoApic") -> None:
        self.kernel = kernel
        self.ioapic = ioapic
        self.allocator = VectorAllocator([each.link.apic_id for each in kernel.processors])
        self._lock = Lock()
        self._masks = Lock()
        self._lines: dict[int, Line] = {}

    def exclusive(self) -> Exclusive:
        """Returns a block in which masks may be changed; at or below LAST_DEVICE_LEVEL."""
        return Exclusive(self.kernel, self._masks)

    def allocate(self, irqls: Sequence[int], count: int, processor: int) -> "VectorBlock":
        """Allocates vectors at the first of some IRQLs that has enough.

        :param irqls: the IRQLs in the order of preference
        :param count: the number of adjacent vectors, a power of 2
        :param processor: the number of the processor
        :raises VectorsExhaustedError: none of the IRQLs has enough
        """
        with self._lock:
            return self._allocate(irqls, count, processor)

    def _allocate(self, irqls: Sequence[int], count: int, processor: int) -> "VectorBlock":
        for irql in irqls:
            try:
                return self.allocator.allocate(irql, count, processor)
            except VectorsExhaustedError:
                pass
        raise VectorsExhaustedError(
            f"no {count} adjacent vectors are free at the IRQLs {list(irqls)} "
            f"on processor {processor}"
        )

    def free(self, block: "VectorBlock") -> None:
        """Gives vectors back."""
        with self._lock:
            self.allocator.free(block)

    def connect(self, processor: "Processor", vector: int, routine: Callable[[], int]) -> None:
        """Connects a vector to a service routine, which returns link_return flags."""
        processor.link.handlers[vector] = routine

    def disconnect(self, processor: "Processor", vector: int) -> None:
        """Undoes :meth:`connect`."""
        processor.link.handlers[vector] = processor.unexpected_interrupt

    def line(
        self, gsi: int, irqls: Sequence[int], processor: int, *, exclusive: bool = False
    ) -> Line:
        """Returns a line for one more device; the first one decides on vector and processor.

        :param gsi: the input of the I/O APIC
        :param irqls: the IRQLs in the order of preference
        :param processor: the number of the processor
        :param exclusive: whether the device refuses to share the line
        :raises VectorsExhaustedError: no vector is free; or the line already has a user, and that
            one or this one does not share it
        """
        with self._lock:
            line = self._lines.get(gsi)
            if line is None:
                block = self._allocate(irqls, 1, processor)
                home = self.kernel.processors[processor]
                line = self._lines[gsi] = Line(
                    self.kernel, self.ioapic, self.exclusive, gsi, block, home, exclusive=exclusive
                )
            elif exclusive or line.exclusive:
                raise VectorsExhaustedError(f"{line} already has a user and cannot be shared")
            line.users += 1
            return line

    def release_line(self, line: Line) -> None:
        """Undoes :meth:`line`."""
        with self._lock:
            line.users -= 1
            if not line.users:
                del self._lines[line.gsi]
                self.allocator.free(line.block)

    def connect_line(self, line: Line, isr: LineIsr) -> None:
        """Puts an ISR on a line and unmasks the line, even after a storm; at PASSIVE_LEVEL."""
        with self.exclusive():
            if not line.isrs:
                vector = line.block.base
                self.connect(line.processor, vector, line.serve)
                self.ioapic.connect(line.gsi, vector, line.processor.link.apic_id, Trigger.LEVEL)
                line.masked = LineMask.IDLE
            line.add(isr)
            self._let_through(line)

    def set_line_active(self, line: Line, isr: LineIsr, *, active: bool) -> None:
        """Sets whether an ISR on a line is called; the line is masked while none of them is."""
        with self.exclusive():
            line.set_active(isr, active=active)
            if active:
                self._let_through(line)
            elif not line.active:
                line.mask(LineMask.IDLE)

    def disconnect_line(self, line: Line, isr: LineIsr) -> None:
        """Takes an ISR off a line, and masks the line after the last one; at PASSIVE_LEVEL.

        Once the ISR is no longer running, the caller must call :meth:`Line.end_thread`.
        """
        with self.exclusive():
            line.remove(isr)
            if not line.active:
                line.mask(LineMask.IDLE)
            if not line.isrs:
                self.disconnect(line.processor, line.block.base)

    def _let_through(self, line: Line) -> None:
        line.unclaimed_in_a_row = 0
        line.unmask(LineMask.IDLE | LineMask.STORM)
