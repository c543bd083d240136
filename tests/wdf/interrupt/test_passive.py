# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Interrupts that are handled at PASSIVE_LEVEL."""

import threading
from typing import Any

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.line import LineMask
from pydriver.ke.status import STATUS_NOT_SUPPORTED, STATUS_TIMEOUT
from pydriver.pci import InterruptMode
from pydriver.wdf import Device, Interrupt, ObjectAttributes, WaitLock
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, Signal


def load(bench: Bench, isr: Any, index: int = 0, dpc: Any = None, **config: Any) -> Edu:
    config = {"passive_handling": True, **config}
    return bench.load(Plan(isr=isr, dpc=dpc, mode=InterruptMode.INTX, config=config), index)


def masked(edu: Edu) -> bool:
    vectors = edu.device.system.vectors
    return bool(vectors.ioapic.is_masked(edu.device.function.intx_gsi))


@pytest.mark.covers("EvtInterruptIsr", "WDF_INTERRUPT_CONFIG.PassiveHandling")
def test_isr_runs_on_a_thread_at_passive_level_while_the_line_is_masked(bench: Bench) -> None:
    seen: list[tuple[int, str, bool]] = []
    done = [Signal(), Signal()]

    def isr(interrupt: Interrupt, message: int) -> bool:
        with bench.kernel.borrowed() as link:
            irql = link.get_cr8()
        seen.append((irql, threading.current_thread().name, masked(edu)))
        edu.acknowledge()
        done[len(seen) - 1].set()
        return True

    edu = load(bench, isr)
    for signal in done:
        edu.raise_interrupt()
        signal.wait("the ISR: the line is unmasked after each")
    assert seen == [(PASSIVE_LEVEL, f"pydriver-line {edu.device.function.intx_gsi}", True)] * 2
    assert edu.interrupt.interrupts == 2
    assert edu.interrupt.unclaimed == 0


@pytest.mark.covers("WDF_INTERRUPT_INFO.Irql")
def test_passive_interrupt_says_that_its_irql_is_passive(bench: Bench) -> None:
    edu = load(bench, lambda interrupt, message: False)
    info = edu.interrupt.get_info()
    assert info.irql == PASSIVE_LEVEL
    assert info.vector == edu.interrupt.vector != 0
    assert edu.interrupt.synchronize_irql == PASSIVE_LEVEL


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.PassiveHandling")
def test_message_cannot_be_handled_at_passive_level(bench: Bench) -> None:
    plan = Plan(
        isr=lambda interrupt, message: False,
        mode=InterruptMode.MSI,
        config={"passive_handling": True},
    )
    with pytest.raises(NtStatusError) as refused:
        bench.load(plan)
    assert refused.value.status == STATUS_NOT_SUPPORTED


@pytest.mark.covers(
    "EvtInterruptEnable", "EvtInterruptDisable", "EvtInterruptSynchronize", "WdfInterruptDisable"
)
def test_callbacks_run_at_passive_level_under_the_wait_lock(bench: Bench) -> None:
    seen: list[tuple[str, int, int]] = []

    def note(what: str, interrupt: Interrupt) -> None:
        lock = interrupt.wait_lock
        assert lock is not None
        seen.append((what, bench.kernel.irql(), lock.acquire(0)))

    def synchronized(interrupt: Interrupt, context: object) -> bool:
        note("synchronize", interrupt)
        return context == "yes"

    edu = load(
        bench,
        lambda interrupt, message: False,
        evt_interrupt_enable=lambda interrupt, device: note("enable", interrupt),
        evt_interrupt_disable=lambda interrupt, device: note("disable", interrupt),
    )
    assert edu.interrupt.synchronize(synchronized, "yes") is True
    assert edu.interrupt.synchronize(synchronized, "no") is False
    edu.interrupt.disable()
    expected = ["enable", "synchronize", "synchronize", "disable"]
    assert seen == [(what, PASSIVE_LEVEL, STATUS_TIMEOUT) for what in expected]


@pytest.mark.covers("WdfInterruptAcquireLock", "WdfInterruptReleaseLock")
def test_isr_waits_for_who_holds_the_lock(bench: Bench) -> None:
    order: list[str] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        order.append("isr")
        edu.acknowledge()
        done.set()
        return True

    edu = load(bench, isr)
    edu.interrupt.acquire_lock()
    assert bench.kernel.irql() == PASSIVE_LEVEL
    edu.raise_interrupt()
    edu.registers.read32(0)
    edu.registers.read32(0)
    assert masked(edu), "the interrupt has arrived"
    order.append("release")
    edu.interrupt.release_lock()
    done.wait()
    assert order == ["release", "isr"]


@pytest.mark.covers("WdfInterruptTryToAcquireLock", "WDF_INTERRUPT_CONFIG.WaitLock")
def test_lock_is_tried_without_waiting_and_may_be_shared(bench: Bench) -> None:
    tries: list[bool] = []
    edu = load(bench, lambda interrupt, message: False)
    lock = WaitLock.create(ObjectAttributes(parent_object=edu.device))
    other = load(bench, lambda interrupt, message: False, 1, wait_lock=lock).interrupt

    def attempt() -> None:
        tries.append(other.try_to_acquire_lock())
        if tries[-1]:
            other.release_lock()

    def elsewhere() -> None:
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join(TIMEOUT)

    elsewhere()
    lock.acquire()
    elsewhere()
    lock.release()
    assert other.try_to_acquire_lock()
    elsewhere()
    other.release_lock()
    assert tries == [True, False, False]
    assert edu.interrupt.wait_lock is not lock, "a private one, if none is given"


