# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""DMA transactions: their states, their lists, their waits, and data that is really transferred."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from pydriver.errors import MachineError
from pydriver.ke import BugCheck, NtStatusError, VerifierConfig
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_MORE_PROCESSING_REQUIRED,
    STATUS_SUCCESS,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
    STATUS_WDF_TOO_FRAGMENTED,
    STATUS_WDF_TOO_MANY_TRANSFERS,
)
from pydriver.wdf import (
    Device,
    DmaDirection,
    DmaEnabler,
    DmaEnablerConfig,
    DmaEnablerFlags,
    DmaProfile,
    DmaTransaction,
    DmaTransactionState,
    IoQueueConfig,
    IoQueueDispatchType,
    Mdl,
    ObjectAttributes,
    Request,
    ScatterGatherList,
    ctl_code,
)
from pydriver.wdf.object.object import Phase
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan
from tests.harness.dma import EduDma, pattern

PAGE = 4096
READ, WRITE = DmaDirection.READ_FROM_DEVICE, DmaDirection.WRITE_TO_DEVICE
State = DmaTransactionState
MORE = (False, STATUS_MORE_PROCESSING_REQUIRED)


def status_of(call: Callable[[], object]) -> int:
    with pytest.raises(NtStatusError) as failed:
        call()
    return failed.value.status


@dataclass
class Programmed:
    """The arguments of a call of EvtProgramDma."""

    device: Device
    context: object
    direction: DmaDirection
    list: ScatterGatherList
    irql: int
    length: int


@dataclass
class Dma:
    """A transaction, and the calls of its EvtProgramDma."""

    bench: Bench
    enabler: DmaEnabler
    transaction: DmaTransaction
    programmed: list[Programmed] = field(default_factory=list)

    @property
    def lengths(self) -> list[int]:
        return [each.length for each in self.programmed]

    def program(
        self,
        transaction: DmaTransaction,
        device: Device,
        context: Any,
        direction: DmaDirection,
        sg_list: ScatterGatherList,
    ) -> bool:
        irql = self.bench.kernel.irql()
        length = transaction.get_current_dma_transfer_length()
        assert sum(each.length for each in sg_list.elements) == length
        self.programmed.append(Programmed(device, context, direction, sg_list, irql, length))
        return False  # does not matter

    def start(
        self,
        data: bytes | bytearray,
        direction: DmaDirection = WRITE,
        offset: int = 0,
        length: int | None = None,
    ) -> int:
        length = len(data) - offset if length is None else length
        mdl = Mdl(data)
        self.transaction.initialize_using_offset(self.program, direction, mdl, offset, length)
        return self.transaction.execute("context")

    def memory(self, at: int = -1) -> bytes:
        """The memory that the device would read in a transfer."""
        view = self.bench.system.machine.memory.view
        return b"".join(
            bytes(view[each.address : each.address + each.length])
            for each in self.programmed[at].list.elements
        )

    def device_writes(self, data: bytes, at: int = -1) -> None:
        view = self.bench.system.machine.memory.view
        for each in self.programmed[at].list.elements:
            part, data = data[: each.length], data[each.length :]
            view[each.address : each.address + len(part)] = part


def dma(
    bench: Bench,
    maximum: int = 4 * PAGE,
    profile: DmaProfile = DmaProfile.SCATTER_GATHER,
    edu: Edu | None = None,
    **more: Any,
) -> Dma:
    edu = edu or bench.load()
    enabler = DmaEnabler.create(edu.device, DmaEnablerConfig(profile, maximum, **more))
    return Dma(bench, enabler, DmaTransaction.create(enabler))


def another(one: Dma) -> Dma:
    return Dma(one.bench, one.enabler, DmaTransaction.create(one.enabler))


# Data that is really transferred


@pytest.mark.covers(
    "WdfDmaTransactionInitializeUsingRequest",
    "WdfDmaTransactionExecute",
    "WdfDmaTransactionDmaCompleted",
    "WdfDmaTransactionGetBytesTransferred",
    "WdfDmaTransactionGetRequest",
    "WdfDmaTransactionRelease",
    "WdfDmaTransactionSetMaximumLength",
    "EvtProgramDma",
)
def test_data_of_a_request_goes_out_and_comes_back_by_bus_master_dma(bench: Bench) -> None:
    """edu takes 100 ms for each transfer, and interrupts when it is done."""
    driver = EduDma()
    data = pattern(1800)
    with driver.load(bench).open() as file:
        assert file.write(data, timeout=TIMEOUT) == 1800
        assert driver.transfers == 3
        assert file.read(1800, timeout=TIMEOUT) == data
    assert driver.transfers == 6


