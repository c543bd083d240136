# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Kernel routines: IRQL, events and waits, time, processors, threads."""

import threading
from collections.abc import Callable
from time import perf_counter_ns, time

import pytest

from pydriver.ke import (
    BugCheck,
    DriverObject,
    EventType,
    KEvent,
    KThread,
    ManualClock,
    create_system_thread,
    delay_execution_thread,
    get_current_processor_number,
    query_active_processor_count,
    query_interrupt_time,
    query_performance_counter,
    query_system_time,
    stall_execution_processor,
    terminate_system_thread,
)
from pydriver.ke.bugcheck import (
    ATTEMPTED_SWITCH_FROM_DPC,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    PYTHON_EXCEPTION,
    SYSTEM_THREAD_EXCEPTION_NOT_HANDLED,
)
from pydriver.ke.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    STATUS_TIMEOUT,
    STATUS_UNSUCCESSFUL,
)
from pydriver.wdf import (
    WDF_REL_TIMEOUT_IN_SEC,
    WDF_REL_TIMEOUT_IN_US,
    Device,
    Dpc,
    DpcConfig,
    Interrupt,
    ObjectAttributes,
    SpinLock,
)
from tests.harness.bench import TIMEOUT, Bench, Plan, Signal
from tests.harness.serialized import load_device

SOON = WDF_REL_TIMEOUT_IN_US(100)
LONG = WDF_REL_TIMEOUT_IN_SEC(int(TIMEOUT))


def in_dpc(bench: Bench, device: Device, callback: Callable[[], object]) -> None:
    Dpc.create(DpcConfig(lambda dpc: callback()), ObjectAttributes(parent_object=device)).enqueue()  # type: ignore[arg-type,return-value]


def bug_check(bench: Bench) -> BugCheck:
    with pytest.raises(BugCheck) as stopped:
        KEvent(bench.kernel).wait(LONG)
    return stopped.value


# IRQL


@pytest.mark.covers("KeGetCurrentIrql", "KeRaiseIrql", "KeLowerIrql")
def test_irql_is_raised_and_restored(bench: Bench) -> None:
    kernel = bench.kernel
    assert kernel.irql() == PASSIVE_LEVEL
    old = [kernel.raise_irql(level) for level in (APC_LEVEL, DISPATCH_LEVEL, 7)]
    assert old == [PASSIVE_LEVEL, APC_LEVEL, DISPATCH_LEVEL]
    assert kernel.irql() == 7
    for level in reversed(old):
        kernel.lower_irql(level)
        assert kernel.irql() == level


def test_irql_that_falls_to_passive_level_ends_no_outer_borrowing(bench: Bench) -> None:
    kernel = bench.kernel
    with kernel.borrowed() as link:
        kernel.lower_irql(kernel.raise_irql(DISPATCH_LEVEL))
        assert kernel.current.processor is not None
        assert link.state.borrowed
        assert link.get_cr8() == PASSIVE_LEVEL
    assert kernel.current.processor is None


@pytest.mark.mistake("IrqlKeRaiseLower", 0xC4)
@pytest.mark.covers("KeRaiseIrql")
def test_irql_raised_to_a_lower_level_is_a_verifier_bug_check(doomed: Bench) -> None:
    doomed.kernel.raise_irql(5)
    with pytest.raises(BugCheck) as stopped:
        doomed.kernel.raise_irql(DISPATCH_LEVEL)
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.value.parameters == (0x30, 5, DISPATCH_LEVEL, 0)
    assert stopped.value.rule == "IrqlKeRaiseLower"


@pytest.mark.mistake("IrqlKeRaiseLower", 0xC4)
@pytest.mark.covers("KeLowerIrql")
def test_irql_lowered_to_a_higher_level_is_a_verifier_bug_check(doomed: Bench) -> None:
    doomed.kernel.raise_irql(DISPATCH_LEVEL)
    with pytest.raises(BugCheck) as stopped:
        doomed.kernel.lower_irql(5)
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.value.parameters == (0x31, DISPATCH_LEVEL, 5, 0)
    assert stopped.value.rule == "IrqlKeRaiseLower"


@pytest.mark.mistake("IrqlKeRaiseLower", 0xC4)
@pytest.mark.covers("KeLowerIrql")
def test_irql_lowered_in_a_dpc_is_a_verifier_bug_check(doomed: Bench) -> None:
    in_dpc(doomed, load_device(doomed), lambda: doomed.kernel.lower_irql(PASSIVE_LEVEL))
    stopped = bug_check(doomed)
    assert (stopped.code, stopped.rule) == (DRIVER_VERIFIER_DETECTED_VIOLATION, "IrqlKeRaiseLower")
    assert stopped.parameters == (0x31, DISPATCH_LEVEL, PASSIVE_LEVEL, 1)


