# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver run` end to end: every combination streams a file, and reports its figures."""

import json
import os
import pty
import re
from pathlib import Path
from typing import Any

import pytest

from pydriver.cli.report import RunReport
from pydriver.trace import LevelSummary

from .command import PROGRESS, Command, Result, names, run, until

MODES = {
    "msix": ("--interrupts", "msix"),
    "msi": ("--interrupts", "msi"),
    "one-message": ("--interrupts", "msi", "--messages", "1"),
    "intx": ("--interrupts", "intx"),
}


# The system's real configuration, which is written before it ends.
LOOK = """
import json, sys
from pydriver.drivers import mqdma
from pydriver.system import System
close = System.close
def look(system):
    if system.drivers and system.kernel.failure is None:
        qmp = system.machine.qmp
        (driver_object,) = system.drivers
        (device,) = driver_object.driver.devices
        connected = [each for each in device.interrupts if each.processor is not None]
        print("used:", json.dumps({
            "accel": "kvm" if qmp("query-kvm")["enabled"] else "tcg",
            "cpus": len(qmp("query-cpus-fast")),
            "interrupts": system.pci.find(mqdma.VENDOR, mqdma.DEVICE).interrupt_mode.value,
            "messages": len(connected),
            "targets": sorted({each.processor.number for each in connected}),
        }), file=sys.stderr)
    close(system)
System.close = look
"""


def option(arguments: tuple[str | Path, ...], name: str, default: str) -> str:
    """The value of an option of a command line."""
    return str(arguments[arguments.index(name) + 1]) if name in arguments else default


def assert_obeyed(result: Result, *arguments: str | Path) -> None:
    """The system of a run that was started with `LOOK` has the configuration of the options."""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("used: ")]
    used = json.loads(line.removeprefix("used: "))
    cpus = int(option(arguments, "--cpus", "1"))
    mode = option(arguments, "--interrupts", "msix")
    queues = int(option(arguments, "--queues", "4"))
    most = int(option(arguments, "--messages", "64"))
    assert used["accel"] == option(arguments, "--accel", "tcg")
    assert used["cpus"] == cpus
    assert used["interrupts"] == mode
    # MSI-X: a message for each queue, and one for errors. MSI: all messages of the device.
    messages = min(most, {"msix": queues + 1, "msi": 32, "intx": 1}[mode])
    assert used["messages"] == messages
    # The messages of MSI have one address, and so arrive on one processor.
    assert used["targets"] == list(range(min(cpus, messages) if mode == "msix" else 1))


def report(result: Result) -> dict[str, Any]:
    """The JSON report."""
    parsed = json.loads(result.stdout)
    assert isinstance(parsed, dict)
    return parsed


def assert_correct(path: Path, *arguments: str | Path) -> dict[str, Any]:
    """Streams a file; checks every figure that must be right, and the effects of the options."""
    result = run("run", path, "--json", *arguments, prelude=LOOK)
    assert result.code == 0, result.stderr
    assert_obeyed(result, *arguments)
    found = report(result)
    size = path.stat().st_size
    assert found["verdict"] == "correct"
    assert found["bytes"] == size
    queues = found["queues"]
    assert sum(queue["completed"] for queue in queues) == -(-size // 65536)
    for queue in queues:
        assert queue["isrs"] <= queue["interrupts"]
        assert queue["dpcs"] <= queue["isrs"]
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("depth", [1, 256])
@pytest.mark.parametrize("queues", [1, 64])
def test_streams_through_any_number_of_queues(
    small: Path, queues: int, depth: int, mode: str
) -> None:
    found = assert_correct(small, "--queues", str(queues), "--depth", str(depth), *MODES[mode])
    assert len(found["queues"]) == queues


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(1, 1), (64, 256)], ids=["1-1", "64-256"])
@pytest.mark.parametrize("cpus", [2, 4])
def test_streams_with_several_processors(
    small: Path, cpus: int, shape: tuple[int, int], mode: str
) -> None:
    queues, depth = map(str, shape)
    options = ("--cpus", str(cpus), "--queues", queues, "--depth", depth)
    assert_correct(small, *options, *MODES[mode])