@pytest.mark.covers("WdfDmaTransactionInitializeUsingOffset", "EvtProgramDma")
def test_each_element_of_a_list_is_memory_that_the_device_reaches(bench: Bench) -> None:
    """edu copies each element on its own into its buffer of less than a page, and back."""
    edu = bench.load()
    out = dma(bench, 8 * PAGE, edu=edu, address_width_override=28)
    data = pattern(3 * PAGE)
    assert out.start(data, offset=4000, length=3000) == STATUS_SUCCESS
    assert out.programmed[0].list.number_of_elements == 2
    back = another(out)
    result = bytearray(3 * PAGE)
    assert back.start(result, READ, offset=4000, length=3000) == STATUS_SUCCESS
    for source, target in zip(
        out.programmed[0].list.elements, back.programmed[0].list.elements, strict=True
    ):
        for ends, command in (((source.address, 0x40000), 1), ((0x40000, target.address), 3)):
            for offset, value in zip((0x80, 0x88), ends, strict=True):
                edu.registers.write64(offset, value)
            edu.registers.write64(0x90, source.length)
            edu.registers.write64(0x98, command)
            while edu.registers.read64(0x98) & 1:
                pass
    assert out.transaction.dma_completed() == (True, STATUS_SUCCESS)
    assert back.transaction.dma_completed() == (True, STATUS_SUCCESS)
    assert result[4000:7000] == data[4000:7000]
    assert not any(result[:4000])
    assert not any(result[7000:])


# Lists


@pytest.mark.covers("WdfDmaTransactionExecute", "EvtProgramDma", "WdfDmaTransactionGetDevice")
def test_program_dma_is_called_at_dispatch_level_before_execute_returns(bench: Bench) -> None:
    one = dma(bench)
    assert one.start(pattern(10)) == STATUS_SUCCESS
    (programmed,) = one.programmed
    assert (programmed.irql, programmed.context) == (DISPATCH_LEVEL, "context")
    assert programmed.direction == WRITE
    assert programmed.device is one.transaction.get_device() is one.enabler.device
    assert bench.kernel.irql() == PASSIVE_LEVEL
    one.transaction.dma_completed()


@pytest.mark.parametrize(
    ("offset", "length", "sizes"),
    [
        (0, 100, [100]),
        (0, PAGE, [PAGE]),
        (0, PAGE + 1, [PAGE, 1]),
        (4000, 5000, [96, PAGE, 808]),
        (PAGE, 2 * PAGE, [PAGE, PAGE]),
    ],
)
@pytest.mark.covers("WdfDmaTransactionInitializeUsingOffset", "WdfDmaTransactionGetTransferInfo")
def test_list_has_an_element_for_each_page(
    bench: Bench, offset: int, length: int, sizes: list[int]
) -> None:
    one = dma(bench)
    data = pattern(4 * PAGE)
    one.transaction.initialize_using_offset(one.program, WRITE, Mdl(data), offset, length)
    info = one.transaction.get_transfer_info()
    assert info == (len(sizes), 16 + 24 * len(sizes))
    one.transaction.execute()
    elements = one.programmed[0].list.elements
    assert [each.length for each in elements] == sizes
    assert elements[0].address % PAGE == offset % PAGE
    for first, second in pairwise(elements):
        assert first.address + first.length != second.address
    assert one.memory() == data[offset : offset + length]
    one.transaction.dma_completed()


@pytest.mark.covers("WDF_DMA_ENABLER_CONFIG.Profile", "WdfDmaTransactionGetTransferInfo")
def test_packet_profile_has_one_element(bench: Bench) -> None:
    one = dma(bench, profile=DmaProfile.PACKET)
    data = pattern(3 * PAGE)
    one.transaction.initialize_using_offset(one.program, WRITE, Mdl(data), 10, 2 * PAGE)
    assert one.transaction.get_transfer_info() == (3, 40)
    one.transaction.execute()
    assert one.programmed[0].list.number_of_elements == 1
    assert one.memory() == data[10 : 10 + 2 * PAGE]
    one.transaction.dma_completed()


