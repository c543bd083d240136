# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Systems of the plugin with `edu` devices: a shared one, and ones that a test brings down.

As with the plugin's `system`, a test fails after a bug check, a broken rule that the test has not
asked for (`Bench.violations`), and the end of QEMU. It also fails if the verifier did not find the
driver's mistake with which the test is marked. A folder's `conftest.py` imports the fixtures that
its tests need.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from pydriver.ke import VerifierConfig
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from pydriver.testing import StartSystem
from pydriver.testing.fixtures import WATCHES
from pydriver.testing.watch import Fate

from .bench import DEVICES, Bench

__all__ = ("bench", "boot", "doomed", "machine_config")

Boot = Callable[..., Bench]


@pytest.fixture
def machine_config(machine_config: MachineConfig) -> MachineConfig:
    """The devices of all these tests, on one processor."""
    return replace(machine_config, devices=DEVICES, bar2=1 << 20)


@pytest.fixture
def bench(request: pytest.FixtureRequest, system: System) -> Iterator[Bench]:
    """Devices of the shared system. A test that ends the system fails."""
    bench = Bench(system)
    yield bench
    if request.node.stash[WATCHES][0].fate is not Fate.BROKEN:
        bench.close()
    check_mistakes(request, [bench])


@pytest.fixture
def boot(
    request: pytest.FixtureRequest, machine_config: MachineConfig, start_system: StartSystem
) -> Iterator[Boot]:
    """``boot(cpus, verifier)`` boots a system with devices, which the test may bring down."""
    benches: list[Bench] = []

    def start(cpus: int = 1, verifier: VerifierConfig | None = None) -> Bench:
        machine = replace(machine_config, cpus=cpus)
        config = SystemConfig(machine, verifier=verifier or VerifierConfig())
        benches.append(Bench(start_system(config, doomed=True)))
        return benches[-1]

    yield start
    check_mistakes(request, benches)


@pytest.fixture
def doomed(boot: Boot) -> Bench:
    """Devices of a system with one processor that the test brings down."""
    return boot()


def check_mistakes(request: pytest.FixtureRequest, benches: list[Bench]) -> None:
    """Fails a test that is marked with a mistake that the verifier has not found in it."""
    if any(watch.failed for watch in request.node.stash[WATCHES]):
        return
    marked = {(*mark.args, None)[:2] for mark in request.node.iter_markers("mistake")}
    found = {mistake for bench in benches for mistake in bench.mistakes()}
    if not marked <= found:
        pytest.fail(f"the verifier has not found {marked - found}, but {found}")
