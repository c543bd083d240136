# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""DPC objects, and the kernel's DPC queues under them."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pydriver.ke import (
    BugCheck,
    Importance,
    KDpc,
    Kernel,
    KEvent,
    KTimer,
    ManualClock,
    MonotonicClock,
    NtStatusError,
    VerifierConfig,
)
from pydriver.ke.bugcheck import DRIVER_VERIFIER_DETECTED_VIOLATION, TIMER_OR_DPC_INVALID
from pydriver.ke.clock import CLOCK_INTERVAL
from pydriver.ke.dpc import MAXIMUM_DEPTH
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_WDF_EXECUTION_LEVEL_INVALID,
    STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
    STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
)
from pydriver.wdf import (
    Dpc,
    DpcConfig,
    ExecutionLevel,
    Object,
    ObjectAttributes,
    SpinLock,
    SynchronizationScope,
    WaitLock,
)
from tests.harness.bench import TIMEOUT, Bench, Signal
from tests.harness.serialized import load_device

FOREVER = int(-TIMEOUT * 10_000_000)


@pytest.fixture
def clock(bench: Bench) -> Iterator[ManualClock]:
    """The clock of the shared system, which the test steps."""
    clock = ManualClock()
    bench.kernel.timers.use(clock)
    clock.advance(CLOCK_INTERVAL)  # a tick that another test has requested
    yield clock
    bench.kernel.timers.use(MonotonicClock())


