# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Runs of pytest in their own folder, with the example's driver, whole and broken."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/edu_factorial.py"

TIMEOUT = 50.0

INI = """
[pytest]
addopts = --strict-markers --strict-config -p no:cacheprovider
filterwarnings = error
pydriver_device = edu
pydriver_driver = edu_factorial
"""

CONFTEST = '''
import edu_factorial
import pytest
from pydriver.ke.status import STATUS_SUCCESS


def raises(interrupt, message):
    raise RuntimeError("the ISR has raised this")


def completes(interrupt, message):
    """Completes the request at DIRQL, and claims the interrupt."""
    edu = interrupt.device.get_typed_context(edu_factorial.Edu)
    edu.registers.write32(edu_factorial.ACKNOWLEDGE, edu.registers.read32(edu_factorial.CAUSE))
    edu.request.complete_with_information(STATUS_SUCCESS, 4)
    return True


def never(interrupt, message):
    """Acknowledges, and forgets about it: the request stays where it is."""
    edu = interrupt.device.get_typed_context(edu_factorial.Edu)
    edu.registers.write32(edu_factorial.ACKNOWLEDGE, edu.registers.read32(edu_factorial.CAUSE))
    return True


@pytest.fixture
def driver_entry(request, monkeypatch):
    """The example; its ISR is replaced by the one that a test is marked with."""
    for mark in request.node.iter_markers("isr"):
        monkeypatch.setattr(edu_factorial, "isr", globals()[mark.args[0]])
    return edu_factorial.driver_entry


def pytest_configure(config):
    config.addinivalue_line("markers", "isr(name): the driver has this ISR")


@pytest.fixture
def factorial(device):
    def compute(number, timeout=5):
        with device.open() as file:
            data = number.to_bytes(4, "little")
            answer = file.device_control(edu_factorial.IOCTL_FACTORIAL, data, 4, timeout)
        return int.from_bytes(answer, "little")

    return compute


@pytest.fixture
def start_factorial(device):
    """Starts one, and waits for nothing."""
    def start(number):
        file = device.open()
        data = number.to_bytes(4, "little")
        return file.device_control_async(edu_factorial.IOCTL_FACTORIAL, data, 4)

    return start


@pytest.fixture(autouse=True)
def note_pid(request):
    """Prints which QEMU a test has had."""
    yield
    machine = request.node.funcargs.get("machine")
    if machine is not None:
        print(f"<{request.node.name} had {machine.pid}>")
'''

Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """``run(source, *options)``: a module of tests, with the example's driver beside it."""

    def run(source: str, *options: str, ini: str = "", stdin: bytes = b"") -> pytest.RunResult:
        pytester.makefile(".ini", pytest=f"{INI}{ini}")
        pytester.makepyfile(
            edu_factorial=EXAMPLE.read_text(encoding="utf-8"), conftest=CONFTEST, test_it=source
        )
        return pytester.run(
            *(sys.executable, "-m", "pytest", "-rA", f"--basetemp={pytester.path / 'temporary'}"),
            *options,
            timeout=TIMEOUT,
            stdin=stdin,
        )

    return run


def pids(result: pytest.RunResult) -> dict[str, int]:
    """The process id of QEMU in each test."""
    found = re.findall(r"^<(\S+) had (\d+)>$", result.stdout.str(), re.M)
    return {name: int(pid) for name, pid in found}


def section(result: pytest.RunResult, test: str) -> str:
    """All reports of a run about one test."""
    parts = re.split(r"^_{3,} (?:ERROR at \w+ of )?(\S+) _{3,}$", result.stdout.str(), flags=re.M)
    texts = [
        re.split(r"^=+ ", text, maxsplit=1, flags=re.M)[0]
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
        if name.rpartition(".")[2] == test
    ]
    assert texts, f"nothing about {test}"
    return "\n".join(texts)
