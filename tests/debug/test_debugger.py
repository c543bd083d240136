# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Stops, steps and breakpoints of `pydriver debug -c`."""

import re
import signal
from pathlib import Path

import pytest

from tests.cli.command import Command, run

EDU = ("debug", "--device", "edu", "--driver", "edu")
STEPS = ("register", "upcall", "interrupt", "ddi", "dpc", "callback")
FORGETFUL = Path(__file__).resolve().parents[2] / "examples/forgetful.py"


def debug(*commands: str, options: tuple[str, ...] = EDU, prelude: str = "") -> list[str]:
    """Runs `pydriver debug` with commands; returns the output of each."""
    words = [word for command in commands for word in ("-c", command)]
    result = run(*options, *words, prelude=prelude)
    assert result.code == 0, result.stdout + result.stderr
    parts = re.split(r"^pydriver> .*\n", result.stdout, flags=re.MULTILINE)[1:]
    return [part.strip("\n") for part in parts]


@pytest.mark.parametrize("cpus", [1, 2])
def test_break_at_ddi_shows_the_driver_and_the_irql(cpus: int) -> None:
    _, said, irql, trace, *_ = debug(
        "bp ddi WdfRequestCompleteWithInformation",
        "go",
        "irql",
        "bt",
        options=(*EDU, "--cpus", str(cpus)),
    )
    assert "ddi WdfRequestCompleteWithInformation (request 1 " in said
    assert "at DISPATCH_LEVEL (2), pydriver-cpu0" in said
    assert re.search(r"_dpc \(edu.py:\d+\)", said)
    assert re.search(r"^ +0  DISPATCH_LEVEL \(2\) +\d+.* 1  pydriver-cpu0$", irql, re.MULTILINE)
    assert "software interrupt 0x2f" in trace
    assert "thread pydriver-cpu0: driver's frames" in trace


def test_steps_follow_an_interrupt_to_its_dpc_and_its_request() -> None:
    said = debug("bp callback *device_control", "go", "bc *", *(f"step {each}" for each in STEPS))
    points = [re.match(r"step: (\w+) ", each) for each in said[3:]]
    assert [point and point[1] for point in points] == list(STEPS)


def test_step_does_not_start_the_application() -> None:
    assert debug("step upcall") == ["it runs; no application has been started"]


def test_break_at_vector_and_then_step() -> None:
    said = debug("bp vector 0x60", "go", "step interrupt", "step dpc", "bl", "bc *", "bl", "go")
    assert "upcall vector 0x60" in said[1]
    assert "at DIRQL (6)" in said[1]
    assert "interrupt _isr (interrupt 0 of edu" in said[2]
    assert "dpc _dpc (interrupt 0 of edu" in said[3]
    assert "at DISPATCH_LEVEL (2)" in said[3]
    assert re.fullmatch(r"1: upcall 0x60, hit \d+ times", said[4])
    assert said[6] == "there is no breakpoint"
    assert "the application has ended" in said[7]


def test_step_and_break_at_a_register() -> None:
    said = debug("bp ddi WdfInterruptQueueDpcForIsr", "go", "bc *", "step register", "bl")
    assert "WdfInterruptQueueDpcForIsr" in said[1]
    assert re.search(r"step: register (read|write)32.* at 0x[0-9a-f]+", said[3])
    address = "0xc0000024"  # the causes, in BAR0 of the only device
    said = debug(f"bp register {address}", "go", "bt")
    assert f"register read32 at {address}" in said[1]
    assert "at DIRQL (6)" in said[1]
    assert re.search(r"_isr \(edu.py:\d+\)", said[1])


def test_break_at_callback_by_pattern() -> None:
    said = debug("bp callback *device_control", "go")
    assert "callback _evt_io_device_control" in said[1]


