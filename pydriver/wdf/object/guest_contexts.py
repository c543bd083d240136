# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Contexts in guest memory: structures that Python and code in the guest both see.

A context type that is a ctypes class has a layout, as C's structures have. If a driver's objects
are in guest memory, its contexts of such types are views of blocks there; contexts of other types
are Python objects in any case.
"""

import ctypes
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydriver.ke.guest_memory import GuestBlock, GuestMemory

__all__ = ("GuestContexts", "is_structure")

_LAYOUTS = (ctypes.Structure, ctypes.Union, ctypes.Array)


def is_structure(kind: type) -> bool:
    """Whether a context type has a layout in memory."""
    return issubclass(kind, _LAYOUTS)


class GuestContexts(dict[type, Any]):
    """The contexts of an object by their types; some of them are in guest memory."""

    __slots__ = ("_blocks",)

    def __init__(self, contexts: dict[type, Any]) -> None:
        super().__init__(contexts)
        self._blocks: list[GuestBlock] = []

    def make(self, kind: type, memory: "GuestMemory", owner: object) -> Any:
        """Makes a context that is a view of a new block, which is filled with zeros.

        :param kind: the type of the context, a ctypes class
        :param memory: the memory that the block comes from
        :param owner: the driver
        :raises NtStatusError: STATUS_INSUFFICIENT_RESOURCES: guest memory is exhausted
        """
        layout: Any = kind
        size = max(1, ctypes.sizeof(layout))
        block = memory.allocate(size, f"context {kind.__qualname__}", owner=owner)
        self._blocks.append(block)
        return layout.from_buffer(block.view)

    def free(self) -> None:
        """Frees the blocks, after the object that they belong to has been destroyed."""
        for block in self._blocks:
            block.free()
        self._blocks.clear()
