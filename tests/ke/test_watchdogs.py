# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The watchdogs: code that does not return ends the system, and leaves nothing running."""

import threading
from collections.abc import Callable

import pytest

from pydriver.ke import BugCheck, KEvent, VerifierConfig
from pydriver.ke.bugcheck import DPC_WATCHDOG_VIOLATION, DRIVER_POWER_STATE_FAILURE
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.wdf import (
    Dpc,
    DpcConfig,
    Interrupt,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    SpinLock,
    WorkItem,
    WorkItemConfig,
)
from tests.harness.bench import TIMEOUT, Bench, Plan, Signal
from tests.harness.serialized import load_device

IMPATIENT = VerifierConfig(dpc_timeout=0.5, power_timeout=0.5)
FOREVER = int(-TIMEOUT * 10_000_000)


def ended(bench: Bench) -> BugCheck:
    """Waits for the bug check of the system."""
    with pytest.raises(BugCheck) as stopped:
        KEvent(bench.kernel).wait(FOREVER)
    return stopped.value


@pytest.fixture
def impatient(boot: Callable[..., Bench]) -> Callable[..., Bench]:
    """Boots systems whose watchdogs have short timeouts."""
    return lambda cpus=1: boot(cpus, IMPATIENT)


def close_and_look(bench: Bench, before: set[threading.Thread]) -> None:
    """Ends a system that has failed: none of its threads may be left."""
    bench.system.close()
    left = [each for each in threading.enumerate() if each not in before]
    assert not left, left


@pytest.mark.mistake("DPC_WATCHDOG_VIOLATION", 0x133)
def test_dpc_that_never_returns_is_a_watchdog_violation_with_its_line(
    impatient: Callable[..., Bench],
) -> None:
    before = set(threading.enumerate())
    bench = impatient()

    def loops(dpc: Dpc) -> None:
        while True:
            pass

    device = load_device(bench)
    Dpc.create(DpcConfig(loops), ObjectAttributes(parent_object=device)).enqueue()
    stopped = ended(bench)
    assert (stopped.code, stopped.parameters[0]) == (DPC_WATCHDOG_VIOLATION, 0)
    assert stopped.parameters[1] >= stopped.parameters[2] == 32, "ticks of 1/64 s"
    assert "loops (test_watchdogs.py:" in stopped.state.callback
    assert (stopped.state.processor, stopped.state.irql) == (0, DISPATCH_LEVEL)
    close_and_look(bench, before)


def test_dpc_that_reads_registers_for_ever_is_found_too(impatient: Callable[..., Bench]) -> None:
    before = set(threading.enumerate())
    bench = impatient()
    edu = bench.load()

    def polls(dpc: Dpc) -> None:
        while edu.registers.read32(0):
            pass

    Dpc.create(DpcConfig(polls), ObjectAttributes(parent_object=edu.device)).enqueue()
    stopped = ended(bench)
    assert stopped.code == DPC_WATCHDOG_VIOLATION
    assert "polls (test_watchdogs.py:" in stopped.state.callback
    close_and_look(bench, before)


@pytest.mark.mistake("DPC_WATCHDOG_VIOLATION", 0x133)
def test_isr_that_never_returns_is_a_watchdog_violation(impatient: Callable[..., Bench]) -> None:
    before = set(threading.enumerate())
    bench = impatient()

    def loops(interrupt: Interrupt, message: int) -> bool:
        while True:
            pass

    edu = bench.load(Plan(isr=loops))
    edu.raise_interrupt()
    stopped = ended(bench)
    assert (stopped.code, stopped.parameters[0]) == (DPC_WATCHDOG_VIOLATION, 0)
    assert "loops" in stopped.state.callback
    assert stopped.state.irql == edu.interrupt.irql
    close_and_look(bench, before)


