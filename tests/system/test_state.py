# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The states of a system: the errors of calls in the wrong one, and its parts in each."""

import subprocess
import sys
from dataclasses import replace

import pytest

from pydriver.drivers import edu
from pydriver.errors import MachineDied, StateError
from pydriver.ke import DriverObject
from pydriver.machine import MachineConfig
from pydriver.pci import PciBus
from pydriver.system import System, SystemConfig, SystemState
from pydriver.wdf import Driver

CONFIG = SystemConfig(MachineConfig(bar2=0, devices=("edu",)))


@pytest.mark.parametrize("part", ["machine", "link", "kernel", "pci", "vectors"])
def test_system_that_has_not_been_started_says_that_it_has_no_parts(part: str) -> None:
    with pytest.raises(StateError, match="the system has not been started: it has no"):
        getattr(System(CONFIG), part)


def test_system_is_started_once() -> None:
    with System(CONFIG) as system:
        with pytest.raises(StateError, match=r"System\.start .* the system is running"):
            system.start()
        assert system.state is SystemState.RUNNING
    with pytest.raises(StateError, match=r"System\.start .* the system has been closed"):
        system.start()


def test_driver_is_loaded_by_a_running_system_only() -> None:
    system = System(CONFIG)
    with pytest.raises(StateError, match=r"System\.load_driver .* has not been started"):
        system.load_driver(edu.driver_entry)
    with system:
        system.load_driver(edu.driver_entry)
    with pytest.raises(StateError, match=r"System\.load_driver .* has been closed"):
        system.load_driver(edu.driver_entry)


def test_kernel_can_be_asked_after_the_end() -> None:
    system = System(CONFIG)
    assert not system.has_kernel
    with system:
        pass
    assert system.state is SystemState.CLOSED
    assert system.has_kernel
    assert set(system.kernel.summary()) == {"isr", "dpc", "work_item"}


def test_start_that_fails_closes_the_system() -> None:
    system = System(SystemConfig(MachineConfig(devices=("nonesuch",))))
    with pytest.raises(MachineDied):
        system.start()
    assert system.state is SystemState.CLOSED
    assert not system.has_kernel


def test_death_of_qemu_during_the_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[tuple[System, BaseException]] = []
    died = MachineDied("QEMU has died before any thread of a processor has noticed")

    def start(access: object) -> PciBus:
        raise died

    monkeypatch.setattr(PciBus, "start", start)
    system = System(replace(CONFIG, on_failure=lambda *report: reported.append(report)))
    with pytest.raises(MachineDied):
        system.start()
    assert reported == [(system, died)]
    assert system.state is SystemState.CLOSED


@pytest.mark.parametrize("orderly", [True, False])
def test_abort_unloads_no_driver_and_close_does(orderly: bool) -> None:
    unloaded: list[bool] = []

    def entry(driver_object: DriverObject) -> Driver:
        driver = edu.driver_entry(driver_object)
        unload = driver_object.driver_unload
        assert unload is not None

        def noted() -> None:
            unloaded.append(True)
            unload()

        driver_object.driver_unload = noted
        return driver

    system = System(CONFIG)
    system.start()
    system.load_driver(entry)
    (system.close if orderly else system.abort)()
    assert unloaded == [True] * orderly
    assert system.state is SystemState.CLOSED


def test_power_is_cut_in_every_state() -> None:
    system = System(CONFIG)
    system.cut_power()
    system.start()
    system.cut_power()
    with pytest.raises(MachineDied, match="SIGKILL"):
        system.machine.qmp("query-status")
    system.abort()
    system.cut_power()


def test_package_offers_the_system_without_loading_it_at_once() -> None:
    program = (
        "import sys, pydriver\n"
        "assert 'pydriver.system' not in sys.modules\n"
        "assert pydriver.System.__module__ == 'pydriver.system.system'\n"
        "from pydriver.ke import System\n"
        "assert System is pydriver.System\n"
        "assert pydriver.SystemConfig\n"
        "assert not hasattr(pydriver, 'Device')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
