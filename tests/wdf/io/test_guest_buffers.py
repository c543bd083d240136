# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Requests whose buffers are in guest memory: copies, lifetimes, DMA without a copy."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.guest_memory import PAGE_SIZE, GuestBlock
from pydriver.ke.status import (
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
)
from pydriver.wdf import (
    Device,
    DeviceInit,
    DmaEnabler,
    DmaEnablerConfig,
    DmaProfile,
    DmaTransaction,
    File,
    IoQueueConfig,
    IoQueueDispatchType,
    Mdl,
    Memory,
    ObjectAttributes,
    Request,
    ctl_code,
)
from pydriver.wdf.dma.adapter import DmaAdapter
from pydriver.wdf.io.device_object import DeviceIoType
from pydriver.wdf.memory.memory import PoolType
from tests.harness.bench import TIMEOUT, Bench, Plan
from tests.harness.dma import READ, WRITE, EduDma, pattern

STATUS_BUFFER_OVERFLOW = 0x80000005
BUFFERED, DIRECT, NEITHER = ctl_code(0x800), ctl_code(0x800, method=2), ctl_code(0x800, method=3)


def in_guest(io_type: DeviceIoType = DeviceIoType.BUFFERED) -> Callable[[DeviceInit], None]:
    def init(init: DeviceInit) -> None:
        init.guest_memory = True
        init.set_io_type(io_type)

    return init


@dataclass
class Answering:
    """A driver that answers each request, and the data that it found in its buffers."""

    bench: Bench
    init: Callable[[DeviceInit], None]
    answer: bytes = b""
    information: int | None = None
    status: int = STATUS_SUCCESS
    inputs: list[bytes] = field(default_factory=list)
    addresses: list[int | None] = field(default_factory=list)
    kept: list[Request] = field(default_factory=list)
    views: list[memoryview] = field(default_factory=list)

    def handle(self, queue: object, request: Request) -> None:
        memory = self.bench.kernel.memory
        irp = request.irp
        for view in (irp.input, irp.buffer):
            if view:
                self.addresses.append(memory.address_of(view))
        if irp.input:
            view = request.retrieve_input_buffer()
            self.inputs.append(bytes(view))
            self.views.append(view)
        if irp.buffer:
            view = request.retrieve_output_buffer()
            self.views.append(view)
            view[: len(self.answer)] = self.answer
        information = len(self.answer) if self.information is None else self.information
        self.kept.append(request)
        request.complete_with_information(self.status, information)

    def load(self) -> Device:
        queue = IoQueueConfig(
            IoQueueDispatchType.SEQUENTIAL, default_queue=True, evt_io_default=self.handle
        )
        return self.bench.load(Plan(queues=[queue], init=self.init)).device


def left(bench: Bench) -> list[GuestBlock]:
    """Blocks of requests that have not been freed."""
    return [each for each in bench.kernel.memory.blocks if "request" in each.tag]


# The data for driver and application


@pytest.mark.parametrize("io_type", [DeviceIoType.BUFFERED, DeviceIoType.DIRECT])
@pytest.mark.covers("WdfRequestRetrieveInputBuffer", "WdfRequestRetrieveOutputBuffer")
def test_buffers_of_reads_and_writes_are_in_guest_memory(
    bench: Bench, io_type: DeviceIoType
) -> None:
    driver = Answering(bench, in_guest(io_type), b"answer")
    between = bench.kernel.memory.allocate(16, "what comes after it is not at a page's start")
    with driver.load().open() as file:
        assert file.read(6, timeout=TIMEOUT) == b"answer"
        driver.information = 4
        assert file.write(b"data", timeout=TIMEOUT) == 4
        mine = bytearray(8)
        driver.information = 6
        assert file.read_async(mine).result(TIMEOUT) == 6
    assert mine == b"answer\0\0"
    assert driver.inputs == [b"data"]
    assert None not in driver.addresses
    assert len(driver.addresses) == 3
    aligned = [each for each in driver.addresses if each is not None and each % PAGE_SIZE == 0]
    assert len(aligned) == (3 if io_type is DeviceIoType.DIRECT else 0)
    assert left(bench) == []
    between.free()


def test_buffers_are_in_this_process_unless_the_driver_asks_for_guest_memory(bench: Bench) -> None:
    driver = Answering(bench, lambda init: None, b"answer")
    with driver.load().open() as file:
        assert file.read(6, timeout=TIMEOUT) == b"answer"
    assert driver.addresses == [None]