@pytest.mark.mistake("DPC_WATCHDOG_VIOLATION", 0x133)
def test_spin_lock_that_is_held_for_ever_is_a_watchdog_violation(
    impatient: Callable[..., Bench],
) -> None:
    before = set(threading.enumerate())
    bench = impatient(2)
    kernel = bench.kernel
    device = load_device(bench)
    lock = SpinLock.create(ObjectAttributes(parent_object=device))
    held = Signal()
    outcomes: list[BaseException] = []

    def holds(item: WorkItem) -> None:
        kernel.current.home = kernel.processors[0]
        lock.acquire()
        held.set()
        while True:
            pass

    def waits() -> None:
        held.wait()
        kernel.current.home = kernel.processors[1]
        try:
            lock.acquire()
        except BugCheck as stopped:
            outcomes.append(stopped)

    thread = threading.Thread(target=waits)
    thread.start()
    WorkItem.create(WorkItemConfig(holds), ObjectAttributes(parent_object=device)).enqueue()
    stopped = ended(bench)
    assert (stopped.code, stopped.parameters[0]) == (DPC_WATCHDOG_VIOLATION, 1)
    assert stopped.state.irql == DISPATCH_LEVEL
    thread.join(TIMEOUT)
    assert [type(each).__name__ for each in outcomes] == ["BugCheck"]
    close_and_look(bench, before)


def test_dpcs_that_keep_returning_are_no_violation(impatient: Callable[..., Bench]) -> None:
    bench = impatient()
    done = Signal()
    runs = 0
    device = load_device(bench)

    def again(dpc: Dpc) -> None:
        nonlocal runs
        runs += 1
        if bench.kernel.timers.clock.now() - start > 10_000_000:
            done.set()

    start = bench.kernel.timers.clock.now()
    dpc = Dpc.create(DpcConfig(again), ObjectAttributes(parent_object=device))
    while not done._event.is_set():
        dpc.enqueue()
        bench.kernel.flush_queued_dpcs()
    assert runs > 10
    assert bench.kernel.failure is None


@pytest.mark.mistake("DPC_WATCHDOG_VIOLATION", 0x133)
def test_dpcs_that_queue_themselves_for_ever_are_a_watchdog_violation_together(
    boot: Callable[..., Bench],
) -> None:
    before = set(threading.enumerate())
    bench = boot(1, VerifierConfig(dpc_timeout=0.25))
    device = load_device(bench)

    def again(dpc: Dpc) -> None:
        dpc.enqueue()

    Dpc.create(DpcConfig(again), ObjectAttributes(parent_object=device)).enqueue()
    stopped = ended(bench)
    assert (stopped.code, stopped.parameters[0]) == (DPC_WATCHDOG_VIOLATION, 1)
    assert stopped.parameters[1] >= 6 * 16, "ticks of 1/64 s"
    close_and_look(bench, before)


@pytest.mark.mistake("DRIVER_POWER_STATE_FAILURE", 0x9F)
@pytest.mark.parametrize("how", ["loops", "waits"])
def test_power_callback_that_never_returns_is_a_power_state_failure(
    impatient: Callable[..., Bench], how: str
) -> None:
    before = set(threading.enumerate())
    bench = impatient()

    def d0_entry(device: object, previous: object) -> None:
        if how == "waits":
            KEvent(bench.kernel).wait()
        while True:
            pass

    with pytest.raises(BugCheck) as stopped:
        bench.load(Plan(callbacks=PnpPowerEventCallbacks(evt_device_d0_entry=d0_entry)))
    assert (stopped.value.code, stopped.value.parameters[0]) == (DRIVER_POWER_STATE_FAILURE, 3)
    assert "EvtDeviceD0Entry" in stopped.value.state.message
    assert any("d0_entry (test_watchdogs.py:" in line for line in stopped.value.state.stack)
    close_and_look(bench, before)


def test_watchdog_does_not_look_with_the_verifier_off(boot: Callable[..., Bench]) -> None:
    bench = boot(1, VerifierConfig(enabled=False, dpc_timeout=0.05))
    device = load_device(bench)
    clock = bench.kernel.timers.clock

    def slow(dpc: Dpc) -> None:
        end = clock.now() + 3_000_000
        while clock.now() < end:
            pass

    Dpc.create(DpcConfig(slow), ObjectAttributes(parent_object=device)).enqueue()
    bench.kernel.flush_queued_dpcs()
    assert bench.kernel.failure is None
