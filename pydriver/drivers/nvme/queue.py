# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""One I/O queue pair of the controller, its EvtDpcFunc DPC, and the requests that it has in flight.

A request takes this path: the handler takes a slot and, for data, executes the slot's DMA
transaction; EvtProgramDma builds the PRP list and hands the command to the controller; the DPC
takes the completion, ends the transfer (the transaction may begin the next one) and completes the
request.

`lock` guards the rings, and the states of slots that the controller has (DEVICE) or that wait for
it to come back (HELD). The code that takes a slot out of these states has exclusive use of it.
"""

from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING

from pydriver.drivers.nvme.controls import OPCODES, block_ranges
from pydriver.drivers.nvme.prp import PrpList, prp_list_pages
from pydriver.drivers.nvme.rings import QueuePair, ring_bytes
from pydriver.drivers.nvme.spec import (
    DEALLOCATE,
    DSM_RANGE,
    PAGE,
    Command,
    IdentifyNamespace,
    Io,
    is_abort,
    nt_status,
    retryable,
)
from pydriver.ke.status import (
    NT_SUCCESS,
    STATUS_IO_DEVICE_ERROR,
    STATUS_NO_SUCH_DEVICE,
    STATUS_SUCCESS,
)
from pydriver.wdf import (
    CommonBuffer,
    Device,
    DmaDirection,
    DmaEnabler,
    DmaTransaction,
    Dpc,
    DpcConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    Request,
    ScatterGatherList,
    SpinLock,
)

if TYPE_CHECKING:
    from pydriver.drivers.nvme.state import ControllerState
    from pydriver.wdf import MappedRegisters

__all__ = ("IoQueuePair",)

ATTEMPTS = 3
READ, WRITE = DmaDirection.READ_FROM_DEVICE, DmaDirection.WRITE_TO_DEVICE


class SlotState(Enum):
    """The owner of a slot."""

    DRIVER = 0
    DEVICE = 1
    HELD = 2


class Slot:
    """A command in flight; its index is the command identifier.

    :ivar request: the request of the command
    :ivar namespace: the namespace of the command
    :ivar command: the 64 bytes
    :ivar transferring: whether the transaction has been executed
    :ivar attempts: number of times that the command was handed over, except after resets for which
        it was not late
    :ivar submitted: whether it has been handed over before
    :ivar deadline: the tick of the watch after which it is late
    :ivar aborted: whether the controller was asked to abort it
    """

    __slots__ = (
        "aborted",
        "attempts",
        "command",
        "deadline",
        "index",
        "namespace",
        "prps",
        "request",
        "state",
        "submitted",
        "transaction",
        "transferring",
    )

    request: Request
    namespace: IdentifyNamespace

    def __init__(self, index: int, prps: PrpList, transaction: DmaTransaction) -> None:
        self.index = index
        self.prps = prps
        self.transaction = transaction
        self.state = SlotState.DRIVER
        self.command = b""
        self.transferring = False
        self.attempts = 0
        self.submitted = False
        self.deadline = 0
        self.aborted = False


class IoQueuePair:
    """An I/O queue pair.

    :param device: the controller's device
    :param controller: the state of the controller
    :param number: identifier of both queues, from 1
    :ivar queue: the queue object whose requests it serves
    :ivar pair: the rings
    :ivar in_flight: commands that the controller has, or that wait for it
    :ivar completed: requests that were completed
    :ivar isrs: interrupts for which the ISR found a completion
    :ivar dpcs: number of times that the DPC ran
    :ivar retries: commands that were handed over again
    :ivar recovered: number of times that completions were found without an interrupt
    """

    def __init__(self, device: Device, controller: "ControllerState", number: int) -> None:
        parameters = controller.parameters
        enabler = controller.enabler
        depth = parameters.depth
        self.number = number
        self.in_flight = self.completed = self.isrs = self.dpcs = self.retries = self.recovered = 0
        self._seen = -1
        self._controller = controller
        self._gone = False
        # Until the controller knows the queue.
        self._held = True
        self._live = False
        self.queue = IoQueue.create(
            device,
            IoQueueConfig(
                IoQueueDispatchType.PARALLEL,
                evt_io_read=self._evt_io_read,
                evt_io_write=self._evt_io_write,
                evt_io_device_control=self._evt_io_device_control,
                number_of_presented_requests=depth,
            ),
        )
        below = ObjectAttributes(parent_object=self.queue)
        self.lock = SpinLock.create(below)
        self.dpc = Dpc.create(DpcConfig(evt_dpc_func=self._evt_dpc_func), below)
        entries = depth + 1
        self.pair = QueuePair(number, entries, CommonBuffer.create(enabler, ring_bytes(entries)))
        self._slots = self._create_slots(enabler, depth, parameters.max_transfer)
        self._free = list(self._slots)

    @staticmethod
    def _create_slots(enabler: DmaEnabler, depth: int, transfer: int) -> list[Slot]:
        size = prp_list_pages(transfer) * PAGE
        memory = CommonBuffer.create(enabler, depth * size)
        return [
            Slot(
                index,
                PrpList(
                    memory.view[index * size : (index + 1) * size],
                    memory.logical_address + index * size,
                ),
                DmaTransaction.create(enabler),
            )
            for index in range(depth)
        ]

    # Interrupts, at DIRQL

    def queue_dpc(self) -> bool:
        """Queues the DPC if there are completions.

        :return: whether there are completions
        """
        if not self.pair.pending:
            return False
        self.isrs += 1
        self.dpc.enqueue()
        return True

    # Requests, up to DISPATCH_LEVEL: the router has checked them

    def _take_slot(self, request: Request) -> Slot:
        slot = self._free.pop()
        slot.request = request
        slot.namespace = self._controller.namespace_of(request)
        return slot

    def _evt_io_read(self, queue: IoQueue, request: Request, length: int) -> None:
        self._transfer(request, READ)

    def _evt_io_write(self, queue: IoQueue, request: Request, length: int) -> None:
        self._transfer(request, WRITE)

    def _transfer(self, request: Request, direction: DmaDirection) -> None:
        slot = self._take_slot(request)
        transaction = slot.transaction
        transaction.initialize_using_request(request, self._evt_program_dma, direction)
        transaction.set_maximum_length(self._controller.max_transfer)
        slot.transferring = True
        status = transaction.execute(slot)
        if not NT_SUCCESS(status):
            slot.transferring = False
            transaction.release()
            self._end(slot, status)

    def _evt_program_dma(
        self,
        transaction: DmaTransaction,
        device: Device,
        slot: Slot,
        direction: DmaDirection,
        sg_list: ScatterGatherList,
    ) -> bool:
        block = slot.namespace.block_size
        first = (slot.request.offset + transaction.get_bytes_transferred()) // block
        count = transaction.get_current_dma_transfer_length() // block
        opcode = Io.READ if direction == READ else Io.WRITE
        self._begin(slot, opcode, _range(first, count), *slot.prps.build(sg_list.elements))
        return True

    def _evt_io_device_control(
        self, queue: IoQueue, request: Request, output: int, length: int, code: int
    ) -> None:
        slot = self._take_slot(request)
        opcode = OPCODES[code]
        ranges = block_ranges(request, code, slot.namespace)
        if opcode is Io.WRITE_ZEROES:
            self._begin(slot, opcode, _range(*ranges[0]))
        elif opcode is Io.DATASET_MANAGEMENT:
            for index, (first, count) in enumerate(ranges):
                DSM_RANGE.pack_into(slot.prps.view, index * DSM_RANGE.size, 0, count, first)
            self._begin(slot, opcode, (len(ranges) - 1, DEALLOCATE), slot.prps.address)
        else:
            self._begin(slot, opcode, ())

    def _begin(
        self, slot: Slot, opcode: Io, dwords: tuple[int, ...], prp1: int = 0, prp2: int = 0
    ) -> None:
        namespace = slot.namespace.identifier
        slot.command = Command(opcode, namespace, prp1, prp2, dwords).pack(slot.index)
        slot.attempts = 0
        slot.submitted = False
        self._hand_over(slot)

    def _hand_over(self, slot: Slot) -> None:
        lock = self.lock
        lock.acquire()
        gone = self._gone
        if not gone:
            self.in_flight += 1
            if self._held:
                slot.state = SlotState.HELD
            else:
                self._submit(slot)
        lock.release()
        if gone:
            self._end(slot, STATUS_NO_SUCH_DEVICE)

    def _submit(self, slot: Slot) -> None:
        """Gives a command to the controller; the lock is held."""
        slot.state = SlotState.DEVICE
        slot.attempts += 1
        self.retries += slot.submitted
        slot.submitted = True
        slot.aborted = False
        slot.deadline = self._controller.deadline()
        self.pair.submit(slot.command)

    # Completions, at DISPATCH_LEVEL

    def _evt_dpc_func(self, dpc: Dpc) -> None:
        self.dpcs += 1
        self.reap()
        self._controller.unmask()

    def reap(self) -> None:
        """Ends the commands that the controller has completed."""
        ended: list[tuple[Slot, int]] = []
        lock = self.lock
        lock.acquire()
        take = self._controller.take_completions
        for identifier, status, _ in take(self.pair, acknowledge=self._live):
            slot = self._slots[identifier]
            if slot.state is SlotState.DEVICE:
                slot.state = SlotState.DRIVER
                ended.append((slot, status))
        self.in_flight -= len(ended)
        lock.release()
        for slot, status in ended:
            if self._held and is_abort(status):
                slot.attempts -= 1  # because of the reset, not of the command
                self._hand_over(slot)
            elif retryable(status) and slot.attempts < ATTEMPTS:
                self._hand_over(slot)
            else:
                self._end(slot, nt_status(status))

    def _end(self, slot: Slot, status: int) -> None:
        """Ends a transfer, which may begin the next one, and then the request."""
        information = 0
        if slot.transferring:
            transaction = slot.transaction
            if status == STATUS_SUCCESS:
                ended, status = transaction.dma_completed()
                if not ended:
                    return
                if NT_SUCCESS(status):
                    information = transaction.get_bytes_transferred()
            else:
                transaction.dma_completed_final(0)
            slot.transferring = False
            transaction.release()
        request = slot.request
        self._free.append(slot)
        self.completed += 1
        request.complete_with_information(status, information)

    # Recovery, at PASSIVE_LEVEL but for `late`

    def late(self, tick: int) -> list[Slot]:
        """The commands that the controller should have completed by now."""
        return [
            slot for slot in self._slots if slot.state is SlotState.DEVICE and slot.deadline <= tick
        ]

    def grant_time(self, slot: Slot) -> None:
        """Gives a late command its time once more, because it is going to be aborted."""
        with self.lock:
            slot.aborted = True
            slot.deadline = self._controller.deadline()

    def queue_dpc_if_forgotten(self) -> None:
        """Queues the DPC for completions whose interrupt may be lost; called by the watch."""
        if self.pair.pending and self._seen == self.completed:
            self.recovered += 1
            self.dpc.enqueue()
        self._seen = self.completed

    def hold(self) -> None:
        """Stops handing over commands: the controller is about to lose the queue."""
        with self.lock:
            self._held = True

    def retire(self) -> None:
        """Takes the last completions: the controller is about to lose the completion queue."""
        self.reap()
        with self.lock:
            self._live = False

    def restart(self, registers: "MappedRegisters", stride: int) -> None:
        """Empties the rings, which the controller does not know yet.

        :param registers: BAR0
        :param stride: CAP.DSTRD, the stride of the doorbells
        """
        with self.lock:
            self._gone = False
            self._live = True
            self.pair.start(registers, stride)

    def resume(self) -> None:
        """Hands over the commands that the controller had and those that were held."""
        hopeless: list[Slot] = []
        with self.lock:
            self._held = False
            for slot in self._slots:
                if slot.state is SlotState.DEVICE and not slot.aborted:
                    slot.attempts -= 1  # it was not late, so it did not cause the reset
                if slot.state is SlotState.DEVICE and slot.attempts == ATTEMPTS:
                    slot.state = SlotState.DRIVER
                    hopeless.append(slot)
                elif slot.state is not SlotState.DRIVER:
                    self._submit(slot)
            self.in_flight -= len(hopeless)
        self._end_all(hopeless, STATUS_IO_DEVICE_ERROR)

    def give_up(self, status: int) -> None:
        """Fails all commands in flight and all later ones: the controller will not answer.

        :param status: the NTSTATUS of their requests
        """
        with self.lock:
            self._gone = True
            left = [slot for slot in self._slots if slot.state is not SlotState.DRIVER]
            for slot in left:
                slot.state = SlotState.DRIVER
            self.in_flight -= len(left)
        self._end_all(left, status)

    def _end_all(self, slots: Iterable[Slot], status: int) -> None:
        for slot in slots:
            self._end(slot, status)


def _range(first: int, count: int) -> tuple[int, ...]:
    """Command dwords 10 to 12 of a range of blocks."""
    return first & 0xFFFFFFFF, first >> 32, count - 1
