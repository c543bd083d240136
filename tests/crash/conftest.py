# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Crashes: systems with a planted bug that have failed, and left a crash directory."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from pydriver.crash import CrashDirectory
from pydriver.errors import Stalled
from pydriver.ke import BugCheck, VerifierConfig, VerifierError
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig

from . import planted

TIMEOUT = 30.0
WATCHDOG = 0.3
"""The time limit for the DPCs that never return, in seconds."""
MACHINE = MachineConfig(devices=("edu",), memory=16 << 20, bar2=0)

Crasher = Callable[[str], Path]


def run_planted(bug: planted.Bug, report: CrashDirectory) -> None:
    """Makes the driver serve one request; returns when the system has ended."""
    verifier = VerifierConfig(dpc_timeout=WATCHDOG if bug.code == 0x133 else TIMEOUT)
    config = SystemConfig(MACHINE, verifier=verifier, on_failure=report)
    planted.reached.clear()
    with System(config) as system:
        driver = system.load_driver(planted.entry_with(bug))
        device = driver.add_device(system.pci.find(*planted.EDU))
        file = device.open()
        argument = struct.pack("<I", 5)
        if bug.stalls:
            wait_in_vain(
                system,
                lambda: file.device_control_async(planted.IOCTL_FACTORIAL, argument, 4),
                report,
            )
        file.device_control(planted.IOCTL_FACTORIAL, argument, 4, timeout=TIMEOUT)
        file.close()


def wait_in_vain(system: System, send: Callable[[], object], report: CrashDirectory) -> None:
    """Sends a request that is never completed, and saves the crash as soon as that is certain."""
    system.kernel.threads.run(send)  # its handler may wait
    assert planted.reached.wait(TIMEOUT)
    system.kernel.flush_queued_dpcs()
    stalled = Stalled("no request completed")
    report(system, stalled)
    raise stalled


@pytest.fixture
def crash(tmp_path: Path) -> Crasher:
    """``crash(name)``: the directory of a system with that bug."""

    def run(name: str) -> Path:
        report = CrashDirectory(tmp_path / "crash")
        with pytest.raises((BugCheck, VerifierError, Stalled)) as ended:
            run_planted(planted.BUGS[name], report)
        assert report.result is not None, ended.value
        assert report.result.missing == {}
        return report.path

    return run
