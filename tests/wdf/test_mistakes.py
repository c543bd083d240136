# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Mistakes of drivers that belong to no one topic: returns of callbacks, and their arguments."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from pydriver.ddi import WdfDpcEnqueue
from pydriver.ke import BugCheck, KEvent
from pydriver.ke.bugcheck import (
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    KMODE_EXCEPTION_NOT_HANDLED,
    PYTHON_EXCEPTION,
    SYSTEM_THREAD_EXCEPTION_NOT_HANDLED,
    WDF_VIOLATION,
)
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.pci import InterruptMode
from pydriver.wdf import (
    Device,
    ExecutionLevel,
    GenericObject,
    Interrupt,
    IoQueue,
    Object,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    SynchronizationScope,
    Timer,
    TimerConfig,
    WorkItem,
    WorkItemConfig,
)
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, held_elsewhere
from tests.harness.queues import manual
from tests.harness.serialized import load_device

FOREVER = int(-TIMEOUT * 10_000_000)
PASSIVE = ExecutionLevel.PASSIVE


def ended(bench: Bench) -> BugCheck:
    """Waits for the bug check of the system."""
    with pytest.raises(BugCheck) as stopped:
        KEvent(bench.kernel).wait(FOREVER)
    return stopped.value


def below(parent: Object, **more: Any) -> ObjectAttributes:
    return ObjectAttributes(parent_object=parent, **more)


def not_mine(interrupt: Interrupt, message: int) -> bool:
    return False


# Returns of callbacks


@pytest.mark.mistake("VERIFIER_IRQL_MISMATCH", 0x10D)
@pytest.mark.covers("EvtDeviceD0Entry")
def test_power_callback_that_returns_at_another_irql_is_a_wdf_violation(doomed: Bench) -> None:
    def d0_entry(device: Device, previous: object) -> None:
        doomed.kernel.raise_irql(DISPATCH_LEVEL)

    with pytest.raises(BugCheck) as stopped:
        doomed.load(Plan(callbacks=PnpPowerEventCallbacks(evt_device_d0_entry=d0_entry)))
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters == (0xE, PASSIVE_LEVEL, DISPATCH_LEVEL, 0)
    assert "d0_entry" in stopped.value.state.message


@pytest.mark.mistake("KmdfIrql2", 0xC4)
@pytest.mark.covers("EvtWorkItem")
def test_work_item_that_returns_at_another_irql_is_found(doomed: Bench) -> None:
    def raises(item: WorkItem) -> None:
        doomed.kernel.raise_irql(DISPATCH_LEVEL)

    WorkItem.create(WorkItemConfig(raises), below(load_device(doomed))).enqueue()
    stopped = ended(doomed)
    assert (stopped.code, stopped.rule) == (DRIVER_VERIFIER_DETECTED_VIOLATION, "KmdfIrql2")
    assert stopped.parameters == (0, DISPATCH_LEVEL, PASSIVE_LEVEL, 0)


@pytest.mark.mistake("IrqlDispatch", 0xC4)
@pytest.mark.covers("EvtTimerFunc")
def test_timer_that_returns_at_another_irql_is_found(doomed: Bench) -> None:
    def raises(timer: Timer) -> None:
        doomed.kernel.raise_irql(DISPATCH_LEVEL + 3)

    Timer.create(TimerConfig(raises), below(load_device(doomed))).start(0)
    stopped = ended(doomed)
    assert (stopped.code, stopped.rule) == (DRIVER_VERIFIER_DETECTED_VIOLATION, "IrqlDispatch")
    assert stopped.parameters == (0, DISPATCH_LEVEL + 3, DISPATCH_LEVEL, 0)


@pytest.mark.mistake("PresentationLockHeld")
@pytest.mark.covers("WdfObjectAcquireLock")
def test_callback_that_keeps_a_presentation_lock_is_found(bench: Bench) -> None:
    device = load_device(bench, SynchronizationScope.DEVICE, PASSIVE)

    def keeps(item: WorkItem) -> None:
        device.acquire_lock()

    config = WorkItemConfig(keeps, automatic_serialization=False)
    item = WorkItem.create(config, below(device))
    item.enqueue()
    item.flush()
    found = bench.violation()
    assert found.rule == "PresentationLockHeld"
    assert "keeps returned and still holds" in found.message


def test_locks_that_two_callbacks_keep_are_two_violations(bench: Bench) -> None:
    """The driver is no longer on the stack; each report names the line that took the lock."""
    for index in range(2):
        device = load_device(bench, SynchronizationScope.DEVICE, PASSIVE, index=index)

        def keeps(item: WorkItem, device: Device = device) -> None:
            device.acquire_lock()

        config = WorkItemConfig(keeps, automatic_serialization=False)
        item = WorkItem.create(config, below(device))
        item.enqueue()
        item.flush()
    found = bench.violations()
    assert [each.rule for each in found] == ["PresentationLockHeld"] * 2
    assert all(".keeps (test_mistakes.py:" in each.callback for each in found)
    assert all("device.acquire_lock()" in each.report() for each in found)


@pytest.mark.mistake("KMODE_EXCEPTION_NOT_HANDLED", 0x1E)
@pytest.mark.covers("EvtDeviceD0Entry")
def test_callback_that_returns_no_status_is_an_exception(doomed: Bench) -> None:
    def d0_entry(device: Device, previous: object) -> Any:
        return "ready"

    with pytest.raises(BugCheck) as stopped:
        doomed.load(Plan(callbacks=PnpPowerEventCallbacks(evt_device_d0_entry=d0_entry)))
    assert stopped.value.code == KMODE_EXCEPTION_NOT_HANDLED
    assert stopped.value.parameters[0] == PYTHON_EXCEPTION
    assert "returned 'ready', not an NTSTATUS" in stopped.value.state.message


