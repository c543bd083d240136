# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Memory objects: of pool, of the driver's buffers, of lookaside lists, and of requests."""

from collections.abc import Callable
from typing import Any

import pytest

from pydriver.ke import BugCheck, NtStatusError
from pydriver.ke.bugcheck import (
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    WDF_VIOLATION,
)
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_ACCESS_VIOLATION,
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_PATH_INVALID,
    STATUS_SUCCESS,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
)
from pydriver.wdf import (
    IoQueueConfig,
    IoQueueDispatchType,
    LookasideList,
    Mdl,
    Memory,
    ObjectAttributes,
    PoolType,
    Request,
    ctl_code,
)
from pydriver.wdf.object.object import Object, Phase
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, Signal

NON_PAGED = PoolType.NON_PAGED_NX


def status_of(call: Callable[[], object]) -> int:
    with pytest.raises(NtStatusError) as failed:
        call()
    return failed.value.status


def bug_check_of(call: Callable[[], object]) -> BugCheck:
    with pytest.raises(BugCheck) as stopped:
        call()
    return stopped.value


def below(parent: Object) -> ObjectAttributes:
    return ObjectAttributes(parent_object=parent)


@pytest.mark.covers("WdfMemoryCreate", "WdfMemoryGetBuffer")
@pytest.mark.parametrize("pool_type", list(PoolType))
def test_memory_has_a_buffer_of_zeros(bench: Bench, pool_type: PoolType) -> None:
    memory = Memory.create(below(bench.load().device), pool_type, "Tst1", 100)
    buffer = memory.get_buffer()
    assert bytes(buffer) == bytes(100)
    buffer[:3] = b"abc"
    assert bytes(memory.get_buffer()[:3]) == b"abc"
    assert memory.pool_tag == "Tst1"


@pytest.mark.covers("WdfMemoryCreate")
def test_memory_without_a_tag_has_the_drivers(bench: Bench) -> None:
    assert Memory.create(below(bench.load().device), NON_PAGED, "", 1).pool_tag == "test"


@pytest.mark.covers("WdfMemoryCreate", "WdfMemoryCreatePreallocated", "WdfLookasideListCreate")
def test_memory_needs_a_parent_and_a_size(bench: Bench) -> None:
    attributes = below(bench.load().device)
    none = ObjectAttributes()
    for create, status in (
        (lambda: Memory.create(attributes, NON_PAGED, "", 0), STATUS_INVALID_PARAMETER),
        (lambda: Memory.create_preallocated(attributes, bytearray()), STATUS_INVALID_PARAMETER),
        (lambda: LookasideList.create(attributes, 0), STATUS_INVALID_PARAMETER),
        (lambda: Memory.create(none, NON_PAGED, "", 1), STATUS_WDF_PARENT_NOT_SPECIFIED),
        (
            lambda: Memory.create_preallocated(none, bytearray(1)),
            STATUS_WDF_PARENT_NOT_SPECIFIED,
        ),
        (lambda: LookasideList.create(none, 1), STATUS_WDF_PARENT_NOT_SPECIFIED),
    ):
        assert status_of(create) == status


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.covers("WdfMemoryCreate")
def test_paged_memory_is_refused_above_apc_level(bench: Bench) -> None:
    device = bench.load().device
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    status = status_of(lambda: Memory.create(below(device), PoolType.PAGED, "", 1))
    Memory.create(below(device), NON_PAGED, "", 1)
    bench.kernel.lower_irql(old)
    assert status == STATUS_INVALID_DEVICE_REQUEST
    assert bench.violation().rule == "KmdfIrql"


@pytest.mark.mistake("KmdfIrql", 0xC4)
@pytest.mark.covers("WdfMemoryCreate")
def test_nonpaged_pool_is_not_allocated_above_dispatch_level(doomed: Bench) -> None:
    device = doomed.load().device
    doomed.kernel.raise_irql(DISPATCH_LEVEL + 1)
    stopped = bug_check_of(lambda: Memory.create(below(device), NON_PAGED, "", 64))
    assert stopped.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.parameters == (2, DISPATCH_LEVEL + 1, NON_PAGED, 64)
    assert stopped.rule == "KmdfIrql"


