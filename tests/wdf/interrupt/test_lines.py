# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Lines: the order of ISRs, sharing, unclaimed interrupts, and the end of a storm."""

from typing import Any

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.line import STORM, Line, LineMask
from pydriver.ke.status import STATUS_INSUFFICIENT_RESOURCES
from pydriver.pci import InterruptMode
from pydriver.trace import Event
from pydriver.wdf import Interrupt, ShareDisposition, TriState
from tests.harness.bench import Bench, Edu, Plan, Signal


def load(bench: Bench, isr: Any, index: int = 0, **config: Any) -> Edu:
    return bench.load(Plan(isr=isr, mode=InterruptMode.INTX, config=config), index)


def line_of(edu: Edu) -> Line:
    descriptor = edu.interrupt.descriptor
    assert descriptor is not None
    assert descriptor.line is not None
    return descriptor.line


def not_mine(interrupt: Interrupt, message: int) -> bool:
    return False


def storm(bench: Bench) -> Edu:
    """A device whose interrupt is not claimed, until the line is masked."""
    calls = 0
    last = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        nonlocal calls
        calls += 1
        if calls > STORM:
            return bool(edu.acknowledge())
        if calls == STORM:
            last.set()
        return False

    edu = load(bench, isr)
    edu.raise_interrupt()
    last.wait("the last interrupt of the storm")
    edu.registers.read32(0)  # waits until it has been served
    return edu


@pytest.mark.mistake("InterruptStorm")
@pytest.mark.covers("EvtInterruptIsr")
def test_storm_is_reported_and_ended_by_a_mask(bench: Bench) -> None:
    edu = storm(bench)
    line = line_of(edu)
    assert (edu.interrupt.unclaimed, line.unclaimed) == (STORM, STORM)
    assert line.masked is LineMask.STORM
    assert bench.system.vectors.ioapic.is_masked(line.gsi)
    found = bench.violation()
    assert found.rule == "InterruptStorm"
    assert str(line) in found.message
    assert str(edu.interrupt) in found.message
    events = [entry for entry in bench.kernel.recorder.last(20) if entry[1] is Event.STORM]
    assert [(entry[3], entry[5]) for entry in events] == [(line.block.base, STORM)]


@pytest.mark.covers("WdfInterruptEnable")
@pytest.mark.parametrize("way", ["enable", "another device", "report"])
def test_line_is_unmasked_after_a_storm_by_the_next_isr(bench: Bench, way: str) -> None:
    edu = storm(bench)
    bench.violation()
    before = edu.interrupt.interrupts
    if way == "enable":
        edu.interrupt.disable()
        edu.interrupt.enable()
    elif way == "report":
        edu.interrupt.report_inactive()
        edu.interrupt.report_active()
    else:
        load(bench, not_mine, 2)
    edu.registers.read32(0)
    assert not line_of(edu).masked
    assert edu.interrupt.interrupts == before + 1, "the level was still active"
    assert edu.acknowledge() == 0


@pytest.mark.covers("EvtInterruptIsr")
def test_claim_ends_the_count_of_a_storm(bench: Bench) -> None:
    calls = 0
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        nonlocal calls
        calls += 1
        if calls == STORM:
            edu.acknowledge()
            done.set()
            return True
        return False

    edu = load(bench, isr)
    edu.raise_interrupt()
    done.wait()
    edu.registers.read32(0)
    assert line_of(edu).unclaimed == STORM - 1
    assert line_of(edu).unclaimed_in_a_row == 0
    assert not line_of(edu).masked


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.ShareVector", "WDF_INTERRUPT_INFO.ShareDisposition")
@pytest.mark.parametrize(
    ("first", "second"),
    [(TriState.FALSE, TriState.USE_DEFAULT), (TriState.TRUE, TriState.FALSE)],
    ids=["taken alone", "wanted alone"],
)
def test_line_that_is_not_to_be_shared_has_one_device(
    bench: Bench, first: TriState, second: TriState
) -> None:
    edu = load(bench, not_mine, 0, share_vector=first)
    alone = first is TriState.FALSE
    disposition = edu.interrupt.get_info().share_disposition
    expected = ShareDisposition.DEVICE_EXCLUSIVE if alone else ShareDisposition.SHARED
    assert disposition is expected
    with pytest.raises(NtStatusError) as conflict:
        load(bench, not_mine, 2, share_vector=second)
    assert conflict.value.status == STATUS_INSUFFICIENT_RESOURCES


@pytest.mark.covers("WdfInterruptReportInactive", "WdfInterruptReportActive")
def test_inactive_isr_is_passed_over_and_the_last_one_masks_the_line(bench: Bench) -> None:
    called: list[str] = []

    def make(name: str) -> Any:
        def isr(interrupt: Interrupt, message: int) -> bool:
            called.append(name)
            return bool(devices[name].acknowledge())

        return isr

    devices: dict[str, Edu] = {}
    devices["first"] = load(bench, make("first"))
    devices["second"] = load(bench, make("second"), 2)
    first, second = devices["first"], devices["second"]
    line = line_of(first)

    first.interrupt.report_inactive()
    first.interrupt.report_inactive()
    second.raise_interrupt()
    second.registers.read32(0)
    second.registers.read32(0)
    assert called == ["second"]
    assert not line.masked

    second.interrupt.report_inactive()
    assert line.masked is LineMask.IDLE
    first.raise_interrupt()
    first.registers.read32(0)
    assert called == ["second"]

    first.interrupt.report_active()
    first.registers.read32(0)
    assert called == ["second", "first"], "the level was still active"


@pytest.mark.covers("WdfInterruptReportActive")
def test_isr_that_is_active_again_has_its_place_in_the_chain(bench: Bench) -> None:
    called: list[str] = []

    def make(name: str) -> Any:
        def isr(interrupt: Interrupt, message: int) -> bool:
            called.append(name)
            return bool(devices[name].acknowledge())

        return isr

    devices: dict[str, Edu] = {}
    devices["first"] = load(bench, make("first"))
    devices["second"] = load(bench, make("second"), 2)
    devices["first"].interrupt.report_inactive()
    devices["first"].interrupt.report_active()
    devices["second"].raise_interrupt()
    devices["second"].registers.read32(0)
    devices["second"].registers.read32(0)
    assert called == ["first", "second"]


@pytest.mark.mistake("InterruptNotConnected")
@pytest.mark.covers("WdfInterruptReportInactive", "WdfInterruptReportActive")
def test_report_without_a_connection_is_a_violation(bench: Bench) -> None:
    edu = load(bench, not_mine)
    edu.interrupt.disable()
    edu.interrupt.report_inactive()
    edu.interrupt.report_active()
    assert [each.rule for each in bench.violations()] == ["InterruptNotConnected"] * 2


@pytest.mark.covers("WdfInterruptDisable", "EvtInterruptIsr")
def test_isr_that_leaves_a_shared_line_leaves_the_other_one(bench: Bench) -> None:
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        second.acknowledge()
        done.set()
        return True

    first = load(bench, not_mine)
    second = load(bench, isr, 2)
    first.interrupt.disable()
    second.raise_interrupt()
    done.wait()
    assert first.interrupt.interrupts == 0
