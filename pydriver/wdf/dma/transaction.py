# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDMATRANSACTION: a buffer that is transferred to the device or from it, piece by piece."""

from typing import TYPE_CHECKING, Any, NamedTuple, Self

from pydriver.declarations.binding import Binding
from pydriver.declarations.registry import handle
from pydriver.ke.status import (
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS,
    NtStatusError,
)
from pydriver.wdf.dma.enabler import DmaDirection, DmaEnabler
from pydriver.wdf.dma.transfers import (
    READY,
    DmaTransactionState,
    DmaTransfers,
    ProgramDma,
    ReserveDma,
)
from pydriver.wdf.io.irp import RequestType
from pydriver.wdf.io.request import Request
from pydriver.wdf.object.ddi import creation_ddi, ddi
from pydriver.wdf.object.device_base import WdfDevice
from pydriver.wdf.object.object import ObjectAttributes, ParentRule, check_handle, check_pointer

if TYPE_CHECKING:
    from pydriver.wdf.memory.mdl import Mdl

__all__ = ("DmaTransaction", "TransferInfo")

State = DmaTransactionState

SCATTER_GATHER_HEADER = 16
SCATTER_GATHER_ENTRY = 24
"""Sizes of SCATTER_GATHER_LIST without elements, and of SCATTER_GATHER_ELEMENT, on x64."""


class TransferInfo(NamedTuple):
    """The needs of the first transfer [WdfDmaTransactionGetTransferInfo].

    It needs `map_register_count` map registers, and a list of `scatter_gather_list_size` bytes on
    x64.
    """

    map_register_count: int
    scatter_gather_list_size: int


