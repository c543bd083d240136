# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Broken rules: Windows' code, the rule's name, and a report that names the line."""

import contextlib
import threading
from collections.abc import Callable

import pytest

from pydriver.ke import (
    BugCheck,
    EventType,
    KEvent,
    NtStatusError,
    delay_execution_thread,
)
from pydriver.ke.bugcheck import (
    ATTEMPTED_SWITCH_FROM_DPC,
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    KMODE_EXCEPTION_NOT_HANDLED,
    PAGE_FAULT_IN_NONPAGED_AREA,
    PYTHON_EXCEPTION,
    SPIN_LOCK_ALREADY_OWNED,
    SYSTEM_THREAD_EXCEPTION_NOT_HANDLED,
    UNEXPECTED_KERNEL_MODE_TRAP,
    WDF_VIOLATION,
)
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS, STATUS_TIMEOUT
from pydriver.wdf import (
    Dpc,
    DpcConfig,
    Interrupt,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    Request,
    SpinLock,
    WaitLock,
    WorkItem,
    WorkItemConfig,
)
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, Signal

Callback = Callable[[Edu], object]


def ended(bench: Bench) -> BugCheck:
    """Waits for the bug check of the system."""
    event = KEvent(bench.kernel)
    with pytest.raises(BugCheck) as stopped:
        event.wait(int(-TIMEOUT * 10_000_000))
    return stopped.value


def after(bench: Bench, cause: Callable[[], object]) -> BugCheck:
    """The bug check that a call leads to, on this thread or on another one."""
    try:
        cause()
    except BugCheck as stopped:
        return stopped
    return ended(bench)


def in_isr(bench: Bench, callback: Callback) -> BugCheck:
    """The bug check after an ISR has called a function."""

    def misbehaving_isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        callback(edu)
        return True

    edu = bench.load(Plan(isr=misbehaving_isr))
    return after(bench, edu.raise_interrupt)


def in_dpc(bench: Bench, callback: Callback) -> BugCheck:
    """The bug check after a DPC has called a function."""
    edu = bench.load(Plan(isr=lambda interrupt, message: False))

    def misbehaving_dpc(dpc: Dpc) -> None:
        callback(edu)

    dpc = Dpc.create(DpcConfig(misbehaving_dpc), ObjectAttributes(parent_object=edu.device))
    return after(bench, dpc.enqueue)


def run_in_isr(bench: Bench, callback: Callback) -> Edu:
    """Makes an ISR call a function that does not stop the system."""
    done = Signal()

    def misbehaving_isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        callback(edu)
        done.set()
        return True

    edu = bench.load(Plan(isr=misbehaving_isr))
    edu.raise_interrupt()
    done.wait("the ISR")
    return edu


def run_in_dpc(bench: Bench, callback: Callback) -> None:
    """Makes a DPC call a function that does not stop the system."""
    edu = bench.load(Plan(isr=lambda interrupt, message: False))
    done = Signal()

    def misbehaving_dpc(dpc: Dpc) -> None:
        callback(edu)
        done.set()

    attributes = ObjectAttributes(parent_object=edu.device)
    Dpc.create(DpcConfig(misbehaving_dpc), attributes).enqueue()
    done.wait("the DPC")


def create_dpc(edu: Edu) -> Dpc:
    return Dpc.create(DpcConfig(None), ObjectAttributes(parent_object=edu.device))


def create_work_item(edu: Edu) -> WorkItem:
    attributes = ObjectAttributes(parent_object=edu.device)
    return WorkItem.create(WorkItemConfig(lambda item: None), attributes)


def create_wait_lock(edu: Edu) -> WaitLock:
    return WaitLock.create(ObjectAttributes(parent_object=edu.device))


