# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The transmit ring: frames from write requests, in command blocks that hold them.

The command unit gets a list of blocks, the last of which ends it. While it works on that list,
other blocks fill; when it becomes idle, which interrupts, they become the next list. So the driver
never touches a block that the device may read.

`_lock` guards all of it. The code that starts a list has seen the command unit idle under the lock:
all blocks of the previous list were complete, or the device has just been reset.
"""

from typing import TYPE_CHECKING

from pydriver.drivers.i8255x.spec import (
    COMMAND_BLOCK,
    COMMAND_COMPLETE,
    COMMAND_OK,
    END_OF_LIST,
    MAX_FRAME,
    MIN_FRAME,
    NO_DESCRIPTORS,
    THRESHOLD,
    TRANSMIT_BLOCK,
    WHOLE_FRAME,
    Action,
    CommandUnit,
)
from pydriver.ke import NtStatusError
from pydriver.ke.status import (
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_IO_DEVICE_ERROR,
    STATUS_NO_SUCH_DEVICE,
    STATUS_SUCCESS,
)
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

__all__ = ("TransmitRing",)

BLOCKS = 64
LONGEST_LIST = 16
"""Blocks: QEMU stops after this number, so that an endless list does not hang it."""
STRIDE = -(-(TRANSMIT_BLOCK.size + MAX_FRAME) // 64) * 64


class Block:
    """A command block and the write request whose frame it holds."""

    __slots__ = ("address", "request", "view")

    request: Request

    def __init__(self, address: int, view: memoryview) -> None:
        self.address = address
        self.view = view

    def fill(self, request: Request, frame: memoryview) -> None:
        """Takes a frame and becomes the end of a list."""
        self.request = request
        TRANSMIT_BLOCK.pack_into(
            self.view,
            0,
            0,
            END_OF_LIST | Action.TRANSMIT,
            0,
            NO_DESCRIPTORS,
            WHOLE_FRAME | len(frame),
            THRESHOLD,
            0,
        )
        self.view[TRANSMIT_BLOCK.size : TRANSMIT_BLOCK.size + len(frame)] = frame

    def link_to(self, following: "Block | None") -> None:
        """Links the block to the next one, if there is one."""
        if following is None:
            COMMAND_BLOCK.pack_into(self.view, 0, 0, END_OF_LIST | Action.TRANSMIT, 0)
        else:
            COMMAND_BLOCK.pack_into(self.view, 0, 0, Action.TRANSMIT, following.address)

    @property
    def status(self) -> int:
        """The status that the device has written."""
        return int.from_bytes(self.view[:2], "little")


class TransmitRing:
    """Frames on their way out.

    :param device: the device that sends them
    :param enabler: the device's DMA enabler
    :param scb: the system control block, for commands to the command unit
    :ivar queue: queue of write requests, each of which is a frame
    :ivar sent: frames that were sent
    :ivar lists: lists for which the command unit was started
    """

    def __init__(self, device: Device, enabler: DmaEnabler, scb: "SystemControlBlock") -> None:
        self._scb = scb
        self.sent = self.lists = 0
        memory = CommonBuffer.create(enabler, BLOCKS * STRIDE)
        self._free = [
            Block(memory.logical_address + at, memory.view[at : at + STRIDE])
            for at in range(0, BLOCKS * STRIDE, STRIDE)
        ]
        self._waiting: list[Block] = []
        self._active: list[Block] = []
        self._held = True
        self._gone = False
        self._seen = -1
        self.queue = IoQueue.create(
            device,
            IoQueueConfig(
                IoQueueDispatchType.PARALLEL,
                evt_io_write=self._evt_io_write,
                number_of_presented_requests=BLOCKS,
            ),
        )
        self._lock = SpinLock.create(ObjectAttributes(parent_object=self.queue))

    def _evt_io_write(self, queue: IoQueue, request: Request, length: int) -> None:
        if not MIN_FRAME <= length <= MAX_FRAME:
            request.complete(STATUS_INVALID_BUFFER_SIZE)
            return
        frame = request.retrieve_input_buffer()
        with self._lock:
            gone = self._gone
            if not gone:
                block = self._free.pop()
                block.fill(request, frame)
                self._waiting.append(block)
                self._start_list()
        if gone:
            request.complete(STATUS_NO_SUCH_DEVICE)

    def _start_list(self) -> None:
        """Hands over the waiting blocks if the command unit is idle; the lock is held."""
        if self._held or self._active or not self._waiting:
            return
        blocks = self._waiting[:LONGEST_LIST]
        del self._waiting[:LONGEST_LIST]
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            block.link_to(following)
        self._active = blocks
        self.lists += 1
        try:
            self._scb.command_unit(CommandUnit.START, blocks[0].address)
        except NtStatusError:
            self._held = True  # the watch will find the list late and reset the device

    # DISPATCH_LEVEL

    def reap(self) -> None:
        """Ends the requests whose frames have been sent and starts the next list."""
        with self._lock:
            if not self._active or not self._active[-1].status & COMMAND_COMPLETE:
                return
            ended, self._active = self._active, []
            results = [(block.request, block.status) for block in ended]
            self._free += ended
            self._start_list()
        self._end(results)

    def _end(self, results: list[tuple[Request, int]]) -> None:
        self.sent += len(results)
        for request, status in results:
            if status & COMMAND_OK:
                request.complete_with_information(STATUS_SUCCESS, request.length)
            else:
                request.complete(STATUS_IO_DEVICE_ERROR)

    @property
    def stuck(self) -> bool:
        """Whether the device has had a list since the last look and has not finished it."""
        stuck = bool(self._active) and self._seen == self.lists
        self._seen = self.lists
        return stuck

    # PASSIVE_LEVEL

    def hold(self) -> None:
        """Stops handing over frames: the device is about to be reset."""
        with self._lock:
            self._held = True

    def resume(self) -> None:
        """Hands over the frames that the device had not sent and those held; it is idle."""
        with self._lock:
            self._gone = self._held = False
            sent = [block for block in self._active if block.status & COMMAND_COMPLETE]
            self._waiting[:0] = [block for block in self._active if block not in sent]
            self._active = []
            self._free += sent
            results = [(block.request, block.status) for block in sent]
            self._start_list()
        self._end(results)

    def give_up(self) -> None:
        """Fails all requests in progress and all later ones: the device is gone."""
        with self._lock:
            self._gone = True
            blocks = self._active + self._waiting
            requests = [block.request for block in blocks]
            self._active, self._waiting = [], []
            self._free += blocks
        for request in requests:
            request.complete(STATUS_NO_SUCH_DEVICE)