@pytest.mark.covers(
    "EvtInterruptDpc",
    "WdfInterruptAcquireLock",
    "WdfInterruptReleaseLock",
    "WdfInterruptTryToAcquireLock",
    "WdfInterruptSynchronize",
)
def test_dpc_of_a_passive_interrupt_cannot_have_its_lock(bench: Bench) -> None:
    seen: list[object] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        return interrupt.queue_dpc_for_isr()

    def dpc(interrupt: Interrupt, device: Device) -> None:
        seen.append(bench.kernel.irql())
        interrupt.acquire_lock()
        interrupt.release_lock()
        seen.append(interrupt.try_to_acquire_lock())
        seen.append(interrupt.synchronize(lambda interrupt, context: True))
        done.set()

    edu = load(bench, isr, dpc=dpc)
    edu.raise_interrupt()
    done.wait()
    assert seen == [DISPATCH_LEVEL, False, False]
    found = bench.violations()
    assert {each.rule for each in found} == {"KmdfIrql"}
    assert [each.message.split()[0] for each in found] == [
        "WdfInterruptAcquireLock",
        "WdfInterruptReleaseLock",
        "WdfInterruptTryToAcquireLock",
        "WdfInterruptSynchronize",
    ]


@pytest.mark.covers("EvtInterruptWorkItem", "WdfInterruptQueueWorkItemForIsr")
def test_work_item_of_a_passive_interrupt_is_queued_directly(bench: Bench) -> None:
    answers: list[bool] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        answers.append(interrupt.queue_work_item_for_isr())
        return True

    def work(interrupt: Interrupt, device: Device) -> None:
        done.set()

    edu = load(bench, isr, evt_interrupt_work_item=work)
    edu.raise_interrupt()
    done.wait()
    assert answers == [True]
    assert edu.interrupt.dpcs_queued == 0


@pytest.mark.covers("EvtInterruptIsr")
def test_passive_isr_comes_after_those_at_dirql_on_its_line(bench: Bench) -> None:
    called: list[str] = []
    claimed = {"passive": Signal(), "dirql": Signal()}

    def make(name: str) -> Any:
        def isr(interrupt: Interrupt, message: int) -> bool:
            called.append(name)
            if not devices[name].acknowledge():
                return False
            claimed[name].set()
            return True

        return isr

    devices: dict[str, Edu] = {}
    devices["passive"] = load(bench, make("passive"))
    devices["dirql"] = load(bench, make("dirql"), 2, passive_handling=False)
    devices["dirql"].raise_interrupt()
    claimed["dirql"].wait()
    devices["passive"].raise_interrupt()
    claimed["passive"].wait()
    assert called == ["dirql", "dirql", "passive"]
    assert devices["dirql"].interrupt.unclaimed == 1


@pytest.mark.covers("EvtInterruptIsr")
def test_passive_isrs_share_a_line(bench: Bench) -> None:
    called: list[str] = []
    done = Signal()

    def make(name: str) -> Any:
        def isr(interrupt: Interrupt, message: int) -> bool:
            called.append(name)
            if not devices[name].acknowledge():
                return False
            done.set()
            return True

        return isr

    devices: dict[str, Edu] = {}
    devices["first"] = load(bench, make("first"))
    devices["second"] = load(bench, make("second"), 2)
    devices["second"].raise_interrupt()
    done.wait()
    assert called == ["first", "second"]


@pytest.mark.covers("WdfInterruptDisable", "WdfInterruptEnable")
def test_disconnection_waits_for_the_passive_isr_and_ends_its_thread(bench: Bench) -> None:
    order: list[str] = []
    running, go_on = Signal(), Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        order.append("isr begins")
        running.set()
        go_on.wait()
        order.append("isr ends")
        return True

    edu = load(bench, isr)
    line = edu.interrupt.descriptor and edu.interrupt.descriptor.line
    assert line is not None
    edu.raise_interrupt()
    running.wait()
    thread = threading.Thread(target=edu.interrupt.disable)
    thread.start()
    go_on.set()
    thread.join(TIMEOUT)
    order.append("disabled")
    assert order == ["isr begins", "isr ends", "disabled"]
    assert f"pydriver-{line}" not in {each.name for each in threading.enumerate()}
    assert line.masked is LineMask.IDLE
    edu.interrupt.enable()
    assert not line.masked


@pytest.mark.covers("EvtInterruptIsr")
def test_storm_on_a_passive_line_ends_too(bench: Bench) -> None:
    stormed = Signal()
    edu = load(bench, lambda interrupt, message: False)
    line = edu.interrupt.descriptor and edu.interrupt.descriptor.line
    assert line is not None
    record = bench.kernel.verifier.violation

    def violation(rule: str, message: str, subject: object = None) -> None:
        record(rule, message, subject)
        stormed.set()

    bench.kernel.verifier.violation = violation  # type: ignore[method-assign]
    try:
        edu.raise_interrupt()
        stormed.wait()
    finally:
        del bench.kernel.verifier.violation  # type: ignore[method-assign]
    edu.acknowledge()
    assert LineMask.STORM in line.masked
    assert bench.violation().rule == "InterruptStorm"
