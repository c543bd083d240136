# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""MDLs: descriptions of buffers, as DMA transactions take them."""

import contextlib

from pydriver.declarations.registry import stands_for
from pydriver.machine.memory import host_address
from pydriver.wdf.object.ddi import function_ddi

__all__ = ("Mdl",)


@stands_for("MDL")
class Mdl:
    """The description of one buffer [MDL, MmBuildMdlForNonPagedPool].

    :param buffer: what it describes; must stay where it is. A request's MDL ends with the request
    :ivar writable: a device may write into the buffer
    """

    __slots__ = ("_view", "writable")

    def __init__(self, buffer: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(buffer).cast("B")
        self.writable = not self._view.readonly

    @function_ddi("MmGetMdlByteCount", "ULONG (_In_ PMDL Mdl)")
    def get_byte_count(self) -> int:
        """Bytes of the buffer."""
        return len(self._view)

    @function_ddi("MmGetMdlVirtualAddress", "PVOID (_In_ PMDL Mdl)")
    def get_virtual_address(self) -> memoryview:
        """The buffer. Its slices are addresses in it."""
        return self._view

    @property
    def valid(self) -> bool:
        """The request that it belongs to is not complete."""
        try:
            return bool(self._view.nbytes) or True
        except ValueError:
            return False

    def offset_of(self, address: memoryview) -> int:
        """How far into the buffer an address is: a slice of :meth:`get_virtual_address`.

        :return: bytes; negative, or more than the buffer has, if it is not in it
        """
        return host_address(address) - host_address(self._view)

    def end(self) -> None:
        """The buffer is its owner's again: a touch raises ``ValueError`` from now on."""
        with contextlib.suppress(BufferError):  # somebody looks at it through a library
            self._view.release()
