# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Contexts and pool in guest memory, which Python and code in the guest share."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.status import STATUS_DELETE_PENDING, STATUS_INSUFFICIENT_RESOURCES
from pydriver.wdf import (
    Device,
    DeviceInit,
    Dpc,
    DpcConfig,
    Driver,
    DriverConfig,
    GenericObject,
    IoQueueConfig,
    IoQueueDispatchType,
    LookasideList,
    Memory,
    ObjectAttributes,
    Request,
)
from pydriver.wdf.memory.memory import PoolType
from tests.harness.bench import TIMEOUT, Bench, Plan


class Counters(ctypes.Structure):
    """A context as C declares it."""

    _fields_ = (("interrupts", ctypes.c_uint32), ("bytes", ctypes.c_uint64))


class Words(ctypes.Union):
    _fields_ = (("word", ctypes.c_uint32), ("bytes", ctypes.c_uint8 * 4))


@dataclass
class Plain:
    interrupts: int = 0


def in_guest(init: DeviceInit) -> None:
    init.guest_memory = True


def contexts(bench: Bench) -> list[str]:
    return [each.tag for each in bench.kernel.memory.blocks if each.tag.startswith("context")]


def address_of(bench: Bench, context: ctypes.Structure | ctypes.Union) -> int | None:
    return bench.kernel.memory.address_of(memoryview(context).cast("B"))


def load(bench: Bench, **more: object) -> Device:
    return bench.load(Plan(init=in_guest, **more)).device  # type: ignore[arg-type]


@pytest.mark.covers("WdfObjectGetTypedContextWorker", "WDF_OBJECT_ATTRIBUTES.ContextTypeInfo")
def test_structure_as_context_is_seen_by_python_and_the_processor(bench: Bench) -> None:
    device = load(bench, attributes=ObjectAttributes(context_type=Counters))
    context = device.get_typed_context(Counters)
    assert (context.interrupts, context.bytes) == (0, 0)
    address = address_of(bench, context)
    assert address is not None
    context.interrupts = 7
    with bench.kernel.borrowed() as link:
        assert link.read32(address + Counters.interrupts.offset) == 7
        link.write64(address + Counters.bytes.offset, 1 << 40)
        assert link.read64(address + Counters.bytes.offset) == 1 << 40
    assert context.bytes == 1 << 40
    assert device.context_get_object(context) is device


@pytest.mark.covers("WdfObjectAllocateContext")
def test_each_context_has_a_block_of_its_own_until_its_object_is_destroyed(bench: Bench) -> None:
    made = GenericObject.create(
        ObjectAttributes(parent_object=load(bench), context_type=Plain),
    )
    _, first = made.allocate_context(ObjectAttributes(context_type=Counters))
    _, second = made.allocate_context(ObjectAttributes(context_type=Words))
    assert made.get_typed_context(Plain) == Plain()
    assert contexts(bench) == ["context Counters", "context Words"]
    assert address_of(bench, first) != address_of(bench, second)
    made.reference()
    made.delete()
    first.interrupts = 1
    assert contexts(bench) == ["context Counters", "context Words"]
    made.dereference()
    assert contexts(bench) == []


def test_context_is_there_in_the_destroy_callback(bench: Bench) -> None:
    found: list[int] = []
    made = GenericObject.create(
        ObjectAttributes(
            parent_object=load(bench),
            context_type=Counters,
            evt_destroy_callback=lambda each: found.append(
                each.get_typed_context(Counters).interrupts
            ),
        )
    )
    made.get_typed_context(Counters).interrupts = 5
    made.delete()
    assert found == [5]
    assert contexts(bench) == []


@pytest.mark.covers("WdfDeviceInitSetRequestAttributes")
def test_contexts_of_requests_end_with_their_requests(bench: Bench) -> None:
    found: list[int | None] = []

    def handle(queue: object, request: Request) -> None:
        found.append(address_of(bench, request.get_typed_context(Counters)))
        assert contexts(bench) == ["context Counters"]
        request.complete(0)

    def init(init: DeviceInit) -> None:
        in_guest(init)
        init.set_request_attributes(ObjectAttributes(context_type=Counters))

    queue = IoQueueConfig(IoQueueDispatchType.SEQUENTIAL, default_queue=True, evt_io_default=handle)
    with bench.load(Plan(init=init, queues=[queue])).device.open() as file:
        file.write(b"data", timeout=TIMEOUT)
    assert None not in found
    assert contexts(bench) == []


@pytest.mark.parametrize("guest_memory", [None, False])
def test_structure_is_in_this_process_unless_the_driver_asks(
    bench: Bench, *, guest_memory: bool | None
) -> None:
    def init(init: DeviceInit) -> None:
        init.guest_memory = guest_memory

    plan = Plan(init=init, attributes=ObjectAttributes(context_type=Counters))
    device = bench.load(plan).device
    assert address_of(bench, device.get_typed_context(Counters)) is None
    memory = Memory.create(
        ObjectAttributes(parent_object=device), PoolType.NON_PAGED_NX, "Test", 10
    )
    assert bench.kernel.memory.address_of(memory.get_buffer()) is None


