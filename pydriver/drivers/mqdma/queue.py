# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""One hardware queue of `mqdma`: its rings, its requests in flight, its repair.

`lock` guards the rings, `_requests`, `_failing` and the counters of requests. Submission, the DPC,
the watch and the work item take it. The code that takes a request out of `_requests` completes
it, without the lock, because a completion callback may submit the next request.
`events` and `_captured` belong to the ISR, and to the DPC that it queues.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydriver.abi._native import ffi, lib
from pydriver.ke.status import STATUS_IO_DEVICE_ERROR, STATUS_NO_SUCH_DEVICE, STATUS_SUCCESS

if TYPE_CHECKING:
    from pydriver.machine import SharedMemory
    from pydriver.wdf import (
        Dpc,
        Interrupt,
        IoQueue,
        MappedRegisters,
        Request,
        SpinLock,
        WorkItem,
    )

__all__ = ("HardwareQueue", "QueueLayout")

PAGE = 4096
ALL_ONES = 0xFFFFFFFF
ATTEMPTS = 3
CRC_BYTES = 4

# struct mqdma_descriptor without its reserved end, which stays zero.
DESCRIPTOR = struct.Struct("<BBHIQQQQQ")
CRC = struct.Struct("<I")

VALID: int = lib.MQDMA_EVENT_VALID
KIND_MASK: int = lib.MQDMA_EVENT_KIND_MASK
KIND_COMPLETION: int = lib.MQDMA_EVENT_COMPLETION << lib.MQDMA_EVENT_KIND_SHIFT
PHASE: int = lib.MQDMA_COMPLETION_PHASE
STATUS_OK: int = lib.MQDMA_STATUS_OK
COPY_FLAGS: int = lib.MQDMA_DESC_SRC_BAR2 | lib.MQDMA_DESC_DST_BAR2 | lib.MQDMA_DESC_CRC
DESCRIPTOR_SIZE: int = lib.MQDMA_DESCRIPTOR_SIZE


@dataclass(frozen=True)
class QueueLayout:
    """A queue's part of the shared memory: submission ring, completion ring, pairs of buffers.

    :ivar order: logarithm of the rings' size, ``1 << order`` entries, more than requests in flight
    :ivar depth: requests in flight
    :ivar stride: bytes from one buffer to the next
    :ivar size: bytes of the whole part
    """

    order: int
    depth: int
    stride: int

    @classmethod
    def for_depth(cls, depth: int, block: int) -> "QueueLayout":
        """The layout for ``depth`` requests of up to ``block`` bytes."""
        return cls(max(depth.bit_length(), lib.MQDMA_MIN_ORDER), depth, (block + PAGE - 1) & -PAGE)

    @property
    def completions(self) -> int:
        """Offset of the completion ring."""
        return ((DESCRIPTOR_SIZE << self.order) + PAGE - 1) & -PAGE

    @property
    def buffers(self) -> int:
        """Offset of the first source buffer; a slot has a source and a destination."""
        ring: int = lib.MQDMA_COMPLETION_SIZE << self.order
        return (self.completions + ring + PAGE - 1) & -PAGE

    @property
    def size(self) -> int:
        """Bytes of the whole part."""
        return self.buffers + 2 * self.depth * self.stride