@pytest.mark.covers("WdfDmaTransactionInitialize")
def test_virtual_address_is_a_place_in_the_mdl(bench: Bench) -> None:
    one = dma(bench)
    mdl = Mdl(pattern(300))
    address = mdl.get_virtual_address()
    one.transaction.initialize(one.program, WRITE, mdl, address[100:], 50)
    one.transaction.execute()
    assert one.memory() == address[100:150]
    one.transaction.dma_completed()


@pytest.mark.covers("WdfDmaTransactionInitialize", "WdfDmaTransactionInitializeUsingOffset")
def test_buffer_of_a_transaction_must_be_in_the_mdl(bench: Bench) -> None:
    one = dma(bench)
    t, program = one.transaction, one.program
    mdl, outside = Mdl(bytearray(100)), memoryview(bytearray(100))
    start = mdl.get_virtual_address()
    for call in (
        lambda: t.initialize_using_offset(program, WRITE, mdl, 0, 0),
        lambda: t.initialize_using_offset(program, WRITE, mdl, 1, 100),
        lambda: t.initialize_using_offset(program, WRITE, mdl, -1, 10),
        lambda: t.initialize_using_offset(program, READ, Mdl(b"constant"), 0, 8),
        lambda: t.initialize(program, WRITE, mdl, start[1:], 100),
        lambda: t.initialize(program, WRITE, mdl, outside, 100),
    ):
        assert status_of(call) == STATUS_INVALID_PARAMETER
    assert t.state is State.CREATED


@pytest.mark.mistake("REQUIRED_PARAMETER_IS_NULL", 0x10D)
@pytest.mark.covers("WdfDmaTransactionInitialize", "WdfDmaTransactionInitializeUsingOffset")
@pytest.mark.parametrize("missing", ["program", "mdl", "address"])
def test_arguments_of_a_transaction_are_required(doomed: Bench, missing: str) -> None:
    one = dma(doomed)
    nothing: Any = None
    mdl = Mdl(bytearray(1))
    address = mdl.get_virtual_address()
    t = one.transaction
    with pytest.raises(BugCheck) as stopped:
        {
            "program": lambda: t.initialize_using_offset(nothing, WRITE, mdl, 0, 1),
            "mdl": lambda: t.initialize(one.program, WRITE, nothing, address, 1),
            "address": lambda: t.initialize(one.program, WRITE, mdl, nothing, 1),
        }[missing]()
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 4)


# Transfers


@pytest.mark.covers(
    "WdfDmaTransactionDmaCompleted",
    "WdfDmaTransactionGetBytesTransferred",
    "WdfDmaTransactionGetCurrentDmaTransferLength",
)
def test_transaction_goes_on_until_all_is_transferred(bench: Bench) -> None:
    one = dma(bench, maximum=PAGE)
    data = pattern(2 * PAGE + 100)
    t = one.transaction
    one.start(data)
    assert one.memory() == data[:PAGE]
    assert t.get_bytes_transferred() == 0
    assert t.dma_completed() == MORE
    assert one.memory() == data[PAGE : 2 * PAGE]
    assert (t.get_bytes_transferred(), t.get_current_dma_transfer_length()) == (PAGE, PAGE)
    assert t.dma_completed() == MORE
    assert t.get_current_dma_transfer_length() == 100
    assert t.dma_completed() == (True, STATUS_SUCCESS)
    assert (t.get_bytes_transferred(), t.state) == (len(data), State.TRANSFER_COMPLETED)
    assert one.lengths == [PAGE, PAGE, 100]


@pytest.mark.covers("WdfDmaTransactionDmaCompletedWithLength")
def test_rest_of_a_short_transfer_comes_next(bench: Bench) -> None:
    one = dma(bench)
    result = bytearray(100)
    t = one.transaction
    one.start(result, READ)
    one.device_writes(b"x" * 100)
    assert t.dma_completed_with_length(30) == MORE
    assert result == b"x" * 30 + bytes(70)
    assert one.lengths == [100, 70]
    one.device_writes(b"y" * 70)
    assert t.dma_completed_with_length(70) == (True, STATUS_SUCCESS)
    assert result == b"x" * 30 + b"y" * 70


