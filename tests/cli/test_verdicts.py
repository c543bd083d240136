# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The verdict: failures that the driver repairs, those that it cannot, and forbidden ones."""

import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest

from .command import OFTEN, PROGRESS, Command, assert_error, names, run


@pytest.mark.parametrize("fault", ["spurious", "storm", "lost", "hung", "corrupt", "dma"])
@pytest.mark.parametrize("mode", ["msix", "intx"])
def test_a_fault_that_the_driver_repairs(small: Path, fault: str, mode: str) -> None:
    result = run("run", small, "--fault", fault, "--interrupts", mode, "--json")
    assert result.code == 0, result.stdout + result.stderr
    assert json.loads(result.stdout)["verdict"] == "correct"


@pytest.mark.parametrize(
    ("fault", "column"), [("hung", "resets"), ("corrupt", "retries"), ("dma", "retries")]
)
def test_the_table_shows_what_was_repaired(small: Path, fault: str, column: str) -> None:
    result = run("run", small, "--fault", fault)
    lines = [re.split(r"  +", line) for line in result.stdout.splitlines()]
    total = next(line for line in lines if line[0] == "all")
    assert int(total[lines[0].index(column)]) > 0


def test_lost_interrupts_are_seen_in_the_figures(small: Path) -> None:
    found = json.loads(run("run", small, "--fault", "lost", "--json").stdout)
    assert sum(queue["interrupts"] for queue in found["queues"]) < 49
    assert sum(queue["completed"] for queue in found["queues"]) == 49


def test_a_device_that_is_pulled_out(small: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    result = run("run", small, "--fault", "removed", "--json", "--output", output)
    assert result.code == 1
    found = json.loads(result.stdout)
    assert re.fullmatch(r"block \d+: STATUS_NO_SUCH_DEVICE \(0xC000000E\)", found["verdict"])
    assert {queue["lost"] for queue in found["queues"]} == {None}
    assert names(tmp_path) == []


def test_a_wrong_crc_is_found(small: Path, tmp_path: Path) -> None:
    prelude = (
        "import pydriver.cli.jobs.stream as s; right = s.crc32c;"
        "s.crc32c = lambda data: right(data) ^ (len(data) != 65536)"
    )
    result = run("run", small, "--output", tmp_path / "output", prelude=prelude)
    assert result.code == 1
    assert re.search(
        r"^verdict: block 48: the device's CRC-32C is 0x\w{8}, not 0x\w{8}$",
        result.stdout,
        re.MULTILINE,
    )
    assert names(tmp_path) == []


def test_a_wrong_copy_is_found(small: Path) -> None:
    prelude = (
        "import pydriver.drivers.mqdma.queue as m; right = m.HardwareQueue._complete\n"
        "def wrong(self, slot, request, crc):\n"
        "    target = self._sources[slot] + self._layout.stride\n"
        "    self._view[target + 5] ^= 1\n"
        "    right(self, slot, request, crc)\n"
        "m.HardwareQueue._complete = wrong"
    )
    result = run("run", small, "--json", prelude=prelude)
    assert result.code == 1
    assert json.loads(result.stdout)["verdict"] == "block 0: the copy differs from the input"


def test_a_bug_check_is_reported(small: Path) -> None:
    prelude = (
        "import pydriver.drivers.mqdma.queue as m\n"
        "def reap(self): raise ZeroDivisionError('nobody expects it')\n"
        "m.HardwareQueue.reap = reap"
    )
    result = run("run", small, "--json", prelude=prelude)
    assert_error(result, 1, r"\*\*\* BUG CHECK 0x1E KMODE_EXCEPTION_NOT_HANDLED")
    assert "evt_dpc_func" in result.stderr
    assert re.search(r"the last \d+ events:\n +[-+]", result.stderr)
    verdict = json.loads(result.stdout)["verdict"]
    assert verdict.startswith("bug check 0x1E KMODE_EXCEPTION_NOT_HANDLED: ")
    assert "nobody expects it" in verdict


QUICKLY = f"{OFTEN}; import pydriver.cli.jobs.supervise as s; s.STALL = 1.0"


def test_a_machine_that_hangs_is_a_stall(endless: Path) -> None:
    with Command("run", endless, "--cpus", "2", prelude=QUICKLY) as command:
        command.wait_for_line(PROGRESS)
        os.kill(command.qemu, signal.SIGSTOP)
        result = command.finish()
    assert result.code == 1
    assert re.search(
        r"^verdict: no request completed for \d s; "
        r"outstanding: (\d+ (on|waiting)|a call of the driver's$)",
        result.stdout,
        re.MULTILINE,
    )


# The thread that sends the first request is held; meanwhile all requests are completed.
NEVER_RETURNS = """
import threading
import pydriver.cli.jobs.stream as t
send = t.Stream._send
def send_and_stay(self, block):
    send(self, block)
    kernel = self._kernel
    if not kernel.irql():  # else it is a DPC that sends
        while self.in_flight:
            kernel.wait(self._wake)
        never = threading.Lock()
        never.acquire()
        kernel.wait(never)
t.Stream._send = send_and_stay
"""


def test_a_driver_that_keeps_the_thread_of_a_completed_request_is_a_stall(small: Path) -> None:
    result = run("run", small, prelude=f"{QUICKLY}\n{NEVER_RETURNS}")
    assert result.code == 1
    assert re.search(
        r"^verdict: no request completed for \d s; outstanding: a call of the driver's$",
        result.stdout,
        re.MULTILINE,
    )


def test_a_machine_that_a_person_has_stopped_is_no_stall(endless: Path, tmp_path: Path) -> None:
    qmp = tmp_path / "qmp"
    with (
        Command("run", endless, "--qmp", qmp, prelude=QUICKLY) as command,
        socket.socket(socket.AF_UNIX) as person,
    ):
        command.wait_for_line(PROGRESS)
        person.connect(str(qmp))
        person.sendall(b'{"execute": "qmp_capabilities"} {"execute": "stop"}')
        stopped = command.wait_for_line(PROGRESS)
        still = 0
        while still < 15:  # ten lines a second, and a second is a stall
            line = command.wait_for_line(PROGRESS)
            still = still + 1 if line == stopped else 0
            stopped = line
        person.sendall(b'{"execute": "cont"}')
        while command.wait_for_line(PROGRESS) == stopped:
            pass
        command.process.terminate()
        assert command.finish().code == 143