@pytest.mark.kvm
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("cpus", [1, 2])
def test_streams_with_kvm(small: Path, cpus: int, mode: str) -> None:
    options = ("--accel", "kvm", "--cpus", str(cpus), *MODES[mode])
    result = run("run", small, "--json", *options, prelude=LOOK)
    if "KVM is not usable" in result.stderr:
        assert result.code == 2
        pytest.skip(result.stderr.strip())
    assert result.code == 0, result.stderr
    assert_obeyed(result, *options)
    assert report(result)["verdict"] == "correct"


@pytest.mark.parametrize("block", ["4", "4K", "1M", "16m"])
def test_streams_in_blocks_of_any_size(tmp_path: Path, block: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(bytes(range(251)) * 9)
    result = run("run", path, "--json", "--block", block, "--queues", "2", "--depth", "2")
    assert result.code == 0, result.stderr
    assert report(result)["bytes"] == 251 * 9


def test_the_default_input_is_qemu_itself() -> None:
    result = run("run")
    assert result.code == 0, result.stderr
    assert "qemu-system-x86_64" in result.stderr
    assert result.stdout.endswith("verdict: correct\n")


def test_an_empty_file_is_streamed_correctly(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    output = tmp_path / "output"
    result = run("run", path, "--json", "--output", output)
    assert result.code == 0, result.stderr
    assert report(result)["bytes"] == 0
    assert output.read_bytes() == b""


def test_a_file_of_one_byte_is_streamed_correctly(tmp_path: Path) -> None:
    path = tmp_path / "one"
    path.write_bytes(b"x")
    assert_correct(path, "--fault", "lost")


def test_the_output_is_identical_to_the_input(small: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.write_bytes(b"what was there before")
    assert_correct(small, "--output", output, "--cpus", "2")
    assert output.read_bytes() == small.read_bytes()
    assert names(tmp_path) == ["output"]


def test_the_output_may_be_the_input(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"over and over again" * 10000)
    link = tmp_path / "link"
    link.symlink_to("file")
    assert_correct(path, "--output", link)
    assert path.read_bytes() == b"over and over again" * 10000
    assert link.is_symlink()


def test_the_json_report_has_what_it_promises_and_nothing_else(small: Path) -> None:
    result = run("run", small, "--json")
    found = report(result)
    assert result.stdout.count("\n") == 1
    assert set(found) == {"verdict", "bytes", "seconds", "queues", "levels"}
    assert len(found["queues"]) == 4
    for queue in found["queues"]:
        assert set(queue) == {"interrupts", "isrs", "dpcs", "completed", "lost"}
        assert all(isinstance(value, int) for value in queue.values())
        assert queue["completed"] > 0
    assert set(found["levels"]) == {"isr", "dpc", "work_item"}
    for level in found["levels"].values():
        assert set(level) == {"count", "mean_us", "p50_us", "p99_us", "max_us"}
        assert 0 <= level["p50_us"] <= level["p99_us"] <= level["max_us"]
    assert found["seconds"] > 0
    assert found["levels"]["isr"]["count"] >= sum(q["isrs"] for q in found["queues"])


def test_no_event_is_lost_by_default(small: Path) -> None:
    found = assert_correct(small)
    assert [queue["lost"] for queue in found["queues"]] == [0, 0, 0, 0]


def test_the_table_has_a_line_for_each_queue(small: Path) -> None:
    result = run("run", small, "--queues", "64")
    assert result.code == 0
    lines = result.stdout.splitlines()
    assert re.split(r"  +", lines[0]) == [
        "queue",
        "interrupts",
        "ISRs claimed",
        "DPCs queued",
        "coalesced",
        "completed",
        "events lost",
    ]
    assert [line.split()[0] for line in lines[2:66]] == [str(n) for n in range(64)]
    assert lines[66].split()[0] == "all"
    assert lines[66].split()[-2] == "49"
    assert [line.split()[0] for line in lines if "_" in line or line[:3] in {"isr", "dpc"}] == [
        "isr",
        "dpc",
        "work_item",
    ]
    assert re.search(r"^3\.1 MB in \d+\.\d\d s, \d", result.stdout, re.MULTILINE)
    assert lines[-1] == "verdict: correct"


def test_a_terminal_gets_a_progress_bar(endless: Path) -> None:
    controller, terminal = pty.openpty()
    shown = ""
    try:
        with Command("run", endless, stderr=terminal) as command:
            os.close(terminal)
            terminal = -1
            while not re.search(r"[1-9][\d.]*/68\.7 GB", shown):
                shown += os.read(controller, 4096).decode()
            command.process.terminate()
            assert command.finish().code == 143
            shown = ""
            while "\x1b[?25h" not in shown:  # the cursor is back
                shown += os.read(controller, 4096).decode()
    finally:
        os.close(controller)
        if terminal >= 0:
            os.close(terminal)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def peak(size: int) -> int:
        path = tmp_path / "zeroes"
        with path.open("wb") as file:
            file.truncate(size)
        prelude = (
            "import atexit, pathlib\n"
            "status = pathlib.Path('/proc/self/status')\n"
            f"atexit.register(lambda: pathlib.Path({str(tmp_path / 'status')!r})"
            ".write_text(status.read_text()))"
        )
        assert run("run", path, prelude=prelude).code == 0
        found = re.search(r"VmHWM:\s+(\d+) kB", (tmp_path / "status").read_text())
        assert found is not None
        return int(found[1]) >> 10

    # The buffers of the window are 4 MB: whether all of them were used depends on the load.
    assert peak(256 << 20) - peak(64 << 20) < 32


def test_two_runs_at_once_do_not_disturb_each_other(small: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "first", tmp_path / "second"]
    with (
        Command("run", small, "--output", outputs[0], "--qmp", tmp_path / "q1") as first,
        Command("run", small, "--output", outputs[1], "--qmp", tmp_path / "q2") as second,
    ):
        assert first.finish().code == second.finish().code == 0
    for output in outputs:
        assert output.read_bytes() == small.read_bytes()
    assert names(tmp_path) == ["first", "second"]


def cpu_seconds(pids: list[int]) -> float:
    """User and system time of processes."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("cpus", [1, 4])
def test_an_idle_system_uses_less_than_three_percent_of_a_core(cpus: int) -> None:
    with Command("run", "--idle", "60", "--cpus", str(cpus)) as command:
        command.wait_for_line("doing nothing")
        pids = command.processes()
        assert len(pids) == 2
        clock: list[tuple[float, float]] = []

        def passed(seconds: float) -> bool:
            clock.append((os.times().elapsed, cpu_seconds(pids)))
            return clock[-1][0] - clock[0][0] >= seconds

        until(lambda: passed(0.5), "half a second in which it comes to rest")
        clock.clear()
        until(lambda: passed(4), "four seconds to measure in")
        share = (clock[-1][1] - clock[0][1]) / (clock[-1][0] - clock[0][0])
        assert share < 0.03
        command.process.terminate()
        assert command.finish().code == 143


def test_idle_reports_like_a_run(small: Path) -> None:
    result = run("run", small, "--idle", "0.2", "--json")
    assert result.code == 0, result.stderr
    found = report(result)
    assert found["verdict"] == "correct"
    assert found["bytes"] == 0
    assert found["seconds"] >= 0.2
    assert [queue["completed"] for queue in found["queues"]] == [0, 0, 0, 0]


def test_progress_is_told_in_lines_to_a_log(endless: Path) -> None:
    with Command("run", endless) as command:
        assert str(endless) in command.wait_for_line("streaming")
        command.wait_for_line(PROGRESS)
        command.process.terminate()
        assert command.finish().code == 143


def test_the_table_counts_what_took_longer_than_the_guidelines() -> None:
    levels = {
        "isr": LevelSummary(5, 30.0, 20.0, 90.0, 90.0, over=2),
        "dpc": LevelSummary(4, 90.0, 80.0, 120.0, 120.0, over=1),
        "work_item": LevelSummary(1, 500.0, 500.0, 500.0, 500.0),
    }
    rows = [line.split() for line in RunReport(levels=levels).text().splitlines()]
    assert ["isr", "5", "30.0", "20.0", "90.0", "90.0", "2"] in rows
    assert ["dpc", "4", "90.0", "80.0", "120.0", "120.0", "1"] in rows
    assert ["work_item", "1", "500.0", "500.0", "500.0", "500.0"] in rows