def refused_wait(lock: WaitLock) -> None:
    with pytest.raises(NtStatusError) as refused:
        lock.acquire()
    assert refused.value.status == STATUS_INVALID_DEVICE_REQUEST


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (create_dpc, "WdfDpcCreate"),
        (create_work_item, "WdfWorkItemCreate"),
        (lambda edu: edu.device.get_default_queue(), "WdfDeviceGetDefaultQueue"),
        (
            lambda edu: edu.device.allocate_context(ObjectAttributes(context_type=list)),
            "WdfObjectAllocateContext",
        ),
    ],
    ids=["create DPC", "create work item", "default queue", "context"],
)
def test_ddi_above_dispatch_level_breaks_the_irql_rule(
    bench: Bench, call: Callback, name: str
) -> None:
    irql = run_in_isr(bench, call).interrupt.irql
    found = bench.violation()
    assert (found.rule, found.page) == ("KmdfIrql", "kmdf-kmdfirql")
    assert (found.irql, found.processor) == (irql, 0)
    assert found.message.startswith(f"{name} at DIRQL ({irql}); its limit is DISPATCH_LEVEL")
    assert "misbehaving_isr" in found.callback


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.parametrize(
    ("make", "call", "name"),
    [
        (create_work_item, lambda item: item.flush(), "WdfWorkItemFlush"),
        (create_dpc, lambda dpc: dpc.cancel(wait=True), "WdfDpcCancel"),
        (create_wait_lock, refused_wait, "WdfWaitLockAcquire"),
        (lambda edu: edu.interrupt, lambda interrupt: interrupt.disable(), "WdfInterruptDisable"),
    ],
    ids=["flush", "cancel and wait", "wait lock", "disable"],
)
def test_waiting_ddi_in_a_dpc_breaks_the_irql_rule_and_does_not_wait(
    bench: Bench, make: Callback, call: Callable[[object], object], name: str
) -> None:
    run_in_dpc(bench, lambda edu: call(make(edu)))
    found = bench.violation()
    assert (found.rule, found.irql) == ("KmdfIrql", DISPATCH_LEVEL)
    assert found.message.startswith(f"{name} at DISPATCH_LEVEL (2); its limit is PASSIVE_LEVEL")


@pytest.mark.mistake("KmdfIrql", 0xB8)
@pytest.mark.parametrize(
    "wait",
    [
        lambda edu: KEvent(edu.device.system.kernel).wait(),
        lambda edu: delay_execution_thread(edu.device.system.kernel, -10),
        lambda edu: edu.device.system.kernel.flush_queued_dpcs(),
    ],
    ids=["event", "delay", "flush DPCs"],
)
def test_wait_in_a_dpc_is_an_attempted_switch(doomed: Bench, wait: Callback) -> None:
    stopped = in_dpc(doomed, wait)
    assert (stopped.code, stopped.rule) == (ATTEMPTED_SWITCH_FROM_DPC, "KmdfIrql")
    assert "misbehaving_dpc" in stopped.state.callback


@pytest.mark.mistake("KmdfIrql", 0xC4)
def test_wait_with_a_spin_lock_held_breaks_a_rule(doomed: Bench) -> None:
    edu = doomed.load()
    lock = SpinLock.create(ObjectAttributes(parent_object=edu.device))
    lock.acquire()
    with pytest.raises(BugCheck) as stopped:
        KEvent(doomed.kernel).wait()
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert (stopped.value.rule, stopped.value.state.irql) == ("KmdfIrql", DISPATCH_LEVEL)


def test_event_of_no_wait_may_be_looked_at_in_a_dpc(bench: Bench) -> None:
    seen: list[int] = []
    edu = bench.load()
    event = KEvent(bench.kernel, EventType.SYNCHRONIZATION)

    def dpc(dpc: Dpc) -> None:
        seen.append(event.wait(0))
        event.set()
        seen.append(event.wait(0))
        seen.append(event.wait(0))

    Dpc.create(DpcConfig(dpc), ObjectAttributes(parent_object=edu.device)).enqueue()
    bench.kernel.flush_queued_dpcs()
    assert seen == [STATUS_TIMEOUT, STATUS_SUCCESS, STATUS_TIMEOUT]


