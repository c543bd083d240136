# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Spin locks and wait locks, the framework's and the kernel's."""

import threading
from collections.abc import Callable
from contextlib import nullcontext

import pytest

from pydriver.ke import BugCheck, KEvent, KSpinLock, NtStatusError, VerifierConfig
from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    SPIN_LOCK_ALREADY_OWNED,
    SPIN_LOCK_NOT_OWNED,
    WDF_VIOLATION,
)
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    STATUS_TIMEOUT,
    STATUS_WDF_EXECUTION_LEVEL_INVALID,
    STATUS_WDF_PARENT_NOT_SPECIFIED,
)
from pydriver.wdf import (
    WDF_REL_TIMEOUT_IN_US,
    Dpc,
    DpcConfig,
    ExecutionLevel,
    Object,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    SpinLock,
    WaitLock,
)
from tests.harness.bench import TIMEOUT, Bench, Plan, Signal, held_elsewhere
from tests.harness.serialized import load_device

SOON = WDF_REL_TIMEOUT_IN_US(100)


def spin_lock(parent: Object) -> SpinLock:
    return SpinLock.create(ObjectAttributes(parent_object=parent))


def wait_lock(parent: Object) -> WaitLock:
    return WaitLock.create(ObjectAttributes(parent_object=parent))


def in_dpc(bench: Bench, parent: Object, callback: Callable[[], object]) -> None:
    Dpc.create(DpcConfig(lambda dpc: callback()), ObjectAttributes(parent_object=parent)).enqueue()
    bench.kernel.flush_queued_dpcs()


# Spin locks


@pytest.mark.covers("WdfSpinLockCreate", "WdfWaitLockCreate")
@pytest.mark.parametrize("kind", [SpinLock, WaitLock])
def test_attributes_of_a_lock_are_checked(
    bench: Bench, kind: type[SpinLock] | type[WaitLock]
) -> None:
    device = load_device(bench)
    leveled = ObjectAttributes(parent_object=device, execution_level=ExecutionLevel.PASSIVE)
    for attributes, status in (
        (ObjectAttributes(), STATUS_WDF_PARENT_NOT_SPECIFIED),
        (leveled, STATUS_WDF_EXECUTION_LEVEL_INVALID),
    ):
        with pytest.raises(NtStatusError) as refused:
            kind.create(attributes)
        assert refused.value.status == status
    assert kind.create(ObjectAttributes(parent_object=device.parent)).parent is device.parent


@pytest.mark.covers("WdfSpinLockAcquire", "WdfSpinLockRelease")
def test_spin_lock_raises_to_dispatch_level_and_restores(bench: Bench) -> None:
    device = load_device(bench)
    lock = spin_lock(device)
    levels: list[int] = []
    kernel = bench.kernel
    with lock:
        levels.append(kernel.irql())
    levels.append(kernel.irql())

    def dpc() -> None:
        with lock:
            levels.append(kernel.irql())
        levels.append(kernel.irql())

    in_dpc(bench, device, dpc)
    assert levels == [DISPATCH_LEVEL, PASSIVE_LEVEL, DISPATCH_LEVEL, DISPATCH_LEVEL]


@pytest.mark.covers("WdfSpinLockRelease")
def test_spin_locks_released_out_of_order_lower_the_irql_too_early(bench: Bench) -> None:
    device = load_device(bench)
    outer, inner = spin_lock(device), spin_lock(device)
    kernel = bench.kernel
    outer.acquire()
    inner.acquire()
    outer.release()
    assert kernel.irql() == PASSIVE_LEVEL, "the inner lock is still held"
    assert inner._owner is not None
    # By WDF's rules this thread no longer holds it: restore by hand what its release needs.
    kernel.current.home = inner._owner
    kernel.raise_irql(DISPATCH_LEVEL)
    inner.release()
    assert kernel.irql() == DISPATCH_LEVEL, "it was acquired at this level"
    kernel.lower_irql(PASSIVE_LEVEL)


@pytest.mark.covers("WdfSpinLockAcquire")
def test_history_of_a_spin_lock_says_who_held_it_and_how_long(bench: Bench) -> None:
    lock = spin_lock(load_device(bench))
    lock.acquire()
    (entry,) = lock.history
    assert entry.thread == threading.get_ident()
    assert entry.caller.startswith("test_locks.py:")
    assert entry.held is None
    lock.release()
    (entry,) = lock.history
    assert entry.held is not None
    assert entry.held > 0
    for _ in range(20):
        with lock:
            pass
    assert len(lock.history) == 10
    assert lock.history[-1].caller.startswith("test_locks.py:")


