# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A run's trace in Perfetto's own trace processor: SQL over it gives what the run reported."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from perfetto.trace_processor import TraceProcessor

from .command import run

Load = Callable[[Path], TraceProcessor]

BY_CATEGORY = "select category as key, count(*) as n from slice group by category"
BY_INTERRUPT = """
select extract_arg(arg_set_id, 'debug.object') as key, count(*) as n
from slice where category = 'isr' group by key
"""
COMPLETED = """
select t.name as key, count(*) as n from slice s join track t on s.track_id = t.id
where s.category = 'completed' group by key
"""
FLOWS = """
select a.category || ' ' || b.category as key, count(*) as n
from flow f join slice a on f.slice_out = a.id join slice b on f.slice_in = b.id group by key
"""
ERRORS = """
select name as key, value as n from stats
where severity in ('error', 'data_loss') and value != 0
"""
IRQLS = """
select cast(value as int) as key, count(*) as n
from counter c join counter_track t on c.track_id = t.id
where t.name like 'IRQL of processor %' group by key
"""
ENDLESS = "select category as key, count(*) as n from slice where dur < 0 group by key"


def ask(processor: TraceProcessor, query: str) -> dict[Any, int]:
    """The keys and numbers in the result of a query."""
    return {row.key: row.n for row in processor.query(query)}


def traced_run(path: Path, trace: Path, *arguments: str) -> dict[str, Any]:
    """Streams a file through four queues, with a trace; returns the report."""
    result = run("run", path, "--json", "--trace", trace, "--block", "16K", *arguments)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert isinstance(report, dict)
    assert len(report["queues"]) == 4
    return report


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to stream."""
    path = tmp_path / "source"
    path.write_bytes(bytes(range(256)) * 12_000)
    return path


@pytest.mark.parametrize("arguments", [(), ("--cpus", "2"), ("--interrupts", "intx")])
def test_sql_over_the_trace_counts_what_the_run_reports(
    source: Path, tmp_path: Path, trace_processor: Load, arguments: tuple[str, ...]
) -> None:
    trace = tmp_path / "run.pftrace"
    report = traced_run(source, trace, *arguments)
    processor = trace_processor(trace)
    assert ask(processor, ERRORS) == {}
    assert ask(processor, ENDLESS) == {}
    counts = ask(processor, BY_CATEGORY)
    levels = report["levels"]
    assert counts["isr"] == levels["isr"]["count"]
    assert counts["dpc"] == counts["running"] == levels["dpc"]["count"]
    assert counts.get("work_item", 0) == levels["work_item"]["count"]
    queues = report["queues"]
    assert counts["completed"] == sum(queue["completed"] for queue in queues)
    completed = sorted(queue["completed"] for queue in queues if queue["completed"])
    assert sorted(ask(processor, COMPLETED).values()) == completed
    if "intx" not in arguments:
        interrupts = sorted(queue["interrupts"] for queue in queues if queue["interrupts"])
        assert sorted(ask(processor, BY_INTERRUPT).values()) == interrupts


def test_flows_lead_from_message_to_isr_to_dpc_to_completed_request(
    source: Path, tmp_path: Path, trace_processor: Load
) -> None:
    trace = tmp_path / "run.pftrace"
    report = traced_run(source, trace)
    processor = trace_processor(trace)
    flows = ask(processor, FLOWS)
    counts = ask(processor, BY_CATEGORY)
    assert flows["pending isr"] == counts["isr"]
    assert flows["isr dpc"] == sum(queue["dpcs"] for queue in report["queues"])
    assert flows["dpc completed"] == counts["completed"]
    # Each interrupt was asserted before it was delivered.
    assert ask(processor, "select 0 as key, min(dur) as n from slice where category='pending'")[0]
    irqls = ask(processor, IRQLS)
    assert {0, 2, 6} <= irqls.keys()


def test_work_item_has_its_track_and_its_flow(
    source: Path, tmp_path: Path, trace_processor: Load
) -> None:
    trace = tmp_path / "run.pftrace"
    report = traced_run(source, trace, "--fault", "corrupt")
    assert report["levels"]["work_item"]["count"]
    processor = trace_processor(trace)
    counts = ask(processor, BY_CATEGORY)
    assert counts["work_item"] == report["levels"]["work_item"]["count"]
    flows = ask(processor, FLOWS)
    assert flows["dpc work_item"] == counts["work_item"]


def test_trace_of_another_device_and_driver(tmp_path: Path, trace_processor: Load) -> None:
    trace = tmp_path / "edu.pftrace"
    result = run("run", "--device", "edu", "--driver", "edu", "--json", "--trace", trace)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    counts = ask(trace_processor(trace), BY_CATEGORY)
    assert counts["isr"] == counts["pending"] == report["levels"]["isr"]["count"]
    assert counts["dpc"] == report["levels"]["dpc"]["count"]
