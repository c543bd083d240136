# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver run --trace` and `pydriver timeline` as commands."""

import json
from pathlib import Path

import pytest

from .command import names, run


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace of a short run."""
    folder = tmp_path_factory.mktemp("trace")
    source = folder / "source"
    source.write_bytes(bytes(range(256)) * 2_000)
    path = folder / "run.pftrace"
    result = run("run", source, "--trace", path)
    assert result.returncode == 0, result.stderr
    assert "trace: " in result.stderr
    assert names(folder) == ["run.pftrace", "source"]
    return path


def test_table_has_latencymons_figures(trace: Path) -> None:
    result = run("timeline", trace)
    assert result.returncode == 0, result.stderr
    for text in ("interrupt to ISR", "interrupt to DPC", "under 250 us", "4000 us or more"):
        assert text in result.stdout
    assert "isr, interrupt 0 of mqdma" in result.stdout


def test_figures_as_json(trace: Path) -> None:
    figures = json.loads(run("timeline", trace, "--json").stdout)
    latency = figures["latencies"]["interrupt to ISR"]
    assert 0 < latency["mean"] <= latency["highest"]
    assert latency["count"] == figures["counts"]["ISR"]
    in_buckets = sum(bucket["counts"]["ISR"] for bucket in figures["buckets"])
    assert in_buckets == figures["counts"]["ISR"]


def test_page_and_picture_are_written(trace: Path, tmp_path: Path) -> None:
    page, picture = tmp_path / "run.html", tmp_path / "run.png"
    result = run("timeline", trace, "-o", page, "-o", picture)
    assert result.returncode == 0, result.stderr
    assert page.read_text().startswith("<!doctype html>")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert names(tmp_path) == ["run.html", "run.png"]


def test_trace_of_a_run_that_fails_is_written(tmp_path: Path) -> None:
    source, path = tmp_path / "source", tmp_path / "run.pftrace"
    source.write_bytes(bytes(1 << 20))
    result = run("run", source, "--fault", "removed", "--trace", path)
    assert result.returncode == 1
    assert run("timeline", path).returncode == 0


def refused(*arguments: str | Path, text: str) -> None:
    """A command that ends with exit code 2, and one line that says why."""
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert text in result.stderr.splitlines()[-1]


def test_wrong_files_are_refused(trace: Path, tmp_path: Path) -> None:
    refused("timeline", tmp_path / "none", text="No such file")
    refused("timeline", tmp_path, text="it is a directory")
    for content in (b"", b"hello", b"\n\x7f", b"{}"):
        path = tmp_path / "wrong"
        path.write_bytes(content)
        refused("timeline", path, text=f"cannot read {path}: it is")
    path.write_bytes(trace.read_bytes()[:-7])
    refused("timeline", path, text="damaged")


def test_wrong_outputs_are_refused(trace: Path, tmp_path: Path) -> None:
    refused("timeline", trace, "-o", tmp_path / "run.pdf", text="ends in .html or .png")
    refused("timeline", trace, "-o", tmp_path / "none" / "run.html", text="cannot write")
    refused("run", "--trace", tmp_path / "none" / "run", text="cannot write")
    assert names(tmp_path) == []


def test_picture_without_pillow_names_the_extra(trace: Path, tmp_path: Path) -> None:
    result = run(
        *("timeline", trace, "-o", tmp_path / "run.png"),
        prelude="import sys; sys.modules['PIL'] = None",
    )
    assert result.returncode == 2
    assert "pydriver[timeline]" in result.stderr
