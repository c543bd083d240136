# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Systems with `edu` devices: one that is shared, and ones that a test may bring down.

A test during which a system ended, by a bug check or by QEMU's death, fails with the report, and
so does one in which the verifier found what the test has not asked for (`Bench.violations`), or
did not find the mistake that the test is marked with; a test that fails shows the recorder's last
events.
"""

from collections.abc import Callable, Iterator

import pytest

from pydriver.ke import BugCheck, VerifierConfig
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from tests.harness.bench import DEVICES, Bench

EVENTS = 40

_running: list[System] = []
failed = pytest.StashKey[bool]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.when == "call" and report.failed:
        item.stash[failed] = True
        for system in _running:
            lines = system.kernel.recorder.format(EVENTS)
            report.sections.append(("the recorder's last events", "\n".join(lines)))
            report.sections.append(("QEMU's last lines", "\n".join(system.machine.log())))


def start(cpus: int = 1, verifier: VerifierConfig | None = None) -> System:
    machine = MachineConfig(cpus=cpus, bar2=1 << 20, devices=DEVICES)
    system = System(SystemConfig(machine, verifier=verifier or VerifierConfig()))
    system.start()
    _running.append(system)
    return system


def end(system: System, *, orderly: bool = True) -> None:
    """Unloads the drivers, unless a test has left them with requests that nobody completes."""
    _running.remove(system)
    if orderly:
        system.close()
    else:
        system.__exit__(Exception)


@pytest.fixture(scope="session")
def shared() -> Iterator[list[System]]:
    """At most one system; it is started again after a test that broke it."""
    systems: list[System] = []
    yield systems
    for system in systems:
        end(system)


@pytest.fixture
def bench(shared: list[System], request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Devices of the shared system, which has one processor. What ends the system is a failure."""
    if not shared:
        shared.append(start())
    bench = Bench(shared[0])
    yield bench
    kernel = bench.system.kernel
    if failed in request.node.stash:
        end(shared.pop(), orderly=False)
        return
    if kernel.failure is None:
        bench.close()
    if kernel.failure is not None:
        end(shared.pop())
        if isinstance(kernel.failure, BugCheck):
            pytest.fail(f"a bug check that nobody expected:\n{kernel.failure.report}")
        raise kernel.failure
    check_violations(bench)
    check_mistakes(request, [bench])


def check_mistakes(request: pytest.FixtureRequest, benches: list[Bench]) -> None:
    """Fail a test that is marked with a mistake that the verifier has not found in it."""
    marked = {(*mark.args, None)[:2] for mark in request.node.iter_markers("mistake")}
    found = {mistake for bench in benches for mistake in bench.mistakes()}
    if not marked <= found:
        pytest.fail(f"the verifier has not found {marked - found}, but {found}")


def check_violations(bench: Bench) -> None:
    """Fail a test that has broken rules that it did not ask about."""
    found = bench.violations()
    if found:
        reports = "\n".join(each.report(events=True) for each in found)
        pytest.fail(f"violations that nobody expected:\n{reports}")


@pytest.fixture
def boot(request: pytest.FixtureRequest) -> Iterator[Callable[..., Bench]]:
    """``boot(cpus, verifier)``: devices of a system that the test may bring down."""
    benches: list[Bench] = []

    def start_one(cpus: int = 1, verifier: VerifierConfig | None = None) -> Bench:
        benches.append(Bench(start(cpus, verifier)))
        return benches[-1]

    yield start_one
    broken = failed in request.node.stash
    for bench in benches:
        found = [] if broken or bench.kernel.failure else bench.unload_and_look()
        end(bench.system, orderly=not broken)
        if found:
            pytest.fail("\n".join(each.report(events=True) for each in found))
    if not broken:
        check_mistakes(request, benches)


@pytest.fixture
def doomed(boot: Callable[..., Bench]) -> Bench:
    """Devices of a system with one processor that the test brings down."""
    return boot(1)
