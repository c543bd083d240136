# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Mapped registers: READ_REGISTER_* and WRITE_REGISTER_* on a BAR, at any IRQL.

An access is made by the processor that the caller runs on, at the caller's IRQL. At PASSIVE_LEVEL,
where a thread runs on none, it borrows one for the access.
"""

from typing import TYPE_CHECKING, NoReturn

from pydriver.ke.bugcheck import DRIVER_IRQL_NOT_LESS_OR_EQUAL, PAGE_FAULT_IN_NONPAGED_AREA
from pydriver.ke.irql import DISPATCH_LEVEL

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel

__all__ = ("MappedPorts", "MappedRegisters")


class MappedRegisters:
    """A range of memory-mapped registers [MmMapIoSpaceEx].

    Offsets are in bytes and naturally aligned. An access outside of the range is a bug check, as
    a page fault in unmapped system space would be.

    :param kernel: whose processors make the accesses
    :param address: guest-physical address of offset 0
    :param length: bytes
    :ivar read32: READ_REGISTER_ULONG: ``read32(offset)``; waits for the value
    :ivar write32: WRITE_REGISTER_ULONG: ``write32(offset, value)``; posted
    """

    # The 32-bit accesses are on the interrupt path: functions with everything bound to locals.
    __slots__ = ("_access", "_kernel", "address", "length", "read32", "write32")

    def __init__(self, kernel: "Kernel", address: int, length: int) -> None:
        self._kernel = kernel
        self._access = kernel.access
        self.address = address
        self.length = length
        current = kernel.current
        access = kernel.access
        last = length - 4

        def read32(offset: int) -> int:
            if not 0 <= offset <= last:
                self._outside(offset, 0)
            processor = current.processor
            if processor is None:
                return access.read32(address + offset)
            return processor.read32(address + offset)

        def write32(offset: int, value: int) -> None:
            if not 0 <= offset <= last:
                self._outside(offset, 1)
            processor = current.processor
            if processor is None:
                access.write32(address + offset, value)
            else:
                processor.write32(address + offset, value)

        self.read32 = read32
        self.write32 = write32

    def read8(self, offset: int) -> int:
        """READ_REGISTER_UCHAR."""
        return self._access.read8(self._at(offset, 1, 0))

    def read16(self, offset: int) -> int:
        """READ_REGISTER_USHORT."""
        return self._access.read16(self._at(offset, 2, 0))

    def read64(self, offset: int) -> int:
        """READ_REGISTER_ULONG64."""
        return self._access.read64(self._at(offset, 8, 0))

    def write8(self, offset: int, value: int) -> None:
        """WRITE_REGISTER_UCHAR."""
        self._access.write8(self._at(offset, 1, 1), value)

    def write16(self, offset: int, value: int) -> None:
        """WRITE_REGISTER_USHORT."""
        self._access.write16(self._at(offset, 2, 1), value)

    def write64(self, offset: int, value: int) -> None:
        """WRITE_REGISTER_ULONG64."""
        self._access.write64(self._at(offset, 8, 1), value)

    def read_block(self, offset: int, width: int, count: int) -> bytes:
        """READ_REGISTER_BUFFER_*: the register's address advances too.

        :param width: bytes of an element: 1, 2, 4, 8
        :param count: elements
        """
        return self._access.read_block(self._at(offset, width * count, 0), width, count)

    def write_block(self, offset: int, width: int, data: bytes) -> None:
        """WRITE_REGISTER_BUFFER_*: the register's address advances too.

        :param width: bytes of an element: 1, 2, 4, 8
        :param data: whole elements
        """
        self._access.write_block(self._at(offset, len(data), 1), width, data)

    def _at(self, offset: int, size: int, write: int) -> int:
        if not 0 <= offset <= self.length - size:
            self._outside(offset, write)
        return self.address + offset

    def _outside(self, offset: int, write: int) -> NoReturn:
        kernel = self._kernel
        address = self.address + offset
        irql = kernel.irql()
        message = (
            f"{'write' if write else 'read'} at offset {offset:#x} of registers that are "
            f"{self.length:#x} bytes long"
        )
        if irql >= DISPATCH_LEVEL:
            kernel.bug_check(DRIVER_IRQL_NOT_LESS_OR_EQUAL, address, irql, write, message=message)
        kernel.bug_check(PAGE_FAULT_IN_NONPAGED_AREA, address, write, message=message)


class MappedPorts:
    """A range of I/O ports: READ_PORT_* and WRITE_PORT_*, at any IRQL.

    :param kernel: whose processors make the accesses
    :param port: the first one
    :param length: ports
    """

    __slots__ = ("_access", "length", "port")

    def __init__(self, kernel: "Kernel", port: int, length: int) -> None:
        self._access = kernel.access
        self.port = port
        self.length = length

    def read8(self, offset: int) -> int:
        """READ_PORT_UCHAR."""
        return self._access.port_in(self.port + offset, 1)

    def read16(self, offset: int) -> int:
        """READ_PORT_USHORT."""
        return self._access.port_in(self.port + offset, 2)

    def read32(self, offset: int) -> int:
        """READ_PORT_ULONG."""
        return self._access.port_in(self.port + offset, 4)

    def write8(self, offset: int, value: int) -> None:
        """WRITE_PORT_UCHAR."""
        self._access.port_out(self.port + offset, 1, value)

    def write16(self, offset: int, value: int) -> None:
        """WRITE_PORT_USHORT."""
        self._access.port_out(self.port + offset, 2, value)

    def write32(self, offset: int, value: int) -> None:
        """WRITE_PORT_ULONG."""
        self._access.port_out(self.port + offset, 4, value)
