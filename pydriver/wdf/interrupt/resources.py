# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The resources of a device's interrupts: messages with vectors, or the line.

The function's best mode is used, with as many of its messages as there are free vectors. A driver
must cope with fewer than it would like, down to one.
"""

import contextlib
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import TYPE_CHECKING

from pydriver.errors import CapabilityError, VectorsExhaustedError
from pydriver.ke.status import (
    STATUS_DEVICE_CONFIGURATION_ERROR,
    STATUS_INSUFFICIENT_RESOURCES,
    NtStatusError,
)
from pydriver.pci import InterruptMode, message
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.interrupt.config import IRQLS, InterruptPolicy, InterruptPriority
from pydriver.wdf.memory.resource import InterruptDescriptor
from pydriver.wdf.object.tri_state import TriState

if TYPE_CHECKING:
    from pydriver.pci import PciFunction, VectorBlock
    from pydriver.system import System
    from pydriver.wdf.interrupt.connection import InterruptConnection
    from pydriver.wdf.interrupt.interrupt import Interrupt

__all__ = ("InterruptResources",)

MESSAGES = 128
"""The most MSI-X messages that one device is given: other devices need vectors too."""

DEFAULT_IRQLS = IRQLS[InterruptPriority.NORMAL]


class InterruptResources:
    """The interrupts of one device.

    :param system: the system whose vectors are taken
    :param function: the PCI function that interrupts
    :param mode: INTX, MSI or MSIX; ``None``: the mode with the most messages
    :param limit: the most messages to take; ``None``: all
    :ivar mode: the mode that is in use
    :ivar interrupts: the interrupt objects, in the order of creation
    :ivar keeps_connections: whether the low-power state that is being entered leaves the line
        connected
    """

    def __init__(
        self,
        system: "System",
        function: "PciFunction",
        mode: InterruptMode | None,
        limit: int | None,
    ) -> None:
        self._system = system
        self._function = function
        self._wanted = mode
        self._limit = limit
        self._granted: list[InterruptDescriptor] = []
        self._blocks: list[VectorBlock] = []
        self.mode = InterruptMode.NONE
        self.interrupts: list[Interrupt] = []
        self.keeps_connections = False

    @property
    def granted(self) -> tuple[InterruptDescriptor, ...]:
        """The messages, or the line."""
        return tuple(self._granted)

    def __len__(self) -> int:
        return len(self._granted)

    def allocate(self, interrupts: Sequence["Interrupt"]) -> list[InterruptDescriptor]:
        """Takes vectors.

        :param interrupts: the interrupt objects that exist already, for their policies
        :return: one descriptor for each message, or one for the line
        :raises NtStatusError: the function does not have the requested mode, or no vector is free
        """
        offers = {each.mode: each for each in self._function.resources().interrupts}
        if self._wanted is not None and self._wanted not in offers:
            raise NtStatusError(
                STATUS_DEVICE_CONFIGURATION_ERROR,
                f"{self._function} has no {self._wanted.name}, but "
                f"{', '.join(mode.name for mode in offers) or 'no interrupt'}",
            )
        if not offers:
            return []
        self.mode = self._wanted if self._wanted is not None else next(iter(offers))
        count = offers[self.mode].messages
        if self._limit is not None:
            count = max(1, min(count, self._limit))
        try:
            if self.mode is InterruptMode.MSIX:
                self._allocate_msix(min(count, MESSAGES), interrupts)
            elif self.mode is InterruptMode.MSI:
                self._allocate_msi(count, interrupts)
            else:
                self._allocate_line(interrupts)
        except VectorsExhaustedError as error:
            raise NtStatusError(
                STATUS_INSUFFICIENT_RESOURCES, f"an interrupt for {self._function}"
            ) from error
        return list(self._granted)

    def _allocate_msix(self, count: int, interrupts: Sequence["Interrupt"]) -> None:
        for index in range(count):
            irqls, processor = self._preference(index, interrupts)
            try:
                block = self._system.vectors.allocate(irqls, 1, processor)
            except VectorsExhaustedError:
                if not index:
                    raise
                break
            self._blocks.append(block)
            self._grant(index, block, 0, processor)

    def _allocate_msi(self, count: int, interrupts: Sequence["Interrupt"]) -> None:
        irqls, processor = self._preference(0, interrupts)
        # MSI messages have one address: their vectors are a block, whose size is a power of 2, on
        # one processor.
        size = 1 << count.bit_length() - 1
        while True:
            try:
                block = self._system.vectors.allocate(irqls, size, processor)
                break
            except VectorsExhaustedError:
                if size == 1:
                    raise
                size //= 2
        self._blocks.append(block)
        for index in range(size):
            self._grant(index, block, index, processor)

    def _allocate_line(self, interrupts: Sequence["Interrupt"]) -> None:
        irqls, processor = self._preference(0, interrupts)
        exclusive = any(each.config.share_vector is TriState.FALSE for each in interrupts[:1])
        line = self._system.vectors.line(
            self._function.intx_gsi, irqls, processor, exclusive=exclusive
        )
        vector = line.block.base
        self._granted.append(
            InterruptDescriptor(
                0, vector >> 4, vector, 1 << line.processor.number, False, line.block, line
            )
        )

    def _grant(self, index: int, block: "VectorBlock", offset: int, processor: int) -> None:
        vector = block.base + offset
        self._granted.append(
            InterruptDescriptor(index, vector >> 4, vector, 1 << processor, True, block)
        )

    def _preference(
        self, index: int, interrupts: Sequence["Interrupt"]
    ) -> tuple[tuple[int, ...], int]:
        processors = len(self._system.kernel.processors)
        if index >= len(interrupts):
            return DEFAULT_IRQLS, index % processors
        interrupt = interrupts[index]
        wanted = interrupt.target_processors & (1 << processors) - 1
        if interrupt.policy is InterruptPolicy.SPECIFIED_PROCESSORS and wanted:
            allowed = [number for number in range(processors) if wanted >> number & 1]
            return interrupt.preferred_irqls, allowed[index % len(allowed)]
        return interrupt.preferred_irqls, index % processors

    def enable(self) -> None:
        """Switches the function's mode on; before the interrupts are connected."""
        if self.mode is InterruptMode.MSIX:
            self._function.enable_msix()
        elif self.mode is InterruptMode.MSI:
            first = self._granted[0]
            apic_id = self._system.kernel.processors[first.processor].link.apic_id
            self._function.enable_msi(*message(apic_id, first.vector), len(self._granted))
        elif self.mode is InterruptMode.INTX:
            self._function.enable_intx()

    def disable(self) -> None:
        """Switches all modes off."""
        if self.mode is not InterruptMode.NONE:
            self._function.disable_interrupts()

    def connect(self, interrupt: "InterruptConnection", descriptor: InterruptDescriptor) -> None:
        """Connects a message or the line to an interrupt object, and unmasks it."""
        vectors = self._system.vectors
        if descriptor.line is not None:
            vectors.connect_line(descriptor.line, interrupt.make_line_isr())
            return
        with vectors.exclusive():
            self._let_through(interrupt, descriptor)

    def _let_through(
        self, interrupt: "InterruptConnection", descriptor: InterruptDescriptor
    ) -> None:
        processor = interrupt.processor
        assert processor is not None
        vector = descriptor.vector
        self._system.vectors.connect(processor, vector, interrupt.service_routine())
        self._record(Event.UNMASK, interrupt, descriptor)
        if self.mode is InterruptMode.MSIX:
            msix = self._function.msix
            msix.set(descriptor.message, *message(processor.link.apic_id, vector))
            msix.unmask(descriptor.message)
        elif self._function.msi.maskable:
            self._function.msi.unmask(descriptor.message)

    def set_active(
        self, interrupt: "InterruptConnection", descriptor: InterruptDescriptor, *, active: bool
    ) -> None:
        """Holds a connected interrupt back, or lets it through again; up to DISPATCH_LEVEL."""
        vectors = self._system.vectors
        if descriptor.line is not None:
            assert interrupt.line_isr is not None
            vectors.set_line_active(descriptor.line, interrupt.line_isr, active=active)
            return
        with vectors.exclusive():
            if active:
                self._let_through(interrupt, descriptor)
            elif not self._hold_back(descriptor):
                assert interrupt.processor is not None
                vectors.disconnect(interrupt.processor, descriptor.vector)
            if not active:
                self._record(Event.MASK, interrupt, descriptor)

    def _record(
        self, event: Event, interrupt: "InterruptConnection", descriptor: InterruptDescriptor
    ) -> None:
        """Records that a message is masked or unmasked."""
        kernel = self._system.kernel
        processor = kernel.current.processor
        number = NO_PROCESSOR if processor is None else processor.number
        now = perf_counter_ns()
        kernel.record((now, event, number, descriptor.vector, interrupt, descriptor.message))

    def _hold_back(self, descriptor: InterruptDescriptor) -> bool:
        """Masks a message; ``False`` if the function cannot do that."""
        if self.mode is InterruptMode.MSIX:
            self._function.msix.mask(descriptor.message)
        elif self._function.msi.maskable:
            self._function.msi.mask(descriptor.message)
        else:
            return False
        return True

    def disconnect(self, interrupt: "InterruptConnection", descriptor: InterruptDescriptor) -> None:
        """Masks a message or leaves the line, and forgets the interrupt object."""
        processor = interrupt.processor
        assert processor is not None
        vectors = self._system.vectors
        line = descriptor.line
        if line is not None:
            assert interrupt.line_isr is not None
            vectors.disconnect_line(line, interrupt.line_isr)
            interrupt.forget_connection()
            line.end_thread()
            return
        with vectors.exclusive(), contextlib.suppress(CapabilityError):
            # Messages do not exist if the start failed before they were switched on.
            if self._hold_back(descriptor):
                self._record(Event.MASK, interrupt, descriptor)
        if len(self._system.kernel.processors) > 1:
            interrupt.forget_connection()
        with vectors.exclusive():
            vectors.disconnect(processor, descriptor.vector)
            if len(self._system.kernel.processors) == 1:
                interrupt.forget_connection()

    def free(self) -> None:
        """Gives the vectors back."""
        self.retire()()

    def retire(self) -> Callable[[], None]:
        """Stops using the vectors.

        :return: a function that gives them back; until it is called, they stay taken
        """
        vectors = self._system.vectors
        blocks, granted = self._blocks, self._granted
        self._blocks, self._granted = [], []
        self.mode = InterruptMode.NONE

        def free() -> None:
            for block in blocks:
                vectors.free(block)
            for descriptor in granted:
                if descriptor.line is not None:
                    vectors.release_line(descriptor.line)

        return free
