# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The receive ring: frames wait in it until a read request takes them.

For the device the descriptors are a ring, except for the mark that ends it. The mark is on the
descriptor before `_first`, the oldest one that the driver has not taken. So from `_first` on there
are frames, then free descriptors, then the mark. Taking a frame frees its descriptor, which gets
the mark; then the descriptor before loses it. A receive unit that has reached the mark in the
meantime has stopped and is started again at the end of the frames. Frames that arrive while it is
stopped are lost and counted by the device.

`_lock` guards all of it.
"""

from typing import TYPE_CHECKING, Any

from pydriver.drivers.i8255x.spec import (
    END_OF_LIST,
    FRAME_COMPLETE,
    FRAME_COUNT_MASK,
    FRAME_DESCRIPTOR,
    FRAME_OK,
    MAX_FRAME,
    ReceiveUnit,
)
from pydriver.ke import NtStatusError
from pydriver.ke.status import STATUS_BUFFER_TOO_SMALL, STATUS_SUCCESS
from pydriver.wdf import (
    CommonBuffer,
    Device,
    DmaEnabler,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    Request,
    SpinLock,
)

if TYPE_CHECKING:
    from pydriver.drivers.i8255x.scb import SystemControlBlock

__all__ = ("ReceiveRing",)

DESCRIPTORS = 64
STRIDE = -(-(FRAME_DESCRIPTOR.size + MAX_FRAME) // 64) * 64


class ReceiveRing:
    """Frames on their way in.

    :param device: the device that receives them
    :param enabler: the device's DMA enabler
    :param scb: the system control block, for commands to the receive unit
    :ivar queue: queue of read requests, each of which takes a frame
    :ivar restarts: number of times that the receive unit ran out of descriptors and was restarted
    """

    def __init__(self, device: Device, enabler: DmaEnabler, scb: "SystemControlBlock") -> None:
        self._scb = scb
        self.restarts = 0
        memory = CommonBuffer.create(enabler, DESCRIPTORS * STRIDE)
        self._view = memory.view
        self._address = memory.logical_address
        self._first = 0
        self._running = False
        self._stopped = False
        for index in range(DESCRIPTORS):
            self._free(index, END_OF_LIST if index == DESCRIPTORS - 1 else 0)
        self.queue = IoQueue.create(device, IoQueueConfig(IoQueueDispatchType.MANUAL))
        self.queue.ready_notify(self._evt_io_queue_state)
        self._lock = SpinLock.create(ObjectAttributes(parent_object=self.queue))

    def _free(self, index: int, command: int) -> None:
        following = self._address + (index + 1) % DESCRIPTORS * STRIDE
        size = STRIDE - FRAME_DESCRIPTOR.size
        FRAME_DESCRIPTOR.pack_into(
            self._view, index * STRIDE, 0, command, following, 0xFFFFFFFF, 0, size
        )

    def _status(self, index: int) -> int:
        return int.from_bytes(self._view[index * STRIDE : index * STRIDE + 2], "little")

    def _frames(self) -> int:
        """The number of waiting frames."""
        for count in range(DESCRIPTORS):
            if not self._status((self._first + count) % DESCRIPTORS) & FRAME_COMPLETE:
                return count
        return DESCRIPTORS

    def _evt_io_queue_state(self, queue: IoQueue, context: Any) -> None:
        self.deliver()

    # Up to DISPATCH_LEVEL

    def deliver(self, *, stopped: bool = False) -> None:
        """Gives the waiting frames to the waiting reads, in order.

        :param stopped: whether the receive unit has reported that it is not ready
        """
        ended: list[tuple[Request, int, int]] = []
        with self._lock:
            if not self._running:
                return
            self._stopped |= stopped
            if frames := self._frames():
                # QEMU marks a frame as complete before it has written all of it.
                self._stopped |= not self._scb.receiving
                self._take(frames, ended)
            if self._stopped:
                self._restart()
        for request, status, information in ended:
            request.complete_with_information(status, information)

    def _take(self, frames: int, ended: list[tuple[Request, int, int]]) -> None:
        while frames:
            frame = self._frame()
            if frame is not None:
                request = self.queue.retrieve_next_request()
                if request is None:
                    return
                buffer = request.retrieve_output_buffer()
                if len(buffer) < len(frame):
                    ended.append((request, STATUS_BUFFER_TOO_SMALL, 0))
                    continue  # the next request gets the frame
                buffer[: len(frame)] = frame
                ended.append((request, STATUS_SUCCESS, len(frame)))
            self._recycle()
            frames -= 1

    def _frame(self) -> memoryview | None:
        """The oldest frame; ``None`` if the device did not find it right: it is dropped."""
        place = self._first * STRIDE
        status, _, _, _, count, _ = FRAME_DESCRIPTOR.unpack_from(self._view, place)
        begin = place + FRAME_DESCRIPTOR.size
        return self._view[begin : begin + (count & FRAME_COUNT_MASK)] if status & FRAME_OK else None

    def _recycle(self) -> None:
        """Frees the oldest descriptor, which becomes the end of the ring."""
        first = self._first
        self._free(first, END_OF_LIST)
        command = (first - 1) % DESCRIPTORS * STRIDE + 2
        self._view[command : command + 2] = bytes(2)
        self._first = (first + 1) % DESCRIPTORS

    def _restart(self) -> None:
        """Restarts the receive unit if it has stopped and there is a free descriptor."""
        if not self._scb.receiving:
            frames = self._frames()
            if frames == DESCRIPTORS:
                return  # a read will free one
            self.restarts += 1
            try:
                self._start((self._first + frames) % DESCRIPTORS)
            except NtStatusError:
                return  # it will be tried again
        self._stopped = False

    def _start(self, index: int) -> None:
        self._scb.receive_unit(ReceiveUnit.START, self._address + index * STRIDE)

    # PASSIVE_LEVEL

    def hold(self) -> None:
        """Stops taking frames: the device is about to be reset."""
        with self._lock:
            self._running = False

    def resume(self) -> None:
        """Makes a device that was reset continue to receive; waiting frames stay.

        :raises NtStatusError: the device does not accept the command
        """
        with self._lock:
            self._running = True
            frames = self._frames()
            self._stopped = frames == DESCRIPTORS
            if not self._stopped:
                self._start((self._first + frames) % DESCRIPTORS)
        self.deliver()
