# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDMATRANSACTION: one buffer that goes to the device, or comes from it, in transfers.

INITIALIZED --execute--> TRANSFER --dma_completed--> TRANSFER, for the next piece of the buffer, or
TRANSFER_COMPLETED. A transfer begins when it has its map registers: EvtProgramDma is called then,
at DISPATCH_LEVEL, by whoever has brought them, which is the caller of `execute` or of
`dma_completed`, if there are enough. What fails leads to TRANSFER_FAILED. From all of these
`release` leads back to RELEASED (RESERVED, if map registers are reserved).

The driver has one transfer under way at a time, and says itself when it has ended: so the state
has one writer. Only a grant of map registers and `cancel` compete, and the adapter's lock decides
between them. After EvtProgramDma nothing is touched: it may have deleted the transaction.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import (
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_MORE_PROCESSING_REQUIRED,
    STATUS_SUCCESS,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS,
    STATUS_WDF_TOO_FRAGMENTED,
    STATUS_WDF_TOO_MANY_TRANSFERS,
    NtStatusError,
)
from pydriver.wdf.ddi import creation_ddi, ddi
from pydriver.wdf.dma_adapter import PAGE_SIZE, ScatterGatherList
from pydriver.wdf.dma_enabler import DmaDirection, DmaEnabler
from pydriver.wdf.irp import RequestType
from pydriver.wdf.object import Object, ObjectAttributes, ParentRule, check_handle, check_pointer
from pydriver.wdf.request import Request

if TYPE_CHECKING:
    from pydriver.wdf.device import Device
    from pydriver.wdf.mdl import Mdl

__all__ = ("DmaTransaction", "DmaTransactionState", "TransferInfo")

DMA_FATAL_ERROR = 8
"""Parameter 1 of WDF_VIOLATION: the state of a transaction forbids the call."""

SCATTER_GATHER_HEADER = 16
SCATTER_GATHER_ENTRY = 24
"""Bytes of SCATTER_GATHER_LIST without elements, and of SCATTER_GATHER_ELEMENT, on x64."""


class DmaTransactionState(IntEnum):
    """FxDmaTransactionState: parameter 3 of the bug check for a wrong one."""

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
_READY = {State.CREATED, State.RESERVED, State.RELEASED}

ProgramDma = Callable[
    ["DmaTransaction", "Device", Any, DmaDirection, ScatterGatherList], bool | None
]
ReserveDma = Callable[["DmaTransaction", Any], None]


class TransferInfo(NamedTuple):
    """What the first transfer will take [WdfDmaTransactionGetTransferInfo].

    `map_register_count` map registers, and a list of `scatter_gather_list_size` bytes on x64.
    """

    map_register_count: int
    scatter_gather_list_size: int