@pytest.mark.mistake("KmdfIrql", 0xC4)
@pytest.mark.covers("WdfMemoryCreateFromLookaside", "WdfLookasideListCreate")
def test_paged_list_gives_no_memory_at_dispatch_level(doomed: Bench) -> None:
    lookaside = LookasideList.create(below(doomed.load().device), 32, PoolType.PAGED)
    doomed.kernel.raise_irql(DISPATCH_LEVEL)
    stopped = bug_check_of(lambda: Memory.create_from_lookaside(lookaside))
    assert stopped.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.parameters == (1, DISPATCH_LEVEL, PoolType.PAGED, 32)
    assert stopped.rule == "KmdfIrql"


@pytest.mark.mistake("KmdfIrql", 0xD1)
@pytest.mark.covers("WdfMemoryCopyToBuffer")
def test_paged_memory_is_not_touched_at_dispatch_level(doomed: Bench) -> None:
    memory = Memory.create(below(doomed.load().device), PoolType.PAGED, "", 16)
    doomed.kernel.raise_irql(DISPATCH_LEVEL)
    stopped = bug_check_of(lambda: memory.copy_to_buffer(0, bytearray(4)))
    assert (stopped.code, stopped.rule) == (DRIVER_IRQL_NOT_LESS_OR_EQUAL, "KmdfIrql")
    assert stopped.parameters[1:3] == (DISPATCH_LEVEL, 0)


@pytest.mark.covers("WdfMemoryCreate")
def test_paged_memory_is_deleted_at_passive_level(bench: Bench) -> None:
    levels: list[int] = []
    done = Signal()

    def cleanup(_: object) -> None:
        levels.append(bench.kernel.irql())
        done.set()

    attributes = ObjectAttributes(parent_object=bench.load().device, evt_cleanup_callback=cleanup)
    memory = Memory.create(attributes, PoolType.PAGED, "", 1)
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    memory.delete()
    bench.kernel.lower_irql(old)
    done.wait("cleanup")
    assert levels == [PASSIVE_LEVEL]


@pytest.mark.covers("WdfMemoryCreate", "EvtDestroyCallback")
def test_buffer_lives_as_long_as_the_memory_object(bench: Bench) -> None:
    """An object that the driver does not delete is deleted with its parent."""
    memory = Memory.create(below(bench.load().device), NON_PAGED, "", 4)
    buffer = memory.get_buffer()
    memory.reference()
    memory.delete()
    buffer[0] = 1
    memory.dereference()
    with pytest.raises(ValueError, match="released"):
        buffer[0] = 2
    left = Memory.create(below(bench.drivers[0]), NON_PAGED, "", 4)
    assert bench.unload_and_look() == []
    assert left.phase is Phase.DESTROYED


# The driver's buffers


@pytest.mark.covers("WdfMemoryCreatePreallocated", "WdfMemoryAssignBuffer")
def test_preallocated_memory_is_the_drivers_buffer(bench: Bench) -> None:
    mine, other = bytearray(b"mine"), bytearray(b"others")
    memory = Memory.create_preallocated(below(bench.load().device), mine)
    memory.get_buffer()[0:1] = b"M"
    assert mine == b"Mine"
    assert status_of(lambda: memory.assign_buffer(bytearray())) == STATUS_INVALID_PARAMETER
    memory.assign_buffer(other)
    assert bytes(memory.get_buffer()) == b"others"
    memory.delete()
    mine[0] = other[0] = 0


@pytest.mark.mistake("INVALID_HANDLE", 0x10D)
@pytest.mark.covers("WdfMemoryAssignBuffer")
def test_memory_of_pool_is_given_no_other_buffer(doomed: Bench) -> None:
    memory = Memory.create(below(doomed.load().device), NON_PAGED, "", 4)
    stopped = bug_check_of(lambda: memory.assign_buffer(bytearray(4)))
    assert (stopped.code, stopped.parameters) == (WDF_VIOLATION, (5, id(memory), 0x1022, 0))


@pytest.mark.mistake("REQUIRED_PARAMETER_IS_NULL", 0x10D)
@pytest.mark.covers("WdfMemoryCreatePreallocated")
def test_preallocated_buffer_is_required(doomed: Bench) -> None:
    attributes = below(doomed.load().device)
    stopped = bug_check_of(
        lambda: Memory.create_preallocated(attributes, None)  # type: ignore[arg-type]
    )
    assert (stopped.code, stopped.parameters[0]) == (WDF_VIOLATION, 4)


