# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A driver that copies by edu's DMA engine, for tests of real DMA."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydriver.ke.status import STATUS_SUCCESS
from pydriver.wdf import (
    Device,
    DeviceInit,
    DmaDirection,
    DmaEnabler,
    DmaEnablerConfig,
    DmaProfile,
    DmaTransaction,
    Interrupt,
    IoQueueConfig,
    IoQueueDispatchType,
    Request,
)

from .bench import Bench, Edu, Plan

PAGE = 4096
READ, WRITE = DmaDirection.READ_FROM_DEVICE, DmaDirection.WRITE_TO_DEVICE


def pattern(size: int) -> bytearray:
    return bytearray(index * 7 % 251 for index in range(size))


@dataclass
class EduDma:
    """A driver that copies by edu's DMA engine: 4096 bytes at 0x40000, an element at a time.

    EvtProgramDma starts the first element; the DPC starts the next ones, and ends the transfer.
    """

    buffer = 0x40000
    edu: Edu | None = None
    enabler: DmaEnabler | None = None
    transaction: DmaTransaction | None = None
    elements: list[Any] = field(default_factory=list)
    addresses: list[int] = field(default_factory=list)
    transfers: int = 0
    most: int = 0
    at: int = 0

    def add(self, device: Device) -> None:
        config = DmaEnablerConfig(DmaProfile.SCATTER_GATHER, PAGE, address_width_override=28)
        self.enabler = DmaEnabler.create(device, config)
        self.transaction = DmaTransaction.create(self.enabler)

    def program(
        self, transaction: Any, device: Any, context: Any, direction: Any, sg_list: Any
    ) -> bool:
        self.transfers += 1
        self.most = max(self.most, sg_list.number_of_elements)
        self.elements = list(sg_list.elements)
        self.addresses += [each.address for each in self.elements]
        self.next_element(direction)
        return True

    def next_element(self, direction: DmaDirection) -> None:
        each = self.elements.pop(0)
        assert self.edu is not None
        assert each.address + each.length <= 1 << 28
        ends = (each.address, self.buffer + self.at)
        source, destination = ends if direction == WRITE else reversed(ends)
        self.at += each.length
        registers = self.edu.registers
        registers.write64(0x80, source)
        registers.write64(0x88, destination)
        registers.write64(0x90, each.length)
        registers.write64(0x98, 1 | 4 | (0 if direction == WRITE else 2))

    def isr(self, interrupt: Interrupt, message: int) -> bool:
        assert self.edu is not None
        if not self.edu.acknowledge():
            return False
        interrupt.queue_dpc_for_isr()
        return True

    def dpc(self, interrupt: Interrupt, device: Device) -> None:
        assert self.transaction is not None
        request = self.transaction.get_request()
        assert request is not None
        direction = WRITE if request.irp.input is not None else READ
        if self.elements:
            self.next_element(direction)
            return
        finished, status = self.transaction.dma_completed()
        if finished:
            done = self.transaction.get_bytes_transferred()
            self.transaction.release()
            request.complete_with_information(status, done)

    def begin(self, request: Request, direction: DmaDirection) -> None:
        assert self.transaction is not None
        self.at = 0
        self.transaction.set_maximum_length(700)
        self.transaction.initialize_using_request(request, self.program, direction)
        assert self.transaction.execute() == STATUS_SUCCESS

    def load(self, bench: Bench, init: Callable[[DeviceInit], object] | None = None) -> Device:
        queue = IoQueueConfig(
            IoQueueDispatchType.SEQUENTIAL,
            default_queue=True,
            evt_io_read=lambda queue, request, length: self.begin(request, READ),
            evt_io_write=lambda queue, request, length: self.begin(request, WRITE),
        )
        plan = Plan(isr=self.isr, dpc=self.dpc, queues=[queue], add=self.add, init=init)
        self.edu = bench.load(plan)
        return self.edu.device