@pytest.mark.covers("WdfDmaTransactionDmaCompletedFinal")
def test_final_transfer_ends_the_transaction_whatever_is_left(bench: Bench) -> None:
    one = dma(bench, maximum=PAGE)
    result = bytearray(3 * PAGE)
    one.start(result, READ)
    one.device_writes(b"x" * PAGE)
    assert one.transaction.dma_completed_final(5) == (True, STATUS_SUCCESS)
    assert one.transaction.get_bytes_transferred() == 5
    assert result == b"xxxxx" + bytes(3 * PAGE - 5)
    assert one.transaction.state is State.TRANSFER_COMPLETED


@pytest.mark.covers("WdfDmaTransactionDmaCompletedWithLength", "WdfDmaTransactionDmaCompletedFinal")
@pytest.mark.parametrize("final", [False, True])
def test_more_than_the_transfer_had_is_an_invalid_length(bench: Bench, final: bool) -> None:
    one = dma(bench)
    one.start(pattern(100))
    t = one.transaction
    completed = t.dma_completed_final if final else t.dma_completed_with_length
    assert completed(101) == (True, STATUS_INVALID_PARAMETER)
    assert t.state is State.TRANSFER_FAILED
    assert t.release() == STATUS_SUCCESS


@pytest.mark.covers("EvtProgramDma", "WdfDmaTransactionDmaCompletedFinal", "WdfObjectDelete")
def test_program_dma_may_end_the_transaction_and_delete_it(bench: Bench) -> None:
    """PCIDRV does this when it has no free descriptor."""
    one = dma(bench)

    def give_up(t: DmaTransaction, *_: object) -> None:
        assert t.dma_completed_final(0) == (True, STATUS_SUCCESS)
        t.delete()

    mdl = Mdl(pattern(10))
    one.transaction.initialize_using_offset(give_up, WRITE, mdl, 0, 10)
    assert one.transaction.execute() == STATUS_SUCCESS
    assert one.transaction.phase is Phase.DESTROYED
    assert another(one).start(pattern(4 * PAGE)) == STATUS_SUCCESS
    (left,) = one.enabler.children
    assert isinstance(left, DmaTransaction)
    left.dma_completed()


@pytest.mark.mistake("DmaMaximumLength")
@pytest.mark.covers("WdfDmaTransactionRelease", "WdfDmaTransactionSetMaximumLength")
def test_released_transaction_is_used_again(bench: Bench) -> None:
    one = dma(bench)
    t = one.transaction
    assert t.release() == STATUS_SUCCESS  # as PLX9x5x does when Initialize has failed
    t.set_maximum_length(60)
    for _ in range(3):
        one.start(pattern(100))
        assert t.dma_completed() == MORE
        assert t.dma_completed() == (True, STATUS_SUCCESS)
        t.release()
        t.release()
        assert t.state is State.RELEASED
        assert t.get_bytes_transferred() == 0
    assert one.lengths == [60, 40] * 3
    t.set_maximum_length(0)
    assert bench.violation().rule == "DmaMaximumLength"
    t.set_maximum_length(1 << 30)
    one.start(pattern(4 * PAGE))
    assert one.lengths[-1] == 4 * PAGE
    t.dma_completed()


@pytest.mark.covers("WdfDmaTransactionSetSingleTransferRequirement", "WDF_DMA_ENABLER_CONFIG.Flags")
@pytest.mark.parametrize("by", ["flag", "call"])
def test_single_transfer_that_does_not_suffice_fails(bench: Bench, by: str) -> None:
    flag = {
        "flags": DmaEnablerFlags.REQUIRE_SINGLE_TRANSFER,
        "wdm_dma_version_override": 3,
    }
    one = dma(bench, PAGE, **(flag if by == "flag" else {}))
    t = one.transaction
    if by == "call":
        t.set_single_transfer_requirement(True)
    one.start(pattern(PAGE + 1))
    assert t.dma_completed() == (True, STATUS_WDF_TOO_MANY_TRANSFERS)
    assert t.state is State.TRANSFER_FAILED
    t.release()
    one.start(pattern(PAGE))
    assert t.dma_completed() == (True, STATUS_SUCCESS)
    t.release()
    t.set_single_transfer_requirement(False)
    one.start(pattern(PAGE + 1))
    assert t.dma_completed() == MORE
    t.dma_completed()


