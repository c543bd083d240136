# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The plugin beside pytest-xdist and pytest-timeout, and the console for a test that has failed."""

import re
from pathlib import Path

import pytest

from .conftest import Run, pids, section


def test_workers_of_xdist_have_a_machine_each(run: Run) -> None:
    result = run(
        """
import os, signal
import pytest

@pytest.mark.parametrize("number", range(6))
def test_it(factorial, machine, number):
    assert factorial(5) == 120

def test_death(machine):
    os.kill(machine.pid, signal.SIGKILL)
""",
        "-n",
        "2",
    )
    result.assert_outcomes(passed=6, failed=1)
    assert len(set(pids(result).values())) >= 2
    assert "unexpected end of QEMU in test_it.py::test_death" in section(result, "test_death")


HANGS = """
import pytest

@pytest.mark.timeout(1)
@pytest.mark.isr("never")
def test_hangs(factorial, machine):
    print(f"<QEMU is {machine.pid}>", flush=True)
    factorial(3, timeout=None)

def test_after(factorial, machine):
    assert factorial(5) == 120
"""


def test_timeout_fails_the_test_and_the_next_one_has_a_fresh_machine(run: Run) -> None:
    result = run(HANGS)
    result.assert_outcomes(passed=1, failed=1)
    text = section(result, "test_hangs")
    assert "Timeout (>1.0s)" in text
    assert re.search(r"pydriver recorder -+\n(.*\n)*.* ISR ", text)
    machines = pids(result)
    assert machines["test_hangs"] != machines["test_after"]


def test_timeout_that_ends_the_run_leaves_no_qemu(run: Run) -> None:
    result = run(HANGS, "--timeout-method=thread", "-s")
    found = re.search(r"^.*<QEMU is (\d+)>$", result.stdout.str(), re.M)
    assert found
    assert not Path(f"/proc/{found[1]}/exe").exists()


CONSOLE_TEST = """
import signal
import pytest

@pytest.mark.timeout(30)
def test_it(factorial, device, machine):
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    number = 17
    assert number == 4
"""


def open_console(run: Run, typed: str) -> pytest.RunResult:
    """A run with its console, into which lines are typed."""
    return run(CONSOLE_TEST, "--pydriver-shell-on-fail", stdin=typed.encode())


def test_console_has_the_names_of_the_test_and_a_machine_that_stands_still(run: Run) -> None:
    result = open_console(
        run,
        "import signal; print('clock', signal.getitimer(signal.ITIMER_REAL)[0])\n"
        "print('number', number, device, machine.qmp('query-status')['status'])\n"
        "wdfdriverinfo\n"
        "machine.resume(); print('5! is', factorial(5)); print(type(error).__name__)\n",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "test_it.py::test_it has failed: AssertionError",
            "The machine is stopped; *",
            "Names: device, driver, error, factorial, machine, number, system.*",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "*clock 0.0",  # pytest-timeout's limit does not count at the prompt
            "*number 17 edu_factorial 00:02.0 paused",
            "*Default driver image name: edu_factorial",
            "*5! is 120",
            "*AssertionError",
        ]
    )


def test_console_is_refused_with_xdist(run: Run) -> None:
    result = run("def test_it(): pass", "--pydriver-shell-on-fail", "-n", "2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--pydriver-shell-on-fail needs one process: leave out -n"])
