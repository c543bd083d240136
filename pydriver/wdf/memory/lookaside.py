# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFLOOKASIDE: a list of blocks of one size, for memory objects to take and give back."""

from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import ClassVar, Self

from pydriver.declarations.registry import handle
from pydriver.ke.irql import APC_LEVEL
from pydriver.ke.status import STATUS_INVALID_PARAMETER, NtStatusError
from pydriver.wdf.memory.memory import (
    Memory,
    PagedMemory,
    PoolType,
    check_pool_irql,
    default_tag,
    take_pool,
)
from pydriver.wdf.object.attributes import validate_attributes
from pydriver.wdf.object.ddi import creation_ddi, irql_violation
from pydriver.wdf.object.object import Object, ObjectAttributes, ParentRule

__all__ = ("LookasideList",)

Block = tuple[bytearray | memoryview, Callable[[], None] | None]
"""A buffer, and the function that gives it back to the pool."""

DEPTH = 256
"""The greatest number of blocks that a list keeps [ExInitializeNPagedLookasideList]."""


@handle("WDFLOOKASIDE")
class LookasideList(Object):
    """A lookaside list.

    `_lock` guards `_free`. Each memory object keeps the list alive, so that its block can return
    to it.
    """

    __slots__ = ("_free", "_lock", "_memory_attributes", "buffer_size", "pool_tag", "pool_type")

    fx_type: ClassVar[int] = 0x1009

    def __init__(
        self,
        parent: Object,
        attributes: ObjectAttributes,
        buffer_size: int,
        pool_type: PoolType,
        memory_attributes: ObjectAttributes,
        pool_tag: str,
    ) -> None:
        super().__init__(parent._kernel, parent, attributes)
        self.buffer_size = buffer_size
        self.pool_type = pool_type
        self.pool_tag = pool_tag
        self._memory_attributes = memory_attributes
        self._free: list[Block] = []
        self._lock = Lock()

    def __str__(self) -> str:
        return f"lookaside list {self.pool_tag!r}"

    @classmethod
    @creation_ddi(
        "WdfLookasideListCreate",
        "NTSTATUS (_In_opt_ PWDF_OBJECT_ATTRIBUTES LookasideAttributes, "
        "_In_ size_t BufferSize, _In_ POOL_TYPE PoolType, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES MemoryAttributes, _In_opt_ ULONG PoolTag, "
        "_Out_ WDFLOOKASIDE *Lookaside)",
    )
    def create(
        cls,
        attributes: ObjectAttributes,
        buffer_size: int,
        pool_type: PoolType = PoolType.NON_PAGED_NX,
        memory_attributes: ObjectAttributes | None = None,
        pool_tag: str = "",
    ) -> Self:
        """Creates a list.

        :param attributes: the attributes, which must name a parent: there is no current driver
            whose object could be the default
        :param buffer_size: the size of a block in bytes, more than 0
        :param pool_type: the pool that the blocks come from
        :param memory_attributes: the attributes of the memory objects; without a parent in them,
            their parent is the driver
        :param pool_tag: up to four characters; empty: the driver's tag
        :raises NtStatusError: some attributes are not valid, or the size is 0
        """
        what = "WdfLookasideListCreate"
        attributes, parent = cls.check_attributes_with_parent(attributes, what)
        if buffer_size <= 0:
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        memory_attributes = validate_attributes(memory_attributes, ParentRule.OPTIONAL, what)
        kernel = parent._kernel
        irql = kernel.irql()
        if pool_type == PoolType.PAGED and irql > APC_LEVEL and kernel.verifying:
            irql_violation(kernel, what, irql, parent, APC_LEVEL)
        tag = pool_tag or default_tag(parent)
        return cls(parent, attributes, buffer_size, pool_type, memory_attributes, tag)

    def take(self, what: str) -> Memory:
        """A memory object with a block: a returned block, with its old contents, or a new one.

        :param what: the DDI, for the report
        """
        kernel = self._kernel
        check_pool_irql(kernel, self.pool_type, self.buffer_size, what)
        with self._lock:
            block = self._free.pop() if self._free else None
        if block is None:
            block = take_pool(self, self.buffer_size, self.pool_tag)
        kind = PagedMemory if self.pool_type == PoolType.PAGED else Memory
        self._hold()
        attributes = self._memory_attributes
        try:
            return kind(
                kernel,
                attributes.parent_object or self.root,
                attributes,
                block[0],
                pool_tag=self.pool_tag,
                give_back=partial(self._return, block),
            )
        except NtStatusError:
            self._return(block)
            raise

    def _return(self, block: Block) -> None:
        with self._lock:
            keeps = len(self._free) < DEPTH
            if keeps:
                self._free.append(block)
        if not keeps:
            _give_back(block)
        self._drop()

    def _on_destroy(self) -> None:
        for block in self._free:
            _give_back(block)
        self._free.clear()


def _give_back(block: Block) -> None:
    give_back = block[1]
    if give_back is not None:
        give_back()