@pytest.mark.covers("WdfDmaEnablerSetMaximumScatterGatherElements", "WdfDmaTransactionExecute")
def test_list_with_too_many_elements_is_too_fragmented(bench: Bench) -> None:
    edu = bench.load()
    enabler = DmaEnabler.create(edu.device, DmaEnablerConfig(DmaProfile.SCATTER_GATHER, 4 * PAGE))
    enabler.set_maximum_scatter_gather_elements(2)
    one = Dma(bench, enabler, DmaTransaction.create(enabler))
    t = one.transaction
    assert one.start(pattern(3 * PAGE)) == STATUS_WDF_TOO_FRAGMENTED
    assert (t.state, one.programmed) == (State.TRANSFER_FAILED, [])
    t.release()
    # The second transfer, at another offset, takes three pages.
    t.set_maximum_length(2 * PAGE)
    assert one.start(pattern(6 * PAGE)) == STATUS_SUCCESS
    assert t.dma_completed_with_length(1) == (True, STATUS_WDF_TOO_FRAGMENTED)
    assert t.state is State.TRANSFER_FAILED
    t.release()


# Map registers


@pytest.mark.covers("WdfDmaTransactionExecute", "WdfDmaTransactionCancel")
def test_transfer_waits_for_map_registers_in_turn(bench: Bench) -> None:
    one = dma(bench)  # five registers
    two, three, four = another(one), another(one), another(one)
    one.start(pattern(3 * PAGE))
    assert two.start(pattern(3 * PAGE)) == STATUS_SUCCESS
    assert three.start(pattern(PAGE)) == STATUS_SUCCESS
    assert four.start(pattern(PAGE)) == STATUS_SUCCESS
    assert two.programmed == three.programmed == four.programmed == []
    assert two.transaction.state is State.TRANSFER
    assert four.transaction.cancel() is True
    assert four.transaction.state is State.TRANSFER_FAILED
    assert one.transaction.dma_completed() == (True, STATUS_SUCCESS)
    assert (len(two.programmed), len(three.programmed)) == (1, 1)
    assert two.programmed[0].irql == three.programmed[0].irql == DISPATCH_LEVEL
    assert two.transaction.cancel() is False
    for each in (two, three):
        assert each.transaction.dma_completed() == (True, STATUS_SUCCESS)
    assert four.programmed == []


@pytest.mark.covers("WDF_DMA_ENABLER_CONFIG.Profile")
def test_device_that_reaches_all_memory_waits_for_no_map_registers(bench: Bench) -> None:
    reservations = bench.system.machine.reservations
    free = list(reservations._free)
    one = dma(bench, 1 << 20, DmaProfile.SCATTER_GATHER64)
    assert one.enabler.get_fragment_length(WRITE) == 1 << 20
    all_of_them = [one, *(another(one) for _ in range(7))]
    for each in all_of_them:
        assert each.start(pattern(1 << 20)) == STATUS_SUCCESS
    pages = [piece.address for each in all_of_them for piece in each.programmed[0].list.elements]
    assert len(set(pages)) == len(pages) == 8 * 256
    for each in all_of_them:
        assert each.transaction.dma_completed() == (True, STATUS_SUCCESS)
        each.transaction.release()
    one.enabler.delete()
    assert reservations._free == free


@pytest.mark.covers("WDF_DMA_ENABLER_CONFIG.Profile")
def test_transfer_waits_when_guest_memory_is_exhausted(bench: Bench) -> None:
    reservations = bench.system.machine.reservations
    one = dma(bench, 4 * PAGE, DmaProfile.SCATTER_GATHER64)
    two = another(one)
    one.start(pattern(4 * PAGE))
    taken = []
    with contextlib.suppress(MachineError):
        while True:
            taken.append(reservations.reserve(PAGE))
    assert two.start(pattern(4 * PAGE)) == STATUS_SUCCESS
    assert two.programmed == []
    assert one.transaction.dma_completed() == (True, STATUS_SUCCESS)
    assert len(two.programmed) == 1
    assert two.transaction.dma_completed() == (True, STATUS_SUCCESS)
    for address in taken:
        reservations.release(address)