@pytest.mark.parametrize("code", [BUFFERED, DIRECT])
def test_buffers_of_device_controls_are_in_guest_memory(bench: Bench, code: int) -> None:
    driver = Answering(bench, in_guest(), b"answer")
    with driver.load().open() as file:
        assert file.device_control(code, b"question", 6, timeout=TIMEOUT) == b"answer"
        assert file.device_control(code, b"", 6, timeout=TIMEOUT) == b"answer"
        driver.answer = b""
        assert file.device_control(code, b"question", 0, timeout=TIMEOUT) == b""
        assert file.device_control(code, b"", 0, timeout=TIMEOUT) == b""
    assert driver.inputs == [b"question"] * 2
    assert None not in driver.addresses
    assert left(bench) == []


def test_input_and_output_of_a_buffered_control_are_the_same_memory(bench: Bench) -> None:
    driver = Answering(bench, in_guest(), b"answer")
    with driver.load().open() as file:
        file.device_control(BUFFERED, b"question", 6, timeout=TIMEOUT)
        assert driver.addresses[0] == driver.addresses[1]
        file.device_control(DIRECT, b"question", 6, timeout=TIMEOUT)
        assert driver.addresses[2] != driver.addresses[3]


def test_user_buffers_of_neither_are_refused_there_too(bench: Bench) -> None:
    refused: list[int] = []

    def handle(queue: object, request: Request) -> None:
        with pytest.raises(NtStatusError) as failed:
            request.retrieve_input_buffer()
        refused.append(failed.value.status)
        request.complete(STATUS_SUCCESS)

    driver = Answering(bench, in_guest())
    driver.handle = handle  # type: ignore[method-assign]
    with driver.load().open() as file:
        file.device_control(NEITHER, b"question", 6, timeout=TIMEOUT)
    assert refused == [STATUS_INVALID_DEVICE_REQUEST]
    assert left(bench) == []


@pytest.mark.parametrize(
    ("io_type", "status", "expected"),
    [
        (DeviceIoType.BUFFERED, STATUS_SUCCESS, b"answ--------"),
        (DeviceIoType.BUFFERED, STATUS_BUFFER_OVERFLOW, b"answ--------"),
        (DeviceIoType.BUFFERED, STATUS_UNSUCCESSFUL, b"------------"),
        (DeviceIoType.DIRECT, STATUS_SUCCESS, b"answer------"),
        (DeviceIoType.DIRECT, STATUS_UNSUCCESSFUL, b"answer------"),
    ],
)
@pytest.mark.covers("WdfDeviceInitSetIoType")
def test_buffered_read_returns_what_was_transferred_and_a_direct_one_all_that_is_there(
    bench: Bench, io_type: DeviceIoType, status: int, expected: bytes
) -> None:
    driver = Answering(bench, in_guest(io_type), b"answer", information=4, status=status)
    mine = bytearray(b"------------")
    with driver.load().open() as file:
        irp = file.read_async(mine)
        assert irp.wait(TIMEOUT) == status
    assert mine == expected
    assert irp.buffer is not None
    assert irp.buffer.obj is mine


def test_buffer_of_a_write_is_read_only_for_its_driver(bench: Bench) -> None:
    found: list[bool] = []
    buffers: list[bool] = []

    def handle(queue: object, request: Request) -> None:
        buffers.append(request.retrieve_input_buffer().readonly)
        memory = request.retrieve_input_memory()
        found.append(memory.get_buffer().readonly)
        assert bench.kernel.memory.address_of(memory.get_buffer()) is not None
        request.complete_with_information(STATUS_SUCCESS, 4)

    driver = Answering(bench, in_guest())
    driver.handle = handle  # type: ignore[method-assign]
    with driver.load().open() as file:
        file.write(b"data", timeout=TIMEOUT)
        file.write(bytearray(b"data"), timeout=TIMEOUT)
    assert found == [True, True]
    assert buffers == [True, False], "as the application's own is"


def test_application_may_place_its_buffer_in_guest_memory_itself(bench: Bench) -> None:
    """Such a buffer is not copied, whatever the device's I/O type is."""
    for init in (in_guest(), lambda init: None):
        block = bench.kernel.memory.allocate(6, "application")
        driver = Answering(bench, init, b"answer")
        device = driver.load()
        with device.open() as file:
            assert file.read_async(block.view).result(TIMEOUT) == 6
            assert driver.addresses == [block.address]
            assert block.view == b"answer"
        bench.close()
        block.free()


# Their end


@pytest.mark.mistake("BufAfterReqCompletedRead")
def test_buffer_ends_with_its_request(bench: Bench) -> None:
    driver = Answering(bench, in_guest(), b"answer")
    with driver.load().open() as file:
        file.read(6, timeout=TIMEOUT)
    with pytest.raises(NtStatusError):
        driver.kept[0].retrieve_output_buffer()
    assert bench.violation().rule == "BufAfterReqCompletedRead"
    with pytest.raises(ValueError, match="released"):
        driver.views[0][0] = 1


