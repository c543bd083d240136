# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Guest RAM that the kernel hands out, which a device, Python and code in the guest all reach.

A block is one piece of guest RAM. A device accesses it at its guest-physical address by bus-master
DMA, and Python through a view of the memory that is shared with QEMU; neither needs an access by a
processor. Common buffers and map registers are such blocks, as are, for devices whose driver asks
for it, the buffers of requests, pool and contexts; all of them come from here.

Any thread may allocate and free, at any IRQL up to DISPATCH_LEVEL: nothing waits under the locks,
and no register is accessed.
"""

import contextlib
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from pydriver.errors import MachineError
from pydriver.ke.status import STATUS_INSUFFICIENT_RESOURCES, NtStatusError
from pydriver.place import Caller, find_caller

if TYPE_CHECKING:
    from pydriver.ke.verifier import Verifier
    from pydriver.machine import Reservations, SharedMemory

__all__ = ("PAGE_SIZE", "POOL_ALIGNMENT", "GuestBlock", "GuestMemory")

PAGE_SIZE: Final = 4096
POOL_ALIGNMENT: Final = 16
"""Alignment of pool in bytes, on 64-bit Windows [ExAllocatePool2]."""

NO_LIMIT: Final = 1 << 64


class GuestBlock:
    """A block of guest RAM.

    :param memory: the guest memory it was taken from
    :param address: the guest-physical address
    :param length: the number of bytes that were asked for
    :param tag: the purpose of the block, for reports
    :param owner: the driver that must free it before it is unloaded; ``None`` if an object does
    :param caller: the driver's call that allocated it; noted while verifying
    :ivar view: the block, as a memoryview of bytes; released when the block is freed
    """

    __slots__ = ("_memory", "address", "caller", "length", "owner", "tag", "view")

    def __init__(
        self,
        memory: "GuestMemory",
        address: int,
        length: int,
        tag: str,
        owner: object,
        caller: Caller | None,
    ) -> None:
        self._memory = memory
        self.address = address
        self.length = length
        self.tag = tag
        self.owner = owner
        self.caller = caller
        self.view = memory.view[address : address + length]

    def __str__(self) -> str:
        return f"{self.length} bytes of guest memory at {self.address:#x} ({self.tag})"

    @property
    def pointer(self) -> Any:
        """The block, as a cffi ``uint8_t *``."""
        return self._memory.pointer(self.address)

    def free(self) -> None:
        """Gives the block back. A view that is still in use then shows the next block there."""
        self._memory._free(self)


class GuestMemory:
    """The one owner of the guest RAM that the guest's own image leaves free.

    :param memory: guest RAM from physical address 0
    :param reservations: the addresses of it that are free
    :param verifier: the verifier that takes reports of blocks that a driver has not freed
    :ivar view: all of guest RAM, by guest-physical address
    """

    def __init__(
        self, memory: "SharedMemory", reservations: "Reservations", verifier: "Verifier"
    ) -> None:
        self.view = memory.view
        self.pointer = memory.pointer
        self._memory = memory
        self._reservations = reservations
        self._verifier = verifier
        self._lock = Lock()  # guards the blocks
        self._blocks: dict[int, GuestBlock] = {}

    def allocate(
        self,
        length: int,
        tag: str,
        *,
        alignment: int = POOL_ALIGNMENT,
        limit: int = NO_LIMIT,
        owner: object = None,
    ) -> GuestBlock:
        """Takes a block, filled with zeros.

        :param length: the length in bytes, more than 0
        :param tag: the purpose of the block, for reports; for pool, its tag
        :param alignment: the alignment of its address in bytes, a power of 2
        :param limit: the first address that the device does not reach, at or below which the block
            ends
        :param owner: the driver that must free the block before it is unloaded; ``None`` if an
            object frees it
        :raises NtStatusError: STATUS_INSUFFICIENT_RESOURCES: there is no such block
        """
        # Whole units of pool, so that the gaps between blocks are of use for others.
        size = (length + POOL_ALIGNMENT - 1) & -POOL_ALIGNMENT
        try:
            address = self._reservations.reserve(size, max(alignment, POOL_ALIGNMENT))
        except MachineError as error:
            raise NtStatusError(STATUS_INSUFFICIENT_RESOURCES, f"{tag}: {error}") from error
        if address + length > limit:
            self._reservations.release(address)
            raise NtStatusError(
                STATUS_INSUFFICIENT_RESOURCES, f"{tag}: no memory below {limit:#x} for the device"
            )
        caller = find_caller() if owner is not None and self._verifier.enabled else None
        block = GuestBlock(self, address, length, tag, owner, caller)
        block.view[:] = bytes(length)
        with self._lock:
            self._blocks[address] = block
        return block

    def _free(self, block: GuestBlock) -> None:
        with self._lock:
            if self._blocks.pop(block.address, None) is not block:
                raise ValueError(f"{block} is freed, but was freed before")
        with contextlib.suppress(BufferError):  # a library still has a view of it
            block.view.release()
        self._reservations.release(block.address)

    @property
    def blocks(self) -> tuple[GuestBlock, ...]:
        """The blocks that have not been freed, by address."""
        with self._lock:
            return tuple(self._blocks[address] for address in sorted(self._blocks))

    def address_of(self, view: memoryview) -> int | None:
        """Returns the guest-physical address of bytes that Python has a view of.

        :param view: contiguous bytes of any buffer
        :return: the address, or ``None`` if the bytes are not in guest RAM or there are none
        """
        return self._memory.offset_of(view)

    def check_freed(self, owner: object) -> None:
        """Reports each block that a driver has not freed to the verifier; they stay allocated.

        :param owner: the driver, which is being unloaded
        """
        for block in self.blocks:
            if block.owner is owner:
                where = "" if block.caller is None else f", allocated by {block.caller}"
                self._verifier.violation(
                    "PoolLeak", f"{owner} has not freed {block}{where}", owner, apart=True
                )