# Copies


@pytest.mark.covers("WdfMemoryCopyToBuffer", "WdfMemoryCopyFromBuffer")
def test_memory_is_copied_from_and_to_any_offset(bench: Bench) -> None:
    memory = Memory.create(below(bench.load().device), NON_PAGED, "", 10)
    memory.copy_from_buffer(7, b"xyz")
    memory.copy_from_buffer(0, b"abcdef", 2)
    target = bytearray(10)
    memory.copy_to_buffer(0, target)
    assert target == b"ab\0\0\0\0\0xyz"
    memory.copy_to_buffer(8, target, 2)
    assert target[:2] == b"yz"


@pytest.mark.covers("WdfMemoryCopyToBuffer")
@pytest.mark.parametrize(
    ("offset", "room", "length", "status"),
    [
        (0, 8, 0, STATUS_INVALID_PARAMETER),
        (10, 8, 1, STATUS_BUFFER_TOO_SMALL),
        (2**64, 8, 1, STATUS_BUFFER_TOO_SMALL),
        (9, 8, 2, STATUS_BUFFER_TOO_SMALL),
        (0, 8, 9, STATUS_INVALID_BUFFER_SIZE),
    ],
    ids=["nothing", "offset", "far offset", "source", "target"],
)
def test_copy_to_a_buffer_is_all_or_nothing(
    bench: Bench, offset: int, room: int, length: int, status: int
) -> None:
    memory = Memory.create(below(bench.load().device), NON_PAGED, "", 10)
    memory.copy_from_buffer(0, b"0123456789")
    target = bytearray(room)
    assert status_of(lambda: memory.copy_to_buffer(offset, target, length)) == status
    assert target == bytes(room)


@pytest.mark.covers("WdfMemoryCopyFromBuffer")
@pytest.mark.parametrize(
    ("offset", "have", "length", "status"),
    [
        (0, 8, 0, STATUS_INVALID_PARAMETER),
        (0, 8, 9, STATUS_BUFFER_TOO_SMALL),
        (10, 8, 1, STATUS_INVALID_BUFFER_SIZE),
        (9, 8, 2, STATUS_INVALID_BUFFER_SIZE),
        (2**64, 8, 1, STATUS_INVALID_BUFFER_SIZE),
    ],
    ids=["nothing", "source", "offset", "target", "far offset"],
)
def test_copy_from_a_buffer_is_all_or_nothing(
    bench: Bench, offset: int, have: int, length: int, status: int
) -> None:
    memory = Memory.create(below(bench.load().device), NON_PAGED, "", 10)
    source = b"x" * have
    assert status_of(lambda: memory.copy_from_buffer(offset, source, length)) == status
    assert bytes(memory.get_buffer()) == bytes(10)


# Lookaside lists


@pytest.mark.covers("WdfLookasideListCreate", "WdfMemoryCreateFromLookaside")
def test_deletion_returns_the_block_to_its_list(bench: Bench) -> None:
    device = bench.load().device
    lookaside = LookasideList.create(below(device), 64, memory_attributes=below(device))
    one = Memory.create_from_lookaside(lookaside)
    two = Memory.create_from_lookaside(lookaside)
    one.get_buffer()[:4] = b"left"
    assert len(one.get_buffer()) == len(two.get_buffer()) == 64
    assert one.parent is device
    one.delete()
    three = Memory.create_from_lookaside(lookaside)
    assert bytes(three.get_buffer()[:4]) == b"left"
    assert bytes(two.get_buffer()[:4]) == bytes(4)


@pytest.mark.covers("WdfMemoryCreateFromLookaside")
def test_memory_of_a_list_is_the_drivers_unless_its_attributes_say_whose(bench: Bench) -> None:
    device = bench.load().device
    lookaside = LookasideList.create(below(device), 8, pool_tag="Look")
    memory = Memory.create_from_lookaside(lookaside)
    assert memory.parent is device.driver
    assert memory.pool_tag == "Look"