def test_cancelled_requests_give_their_buffers_back(bench: Bench) -> None:
    queue = IoQueueConfig(IoQueueDispatchType.MANUAL, default_queue=True)
    device = bench.load(Plan(queues=[queue], init=in_guest())).device
    mine = bytearray(b"mine")
    with device.open() as file:
        read = file.read_async(mine)
        write = file.write_async(b"data")
        assert len(left(bench)) == 2
        read.cancel()
        assert len(left(bench)) == 1
        write.cancel()
    assert read.done
    assert write.done
    assert mine == b"mine"
    assert left(bench) == []


def test_request_without_a_queue_gives_its_buffer_back(bench: Bench) -> None:
    device = bench.load(Plan(init=in_guest())).device
    with device.open() as file, pytest.raises(NtStatusError):
        file.read(6, timeout=TIMEOUT)
    assert left(bench) == []


@pytest.mark.parametrize(
    "send",
    [
        lambda file, size: file.read_async(size),
        lambda file, size: file.write_async(bytes(size)),
        lambda file, size: file.device_control_async(BUFFERED, b"", size),
        lambda file, size: file.device_control_async(DIRECT, b"input", size),
    ],
)
def test_request_fails_when_guest_memory_is_exhausted(
    bench: Bench, send: Callable[[File, int], object]
) -> None:
    driver = Answering(bench, in_guest())
    device = driver.load()
    with device.open() as file, pytest.raises(NtStatusError) as failed:
        send(file, len(bench.kernel.memory.view))
    assert failed.value.status == STATUS_INSUFFICIENT_RESOURCES
    assert driver.kept == []
    assert left(bench) == []


