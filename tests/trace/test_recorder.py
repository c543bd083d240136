# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The recorder and the statistics, without a machine."""

from pydriver.trace import Durations, Event, Recorder, summarise


def test_recorder_keeps_the_last_entries_only() -> None:
    recorder = Recorder(capacity=3)
    for number in range(5):
        recorder.append((number, Event.CALL, 0, 2, None, number))
    assert [entry[0] for entry in recorder.last()] == [2, 3, 4]
    assert [entry[0] for entry in recorder.last(2)] == [3, 4]
    assert recorder.last(0) == []


def test_lines_say_when_where_at_which_level_and_what() -> None:
    recorder = Recorder()
    recorder.append((1_000_000, Event.ISR, 1, 0x65, "interrupt 0", 0))
    recorder.append((1_001_500, Event.COMPLETE, -1, 0xC0000120, "queue", 7))
    isr, complete = recorder.format()
    assert isr.split() == ["-1.5", "us", "cpu1", "vector", "0x65", "ISR", "interrupt", "0", "0"]
    assert complete.split() == [
        *("+0.0", "us", "-", "0xC0000120", "COMPLETE", "queue", "request", "7")
    ]


def test_durations_of_several_processors_are_summarised_together() -> None:
    parts = [Durations(), Durations()]
    for value in range(1, 101):
        parts[value % 2].add(value * 1000)
    summary = summarise(parts)
    assert summary.count == 100
    assert summary.mean_us == 50.5
    assert (summary.p50_us, summary.p99_us, summary.max_us) == (50.0, 99.0, 100.0)
    for part in parts:
        part.clear()
    assert summarise(parts).count == summarise([]).count == 0


def test_samples_are_bounded_and_the_count_is_not() -> None:
    durations = Durations(samples=10)
    for value in range(100):
        durations.add(value)
    assert durations.count == 100
    assert list(durations.samples) == list(range(90, 100))
    assert durations.longest == 99


def test_durations_over_the_limit_are_counted() -> None:
    durations = Durations(limit=25)
    for value in (10, 26, 25, 30, 20, 28):
        durations.add(value)
    assert (durations.over, durations.longest) == (3, 30)
    assert summarise([durations]).over == 3
    durations.clear()
    durations.add(24)
    assert (durations.over, durations.longest) == (0, 24)
