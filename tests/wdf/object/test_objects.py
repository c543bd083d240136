# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The object tree: contexts, parents, two-phase deletion, references, common buffers."""

from dataclasses import dataclass, field

import pytest

from pydriver.ke import BugCheck, NtStatusError
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_EXISTS,
    STATUS_OBJECT_NAME_INVALID,
    STATUS_SUCCESS,
    STATUS_WDF_EXECUTION_LEVEL_INVALID,
    STATUS_WDF_OBJECT_ATTRIBUTES_INVALID,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
    STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
)
from pydriver.wdf import (
    CommonBuffer,
    DmaEnabler,
    DmaEnablerConfig,
    DmaProfile,
    Dpc,
    DpcConfig,
    ExecutionLevel,
    ObjectAttributes,
    SpinLock,
    SynchronizationScope,
    WorkItem,
    WorkItemConfig,
)
from pydriver.wdf.object.object import Phase
from tests.harness.bench import Bench, Signal


@dataclass
class Counter:
    count: int = 0
    names: list[str] = field(default_factory=list)


@dataclass
class Other:
    value: int = 7


def test_context_is_made_of_its_type_and_found_by_it(bench: Bench) -> None:
    device = bench.load().device
    dpc = Dpc.create(DpcConfig(), ObjectAttributes(parent_object=device, context_type=Counter))
    context = dpc.get_typed_context(Counter)
    assert context == Counter()
    assert dpc.get_typed_context(Counter) is context
    assert dpc.get_typed_context(Other) is None


def test_context_is_allocated_once_for_each_type(bench: Bench) -> None:
    device = bench.load().device
    status, other = device.allocate_context(ObjectAttributes(context_type=Other))
    assert status == STATUS_SUCCESS
    assert device.get_typed_context(Other) is other
    again = device.allocate_context(ObjectAttributes(context_type=Other))
    assert again[0] == STATUS_OBJECT_NAME_EXISTS
    assert again[1] is other
    for attributes, status in (
        (ObjectAttributes(), STATUS_OBJECT_NAME_INVALID),
        (
            ObjectAttributes(context_type=Other, parent_object=device),
            STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
        ),
    ):
        with pytest.raises(NtStatusError) as wrong:
            device.allocate_context(attributes)
        assert wrong.value.status == status


@pytest.mark.parametrize(
    ("attributes", "status"),
    [
        (ObjectAttributes(), STATUS_WDF_PARENT_NOT_SPECIFIED),
        (
            ObjectAttributes(execution_level=ExecutionLevel.PASSIVE),
            STATUS_WDF_EXECUTION_LEVEL_INVALID,
        ),
        (
            ObjectAttributes(synchronization_scope=SynchronizationScope.DEVICE),
            STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
        ),
        (
            ObjectAttributes(execution_level=ExecutionLevel.INVALID),
            STATUS_WDF_OBJECT_ATTRIBUTES_INVALID,
        ),
    ],
    ids=["no parent", "level", "scope", "invalid"],
)
def test_attributes_are_checked(bench: Bench, attributes: ObjectAttributes, status: int) -> None:
    if status != STATUS_WDF_PARENT_NOT_SPECIFIED:
        attributes.parent_object = bench.load().device
    with pytest.raises(NtStatusError) as wrong:
        Dpc.create(DpcConfig(), attributes)
    assert wrong.value.status == status


def test_parent_of_a_dpc_must_be_below_a_device(bench: Bench) -> None:
    driver = bench.load().device.driver
    with pytest.raises(NtStatusError) as wrong:
        Dpc.create(DpcConfig(), ObjectAttributes(parent_object=driver))
    assert wrong.value.status == STATUS_INVALID_DEVICE_REQUEST
    SpinLock.create(ObjectAttributes(parent_object=driver)).delete()


def test_work_item_needs_a_callback(bench: Bench) -> None:
    with pytest.raises(NtStatusError) as wrong:
        WorkItem.create(WorkItemConfig(), ObjectAttributes(parent_object=bench.load().device))
    assert wrong.value.status == STATUS_INVALID_PARAMETER


def test_reference_keeps_an_object_after_its_cleanup(bench: Bench) -> None:
    order: list[str] = []
    attributes = ObjectAttributes(
        parent_object=bench.load().device,
        context_type=Counter,
        evt_cleanup_callback=lambda dpc: order.append("cleanup"),
        evt_destroy_callback=lambda dpc: order.append("destroy"),
    )
    dpc = Dpc.create(DpcConfig(), attributes)
    dpc.reference()
    dpc.delete()
    assert order == ["cleanup"]
    assert dpc.get_typed_context(Counter) is not None
    dpc.dereference()
    assert order == ["cleanup", "destroy"]


