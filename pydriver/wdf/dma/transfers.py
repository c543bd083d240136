# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The transfers of a DMA transaction: its states, its map registers, its copies.

A buffer in guest memory, at addresses that the device reaches, is transferred in place: that needs
no map register and no copy, and the transfer is one element. With a packet profile, transfers still
use the adapter one at a time.

INITIALIZED --execute--> TRANSFER --dma_completed--> TRANSFER, for the next piece of the buffer, or
TRANSFER_COMPLETED. A transfer begins when it has its map registers: EvtProgramDma is then called at
DISPATCH_LEVEL, by the caller of `execute` or `dma_completed` if enough registers are free, else by
the code that gives registers back. A failure leads to TRANSFER_FAILED. From all these states
`release` leads to RELEASED (RESERVED, if map registers are reserved).

A transaction has one transfer at a time, and the driver reports its end: the state therefore has
one writer. Only a grant of map registers and `cancel` compete, and the adapter's lock decides
between them. After EvtProgramDma the transaction is not touched: the callback may have deleted it.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar

from pydriver.declarations.registry import callbacks
from pydriver.ke.bugcheck import WDF_VIOLATION, WdfViolation
from pydriver.ke.guest_memory import PAGE_SIZE
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import (
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_PARAMETER,
    STATUS_MORE_PROCESSING_REQUIRED,
    STATUS_SUCCESS,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS,
    STATUS_WDF_TOO_FRAGMENTED,
    STATUS_WDF_TOO_MANY_TRANSFERS,
    NtStatusError,
)
from pydriver.wdf.dma.adapter import ScatterGatherElement, ScatterGatherList
from pydriver.wdf.dma.enabler import DmaDirection, DmaEnabler
from pydriver.wdf.io.irp import RequestType
from pydriver.wdf.object.device_base import WdfDevice
from pydriver.wdf.object.object import Object, ObjectAttributes, check_pointer

if TYPE_CHECKING:
    from pydriver.wdf.io.request import Request
    from pydriver.wdf.memory.mdl import Mdl

__all__ = ("READY", "DmaTransactionState", "DmaTransfers", "ProgramDma", "ReserveDma")


callbacks(
    __name__,
    {
        "EVT_WDF_PROGRAM_DMA": "BOOLEAN ("
        "_In_ WDFDMATRANSACTION Transaction, _In_ WDFDEVICE Device, "
        "_In_ WDFCONTEXT Context, _In_ WDF_DMA_DIRECTION Direction, "
        "_In_ PSCATTER_GATHER_LIST SgList)",
        "EVT_WDF_RESERVE_DMA": "VOID (_In_ WDFDMATRANSACTION DmaTransaction, _In_ PVOID Context)",
    },
    lowest=DISPATCH_LEVEL,
    highest=DISPATCH_LEVEL,
)


class DmaTransactionState(IntEnum):
    """FxDmaTransactionState, which is parameter 3 of the bug check for a call in a wrong state."""

    INVALID = 0
    CREATED = 1
    RESERVED = 2
    INITIALIZED = 3
    TRANSFER = 4
    TRANSFER_COMPLETED = 5
    TRANSFER_FAILED = 6
    RELEASED = 7
    DELETED = 8


State = DmaTransactionState
READY = frozenset({State.CREATED, State.RESERVED, State.RELEASED})
"""The states in which a transaction may be initialized."""

ProgramDma = Callable[[Any, WdfDevice, Any, DmaDirection, ScatterGatherList], bool | None]
ReserveDma = Callable[[Any, Any], None]


