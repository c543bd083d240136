# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Observers of accesses: a register trace and a debugger on one system."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from pydriver.debug import Debugger
from pydriver.drivers import edu
from pydriver.errors import AccessFault
from pydriver.ke.probes import Point, Probe
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from pydriver.trace.registers import RegisterTrace
from pydriver.wdf import Device

EDU = (edu.VENDOR, edu.DEVICE)
TIMEOUT = 20.0


@contextmanager
def observed(path: Path, probe: Probe) -> Iterator[System]:
    """A system with a probe and a register trace, which is complete afterwards."""
    trace = RegisterTrace(path)
    try:
        machine = MachineConfig(devices=("edu",))
        with System(SystemConfig(machine, probe=probe, register_trace=trace)) as system:
            yield system
    finally:
        trace.close()


def compute(device: Device) -> None:
    with device.open() as file:
        assert file.device_control(edu.IOCTL_FACTORIAL, b"\5\0\0\0", 4)[0] == 120


def test_debugger_and_register_trace_see_the_same_accesses(tmp_path: Path) -> None:
    probed: Counter[tuple[str, int]] = Counter()

    def probe(point: Point, name: str, subject: object, detail: int) -> None:
        if point is Point.REGISTER:
            probed[name.split(maxsplit=1)[0], detail] += 1

    with observed(tmp_path / "t.py", probe) as system:
        device = system.load_driver(edu.driver_entry).add_device(system.pci.find(*EDU))
        (bar,) = (each for each in device.function.bars if each.address is not None)
        base = bar.address
        assert base is not None
        compute(device)
    found = re.findall(
        r"((?:read|write)\d+)\(bar0 \+ (0x[0-9a-f]+)", (tmp_path / "t.py").read_text()
    )
    traced = Counter((name, base + int(offset, 16)) for name, offset in found)
    ours = {each: n for each, n in probed.items() if each[1] in range(base, base + bar.size)}
    assert traced == ours
    assert ours["write32", base + 0x8] == 1
    assert ours["read32", base + 0x24] >= 1


def test_debugger_stops_at_a_register_of_a_traced_system(tmp_path: Path) -> None:
    debugger = Debugger()
    with observed(tmp_path / "t.py", debugger.probe) as system:
        debugger.attach(system)
        device = system.load_driver(edu.driver_entry).add_device(system.pci.find(*EDU))
        debugger.break_at(Point.REGISTER, "write32 of 0x5 *")
        application = Thread(target=compute, args=(device,))
        application.start()
        stop = debugger.wait(TIMEOUT)
        assert stop is not None
        assert stop.reason.startswith("breakpoint 1: register write32 of 0x5 at ")
        debugger.resume()
        application.join(TIMEOUT)
        assert not application.is_alive()
        debugger.close()
    lines = (tmp_path / "t.py").read_text().splitlines()
    assert sum(line.startswith("write32(bar0 + 0x8, 0x5)") for line in lines) == 1
    assert sum(line.startswith("expect(read32(bar0 + 0x8), 0x78)") for line in lines) == 1


def test_read_without_an_answer_is_observed_by_both(tmp_path: Path) -> None:
    probed = []

    def probe(point: Point, name: str, subject: object, detail: int) -> None:
        if point is Point.REGISTER:
            probed.append(name)

    nowhere = 1 << 46  # beyond the guest's map
    with (
        observed(tmp_path / "t.py", probe) as system,
        system.kernel.borrowed() as link,
        pytest.raises(AccessFault),
    ):
        link.read32(nowhere)
    assert probed[-1] == f"read32 at {nowhere:#x}"
    assert f"read32({nowhere:#x})" in (tmp_path / "t.py").read_text()