# Events and waits


@pytest.mark.covers("KeInitializeEvent", "KeSetEvent", "KeReadStateEvent", "KeWaitForSingleObject")
def test_notification_event_stays_set_and_releases_all(bench: Bench) -> None:
    event = KEvent(bench.kernel)
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda: statuses.append(event.wait(LONG))) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert event.read_state() is False
    assert event.set() is False
    assert event.set() is True
    for thread in threads:
        thread.join(TIMEOUT)
    assert statuses == [STATUS_SUCCESS] * 3
    assert event.wait(0) == event.wait() == STATUS_SUCCESS
    assert event.read_state() is True


@pytest.mark.covers("KeInitializeEvent", "KeSetEvent", "KeWaitForSingleObject")
def test_synchronization_event_releases_one_and_resets_itself(bench: Bench) -> None:
    event = KEvent(bench.kernel, EventType.SYNCHRONIZATION, state=True)
    assert event.wait() == STATUS_SUCCESS
    assert event.wait(0) == STATUS_TIMEOUT
    assert event.set() is False
    assert event.set() is True
    assert event.wait(0) == STATUS_SUCCESS
    assert event.read_state() is False


@pytest.mark.covers("KeClearEvent", "KeResetEvent")
def test_event_is_cleared_and_reset(bench: Bench) -> None:
    event = KEvent(bench.kernel, state=True)
    assert event.reset() is True
    assert event.reset() is False
    event.set()
    event.clear()
    assert event.read_state() is False


@pytest.mark.covers("KeWaitForSingleObject")
def test_wait_ends_at_its_time(bench: Bench) -> None:
    event = KEvent(bench.kernel)
    start = perf_counter_ns()
    assert event.wait(SOON) == STATUS_TIMEOUT
    assert perf_counter_ns() - start >= 100_000
    now = query_system_time(bench.kernel)
    assert event.wait(now) == STATUS_TIMEOUT, "an absolute time that is over"
    assert event.wait(now + 1000) == STATUS_TIMEOUT
    assert event.wait(0) == STATUS_TIMEOUT


@pytest.mark.covers("KeWaitForSingleObject")
def test_wait_is_legal_at_apc_level(bench: Bench) -> None:
    irql = bench.kernel.raise_irql(APC_LEVEL)
    assert KEvent(bench.kernel).wait(SOON) == STATUS_TIMEOUT
    bench.kernel.lower_irql(irql)


@pytest.mark.covers("KeWaitForSingleObject", "KeDelayExecutionThread", "KeFlushQueuedDpcs")
@pytest.mark.parametrize(
    "wait",
    [
        lambda kernel: KEvent(kernel).wait(),
        lambda kernel: KEvent(kernel).wait(SOON),
        lambda kernel: KEvent(kernel).wait(10),
        lambda kernel: delay_execution_thread(kernel, SOON),
        lambda kernel: kernel.flush_queued_dpcs(),
    ],
    ids=["for ever", "relative", "absolute", "delay", "flush"],
)
def test_wait_in_a_dpc_is_an_attempted_switch(
    doomed: Bench, wait: Callable[[object], object]
) -> None:
    in_dpc(doomed, load_device(doomed), lambda: wait(doomed.kernel))
    assert bug_check(doomed).code == ATTEMPTED_SWITCH_FROM_DPC


@pytest.mark.covers("KeWaitForSingleObject", "KeSetEvent")
def test_event_may_be_looked_at_and_set_in_a_dpc(bench: Bench) -> None:
    event = KEvent(bench.kernel, EventType.SYNCHRONIZATION)
    seen: list[object] = []
    device = load_device(bench)
    in_dpc(bench, device, lambda: seen.extend((event.wait(0), event.set(), event.wait(0))))
    bench.kernel.flush_queued_dpcs()
    assert seen == [STATUS_TIMEOUT, False, STATUS_SUCCESS]


@pytest.mark.mistake("KmdfIrql", 0xC4)
@pytest.mark.covers("KeWaitForSingleObject")
def test_not_even_a_look_is_legal_above_dispatch_level(doomed: Bench) -> None:
    doomed.kernel.raise_irql(5)
    with pytest.raises(BugCheck) as stopped:
        KEvent(doomed.kernel).wait(0)
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.value.parameters == (0, 5, DISPATCH_LEVEL, 0)
    assert stopped.value.rule == "KmdfIrql"


