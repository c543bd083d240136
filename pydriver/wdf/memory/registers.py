# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Mapped registers and ports: READ_REGISTER_*, WRITE_PORT_* and their like, at any IRQL.

An access is made by the processor that the caller runs on, at the caller's IRQL. A thread at
PASSIVE_LEVEL runs on none, and borrows one for the access. An access outside of the range, or after
MmUnmapIoSpace, is a bug check, as a page fault in unmapped system space would be.
"""

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from pydriver.declarations.binding import Binding
from pydriver.ke.bugcheck import (
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    PAGE_FAULT_IN_NONPAGED_AREA,
)
from pydriver.ke.ddi import function_ddi, register
from pydriver.ke.irql import APC_LEVEL, DISPATCH_LEVEL, HIGH_LEVEL, PASSIVE_LEVEL, irql_name

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel

__all__ = (
    "MappedPorts",
    "MappedRegisters",
    "mm_map_io_space",
    "mm_map_io_space_ex",
    "read_register_ulong",
    "write_register_ulong",
)

MAPPED_ABOVE_DISPATCH: Final = 0x73
UNMAPPED_ABOVE_APC: Final = 0x7B
"""Parameter 1 of 0xC4: MmMapIoSpace and MmUnmapIoSpace at a wrong IRQL."""

FORMATS: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""The format of an element of so many bytes, for `struct`."""

SIZES: Final = {"UCHAR": 8, "USHORT": 16, "ULONG": 32, "ULONG64": 64}

PER_MAPPING: Final = ("read32", "write32")
"""The functions that are made for each mapping: the class does not have them."""


def _register_accessors() -> None:
    """Declares the accessors of both classes, in all widths; only their names differ."""
    for kind, bits in SIZES.items():
        for space, owner in (("REGISTER", "MappedRegisters"), ("PORT", "MappedPorts")):
            if (space, kind) == ("PORT", "ULONG64"):
                continue  # the processor does not have such an instruction
            pointer = f"volatile {kind} *Register" if space == "REGISTER" else f"P{kind} Port"
            at = {"Register" if space == "REGISTER" else "Port": "self, offset"}
            for name, signature, method, more in (
                (f"READ_{space}_{kind}", f"{kind} (_In_ {pointer})", f"read{bits}", {}),
                (
                    f"WRITE_{space}_{kind}",
                    f"VOID (_In_ {pointer}, _In_ {kind} Value)",
                    f"write{bits}",
                    {},
                ),
                (
                    f"READ_{space}_BUFFER_{kind}",
                    f"VOID (_In_ {pointer}, _Out_writes_(Count) P{kind} Buffer, _In_ ULONG Count)",
                    f"read_buffer{bits}",
                    {},
                ),
                (
                    f"WRITE_{space}_BUFFER_{kind}",
                    f"VOID (_In_ {pointer}, _In_reads_(Count) P{kind} Buffer, _In_ ULONG Count)",
                    f"write_buffer{bits}",
                    {"Buffer": "values"},
                ),
            ):
                if method not in PER_MAPPING or owner != "MappedRegisters":
                    binding = Binding(parameters={**at, **more})
                    where = f"{__name__}:{owner}.{method}"
                    register(name, signature, PASSIVE_LEVEL, HIGH_LEVEL, where, binding)


_register_accessors()


