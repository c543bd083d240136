# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""`pydriver run --mmio-trace` and `pydriver replay`: values and bugs are reproduced."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pydriver.drivers import mqdma
from pydriver.machine import MachineConfig
from pydriver.wdf import Device
from tests.cli.command import Command, assert_error, names, run, until

from .traces import MQDMA, PlainQemu, record, value_of

LAST_EVENT = "read32(bar0 + 0x1044)"
"""LAST_TAKE of mqdma's queue 0; bits 16 to 23 are the status of the ended descriptor."""

EDU = ("--device", "edu", "--driver", "edu")

BEHIND_A_BRIDGE = (
    *("--device", "pcie-root-port,id=rp0"),
    *("--device", "nvme,serial=x,drive=d0,bus=rp0", "--driver", "nvme"),
)

TOO_LONG = """
import pydriver.drivers.edu as edu
edu.BUFFER_BYTES = 4096
"""
"""QEMU's edu aborts when a transfer reaches the last byte of its buffer of 4096."""

ABORT = "EDU: DMA range 0x0000000000040000-0x0000000000040fff out of bounds"


def compared(output: str) -> int:
    """Values that a replay has compared, all of them right."""
    match = re.fullmatch(
        r"\d+ accesses, (\d+) values compared(?:, \d+ of them late)?: all as recorded",
        output.strip(),
    )
    assert match, output
    return int(match[1])


@pytest.mark.parametrize(
    ("arguments", "least"),
    [
        (EDU, 29),
        ((*EDU, "--interrupts", "intx"), 29),
        (("--device", "nvme,serial=x,drive=d0", "--driver", "nvme"), 10),
        (
            (*BEHIND_A_BRIDGE, "--cpus", "2"),
            10,
        ),
        (("--device", "i82559c,netdev=n0", "--driver", "i8255x"), 1000),
    ],
)
def test_replay_of_a_pair_gives_the_same_values(
    tmp_path: Path, arguments: tuple[str, ...], least: int
) -> None:
    trace = tmp_path / "trace.py"
    assert run("run", *arguments, "--mmio-trace", trace).code == 0
    result = run("replay", trace)
    assert result.code == 0, result.stdout + result.stderr
    assert compared(result.stdout) >= least


def test_replay_of_a_stream_gives_the_same_values(tmp_path: Path) -> None:
    source = tmp_path / "input"
    source.write_bytes(bytes(range(256)) * 1000)
    trace = tmp_path / "trace.py"
    options = ("--queues", "1", "--depth", "1", "--mmio-trace", trace)
    assert run("run", source, *options).code == 0
    result = run("replay", trace)
    assert result.code == 0, result.stdout + result.stderr
    assert compared(result.stdout) >= 9