@pytest.mark.covers("KeSetEvent")
@pytest.mark.parametrize(("irql", "wait"), [(DISPATCH_LEVEL + 1, False), (DISPATCH_LEVEL, True)])
def test_event_set_at_too_high_an_irql_is_a_verifier_bug_check(
    doomed: Bench, irql: int, wait: bool
) -> None:
    doomed.kernel.raise_irql(irql)
    with pytest.raises(BugCheck) as stopped:
        KEvent(doomed.kernel).set(wait=wait)
    assert stopped.value.parameters[:2] == (0x80, irql)
    assert stopped.value.rule == "IrqlKeSetEvent"


@pytest.mark.covers("KeSetEvent")
def test_event_set_with_wait_is_legal_at_passive_level(bench: Bench) -> None:
    event = KEvent(bench.kernel)
    assert event.set(wait=True) is False
    assert event.wait() == STATUS_SUCCESS


@pytest.mark.covers("KeDelayExecutionThread")
@pytest.mark.parametrize("absolute", [False, True])
def test_delay_lasts_at_least_its_time(bench: Bench, absolute: bool) -> None:
    start = perf_counter_ns()
    interval = query_system_time(bench.kernel) + 1000 if absolute else SOON
    assert delay_execution_thread(bench.kernel, interval) == STATUS_SUCCESS
    assert perf_counter_ns() - start >= 90_000


# Critical regions


@pytest.mark.covers("KeEnterCriticalRegion", "KeLeaveCriticalRegion")
def test_critical_regions_nest_and_are_each_threads_own(bench: Bench) -> None:
    kernel = bench.kernel
    kernel.enter_critical_region()
    kernel.enter_critical_region()
    others: list[int] = []
    thread = threading.Thread(target=lambda: others.append(kernel.current.critical_regions))
    thread.start()
    thread.join(TIMEOUT)
    assert (kernel.current.critical_regions, others) == (2, [0])
    kernel.leave_critical_region()
    kernel.leave_critical_region()
    assert kernel.current.critical_regions == 0


# Time and processors


@pytest.mark.covers("KeStallExecutionProcessor")
def test_stall_keeps_the_processor_and_lets_interrupts_in(bench: Bench) -> None:
    order: list[str] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        order.append("isr")
        return True

    def dpc(dpc: Dpc) -> None:
        start = perf_counter_ns()
        edu.raise_interrupt()
        stall_execution_processor(bench.kernel, 50)
        order.append("dpc")
        assert perf_counter_ns() - start >= 50_000
        assert bench.kernel.irql() == DISPATCH_LEVEL
        done.set()

    edu = bench.load(Plan(isr=isr))
    Dpc.create(DpcConfig(dpc), ObjectAttributes(parent_object=edu.device)).enqueue()
    done.wait()
    assert order == ["isr", "dpc"]


@pytest.mark.mistake("StallTooLong")
@pytest.mark.covers("KeStallExecutionProcessor")
def test_stall_that_is_too_long_breaks_a_rule(bench: Bench) -> None:
    start = perf_counter_ns()
    stall_execution_processor(bench.kernel, 51)
    assert perf_counter_ns() - start >= 51_000
    assert bench.violation().rule == "StallTooLong"


