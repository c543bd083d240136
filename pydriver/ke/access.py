# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Register and port accesses on the processor that the caller runs on.

A passive thread runs on no processor: it borrows one for each access. The PCI package uses this
class, and mapped registers fall back on it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydriver.ke.borrowing import Borrowing

__all__ = ("CurrentAccess",)


class CurrentAccess:
    """All widths; addresses are guest-physical. Reads wait; writes are posted.

    :param kernel: the kernel whose processors make the accesses
    """

    __slots__ = ("_current", "_kernel")

    def __init__(self, kernel: "Borrowing") -> None:
        self._kernel = kernel
        self._current = kernel.current

    def read8(self, address: int) -> int:
        """Read one byte."""
        processor = self._current.processor
        if processor is not None:
            return processor.link.read8(address)
        with self._kernel.borrowed() as link:
            return link.read8(address)

    def read16(self, address: int) -> int:
        """Read two bytes."""
        processor = self._current.processor
        if processor is not None:
            return processor.link.read16(address)
        with self._kernel.borrowed() as link:
            return link.read16(address)

    def read32(self, address: int) -> int:
        """Read four bytes."""
        processor = self._current.processor
        if processor is not None:
            return processor.link.read32(address)
        processor = self._kernel.borrow()
        try:
            return processor.link.read32(address)
        finally:
            self._kernel.give_back(processor)

    def read64(self, address: int) -> int:
        """Read eight bytes in one access."""
        processor = self._current.processor
        if processor is not None:
            return processor.link.read64(address)
        with self._kernel.borrowed() as link:
            return link.read64(address)

    def write8(self, address: int, value: int) -> None:
        """Write one byte."""
        processor = self._current.processor
        if processor is not None:
            processor.link.write8(address, value)
            return
        with self._kernel.borrowed() as link:
            link.write8(address, value)

    def write16(self, address: int, value: int) -> None:
        """Write two bytes."""
        processor = self._current.processor
        if processor is not None:
            processor.link.write16(address, value)
            return
        with self._kernel.borrowed() as link:
            link.write16(address, value)

    def write32(self, address: int, value: int) -> None:
        """Write four bytes."""
        processor = self._current.processor
        if processor is not None:
            processor.link.write32(address, value)
            return
        processor = self._kernel.borrow()
        try:
            processor.link.write32(address, value)
        finally:
            self._kernel.give_back(processor)

    def write64(self, address: int, value: int) -> None:
        """Write eight bytes in one access."""
        processor = self._current.processor
        if processor is not None:
            processor.link.write64(address, value)
            return
        with self._kernel.borrowed() as link:
            link.write64(address, value)

    def read_block(self, address: int, width: int, count: int) -> bytes:
        """Read elements at increasing addresses, in order [READ_REGISTER_BUFFER_*]."""
        processor = self._current.processor
        if processor is not None:
            return processor.link.read_block(address, width, count)
        with self._kernel.borrowed() as link:
            return link.read_block(address, width, count)

    def write_block(self, address: int, width: int, data: bytes) -> None:
        """Write elements at increasing addresses, in order [WRITE_REGISTER_BUFFER_*]."""
        processor = self._current.processor
        if processor is not None:
            processor.link.write_block(address, width, data)
            return
        with self._kernel.borrowed() as link:
            link.write_block(address, width, data)

    def port_in(self, port: int, width: int) -> int:
        """Read an I/O port of 1, 2 or 4 bytes."""
        processor = self._current.processor
        if processor is not None:
            return processor.link.port_in(port, width)
        with self._kernel.borrowed() as link:
            return link.port_in(port, width)

    def port_out(self, port: int, width: int, value: int) -> None:
        """Write an I/O port of 1, 2 or 4 bytes."""
        processor = self._current.processor
        if processor is not None:
            processor.link.port_out(port, width, value)
            return
        with self._kernel.borrowed() as link:
            link.port_out(port, width, value)

    def sync(self) -> None:
        """Wait until every posted write of this processor has been executed."""
        processor = self._current.processor
        if processor is not None:
            processor.link.sync()
            return
        with self._kernel.borrowed() as link:
            link.sync()
