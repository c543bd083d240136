# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The fixtures for a test: faults, QMP, and the failures that it expects."""

from .conftest import Run, pids, section


def test_what_a_test_expects_does_not_fail_it(run: Run) -> None:
    result = run("""
import os, signal
import pytest
from pydriver.ke import BugCheck

@pytest.mark.isr("raises")
def test_bug_check(factorial, expect, machine):
    with expect.bug_check(0x1E) as caught:
        factorial(3)
    assert "the ISR has raised this" in caught.value.report

@pytest.mark.isr("raises")
def test_late_bug_check(start_factorial, expect, machine):
    with expect.bug_check(rule="KMODE_EXCEPTION_NOT_HANDLED"):
        start_factorial(3)

@pytest.mark.isr("completes")
def test_violation(factorial, expect, machine):
    with expect.violation("KmdfIrql") as caught:
        factorial(3)
    assert "WdfRequestComplete" in caught.value.message

def test_death(factorial, expect, machine):
    with expect.machine_death() as caught:
        os.kill(machine.pid, signal.SIGKILL)
        factorial(3)
    assert "SIGKILL" in str(caught.value)

def test_after(factorial, machine):
    assert factorial(5) == 120
""")
    result.assert_outcomes(passed=5)
    machines = pids(result)
    assert machines["test_violation"] == machines["test_death"]  # a violation ends nothing
    assert len(set(machines.values())) == 4


def test_what_does_not_happen_as_expected_fails_the_test(run: Run) -> None:
    result = run("""
import os, signal
import pytest

def test_nothing(device, expect):
    with expect.bug_check(0x1E, timeout=0.1):
        pass

@pytest.mark.isr("raises")
def test_other_code(factorial, expect):
    with expect.bug_check(0x10D):
        factorial(3)

@pytest.mark.isr("raises")
def test_other_end(factorial, expect):
    with expect.machine_death():
        factorial(3)

@pytest.mark.isr("completes")
def test_other_rule(factorial, expect):
    with expect.violation("Other", timeout=0.1):
        factorial(3)

@pytest.mark.isr("completes")
def test_other_error(factorial, expect):
    with expect.bug_check(timeout=0.1):
        factorial(3)
        assert 2 + 2 == 5
""")
    result.assert_outcomes(failed=5)
    assert "no bug check within 0.1 s" in section(result, "test_nothing")
    assert "bug check 0x10D was expected, not 0x1E" in section(result, "test_other_code")
    assert "end of QEMU was expected, not BugCheck" in section(result, "test_other_end")
    assert "rule Other was not broken within 0.1 s" in section(result, "test_other_rule")
    assert "unexpected violation of KmdfIrql" in section(result, "test_other_rule")
    assert "assert (2 + 2) == 5" in section(result, "test_other_error")


def test_faults_are_injected_and_a_faulty_machine_is_not_used_again(run: Run) -> None:
    result = run("""
import pytest
from pydriver.drivers import mqdma
from pydriver.errors import ConfigurationError

@pytest.fixture
def driver_entry():
    return mqdma.driver_entry

mqdma_device = pytest.mark.pydriver(
    device="mqdma,memdev=bar2,queues=2", bar2=mqdma.shared_memory(2, 64, 65536)
)

@mqdma_device
def test_spurious(device, fault, qmp, machine):
    fault.inject("spurious", queue=1)
    stats = qmp("qom-get", path="/machine/peripheral/dut", property="stat-messages")
    assert stats == 8

@mqdma_device
def test_by_name(device, fault, qmp, machine):
    fault.set(queue=1, storm_period_us=50)
    assert qmp("qom-get", path="/machine/peripheral/dut", property="fault-storm-period-us") == 50
    assert "removed" in fault.names

@mqdma_device
def test_unknown(fault):
    with pytest.raises(ConfigurationError, match="has no property fault-fire; it has corrupt, "):
        fault.set(fire=1)
    with pytest.raises(ConfigurationError, match="fault 'fire': there are spurious, "):
        fault.inject("fire")

def test_none_at_all(fault):
    with pytest.raises(ConfigurationError, match="it has no faults at all"):
        fault.set(lost=1)
""")
    result.assert_outcomes(passed=4)
    machines = pids(result)
    assert machines["test_spurious"] != machines["test_by_name"]


def test_qmp_has_the_events_of_the_test(run: Run) -> None:
    run("""
import pytest

def test_first(qmp, machine):
    qmp("stop")
    assert qmp.wait("STOP") == {}
    assert not qmp.events
    qmp("cont")
    qmp.wait("RESUME")
    with pytest.raises(pytest.fail.Exception, match="QMP event STOP did not come"):
        qmp.wait("STOP", timeout=0.01)

def test_second(qmp, machine):
    assert qmp.events == []
""").assert_outcomes(passed=2)


def test_recorder_has_the_events_of_the_test(run: Run) -> None:
    run("""
from pydriver.trace.recorder import Event

def test_first(factorial, recorder):
    factorial(3)
    factorial(4)
    assert recorder.count(Event.ISR) == 2

def test_second(factorial, recorder, system):
    factorial(3)
    assert recorder.count(Event.ISR) == 1
    assert len(recorder.format()) == len(recorder.last()) < len(system.kernel.recorder.last())
    assert len(recorder.format(2)) == 2
""").assert_outcomes(passed=2)
