# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver bench`: every part gives its figures, whose values are not tested."""

import json

import pytest

from .command import assert_error, run

SHORT = ("--repetitions", "1", "--count", "100")


def measured(*arguments: str) -> dict[str, object]:
    result = run("bench", *SHORT, "--json", *arguments)
    assert result.code == 0, result.stderr
    report: dict[str, object] = json.loads(result.stdout)
    return report


def test_interrupt_path_is_measured_with_its_ratios() -> None:
    report = measured("interrupts")
    assert "nvme" not in report
    assert "processors" not in report
    assert report["ratios"].keys() >= {"isr_us/upcall_us", "upcall_us/floor_us"}
    assert all(value > 0 for value in report["ratios"].values())


def test_nvme_is_measured_at_each_depth_beside_qtest() -> None:
    figures = measured("nvme")["nvme"]
    assert {each["depth"] for each in figures} == {1, 4, 16, 64}
    ways = {each["way"] for each in figures}
    assert ways == {"qtest", "qtest, shared memory", "driver, 1 queue", "driver, 4 queues"}
    assert len(figures) == 16
    for each in figures:
        assert each["us"] > 0
        assert each["p99_us"] > 0
        assert each["ratio_to_qtest"] > 0


@pytest.mark.timeout(180)  # fifteen vCPUs, perhaps on two processors
def test_processors_are_measured_with_their_latency() -> None:
    figures = measured("processors")["processors"]
    loads = [(each["load"], each["processors"]) for each in figures]
    assert loads == [
        (load, processors)
        for load in ("empty request", "copy of 64 KiB")
        for processors in (1, 2, 4, 8)
    ]
    assert all(each["p99_us"] > 0 for each in figures)
    assert figures[0]["ratio_to_one"] == 1


def test_part_that_there_is_not_is_refused() -> None:
    assert_error(run("bench", "nonesuch"), 2, "nonesuch")