def test_break_at_rule(tmp_path: Path) -> None:
    driver = tmp_path / "hasty.py"
    driver.write_text(
        FORGETFUL.read_text()
        .replace(
            "        edu.request.complete_with_information(STATUS_SUCCESS, 4)",
            "        edu.request.complete_with_information(STATUS_SUCCESS, 4)\n"
            "        edu.request.complete(STATUS_SUCCESS)",
        )
        .replace("(5, 6, 40)", "(5, 6)")
    )
    options = ("debug", "--device", "edu", "--driver", str(driver))
    words = [word for line in ("bp rule", "go", "wdfcrashdump") for word in ("-c", line)]
    result = run(*options, *words)
    assert result.code == 1
    assert "breakpoint 1: rule DoubleCompletion" in result.stdout
    assert re.search(r"dpc \(hasty.py:\d+\)", result.stdout)
    assert "*** VERIFIER DoubleCompletion" in result.stdout
    assert "the system has ended: 1 rule was broken" in result.stderr


def test_start_of_a_driver_is_debugged() -> None:
    said = debug("bp callback _device_add", "go", "wdfdriverinfo", options=(*EDU, "--stop-first"))
    assert "callback _device_add" in said[1]


def test_injected_interrupt_arrives() -> None:
    said = debug("inject 0x60", "wdfinterrupt", "inject 0x31 0", "wdflogdump 3")
    assert "vector 0x60 was sent to processor 0" in said[0]
    assert re.search(r"Interrupts: 1, unclaimed: 1", said[1])
    assert re.search(r"vector 0x31 +SPURIOUS", said[3])


def test_fault_of_a_device_is_set() -> None:
    options = (
        *("debug", "--device", "mqdma,id=m0,memdev=bar2,queues=1"),
        *("--driver", "mqdma"),
    )
    said = debug("fault m0 fault-spurious 0", "go 0.2", "wdfdeviceinterrupts", options=options)
    assert re.search(r"Interrupts: 1, unclaimed: 1", said[2])


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("nonesuch", "there is no command 'nonesuch'"),
        ("bp", "usage: bp POINT"),
        ("bp moon", "usage: bp POINT"),
        ("bc 7", "there is no breakpoint '7'"),
        ("step moon", "'moon' is not a point; use one of"),
        ("go soon", "'soon' is not a number of seconds"),
        ("inject", "usage: inject"),
        ("inject 0x20", "the vector must be 0x30 to 0xff"),
        ("lapic 9", "processor 9: there are 1"),
        ("mem 0xffffffffff", "is not in RAM"),
        ("mem nonesuch", "is neither an address nor a symbol"),
        ("sym nonesuch", "the guest has no symbol"),
        ("wdfqueue 0x9999", "is neither a handle nor the name"),
        ("wdfobject", "give the handle"),
        ("wdfdevice a b", "usage: wdfdevice"),
        ("fault", "usage: fault"),
    ],
)
def test_command_that_cannot_be_is_refused(command: str, error: str) -> None:
    result = run(*EDU, "-c", command)
    assert result.code == 1
    assert f"error: {error}" in result.stdout or error in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--device", "edu", "--driver", "nonesuch"),
        ("--device", "edu", "--driver", "nonesuch.py"),
        ("--device", "edu"),
        ("--driver", "edu"),
        ("--device", "edu", "--driver", "nvme", "-c", "help"),
    ],
)
def test_session_that_cannot_be_is_refused(arguments: tuple[str, ...]) -> None:
    result = run("debug", *arguments)
    assert result.code == 2
    assert "pydriver debug: error:" in result.stderr


def test_death_of_qemu_is_told() -> None:
    options = ("debug", "--device", "edu", "--driver", FORGETFUL)
    prelude = (
        "import sys; from pydriver.debug.debugger import Debugger; wait = Debugger.wait\n"
        "def note(*each): print('it waits', *each[1:], file=sys.stderr); return wait(*each)\n"
        "Debugger.wait = note"
    )
    with Command(*options, "-c", "go 30", "-c", "wdfdevicequeues", prelude=prelude) as command:
        command.wait_for_line("it waits 30")
        command.signal(signal.SIGKILL, command.qemu)
        result = command.finish()
    assert result.code == 1
    assert "the system has ended: QEMU" in result.stderr
    assert "was killed by SIGKILL" in result.stderr