class MappedRegisters:
    """A range of memory-mapped registers.

    Offsets are in bytes and naturally aligned.

    :param kernel: the kernel whose processors make the accesses
    :param address: the guest-physical address of offset 0
    :param length: the length in bytes
    :ivar length: the length in bytes; 0 after :meth:`unmap`
    :ivar read32: READ_REGISTER_ULONG: ``read32(offset)``; waits for the value
    :ivar write32: WRITE_REGISTER_ULONG: ``write32(offset, value)``; posted
    """

    # The 32-bit accesses are on the interrupt path: functions with everything bound to locals.
    __slots__ = ("_access", "_forget", "_kernel", "_size", "address", "length", "read32", "write32")

    def __init__(self, kernel: "Kernel", address: int, length: int) -> None:
        self._kernel = kernel
        self._access = kernel.access
        self._size = length
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

        # A driver may have kept the functions, which must see the end of the mapping, too.
        def forget() -> None:
            nonlocal last
            last = -1

        self.read32: Callable[[int], int] = read32
        self.write32: Callable[[int, int], None] = write32
        self._forget = forget

    @function_ddi(
        "MmUnmapIoSpace",
        "VOID (_In_reads_bytes_(NumberOfBytes) PVOID BaseAddress, _In_ SIZE_T NumberOfBytes)",
        highest=APC_LEVEL,
    )
    def unmap(self) -> None:
        """Removes the mapping; at or below APC_LEVEL. Later accesses are page faults."""
        irql = self._kernel.irql()
        if irql > APC_LEVEL:
            self._kernel.bug_check(
                DRIVER_VERIFIER_DETECTED_VIOLATION,
                UNMAPPED_ABOVE_APC,
                irql,
                self.address,
                self._size,
                rule="IrqlMmApcLte",
                message=f"MmUnmapIoSpace at {irql_name(irql)}",
            )
        self.length = 0
        self._forget()

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
        """Reads elements at increasing addresses, in order, as bytes.

        :param offset: the offset of the first element, in bytes
        :param width: the size of an element in bytes: 1, 2, 4 or 8
        :param count: the number of elements
        """
        return self._access.read_block(self._at(offset, width * count, 0), width, count)

    def write_block(self, offset: int, width: int, data: bytes) -> None:
        """Writes elements at increasing addresses, in order.

        :param offset: the offset of the first element, in bytes
        :param width: the size of an element in bytes: 1, 2, 4 or 8
        :param data: the elements, all of them whole
        """
        self._access.write_block(self._at(offset, len(data), 1), width, data)

    # The buffer forms: the register's address advances with the buffer's

    def read_buffer8(self, offset: int, count: int) -> list[int]:
        """READ_REGISTER_BUFFER_UCHAR: reads ``count`` registers from ``offset`` on."""
        return self._read(offset, 1, count)

    def read_buffer16(self, offset: int, count: int) -> list[int]:
        """READ_REGISTER_BUFFER_USHORT."""
        return self._read(offset, 2, count)

    def read_buffer32(self, offset: int, count: int) -> list[int]:
        """READ_REGISTER_BUFFER_ULONG."""
        return self._read(offset, 4, count)

    def read_buffer64(self, offset: int, count: int) -> list[int]:
        """READ_REGISTER_BUFFER_ULONG64."""
        return self._read(offset, 8, count)

    def write_buffer8(self, offset: int, values: Sequence[int]) -> None:
        """WRITE_REGISTER_BUFFER_UCHAR: writes the registers from ``offset`` on."""
        self._write(offset, 1, values)

    def write_buffer16(self, offset: int, values: Sequence[int]) -> None:
        """WRITE_REGISTER_BUFFER_USHORT."""
        self._write(offset, 2, values)

    def write_buffer32(self, offset: int, values: Sequence[int]) -> None:
        """WRITE_REGISTER_BUFFER_ULONG."""
        self._write(offset, 4, values)

    def write_buffer64(self, offset: int, values: Sequence[int]) -> None:
        """WRITE_REGISTER_BUFFER_ULONG64."""
        self._write(offset, 8, values)

    def _read(self, offset: int, width: int, count: int) -> list[int]:
        return list(
            struct.unpack(f"<{count}{FORMATS[width]}", self.read_block(offset, width, count))
        )

    def _write(self, offset: int, width: int, values: Sequence[int]) -> None:
        data = struct.pack(f"<{len(values)}{FORMATS[width]}", *values)
        self.write_block(offset, width, data)

    def _at(self, offset: int, size: int, write: int) -> int:
        if not 0 <= offset <= self.length - size:
            self._outside(offset, write)
        return self.address + offset

    def _outside(self, offset: int, write: int) -> NoReturn:
        _page_fault(
            self._kernel,
            self.address + offset,
            write,
            f"at offset {offset:#x} of registers that are "
            + (f"{self.length:#x} bytes long" if self.length else "no longer mapped"),
        )


@function_ddi(
    "READ_REGISTER_ULONG",
    "ULONG (_In_ volatile ULONG *Register)",
    highest=HIGH_LEVEL,
    binding=Binding(parameters={"Register": "registers, offset"}),
)
def read_register_ulong(registers: MappedRegisters, offset: int) -> int:
    """``registers.read32(offset)`` as a function, which costs a second call."""
    return registers.read32(offset)


@function_ddi(
    "WRITE_REGISTER_ULONG",
    "VOID (_In_ volatile ULONG *Register, _In_ ULONG Value)",
    highest=HIGH_LEVEL,
    binding=Binding(parameters={"Register": "registers, offset"}),
)
def write_register_ulong(registers: MappedRegisters, offset: int, value: int) -> None:
    """``registers.write32(offset, value)`` as a function, which costs a second call."""
    registers.write32(offset, value)


def _page_fault(kernel: "Kernel", address: int, write: int, where: str) -> NoReturn:
    irql = kernel.irql()
    message = f"{'write' if write else 'read'} {where}"
    if irql >= DISPATCH_LEVEL:
        kernel.bug_check(DRIVER_IRQL_NOT_LESS_OR_EQUAL, address, irql, write, message=message)
    kernel.bug_check(PAGE_FAULT_IN_NONPAGED_AREA, address, write, message=message)


