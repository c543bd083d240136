# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The interrupt lock: its effect, and its misuse."""

from collections.abc import Callable
from typing import Any

import pytest

from pydriver.ke import BugCheck, KEvent
from pydriver.ke.bugcheck import (
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    KMODE_EXCEPTION_NOT_HANDLED,
    SPIN_LOCK_ALREADY_OWNED,
    WDF_VIOLATION,
)
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import STATUS_ACCESS_VIOLATION
from pydriver.ke.verifier import VerifierConfig
from pydriver.wdf import (
    Device,
    Dpc,
    DpcConfig,
    Interrupt,
    InterruptConfig,
    InterruptPriority,
    ObjectAttributes,
    SpinLock,
    WorkItem,
    WorkItemConfig,
)
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, Signal

QUIET = VerifierConfig(enabled=False)


def not_mine(interrupt: Interrupt, message: int) -> bool:
    return False


def load(bench: Bench, index: int = 0, **plan: Any) -> Edu:
    return bench.load(Plan(isr=not_mine, **plan), index)


def unconnected(bench: Bench) -> Edu:
    edu = load(bench)
    edu.interrupt.disable()
    return edu


@pytest.mark.covers("WdfInterruptAcquireLock", "WdfInterruptReleaseLock")
def test_lock_raises_to_synchronize_irql_and_restores(bench: Bench) -> None:
    edu = load(bench)
    for level in (PASSIVE_LEVEL, DISPATCH_LEVEL, edu.interrupt.irql):
        old = bench.kernel.raise_irql(level)
        edu.interrupt.acquire_lock()
        assert edu.link.get_cr8() == edu.interrupt.synchronize_irql
        edu.interrupt.release_lock()
        assert bench.kernel.irql() == level
        bench.kernel.lower_irql(old)


@pytest.mark.mistake("WdfInterruptLock")
@pytest.mark.covers("WdfInterruptAcquireLock", "WdfInterruptReleaseLock")
def test_unconnected_interrupt_has_no_lock(bench: Bench) -> None:
    edu = unconnected(bench)
    edu.interrupt.acquire_lock()
    assert bench.kernel.irql() == PASSIVE_LEVEL
    edu.interrupt.release_lock()
    found = bench.violations()
    assert [each.rule for each in found] == ["WdfInterruptLock"] * 2
    assert found[0].message.startswith("WdfInterruptAcquireLock while it is not connected")
    assert found[1].message.startswith("WdfInterruptReleaseLock while it is not connected")
    edu.interrupt.enable()
    edu.interrupt.acquire_lock()
    assert bench.kernel.irql() == edu.interrupt.irql
    edu.interrupt.release_lock()


@pytest.mark.covers("WdfInterruptAcquireLock")
def test_unconnected_interrupt_has_no_lock_without_the_verifier(
    boot: Callable[..., Bench],
) -> None:
    edu = unconnected(boot(1, QUIET))
    edu.interrupt.acquire_lock()
    assert edu.device.system.kernel.irql() == PASSIVE_LEVEL
    edu.interrupt.release_lock()


@pytest.mark.mistake("WdfInterruptLock")
@pytest.mark.covers("WdfInterruptReleaseLock")
def test_lock_released_without_being_held_breaks_the_alternation(bench: Bench) -> None:
    edu = load(bench)
    edu.interrupt.release_lock()
    found = bench.violation()
    assert (found.rule, found.page) == ("WdfInterruptLock", "kmdf-wdfinterruptlock")
    edu.interrupt.acquire_lock()
    edu.interrupt.release_lock()


@pytest.mark.mistake("WdfInterruptLock", 0x0F)
@pytest.mark.covers("WdfInterruptAcquireLock")
def test_lock_acquired_twice_is_reported_instead_of_hanging(doomed: Bench) -> None:
    edu = load(doomed)
    edu.interrupt.acquire_lock()
    with pytest.raises(BugCheck) as stopped:
        edu.interrupt.acquire_lock()
    assert stopped.value.code == SPIN_LOCK_ALREADY_OWNED
    assert stopped.value.rule == "WdfInterruptLock"


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.mistake("IrqlKeRaiseLower", 0xC4)
@pytest.mark.covers("WdfInterruptAcquireLock")
def test_lock_of_a_lower_interrupt_cannot_be_taken(doomed: Bench) -> None:
    low = load(doomed, 0, priority=InterruptPriority.LOW)
    high = load(doomed, 1, priority=InterruptPriority.HIGH)
    high.interrupt.acquire_lock()
    with pytest.raises(BugCheck) as stopped:
        low.interrupt.acquire_lock()
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert (stopped.value.parameters[0], stopped.value.rule) == (0x30, "IrqlKeRaiseLower")
    assert doomed.violation().rule == "KmdfIrql"