@pytest.mark.mistake("IrqlKeSetEvent", 0xC4)
def test_event_set_in_an_isr_breaks_a_rule(doomed: Bench) -> None:
    stopped = in_isr(doomed, lambda edu: KEvent(doomed.kernel).set())
    assert (stopped.code, stopped.parameters[0]) == (DRIVER_VERIFIER_DETECTED_VIOLATION, 0x80)
    assert stopped.rule == "IrqlKeSetEvent"


@pytest.mark.mistake("KmdfIrql")
def test_request_completed_in_an_isr_breaks_the_irql_rule(bench: Bench) -> None:
    requests: list[Request] = []

    def write(queue: IoQueue, request: Request, length: int) -> None:
        requests.append(request)

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        requests[0].complete(STATUS_SUCCESS)
        return True

    config = IoQueueConfig(IoQueueDispatchType.PARALLEL, evt_io_write=write, default_queue=True)
    edu = bench.load(Plan(isr=isr, queues=[config]))
    irp = edu.device.open().write_async(b"x")
    edu.raise_interrupt()
    assert irp.wait(TIMEOUT) == STATUS_SUCCESS
    found = bench.violation()
    assert found.rule == "KmdfIrql"
    assert found.message.startswith("WdfRequestComplete at DIRQL")


@pytest.mark.mistake("KmdfIrql", 0xC4)
def test_spin_lock_in_an_isr_breaks_the_irql_rule(doomed: Bench) -> None:
    lock = SpinLock.create(ObjectAttributes(parent_object=doomed.load(index=1).device))
    stopped = in_isr(doomed, lambda edu: lock.acquire())
    assert (stopped.code, stopped.rule) == (DRIVER_VERIFIER_DETECTED_VIOLATION, "KmdfIrql")
    assert stopped.parameters[0] == 0x42
    assert stopped.state.message.startswith("WdfSpinLockAcquire at DIRQL")


def test_spin_lock_acquired_twice_is_reported_instead_of_hanging(doomed: Bench) -> None:
    edu = doomed.load()
    lock = SpinLock.create(ObjectAttributes(parent_object=edu.device))
    lock.acquire()
    with pytest.raises(BugCheck) as stopped:
        lock.acquire()
    assert (stopped.value.code, stopped.value.rule) == (SPIN_LOCK_ALREADY_OWNED, "WdfSpinlock")


@pytest.mark.mistake("WdfSpinlockRelease", 0x10D)
def test_spin_lock_released_by_one_who_does_not_hold_it_is_an_invalid_lock_operation(
    doomed: Bench,
) -> None:
    edu = doomed.load()
    lock = SpinLock.create(ObjectAttributes(parent_object=edu.device))
    with pytest.raises(BugCheck) as stopped:
        lock.release()
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters[0] == 0xB
    assert stopped.value.parameters[2] == 1
    assert stopped.value.rule == "WdfSpinlockRelease"


@pytest.mark.mistake("WdfInterruptLock", 0x0F)
def test_interrupt_lock_acquired_in_its_isr_is_reported_instead_of_hanging(
    doomed: Bench,
) -> None:
    stopped = in_isr(doomed, lambda edu: edu.interrupt.acquire_lock())
    assert (stopped.code, stopped.rule) == (SPIN_LOCK_ALREADY_OWNED, "WdfInterruptLock")


def test_irql_lowered_in_a_dpc_below_dispatch_level_breaks_a_rule(doomed: Bench) -> None:
    stopped = in_dpc(doomed, lambda edu: doomed.kernel.lower_irql(PASSIVE_LEVEL))
    assert stopped.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.parameters == (0x31, DISPATCH_LEVEL, PASSIVE_LEVEL, 1)


def test_irql_raised_to_a_lower_level_breaks_a_rule(doomed: Bench) -> None:
    doomed.kernel.raise_irql(5)
    with pytest.raises(BugCheck) as stopped:
        doomed.kernel.raise_irql(DISPATCH_LEVEL)
    assert stopped.value.parameters == (0x30, 5, DISPATCH_LEVEL, 0)


