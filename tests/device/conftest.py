# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""One QEMU for all tests without special needs; the machine is reset between them."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pydriver.machine.qtest import QtestError, QtestMachine

from .dut import Dut

ROOT = Path(__file__).resolve().parents[2]

#: The sizes of BAR2 and of the drive of the shared machine.
SHARED_SIZE = 4 << 20
DISK_SIZE = 1 << 20

FAULTS: dict[str, Any] = {
    "fault-queue": -1,
    "fault-lost": 0,
    "fault-corrupt": 0,
    "fault-dma": 0,
    "fault-storm-count": 0,
    "fault-storm-queue": 0,
    "fault-storm-period-us": 100,
    "fault-hang": 0,
    "fault-stuck": False,
    "fault-removed": False,
}

Start = Callable[..., QtestMachine]
Refused = Callable[..., str]


@pytest.fixture(scope="session")
def qemu_binary() -> str:
    """The QEMU with the mqdma: PYDRIVER_QEMU, or the one that make has built."""
    path = os.environ.get("PYDRIVER_QEMU") or str(ROOT / "pydriver/_build/qemu-system-x86_64")
    if not Path(path).exists():
        pytest.fail(f"there is no {path}: run `make qemu`, or set PYDRIVER_QEMU")
    return path


class SharedMachine(QtestMachine):
    """A machine that notes the properties that a test sets, in order to restore them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.changed: set[str] = set()
        super().__init__(*arguments, **options)

    def qmp(self, execute: str, **arguments: Any) -> Any:
        """Notes the name of a property, and executes the command."""
        if execute == "qom-set":
            self.changed.add(arguments["property"])
        return super().qmp(execute, **arguments)


@pytest.fixture(scope="session")
def _machine(qemu_binary: str) -> Iterator[list[SharedMachine]]:
    """Holds the shared machine; a test in which it died leaves the list empty."""
    machines: list[SharedMachine] = []
    yield machines
    for machine in machines:
        machine.close()


def _start_shared(binary: str) -> SharedMachine:
    pattern = b"".join(block.to_bytes(8, "little") * 64 for block in range(DISK_SIZE // 512))
    qemu = SharedMachine(
        binary,
        "-device",
        "mqdma,id=dut,addr=4,queues=64,memdev=shared,drive=disk",
        shared_size=SHARED_SIZE,
        disk=pattern,
    )
    qemu.intercept_ioapic()
    return qemu


@pytest.fixture
def qemu(qemu_binary: str, _machine: list[SharedMachine]) -> Iterator[QtestMachine]:
    """The shared machine, just reset."""
    if not _machine:
        _machine.append(_start_shared(qemu_binary))
    machine = _machine[0]
    try:
        device = Dut(machine)
        for name in machine.changed & FAULTS.keys():
            device.set(name, FAULTS[name])
        machine.changed.clear()
        machine.reset()
        machine.irq_log.clear()
        yield machine
        # A machine that died in this test is this test's failure.
        machine.sync()
    except QtestError:
        _machine.clear()
        machine.kill()
        raise


@pytest.fixture
def dut(qemu: QtestMachine) -> Dut:
    """The device of the shared machine, mapped, enabled, all else at its reset value."""
    device = Dut(qemu)
    device.start()
    return device


@pytest.fixture
def start(qemu_binary: str) -> Iterator[Start]:
    """Starts machines for one test, which end with it."""
    machines: list[QtestMachine] = []

    def start(*arguments: str, **options: Any) -> QtestMachine:
        machines.append(QtestMachine(qemu_binary, *arguments, **options))
        return machines[-1]

    yield start
    for machine in machines:
        machine.close()


@pytest.fixture
def start_refused(qemu_binary: str) -> Refused:
    """Starts a machine that ends by itself, with an error; returns its output."""

    def start_refused(*arguments: str, **options: Any) -> str:
        with pytest.raises(QtestError) as caught:
            run_until_its_end(qemu_binary, *arguments, **options)
        return str(caught.value)

    return start_refused


def run_until_its_end(binary: str, *arguments: str, **options: Any) -> None:
    """Starts a machine and waits until it is gone, which is an error."""
    qemu = QtestMachine(binary, *arguments, **options)
    try:
        qemu.wait_event("an event that does not exist")
    finally:
        qemu.kill()