@handle("WDFDMATRANSACTION")
class DmaTransaction(DmaTransfers):
    """A DMA transaction; see :mod:`pydriver.wdf.dma.transfers` for its states."""

    __slots__ = ()

    @classmethod
    @creation_ddi(
        "WdfDmaTransactionCreate",
        "NTSTATUS (_In_ WDFDMAENABLER DmaEnabler, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES Attributes, _Out_ WDFDMATRANSACTION *DmaTransaction)",
    )
    def create(cls, dma_enabler: DmaEnabler, attributes: ObjectAttributes | None = None) -> Self:
        """Creates a transaction.

        :param dma_enabler: the DMA enabler of the device, which becomes the parent
        :param attributes: the attributes, which must not name a parent
        :raises NtStatusError: the attributes are not valid, or the enabler is being deleted
        """
        what = "WdfDmaTransactionCreate"
        attributes = cls.check_attributes(attributes, ParentRule.FORBIDDEN, what)
        return cls(dma_enabler, attributes)

    # Initialization

    @ddi(
        "WdfDmaTransactionInitialize",
        "NTSTATUS (_In_ WDFDMATRANSACTION DmaTransaction, "
        "_In_ PFN_WDF_PROGRAM_DMA EvtProgramDmaFunction, "
        "_In_ WDF_DMA_DIRECTION DmaDirection, _In_ PMDL Mdl, _In_ PVOID VirtualAddress, "
        "_In_ size_t Length)",
    )
    def initialize(
        self,
        evt_program_dma: ProgramDma,
        dma_direction: DmaDirection,
        mdl: "Mdl",
        virtual_address: memoryview,
        length: int,
    ) -> None:
        """Sets the data that is to be transferred.

        :param evt_program_dma: EvtProgramDma(transaction, device, context, direction, sg_list), at
            DISPATCH_LEVEL, which makes the device do one transfer; its result is ignored
        :param dma_direction: the direction
        :param mdl: the buffer
        :param virtual_address: the start of the data in the buffer: the virtual address of the MDL,
            or a slice of it
        :param length: the length in bytes, more than 0
        :raises NtStatusError: the length is 0, or the data is not within the buffer
        """
        what = "WdfDmaTransactionInitialize"
        self._check_state(READY, what)
        for each, name in ((mdl, "Mdl"), (virtual_address, "VirtualAddress")):
            check_pointer(self._kernel, each, f"{what}: {name}")
        offset = mdl.offset_of(virtual_address)
        self._initialize(evt_program_dma, dma_direction, mdl, offset, length, what)

    @ddi(
        "WdfDmaTransactionInitializeUsingOffset",
        "NTSTATUS (_In_ WDFDMATRANSACTION DmaTransaction, "
        "_In_ PFN_WDF_PROGRAM_DMA EvtProgramDmaFunction, "
        "_In_ WDF_DMA_DIRECTION DmaDirection, _In_ PMDL Mdl, _In_ size_t Offset, "
        "_In_ size_t Length)",
    )
    def initialize_using_offset(
        self,
        evt_program_dma: ProgramDma,
        dma_direction: DmaDirection,
        mdl: "Mdl",
        offset: int,
        length: int,
    ) -> None:
        """Like :meth:`initialize`, with an offset in the buffer.

        :param offset: the offset of the data in bytes
        """
        what = "WdfDmaTransactionInitializeUsingOffset"
        self._check_state(READY, what)
        check_pointer(self._kernel, mdl, f"{what}: Mdl")
        self._initialize(evt_program_dma, dma_direction, mdl, offset, length, what)

    @ddi(
        "WdfDmaTransactionInitializeUsingRequest",
        "NTSTATUS (_In_ WDFDMATRANSACTION DmaTransaction, _In_ WDFREQUEST Request, "
        "_In_ PFN_WDF_PROGRAM_DMA EvtProgramDmaFunction, _In_ WDF_DMA_DIRECTION DmaDirection)",
    )
    def initialize_using_request(
        self, request: Request, evt_program_dma: ProgramDma, dma_direction: DmaDirection
    ) -> None:
        """Like :meth:`initialize`, with the whole buffer of a request.

        :param request: the request: a read for READ_FROM_DEVICE, a write for WRITE_TO_DEVICE, or a
            device control
        :raises NtStatusError: the request has another direction, or its buffer is empty
        """
        what = "WdfDmaTransactionInitializeUsingRequest"
        self._check_state(READY, what)
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

    # Settings

    @ddi(
        "WdfDmaTransactionSetMaximumLength",
        "VOID (_In_ WDFDMATRANSACTION DmaTransaction, _In_ size_t MaximumLength)",
    )
    def set_maximum_length(self, maximum_length: int) -> None:
        """Limits the transfers of this transaction further.

        :param maximum_length: the length of the longest transfer in bytes, more than 0; more than
            the enabler's has no effect
        """
        if maximum_length <= 0:
            self._kernel.verifier.violation(
                "DmaMaximumLength", f"WdfDmaTransactionSetMaximumLength({self}, 0)", self
            )
            return
        self._limit = min(maximum_length, self.enabler.maximum_length)

    @ddi(
        "WdfDmaTransactionSetSingleTransferRequirement",
        "VOID (_In_ WDFDMATRANSACTION DmaTransaction, _In_ BOOLEAN RequireSingleTransfer)",
    )
    def set_single_transfer_requirement(self, require_single_transfer: bool) -> None:  # noqa: FBT001
        """Sets whether the first transfer must be the only one; the default is the enabler's."""
        self._single_transfer = require_single_transfer

    @ddi(
        "WdfDmaTransactionSetImmediateExecution",
        "VOID (_In_ WDFDMATRANSACTION DmaTransaction, _In_ BOOLEAN UseImmediateExecution)",
    )
    def set_immediate_execution(self, use_immediate_execution: bool) -> None:  # noqa: FBT001
        """Sets whether :meth:`execute` fails instead of waiting for map registers."""
        self._immediate = use_immediate_execution

    @ddi(
        "WdfDmaTransactionGetTransferInfo",
        "VOID (_In_ WDFDMATRANSACTION DmaTransaction, _Out_opt_ ULONG *MapRegisterCount, "
        "_Out_opt_ ULONG *ScatterGatherElementCount)",
        binding=Binding(
            outputs={
                "MapRegisterCount": "result.map_register_count",
                "ScatterGatherElementCount": "result.scatter_gather_list_size // 24",
            }
        ),
    )
    def get_transfer_info(self) -> TransferInfo:
        """Returns the needs of the first transfer; between initialization and execution."""
        self._check_state({State.INITIALIZED}, "WdfDmaTransactionGetTransferInfo")
        count = self._pages(self._next_length())
        elements = 1 if self.enabler.adapter(self._direction).packet else count
        return TransferInfo(count, SCATTER_GATHER_HEADER + SCATTER_GATHER_ENTRY * elements)

    # Transfers

    @ddi(
        "WdfDmaTransactionExecute",
        "NTSTATUS (_In_ WDFDMATRANSACTION DmaTransaction, _In_opt_ WDFCONTEXT Context)",
    )
    def execute(self, context: Any = None) -> int:
        """Begins the first transfer. EvtProgramDma may be called before this returns.

        :param context: an object for EvtProgramDma
        :return: STATUS_SUCCESS, or the reason why the transfer did not begin: the driver must then
            release the transaction
        """
        self._check_state({State.INITIALIZED}, "WdfDmaTransactionExecute")
        self._context = context
        if self._request is not None:
            # The request's buffer must stay. The reference is the framework's: it has no tag.
            self._request._hold()
            self._holding = True
        return self._begin()

    @ddi(
        "WdfDmaTransactionDmaCompleted",
        "BOOLEAN (_In_ WDFDMATRANSACTION DmaTransaction, _Out_ NTSTATUS *Status)",
    )
    def dma_completed(self) -> tuple[bool, int]:
        """Reports that the device has done the transfer.

        :return: whether the transaction has ended, and its status. STATUS_MORE_PROCESSING_REQUIRED
            means that the next transfer has begun: EvtProgramDma is called for it, or has been
        """
        return self._completed("WdfDmaTransactionDmaCompleted", None, final=False)

    @ddi(
        "WdfDmaTransactionDmaCompletedWithLength",
        "BOOLEAN (_In_ WDFDMATRANSACTION DmaTransaction, _In_ size_t TransferredLength, "
        "_Out_ NTSTATUS *Status)",
    )
    def dma_completed_with_length(self, transferred_length: int) -> tuple[bool, int]:
        """Like :meth:`dma_completed`, if the device did less: the rest is transferred next.

        :param transferred_length: the bytes that were transferred
        """
        what = "WdfDmaTransactionDmaCompletedWithLength"
        return self._completed(what, transferred_length, final=False)

    @ddi(
        "WdfDmaTransactionDmaCompletedFinal",
        "BOOLEAN (_In_ WDFDMATRANSACTION DmaTransaction, _In_ size_t FinalTransferredLength, "
        "_Out_ NTSTATUS *Status)",
    )
    def dma_completed_final(self, final_transferred_length: int) -> tuple[bool, int]:
        """Like :meth:`dma_completed`, but ends the transaction even if data is left.

        :param final_transferred_length: the bytes that were transferred
        """
        what = "WdfDmaTransactionDmaCompletedFinal"
        return self._completed(what, final_transferred_length, final=True)

    # The end

    @ddi("WdfDmaTransactionRelease", "NTSTATUS (_In_ WDFDMATRANSACTION DmaTransaction)")
    def release(self) -> int:
        """Ends the transaction, so that it can be initialized again; not during a transfer.

        :return: STATUS_SUCCESS
        """
        if self.state is State.TRANSFER and self._kernel.verifying:
            self._check_state(set(State) - {State.TRANSFER}, "WdfDmaTransactionRelease")
        self._finish()
        self.state = State.RESERVED if self._reserved else State.RELEASED
        return STATUS_SUCCESS

    @ddi("WdfDmaTransactionCancel", "BOOLEAN (_In_ WDFDMATRANSACTION DmaTransaction)")
    def cancel(self) -> bool:
        """Withdraws a transfer or a reservation that waits for map registers.

        :return: ``True``: the callback will not be called, and the transaction has failed;
            ``False``: nothing was waiting
        """
        forbidden = {State.CREATED, State.RELEASED, State.DELETED}
        # A transaction that waits for a reservation keeps the state in which it was requested.
        if self._reserve_dma is None:
            self._check_state(set(State) - forbidden, "WdfDmaTransactionCancel")
        adapter = self.enabler.adapter(self._direction)
        reserved_from = self._reserved_from
        if adapter.withdraw(self._granted) or reserved_from.withdraw(self._reservation_granted):
            self._reserve_dma = None
            self._fail(STATUS_SUCCESS)
            return True
        return False

    # Reserved map registers

    @ddi(
        "WdfDmaTransactionAllocateResources",
        "NTSTATUS (_In_ WDFDMATRANSACTION DmaTransaction, "
        "_In_ WDF_DMA_DIRECTION DmaDirection, _In_ ULONG RequiredMapRegisters, "
        "_In_ PFN_WDF_RESERVE_DMA EvtReserveDmaFunction, _In_ PVOID EvtReserveDmaContext)",
        binding=Binding(parameters={"EvtReserveDmaFunction": "evt_reserve_dma"}),
    )
    def allocate_resources(
        self,
        dma_direction: DmaDirection,
        required_map_registers: int,
        evt_reserve_dma: ReserveDma,
        context: Any = None,
    ) -> None:
        """Reserves map registers for later transfers, which then need not wait for any.

        :param dma_direction: the direction of those transfers
        :param required_map_registers: the number of registers
        :param evt_reserve_dma: EvtReserveDma(transaction, context), at DISPATCH_LEVEL, called when
            they are reserved, perhaps before this returns
        :raises NtStatusError: the adapter does not have that many
        """
        what = "WdfDmaTransactionAllocateResources"
        self._check_state({State.CREATED, State.RELEASED}, what)
        check_pointer(self._kernel, evt_reserve_dma, f"{what}: EvtReserveDma")
        adapter = self.enabler.adapter(dma_direction)
        if not 0 < required_map_registers <= adapter.map_registers:
            raise NtStatusError(STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS, what)
        self._reserved_from = adapter
        self._reserve_dma, self._reserve_context = evt_reserve_dma, context
        wait = not self._immediate
        registers = adapter.take(required_map_registers, self._reservation_granted, wait=wait)
        if registers is not None:
            self._reservation_granted(registers)
        elif not wait:
            self._reserve_dma = None
            raise NtStatusError(STATUS_INSUFFICIENT_RESOURCES, what)

    @ddi("WdfDmaTransactionFreeResources", "VOID (_In_ WDFDMATRANSACTION DmaTransaction)")
    def free_resources(self) -> None:
        """Ends the reservation; not during a transfer."""
        self._check_state({State.RESERVED}, "WdfDmaTransactionFreeResources")
        self._unreserve()
        self.state = State.RELEASED

    # Properties

    @ddi("WdfDmaTransactionGetBytesTransferred", "size_t (_In_ WDFDMATRANSACTION DmaTransaction)")
    def get_bytes_transferred(self) -> int:
        """Returns the number of bytes of the transfers that have ended."""
        return self._transferred

    @ddi(
        "WdfDmaTransactionGetCurrentDmaTransferLength",
        "size_t (_In_ WDFDMATRANSACTION DmaTransaction)",
    )
    def get_current_dma_transfer_length(self) -> int:
        """Returns the number of bytes of the current transfer."""
        return self._fragment

    @ddi("WdfDmaTransactionGetRequest", "WDFREQUEST (_In_ WDFDMATRANSACTION DmaTransaction)")
    def get_request(self) -> Request | None:
        """Returns the request whose buffer is transferred; ``None``: there is none.

        A transaction has one if it was initialized with it, until it is released.
        """
        return self._request

    @ddi("WdfDmaTransactionGetDevice", "WDFDEVICE (_In_ WDFDMATRANSACTION DmaTransaction)")
    def get_device(self) -> WdfDevice:
        """Returns the device that does the DMA."""
        return self.enabler.device