class Noted:
    """A DPC's routine that notes the processor on which it ran."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.processors: list[int] = []
        self.done = Signal()

    def __call__(self, *_: object) -> None:
        processor = self._kernel.current.processor
        assert processor is not None
        self.processors.append(processor.number)
        self.done.set()


def make(parent: Object, callback: Callable[[Dpc], object] | None, **config: bool) -> Dpc:
    attributes = ObjectAttributes(parent_object=parent)
    return Dpc.create(DpcConfig(callback, **config), attributes)  # type: ignore[arg-type]


class held_at_dispatch:  # noqa: N801 -- reads as a statement
    """A block at DISPATCH_LEVEL: DPCs queued on its processor wait for its end."""

    def __init__(self, bench: Bench, processor: int = 0) -> None:
        self.kernel = bench.kernel
        self.processor = bench.kernel.processors[processor]

    def __enter__(self) -> None:
        self.kernel.current.home = self.processor
        self.old = self.kernel.raise_irql(DISPATCH_LEVEL)

    def __exit__(self, *_: object) -> None:
        self.kernel.lower_irql(self.old)


# WDFDPC


@pytest.mark.covers("WdfDpcCreate", "WdfDpcEnqueue", "EvtDpcFunc", "WDF_DPC_CONFIG.EvtDpcFunc")
def test_dpc_runs_once_for_each_insertion_at_dispatch_level(bench: Bench) -> None:
    calls: list[tuple[Dpc, int]] = []
    dpc = make(load_device(bench), lambda dpc: calls.append((dpc, bench.kernel.irql())))
    with held_at_dispatch(bench):
        assert dpc.enqueue() is True
        assert dpc.enqueue() is False
        assert calls == []
    bench.kernel.flush_queued_dpcs()
    assert calls == [(dpc, DISPATCH_LEVEL)]
    assert dpc.enqueue() is True
    bench.kernel.flush_queued_dpcs()
    assert len(calls) == 2


@pytest.mark.covers("WDF_DPC_CONFIG.EvtDpcFunc", "EvtDpcFunc")
def test_dpc_without_a_callback_does_nothing(bench: Bench) -> None:
    dpc = make(load_device(bench), None)
    assert dpc.enqueue() is True
    bench.kernel.flush_queued_dpcs()
    assert dpc.enqueue() is True


@pytest.mark.covers("WdfDpcCreate")
def test_attributes_of_a_dpc_are_checked(bench: Bench) -> None:
    device = load_device(bench)
    for attributes, status in (
        (None, STATUS_WDF_PARENT_NOT_SPECIFIED),
        (ObjectAttributes(), STATUS_WDF_PARENT_NOT_SPECIFIED),
        (ObjectAttributes(parent_object=device.parent), STATUS_INVALID_DEVICE_REQUEST),
        (
            ObjectAttributes(parent_object=device, execution_level=ExecutionLevel.DISPATCH),
            STATUS_WDF_EXECUTION_LEVEL_INVALID,
        ),
        (
            ObjectAttributes(
                parent_object=device, synchronization_scope=SynchronizationScope.DEVICE
            ),
            STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
        ),
    ):
        with pytest.raises(NtStatusError) as refused:
            Dpc.create(DpcConfig(None), attributes)  # type: ignore[arg-type]
        assert refused.value.status == status


@pytest.mark.covers("WDF_DPC_CONFIG.AutomaticSerialization", "WdfDpcCreate")
@pytest.mark.parametrize(
    ("scope", "level", "automatic", "outcome"),
    [
        (SynchronizationScope.NONE, ExecutionLevel.PASSIVE, True, False),
        (SynchronizationScope.INHERIT_FROM_PARENT, ExecutionLevel.DISPATCH, True, False),
        (SynchronizationScope.DEVICE, ExecutionLevel.DISPATCH, True, True),
        (SynchronizationScope.DEVICE, ExecutionLevel.INHERIT_FROM_PARENT, True, True),
        (SynchronizationScope.QUEUE, ExecutionLevel.DISPATCH, True, True),
        (SynchronizationScope.DEVICE, ExecutionLevel.DISPATCH, False, False),
        (SynchronizationScope.DEVICE, ExecutionLevel.PASSIVE, False, False),
        (SynchronizationScope.DEVICE, ExecutionLevel.PASSIVE, True, None),
        (SynchronizationScope.QUEUE, ExecutionLevel.PASSIVE, True, None),
    ],
)
def test_dpc_runs_under_the_lock_that_its_parent_has(
    bench: Bench,
    scope: SynchronizationScope,
    level: ExecutionLevel,
    automatic: bool,
    outcome: bool | None,
) -> None:
    """An outcome of ``None`` means that the levels are incompatible."""
    device = load_device(bench, scope, level)
    held: list[bool] = []

    def callback(dpc: Dpc) -> None:
        lock = device.serialization_lock
        held.append(lock is not None and lock.held_here)

    if outcome is None:
        with pytest.raises(NtStatusError) as refused:
            make(device, callback, automatic_serialization=automatic)
        assert refused.value.status == STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL
        assert bench.violation().rule == "ExecutionLevel"
        return
    make(device, callback, automatic_serialization=automatic).enqueue()
    bench.kernel.flush_queued_dpcs()
    assert held == [outcome]


@pytest.mark.covers("WdfDpcCancel")
@pytest.mark.parametrize("wait", [False, True])
def test_cancelled_dpc_does_not_run(bench: Bench, wait: bool) -> None:
    calls: list[Dpc] = []
    dpc = make(load_device(bench), calls.append)
    assert dpc.cancel(wait=wait) is False, "it was never queued"
    with held_at_dispatch(bench):
        dpc.enqueue()
        assert dpc.cancel(wait=False) is True
        assert dpc.cancel(wait=False) is False
    bench.kernel.flush_queued_dpcs()
    assert calls == []
    assert dpc.enqueue() is True


@pytest.mark.covers("WdfDpcCancel")
def test_cancel_that_waits_returns_after_the_callback(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    running, cancelling = Signal(), threading.Event()
    order: list[str] = []

    def callback(dpc: Dpc) -> None:
        running.set()
        assert cancelling.wait(TIMEOUT)
        order.append("callback")

    dpc = make(load_device(bench), callback)
    dpc.enqueue()
    running.wait("the callback")
    cancelling.set()
    assert dpc.cancel(wait=True) is False
    order.append("cancelled")
    assert order == ["callback", "cancelled"]


@pytest.mark.covers("WdfDpcCancel")
def test_cancel_that_waits_is_refused_in_a_dpc(bench: Bench) -> None:
    device = load_device(bench)
    calls: list[str] = []
    other = make(device, lambda dpc: calls.append("other"))
    results: list[bool] = []

    def callback(dpc: Dpc) -> None:
        other.enqueue()
        results.append(other.cancel(wait=True))

    make(device, callback).enqueue()
    bench.kernel.flush_queued_dpcs()
    assert (results, calls) == ([False], ["other"]), "refused, so that it runs"
    assert bench.violation().rule == "KmdfIrql"


@pytest.mark.covers("WdfDpcGetParentObject", "WdfDpcWdmGetDpc")
def test_dpc_gives_its_parent_and_its_kdpc(bench: Bench) -> None:
    device = load_device(bench)
    calls: list[Dpc] = []
    dpc = make(device, calls.append)
    assert dpc.get_parent_object() is device
    kdpc = dpc.wdm_get_dpc()
    assert kdpc is dpc.wdm_get_dpc()
    with held_at_dispatch(bench):
        assert kdpc.insert() is True
        assert dpc.enqueue() is False, "it is the same DPC"
    bench.kernel.flush_queued_dpcs()
    assert calls == [dpc]


@pytest.mark.covers("EvtDpcFunc", "WDF_DPC_CONFIG.AutomaticSerialization")
@pytest.mark.parametrize("serialized", [False, True])
def test_dpc_overlaps_with_itself_on_another_processor_unless_serialized(
    boot: Callable[..., Bench], serialized: bool
) -> None:
    bench = boot(2)
    device = load_device(bench, SynchronizationScope.DEVICE)
    running = 0
    most = 0
    first, second = Signal(), Signal()
    guard = threading.Lock()

    def callback(dpc: Dpc) -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
            is_first = not first._event.is_set()
        if is_first:
            first.set()
            if serialized:
                # The other one has begun to wait for the lock: it holds the processor.
                while not bench.kernel.processors[1].draining:
                    bench.kernel.access.sync()
                for _ in range(100):
                    bench.kernel.access.sync()
            else:
                second.wait("the other run")
        else:
            second.set()
        with guard:
            running -= 1

    dpc = make(device, callback, automatic_serialization=serialized)
    kdpc = dpc.wdm_get_dpc()
    kdpc.set_importance(Importance.HIGH)
    kdpc.set_target_processor(0)
    assert dpc.enqueue()
    first.wait("the first run")
    bench.kernel.current.home = bench.kernel.processors[1]  # the other one is busy
    kdpc.set_target_processor(1)
    assert dpc.enqueue(), "it has left the queue before it was called"
    second.wait("the second run")
    bench.kernel.flush_queued_dpcs()
    assert most == (1 if serialized else 2)


def test_dpc_deleted_in_its_own_callback_is_gone_afterwards(bench: Bench) -> None:
    device = load_device(bench)
    order: list[str] = []
    destroyed = Signal()

    def deletes_itself(dpc: Dpc) -> None:
        dpc.delete()
        order.append("callback ends")

    def destroy(dpc: Dpc) -> None:
        order.append(f"destroyed at {bench.kernel.irql()}")
        destroyed.set()

    attributes = ObjectAttributes(parent_object=device, evt_destroy_callback=destroy)
    Dpc.create(DpcConfig(deletes_itself), attributes).enqueue()
    destroyed.wait("the destruction")
    assert order == ["callback ends", "destroyed at 0"]


# KDPC


@pytest.mark.covers("KeInitializeDpc", "KeInsertQueueDpc")
def test_second_insertion_of_a_kdpc_changes_nothing(bench: Bench) -> None:
    calls: list[tuple[Any, ...]] = []
    kernel = bench.kernel

    def routine(*arguments: Any) -> None:
        calls.append((*arguments, kernel.irql()))

    dpc = KDpc.initialize(kernel, routine, "context")
    assert dpc.importance is Importance.MEDIUM
    assert dpc.target is None
    with held_at_dispatch(bench):
        assert dpc.insert(1, 2) is True
        assert dpc.insert(3, 4) is False
    kernel.flush_queued_dpcs()
    assert calls == [(dpc, "context", 1, 2, DISPATCH_LEVEL)]
    assert dpc.insert(5, 6) is True
    kernel.flush_queued_dpcs()
    assert calls[1] == (dpc, "context", 5, 6, DISPATCH_LEVEL)


@pytest.mark.covers("KeInsertQueueDpc")
def test_arguments_of_an_insertion_from_the_routine_are_of_the_next_run(bench: Bench) -> None:
    seen: list[tuple[int, int]] = []

    def routine(dpc: KDpc, context: None, first: int, second: int) -> None:
        if first < 3:
            assert dpc.insert(first + 1, second)
        seen.append((first, second))

    KDpc.initialize(bench.kernel, routine).insert(1, 9)
    bench.kernel.flush_queued_dpcs()
    assert seen == [(1, 9), (2, 9), (3, 9)]


@pytest.mark.covers("KeRemoveQueueDpc")
def test_removed_kdpc_does_not_run(bench: Bench) -> None:
    calls: list[int] = []
    dpc = KDpc.initialize(bench.kernel, lambda *_: calls.append(1))
    assert dpc.remove() is False
    with held_at_dispatch(bench):
        dpc.insert()
        assert dpc.queued
        assert dpc.remove() is True
        assert not dpc.queued
        assert dpc.remove() is False
    bench.kernel.flush_queued_dpcs()
    assert calls == []


@pytest.mark.covers("KeFlushQueuedDpcs")
def test_flush_returns_when_all_queued_dpcs_have_run(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    calls: list[int] = []
    for number in range(2):
        for _ in range(2):
            dpc = KDpc.initialize(
                bench.kernel, lambda dpc, number, *_: calls.append(number), number
            )
            dpc.set_importance(Importance.LOW)
            dpc.set_target_processor(number)
            dpc.insert()
    bench.kernel.flush_queued_dpcs()
    assert sorted(calls) == [0, 0, 1, 1]


@pytest.mark.covers("KeSetImportanceDpc")
def test_high_importance_goes_to_the_head_and_all_others_to_the_tail(bench: Bench) -> None:
    calls: list[Importance] = []
    order = (Importance.MEDIUM, Importance.LOW, Importance.MEDIUM_HIGH, Importance.HIGH)
    with held_at_dispatch(bench):
        for importance in order:
            dpc = KDpc.initialize(
                bench.kernel, lambda dpc, importance, *_: calls.append(importance), importance
            )
            dpc.set_importance(importance)
            dpc.insert()
    bench.kernel.flush_queued_dpcs()
    assert calls == [
        Importance.HIGH,
        Importance.MEDIUM,
        Importance.LOW,
        Importance.MEDIUM_HIGH,
    ]


@pytest.mark.covers("KeSetImportanceDpc")
@pytest.mark.parametrize("importance", [Importance.MEDIUM_HIGH, Importance.HIGH])
@pytest.mark.parametrize("number", [0, 1], ids=["here", "elsewhere"])
def test_important_dpc_starts_without_a_tick(
    boot: Callable[..., Bench], number: int, importance: Importance
) -> None:
    bench = boot(2)
    bench.kernel.timers.use(ManualClock())  # stands still
    ran = Noted(bench.kernel)
    dpc = KDpc.initialize(bench.kernel, ran)
    dpc.set_target_processor(number)
    dpc.set_importance(importance)
    with held_at_dispatch(bench, 0):
        dpc.insert()
    ran.done.wait("the DPC")
    assert ran.processors == [number]


@pytest.mark.covers("KeSetImportanceDpc")
def test_dpc_of_low_importance_waits_for_the_next_tick(bench: Bench, clock: ManualClock) -> None:
    done = Signal()
    dpc = KDpc.initialize(bench.kernel, lambda *_: done.set())
    dpc.set_importance(Importance.LOW)
    for _ in range(2):
        dpc.insert()
        clock.advance(CLOCK_INTERVAL - 1)
        assert dpc.queued
        clock.advance(1)
        done.wait("the DPC")
        done._event.clear()


@pytest.mark.covers("KeSetImportanceDpc")
def test_dpc_of_low_importance_runs_when_the_irql_falls(bench: Bench, clock: ManualClock) -> None:
    done = Signal()
    dpc = KDpc.initialize(bench.kernel, lambda *_: done.set())
    dpc.set_importance(Importance.LOW)
    dpc.insert()
    assert dpc.queued
    with held_at_dispatch(bench):
        assert dpc.queued
    done.wait("the DPC")


@pytest.mark.covers("KeSetImportanceDpc")
def test_dpcs_of_low_importance_run_when_there_are_enough(bench: Bench, clock: ManualClock) -> None:
    done = [Signal() for _ in range(MAXIMUM_DEPTH)]
    dpcs = [KDpc.initialize(bench.kernel, lambda dpc, each, *_: each.set(), each) for each in done]
    for dpc in dpcs:
        dpc.set_importance(Importance.LOW)
    for dpc in dpcs[:-1]:
        dpc.insert()
    assert all(dpc.queued for dpc in dpcs[:-1])
    dpcs[-1].insert()
    for each in done:
        each.wait("a DPC")


@pytest.mark.covers("KeSetTargetProcessorDpc", "KeSetImportanceDpc")
@pytest.mark.parametrize("importance", [Importance.MEDIUM, Importance.LOW])
def test_dpc_for_another_processor_waits_for_a_tick_there(
    boot: Callable[..., Bench], importance: Importance
) -> None:
    bench = boot(2)
    kernel = bench.kernel
    clock = ManualClock()
    kernel.timers.use(clock)
    ran = Noted(kernel)
    dpc = KDpc.initialize(kernel, ran)
    dpc.set_target_processor(1)
    dpc.set_importance(importance)
    with held_at_dispatch(bench, 0):
        dpc.insert()
    assert dpc.queued
    clock.advance(CLOCK_INTERVAL)
    ran.done.wait("the DPC")
    assert ran.processors == [1]


@pytest.mark.covers("KeSetTargetProcessorDpc")
def test_target_processor_that_does_not_exist_is_ignored(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    dpc = KDpc.initialize(bench.kernel, lambda *_: None)
    dpc.set_target_processor(0)
    for number in (2, 200, -1):
        dpc.set_target_processor(number)
    assert dpc.target is bench.kernel.processors[0]


def test_waiting_dpc_is_not_starved_by_the_hosts_clock(bench: Bench) -> None:
    done = Signal()
    dpc = KDpc.initialize(bench.kernel, lambda *_: done.set())
    dpc.set_importance(Importance.LOW)
    dpc.insert()
    done.wait("the tick")


# Returns of DPCs


def bug_check_of(bench: Bench, callback: Callable[[Dpc], object]) -> BugCheck:
    make(load_device(bench), callback).enqueue()
    with pytest.raises(BugCheck) as stopped:
        KEvent(bench.kernel).wait(FOREVER)
    return stopped.value


@pytest.mark.mistake("IrqlDispatch", 0xC4)
def test_dpc_that_returns_at_another_irql_is_found_with_the_verifier(doomed: Bench) -> None:
    stopped = bug_check_of(doomed, lambda dpc: doomed.kernel.raise_irql(5))
    assert stopped.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert (stopped.parameters, stopped.rule) == ((0, 5, DISPATCH_LEVEL, 0), "IrqlDispatch")


@pytest.mark.mistake("WdfSpinlockRelease")
def test_dpc_that_returns_with_a_spin_lock_is_found(bench: Bench) -> None:
    device = load_device(bench)
    lock = SpinLock.create(ObjectAttributes(parent_object=device))
    seen: list[int] = []

    def keeps(dpc: Dpc) -> None:
        lock.acquire()

    def releases(dpc: Dpc) -> None:
        seen.append(bench.kernel.irql())
        lock.release()

    make(device, keeps).enqueue()
    bench.kernel.flush_queued_dpcs()
    found = bench.violation()
    assert found.rule == "WdfSpinlockRelease"
    assert "DPC keeps of" in found.message
    make(device, releases).enqueue()
    bench.kernel.flush_queued_dpcs()
    assert seen == [DISPATCH_LEVEL]


@pytest.mark.mistake("CriticalRegion", 0xC7)
def test_dpc_that_returns_with_a_wait_lock_has_changed_the_apc_count(doomed: Bench) -> None:
    device = load_device(doomed)
    lock = WaitLock.create(ObjectAttributes(parent_object=device))
    make(device, lambda dpc: lock.acquire(0)).enqueue()
    with pytest.raises(BugCheck) as stopped:
        KEvent(doomed.kernel).wait(FOREVER)
    assert (stopped.value.code, stopped.value.parameters[0]) == (TIMER_OR_DPC_INVALID, 4)
    assert stopped.value.rule == "CriticalRegion"
    assert [each.rule for each in doomed.violations()] == ["WdfWaitlockRelease"]


def test_nothing_is_looked_at_with_the_verifier_off(boot: Callable[..., Bench]) -> None:
    bench = boot(1, VerifierConfig(enabled=False))
    kernel = bench.kernel
    device = load_device(bench)
    lock = WaitLock.create(ObjectAttributes(parent_object=device))
    make(device, lambda dpc: lock.acquire(0)).enqueue()
    kernel.flush_queued_dpcs()
    assert kernel.failure is None
    assert KTimer(kernel).read_state() is False