@pytest.mark.mistake("WdfSpinlockRelease", 0x10D)
@pytest.mark.covers("WdfSpinLockRelease")
def test_spin_lock_released_on_another_processor_is_an_invalid_lock_operation(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(2)
    kernel = bench.kernel
    lock = spin_lock(load_device(bench))
    with held_elsewhere(kernel, lock.acquire):
        kernel.raise_irql(DISPATCH_LEVEL)
        with pytest.raises(BugCheck) as stopped:
            lock.release()
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters[:3] == (0xB, id(lock), 1)
    assert stopped.value.rule == "WdfSpinlockRelease"


@pytest.mark.covers("WdfSpinLockRelease")
def test_release_by_anybody_goes_through_with_the_verifier_off(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(1, VerifierConfig(enabled=False))
    lock = spin_lock(load_device(bench))
    lock.release()
    assert bench.kernel.irql() == PASSIVE_LEVEL
    with lock:
        assert bench.kernel.irql() == DISPATCH_LEVEL
    assert bench.kernel.failure is None


@pytest.mark.mistake("WdfSpinlock", 0x0F)
@pytest.mark.covers("WdfSpinLockAcquire")
def test_spin_lock_acquired_twice_is_reported_instead_of_hanging(doomed: Bench) -> None:
    lock = spin_lock(load_device(doomed))
    lock.acquire()
    with pytest.raises(BugCheck) as stopped:
        lock.acquire()
    assert (stopped.value.code, stopped.value.rule) == (SPIN_LOCK_ALREADY_OWNED, "WdfSpinlock")


@pytest.mark.mistake("LockOrder", 0xC4)
@pytest.mark.covers("WdfSpinLockAcquire")
@pytest.mark.parametrize("kinds", ["spin", "wait"])
def test_locks_acquired_in_both_orders_are_a_deadlock(doomed: Bench, kinds: str) -> None:
    device = load_device(doomed)
    make: Callable[[Object], SpinLock | WaitLock] = spin_lock if kinds == "spin" else wait_lock
    first, second = make(device), make(device)
    with first, second:
        pass
    second.acquire()
    with pytest.raises(BugCheck) as stopped:
        first.acquire()
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.value.parameters[0] == 0x1001
    assert stopped.value.rule == "LockOrder"


@pytest.mark.covers("WdfSpinLockAcquire", "WdfSpinLockRelease", "WDF_INTERRUPT_CONFIG.SpinLock")
def test_spin_lock_of_an_interrupt_is_left_alone(bench: Bench) -> None:
    other = load_device(bench, index=1)
    lock = spin_lock(other)
    bench.load(Plan(isr=lambda interrupt, message: False, config={"spin_lock": lock}))
    lock.acquire()
    assert bench.kernel.irql() == PASSIVE_LEVEL
    lock.release()
    assert [each.rule for each in bench.violations()] == ["WdfSpinlock", "WdfSpinlock"]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("spin", marks=pytest.mark.mistake("WdfSpinlock")),
        pytest.param("wait", marks=pytest.mark.mistake("WdfWaitlock")),
    ],
)
def test_lock_that_is_deleted_while_held_breaks_a_rule(bench: Bench, kind: str) -> None:
    device = load_device(bench)
    lock = spin_lock(device) if kind == "spin" else wait_lock(device)
    lock.acquire()
    # The object is freed afterwards, and can no longer be released.
    lock.reference()
    lock.delete()
    assert bench.violation().rule == ("WdfSpinlock" if kind == "spin" else "WdfWaitlock")
    lock.release()
    lock.dereference()


@pytest.mark.parametrize("make", [spin_lock, wait_lock])
def test_order_of_a_deleted_lock_is_forgotten(
    bench: Bench, make: Callable[[Object], SpinLock | WaitLock]
) -> None:
    """Another lock may get its address."""
    device = load_device(bench)
    first, second = make(device), make(device)
    with first, second:
        pass
    first.delete()
    second.delete()
    order = bench.kernel.verifier._order
    assert id(first) not in order
    assert all(id(second) not in later for later in order.values())


# Wait locks