@pytest.mark.covers(
    "KeGetCurrentProcessorNumber", "KeGetCurrentProcessorNumberEx", "KeQueryActiveProcessorCount"
)
def test_processors_have_numbers(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    kernel = bench.kernel
    assert query_active_processor_count(kernel) == 2
    seen: list[int] = []
    for processor in kernel.processors:
        kernel.current.home = processor
        with SpinLock.create(
            ObjectAttributes(parent_object=load_device(bench, index=processor.number))
        ):
            seen.append(get_current_processor_number(kernel))
    assert seen == [0, 1]


@pytest.mark.covers("KeQuerySystemTime", "KeQueryInterruptTime", "KeQueryPerformanceCounter")
def test_time_is_told_in_windows_units(bench: Bench) -> None:
    kernel = bench.kernel
    seconds = query_system_time(kernel) / 10_000_000 - 11_644_473_600
    assert abs(seconds - time()) < 5
    first, (counter, frequency) = query_interrupt_time(kernel), query_performance_counter(kernel)
    delay_execution_thread(kernel, SOON)
    assert query_interrupt_time(kernel) >= first + 1000
    assert query_performance_counter(kernel)[0] >= counter + frequency // 10_000
    clock = ManualClock(system_time=500)
    assert (clock.now(), clock.system_time()) == (0, 500)


# System threads


def driver_object(bench: Bench) -> DriverObject:
    return bench.drivers[-1].driver_object


@pytest.mark.covers("PsCreateSystemThread", "PsTerminateSystemThread")
def test_system_thread_runs_at_passive_level_and_can_be_waited_for(bench: Bench) -> None:
    load_device(bench)
    seen: list[tuple[object, int, int]] = []

    def routine(context: object) -> None:
        seen.append((context, bench.kernel.irql(), threading.get_ident()))
        terminate_system_thread(bench.kernel, STATUS_UNSUCCESSFUL)

    thread = create_system_thread(driver_object(bench), routine, "context")
    assert thread.wait(LONG) == STATUS_SUCCESS
    assert seen[0][:2] == ("context", PASSIVE_LEVEL)
    assert seen[0][2] != threading.get_ident()
    assert thread.exit_status == STATUS_UNSUCCESSFUL


@pytest.mark.covers("PsTerminateSystemThread")
def test_thread_that_is_no_system_thread_cannot_terminate_itself(bench: Bench) -> None:
    assert terminate_system_thread(bench.kernel, STATUS_SUCCESS) == STATUS_INVALID_PARAMETER


@pytest.mark.covers("PsCreateSystemThread")
def test_system_thread_that_returns_has_ended(bench: Bench) -> None:
    load_device(bench)
    thread = create_system_thread(driver_object(bench), lambda context: None)
    assert thread.wait(LONG) == STATUS_SUCCESS
    assert thread.exit_status == STATUS_SUCCESS


@pytest.mark.mistake("SystemThreadLeft")
@pytest.mark.covers("PsCreateSystemThread")
def test_system_thread_that_outlives_its_driver_is_reported_with_its_line(bench: Bench) -> None:
    load_device(bench)
    load_device(bench, index=1)
    event = KEvent(bench.kernel)

    def forgotten(context: object) -> None:
        event.wait()

    running = Signal()

    def routine(context: object) -> None:
        running.set()
        forgotten(context)

    thread = create_system_thread(bench.drivers[0].driver_object, routine)
    running.wait()
    bench.drivers[1].unload()
    assert bench.violations() == [], "another driver's thread"
    bench.drivers[0].unload()
    found = bench.violation()
    assert found.rule == "SystemThreadLeft"
    assert any("test_kernel_routines.py:" in line for line in found.stack)
    event.set()
    assert thread.wait(LONG) == STATUS_SUCCESS


@pytest.mark.mistake("SYSTEM_THREAD_EXCEPTION_NOT_HANDLED", 0x7E)
@pytest.mark.covers("PsCreateSystemThread")
def test_exception_in_a_system_thread_is_a_bug_check(doomed: Bench) -> None:
    load_device(doomed)

    def broken(context: object) -> None:
        raise ValueError("broken")

    create_system_thread(driver_object(doomed), broken)
    stopped = bug_check(doomed)
    assert stopped.code == SYSTEM_THREAD_EXCEPTION_NOT_HANDLED
    assert stopped.parameters[0] == PYTHON_EXCEPTION
    assert "broken" in stopped.state.callback


@pytest.mark.mistake("IrqlPassive")
@pytest.mark.covers("PsCreateSystemThread", "PsTerminateSystemThread")
def test_thread_routines_are_for_passive_level(bench: Bench) -> None:
    device = load_device(bench)
    threads: list[KThread] = []
    in_dpc(
        bench,
        device,
        lambda: threads.append(create_system_thread(driver_object(bench), lambda context: None)),
    )
    bench.kernel.flush_queued_dpcs()
    threads[0].wait(LONG)
    found = bench.violation()
    assert found.rule == "IrqlPassive"
    assert found.message.startswith("PsCreateSystemThread at DISPATCH_LEVEL")


def test_system_joins_its_threads_at_the_end(boot: Callable[..., Bench]) -> None:
    bench = boot()
    load_device(bench)
    running = Signal()

    def waits(context: object) -> None:
        running.set()
        KEvent(bench.kernel).wait()

    def loops(context: object) -> None:
        while True:
            pass

    threads = [create_system_thread(driver_object(bench), each) for each in (waits, loops)]
    running.wait()
    assert [each.rule for each in bench.unload_and_look()] == ["SystemThreadLeft"] * 2
    bench.system.close()
    assert not any(each.thread.is_alive() for each in threads)
