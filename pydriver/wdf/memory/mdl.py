# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""MDLs: descriptions of buffers, for DMA transactions."""

import contextlib

from pydriver.declarations.registry import stands_for
from pydriver.machine.memory import host_address
from pydriver.wdf.object.ddi import function_ddi

__all__ = ("Mdl",)


@stands_for("MDL")
class Mdl:
    """The description of one buffer [MDL, MmBuildMdlForNonPagedPool].

    :param buffer: the buffer, which must stay where it is. A request's MDL ends with the request
    :ivar writable: whether a device may write into the buffer
    """

    __slots__ = ("_view", "writable")

    def __init__(self, buffer: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(buffer).cast("B")
        self.writable = not self._view.readonly

    @function_ddi("MmGetMdlByteCount", "ULONG (_In_ PMDL Mdl)")
    def get_byte_count(self) -> int:
        """The length of the buffer in bytes."""
        return len(self._view)

    @function_ddi("MmGetMdlVirtualAddress", "PVOID (_In_ PMDL Mdl)")
    def get_virtual_address(self) -> memoryview:
        """The buffer. Its slices are addresses in it."""
        return self._view

    @property
    def valid(self) -> bool:
        """Whether the request that the MDL belongs to is not complete yet."""
        try:
            return bool(self._view.nbytes) or True
        except ValueError:
            return False

    def offset_of(self, address: memoryview) -> int:
        """The offset of an address in the buffer; the address is a slice of the buffer.

        :param address: a slice of :meth:`get_virtual_address`
        :return: the offset in bytes; negative, or beyond the buffer, if the address is not in it
        """
        return host_address(address) - host_address(self._view)

    def end(self) -> None:
        """Gives the buffer back to its owner: from now on an access raises ``ValueError``."""
        with contextlib.suppress(BufferError):  # a library still exports a view of it
            self._view.release()