@pytest.mark.covers("WdfWaitLockAcquire", "WdfWaitLockRelease")
def test_wait_lock_excludes_and_times_out(bench: Bench) -> None:
    lock = wait_lock(load_device(bench))
    held, go = Signal(), Signal()

    def hold() -> None:
        assert lock.acquire() == STATUS_SUCCESS
        held.set()
        go.wait()
        lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    system_time = bench.kernel.timers.clock.system_time()
    assert lock.acquire(0) == STATUS_TIMEOUT
    assert lock.acquire(SOON) == STATUS_TIMEOUT
    assert lock.acquire(system_time + 1000) == STATUS_TIMEOUT
    assert bench.kernel.current.critical_regions == 0
    go.set()
    assert lock.acquire() == STATUS_SUCCESS
    assert bench.kernel.irql() == PASSIVE_LEVEL
    assert bench.kernel.current.critical_regions == 1, "normal kernel APCs are off"
    lock.release()
    assert bench.kernel.current.critical_regions == 0
    thread.join(TIMEOUT)


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.covers("WdfWaitLockAcquire", "WdfWaitLockRelease")
def test_wait_lock_may_be_tried_at_dispatch_level_but_not_waited_for(bench: Bench) -> None:
    device = load_device(bench)
    lock = wait_lock(device)
    seen: list[object] = []

    def dpc() -> None:
        seen.append(lock.acquire(0))
        lock.release()
        for timeout in (None, SOON):
            try:
                lock.acquire(timeout)
            except NtStatusError as error:
                seen.append(error.status)

    in_dpc(bench, device, dpc)
    assert seen == [STATUS_SUCCESS, *[STATUS_INVALID_DEVICE_REQUEST] * 2]
    found = bench.violation()
    assert (found.rule, found.times) == ("KmdfIrql", 2)


@pytest.mark.mistake("WdfWaitlock")
@pytest.mark.covers("WdfWaitLockAcquire")
def test_wait_lock_is_not_recursive(bench: Bench) -> None:
    lock = wait_lock(load_device(bench))
    lock.acquire()
    assert lock.acquire(SOON) == STATUS_TIMEOUT
    assert bench.violation().rule == "WdfWaitlock"
    lock.release()


@pytest.mark.mistake("WdfWaitlockRelease")
@pytest.mark.covers("WdfWaitLockRelease")
def test_wait_lock_released_by_another_thread_breaks_a_rule(bench: Bench) -> None:
    lock = wait_lock(load_device(bench))
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    thread.join(TIMEOUT)
    lock.release()
    assert bench.violation().rule == "WdfWaitlockRelease"
    bench.kernel.enter_critical_region()  # the release has left one
    assert lock.acquire(0) == STATUS_SUCCESS
    lock.release()


# Locks that a callback may not keep


@pytest.mark.mistake("CriticalRegion", 0x10D)
@pytest.mark.covers("EvtDeviceD0Entry", "WdfWaitLockAcquire")
@pytest.mark.parametrize("keeps", ["wait lock", "critical region"])
def test_callback_that_returns_in_a_critical_region_is_a_wdf_violation(
    doomed: Bench, keeps: str
) -> None:
    lock = wait_lock(load_device(doomed, index=1))

    def d0_entry(device: object, previous: object) -> None:
        if keeps == "wait lock":
            lock.acquire()
        else:
            doomed.kernel.enter_critical_region()

    with pytest.raises(BugCheck) as stopped:
        doomed.load(Plan(callbacks=PnpPowerEventCallbacks(evt_device_d0_entry=d0_entry)))
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 0xF)
    assert stopped.value.rule == "CriticalRegion"
    rules = [each.rule for each in doomed.violations()]
    assert rules == (["WdfWaitlockRelease"] if keeps == "wait lock" else [])


