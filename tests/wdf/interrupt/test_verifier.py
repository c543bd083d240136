# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The verifier's checks of ISRs, and the times of ISRs and DPCs."""

from collections.abc import Callable
from time import perf_counter_ns

import pytest

from pydriver.ke import BugCheck, KEvent
from pydriver.ke.bugcheck import DRIVER_VERIFIER_DETECTED_VIOLATION
from pydriver.ke.processor import DPC_GUIDELINE_NS, ISR_GUIDELINE_NS
from pydriver.ke.verifier import VerifierConfig
from pydriver.pci import InterruptMode
from pydriver.wdf import Device, Interrupt, InterruptPriority
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, Signal

QUIET = VerifierConfig(enabled=False)


def not_mine(interrupt: Interrupt, message: int) -> bool:
    return False


def ended(bench: Bench, edu: Edu) -> BugCheck:
    """The bug check that an interrupt leads to."""
    try:
        edu.raise_interrupt()
        KEvent(bench.kernel).wait(int(-TIMEOUT * 10_000_000))
    except BugCheck as stopped:
        return stopped
    raise AssertionError("no bug check")


@pytest.mark.mistake("KmdfIrql2", 0xC4)
@pytest.mark.covers("EvtInterruptIsr")
@pytest.mark.parametrize("mode", [InterruptMode.MSI, InterruptMode.INTX])
@pytest.mark.parametrize("cpus", [1, 2])
def test_isr_that_returns_at_another_irql_stops_the_system(
    boot: Callable[..., Bench], cpus: int, mode: InterruptMode
) -> None:
    bench = boot(cpus)

    def misbehaving_isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        bench.kernel.raise_irql(interrupt.irql + 1)
        return True

    edu = bench.load(Plan(isr=misbehaving_isr, mode=mode))
    level = edu.interrupt.irql
    stopped = ended(bench, edu)
    assert (stopped.code, stopped.rule) == (DRIVER_VERIFIER_DETECTED_VIOLATION, "KmdfIrql2")
    assert stopped.parameters == (0, level + 1, level, 0)
    assert "misbehaving_isr" in stopped.state.message


@pytest.mark.mistake("WdfInterruptLockRelease")
@pytest.mark.covers("EvtInterruptIsr", "WdfInterruptAcquireLock")
@pytest.mark.parametrize("mode", [InterruptMode.MSI, InterruptMode.INTX])
def test_isr_that_keeps_the_lock_of_another_interrupt_is_found(
    bench: Bench, mode: InterruptMode
) -> None:
    """Both have one SynchronizeIrql, so that the IRQL does not show it."""
    done = Signal()

    def misbehaving_isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        other.interrupt.acquire_lock()
        done.set()
        return True

    edu = bench.load(Plan(isr=misbehaving_isr, mode=mode))
    other = bench.load(Plan(isr=not_mine), 1)
    assert other.interrupt.synchronize_irql == edu.interrupt.synchronize_irql
    edu.raise_interrupt()
    done.wait()
    edu.registers.read32(0)
    found = bench.violation()
    assert found.rule == "WdfInterruptLockRelease"
    assert "misbehaving_isr" in found.message
    assert str(other.interrupt) in found.message
    other.interrupt._owner = None  # a second processor would wait forever


@pytest.mark.covers("EvtInterruptIsr", "WdfInterruptAcquireLock")
def test_isr_that_nests_in_a_lock_of_a_lower_interrupt_is_in_order(bench: Bench) -> None:
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        other.interrupt.acquire_lock()
        other.interrupt.release_lock()
        done.set()
        return True

    edu = bench.load(Plan(isr=isr))
    other = bench.load(Plan(isr=not_mine, priority=InterruptPriority.HIGH), 1)
    low = bench.load(Plan(isr=not_mine, priority=InterruptPriority.LOW), 2)
    low.interrupt.acquire_lock()
    edu.raise_interrupt()
    edu.link.sync()
    done.wait()
    low.interrupt.release_lock()
    assert bench.violations() == []


@pytest.mark.covers("EvtInterruptIsr")
def test_without_the_verifier_nothing_is_looked_at(boot: Callable[..., Bench]) -> None:
    bench = boot(1, QUIET)
    other_done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        other.interrupt.acquire_lock()
        other_done.set()
        return True

    edu = bench.load(Plan(isr=isr))
    other = bench.load(Plan(isr=not_mine), 1)
    edu.raise_interrupt()
    other_done.wait()
    edu.registers.read32(0)
    assert bench.violations() == []
    other.interrupt._owner = None


@pytest.mark.covers("EvtInterruptIsr", "EvtInterruptDpc")
def test_isrs_and_dpcs_that_take_too_long_are_counted(bench: Bench) -> None:
    done = Signal()

    def busy(duration: int) -> None:
        end = perf_counter_ns() + duration
        while perf_counter_ns() < end:
            pass

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        busy(2 * ISR_GUIDELINE_NS)
        return interrupt.queue_dpc_for_isr()

    def dpc(interrupt: Interrupt, device: Device) -> None:
        busy(2 * DPC_GUIDELINE_NS)
        done.set()

    edu = bench.load(Plan(isr=isr, dpc=dpc))
    bench.kernel.clear_summary()
    edu.raise_interrupt()
    done.wait()
    edu.registers.read32(0)
    summary = bench.kernel.summary()
    assert (summary["isr"].over, summary["dpc"].over) == (1, 1)
    assert summary["work_item"].over == 0
