# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Presentation locks of devices and queues, taken by the driver and by the framework."""

import threading
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from pydriver.ke import BugCheck, KEvent
from pydriver.ke.bugcheck import (
    ATTEMPTED_SWITCH_FROM_DPC,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    WDF_VIOLATION,
)
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.wdf import (
    Device,
    Dpc,
    DpcConfig,
    ExecutionLevel,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    SpinLock,
    SynchronizationScope,
    WaitLock,
    WorkItem,
    WorkItemConfig,
)
from pydriver.wdf.sync.serialization import Presenting
from tests.harness.bench import TIMEOUT, Bench, Signal, held_elsewhere
from tests.harness.serialized import load_device

FOREVER = int(-TIMEOUT * 10_000_000)
MANUAL = IoQueueConfig(IoQueueDispatchType.MANUAL)
LEVELS = {ExecutionLevel.DISPATCH: DISPATCH_LEVEL, ExecutionLevel.PASSIVE: PASSIVE_LEVEL}


def presenting(bench: Bench, owner: str, level: ExecutionLevel) -> Presenting:
    """A device of scope Device, or a queue of scope Queue."""
    if owner == "device":
        return load_device(bench, SynchronizationScope.DEVICE, level)
    device = load_device(bench, SynchronizationScope.QUEUE, level)
    return IoQueue.create(device, IoQueueConfig(IoQueueDispatchType.MANUAL))


@pytest.mark.covers("WdfObjectAcquireLock", "WdfObjectReleaseLock")
@pytest.mark.parametrize("owner", ["device", "queue"])
@pytest.mark.parametrize("level", list(LEVELS))
def test_lock_of_a_device_or_a_queue_is_taken_at_the_level_of_its_callbacks(
    bench: Bench, owner: str, level: ExecutionLevel
) -> None:
    kernel = bench.kernel
    target = presenting(bench, owner, level)
    lock = target.serialization_lock
    assert lock is not None
    target.acquire_lock()
    assert lock.held_here
    assert kernel.irql() == LEVELS[level]
    assert kernel.current.critical_regions == (level is ExecutionLevel.PASSIVE)
    target.release_lock()
    assert not lock.held_here
    assert (kernel.irql(), kernel.current.critical_regions) == (PASSIVE_LEVEL, 0)


@pytest.mark.covers("WdfObjectAcquireLock", "WdfObjectReleaseLock")
@pytest.mark.parametrize("level", list(LEVELS))
def test_lock_of_a_device_keeps_its_serialized_callback_out(
    boot: Callable[..., Bench], level: ExecutionLevel
) -> None:
    bench = boot(2)
    kernel = bench.kernel
    device = load_device(bench, SynchronizationScope.DEVICE, level)
    order: list[str] = []
    done = Signal()
    kernel.current.home = kernel.processors[1]
    device.acquire_lock()

    def start() -> None:
        kernel.current.home = kernel.processors[0]
        attributes = ObjectAttributes(parent_object=device)

        def callback(each: object) -> None:
            order.append("callback")
            done.set()

        if level is ExecutionLevel.DISPATCH:
            Dpc.create(DpcConfig(callback), attributes).enqueue()
        else:
            WorkItem.create(WorkItemConfig(callback), attributes).enqueue()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join(TIMEOUT)
    for _ in range(100):
        kernel.access.sync()
    order.append("released")
    device.release_lock()
    done.wait("the callback")
    assert order == ["released", "callback"]


@pytest.mark.mistake("INVALID_LOCK_OPERATION", 0x10D)
@pytest.mark.covers("WdfObjectAcquireLock", "WdfObjectReleaseLock")
@pytest.mark.parametrize("call", ["acquire_lock", "release_lock"])
@pytest.mark.parametrize("kind", ["device without scope", "queue without scope", "DPC", "lock"])
def test_object_without_a_presentation_lock_is_an_invalid_lock_operation(
    doomed: Bench, call: str, kind: str
) -> None:
    device = load_device(doomed, queue=MANUAL)
    attributes = ObjectAttributes(parent_object=device)
    target = {
        "device without scope": device,
        "queue without scope": device.queues[0],
        "DPC": Dpc.create(DpcConfig(None), attributes),
        "lock": WaitLock.create(attributes),
    }[kind]
    with pytest.raises(BugCheck) as stopped:
        getattr(target, call)()
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters[:3] == (0xB, id(target), 0)


@pytest.mark.mistake("RECURSIVE_LOCK", 0x10D)
@pytest.mark.covers("WdfObjectAcquireLock")
@pytest.mark.parametrize("owner", ["device", "queue"])
@pytest.mark.parametrize("level", list(LEVELS))
def test_presentation_lock_entered_twice_is_a_recursive_lock(
    doomed: Bench, owner: str, level: ExecutionLevel
) -> None:
    target = presenting(doomed, owner, level)
    target.acquire_lock()
    with pytest.raises(BugCheck) as stopped:
        target.acquire_lock()
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters == (2, id(target.serialization_lock), 0, 0)