def test_driver_decides_for_itself_and_for_its_devices(bench: Bench) -> None:
    found: list[Device] = []

    def entry(driver_object: object) -> object:
        driver_object.guest_memory = True  # type: ignore[attr-defined]
        return Driver.create(
            driver_object,  # type: ignore[arg-type]
            DriverConfig(evt_driver_device_add=lambda _, init: found.append(Device.create(init))),
            ObjectAttributes(context_type=Counters),
        )

    driver = bench.system.load_driver(entry, "guest")
    bench.drivers.append(driver)  # type: ignore[arg-type]
    driver.add_device(bench.functions[0])  # type: ignore[attr-defined]
    assert address_of(bench, driver.get_typed_context(Counters)) is not None  # type: ignore[attr-defined]
    assert found[0].guest_memory is bench.kernel.memory
    driver.unload()  # type: ignore[attr-defined]
    assert contexts(bench) == []


def test_creation_that_fails_leaves_no_context(bench: Bench) -> None:
    device = load(bench)
    parent = GenericObject.create(ObjectAttributes(parent_object=device))
    parent.reference()
    parent.delete()
    with pytest.raises(NtStatusError) as failed:
        GenericObject.create(ObjectAttributes(parent_object=parent, context_type=Counters))
    assert failed.value.status == STATUS_DELETE_PENDING
    parent.dereference()
    assert contexts(bench) == []


class Huge(ctypes.Structure):
    _fields_ = (("bytes", ctypes.c_uint8 * (1 << 30)),)


def creations(device: Device) -> list[Callable[[], object]]:
    size = 1 << 30
    under = ObjectAttributes(parent_object=device)
    lookaside = LookasideList.create(under, size)
    return [
        lambda: Dpc.create(DpcConfig(), ObjectAttributes(parent_object=device, context_type=Huge)),
        lambda: Memory.create(under, PoolType.NON_PAGED_NX, "Test", size),
        lambda: Memory.create_from_lookaside(lookaside),
    ]


def test_creation_fails_when_guest_memory_is_exhausted(bench: Bench) -> None:
    device = load(bench)
    before = bench.kernel.memory.blocks
    for create in creations(device):
        with pytest.raises(NtStatusError) as failed:
            create()
        assert failed.value.status == STATUS_INSUFFICIENT_RESOURCES
    assert bench.kernel.memory.blocks == before


@pytest.mark.parametrize("in_caller_context", [False, True])
def test_request_is_failed_when_there_is_no_guest_memory_for_its_context(
    bench: Bench, *, in_caller_context: bool
) -> None:
    presented: list[Request] = []

    def init(init: DeviceInit) -> None:
        in_guest(init)
        init.set_request_attributes(ObjectAttributes(context_type=Huge))
        if in_caller_context:
            init.set_io_in_caller_context_callback(lambda _, request: presented.append(request))

    queue = IoQueueConfig(
        IoQueueDispatchType.SEQUENTIAL,
        default_queue=True,
        evt_io_default=lambda _, request: presented.append(request),
    )
    device = bench.load(Plan(init=init, queues=[queue])).device
    before = bench.kernel.memory.blocks
    with device.open() as file:
        irp = file.write_async(b"data")
        assert irp.status == STATUS_INSUFFICIENT_RESOURCES
    assert presented == []
    assert bench.kernel.memory.blocks == before


def test_context_that_finds_no_guest_memory_leaves_no_callbacks(bench: Bench) -> None:
    called: list[object] = []
    made = GenericObject.create(ObjectAttributes(parent_object=load(bench)))
    with pytest.raises(NtStatusError) as failed:
        made.allocate_context(
            ObjectAttributes(
                context_type=Huge,
                evt_cleanup_callback=called.append,
                evt_destroy_callback=called.append,
            )
        )
    assert failed.value.status == STATUS_INSUFFICIENT_RESOURCES
    made.delete()
    assert called == []


# Pool


@pytest.mark.covers("WdfMemoryCreate")
@pytest.mark.parametrize("pool_type", [PoolType.NON_PAGED_NX, PoolType.PAGED])
def test_pool_of_a_memory_object_is_given_back_with_its_last_reference(
    bench: Bench, pool_type: PoolType
) -> None:
    memory = Memory.create(ObjectAttributes(parent_object=load(bench)), pool_type, "Test", 100)
    address = bench.kernel.memory.address_of(memory.get_buffer())
    (block,) = [each for each in bench.kernel.memory.blocks if each.tag == "pool 'Test'"]
    assert block.address == address
    memory.copy_from_buffer(0, b"data")
    assert block.view[:4] == b"data"
    memory.reference()
    memory.delete()
    assert block in bench.kernel.memory.blocks
    memory.dereference()
    assert block not in bench.kernel.memory.blocks


@pytest.mark.covers("WdfLookasideListCreate", "WdfMemoryCreateFromLookaside")
def test_blocks_of_a_lookaside_list_go_with_the_list(bench: Bench) -> None:
    device = load(bench)
    memory = bench.kernel.memory
    lookaside = LookasideList.create(ObjectAttributes(parent_object=device), 100, pool_tag="Look")
    first = Memory.create_from_lookaside(lookaside)
    address = memory.address_of(first.get_buffer())
    assert address is not None
    first.delete()
    second = Memory.create_from_lookaside(lookaside)
    assert memory.address_of(second.get_buffer()) == address
    second.delete()
    assert [each.address for each in memory.blocks if "Look" in each.tag] == [address]
    lookaside.delete()
    assert [each for each in memory.blocks if "Look" in each.tag] == []
