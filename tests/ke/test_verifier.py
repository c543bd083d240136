# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The verifier itself: its records, its reports, its silence, and the failures it injects."""

from collections.abc import Callable

import pytest

from pydriver.drivers import mqdma
from pydriver.ke import BugCheck, KDpc, KSpinLock, NtStatusError, VerifierConfig, VerifierError
from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    TIMER_OR_DPC_INVALID,
    WDF_VIOLATION,
)
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import STATUS_INSUFFICIENT_RESOURCES
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from pydriver.wdf import (
    Dpc,
    DpcConfig,
    ObjectAttributes,
    SpinLock,
    WaitLock,
    WorkItem,
    WorkItemConfig,
)
from tests.harness.bench import Bench, Edu, Signal

OFF = VerifierConfig(enabled=False)


def create_lock(edu: Edu) -> SpinLock:
    return SpinLock.create(ObjectAttributes(parent_object=edu.device))


def raised_ddi(edu: Edu) -> None:
    """Calls a DDI for DISPATCH_LEVEL and below at a device's level."""
    kernel = edu.device.system.kernel
    irql = kernel.raise_irql(DISPATCH_LEVEL + 3)
    edu.device.get_default_queue()
    kernel.lower_irql(irql)


def test_violation_says_what_where_and_after_what(bench: Bench) -> None:
    edu = bench.load()
    raised_ddi(edu)
    found = bench.violation()
    assert (found.rule, found.page) == ("KmdfIrql", "kmdf-kmdfirql")
    assert found.message == (
        "WdfDeviceGetDefaultQueue at DIRQL (5); its limit is DISPATCH_LEVEL (2)"
    )
    assert found.subject == str(edu.device)
    assert (found.processor, found.irql) == (0, DISPATCH_LEVEL + 3)
    assert any(line.startswith("raised_ddi (test_verifier.py:") for line in found.stack)
    assert any("EvtDevicePrepareHardware" in line for line in found.events)
    assert "VIOLATION" in found.events[-1]


def test_same_mistake_at_the_same_place_is_one_violation_with_a_count(bench: Bench) -> None:
    edu = bench.load()
    for _ in range(5):
        raised_ddi(edu)
    assert bench.violation().times == 5
    raised_ddi(edu)
    raised_ddi(edu)
    assert [each.times for each in bench.violations()] == [1, 1]


def test_run_that_broke_rules_fails_at_its_end_with_the_list() -> None:
    config = MachineConfig(devices=("edu",), bar2=0)
    with (
        pytest.raises(VerifierError, match=r"1 rule was broken\n\*\*\* VERIFIER Probe") as failed,
        System(SystemConfig(config)) as system,
    ):
        system.kernel.verifier.violation("Probe", "a test says so")
    assert [each.rule for each in failed.value.violations] == ["Probe"]


def test_verifier_that_is_off_finds_nothing(boot: Callable[..., Bench]) -> None:
    bench = boot(1, OFF)
    raised_ddi(bench.load())
    assert bench.kernel.verifier.violations == ()