def test_device_is_cleaned_up_after_its_children(bench: Bench) -> None:
    order: list[str] = []
    device = bench.load().device

    def attributes(name: str, parent: object) -> ObjectAttributes:
        return ObjectAttributes(
            parent_object=parent,  # type: ignore[arg-type]
            evt_cleanup_callback=lambda _: order.append(f"cleanup {name}"),
            evt_destroy_callback=lambda _: order.append(f"destroy {name}"),
        )

    one = Dpc.create(DpcConfig(), attributes("one", device))
    Dpc.create(DpcConfig(), attributes("below one", one))
    WorkItem.create(WorkItemConfig(lambda item: None), attributes("two", device))
    bench.close()
    assert order == [
        *("cleanup below one", "cleanup one", "cleanup two"),
        *("destroy below one", "destroy one", "destroy two"),
    ]


def test_object_that_waits_for_its_callbacks_is_deleted_at_passive_level(bench: Bench) -> None:
    levels: list[int] = []
    cleaned = Signal()

    def cleanup(_: object) -> None:
        levels.append(bench.kernel.irql())
        cleaned.set()

    dpc = Dpc.create(
        DpcConfig(),
        ObjectAttributes(parent_object=bench.load().device, evt_cleanup_callback=cleanup),
    )
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    dpc.delete()
    bench.kernel.lower_irql(old)
    cleaned.wait()
    assert levels == [PASSIVE_LEVEL]


def test_work_item_may_delete_itself(bench: Bench) -> None:
    cleaned = Signal()
    item = WorkItem.create(
        WorkItemConfig(lambda item: item.delete()),
        ObjectAttributes(
            parent_object=bench.load().device,
            evt_cleanup_callback=lambda item: cleaned.set(),
        ),
    )
    item.enqueue()
    cleaned.wait()


def test_driver_cannot_delete_what_the_framework_owns(bench: Bench) -> None:
    device = bench.load().device
    device.delete()
    assert device.phase is Phase.ALIVE
    found = bench.violation()
    assert (found.rule, found.subject) == ("ObjectNotDeletable", str(device))


@pytest.mark.mistake("INVALID_HANDLE", 0x10D)
def test_destroyed_object_is_an_invalid_handle(doomed: Bench) -> None:
    dpc = Dpc.create(DpcConfig(), ObjectAttributes(parent_object=doomed.load().device))
    dpc.delete()
    with pytest.raises(BugCheck) as stopped:
        dpc.enqueue()
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters == (5, id(dpc), Dpc.fx_type, 0)
    assert "WdfDpcEnqueue" in stopped.value.state.message


def test_last_reference_of_a_living_object_cannot_be_dropped(doomed: Bench) -> None:
    device = doomed.load().device
    with pytest.raises(BugCheck) as stopped:
        device.dereference()
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 7)


def test_common_buffer_is_guest_memory_that_the_device_can_reach(bench: Bench) -> None:
    """`edu` copies from it and back, through its buffer at 0x40000."""
    edu = bench.load()
    enabler = DmaEnabler.create(edu.device, DmaEnablerConfig(DmaProfile.PACKET, 4096))
    buffer = CommonBuffer.create(enabler, 8192)
    view = buffer.get_aligned_virtual_address()
    assert bytes(view) == bytes(8192)
    assert buffer.get_aligned_logical_address() % 4096 == 0
    view[:5] = b"hello"

    def copy(source: int, destination: int, command: int) -> None:
        for offset, value in ((0x80, source), (0x88, destination), (0x90, 5), (0x98, command)):
            edu.registers.write64(offset, value)
        while edu.registers.read64(0x98) & 1:
            pass

    copy(buffer.logical_address, 0x40000, 0b01)
    copy(0x40000, buffer.logical_address + 4096, 0b11)
    assert bytes(view[4096:4101]) == b"hello"
    assert bytes(buffer.pointer[4096 + i] for i in range(5)) == b"hello"


def test_common_buffer_gives_its_memory_back(bench: Bench) -> None:
    edu = bench.load()
    enabler = DmaEnabler.create(edu.device, DmaEnablerConfig(DmaProfile.PACKET, 4096))
    addresses = set()
    for _ in range(100):
        buffer = CommonBuffer.create(enabler, 1 << 20)
        addresses.add(buffer.logical_address)
        buffer.delete()
    assert len(addresses) == 1
    with pytest.raises(NtStatusError) as exhausted:
        CommonBuffer.create(enabler, 1 << 40)
    assert exhausted.value.status == STATUS_INSUFFICIENT_RESOURCES
