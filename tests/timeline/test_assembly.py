# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The assembly of a timeline from entries; a system without a trace has none of its parts."""

import io
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from pydriver.ke import KDpc
from pydriver.link import ProcessorLink
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from pydriver.timeline.assemble import assemble
from pydriver.timeline.perfetto import TraceError, read_trace, write_trace
from pydriver.timeline.timeline import Category, Timeline
from pydriver.trace import Capture, Durations, Event


def captured(*entries: tuple[int, Event, int, int, object, object]) -> Capture:
    """A capture of one processor with APIC ID 0."""
    capture = Capture()
    capture.apic_ids.append(0)
    for entry in entries:
        capture.append(entry)
    return capture


def slices(timeline: Timeline, category: Category) -> list[tuple[int, int | None]]:
    """The begin and end times of the slices of a category."""
    return [(each.begin, each.end) for each in timeline.of(category)]


def test_isr_in_a_dpc_is_inside_it_and_irql_follows() -> None:
    timeline = assemble(
        captured(
            (10, Event.DPC_QUEUED, 0, 0, "d", None),
            (20, Event.DPC, 0, 2, "d", None),
            (30, Event.ISR, 0, 0x65, "i", 0),
            (40, Event.ISR_END, 0, 10, None, None),
            (50, Event.DPC_END, 0, 30, None, None),
        )
    )
    assert slices(timeline, Category.ISR) == [(30, 40)]
    assert slices(timeline, Category.DPC) == [(20, 50)]
    assert slices(timeline, Category.QUEUED) == [(10, 20)]
    assert timeline.counters[0].samples == [(20, 2), (30, 6), (40, 2), (50, 0)]


def test_irql_stays_at_dispatch_level_between_two_dpcs_of_one_queue() -> None:
    timeline = assemble(
        captured(
            (1, Event.DPC_QUEUED, 0, 0, "a", None),
            (2, Event.DPC_QUEUED, 0, 0, "b", None),
            (3, Event.DPC, 0, 2, "a", None),
            (4, Event.DPC_END, 0, 1, None, None),
            (5, Event.DPC, 0, 2, "b", None),
            (6, Event.DPC_END, 0, 1, None, None),
        )
    )
    assert timeline.counters[0].samples == [(3, 2), (6, 0)]
    assert slices(timeline, Category.RUNNING) == [(3, 4), (5, 6)]


def test_dpc_for_another_processor_comes_from_the_one_that_queued_it() -> None:
    def routine(dpc: KDpc, context: None, first: object, last: object) -> None:
        """A DPC that is sent to another processor."""

    def queue(dpc: KDpc, target: KDpc, first: object, last: object) -> None:
        assert kernel.current.processor is kernel.processors[0]
        target.insert()

    capture = Capture()
    with System(SystemConfig(MachineConfig(cpus=2, bar2=0), trace=capture)) as system:
        kernel = system.kernel
        there = KDpc.initialize(kernel, routine)
        there.set_target_processor(1)
        here = KDpc.initialize(kernel, queue, there)
        here.set_target_processor(0)
        here.insert()
        kernel.flush_queued_dpcs()
    timeline = assemble(capture)
    dpcs = {each.name: each for each in timeline.of(Category.DPC)}
    cause, effect = dpcs["KDPC queue"], dpcs["KDPC routine"]
    tracks = {track.number: track.name for track in timeline.tracks}
    assert [tracks[each.track] for each in (cause, effect)] == ["processor 0", "processor 1"]
    assert set(cause.flows) & set(effect.flows)


def test_message_that_finds_its_vector_pending_is_merged() -> None:
    capture = captured(
        (50_000, Event.ISR, 0, 0x65, "i", 0), (60_000, Event.ISR_END, 0, 10_000, None, None)
    )
    capture.offset = 0
    for micros in (30, 40):
        capture._lines.append(
            b"7@0.%06d:apic_deliver_irq dest 0 dest_mode 0 delivery_mode 0 vector 101 "
            b"trigger_mode 0\n" % micros
        )
    timeline = assemble(capture)
    assert slices(timeline, Category.PENDING) == [(30_000, 50_000)]
    assert slices(timeline, Category.MERGED) == [(40_000, None)]


def test_message_between_delivery_and_isr_belongs_to_the_next_isr() -> None:
    capture = captured(
        (50_000, Event.ISR, 0, 0x65, "i", 0),
        (60_000, Event.ISR_END, 0, 10_000, None, None),
        (61_000, Event.ISR, 0, 0x65, "i", 0),
        (62_000, Event.ISR_END, 0, 1_000, None, None),
    )
    capture.offset = 0
    for micros in (30, 40):
        capture._lines.append(
            b"7@0.%06d:apic_deliver_irq dest 0 dest_mode 0 delivery_mode 0 vector 101 "
            b"trigger_mode 0\n" % micros
        )
    timeline = assemble(capture)
    assert slices(timeline, Category.PENDING) == [(30_000, 50_000), (40_000, 61_000)]
    assert slices(timeline, Category.MERGED) == []


def test_capture_keeps_the_last_entries_and_says_that_it_is_full() -> None:
    capture = Capture(capacity=3)
    for time in range(5):
        capture.append((time, Event.CALL, 0, 0, None, "DDI"))
    assert [entry[0] for entry in capture] == [2, 3, 4]
    assert [entry[0] for entry in capture.last(2)] == [3, 4]
    assert capture.full
    capture.apic_ids.append(0)
    assert "missing" in assemble(capture).about
    assert "missing" not in assemble(captured()).about


def test_untraced_system_has_the_plain_parts() -> None:
    with System(SystemConfig(MachineConfig(bar2=0))) as system:
        processor = system.kernel.processors[0]
        assert type(processor.link) is ProcessorLink
        assert type(processor.dpcs) is deque
        assert type(processor.isr_durations) is type(processor.dpc_durations) is Durations
        assert type(system.kernel.workers.durations) is Durations
        arguments = Path(f"/proc/{system.machine.pid}/cmdline").read_bytes().split(b"\0")
        assert b"-device" in arguments
        assert b"-trace" not in arguments


@pytest.mark.timeout(180)  # a long run, and all of it
def test_what_is_written_is_read_again(short_run: Timeline) -> None:
    output = io.BytesIO()
    write_trace(short_run, output)
    again = read_trace(output.getvalue())

    def key(timeline: Timeline) -> list[list[Any]]:
        return sorted(
            [
                timeline.tracks[each.track].name,
                each.begin,
                each.end or 0,
                each.category,
                each.name,
                sorted(each.values.items()),
                each.flows,
            ]
            for each in timeline.slices
        )

    assert key(again) == key(short_run)
    assert again.counters == short_run.counters
    assert again.about == short_run.about


@pytest.mark.parametrize("cut", [0.3, 0.5, 0.99])
def test_trace_that_was_cut_short_is_refused(short_run: Timeline, cut: float) -> None:
    output = io.BytesIO()
    write_trace(short_run, output)
    data = output.getvalue()
    with pytest.raises(TraceError, match="damaged"):
        read_trace(data[: int(len(data) * cut)])