def test_lock_released_by_one_who_does_not_hold_it_passes_without_the_verifier(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(1, OFF)
    lock = create_lock(bench.load())
    kernel = bench.kernel
    irql = kernel.raise_irql(DISPATCH_LEVEL)
    lock.release()
    assert (kernel.failure, kernel.verifier.violations) == (None, ())
    with lock:
        assert kernel.irql() == DISPATCH_LEVEL
    kernel.lower_irql(irql)


def test_locks_taken_in_both_orders_are_a_deadlock_that_has_not_happened_yet(
    doomed: Bench,
) -> None:
    edu = doomed.load()
    first, second = create_lock(edu), create_lock(edu)
    with first, second:
        pass
    with pytest.raises(BugCheck) as stopped, second:
        first.acquire()
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.value.parameters == (0x1001, id(first), 0, 0)
    assert stopped.value.rule == "LockOrder"


def test_locks_taken_in_one_order_always_are_no_deadlock(bench: Bench) -> None:
    edu = bench.load()
    first, second, third = (create_lock(edu) for _ in range(3))
    for outer, inner in ((first, second), (second, third), (first, third)):
        with outer, inner:
            pass


def test_order_of_a_deleted_lock_is_forgotten(bench: Bench) -> None:
    edu = bench.load()
    lock = create_lock(edu)
    for _ in range(20):
        other = create_lock(edu)
        with lock, other:
            pass
        other.delete()
        other = create_lock(edu)
        with other, lock:
            pass
        other.delete()
        lock.delete()
        lock = create_lock(edu)


def test_callback_that_returns_with_a_lock_is_found(bench: Bench) -> None:
    edu = bench.load()
    lock = WaitLock.create(ObjectAttributes(parent_object=edu.device))
    done = Signal()

    def forgetful_work(item: WorkItem) -> None:
        lock.acquire()
        done.set()

    item = WorkItem.create(
        WorkItemConfig(forgetful_work), ObjectAttributes(parent_object=edu.device)
    )
    item.enqueue()
    done.wait("the work item")
    item.flush()
    found = bench.violation()
    assert found.rule == "WdfWaitlockRelease"
    assert "forgetful_work" in found.message
    lock.delete()
    assert bench.violation().rule == "WdfWaitlock", "it is deleted while it is held"


def test_callback_that_returns_at_another_irql_is_an_irql_mismatch(doomed: Bench) -> None:
    edu = doomed.load()
    dpc = Dpc.create(
        DpcConfig(),
        ObjectAttributes(
            parent_object=edu.device,
            evt_cleanup_callback=lambda dpc: doomed.kernel.raise_irql(DISPATCH_LEVEL),
        ),
    )
    with pytest.raises(BugCheck) as stopped:
        dpc.delete()
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters == (0xE, 0, DISPATCH_LEVEL, 0)


def test_every_creation_fails_once_and_the_driver_copes() -> None:
    """With the shipped driver, each failed start leaves nothing, and the last one works."""
    verifier = VerifierConfig(fail_creations=True)
    bar2 = mqdma.shared_memory(1, 4, 4096)
    machine = MachineConfig(bar2=bar2, devices=("mqdma,memdev=bar2,queues=1",))
    failures = []
    with System(SystemConfig(machine, verifier=verifier)) as system:
        entry = mqdma.driver_entry_with(mqdma.Parameters(depth=4, block=4096))
        function = system.pci.find(mqdma.VENDOR, mqdma.DEVICE)
        driver = None
        while True:
            try:
                driver = driver or system.load_driver(entry, "mqdma")
                device = driver.add_device(function)
                break
            except NtStatusError as error:
                failures.append(error.status)
        assert driver.devices == (device,)
        with device.open() as file:
            data = bytes(range(256))
            answer = file.device_control(mqdma.IOCTL_COPY, data, len(data) + 4, timeout=10)
            assert answer[: len(data)] == data
    # The driver, the device, its interrupts, queues, locks, DPCs and work items.
    assert set(failures) == {STATUS_INSUFFICIENT_RESOURCES}
    assert len(failures) >= 8


def test_locks_that_are_gone_have_no_order(bench: Bench) -> None:
    """New objects get the addresses of freed ones, in another order."""
    kernel = bench.kernel
    for _ in range(200):
        locks = [KSpinLock(kernel) for _ in range(3)]
        for outer, inner in ((locks[0], locks[1]), (locks[1], locks[2]), (locks[0], locks[2])):
            irql = outer.acquire()
            inner.release(inner.acquire())
            outer.release(irql)
        del locks[1], outer, inner
        del locks


def test_verifier_that_is_switched_on_later_looks_at_dpcs(boot: Callable[..., Bench]) -> None:
    bench = boot(1, OFF)
    kernel = bench.kernel

    def routine(dpc: KDpc, *arguments: object) -> None:
        kernel.enter_critical_region()

    kernel.start_verifying()
    KDpc.initialize(kernel, routine).insert()
    with pytest.raises(BugCheck) as stopped:
        kernel.flush_queued_dpcs()
    assert stopped.value.code == TIMER_OR_DPC_INVALID