class DmaTransaction(Object):
    """A DMA transaction.

    :ivar enabler: of the device
    :ivar state: see :class:`DmaTransactionState`
    """

    __slots__ = (
        "_context",
        "_direction",
        "_fragment",
        "_holding",
        "_immediate",
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
        self._reserve_dma: ReserveDma | None = None
        self._reserve_context: Any = None
        self._clear()

    def _clear(self) -> None:
        """Forgets the buffer."""
        self._program_dma: ProgramDma | None = None
        self._direction = DmaDirection.READ_FROM_DEVICE
        self._mdl: Mdl | None = None
        self._offset = self._length = 0
        self._fragment = self._transferred = 0
        self._context: Any = None
        self._pieces: ScatterGatherList = ScatterGatherList(())
        self._request: Request | None = None
        self._holding = False

    def __str__(self) -> str:
        return f"DMA transaction of {self.enabler.device}, {self.state.name}"

    @classmethod
    @creation_ddi(
        "WdfDmaTransactionCreate",
        "NTSTATUS (WDFDMAENABLER DmaEnabler, PWDF_OBJECT_ATTRIBUTES, WDFDMATRANSACTION *)",
    )
    def create(cls, dma_enabler: DmaEnabler, attributes: ObjectAttributes | None = None) -> Self:
        """Creates a transaction.

        :param dma_enabler: of the device; the parent
        :param attributes: without a parent
        :raises NtStatusError: the attributes are not valid, or the enabler is being deleted
        """
        what = "WdfDmaTransactionCreate"
        attributes = cls.check_attributes(attributes, ParentRule.FORBIDDEN, what)
        return cls(dma_enabler, attributes)

    def _check_state(self, allowed: set[State], what: str) -> None:
        if self.state not in allowed:
            self._kernel.bug_check(
                WDF_VIOLATION,
                DMA_FATAL_ERROR,
                id(self),
                self.state,
                rule="DmaTransactionState",
                message=f"{what} on {self}",
                subject=self,
            )

    # Initialization

    @ddi(
        "WdfDmaTransactionInitialize",
        "NTSTATUS (WDFDMATRANSACTION, PFN_WDF_PROGRAM_DMA, WDF_DMA_DIRECTION, PMDL Mdl,"
        " PVOID VirtualAddress, size_t Length)",
    )
    def initialize(
        self,
        evt_program_dma: ProgramDma,
        dma_direction: DmaDirection,
        mdl: "Mdl",
        virtual_address: memoryview,
        length: int,
    ) -> None:
        """Says what is to be transferred.

        :param evt_program_dma: EvtProgramDma(transaction, device, context, direction, sg_list), at
            DISPATCH_LEVEL: has the device do one transfer; its result does not matter
        :param dma_direction: which way
        :param mdl: the buffer
        :param virtual_address: where in it: the MDL's virtual address, or a slice of that
        :param length: bytes, more than 0
        :raises NtStatusError: the length is 0, or that is not in the buffer
        """
        what = "WdfDmaTransactionInitialize"
        self._check_state(_READY, what)
        for each, name in ((mdl, "Mdl"), (virtual_address, "VirtualAddress")):
            check_pointer(self._kernel, each, f"{what}: {name}")
        offset = mdl.offset_of(virtual_address)
        self._initialize(evt_program_dma, dma_direction, mdl, offset, length, what)

    @ddi(
        "WdfDmaTransactionInitializeUsingOffset",
        "NTSTATUS (WDFDMATRANSACTION, PFN_WDF_PROGRAM_DMA, WDF_DMA_DIRECTION, PMDL Mdl,"
        " size_t Offset, size_t Length)",
    )
    def initialize_using_offset(
        self,
        evt_program_dma: ProgramDma,
        dma_direction: DmaDirection,
        mdl: "Mdl",
        offset: int,
        length: int,
    ) -> None:
        """As :meth:`initialize`, with an offset in the buffer.

        :param offset: bytes
        """
        what = "WdfDmaTransactionInitializeUsingOffset"
        self._check_state(_READY, what)
        check_pointer(self._kernel, mdl, f"{what}: Mdl")
        self._initialize(evt_program_dma, dma_direction, mdl, offset, length, what)

    @ddi(
        "WdfDmaTransactionInitializeUsingRequest",
        "NTSTATUS (WDFDMATRANSACTION, WDFREQUEST Request, PFN_WDF_PROGRAM_DMA, WDF_DMA_DIRECTION)",
    )
    def initialize_using_request(
        self, request: Request, evt_program_dma: ProgramDma, dma_direction: DmaDirection
    ) -> None:
        """As :meth:`initialize`, with all of a request's buffer.

        :param request: a read for READ_FROM_DEVICE, a write for WRITE_TO_DEVICE, or a device
            control
        :raises NtStatusError: the request is of another direction, or its buffer is empty
        """
        what = "WdfDmaTransactionInitializeUsingRequest"
        self._check_state(_READY, what)
        check_handle(self._kernel, request, Request, what)
        writes = dma_direction == DmaDirection.WRITE_TO_DEVICE
        kind = request.irp.kind
        if kind == (RequestType.READ if writes else RequestType.WRITE):
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: {request}")
        buffer = request.irp.input if writes else request.irp.buffer
        if not buffer:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: {request} is empty")
        mdl = request.retrieve_input_wdm_mdl() if writes else request.retrieve_output_wdm_mdl()
        self._initialize(evt_program_dma, dma_direction, mdl, 0, len(buffer), what)
        self._request = request

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
        self.state = State.INITIALIZED

    # Settings

    @ddi("WdfDmaTransactionSetMaximumLength", "VOID (WDFDMATRANSACTION, size_t MaximumLength)")
    def set_maximum_length(self, maximum_length: int) -> None:
        """Limits the transfers of this transaction further.

        :param maximum_length: bytes, more than 0; more than the enabler's changes nothing
        """
        if maximum_length <= 0:
            self._kernel.verifier.violation(
                "DmaMaximumLength", f"WdfDmaTransactionSetMaximumLength({self}, 0)", self
            )
            return
        self._limit = min(maximum_length, self.enabler.maximum_length)

    @ddi(
        "WdfDmaTransactionSetSingleTransferRequirement",
        "VOID (WDFDMATRANSACTION, BOOLEAN RequireSingleTransfer)",
    )
    def set_single_transfer_requirement(self, require_single_transfer: bool) -> None:  # noqa: FBT001
        """Says whether the first transfer must be the only one; the default is the enabler's."""
        self._single_transfer = require_single_transfer

    @ddi(
        "WdfDmaTransactionSetImmediateExecution",
        "VOID (WDFDMATRANSACTION, BOOLEAN UseImmediateExecution)",
    )
    def set_immediate_execution(self, use_immediate_execution: bool) -> None:  # noqa: FBT001
        """Says whether :meth:`execute` fails instead of waiting for map registers."""
        self._immediate = use_immediate_execution

    @ddi(
        "WdfDmaTransactionGetTransferInfo",
        "VOID (WDFDMATRANSACTION, ULONG *MapRegisterCount, ULONG *ScatterGatherListSize)",
    )
    def get_transfer_info(self) -> TransferInfo:
        """What the first transfer will take; between initialization and execution."""
        self._check_state({State.INITIALIZED}, "WdfDmaTransactionGetTransferInfo")
        count = self._pages(self._next_length())
        elements = 1 if self.enabler.adapter(self._direction).packet else count
        return TransferInfo(count, SCATTER_GATHER_HEADER + SCATTER_GATHER_ENTRY * elements)

    # Transfers

    @ddi("WdfDmaTransactionExecute", "NTSTATUS (WDFDMATRANSACTION, WDFCONTEXT Context)")
    def execute(self, context: Any = None) -> int:
        """Begins the first transfer. EvtProgramDma may be called before this returns.

        :param context: for EvtProgramDma
        :return: STATUS_SUCCESS; or why it did not begin: then the driver has to release the
            transaction
        """
        self._check_state({State.INITIALIZED}, "WdfDmaTransactionExecute")
        self._context = context
        if self._request is not None:
            # The request's buffer must stay; without a tag, for it is the framework's reference.
            self._request._hold()
            self._holding = True
        return self._begin()

    def _next_length(self) -> int:
        limit = min(self._limit, self.enabler.get_fragment_length(self._direction))
        return min(self._length - self._transferred, limit)

    def _pages(self, length: int) -> int:
        start = (self._offset + self._transferred) % PAGE_SIZE
        return (start + length + PAGE_SIZE - 1) // PAGE_SIZE

    def _begin(self) -> int:
        """Begins the next transfer, or has it wait for map registers."""
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
        pieces = adapter.map(registers, start % PAGE_SIZE, self._fragment)
        self._pieces = ScatterGatherList(pieces)
        if self._direction == DmaDirection.WRITE_TO_DEVICE:
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

    @ddi("WdfDmaTransactionDmaCompleted", "BOOLEAN (WDFDMATRANSACTION, NTSTATUS *Status)")
    def dma_completed(self) -> tuple[bool, int]:
        """Says that the device has done the transfer.

        :return: whether the transaction has ended, and its status; STATUS_MORE_PROCESSING_REQUIRED:
            the next transfer has begun, and EvtProgramDma is called, or has been
        """
        return self._completed("WdfDmaTransactionDmaCompleted", None, final=False)

    @ddi(
        "WdfDmaTransactionDmaCompletedWithLength",
        "BOOLEAN (WDFDMATRANSACTION, size_t TransferredLength, NTSTATUS *Status)",
    )
    def dma_completed_with_length(self, transferred_length: int) -> tuple[bool, int]:
        """As :meth:`dma_completed`, if the device has done less: the rest is transferred next.

        :param transferred_length: bytes of this transfer
        """
        what = "WdfDmaTransactionDmaCompletedWithLength"
        return self._completed(what, transferred_length, final=False)

    @ddi(
        "WdfDmaTransactionDmaCompletedFinal",
        "BOOLEAN (WDFDMATRANSACTION, size_t FinalTransferredLength, NTSTATUS *Status)",
    )
    def dma_completed_final(self, final_transferred_length: int) -> tuple[bool, int]:
        """As :meth:`dma_completed`, and the transaction ends here, whatever is left.

        :param final_transferred_length: bytes of this transfer
        """
        what = "WdfDmaTransactionDmaCompletedFinal"
        return self._completed(what, final_transferred_length, final=True)

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
        """Ends the use of the map registers; what the device has written goes to the buffer."""
        registers, self._registers = self._registers, ()
        if not registers:
            return
        adapter = self.enabler.adapter(self._direction)
        if length and self._direction == DmaDirection.READ_FROM_DEVICE:
            self._copy_out(length)
        self._pieces = ScatterGatherList(())
        if not self._reserved:
            adapter.give_back(registers)

    def _copy_out(self, length: int) -> None:
        mdl = self._mdl
        assert mdl is not None
        if not mdl.valid:
            self._kernel.verifier.violation(
                "MdlAfterReqCompletedRead",
                f"{self}: the device has written into the buffer of a request that is complete",
                self,
            )
            return
        start = self._offset + self._transferred
        target = mdl.get_virtual_address()[start : start + length]
        self.enabler.adapter(self._direction).copy_out(self._pieces.elements, target)

    # The end

    @ddi("WdfDmaTransactionRelease", "NTSTATUS (WDFDMATRANSACTION DmaTransaction)")
    def release(self) -> int:
        """Ends the transaction: it can be initialized again. Not while a transfer is under way.

        :return: STATUS_SUCCESS
        """
        if self.state is State.TRANSFER and self._kernel.verifying:
            self._check_state(set(State) - {State.TRANSFER}, "WdfDmaTransactionRelease")
        self._finish()
        self.state = State.RESERVED if self._reserved else State.RELEASED
        return STATUS_SUCCESS

    def _finish(self) -> None:
        self.enabler.adapter(self._direction).withdraw(self._granted)
        self._unmap(0)
        request, holding = self._request, self._holding
        self._clear()
        if request is not None and holding:
            request._drop()

    @ddi("WdfDmaTransactionCancel", "BOOLEAN (WDFDMATRANSACTION DmaTransaction)")
    def cancel(self) -> bool:
        """Takes a transfer back that waits for map registers, or a reservation that does.

        :return: ``True``: the callback will not be called; the transaction has failed
        """
        forbidden = {State.CREATED, State.RELEASED, State.DELETED}
        # A reservation waits in the state that it was asked for in.
        if self._reserve_dma is None:
            self._check_state(set(State) - forbidden, "WdfDmaTransactionCancel")
        adapter = self.enabler.adapter(self._direction)
        if adapter.withdraw(self._granted) or adapter.withdraw(self._reservation_granted):
            self._reserve_dma = None
            self._fail(STATUS_SUCCESS)
            return True
        return False

    # Reserved map registers

    @ddi(
        "WdfDmaTransactionAllocateResources",
        "NTSTATUS (WDFDMATRANSACTION, WDF_DMA_DIRECTION, ULONG RequiredMapRegisters,"
        " PFN_WDF_RESERVE_DMA EvtReserveDmaFunction, PVOID EvtReserveDmaContext)",
    )
    def allocate_resources(
        self,
        dma_direction: DmaDirection,
        required_map_registers: int,
        evt_reserve_dma: ReserveDma,
        context: Any = None,
    ) -> None:
        """Reserves map registers for the transfers to come, which then wait for none.

        :param dma_direction: of those transfers
        :param required_map_registers: how many
        :param evt_reserve_dma: EvtReserveDma(transaction, context), at DISPATCH_LEVEL: called when
            they are reserved, perhaps before this returns
        :raises NtStatusError: the adapter has not that many
        """
        what = "WdfDmaTransactionAllocateResources"
        self._check_state({State.CREATED, State.RELEASED}, what)
        check_pointer(self._kernel, evt_reserve_dma, f"{what}: EvtReserveDma")
        adapter = self.enabler.adapter(dma_direction)
        if not 0 < required_map_registers <= adapter.map_registers:
            raise NtStatusError(STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS, what)
        self._direction = dma_direction
        self._reserve_dma, self._reserve_context = evt_reserve_dma, context
        wait = not self._immediate
        registers = adapter.take(required_map_registers, self._reservation_granted, wait=wait)
        if registers is not None:
            self._reservation_granted(registers)
        elif not wait:
            self._reserve_dma = None
            raise NtStatusError(STATUS_INSUFFICIENT_RESOURCES, what)

    def _reservation_granted(self, registers: tuple[int, ...]) -> None:
        reserve, self._reserve_dma = self._reserve_dma, None
        self._reserved = registers
        self.state = State.RESERVED
        assert reserve is not None
        self._at_dispatch(reserve, self, self._reserve_context)

    @ddi("WdfDmaTransactionFreeResources", "VOID (WDFDMATRANSACTION DmaTransaction)")
    def free_resources(self) -> None:
        """Ends the reservation; not while a transfer is under way."""
        self._check_state({State.RESERVED}, "WdfDmaTransactionFreeResources")
        self._unreserve()
        self.state = State.RELEASED

    def _unreserve(self) -> None:
        registers, self._reserved = self._reserved, ()
        if registers:
            self.enabler.adapter(self._direction).give_back(registers)

    # What it is about

    @ddi("WdfDmaTransactionGetBytesTransferred", "size_t (WDFDMATRANSACTION DmaTransaction)")
    def get_bytes_transferred(self) -> int:
        """Bytes of the transfers that have ended."""
        return self._transferred

    @ddi("WdfDmaTransactionGetCurrentDmaTransferLength", "size_t (WDFDMATRANSACTION)")
    def get_current_dma_transfer_length(self) -> int:
        """Bytes of the transfer that is under way."""
        return self._fragment

    @ddi("WdfDmaTransactionGetRequest", "WDFREQUEST (WDFDMATRANSACTION DmaTransaction)")
    def get_request(self) -> Request | None:
        """The request whose buffer it is, if it was initialized with one and not released."""
        return self._request

    @ddi("WdfDmaTransactionGetDevice", "WDFDEVICE (WDFDMATRANSACTION DmaTransaction)")
    def get_device(self) -> "Device":
        """The device that does the DMA."""
        return self.enabler.device

    def _on_dispose(self) -> None:
        if self._kernel.verifying:
            self._check_state(set(State) - {State.TRANSFER}, "WdfObjectDelete")
        adapter = self.enabler.adapter(self._direction)
        adapter.withdraw(self._reservation_granted)
        self._finish()
        self._unreserve()
        self.state = State.DELETED
