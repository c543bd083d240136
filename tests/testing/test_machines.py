# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The machines of tests: which ones share one, and the objects that they get."""

import pytest

from pydriver.machine.binary import default_qemu

from .conftest import Run, pids, section


def test_one_boot_is_shared_and_isolation_is_given_to_who_asks(run: Run) -> None:
    result = run("""
import pytest

def test_first(factorial, machine):
    assert factorial(5) == 120

@pytest.mark.pydriver(isolated=True)
def test_alone(factorial, machine):
    assert factorial(5) == 120

def test_second(factorial, machine):
    assert factorial(6) == 720

@pytest.mark.pydriver(cpus=2)
def test_other(machine, system):
    assert len(system.kernel.processors) == 2
""")
    result.assert_outcomes(passed=4)
    machines = pids(result)
    assert machines["test_first"] == machines["test_second"]
    assert len(set(machines.values())) == 3


def test_systems_that_a_test_starts_are_its_own_and_are_looked_at_like_the_shared_one(
    run: Run,
) -> None:
    result = run("""
import os
import pytest
from dataclasses import replace
from pydriver.ke import BugCheck

def bug_check(system):
    with pytest.raises(BugCheck):
        system.kernel.bug_check(0xE2, message="the test has asked for it")

@pytest.fixture
def two(system_config):
    return replace(system_config, machine=replace(system_config.machine, cpus=2))

started = []

def test_both(machine, system, start_system, system_config, two):
    started[:] = [system, start_system(system_config), start_system(two)]
    assert [len(each.kernel.processors) for each in started] == [1, 1, 2]
    assert len({each.machine.pid for each in started}) == 3

def test_ended(machine):
    assert started[0].machine.pid == machine.pid
    for each in started[1:]:
        with pytest.raises(OSError):
            os.kill(each.machine.pid, 0)

def test_fails(start_system, two):
    bug_check(start_system(two))

def test_doomed(start_system, two):
    bug_check(start_system(two, doomed=True))

def test_doomed_and_wrong(start_system, system_config):
    bug_check(start_system(system_config, doomed=True))
    raise AssertionError("this one")

def test_one_of_two(start_system, system_config, two):
    bug_check(start_system(two, doomed=True))
    bug_check(start_system(system_config))
""")
    result.assert_outcomes(passed=3, failed=3)
    for name in "test_fails", "test_one_of_two":
        assert f"unexpected bug check 0xE2 0xE2 in test_it.py::{name}" in (section(result, name))
    assert "unexpected" not in section(result, "test_doomed_and_wrong")


def test_clock_that_a_test_stops_goes_on_for_the_next_one(run: Run) -> None:
    result = run("""
from pydriver.ke import ManualClock

def test_first(factorial, machine, system):
    system.kernel.timers.use(ManualClock())
    assert factorial(5) == 120

def test_second(factorial, machine, system):
    assert not isinstance(system.kernel.timers.clock, ManualClock)
    assert factorial(5) == 120
""")
    result.assert_outcomes(passed=2)
    machines = pids(result)
    assert machines["test_first"] == machines["test_second"]


def test_nothing_of_the_framework_is_imported_for_other_tests(run: Run) -> None:
    result = run(
        """
import sys

def test_it():
    assert not [name for name in sys.modules if name.startswith(("pydriver.ke", "pydriver.abi"))]
    assert "cffi" not in sys.modules
""",
        *("-p", "no:xdist", "--noconftest", "-o", "pydriver_device=", "-o", "pydriver_driver="),
    )
    result.assert_outcomes(passed=1)


def test_machine_ends_before_a_module_without_one(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_zz="""
import os
import test_it

def test_later():
    with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children") as file:
        assert not file.read().split()
"""
    )
    result = run(
        """
def test_first(machine):
    pass

def test_between():
    pass

def test_last(machine):
    pass
"""
    )
    result.assert_outcomes(passed=4)
    machines = pids(result)
    assert machines["test_first"] == machines["test_last"]