@pytest.mark.covers("WdfLookasideListCreate")
def test_list_is_destroyed_after_the_last_memory(bench: Bench) -> None:
    device = bench.load().device
    lookaside = LookasideList.create(below(device), 8)
    memory = Memory.create_from_lookaside(lookaside)
    lookaside.delete()
    assert lookaside.phase is Phase.DISPOSED
    memory.get_buffer()[0] = 1
    memory.delete()
    assert lookaside.phase is Phase.DESTROYED


# Requests


def serve(bench: Bench, **callbacks: Callable[..., None]) -> Edu:
    config = IoQueueConfig(
        IoQueueDispatchType.SEQUENTIAL,
        default_queue=True,
        **callbacks,  # type: ignore[arg-type]
    )
    return bench.load(Plan(queues=[config]))


@pytest.mark.mistake("InputBufferAPI")
@pytest.mark.covers("WdfRequestRetrieveOutputMemory", "WdfRequestRetrieveOutputWdmMdl")
def test_memory_of_a_read_is_the_applications_buffer(bench: Bench) -> None:
    found: list[Any] = []

    def read(queue: object, request: Request, length: int) -> None:
        memory = request.retrieve_output_memory()
        mdl = request.retrieve_output_wdm_mdl()
        memory.copy_from_buffer(0, b"memory")
        mdl.get_virtual_address()[6:9] = b"mdl"
        again = request.retrieve_output_memory() is memory
        found.extend([again, mdl.get_byte_count(), len(memory.get_buffer())])
        for wrong in (request.retrieve_input_memory, request.retrieve_input_wdm_mdl):
            found.append(status_of(wrong))
        found.append((memory, mdl, memory.get_buffer()))
        request.complete_with_information(STATUS_SUCCESS, 9)

    with serve(bench, evt_io_read=read).device.open() as file:
        assert file.read(12, timeout=TIMEOUT) == b"memorymdl"
    assert found[:3] == [True, 12, 12]
    assert found[3:5] == [STATUS_INVALID_DEVICE_REQUEST] * 2
    assert {each.rule for each in bench.violations()} == {"InputBufferAPI"}
    memory, mdl, buffer = found[5]
    assert memory.phase is Phase.DESTROYED
    for touch in (mdl.get_byte_count, lambda: buffer[0]):
        with pytest.raises(ValueError, match="released"):
            touch()


@pytest.mark.mistake("OutputBufferAPI")
@pytest.mark.covers("WdfRequestRetrieveInputWdmMdl")
def test_mdl_of_a_write_describes_what_the_application_sends(bench: Bench) -> None:
    found: list[Any] = []

    def write(queue: object, request: Request, length: int) -> None:
        mdl = request.retrieve_input_wdm_mdl()
        found.append((mdl.get_byte_count(), bytes(mdl.get_virtual_address())))
        found.append(status_of(request.retrieve_output_wdm_mdl))
        request.complete_with_information(STATUS_SUCCESS, length)

    with serve(bench, evt_io_write=write).device.open() as file:
        file.write(b"described", timeout=TIMEOUT)
    assert found == [(9, b"described"), STATUS_INVALID_DEVICE_REQUEST]
    assert bench.violation().rule == "OutputBufferAPI"


@pytest.mark.covers("WdfRequestRetrieveInputMemory", "WdfMemoryCopyFromBuffer")
def test_memory_of_a_write_is_read_only(bench: Bench) -> None:
    found: list[Any] = []

    def write(queue: object, request: Request, length: int) -> None:
        memory = request.retrieve_input_memory()
        target = bytearray(length)
        memory.copy_to_buffer(0, target)
        found.append(bytes(target))
        found.append(status_of(lambda: memory.copy_from_buffer(0, b"no")))
        found.append(status_of(request.retrieve_output_memory))
        request.complete_with_information(STATUS_SUCCESS, length)

    with serve(bench, evt_io_write=write).device.open() as file:
        file.write(bytearray(b"data"), timeout=TIMEOUT)
    assert found == [b"data", STATUS_ACCESS_VIOLATION, STATUS_INVALID_DEVICE_REQUEST]
    assert bench.violation().rule == "OutputBufferAPI"