@pytest.mark.mistake("RECURSIVE_LOCK", 0x10D)
@pytest.mark.covers("WdfObjectAcquireLock")
def test_lock_taken_in_a_callback_that_runs_under_it_is_a_recursive_lock(doomed: Bench) -> None:
    device = load_device(doomed, SynchronizationScope.DEVICE)
    attributes = ObjectAttributes(parent_object=device)
    Dpc.create(DpcConfig(lambda dpc: device.acquire_lock()), attributes).enqueue()
    with pytest.raises(BugCheck) as stopped:
        KEvent(doomed.kernel).wait(FOREVER)
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 2)


@pytest.mark.mistake("INVALID_LOCK_OPERATION", 0x10D)
@pytest.mark.covers("WdfObjectReleaseLock")
@pytest.mark.parametrize("level", list(LEVELS))
@pytest.mark.parametrize("held", [False, True], ids=["by nobody", "by another thread"])
def test_lock_released_by_one_who_does_not_hold_it_is_an_invalid_lock_operation(
    boot: Callable[..., Bench], level: ExecutionLevel, *, held: bool
) -> None:
    bench = boot(2)
    device = load_device(bench, SynchronizationScope.DEVICE, level)
    with (
        held_elsewhere(bench.kernel, device.acquire_lock) if held else nullcontext(),
        pytest.raises(BugCheck) as stopped,
    ):
        device.release_lock()
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters[:3] == (0xB, id(device), 1)


@pytest.mark.mistake("PresentationLockDropped")
@pytest.mark.covers("WdfObjectReleaseLock")
@pytest.mark.parametrize("level", list(LEVELS))
def test_callback_that_drops_its_lock_breaks_a_rule(bench: Bench, level: ExecutionLevel) -> None:
    device = load_device(bench, SynchronizationScope.DEVICE, level)
    attributes = ObjectAttributes(parent_object=device)
    done = Signal()

    def drops(each: object) -> None:
        device.release_lock()
        done.set()

    if level is ExecutionLevel.DISPATCH:
        Dpc.create(DpcConfig(drops), attributes).enqueue()
        done.wait("the callback")
        bench.kernel.flush_queued_dpcs()
    else:
        item = WorkItem.create(WorkItemConfig(drops), attributes)
        item.enqueue()
        item.flush()
    assert bench.violation().rule == "PresentationLockDropped"
    device.acquire_lock()
    device.release_lock()


@pytest.mark.mistake("PresentationLockOrder")
@pytest.mark.covers("WdfObjectAcquireLock")
@pytest.mark.parametrize("level", list(LEVELS))
def test_lock_of_a_device_is_taken_before_that_of_a_queue(
    bench: Bench, level: ExecutionLevel
) -> None:
    device = load_device(bench, SynchronizationScope.DEVICE, level)
    attributes = ObjectAttributes(synchronization_scope=SynchronizationScope.QUEUE)
    queue = IoQueue.create(device, IoQueueConfig(IoQueueDispatchType.MANUAL), attributes)
    assert queue.serialization_lock is not device.serialization_lock
    device.acquire_lock()
    queue.acquire_lock()
    queue.release_lock()
    device.release_lock()
    assert bench.violations() == []
    queue.acquire_lock()
    device.acquire_lock()
    assert bench.violation().rule == "PresentationLockOrder"
    device.release_lock()
    queue.release_lock()


@pytest.mark.mistake("LockOrder", 0xC4)
def test_presentation_lock_takes_part_in_the_order_of_locks(doomed: Bench) -> None:
    device = load_device(doomed, SynchronizationScope.DEVICE)
    lock = SpinLock.create(ObjectAttributes(parent_object=device))
    with lock:
        device.acquire_lock()
        device.release_lock()
    device.acquire_lock()
    with pytest.raises(BugCheck) as stopped:
        lock.acquire()
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert (stopped.value.parameters[0], stopped.value.rule) == (0x1001, "LockOrder")


@pytest.mark.mistake("KmdfIrql", 0xB8)
def test_passive_presentation_lock_cannot_be_waited_for_in_a_dpc(doomed: Bench) -> None:
    device = load_device(doomed, SynchronizationScope.DEVICE, ExecutionLevel.PASSIVE)
    attributes = ObjectAttributes(parent_object=device)
    config = DpcConfig(lambda dpc: device.acquire_lock(), automatic_serialization=False)
    Dpc.create(config, attributes).enqueue()
    with pytest.raises(BugCheck) as stopped:
        KEvent(doomed.kernel).wait(FOREVER)
    assert (stopped.value.code, stopped.value.rule) == (ATTEMPTED_SWITCH_FROM_DPC, "KmdfIrql")


def test_queue_of_scope_device_shares_the_lock_of_its_device(bench: Bench) -> None:
    device = load_device(bench, SynchronizationScope.DEVICE)
    queue = IoQueue.create(device, IoQueueConfig(IoQueueDispatchType.MANUAL))
    assert isinstance(device, Device)
    assert queue.serialization_lock is device.serialization_lock