@pytest.mark.mistake("IrqlKeRaiseLower", 0xC4)
@pytest.mark.covers("WdfInterruptReleaseLock")
def test_each_lock_goes_back_to_the_irql_that_it_saved(doomed: Bench) -> None:
    """The first release, out of order, lowers the IRQL to below the lock that is still held."""
    low = load(doomed, 0, priority=InterruptPriority.LOW)
    high = load(doomed, 1, priority=InterruptPriority.HIGH)
    kernel = doomed.kernel
    old = kernel.raise_irql(DISPATCH_LEVEL)
    low.interrupt.acquire_lock()
    high.interrupt.acquire_lock()
    low.interrupt.release_lock()
    assert kernel.irql() == DISPATCH_LEVEL
    with pytest.raises(BugCheck) as stopped:
        high.interrupt.release_lock()
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.value.parameters[:3] == (0x31, DISPATCH_LEVEL, low.interrupt.irql)
    assert stopped.value.rule == "IrqlKeRaiseLower"
    assert old == PASSIVE_LEVEL


@pytest.mark.mistake("KmdfIrql", 0xC4)
@pytest.mark.covers("WdfInterruptAcquireLock")
def test_spin_lock_under_the_interrupt_lock_breaks_its_irql_rule(doomed: Bench) -> None:
    edu = load(doomed)
    lock = SpinLock.create(ObjectAttributes(parent_object=edu.device))
    edu.interrupt.acquire_lock()
    with pytest.raises(BugCheck) as stopped:
        lock.acquire()
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert (stopped.value.parameters[0], stopped.value.rule) == (0x42, "KmdfIrql")


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.SpinLock")
def test_interrupts_with_one_spin_lock_share_lock_and_irql(bench: Bench) -> None:
    interrupts: list[Interrupt] = []

    def add(device: Device) -> None:
        lock = SpinLock.create(ObjectAttributes(parent_object=device))
        for _ in range(2):
            config = InterruptConfig(evt_interrupt_isr=not_mine, spin_lock=lock)
            interrupts.append(Interrupt.create(device, config))

    driver_edu = bench.load(Plan(add=add))
    first = interrupts[0]
    first.acquire_lock()
    assert bench.kernel.irql() == first.synchronize_irql
    assert interrupts[1].config.spin_lock is first.config.spin_lock
    first.release_lock()
    assert driver_edu.device.interrupts == interrupts


def ended(bench: Bench) -> BugCheck:
    """Waits for the bug check of the system."""
    with pytest.raises(BugCheck) as stopped:
        KEvent(bench.kernel).wait(int(-TIMEOUT * 10_000_000))
    return stopped.value


@pytest.mark.mistake("WdfInterruptLockRelease")
@pytest.mark.mistake("KmdfIrql2", 0xC4)
@pytest.mark.covers("WdfInterruptReleaseLock")
def test_lock_that_a_work_item_keeps_is_found(doomed: Bench) -> None:
    edu = load(doomed)
    item = WorkItem.create(
        WorkItemConfig(lambda item: edu.interrupt.acquire_lock()),
        ObjectAttributes(parent_object=edu.device),
    )
    item.enqueue()
    stopped = ended(doomed)
    assert (stopped.code, stopped.rule) == (DRIVER_VERIFIER_DETECTED_VIOLATION, "KmdfIrql2")
    found = doomed.violation()
    assert (found.rule, found.page) == ("WdfInterruptLockRelease", "kmdf-wdfinterruptlockrelease")


@pytest.mark.covers("WdfInterruptReleaseLock")
def test_lock_that_a_dpc_keeps_is_found(doomed: Bench) -> None:
    edu = load(doomed)
    dpc = Dpc.create(
        DpcConfig(lambda dpc: edu.interrupt.acquire_lock()),
        ObjectAttributes(parent_object=edu.device),
    )
    old = doomed.kernel.raise_irql(DISPATCH_LEVEL)
    dpc.enqueue()
    with pytest.raises(BugCheck):
        doomed.kernel.lower_irql(old)
    assert doomed.violation().rule == "WdfInterruptLockRelease"