@pytest.mark.covers("WdfRequestRetrieveInputMemory", "WdfRequestRetrieveOutputMemory")
def test_memory_of_a_buffered_control_is_one_for_input_and_output(bench: Bench) -> None:
    def control(queue: object, request: Request, out: int, size: int, code: int) -> None:
        text = bytearray(size)
        request.retrieve_input_memory().copy_to_buffer(0, text)
        request.retrieve_output_memory().copy_from_buffer(0, bytes(reversed(text)))
        assert bytes(request.retrieve_input_memory().get_buffer()) == bytes(reversed(text))
        request.complete_with_information(STATUS_SUCCESS, out)

    with serve(bench, evt_io_device_control=control).device.open() as file:
        assert file.device_control(ctl_code(0x800), b"abc", 3, timeout=TIMEOUT) == b"cba"


@pytest.mark.covers("WdfRequestRetrieveInputMemory", "WdfObjectAllocateContext", "WdfObjectDelete")
def test_memory_of_a_request_takes_no_context_and_is_not_deletable(bench: Bench) -> None:
    statuses: list[int] = []

    def write(queue: object, request: Request, length: int) -> None:
        memory = request.retrieve_input_memory()
        context = ObjectAttributes(context_type=list)
        statuses.append(status_of(lambda: memory.allocate_context(context)))
        memory.delete()
        request.complete(STATUS_SUCCESS)

    with serve(bench, evt_io_write=write).device.open() as file:
        file.write(b"data", timeout=TIMEOUT)
    assert statuses == [STATUS_OBJECT_PATH_INVALID]
    assert bench.violation().rule == "ObjectNotDeletable"


@pytest.mark.mistake("VERIFIER_FATAL_ERROR", 0x10D)
@pytest.mark.covers("WdfRequestRetrieveOutputMemory", "WdfRequestComplete")
def test_request_is_not_completed_while_its_memory_is_referenced(doomed: Bench) -> None:
    kept: list[Request] = []

    def read(queue: object, request: Request, length: int) -> None:
        kept.append(request)
        request.retrieve_output_memory().reference("kept")
        request.complete(STATUS_SUCCESS)

    device = serve(doomed, evt_io_read=read).device
    with pytest.raises(BugCheck) as stopped:
        device.open().read(4, timeout=TIMEOUT)
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters == (3, id(kept[0]), 2, 0)
    assert "kept" in stopped.value.state.message


@pytest.mark.covers("WdfRequestRetrieveOutputMemory", "WdfRequestRetrieveInputMemory")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("Read", marks=pytest.mark.mistake("MemAfterReqCompletedRead", 0x10D)),
        pytest.param("Write", marks=pytest.mark.mistake("MemAfterReqCompletedWrite", 0x10D)),
        pytest.param("Ioctl", marks=pytest.mark.mistake("MemAfterReqCompletedIoctl", 0x10D)),
    ],
)
def test_memory_is_gone_when_its_request_is_complete(doomed: Bench, kind: str) -> None:
    kept: list[Memory] = []

    def any_request(queue: object, request: Request) -> None:
        output = kind != "Write"
        kept.append(request.retrieve_output_memory() if output else request.retrieve_input_memory())
        request.complete(STATUS_SUCCESS)

    with serve(doomed, evt_io_default=any_request).device.open() as file:
        if kind == "Read":
            file.read(4, timeout=TIMEOUT)
        elif kind == "Write":
            file.write(b"data", timeout=TIMEOUT)
        else:
            file.device_control(ctl_code(0x800), b"", 4, timeout=TIMEOUT)
        stopped = bug_check_of(kept[0].get_buffer)
    assert stopped.code == WDF_VIOLATION
    assert stopped.parameters == (5, id(kept[0]), Memory.fx_type, 0)
    assert stopped.rule == f"MemAfterReqCompleted{kind}"


@pytest.mark.covers("MmGetMdlByteCount", "MmGetMdlVirtualAddress")
def test_mdl_describes_a_buffer() -> None:
    data = bytearray(range(100))
    mdl = Mdl(data)
    assert mdl.get_byte_count() == 100
    mdl.get_virtual_address()[0] = 42
    assert data[0] == 42
    assert mdl.writable
    assert not Mdl(b"constant").writable
    assert mdl.offset_of(mdl.get_virtual_address()[30:]) == 30