@function_ddi(
    "MmMapIoSpaceEx",
    "PVOID (_In_ PHYSICAL_ADDRESS PhysicalAddress, _In_ SIZE_T NumberOfBytes, _In_ ULONG Protect)",
    binding=Binding(parameters={"NumberOfBytes": "length"}, omits=("Protect",)),
)
def mm_map_io_space_ex(kernel: "Kernel", address: int, length: int) -> MappedRegisters:
    """Maps registers; at or below DISPATCH_LEVEL.

    :param kernel: the kernel whose processors make the accesses
    :param address: the guest-physical address
    :param length: the length in bytes
    """
    return _map(kernel, address, length, "MmMapIoSpaceEx")


@function_ddi(
    "MmMapIoSpace",
    "PVOID (_In_ PHYSICAL_ADDRESS PhysicalAddress, _In_ SIZE_T NumberOfBytes, "
    "_In_ MEMORY_CACHING_TYPE CacheType)",
    binding=Binding(parameters={"NumberOfBytes": "length"}, omits=("CacheType",)),
)
def mm_map_io_space(kernel: "Kernel", address: int, length: int) -> MappedRegisters:
    """The older form of :func:`mm_map_io_space_ex`."""
    return _map(kernel, address, length, "MmMapIoSpace")


def _map(kernel: "Kernel", address: int, length: int, what: str) -> MappedRegisters:
    irql = kernel.irql()
    if irql > DISPATCH_LEVEL:
        kernel.bug_check(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            MAPPED_ABOVE_DISPATCH,
            irql,
            address,
            length,
            rule="IrqlMmDispatch",
            message=f"{what} at {irql_name(irql)}",
        )
    return MappedRegisters(kernel, address, length)


class MappedPorts:
    """A range of I/O ports.

    :param kernel: the kernel whose processors make the accesses
    :param port: the number of the first port
    :param length: the number of ports
    """

    __slots__ = ("_access", "_kernel", "length", "port")

    def __init__(self, kernel: "Kernel", port: int, length: int) -> None:
        self._kernel = kernel
        self._access = kernel.access
        self.port = port
        self.length = length

    def read8(self, offset: int) -> int:
        """READ_PORT_UCHAR."""
        return self._access.port_in(self._at(offset, 1, 0), 1)

    def read16(self, offset: int) -> int:
        """READ_PORT_USHORT."""
        return self._access.port_in(self._at(offset, 2, 0), 2)

    def read32(self, offset: int) -> int:
        """READ_PORT_ULONG."""
        return self._access.port_in(self._at(offset, 4, 0), 4)

    def write8(self, offset: int, value: int) -> None:
        """WRITE_PORT_UCHAR."""
        self._access.port_out(self._at(offset, 1, 1), 1, value)

    def write16(self, offset: int, value: int) -> None:
        """WRITE_PORT_USHORT."""
        self._access.port_out(self._at(offset, 2, 1), 2, value)

    def write32(self, offset: int, value: int) -> None:
        """WRITE_PORT_ULONG."""
        self._access.port_out(self._at(offset, 4, 1), 4, value)

    # The buffer forms: all elements go to or come from one port

    def read_buffer8(self, offset: int, count: int) -> list[int]:
        """READ_PORT_BUFFER_UCHAR: reads one port ``count`` times."""
        return [self.read8(offset) for _ in range(count)]

    def read_buffer16(self, offset: int, count: int) -> list[int]:
        """READ_PORT_BUFFER_USHORT."""
        return [self.read16(offset) for _ in range(count)]

    def read_buffer32(self, offset: int, count: int) -> list[int]:
        """READ_PORT_BUFFER_ULONG."""
        return [self.read32(offset) for _ in range(count)]

    def write_buffer8(self, offset: int, values: Sequence[int]) -> None:
        """WRITE_PORT_BUFFER_UCHAR: writes all values to one port."""
        for value in values:
            self.write8(offset, value)

    def write_buffer16(self, offset: int, values: Sequence[int]) -> None:
        """WRITE_PORT_BUFFER_USHORT."""
        for value in values:
            self.write16(offset, value)

    def write_buffer32(self, offset: int, values: Sequence[int]) -> None:
        """WRITE_PORT_BUFFER_ULONG."""
        for value in values:
            self.write32(offset, value)

    def _at(self, offset: int, size: int, write: int) -> int:
        if not 0 <= offset <= self.length - size:
            _page_fault(
                self._kernel,
                self.port + offset,
                write,
                f"at offset {offset:#x} of {self.length:#x} ports",
            )
        return self.port + offset