class HardwareQueue:
    """A hardware queue.

    :param index: index of the queue in the device
    :param watchdog_us: time without progress, in us, after which the device reports a hang
    :param start_watch: function to call when a request is in flight
    :ivar write32: WRITE_REGISTER_ULONG of the device's registers, doorbells included
    :ivar doorbell: the offset of the submission ring's tail
    :ivar in_flight: requests that the device has
    :ivar gone: whether the device answers with all ones
    :ivar completed: requests that were completed
    :ivar events: events that were taken
    :ivar isrs: interrupts that were claimed for this queue
    :ivar interrupts: causes seen by an ISR that serves several queues
    :ivar dpcs_queued: number of times that the DPC was queued
    :ivar dpcs_coalesced: number of times that it was already queued
    :ivar repairs: number of times that the queue was reset
    :ivar retries: requests that were submitted again
    :ivar recovered: number of times that completions were found without an interrupt
    """

    queue: "IoQueue"
    lock: "SpinLock"
    dpc: "Dpc"
    repair: "WorkItem"
    interrupt: "Interrupt"

    def __init__(self, index: int, watchdog_us: int, start_watch: Callable[[], None]) -> None:
        self.index = index
        self.in_flight = 0
        self.gone = False
        self.completed = 0
        self.events = 0
        self.isrs = 0
        self.interrupts = 0
        self.dpcs_queued = 0
        self.dpcs_coalesced = 0
        self.repairs = 0
        self.retries = 0
        self.recovered = 0
        self._watchdog_us = watchdog_us
        self._start_watch = start_watch
        self._sources: list[int] = []
        self._page: int = lib.MQDMA_QUEUE_BASE + index * lib.MQDMA_QUEUE_STRIDE
        self._take: int = self._page + lib.MQDMA_Q_LAST_TAKE
        self.doorbell: int = self._page + lib.MQDMA_Q_SQ_TAIL
        self._sq_head: int = self._page + lib.MQDMA_Q_SQ_HEAD
        self._cq_head: int = self._page + lib.MQDMA_Q_CQ_HEAD
        self._captured: deque[int] = deque()
        self._failing: list[int] = []
        self._free: list[int] = []
        self._requests: list[Request | None] = []
        self._attempts: list[int] = []
        self._slots: list[int] = []

    # Hardware, at PASSIVE_LEVEL

    def map(
        self, registers: "MappedRegisters", shared: "SharedMemory", layout: QueueLayout, vector: int
    ) -> None:
        """Takes the resources.

        :param vector: the message that the queue should send
        """
        start = self.index * layout.size
        self._layout = layout
        self._vector = vector
        self._read32 = registers.read32
        self.write32 = registers.write32
        self._view = shared.view
        self._start = start
        self._completions: Any = shared.pointer(
            start + layout.completions, "struct mqdma_completion *"
        )
        self._mask = (1 << layout.order) - 1
        first = start + layout.buffers
        self._sources = [first + 2 * slot * layout.stride for slot in range(layout.depth)]
        self._free = list(range(layout.depth))
        self._requests = [None] * layout.depth
        self._attempts = [0] * layout.depth
        # The slot of each ring entry: a completion always names the entry.
        self._slots = [0] * (self._mask + 1)

    def unmap(self) -> None:
        """Gives the memory back."""
        self._view = memoryview(b"")
        self._completions = ffi.NULL

    def program(self) -> None:
        """Sets the queue up from its reset state and enables it."""
        layout, page, write32 = self._layout, self._page, self.write32
        ring = self._start + layout.completions
        end = self._start + layout.buffers
        self._view[self._start : end] = bytes(end - self._start)
        self._tail = 0
        self._head = 0
        self._phase = PHASE
        for register, value in (
            (lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_RESET),
            (lib.MQDMA_Q_ORDER, layout.order),
            (lib.MQDMA_Q_LOCATION, lib.MQDMA_LOCATION_SQ_BAR2 | lib.MQDMA_LOCATION_CQ_BAR2),
            (lib.MQDMA_Q_SQ_BASE_LO, self._start & 0xFFFFFFFF),
            (lib.MQDMA_Q_SQ_BASE_HI, self._start >> 32),
            (lib.MQDMA_Q_CQ_BASE_LO, ring & 0xFFFFFFFF),
            (lib.MQDMA_Q_CQ_BASE_HI, ring >> 32),
            (lib.MQDMA_Q_VECTOR, self._vector),
            (lib.MQDMA_Q_WATCHDOG_US, self._watchdog_us),
            (lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ENABLE),
        ):
            write32(page + register, value)

    def lost(self) -> int:
        """The number of events that the next one overwrote: the device's overrun counter."""
        return self._read32(self._page + lib.MQDMA_Q_OVERRUN)

    # Interrupts, at DIRQL

    def capture(self) -> bool:
        """Takes the last event before the next one overwrites it.

        :return: whether there was one
        """
        event = self._read32(self._take)
        if not event & VALID or event == ALL_ONES:
            return False
        self.events += 1
        if event & KIND_MASK != KIND_COMPLETION:
            self._captured.append(event)
        return True

    def queue_dpc(self) -> None:
        """Queues the DPC, for an interrupt that was claimed."""
        self.isrs += 1
        if self.dpc.enqueue():
            self.dpcs_queued += 1
        else:
            self.dpcs_coalesced += 1

    # Requests, at DISPATCH_LEVEL and below

    def evt_io_device_control(
        self, queue: "IoQueue", request: "Request", output_length: int, size: int, code: int
    ) -> None:
        """Hands a request to the device. The router has checked it."""
        slot = self._free.pop()
        data = request.irp.input
        if data:
            source = self._sources[slot]
            self._view[source : source + size] = data
        lock = self.lock
        lock.acquire()
        if self.gone:
            lock.release()
            self._free.append(slot)
            request.complete(STATUS_NO_SUCH_DEVICE)
            return
        self._requests[slot] = request
        self._attempts[slot] = 1
        self.in_flight += 1
        self._submit(slot, size)
        self.write32(self.doorbell, self._tail)
        # The read pushes the doorbell out. If the device completes the request at once, the ISR can
        # take its event before the next doorbell's request overwrites it.
        self._read32(self._sq_head)
        lock.release()
        self._start_watch()

    def _submit(self, slot: int, size: int) -> None:
        """Writes a descriptor; the lock is held."""
        source = self._sources[slot]
        tail = self._tail
        place = self._start + tail * DESCRIPTOR_SIZE
        if size:
            target = source + self._layout.stride
            DESCRIPTOR.pack_into(
                self._view,
                place,
                lib.MQDMA_OP_COPY,
                0,
                COPY_FLAGS,
                size,
                slot,
                source,
                target,
                0,
                0,
            )
        else:
            DESCRIPTOR.pack_into(self._view, place, lib.MQDMA_OP_NOP, 0, 0, 0, slot, 0, 0, 0, 0)
        self._slots[tail] = slot
        self._tail = (tail + 1) & self._mask

    # Completions, in the DPC

    def reap(self) -> None:
        """Completes what the device has completed; leaves failed requests to the work item."""
        done: list[tuple[int, Request, int]] = []
        lock = self.lock
        lock.acquire()
        head, phase = self._head, self._phase
        completions = self._completions
        entry = completions[head]
        while entry.flags & PHASE == phase:
            slot = self._slots[entry.sq_index]
            request = self._requests[slot]
            if entry.status != STATUS_OK or entry.cookie != slot:
                self._failing.append(slot)
            elif request is not None:  # the device's removal has not completed it
                self._requests[slot] = None
                done.append((slot, request, entry.result))
            head = (head + 1) & self._mask
            if not head:
                phase ^= PHASE
            entry = completions[head]
        if head != self._head:
            self._head, self._phase = head, phase
            self.write32(self._cq_head, head)
        self.in_flight -= len(done)
        self.completed += len(done)
        lock.release()
        for slot, request, result in done:
            self._complete(slot, request, result)
        if self._failing or self._captured:
            self.repair.enqueue()

    def _complete(self, slot: int, request: "Request", crc: int) -> None:
        irp = request.irp
        size = 0
        source = irp.input
        if source:
            size = len(source)
            target = self._sources[slot] + self._layout.stride
            output = irp.buffer
            assert output is not None
            output[:size] = self._view[target : target + size]
            CRC.pack_into(output, size, crc)
            size += CRC_BYTES
        self._free.append(slot)
        request.complete_with_information(STATUS_SUCCESS, size)

    # Repair, in the work item at PASSIVE_LEVEL

    def evt_repair(self, work_item: "WorkItem") -> None:
        """Submits failed requests again, or all requests in flight if the queue has stopped."""
        self._captured.clear()
        stopped = self._state() in {lib.MQDMA_STATE_ERROR, lib.MQDMA_STATE_HUNG}
        hopeless: list[int] = []
        with self.lock:
            slots, self._failing = self._failing, []
            if stopped:
                self.repairs += 1
                self.program()
                slots = [slot for slot, request in enumerate(self._requests) if request]
            for slot in slots:
                request = self._requests[slot]
                if request is None:
                    continue
                if self._attempts[slot] == ATTEMPTS:
                    hopeless.append(slot)
                    continue
                self._attempts[slot] += 1
                self.retries += 1
                self._submit(slot, len(request.irp.input or b""))
            self.write32(self.doorbell, self._tail)
        self._fail(hopeless, STATUS_IO_DEVICE_ERROR)

    def give_up(self) -> None:
        """Fails all requests in flight and all later ones: the device is gone."""
        with self.lock:
            self.gone = True
        self._fail(range(len(self._requests)), STATUS_NO_SUCH_DEVICE)

    def look_after(self) -> None:
        """Finds the reason for missing progress and handles it; called by the watch."""
        if self._read32(self._page + lib.MQDMA_Q_STATUS) == ALL_ONES:
            self.give_up()
        elif self._completions[self._head].flags & PHASE == self._phase:
            self.recovered += 1
            self.dpc.enqueue()
        elif self._state() in {lib.MQDMA_STATE_ERROR, lib.MQDMA_STATE_HUNG}:
            self.repair.enqueue()

    def _state(self) -> int:
        status = self._read32(self._page + lib.MQDMA_Q_STATUS)
        return status & lib.MQDMA_Q_STATUS_STATE_MASK  # type: ignore[no-any-return]

    def _fail(self, slots: Iterable[int], status: int) -> None:
        failed: list[Request] = []
        with self.lock:
            for slot in slots:
                request = self._requests[slot]
                if request is not None:
                    self._requests[slot] = None
                    self._free.append(slot)
                    failed.append(request)
            self.in_flight -= len(failed)
            self.completed += len(failed)
        for request in failed:
            request.complete(status)
