# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFMEMORY: an object with a buffer, which is allocated from pool or given by the driver.

There is no paging: paged pool differs from nonpaged pool only in the IRQL at which it may be
allocated, touched by the framework and freed, which is checked.
"""

import contextlib
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import enumeration, handle
from pydriver.ke.bugcheck import (
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    WDF_VIOLATION,
    WdfViolation,
)
from pydriver.ke.irql import APC_LEVEL, DISPATCH_LEVEL, irql_name
from pydriver.ke.status import (
    STATUS_ACCESS_VIOLATION,
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    NtStatusError,
)
from pydriver.wdf.object.ddi import creation_ddi, ddi, irql_violation
from pydriver.wdf.object.object import (
    Object,
    ObjectAttributes,
    check_pointer,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.kernel import Kernel
    from pydriver.wdf.memory.lookaside import LookasideList

__all__ = ("Memory", "PoolType", "check_pool_irql")

PAGED_ALLOCATION = 0x01
NONPAGED_ALLOCATION = 0x02
"""Parameter 1 of 0xC4: pool is allocated above APC_LEVEL, or above DISPATCH_LEVEL."""

FX_TYPE_MEMORY_PREALLOCATED = 0x1022


@enumeration(
    "POOL_TYPE",
    names={"NON_PAGED": "NonPagedPool", "PAGED": "PagedPool", "NON_PAGED_NX": "NonPagedPoolNx"},
    more={
        "NonPagedPoolExecute": 0,
        "NonPagedPoolMustSucceed": 2,
        "DontUseThisType": 3,
        "NonPagedPoolCacheAligned": 4,
        "PagedPoolCacheAligned": 5,
        "NonPagedPoolCacheAlignedMustS": 6,
        "MaxPoolType": 7,
        "NonPagedPoolNxCacheAligned": 516,
    },
)
class PoolType(IntEnum):
    """POOL_TYPE."""

    NON_PAGED = 0
    PAGED = 1
    NON_PAGED_NX = 512


def check_pool_irql(kernel: "Kernel", pool_type: PoolType, size: int, what: str) -> None:
    """Bug-checks an allocation above the IRQL of its pool, as Driver Verifier does.

    :param kernel: the kernel whose current IRQL is checked
    :param pool_type: the pool
    :param size: the size in bytes
    :param what: the DDI, for the report
    """
    paged = pool_type == PoolType.PAGED
    irql = kernel.irql()
    if not kernel.verifying or irql <= (APC_LEVEL if paged else DISPATCH_LEVEL):
        return
    kernel.bug_check(
        DRIVER_VERIFIER_DETECTED_VIOLATION,
        PAGED_ALLOCATION if paged else NONPAGED_ALLOCATION,
        irql,
        pool_type,
        size,
        rule="KmdfIrql",
        message=f"{what} allocates {'paged' if paged else 'nonpaged'} pool at {irql_name(irql)}",
    )


def take_pool(
    parent: Object, size: int, tag: str
) -> "tuple[bytearray | memoryview, Callable[[], None] | None]":
    """Takes pool that is filled with zeros, from guest memory if the parent's pool is there.

    Otherwise it is memory of this process.

    :param parent: the object that the pool is for
    :param size: the size in bytes
    :param tag: the pool tag
    :return: the buffer, and the function that gives it back; ``None`` if Python frees it
    :raises NtStatusError: STATUS_INSUFFICIENT_RESOURCES: guest memory is exhausted
    """
    memory = parent.guest_memory
    if memory is None:
        return bytearray(size), None
    block = memory.allocate(size, f"pool {tag!r}", owner=parent.root)
    return block.view, block.free


@handle("WDFMEMORY")
class Memory(Object):
    """A memory object: its buffer is pool, and is freed with the last reference.

    :ivar pool_tag: four characters that tell whose memory it is
    """

    __slots__ = ("_buffer", "_give_back", "_view", "pool_tag")

    fx_type: ClassVar[int] = 0x100A

    def __init__(
        self,
        kernel: "Kernel",
        parent: Object | None,
        attributes: ObjectAttributes | None,
        buffer: bytearray | memoryview,
        *,
        pool_tag: str = "",
        give_back: "Callable[[], None] | None" = None,
        deletable: bool = True,
    ) -> None:
        super().__init__(kernel, parent, attributes, deletable=deletable)
        self._buffer = buffer
        self._view = memoryview(buffer).cast("B")
        self._give_back = give_back
        self.pool_tag = pool_tag

    def __str__(self) -> str:
        tag = f" {self.pool_tag!r}" if self.pool_tag else ""
        return f"memory{tag}"

    @classmethod
    @creation_ddi(
        "WdfMemoryCreate",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES Attributes, _In_ POOL_TYPE PoolType, "
        "_In_opt_ ULONG PoolTag, _In_ size_t BufferSize, _Out_ WDFMEMORY *Memory, "
        "_Outptr_opt_result_bytebuffer_(BufferSize) PVOID *Buffer)",
        binding=Binding(outputs={"Memory": "result", "Buffer": "result.get_buffer()"}),
    )
    def create(
        cls,
        attributes: ObjectAttributes,
        pool_type: PoolType,
        pool_tag: str,
        buffer_size: int,
    ) -> "Memory":
        """Creates a memory object with a new buffer, filled with zeros; see :meth:`get_buffer`.

        :param attributes: the attributes, which must name a parent: there is no current driver
            whose object could be the default
        :param pool_type: the pool; paged pool may be allocated at or below APC_LEVEL
        :param pool_tag: up to four characters; empty: the driver's tag
        :param buffer_size: the size in bytes, more than 0
        :raises NtStatusError: the attributes are not valid, the size is 0, or guest memory is
            exhausted, if the pool is there
        """
        what = "WdfMemoryCreate"
        attributes, parent = cls.check_attributes_with_parent(attributes, what)
        if buffer_size <= 0:
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        kernel = parent._kernel
        irql = kernel.irql()
        if pool_type == PoolType.PAGED and irql > APC_LEVEL and kernel.verifying:
            irql_violation(kernel, what, irql, parent, APC_LEVEL)
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what} of paged pool")
        check_pool_irql(kernel, pool_type, buffer_size, what)
        kind = PagedMemory if pool_type == PoolType.PAGED else Memory
        tag = pool_tag or default_tag(parent)
        buffer, give_back = take_pool(parent, buffer_size, tag)
        try:
            return kind(kernel, parent, attributes, buffer, pool_tag=tag, give_back=give_back)
        except NtStatusError:
            if give_back is not None:
                give_back()
            raise

    @classmethod
    @creation_ddi(
        "WdfMemoryCreatePreallocated",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES Attributes, "
        "_In_reads_bytes_(BufferSize) PVOID Buffer, _In_ size_t BufferSize, "
        "_Out_ WDFMEMORY *Memory)",
    )
    def create_preallocated(
        cls, attributes: ObjectAttributes, buffer: bytearray | memoryview
    ) -> "PreallocatedMemory":
        """Creates a memory object for a buffer that the driver has, and keeps.

        :param attributes: the attributes, with a parent, as for :meth:`create`
        :param buffer: the buffer, of more than 0 bytes
        :raises NtStatusError: the attributes are not valid, or the buffer is empty
        """
        what = "WdfMemoryCreatePreallocated"
        attributes, parent = cls.check_attributes_with_parent(attributes, what)
        check_pointer(parent._kernel, buffer, f"{what}: Buffer")
        if not len(buffer):
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        return PreallocatedMemory(parent._kernel, parent, attributes, buffer)

    @classmethod
    @creation_ddi(
        "WdfMemoryCreateFromLookaside",
        "NTSTATUS (_In_ WDFLOOKASIDE Lookaside, _Out_ WDFMEMORY *Memory)",
    )
    def create_from_lookaside(cls, lookaside: "LookasideList") -> "Memory":
        """Creates a memory object with a block of a lookaside list; its deletion returns the block.

        :param lookaside: the list; its attributes for memory objects apply
        :raises NtStatusError: the parent is being deleted
        """
        return lookaside.take("WdfMemoryCreateFromLookaside")

    @ddi(
        "WdfMemoryAssignBuffer",
        "NTSTATUS (_In_ WDFMEMORY Memory, _In_reads_bytes_(BufferSize) PVOID Buffer, "
        "_In_ size_t BufferSize)",
    )
    def assign_buffer(self, buffer: bytearray | memoryview) -> None:
        """Replaces the buffer of a memory object that :meth:`create_preallocated` has made.

        :param buffer: another buffer of the driver's, of more than 0 bytes
        :raises NtStatusError: the buffer is empty
        """
        what = "WdfMemoryAssignBuffer"
        if not isinstance(self, PreallocatedMemory):
            self._kernel.bug_check(
                WDF_VIOLATION,
                WdfViolation.INVALID_HANDLE,
                id(self),
                FX_TYPE_MEMORY_PREALLOCATED,
                message=f"{what}: the buffer of {self} is not the driver's; only a memory object of"
                " WdfMemoryCreatePreallocated has one",
                subject=self,
            )
        check_pointer(self._kernel, buffer, f"{what}: Buffer")
        if not len(buffer):
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        self._buffer = buffer
        self._view = memoryview(buffer).cast("B")

    @ddi(
        "WdfMemoryGetBuffer",
        "PVOID (_In_ WDFMEMORY Memory, _Out_opt_ size_t *BufferSize)",
        binding=Binding(outputs={"return": "result", "BufferSize": "len(result)"}),
    )
    def get_buffer(self) -> memoryview:
        """The buffer; its length is the size."""
        return self._view

    @ddi(
        "WdfMemoryCopyToBuffer",
        "NTSTATUS (_In_ WDFMEMORY SourceMemory, _In_ size_t SourceOffset, "
        "_Out_writes_bytes_(NumBytesToCopyTo) PVOID Buffer, _In_ size_t NumBytesToCopyTo)",
        binding=Binding(parameters={"NumBytesToCopyTo": "length"}),
    )
    def copy_to_buffer(
        self, source_offset: int, buffer: bytearray | memoryview, length: int | None = None
    ) -> None:
        """Copies out of the memory: the whole length, or nothing.

        :param source_offset: the offset in the memory, in bytes
        :param buffer: the destination
        :param length: the number of bytes; by default, the length of ``buffer``
        :raises NtStatusError: the length is 0; the memory does not have that many bytes there; or
            ``buffer`` is too small
        """
        what = f"WdfMemoryCopyToBuffer({self})"
        check_pointer(self._kernel, buffer, f"{what}: Buffer")
        target = memoryview(buffer).cast("B")
        length = len(target) if length is None else length
        _check_copy(len(self._view), source_offset, len(target), 0, length, what)
        self._touch(write=False)
        target[:length] = self._view[source_offset : source_offset + length]

    @ddi(
        "WdfMemoryCopyFromBuffer",
        "NTSTATUS (_In_ WDFMEMORY DestinationMemory, _In_ size_t DestinationOffset, "
        "_In_reads_bytes_(NumBytesToCopyFrom) PVOID Buffer, _In_ size_t NumBytesToCopyFrom)",
        binding=Binding(parameters={"NumBytesToCopyFrom": "length"}),
    )
    def copy_from_buffer(
        self,
        destination_offset: int,
        buffer: bytes | bytearray | memoryview,
        length: int | None = None,
    ) -> None:
        """Copies into the memory: the whole length, or nothing.

        :param destination_offset: the offset in the memory, in bytes
        :param buffer: the source
        :param length: the number of bytes; by default, the length of ``buffer``
        :raises NtStatusError: the length is 0; ``buffer`` does not have that many bytes; the memory
            does not have room for them there, or is that of a write request
        """
        what = f"WdfMemoryCopyFromBuffer({self})"
        check_pointer(self._kernel, buffer, f"{what}: Buffer")
        if self._view.readonly:
            raise NtStatusError(STATUS_ACCESS_VIOLATION, what)
        source = memoryview(buffer).cast("B")
        length = len(source) if length is None else length
        _check_copy(len(source), 0, len(self._view), destination_offset, length, what)
        self._touch(write=True)
        self._view[destination_offset : destination_offset + length] = source[:length]

    def _touch(self, *, write: bool) -> None:
        """Called before the framework touches the buffer: paged memory checks the IRQL."""

    def _on_destroy(self) -> None:
        with contextlib.suppress(BufferError):  # a library still exports a view of it
            self._view.release()
        if self._give_back is not None:
            self._give_back()


class PagedMemory(Memory):
    """A memory object in paged pool, freed at PASSIVE_LEVEL [fxmemorybufferfrompool.cpp]."""

    __slots__ = ()

    passive_disposal: ClassVar[bool] = True

    def _touch(self, *, write: bool) -> None:
        irql = self._kernel.irql()
        if irql <= APC_LEVEL or not self._kernel.verifying:
            return
        self._kernel.bug_check(
            DRIVER_IRQL_NOT_LESS_OR_EQUAL,
            id(self._buffer),
            irql,
            int(write),
            rule="KmdfIrql",
            message=f"{self}, which is paged, is touched at {irql_name(irql)}",
            subject=self,
        )


class PreallocatedMemory(Memory):
    """A memory object whose buffer the driver keeps."""

    __slots__ = ()


def _check_copy(
    source_size: int, source_offset: int, target_size: int, target_offset: int, n: int, what: str
) -> None:
    if n <= 0:
        raise NtStatusError(STATUS_INVALID_PARAMETER, what)
    if not 0 <= source_offset < source_size or n > source_size - source_offset:
        raise NtStatusError(STATUS_BUFFER_TOO_SMALL, what)
    if not 0 <= target_offset < target_size or n > target_size - target_offset:
        raise NtStatusError(STATUS_INVALID_BUFFER_SIZE, what)


def default_tag(parent: Object) -> str:
    """The pool tag of the driver that an object is below: the start of its name."""
    return getattr(parent.root, "name", "")[:4]