def test_critical_regions_are_not_counted_with_the_verifier_off(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(1, VerifierConfig(enabled=False))

    def d0_entry(device: object, previous: object) -> None:
        bench.kernel.enter_critical_region()

    bench.load(Plan(callbacks=PnpPowerEventCallbacks(evt_device_d0_entry=d0_entry)))
    assert bench.kernel.failure is None


# The kernel's spin locks


@pytest.mark.covers("KeInitializeSpinLock", "KeAcquireSpinLock", "KeReleaseSpinLock")
def test_kernel_spin_lock_raises_to_dispatch_level_and_restores(bench: Bench) -> None:
    lock = KSpinLock(bench.kernel)
    irql = lock.acquire()
    assert (irql, bench.kernel.irql()) == (PASSIVE_LEVEL, DISPATCH_LEVEL)
    lock.release(irql)
    assert bench.kernel.irql() == PASSIVE_LEVEL


@pytest.mark.covers("KeAcquireSpinLockAtDpcLevel", "KeReleaseSpinLockFromDpcLevel")
def test_kernel_spin_lock_at_dpc_level_leaves_the_irql(bench: Bench) -> None:
    kernel = bench.kernel
    lock = KSpinLock(kernel)
    old = kernel.raise_irql(DISPATCH_LEVEL)
    lock.acquire_at_dpc_level()
    lock.release_from_dpc_level()
    assert kernel.irql() == DISPATCH_LEVEL
    kernel.lower_irql(old)


@pytest.mark.mistake("Spinlock", 0xC4)
@pytest.mark.covers(
    "KeAcquireSpinLock",
    "KeReleaseSpinLock",
    "KeAcquireSpinLockAtDpcLevel",
    "KeReleaseSpinLockFromDpcLevel",
)
@pytest.mark.parametrize(
    ("irql", "call", "parameter"),
    [
        (DISPATCH_LEVEL + 1, lambda lock: lock.acquire(), 0x42),
        (PASSIVE_LEVEL, lambda lock: lock.release(PASSIVE_LEVEL), 0x32),
        (PASSIVE_LEVEL, lambda lock: lock.acquire_at_dpc_level(), 0x40),
        (PASSIVE_LEVEL, lambda lock: lock.release_from_dpc_level(), 0x41),
    ],
    ids=["acquire", "release", "acquire at DPC level", "release from DPC level"],
)
def test_kernel_spin_lock_at_a_wrong_irql_is_a_verifier_bug_check(
    doomed: Bench, irql: int, call: Callable[[KSpinLock], object], parameter: int
) -> None:
    lock = KSpinLock(doomed.kernel)
    doomed.kernel.raise_irql(irql)
    with pytest.raises(BugCheck) as stopped:
        call(lock)
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.value.parameters[:2] == (parameter, irql)
    assert stopped.value.rule == "Spinlock"


@pytest.mark.mistake("Spinlock", 0x0F)
@pytest.mark.covers("KeAcquireSpinLock")
def test_kernel_spin_lock_is_acquired_once(doomed: Bench) -> None:
    lock = KSpinLock(doomed.kernel)
    lock.acquire()
    with pytest.raises(BugCheck) as stopped:
        lock.acquire()
    assert (stopped.value.code, stopped.value.rule) == (SPIN_LOCK_ALREADY_OWNED, "Spinlock")


@pytest.mark.mistake("SpinlockRelease", 0x10)
@pytest.mark.covers("KeReleaseSpinLock")
@pytest.mark.parametrize("held", [False, True], ids=["by nobody", "by another processor"])
def test_kernel_spin_lock_is_released_by_its_owner(
    boot: Callable[..., Bench], *, held: bool
) -> None:
    kernel = boot(2).kernel
    lock = KSpinLock(kernel)
    with held_elsewhere(kernel, lock.acquire) if held else nullcontext():
        kernel.raise_irql(DISPATCH_LEVEL)
        with pytest.raises(BugCheck) as stopped:
            lock.release(PASSIVE_LEVEL)
    assert (stopped.value.code, stopped.value.rule) == (SPIN_LOCK_NOT_OWNED, "SpinlockRelease")


def test_kernel_spin_lock_excludes_across_processors(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    lock = KSpinLock(bench.kernel)
    total = 0

    def count(number: int) -> None:
        nonlocal total
        bench.kernel.current.home = bench.kernel.processors[number]
        for _ in range(200):
            irql = lock.acquire()
            before = total
            bench.kernel.access.sync()
            total = before + 1
            lock.release(irql)

    threads = [threading.Thread(target=count, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert total == 400


@pytest.mark.mistake("SpinlockRelease")
def test_callback_that_keeps_a_kernel_spin_lock_is_found(bench: Bench) -> None:
    device = load_device(bench)
    lock = KSpinLock(bench.kernel)
    in_dpc(bench, device, lock.acquire)
    assert bench.violation().rule == "SpinlockRelease"


def test_waiter_for_a_spin_lock_ends_with_the_system(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    kernel = bench.kernel
    lock = spin_lock(load_device(bench))
    ended: list[BaseException] = []
    waiting, held = Signal(), Signal()

    def hold() -> None:
        kernel.current.home = kernel.processors[0]
        lock.acquire()
        held.set()
        waiting.wait()
        try:
            lock.acquire()  # twice: a bug check
        except BugCheck as stopped:
            ended.append(stopped)

    def wait() -> None:
        kernel.current.home = kernel.processors[1]
        held.wait()
        kernel.raise_irql(DISPATCH_LEVEL)
        waiting.set()
        try:
            lock.acquire()
        except BugCheck as stopped:
            ended.append(stopped)

    threads = [threading.Thread(target=each) for each in (hold, wait)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(ended) == 2
    with pytest.raises(BugCheck):
        KEvent(kernel).wait()