@pytest.mark.covers("WDF_DMA_ENABLER_CONFIG.Profile")
def test_packet_profile_does_one_transfer_at_a_time(bench: Bench) -> None:
    one = dma(bench, profile=DmaProfile.PACKET)
    two = another(one)
    one.start(pattern(10))
    two.start(pattern(10))
    assert two.programmed == []
    one.transaction.dma_completed()
    assert two.lengths == [10]
    two.transaction.dma_completed()


@pytest.mark.covers("WDF_DMA_ENABLER_CONFIG.Profile")
def test_directions_of_a_duplex_profile_do_not_wait_for_each_other(bench: Bench) -> None:
    one = dma(bench, profile=DmaProfile.SCATTER_GATHER_DUPLEX)
    two, three = another(one), another(one)
    one.start(pattern(4 * PAGE), WRITE)
    two.start(pattern(4 * PAGE), READ)
    three.start(pattern(4 * PAGE), READ)
    assert (len(two.programmed), len(three.programmed)) == (1, 0)
    for each in (one, two, three):
        each.transaction.dma_completed()


@pytest.mark.covers("WdfDmaTransactionSetImmediateExecution")
def test_immediate_execution_does_not_wait(bench: Bench) -> None:
    one = dma(bench)
    two = another(one)
    two.transaction.set_immediate_execution(True)
    one.start(pattern(4 * PAGE))
    assert two.start(pattern(4 * PAGE)) == STATUS_INSUFFICIENT_RESOURCES
    assert two.transaction.state is State.TRANSFER_FAILED
    one.transaction.dma_completed()
    two.transaction.release()
    assert two.start(pattern(4 * PAGE)) == STATUS_SUCCESS
    two.transaction.dma_completed()


@pytest.mark.covers("WdfDmaTransactionAllocateResources", "WdfDmaTransactionFreeResources")
def test_reserved_map_registers_are_there_at_once(bench: Bench) -> None:
    one = dma(bench)
    two = another(one)
    reserved: list[tuple[DmaTransaction, object, int]] = []

    def reserve(t: DmaTransaction, context: object) -> None:
        reserved.append((t, context, bench.kernel.irql()))

    t = one.transaction
    t.allocate_resources(WRITE, 2, reserve, "mine")
    assert reserved == [(t, "mine", DISPATCH_LEVEL)]
    assert t.state is State.RESERVED
    two.start(pattern(4 * PAGE))
    assert two.programmed == []
    assert one.start(pattern(2 * PAGE)) == STATUS_SUCCESS
    assert one.lengths == [2 * PAGE]
    assert t.dma_completed() == (True, STATUS_SUCCESS)
    t.release()
    assert t.state is State.RESERVED
    assert one.start(pattern(3 * PAGE)) == STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS
    t.release()
    t.free_resources()
    assert t.state is State.RELEASED
    assert two.lengths == [4 * PAGE]
    two.transaction.dma_completed()


@pytest.mark.covers("WdfDmaTransactionFreeResources")
def test_reservation_goes_back_to_the_direction_that_it_was_taken_from(bench: Bench) -> None:
    one = dma(bench, profile=DmaProfile.SCATTER_GATHER_DUPLEX)
    t, free = one.transaction, one.enabler.adapter(WRITE).map_registers
    for direction in (READ, WRITE):
        t.allocate_resources(WRITE, free, lambda t, context: None)
        one.start(pattern(PAGE), direction)
        t.dma_completed()
        t.release()
        t.free_resources()
        assert len(one.enabler.adapter(WRITE)._free) == free
        assert len(one.enabler.adapter(READ)._free) == free