# DMA


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Copies that Python makes for DMA."""
    made: list[str] = []
    for name in ("copy_in", "copy_out"):
        original = getattr(DmaAdapter, name)

        def note(*arguments: object, name: str = name, original: object = original) -> None:
            made.append(name)
            assert callable(original)
            original(*arguments)

        monkeypatch.setattr(DmaAdapter, name, note)
    return made


@pytest.mark.parametrize("io_type", [DeviceIoType.BUFFERED, DeviceIoType.DIRECT])
@pytest.mark.covers(
    "WdfDmaTransactionInitializeUsingRequest", "WdfDmaTransactionExecute", "EvtProgramDma"
)
def test_device_transfers_a_requests_buffer_where_it_is(
    bench: Bench, copies: list[str], io_type: DeviceIoType
) -> None:
    """edu takes 100 ms for each transfer, and interrupts when it is done."""
    driver = EduDma()
    data = pattern(1800)
    with driver.load(bench, in_guest(io_type)).open() as file:
        write = file.write_async(data)
        (block,) = left(bench)
        assert write.result(TIMEOUT) == 1800
        assert driver.addresses == [block.address + at for at in (0, 700, 1400)]
        assert driver.most == 1
        driver.addresses.clear()
        read = file.read_async(1800)
        (block,) = left(bench)
        assert read.result(TIMEOUT) == 1800
        assert driver.addresses == [block.address + at for at in (0, 700, 1400)]
        assert read.output == data
    assert copies == []
    assert left(bench) == []


def test_device_transfers_an_applications_buffer_where_it_is(
    bench: Bench, copies: list[str]
) -> None:
    """A buffer that the application has placed itself, without a setting of the driver."""
    memory = bench.kernel.memory
    out, back = memory.allocate(700, "out"), memory.allocate(700, "back")
    out.view[:] = pattern(700)
    driver = EduDma()
    with driver.load(bench).open() as file:
        file.write(out.view, timeout=TIMEOUT)
        assert file.read_async(back.view).result(TIMEOUT) == 700
    assert back.view == out.view
    assert driver.addresses == [out.address, back.address]
    assert copies == []
    out.free()
    back.free()


def test_buffer_beyond_the_devices_reach_goes_through_map_registers(
    bench: Bench, copies: list[str]
) -> None:
    device = bench.load().device
    memory = bench.kernel.memory
    low = memory.allocate(PAGE_SIZE, "low", alignment=PAGE_SIZE)
    width = low.address.bit_length()
    far = memory.allocate(PAGE_SIZE, "far", alignment=1 << width)
    low.free()
    assert far.address >= 1 << width
    config = DmaEnablerConfig(DmaProfile.SCATTER_GATHER, PAGE_SIZE, address_width_override=width)
    transaction = DmaTransaction.create(DmaEnabler.create(device, config))
    far.view[:] = pattern(PAGE_SIZE)
    found: list[int] = []

    def program(t: object, d: object, c: object, direction: object, sg_list: object) -> bool:
        found.extend(each.address for each in sg_list.elements)  # type: ignore[attr-defined]
        return True

    mdl = Mdl(far.view)
    transaction.initialize_using_offset(program, WRITE, mdl, 0, PAGE_SIZE)
    assert transaction.execute() == STATUS_SUCCESS
    assert transaction.dma_completed() == (True, STATUS_SUCCESS)
    assert all(each < 1 << width for each in found)
    assert copies == ["copy_in"]
    mdl.end()
    far.free()


@pytest.mark.covers("WdfMemoryCreate")
@pytest.mark.parametrize("profile", [DmaProfile.SCATTER_GATHER, DmaProfile.PACKET])
def test_drivers_own_memory_is_transferred_where_it_is(
    bench: Bench, copies: list[str], profile: DmaProfile
) -> None:
    edu = bench.load(Plan(init=in_guest()))
    memory = Memory.create(
        ObjectAttributes(parent_object=edu.device), PoolType.NON_PAGED_NX, "Test", 3 * PAGE_SIZE
    )
    view = memory.get_buffer()
    address = bench.kernel.memory.address_of(view)
    assert address is not None
    enabler = DmaEnabler.create(edu.device, DmaEnablerConfig(profile, 4 * PAGE_SIZE))
    lists: list[list[tuple[int, int]]] = []

    def program(t: object, d: object, c: object, direction: object, sg_list: object) -> bool:
        lists.append([(each.address, each.length) for each in sg_list.elements])  # type: ignore[attr-defined]
        return True

    def copy(source: int, target: int, command: int) -> None:
        for offset, value in ((0x80, source), (0x88, target), (0x90, 3000), (0x98, command)):
            edu.registers.write64(offset, value)
        while edu.registers.read64(0x98) & 1:
            pass

    view[:3000] = pattern(3000)
    for direction, at in ((WRITE, 0), (READ, 5000)):
        transaction = DmaTransaction.create(enabler)
        transaction.initialize_using_offset(program, direction, Mdl(view), at, 3000)
        assert transaction.execute() == STATUS_SUCCESS
        ((where, length),) = lists[-1]
        assert (where, length) == (address + at, 3000)
        if direction == WRITE:
            copy(where, 0x40000, 1)
        else:
            copy(0x40000, where, 3)
        assert transaction.dma_completed() == (True, STATUS_SUCCESS)
        transaction.delete()
    assert view[5000:8000] == pattern(3000)
    assert copies == []


def test_two_transfers_of_guest_memory_share_a_scatter_gather_adapter(bench: Bench) -> None:
    """They take no map registers; with a packet profile the second one waits for the first."""
    programmed: list[object] = []

    def program(t: object, *_: object) -> bool:
        programmed.append(t)
        return True

    for profile, at_once in ((DmaProfile.SCATTER_GATHER, 2), (DmaProfile.PACKET, 1)):
        device = bench.load(Plan(init=in_guest())).device
        enabler = DmaEnabler.create(device, DmaEnablerConfig(profile, 4 * PAGE_SIZE))
        block = bench.kernel.memory.allocate(4 * PAGE_SIZE, "test")
        pair = [DmaTransaction.create(enabler) for _ in range(2)]
        for each in pair:
            mdl = Mdl(block.view)
            each.initialize_using_offset(program, WRITE, mdl, 0, 4 * PAGE_SIZE)
            assert each.execute() == STATUS_SUCCESS
        assert len(programmed) == at_once
        assert pair[0].dma_completed() == (True, STATUS_SUCCESS)
        assert programmed == pair
        assert pair[1].dma_completed() == (True, STATUS_SUCCESS)
        programmed.clear()
        for each in pair:
            each.delete()
        bench.close()
        block.free()


@pytest.mark.mistake("MdlAfterReqCompletedRead")
def test_transfer_into_a_buffer_whose_request_is_complete_is_a_violation(bench: Bench) -> None:
    made: list[DmaTransaction] = []

    def handle(queue: object, request: Request) -> None:
        enabler = DmaEnabler.create(
            request.device, DmaEnablerConfig(DmaProfile.SCATTER_GATHER, PAGE_SIZE)
        )
        transaction = DmaTransaction.create(enabler)
        transaction.initialize_using_request(request, lambda *_: True, READ)
        transaction.execute()
        made.append(transaction)
        request.complete_with_information(STATUS_SUCCESS, 4)

    driver = Answering(bench, in_guest())
    driver.handle = handle  # type: ignore[method-assign]
    with driver.load().open() as file:
        file.read(4, timeout=TIMEOUT)
        made[0].dma_completed()
        assert bench.violation().rule == "MdlAfterReqCompletedRead"
        made[0].release()