def test_a_trace_is_a_program(tmp_path: Path) -> None:
    trace = tmp_path / "trace.py"
    assert run("run", *EDU, "--mmio-trace", trace).code == 0
    ended = subprocess.run(
        [sys.executable, trace], capture_output=True, text=True, timeout=40, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert compared(ended.stdout) >= 29


def test_what_differs_is_printed_with_its_place(tmp_path: Path) -> None:
    trace = tmp_path / "trace.py"
    assert run("run", *EDU, "--mmio-trace", trace).code == 0
    text = trace.read_text()
    right = "expect(read32(bar0 + 0x0), 0x10000ed)"
    assert text.count(right) == 1
    trace.write_text(text.replace(right, "expect(read32(bar0 + 0x0), 0x10000ee)"))
    line = text[: text.index(right)].count("\n") + 1
    result = run("replay", trace)
    assert result.code == 1
    first, last = result.stdout.splitlines()
    assert re.fullmatch(
        rf"{re.escape(str(trace))}:{line}: read32\(bar0 \+ 0x0\) is 0x10000ed, "
        r"recorded 0x10000ee \(.* cpu 0, IRQL 0, _prepare_hardware \(edu\.py:\d+\)\)",
        first,
    )
    assert last.endswith(": 1 differs")


def test_lines_of_a_long_trace_are_counted_right(tmp_path: Path) -> None:
    trace = tmp_path / "trace.py"
    assert run("run", *EDU, "--mmio-trace", trace).code == 0
    lines = trace.read_text().splitlines(keepends=True)
    again = "expect(read32(bar0 + 0x0), 0x10000ed)\n"
    first = lines.index(next(line for line in lines if "_d0_entry" in line))
    lines[first:first] = [*[again] * 2499, again.replace("ed)", "ef)")]
    trace.write_text("".join(lines))
    result = run("replay", trace)
    assert result.code == 1
    assert f"{trace}:{first + 2500}: read32(bar0 + 0x0) is 0x10000ed" in result.stdout


# Bugs of devices


def test_abort_of_a_device_is_reproduced_by_the_trace_and_by_qtest_alone(tmp_path: Path) -> None:
    trace, commands = tmp_path / "trace.py", tmp_path / "trace.qtest"
    died = run("run", *EDU, "--mmio-trace", trace, prelude=TOO_LONG)
    assert died.code == 1
    assert "was killed by SIGABRT" in died.stderr

    replayed = run("replay", trace)
    assert replayed.code == 1
    assert ABORT in replayed.stderr
    assert re.search(rf"error: {re.escape(str(trace))}:\d+: clock_step\(\d+\): ", replayed.stderr)

    converted = run("replay", trace, "--qtest", commands)
    assert converted.code == 0, converted.stderr
    plain = PlainQemu(converted.stdout.strip(), tmp_path)
    code, _, said = plain.run()
    assert code == -signal.SIGABRT
    assert ABORT in said


def test_wrong_value_of_a_device_is_reproduced_by_the_trace_and_by_qtest_alone(
    tmp_path: Path,
) -> None:
    trace, commands = tmp_path / "trace.py", tmp_path / "trace.qtest"
    machine = MachineConfig(bar2=1 << 20, devices=("mqdma,memdev=bar2,queues=1,fault-dma=1",))
    entry = mqdma.driver_entry_with(mqdma.Parameters(depth=1, block=4096))

    def use(device: Device) -> None:
        with device.open() as file:
            file.device_control(mqdma.IOCTL_COPY, bytes(64), 68)

    lines = record(trace, machine, MQDMA, entry, use)
    wrong, right = value_of(lines, LAST_EVENT)
    assert (wrong >> 16 & 0xFF, right >> 16 & 0xFF) == (7, 0)  # MQDMA_STATUS_DMA_ERROR, OK

    assert run("replay", trace).code == 0

    plain = PlainQemu(run("replay", trace, "--qtest", commands).stdout.strip(), tmp_path)
    code, answers, _ = plain.run()
    assert code is None
    recorded = [value for line in lines for value in re.findall(r"^expect\(.*, (0x\w+)\)", line)]
    assert plain.reads(answers) == [int(value, 16) for value in recorded]
    assert wrong in plain.reads(answers)

    # The replay finds that a device without the bug differs.
    trace.write_text(trace.read_text().replace(",fault-dma=1", ""))
    mended = run("replay", trace)
    assert mended.code == 1
    assert f"{LAST_EVENT} is {right:#x}, recorded {wrong:#x}" in mended.stdout


# Endings


def test_ctrl_c_leaves_a_trace_that_can_be_replayed(tmp_path: Path, endless: Path) -> None:
    trace = tmp_path / "trace.py"
    options = ("--queues", "1", "--depth", "1", "--block", "4K", "--mmio-trace", trace)
    with Command("run", endless, *options) as command:
        until(lambda: trace.exists() and trace.stat().st_size > 100_000, "the trace to grow")
        command.signal(signal.SIGINT)
        assert command.finish().code == 130
    assert [name for name in names(tmp_path) if name.endswith(".part")] == []
    result = run("replay", trace)
    assert result.code == 0, result.stdout + result.stderr
    assert compared(result.stdout) > 20


def test_a_controller_that_is_killed_leaves_whole_lines(tmp_path: Path, endless: Path) -> None:
    trace = tmp_path / "trace.py"
    options = ("--queues", "1", "--depth", "1", "--block", "4K", "--mmio-trace", trace)
    with Command("run", endless, *options) as command:
        until(lambda: trace.exists() and trace.stat().st_size > 100_000, "the trace to grow")
        command.signal(signal.SIGKILL)
        assert command.process.wait(40) == -signal.SIGKILL
        until(lambda: command.processes() == [], "QEMU to end")
    result = run("replay", trace)
    assert result.code == 0, result.stdout + result.stderr
    assert compared(result.stdout) > 20


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_replay_and_its_qemu(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    trace = tmp_path / "trace.py"
    assert run("run", *EDU, "--mmio-trace", trace).code == 0
    with trace.open("a") as file:
        file.write("while True: read32(bar0)\n")
    with Command("replay", trace) as command:
        assert command.qemu
        command.signal(number)
        assert command.finish().code == code


# Refusals


def test_a_trace_that_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    for options in (EDU, ()):
        missing = tmp_path / "missing" / "trace.py"
        assert_error(
            run("run", *options, "--mmio-trace", missing), 2, "cannot write .*: No such file"
        )
        assert_error(run("run", *options, "--mmio-trace", tmp_path), 2, "it is not a regular file")
    assert names(tmp_path) == []


def test_a_trace_that_would_replace_another_file_of_the_run_is_refused(small: Path) -> None:
    content = small.read_bytes()
    assert_error(run("run", small, "--mmio-trace", small), 2, "is given for two files")
    assert small.read_bytes() == content


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot read .*: No such file or directory"),
        ("not a trace\n", r":1: this is not a register trace: "),
        ("read32(0)\n", r":1: read32\(0\): an access before `machine\(\.\.\.\)`"),
        ("nonesuch(1)\n", r":1: nonesuch\(1\): NameError: name 'nonesuch' is not defined"),
        ("\udcff", "cannot read .*: .*can't decode"),
    ],
)
def test_a_file_that_is_no_trace_is_refused(tmp_path: Path, text: str | None, reason: str) -> None:
    trace = tmp_path / "trace.py"
    if text is not None:
        trace.write_bytes(text.encode(errors="surrogateescape"))
    assert_error(run("replay", trace), 2, reason)


def test_qtest_commands_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace.py"
    trace.write_text("nonesuch(1)\n")
    for path, reason in (
        (tmp_path / "missing" / "x", "cannot write"),
        (tmp_path, "it is a directory"),
        (tmp_path / "x", "nonesuch"),
    ):
        assert_error(run("replay", trace, "--qtest", path), 2, reason)
    assert_error(run("replay", trace, "--qemu", trace, "--qtest", "x"), 2, "not for --qtest")
    assert_error(run("replay", trace, "--qemu", tmp_path / "qemu"), 2, "QEMU .* is missing")
    assert names(tmp_path) == ["trace.py"]