@pytest.mark.covers("WdfDmaTransactionAllocateResources", "WdfDmaTransactionCancel")
def test_reservation_waits_and_can_be_cancelled(bench: Bench) -> None:
    one = dma(bench)
    two, three = another(one), another(one)
    reserved: list[object] = []
    one.start(pattern(4 * PAGE))
    for each in (two, three):
        each.transaction.allocate_resources(WRITE, 5, lambda t, context: reserved.append(t))
    assert two.transaction.cancel() is True
    assert two.transaction.state is State.TRANSFER_FAILED
    one.transaction.dma_completed()
    assert reserved == [three.transaction]
    t = another(one).transaction
    for count in (0, 6):
        status = status_of(lambda n=count: t.allocate_resources(WRITE, n, print))  # type: ignore[misc]
        assert status == STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS
    t.set_immediate_execution(True)
    status = status_of(lambda: t.allocate_resources(WRITE, 1, print))
    assert status == STATUS_INSUFFICIENT_RESOURCES


# States

CALLS: dict[str, Callable[[Dma], object]] = {
    "execute": lambda one: one.transaction.execute(),
    "initialize": lambda one: one.start(b"data"),
    "completed": lambda one: one.transaction.dma_completed(),
    "with length": lambda one: one.transaction.dma_completed_with_length(1),
    "final": lambda one: one.transaction.dma_completed_final(1),
    "transfer info": lambda one: one.transaction.get_transfer_info(),
    "release": lambda one: one.transaction.release(),
    "delete": lambda one: one.transaction.delete(),
    "cancel": lambda one: one.transaction.cancel(),
    "allocate": lambda one: one.transaction.allocate_resources(WRITE, 1, print),
    "free": lambda one: one.transaction.free_resources(),
}


@pytest.mark.mistake("DmaTransactionState", 0x10D)
@pytest.mark.covers(
    "WdfDmaTransactionExecute",
    "WdfDmaTransactionInitializeUsingOffset",
    "WdfDmaTransactionDmaCompleted",
    "WdfDmaTransactionDmaCompletedWithLength",
    "WdfDmaTransactionDmaCompletedFinal",
    "WdfDmaTransactionGetTransferInfo",
    "WdfDmaTransactionRelease",
    "WdfDmaTransactionCancel",
    "WdfDmaTransactionAllocateResources",
    "WdfDmaTransactionFreeResources",
    "WdfObjectDelete",
)
@pytest.mark.parametrize(
    ("state", "call"),
    [
        (State.CREATED, "execute"),
        (State.CREATED, "completed"),
        (State.CREATED, "transfer info"),
        (State.CREATED, "cancel"),
        (State.CREATED, "free"),
        (State.INITIALIZED, "initialize"),
        (State.INITIALIZED, "with length"),
        (State.INITIALIZED, "allocate"),
        (State.TRANSFER, "execute"),
        (State.TRANSFER, "initialize"),
        (State.TRANSFER, "transfer info"),
        (State.TRANSFER, "release"),
        (State.TRANSFER, "delete"),
        (State.TRANSFER_COMPLETED, "final"),
        (State.TRANSFER_COMPLETED, "initialize"),
        (State.TRANSFER_FAILED, "execute"),
        (State.RELEASED, "cancel"),
        (State.RELEASED, "completed"),
    ],
)
def test_call_in_a_wrong_state_stops_the_system(doomed: Bench, state: State, call: str) -> None:
    one = dma(doomed)
    t = one.transaction
    if state is State.INITIALIZED:
        t.initialize_using_offset(one.program, WRITE, Mdl(b"data"), 0, 4)
    elif state not in {State.CREATED, State.RELEASED}:
        one.start(b"data")
    if state is State.TRANSFER_COMPLETED:
        t.dma_completed()
    elif state is State.TRANSFER_FAILED:
        t.dma_completed_with_length(5)
    elif state is State.RELEASED:
        t.release()
    assert t.state is state
    with pytest.raises(BugCheck) as stopped:
        CALLS[call](one)
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters == (8, id(t), state, 0)
    assert stopped.value.rule == "DmaTransactionState"


@pytest.mark.covers("WdfDmaTransactionRelease")
def test_release_during_a_transfer_is_let_through_without_the_verifier(
    boot: Callable[..., Bench],
) -> None:
    one = dma(boot(verifier=VerifierConfig(enabled=False)))
    one.start(pattern(4 * PAGE))
    one.transaction.release()
    assert one.transaction.state is State.RELEASED
    one.start(pattern(4 * PAGE))
    one.transaction.delete()
    assert another(one).start(pattern(4 * PAGE)) == STATUS_SUCCESS