class DmaTransfers(Object):
    """The implementation of a transaction, which its DDIs use.

    :ivar enabler: the DMA enabler of the device
    :ivar state: the state, see :class:`DmaTransactionState`
    """

    __slots__ = (
        "_address",
        "_context",
        "_direction",
        "_fragment",
        "_holding",
        "_immediate",
        "_in_place",
        "_length",
        "_limit",
        "_mdl",
        "_offset",
        "_pieces",
        "_program_dma",
        "_registers",
        "_request",
        "_reserve_context",
        "_reserve_dma",
        "_reserved",
        "_reserved_from",
        "_single_transfer",
        "_transferred",
        "enabler",
        "state",
    )

    fx_type: ClassVar[int] = 0x1401

    def __init__(self, enabler: DmaEnabler, attributes: ObjectAttributes) -> None:
        super().__init__(enabler._kernel, enabler, attributes)
        self.enabler = enabler
        self.state = State.CREATED
        self._limit = enabler.maximum_length
        self._single_transfer = enabler.single_transfer
        self._immediate = False
        self._registers: tuple[int, ...] = ()
        self._reserved: tuple[int, ...] = ()
        # The adapter of the reservation; the next transfer may have another direction.
        self._reserved_from = enabler.adapter(DmaDirection.READ_FROM_DEVICE)
        self._reserve_dma: ReserveDma | None = None
        self._reserve_context: Any = None
        self._clear()

    def _clear(self) -> None:
        """Forgets the buffer."""
        self._program_dma: ProgramDma | None = None
        self._direction = DmaDirection.READ_FROM_DEVICE
        self._mdl: Mdl | None = None
        # The address of the MDL's first byte, if the device reaches it.
        self._address: int | None = None
        self._in_place = False
        self._offset = self._length = 0
        self._fragment = self._transferred = 0
        self._context: Any = None
        self._pieces: ScatterGatherList = ScatterGatherList(())
        self._request: Request | None = None
        self._holding = False

    def __str__(self) -> str:
        return f"DMA transaction of {self.enabler.device}, {self.state.name}"

    def _check_state(self, allowed: "set[State] | frozenset[State]", what: str) -> None:
        if self.state not in allowed:
            self._kernel.bug_check(
                WDF_VIOLATION,
                WdfViolation.DMA_FATAL_ERROR,
                id(self),
                self.state,
                rule="DmaTransactionState",
                message=f"{what} on {self}",
                subject=self,
            )

    def _initialize(
        self,
        evt_program_dma: ProgramDma,
        direction: DmaDirection,
        mdl: "Mdl",
        offset: int,
        length: int,
        what: str,
    ) -> None:
        check_pointer(self._kernel, evt_program_dma, f"{what}: EvtProgramDma")
        if length <= 0 or offset < 0 or offset + length > mdl.get_byte_count():
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: {length} bytes at {offset}")
        if direction == DmaDirection.READ_FROM_DEVICE and not mdl.writable:
            raise NtStatusError(STATUS_INVALID_PARAMETER, f"{what}: the buffer is read-only")
        self._clear()
        self._program_dma = evt_program_dma
        self._direction = direction
        self._mdl = mdl
        self._offset, self._length = offset, length
        address = self._kernel.memory.address_of(mdl.get_virtual_address())
        if address is not None and address + offset + length <= self.enabler.address_limit:
            self._address = address
        self.state = State.INITIALIZED

    # Transfers

    def _next_length(self) -> int:
        limit = min(self._limit, self.enabler.get_fragment_length(self._direction))
        return min(self._length - self._transferred, limit)

    def _pages(self, length: int) -> int:
        start = (self._offset + self._transferred) % PAGE_SIZE
        return (start + length + PAGE_SIZE - 1) // PAGE_SIZE

    def _begin(self) -> int:
        """Begins the next transfer, or makes it wait for map registers."""
        self.state = State.TRANSFER
        self._fragment = self._next_length()
        count = self._pages(self._fragment)
        adapter = self.enabler.adapter(self._direction)
        most = 1 if adapter.packet else count
        if most > self.enabler.get_maximum_scatter_gather_elements():
            return self._fail(STATUS_WDF_TOO_FRAGMENTED)
        if self._reserved:
            if count > len(self._reserved):
                return self._fail(STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS)
            self._program(self._reserved[:count])
            return STATUS_SUCCESS
        if self._address is not None and not adapter.packet:
            self._program(())
            return STATUS_SUCCESS
        registers = adapter.take(count, self._granted, wait=not self._immediate)
        if registers is not None:
            self._program(registers)
        elif self._immediate:
            return self._fail(STATUS_INSUFFICIENT_RESOURCES)
        return STATUS_SUCCESS

    def _fail(self, status: int) -> int:
        self.state = State.TRANSFER_FAILED
        self._fragment = 0
        return status

    def _granted(self, registers: tuple[int, ...]) -> None:
        self._program(registers)

    def _program(self, registers: tuple[int, ...]) -> None:
        self._registers = registers
        adapter = self.enabler.adapter(self._direction)
        start = self._offset + self._transferred
        self._in_place = self._address is not None
        if self._address is not None:
            pieces: tuple[ScatterGatherElement, ...] = (
                ScatterGatherElement(self._address + start, self._fragment),
            )
        else:
            pieces = adapter.map(registers, start % PAGE_SIZE, self._fragment)
        self._pieces = ScatterGatherList(pieces)
        if self._direction == DmaDirection.WRITE_TO_DEVICE and not self._in_place:
            assert self._mdl is not None
            data = self._mdl.get_virtual_address()
            adapter.copy_in(pieces, data[start : start + self._fragment])
        program = self._program_dma
        assert program is not None
        self._at_dispatch(
            program, self, self.enabler.device, self._context, self._direction, self._pieces
        )

    def _at_dispatch(self, callback: Callable[..., Any], *arguments: Any) -> None:
        kernel = self._kernel
        irql = kernel.irql()
        if irql < DISPATCH_LEVEL:
            kernel.raise_irql(DISPATCH_LEVEL)
        kernel.invoke(callback, *arguments)
        if irql < DISPATCH_LEVEL:
            kernel.lower_irql(irql)

    def _completed(self, what: str, length: int | None, *, final: bool) -> tuple[bool, int]:
        self._check_state({State.TRANSFER}, what)
        if length is None:
            length = self._fragment
        if not 0 <= length <= self._fragment:
            self._unmap(0)
            return True, self._fail(STATUS_INVALID_PARAMETER)
        self._unmap(length)
        self._transferred += length
        if final or self._transferred == self._length:
            self.state = State.TRANSFER_COMPLETED
            return True, STATUS_SUCCESS
        if self._single_transfer:
            return True, self._fail(STATUS_WDF_TOO_MANY_TRANSFERS)
        status = self._begin()
        if status != STATUS_SUCCESS:
            return True, status
        return False, STATUS_MORE_PROCESSING_REQUIRED

    def _unmap(self, length: int) -> None:
        """Ends the use of the map registers; copies data that the device wrote to the buffer."""
        registers, self._registers = self._registers, ()
        in_place, self._in_place = self._in_place, False
        if not registers and not in_place:
            return
        adapter = self.enabler.adapter(self._direction)
        if length and self._direction == DmaDirection.READ_FROM_DEVICE:
            self._copy_out(length, in_place=in_place)
        self._pieces = ScatterGatherList(())
        if registers and not self._reserved:
            adapter.give_back(registers)

    def _copy_out(self, length: int, *, in_place: bool) -> None:
        mdl = self._mdl
        assert mdl is not None
        if not mdl.valid:
            request = self._request
            control = request is not None and request.irp.kind == RequestType.DEVICE_CONTROL
            self._kernel.verifier.violation(
                "MdlAfterReqCompletedIoctl" if control else "MdlAfterReqCompletedRead",
                f"{self}: the device wrote into the buffer of a request that is complete",
                self,
            )
            return
        if in_place:
            return
        start = self._offset + self._transferred
        target = mdl.get_virtual_address()[start : start + length]
        self.enabler.adapter(self._direction).copy_out(self._pieces.elements, target)

    # Reserved map registers

    def _reservation_granted(self, registers: tuple[int, ...]) -> None:
        reserve, self._reserve_dma = self._reserve_dma, None
        self._reserved = registers
        self.state = State.RESERVED
        assert reserve is not None
        self._at_dispatch(reserve, self, self._reserve_context)

    def _unreserve(self) -> None:
        registers, self._reserved = self._reserved, ()
        if registers:
            self._reserved_from.give_back(registers)

    # The end

    def _finish(self) -> None:
        self.enabler.adapter(self._direction).withdraw(self._granted)
        self._unmap(0)
        request, holding = self._request, self._holding
        self._clear()
        if request is not None and holding:
            request._drop()

    def _on_dispose(self) -> None:
        if self._kernel.verifying:
            self._check_state(set(State) - {State.TRANSFER}, "WdfObjectDelete")
        self._reserved_from.withdraw(self._reservation_granted)
        self._finish()
        self._unreserve()
        self.state = State.DELETED