def test_markers_go_over_the_ini_file_keyword_by_keyword(run: Run) -> None:
    run(
        """
import pytest
from pydriver.pci import InterruptMode

pytestmark = pytest.mark.pydriver(cpus=2, interrupts="intx")

@pytest.mark.pydriver(interrupts="msi", options="-d guest_errors", memory=32 << 20)
class TestIt:
    def test_class(self, device, machine):
        assert device.interrupt_mode is InterruptMode.MSI
        assert machine.config.cpus == 2
        assert machine.config.memory == 32 << 20
        assert machine.config.options == ("-d", "guest_errors")

    @pytest.mark.pydriver(cpus=1, verifier=False)
    def test_function(self, device, machine, system):
        assert device.interrupt_mode is InterruptMode.MSI
        assert machine.config.cpus == 1
        assert not system.kernel.verifying

def test_module(device):
    assert device.interrupt_mode is InterruptMode.INTX
    assert not device.system.machine.config.options

@pytest.mark.parametrize("interrupt_mode", [InterruptMode.MSI, InterruptMode.INTX])
def test_parametrized(device, interrupt_mode):
    assert device.interrupt_mode is interrupt_mode
""",
    ).assert_outcomes(passed=5)


def test_device_is_found_behind_a_bridge_and_by_an_id(run: Run) -> None:
    run(
        """
import pytest

@pytest.mark.pydriver(device=["pcie-pci-bridge,id=bridge", "edu,bus=bridge,addr=3,id=dut"])
def test_it(factorial, device):
    assert factorial(5) == 120
    assert device.function.address.bus > 0

@pytest.mark.pydriver(device=["edu,addr=6,id=mine", "edu,addr=5"])
def test_first_of_two(device):
    assert device.function.slot == "00:06.0"
""",
    ).assert_outcomes(passed=2)


def test_options_reach_the_machine(run: Run, pytester: pytest.Pytester) -> None:
    link = pytester.path / "link"
    link.symlink_to(default_qemu().resolve())
    run(
        """
def test_it(machine, system):
    assert machine.config.cpus == 3
    assert str(machine.config.qemu).endswith("/link")
""",
        "--pydriver-cpus=3",
        f"--pydriver-qemu={link}",
    ).assert_outcomes(passed=1)


def test_qemu_without_the_device_skips_the_test_with_a_reason(run: Run) -> None:
    result = run("""
import pytest

@pytest.mark.pydriver(device="a-device-of-the-future,queues=4")
def test_it(device):
    pass

def test_after(factorial):
    assert factorial(3) == 6
""")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * QEMU * has no device a-device-of-the-future"])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("devices='edu'", "*mark.pydriver does not know devices; its keywords are device, *"),
        ("device=()", "there is no device: name it by mark.pydriver(device=...)*"),
        ("device='edu,bus=no'", "*Bus 'no' not found"),
        ("driver='no.such'", "driver no.such: No module named 'no'"),
        ("driver='math'", "driver math: the module has no driver_entry"),
        ("driver=None", "there is no driver: name it by mark.pydriver(driver=...)*"),
        ("device='edu,no=1'", "*Property 'edu.no' not found*"),
        ("cpus=9", "9 vCPUs: 1 to 8 are possible"),
        ("interrupts='irq'", "interrupts 'irq': intx or msi or msix"),
    ],
)
def test_bad_marker_is_an_error_that_says_what_is_wrong(
    run: Run, marker: str, message: str
) -> None:
    result = run(
        f"""
import pytest

@pytest.mark.pydriver({marker})
def test_it(device):
    pass
""",
        "--noconftest",  # that test has its own driver_entry
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([message])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--pydriver-qemu=/nowhere", "*--pydriver-qemu=/nowhere: there is no such program"),
        ("--pydriver-cpus=9", "*argument --pydriver-cpus: 9: 1 to 8 are possible"),
        ("--pydriver-cpus=two", "*argument --pydriver-cpus: two: 1 to 8 are possible"),
        ("--pydriver-accel=xen", "*argument --pydriver-accel: invalid choice: 'xen'*"),
        ("--pydriver-events=-1", "*--pydriver-events=-1 is negative"),
    ],
)
def test_bad_option_is_refused_before_a_test_runs(run: Run, option: str, message: str) -> None:
    result = run("def test_it(): pass", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_missing_qemu_is_an_error_and_no_skip(
    run: Run, monkeypatch: pytest.MonkeyPatch, pytester: pytest.Pytester
) -> None:
    missing = str(pytester.path / "nothing")
    monkeypatch.setenv("PYDRIVER_QEMU", missing)
    result = run("def test_it(machine): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [f"QEMU {missing}: No such file or directory. Give its path with --pydriver-qemu=PATH or *"]
    )