@pytest.mark.covers("WdfDmaTransactionCreate")
def test_transaction_is_a_child_of_its_enabler(bench: Bench) -> None:
    one = dma(bench)
    assert one.transaction.parent is one.enabler
    attributes = ObjectAttributes(parent_object=one.enabler.device)
    status = status_of(lambda: DmaTransaction.create(one.enabler, attributes))
    assert status == STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    DmaTransaction.create(one.enabler).delete()
    bench.kernel.lower_irql(old)
    assert one.enabler.children == (one.transaction,)


# Requests


@pytest.mark.covers("WdfDmaTransactionInitializeUsingRequest", "WdfDmaTransactionGetRequest")
def test_direction_of_a_request_must_match(bench: Bench) -> None:
    statuses: dict[str, int] = {}
    found: list[bytes] = []

    def any_request(queue: object, request: Request) -> None:
        one = Dma(bench, made[0], DmaTransaction.create(made[0]))
        t = one.transaction
        for direction in (READ, WRITE):
            try:
                t.initialize_using_request(request, one.program, direction)
            except NtStatusError as error:
                statuses[f"{request.irp.kind.name} {direction.name}"] = error.status
                assert t.get_request() is None
                continue
            assert t.get_request() is request
            assert t.execute() == STATUS_SUCCESS
            found.append(one.memory() if direction == WRITE else b"")
            one.device_writes(b"answer")
            t.dma_completed()
            t.release()
            assert t.get_request() is None
        request.complete_with_information(STATUS_SUCCESS, min(request.length, 6))

    queue = IoQueueConfig(
        IoQueueDispatchType.SEQUENTIAL, default_queue=True, evt_io_default=any_request
    )
    made: list[DmaEnabler] = []
    config = DmaEnablerConfig(DmaProfile.SCATTER_GATHER, PAGE)
    plan = Plan(queues=[queue], add=lambda device: made.append(DmaEnabler.create(device, config)))
    with bench.load(plan).device.open() as file:
        assert file.read(6, timeout=TIMEOUT) == b"answer"
        file.write(b"data", timeout=TIMEOUT)
        control = ctl_code(0x800, method=2)
        assert file.device_control(control, b"question", 6, timeout=TIMEOUT) == b"answer"
        assert file.device_control(control, b"", 6, timeout=TIMEOUT) == b"answer"
    invalid = STATUS_INVALID_DEVICE_REQUEST
    assert statuses == {
        "READ WRITE_TO_DEVICE": invalid,
        "WRITE READ_FROM_DEVICE": invalid,
        "DEVICE_CONTROL WRITE_TO_DEVICE": invalid,
    }
    assert found == [b"", b"data", b"", b"question", b""]


@pytest.mark.mistake("MdlAfterReqCompletedRead")
@pytest.mark.covers("WdfDmaTransactionInitializeUsingRequest", "EvtDestroyCallback")
def test_transaction_keeps_its_request_until_it_is_released(bench: Bench) -> None:
    order: list[str] = []
    kept: list[DmaTransaction] = []

    def read(queue: object, request: Request, length: int) -> None:
        one = Dma(bench, made[0], DmaTransaction.create(made[0]))
        kept.append(one.transaction)
        request.allocate_context(
            ObjectAttributes(
                context_type=list,
                evt_cleanup_callback=lambda _: order.append("cleanup"),
                evt_destroy_callback=lambda _: order.append("destroy"),
            )
        )
        one.transaction.initialize_using_request(request, one.program, READ)
        one.transaction.execute()
        request.complete(STATUS_SUCCESS)

    queue = IoQueueConfig(IoQueueDispatchType.SEQUENTIAL, default_queue=True, evt_io_read=read)
    made: list[DmaEnabler] = []
    config = DmaEnablerConfig(DmaProfile.SCATTER_GATHER, PAGE)
    plan = Plan(queues=[queue], add=lambda device: made.append(DmaEnabler.create(device, config)))
    with bench.load(plan).device.open() as file:
        file.read(6, timeout=TIMEOUT)
    assert order == ["cleanup"]
    # The device has written into a buffer that belongs to the application again.
    assert kept[0].dma_completed() == (True, STATUS_SUCCESS)
    assert bench.violation().rule == "MdlAfterReqCompletedRead"
    kept[0].release()
    assert order == ["cleanup", "destroy"]
