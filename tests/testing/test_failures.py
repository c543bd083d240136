# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""An error in a system fails the current test, with a report; the next test has a new system."""

import re
from pathlib import Path

import pytest

from .conftest import Run, pids, section

BEFORE_AND_AFTER = """
import os, signal
import pytest

def test_before(factorial, machine):
    assert factorial(5) == 120

{test}

def test_after(factorial, machine):
    assert factorial(6) == 720
"""


def outcome(run: Run, test: str, **counts: int) -> tuple[pytest.RunResult, str]:
    """Runs one test between two that pass; the three must have had two machines."""
    result = run(BEFORE_AND_AFTER.format(test=test))
    result.assert_outcomes(**{"passed": 2, **counts})
    machines = pids(result)
    assert machines["test_before"] != machines["test_after"]
    return result, section(result, "test_it")


def test_bug_check_behind_the_back_of_a_test_fails_it(run: Run) -> None:
    result, text = outcome(
        run,
        """
from contextlib import suppress
from threading import Lock
from pydriver.ke import BugCheck

@pytest.mark.isr("raises")
def test_it(start_factorial, system):
    start_factorial(3)
    never = Lock()
    never.acquire()
    with suppress(BugCheck):
        system.kernel.wait(never, 10)
""",
        failed=1,
    )
    assert "unexpected bug check 0x1E KMODE_EXCEPTION_NOT_HANDLED in test_it.py::test_it" in text
    assert "RuntimeError left a driver's callback: the ISR has raised this" in text
    assert re.search(r"pydriver recorder -+\n(.*\n)*.* ISR .*\n.* BUG_CHECK +0x1E", text)
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_it - Failed: unexpected bug check 0x1E*"])


def test_bug_check_that_ends_a_call_of_the_test_is_told_once(run: Run) -> None:
    _, text = outcome(
        run,
        """
@pytest.mark.isr("raises")
def test_it(factorial):
    factorial(3)
""",
        failed=1,
    )
    assert text.count("*** BUG CHECK 0x1E") == 1
    assert "unexpected bug check 0x1E" in text


def test_bug_check_while_the_device_starts_is_an_error_of_the_test(run: Run) -> None:
    _, text = outcome(
        run,
        """
class TestStart:
    @pytest.fixture
    def driver_entry(self):
        def entry(driver_object):
            raise RuntimeError("the entry has raised this")

        return entry

    def test_it(self, device):
        pass
""",
        errors=1,
    )
    assert "unexpected bug check 0x1E" in text
    assert "RuntimeError left a driver's callback: the entry has raised this" in text


def test_bug_check_in_a_fixture_before_and_after_a_test_is_an_error_of_the_test(run: Run) -> None:
    result = run("""
import pytest

@pytest.fixture
def before(factorial):
    factorial(3)

@pytest.fixture
def after(factorial):
    yield
    factorial(3)

@pytest.mark.isr("raises")
def test_before(machine, before):
    pass

@pytest.mark.isr("raises")
def test_after(machine, after):
    pass

def test_well(machine, before, after):
    pass
""")
    result.assert_outcomes(passed=2, errors=2)
    for test in ("test_before", "test_after"):
        assert f"unexpected bug check 0x1E KMODE_EXCEPTION_NOT_HANDLED in test_it.py::{test}" in (
            section(result, test)
        )
    machines = pids(result)
    assert machines["test_after"] != machines["test_well"]


def test_violation_fails_the_test(run: Run) -> None:
    _, text = outcome(
        run,
        """
@pytest.mark.isr("completes")
def test_it(factorial):
    factorial(3)
""",
        failed=1,
    )
    assert "unexpected violation of KmdfIrql in test_it.py::test_it" in text
    assert "WdfRequestCompleteWithInformation at DIRQL" in text
    assert re.search(r"pydriver recorder -+\n(.*\n)*.* VIOLATION .* KmdfIrql$", text, re.M)


def test_violation_that_shows_at_unloading_is_an_error_of_the_test(run: Run) -> None:
    _, text = outcome(
        run,
        """
def test_it(device):
    device.reference(tag="kept")
""",
        passed=3,  # its body passed
        errors=1,
    )
    assert "unexpected violation of ObjectLeak in test_it.py::test_it" in text
    assert "failure of the link" not in text  # its end afterwards is not the test's fault


def test_guest_exception_fails_the_test(run: Run) -> None:
    _, text = outcome(
        run,
        """
def test_it(system):
    with system.kernel.borrowed() as processor:
        processor.call(0x7FFF_FFFF_F000)
""",
        failed=1,
    )
    assert "unexpected bug check 0x7F UNEXPECTED_KERNEL_MODE_TRAP in test_it.py::test_it" in text
    assert "exception 14 in the guest at RIP 0x7ffffffff000" in text


def test_death_of_qemu_fails_the_test(run: Run) -> None:
    _, text = outcome(
        run,
        """
def test_it(machine):
    os.kill(machine.pid, signal.SIGKILL)
""",
        failed=1,
    )
    assert "unexpected end of QEMU in test_it.py::test_it" in text
    assert "was killed by SIGKILL" in text


def test_what_qemu_says_in_a_test_is_in_the_report_of_this_test_only(run: Run) -> None:
    result = run(
        """
def test_quiet(device):
    pass

def test_loud(system, device):
    registers = device.function.bar_address(0)
    with system.kernel.borrowed() as processor:
        processor.write8(registers, 0)  # edu takes 4 bytes
        processor.sync()

def test_quiet_again(device, machine):
    assert machine.log()
""",
        ini="pydriver_options = -d guest_errors",
    )
    result.assert_outcomes(passed=3)
    assert "pydriver QEMU log" not in section(result, "test_quiet")
    assert re.search(r"pydriver QEMU log -+\nInvalid write", section(result, "test_loud"))
    assert "pydriver QEMU log" not in section(result, "test_quiet_again")


def test_failed_test_leaves_its_machine_to_nobody(run: Run) -> None:
    _, text = outcome(
        run,
        """
@pytest.mark.isr("never")
def test_it(start_factorial):
    start_factorial(3)
    assert 2 + 2 == 5
""",
        failed=1,
    )
    assert "PRESENT" in text


def test_crash_directory_is_kept_where_it_is_asked_for(run: Run, pytester: pytest.Pytester) -> None:
    result = run(
        """
import os, signal

def test_it(machine):
    os.kill(machine.pid, signal.SIGKILL)

def test_assertion(device):
    assert False
""",
        "--pydriver-crash-dir=crashes",
    )
    result.assert_outcomes(failed=2)
    (directory,) = (pytester.path / "crashes").iterdir()
    assert directory.name == "test_it.py_test_it"
    assert "was killed by SIGKILL" in (directory / "report.txt").read_text(encoding="utf-8")
    assert f"crash directory: {directory}" in result.stdout.str()


def test_crash_directory_is_in_the_temporary_directory_otherwise(run: Run) -> None:
    result = run("""
import os, signal

def test_it(machine):
    os.kill(machine.pid, signal.SIGKILL)
""")
    found = re.search(r"^crash directory: (.*) has the crash", result.stdout.str(), re.M)
    assert found
    assert {each.name for each in Path(found[1]).iterdir()} >= {"report.txt", "recorder.txt"}