@pytest.mark.mistake("KMODE_EXCEPTION_NOT_HANDLED", 0x1E)
@pytest.mark.covers("EvtInterruptIsr")
@pytest.mark.parametrize("kind", ["message", "line", "passive"])
def test_isr_that_forgets_to_return_is_an_exception(doomed: Bench, kind: str) -> None:
    def forgets(interrupt: Interrupt, message: int) -> Any:
        edu.acknowledge()

    mode = InterruptMode.MSI if kind == "message" else InterruptMode.INTX
    config = {"passive_handling": kind == "passive"}
    edu = doomed.load(Plan(isr=forgets, mode=mode, config=config))
    with contextlib.suppress(BugCheck):
        edu.raise_interrupt()
    stopped = ended(doomed)
    assert stopped.code == KMODE_EXCEPTION_NOT_HANDLED
    assert stopped.parameters[0] == PYTHON_EXCEPTION
    assert "forgets returned None, which is not a BOOLEAN" in stopped.state.message


# Arguments that a driver passes


def start_soon(edu: Edu) -> None:
    Timer.create(TimerConfig(lambda timer: None), below(edu.device)).start("soon")  # type: ignore[arg-type]


@pytest.mark.mistake("SYSTEM_THREAD_EXCEPTION_NOT_HANDLED", 0x7E)
@pytest.mark.parametrize(
    "call",
    [
        start_soon,
        lambda edu: WdfDpcEnqueue(7),
        lambda edu: edu.registers.write32(0x4, "on"),
        lambda edu: WorkItem.create(WorkItemConfig("work"), below(edu.device)),  # type: ignore[arg-type]
        lambda edu: IoQueue.create(edu.device, "parallel"),  # type: ignore[arg-type]
    ],
    ids=["timer", "exact name", "register", "callback", "configuration"],
)
def test_argument_of_a_wrong_type_is_an_exception_with_the_drivers_line(
    doomed: Bench, call: Callable[[Edu], object]
) -> None:
    edu = doomed.load()

    def misbehaving_work(item: WorkItem) -> None:
        call(edu)

    WorkItem.create(WorkItemConfig(misbehaving_work), below(edu.device)).enqueue()
    stopped = ended(doomed)
    assert stopped.code == SYSTEM_THREAD_EXCEPTION_NOT_HANDLED
    assert stopped.parameters[0] == PYTHON_EXCEPTION
    assert "misbehaving_work (test_mistakes.py:" in stopped.state.callback
    line = call.__code__.co_firstlineno  # type: ignore[attr-defined]
    innermost = stopped.state.stack[-1]
    assert innermost.startswith(call.__name__)
    assert innermost.endswith((f"(test_mistakes.py:{line})", f"(test_mistakes.py:{line + 1})"))


@pytest.mark.mistake("KMODE_EXCEPTION_NOT_HANDLED", 0x1E)
@pytest.mark.covers("WdfInterruptSynchronize")
def test_what_cannot_be_called_is_an_exception_with_the_drivers_line(doomed: Bench) -> None:
    edu = doomed.load(Plan(isr=not_mine))
    with pytest.raises(BugCheck) as stopped:
        edu.interrupt.synchronize("routine")  # type: ignore[arg-type]
    assert stopped.value.code == KMODE_EXCEPTION_NOT_HANDLED
    assert stopped.value.parameters[0] == PYTHON_EXCEPTION
    assert "(test_mistakes.py:" in stopped.value.state.stack[-1]


# Others


@pytest.mark.mistake("EvtSurpriseRemoveNoSuspendQueue")
@pytest.mark.covers("EvtDeviceSurpriseRemoval")
@pytest.mark.parametrize("change", [IoQueue.stop, IoQueue.drain, IoQueue.purge])
def test_queue_that_is_suspended_in_surprise_removal_breaks_a_rule(
    bench: Bench, change: Callable[[IoQueue], None]
) -> None:
    plan = manual()
    plan.callbacks = PnpPowerEventCallbacks(
        evt_device_surprise_removal=lambda device: change(device.queues[0])
    )
    bench.load(plan).device.surprise_remove()
    assert bench.violation().rule == "EvtSurpriseRemoveNoSuspendQueue"


@pytest.mark.mistake("ReferenceTag")
@pytest.mark.covers("WdfObjectDereferenceActual")
def test_reference_that_is_dropped_with_another_tag_breaks_a_rule(bench: Bench) -> None:
    made = GenericObject.create(below(bench.load().device))
    made.reference("read")
    made.dereference("write")
    found = bench.violation()
    assert found.rule == "ReferenceTag"
    assert "write" in found.message
    assert [each.tag for each in made.references] == ["read"]


@pytest.mark.mistake("WdfInterruptLock")
@pytest.mark.covers("WdfInterruptReleaseLock")
def test_interrupt_lock_that_another_processor_holds_is_not_released(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(2)
    kernel = bench.kernel
    interrupt = bench.load(Plan(isr=not_mine)).interrupt
    with held_elsewhere(kernel, interrupt.acquire_lock, interrupt.release_lock):
        interrupt.release_lock()
    found = bench.violation()
    assert found.rule == "WdfInterruptLock"
    assert "by a caller that does not hold it" in found.message
    interrupt.acquire_lock()
    interrupt.release_lock()