@pytest.mark.covers("WdfInterruptSynchronize", "EvtInterruptSynchronize")
def test_synchronize_excludes_the_isr_and_passes_its_result_on(bench: Bench) -> None:
    order: list[str] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        order.append("isr")
        edu.acknowledge()
        done.set()
        return True

    def callback(interrupt: Interrupt, context: object) -> bool:
        assert interrupt is edu.interrupt
        assert bench.kernel.irql() == interrupt.synchronize_irql
        edu.raise_interrupt()
        edu.link.sync()
        order.append("callback ends")
        return context == "yes"

    edu = bench.load(Plan(isr=isr))
    assert edu.interrupt.synchronize(callback, "yes") is True
    done.wait()
    assert order == ["callback ends", "isr"]
    assert edu.interrupt.synchronize(lambda interrupt, context: False) is False


@pytest.mark.mistake("REQUIRED_PARAMETER_IS_NULL", 0x10D)
@pytest.mark.covers("WdfInterruptSynchronize")
def test_synchronize_without_a_callback_is_a_wdf_violation(doomed: Bench) -> None:
    edu = load(doomed)
    with pytest.raises(BugCheck) as stopped:
        edu.interrupt.synchronize(None)  # type: ignore[arg-type]
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 4)


@pytest.mark.covers("WdfInterruptSynchronize")
@pytest.mark.parametrize(
    ("level", "code"),
    [
        (PASSIVE_LEVEL, KMODE_EXCEPTION_NOT_HANDLED),
        (DISPATCH_LEVEL, DRIVER_IRQL_NOT_LESS_OR_EQUAL),
    ],
)
def test_synchronize_of_an_unconnected_interrupt_stops_the_system(
    doomed: Bench, level: int, code: int
) -> None:
    edu = unconnected(doomed)
    doomed.kernel.raise_irql(level)
    with pytest.raises(BugCheck) as stopped:
        edu.interrupt.synchronize(lambda interrupt, context: True)
    assert stopped.value.code == code
    first = stopped.value.parameters[0]
    assert first == (STATUS_ACCESS_VIOLATION if level == PASSIVE_LEVEL else 0)


@pytest.mark.covers("WdfInterruptSynchronize")
def test_synchronize_above_dispatch_level_breaks_the_irql_rule_and_runs(bench: Bench) -> None:
    edu = load(bench)
    old = bench.kernel.raise_irql(edu.interrupt.irql)
    assert edu.interrupt.synchronize(lambda interrupt, context: True)
    bench.kernel.lower_irql(old)
    assert bench.violation().message.startswith("WdfInterruptSynchronize at DIRQL")


@pytest.mark.covers("WdfInterruptWdmGetInterrupt", "KeSynchronizeExecution")
def test_kernel_routine_synchronizes_up_to_synchronize_irql(bench: Bench) -> None:
    edu = load(bench)
    kernel_interrupt = edu.interrupt.wdm_get_interrupt()
    assert kernel_interrupt is not None
    seen: list[int] = []

    def routine(context: int) -> bool:
        seen.append(edu.link.get_cr8())
        return context == 7

    assert kernel_interrupt.synchronize_execution(routine, 7) is True
    old = bench.kernel.raise_irql(edu.interrupt.irql)
    assert kernel_interrupt.synchronize_execution(routine, 8) is False
    bench.kernel.lower_irql(old)
    assert seen == [edu.interrupt.synchronize_irql] * 2
    assert kernel_interrupt.vector == edu.interrupt.vector


@pytest.mark.mistake("KMODE_EXCEPTION_NOT_HANDLED", 0x1E)
@pytest.mark.covers("KeSynchronizeExecution")
def test_kernel_interrupt_is_of_no_use_after_disconnection(doomed: Bench) -> None:
    edu = load(doomed)
    kernel_interrupt = edu.interrupt.wdm_get_interrupt()
    assert kernel_interrupt is not None
    edu.interrupt.disable()
    with pytest.raises(BugCheck) as stopped:
        kernel_interrupt.synchronize_execution(lambda context: True)
    assert stopped.value.code == KMODE_EXCEPTION_NOT_HANDLED
    assert stopped.value.parameters[0] == STATUS_ACCESS_VIOLATION


@pytest.mark.mistake("WdfInterruptLock")
@pytest.mark.covers("WdfInterruptTryToAcquireLock")
def test_interrupt_at_dirql_has_no_lock_to_try(bench: Bench) -> None:
    edu = load(bench)
    assert edu.interrupt.try_to_acquire_lock() is False
    assert bench.violation().rule == "WdfInterruptLock"
    assert bench.kernel.irql() == PASSIVE_LEVEL