def test_dpc_that_returns_at_another_irql_breaks_a_rule(doomed: Bench) -> None:
    stopped = in_dpc(doomed, lambda edu: doomed.kernel.raise_irql(5))
    assert stopped.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.parameters == (0, 5, DISPATCH_LEVEL, 0)


@pytest.mark.mistake("REQUEST_FATAL_ERROR", 0x10D)
@pytest.mark.covers("WdfRequestCompleteWithInformation")
def test_request_completed_with_more_bytes_than_it_has_is_a_wdf_violation(
    doomed: Bench,
) -> None:
    def read(queue: IoQueue, request: Request, length: int) -> None:
        request.complete_with_information(STATUS_SUCCESS, length + 1)

    config = IoQueueConfig(IoQueueDispatchType.PARALLEL, evt_io_read=read, default_queue=True)
    edu = doomed.load(Plan(queues=[config]))
    with pytest.raises(BugCheck) as stopped:
        edu.device.open().read(4)
    assert (stopped.value.code, stopped.value.parameters[:2]) == (WDF_VIOLATION, (6, 4))


@pytest.mark.mistake("KMODE_EXCEPTION_NOT_HANDLED", 0x1E)
def test_exception_in_an_isr_is_not_handled(doomed: Bench) -> None:
    stopped = in_isr(doomed, lambda edu: 1 // 0)
    assert stopped.code == KMODE_EXCEPTION_NOT_HANDLED
    assert stopped.parameters[0] == PYTHON_EXCEPTION
    assert "ZeroDivisionError" in stopped.state.message
    assert isinstance(stopped.__cause__, ZeroDivisionError) or stopped.state.stack
    assert "misbehaving_isr (test_bugchecks.py:" in stopped.state.callback


@pytest.mark.mistake("KMODE_EXCEPTION_NOT_HANDLED", 0x1E)
def test_exception_in_a_dpc_is_not_handled(doomed: Bench) -> None:
    stopped = in_dpc(doomed, lambda edu: {}["missing"])
    assert (stopped.code, stopped.parameters[0]) == (KMODE_EXCEPTION_NOT_HANDLED, PYTHON_EXCEPTION)
    assert "KeyError" in stopped.state.message
    assert stopped.state.irql == DISPATCH_LEVEL


@pytest.mark.mistake("SYSTEM_THREAD_EXCEPTION_NOT_HANDLED", 0x7E)
def test_exception_in_a_work_item_is_not_handled_by_its_thread(doomed: Bench) -> None:
    def faulty_work(item: WorkItem) -> None:
        raise ValueError("broken")

    edu = doomed.load()
    attributes = ObjectAttributes(parent_object=edu.device)
    WorkItem.create(WorkItemConfig(faulty_work), attributes).enqueue()
    stopped = ended(doomed)
    assert stopped.code == SYSTEM_THREAD_EXCEPTION_NOT_HANDLED
    assert stopped.parameters[0] == PYTHON_EXCEPTION
    assert "faulty_work" in stopped.state.callback
    assert stopped.state.processor is None


@pytest.mark.mistake("KMODE_EXCEPTION_NOT_HANDLED", 0x1E)
def test_exception_in_a_queue_handler_is_not_handled(doomed: Bench) -> None:
    def write(queue: IoQueue, request: Request, length: int) -> None:
        raise ValueError("broken")

    config = IoQueueConfig(IoQueueDispatchType.PARALLEL, evt_io_write=write, default_queue=True)
    edu = doomed.load(Plan(queues=[config]))
    with pytest.raises(BugCheck) as stopped:
        edu.device.open().write(b"x")
    assert stopped.value.code == KMODE_EXCEPTION_NOT_HANDLED
    assert stopped.value.parameters[0] == PYTHON_EXCEPTION


@pytest.mark.mistake("DRIVER_IRQL_NOT_LESS_OR_EQUAL", 0xD1)
@pytest.mark.parametrize(
    ("access", "write"),
    [
        (lambda edu: edu.registers.read32(edu.registers.length), 0),
        (lambda edu: edu.registers.write32(-4, 1), 1),
        (lambda edu: edu.registers.read64(edu.registers.length - 4), 0),
    ],
    ids=["read behind", "write before", "read across the end"],
)
def test_access_outside_of_mapped_registers_is_a_page_fault(
    boot: Callable[..., Bench], access: Callback, write: int
) -> None:
    stopped = in_dpc(boot(), access)
    assert stopped.code == DRIVER_IRQL_NOT_LESS_OR_EQUAL
    assert stopped.parameters[1:3] == (DISPATCH_LEVEL, write)
    bench = boot()
    edu = bench.load()
    with pytest.raises(BugCheck) as at_passive:
        access(edu)
    assert at_passive.value.code == PAGE_FAULT_IN_NONPAGED_AREA
    assert at_passive.value.parameters[1] == write


def test_exception_of_the_guest_itself_is_an_unexpected_trap(doomed: Bench) -> None:
    """A jump to an address that is not mapped, made by the guest."""
    with pytest.raises(BugCheck) as stopped, doomed.kernel.borrowed() as link:
        link.call(0x7FFF_FFFF_F000)
    assert stopped.value.code == UNEXPECTED_KERNEL_MODE_TRAP
    assert stopped.value.parameters[:2] == (14, 0x7FFF_FFFF_F000)


def test_bug_check_stops_the_machine_and_wakes_every_waiter(doomed: Bench) -> None:
    woken: list[BugCheck] = []
    waiting = threading.Barrier(4)

    def write(queue: IoQueue, request: Request, length: int) -> None:
        pass

    config = IoQueueConfig(IoQueueDispatchType.PARALLEL, evt_io_write=write, default_queue=True)
    edu = doomed.load(Plan(isr=lambda interrupt, message: False, queues=[config]))
    file = edu.device.open()

    def wait() -> None:
        irp = file.write_async(b"x")
        waiting.wait(TIMEOUT)
        try:
            irp.wait(TIMEOUT)
        except BugCheck as stopped:
            woken.append(stopped)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    waiting.wait(TIMEOUT)

    def misbehaving(dpc: Dpc) -> None:
        raise ValueError("broken")

    dpc = Dpc.create(DpcConfig(misbehaving), ObjectAttributes(parent_object=edu.device))
    after(doomed, dpc.enqueue)
    for thread in threads:
        thread.join(TIMEOUT)
    assert [stopped.code for stopped in woken] == [KMODE_EXCEPTION_NOT_HANDLED] * 3
    assert doomed.system.machine.qmp("query-status")["status"] == "paused"
    with pytest.raises(BugCheck):
        doomed.system.check()


def test_processor_cannot_be_borrowed_after_a_bug_check(doomed: Bench) -> None:
    stopped = in_dpc(doomed, lambda edu: doomed.kernel.lower_irql(PASSIVE_LEVEL))
    with pytest.raises(BugCheck) as refused:
        doomed.kernel.borrow()
    assert refused.value.state is stopped.state
    assert doomed.kernel.irql() == PASSIVE_LEVEL


def test_report_has_all_that_is_known_and_the_last_events(doomed: Bench) -> None:
    stopped = in_isr(doomed, lambda edu: KEvent(doomed.kernel).set())
    report = stopped.report
    irql = stopped.state.irql
    for part in (
        f"*** BUG CHECK 0xC4 DRIVER_VERIFIER_DETECTED_VIOLATION (0x80, 0x{irql:X}, 0x0, 0x0)",
        "rule:      IrqlKeSetEvent",
        "callback:  in_isr.<locals>.misbehaving_isr (test_bugchecks.py:",
        f"at:        processor 0, DIRQL ({irql})",
        "<lambda> (test_bugchecks.py:",
        "ISR        interrupt 0 of test0 00:04.0",
        "EvtDevicePrepareHardware",
        "BUG_CHECK",
    ):
        assert part in report, report


def test_driver_cannot_swallow_a_bug_check(doomed: Bench) -> None:
    def swallow(edu: Edu) -> None:
        with contextlib.suppress(Exception):
            KEvent(doomed.kernel).set()

    assert in_isr(doomed, swallow).rule == "IrqlKeSetEvent"
