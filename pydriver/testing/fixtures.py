# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The plugin's fixtures.

Those that request something (`machine_config`, `system_config`, `driver_entry`, `interrupt_mode`)
are there to be overridden: by a fixture of the same name, or by `pytest.mark.parametrize`.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from pydriver.errors import ConfigurationError, MachineError
from pydriver.testing.marks import Wanted
from pydriver.testing.options import Settings

if TYPE_CHECKING:
    from pydriver.machine import Machine, MachineConfig
    from pydriver.pci import InterruptMode
    from pydriver.system import System, SystemConfig
    from pydriver.testing.expect import Expect
    from pydriver.testing.fault import Fault
    from pydriver.testing.qmp import Qmp
    from pydriver.testing.systems import StartSystem, Systems
    from pydriver.testing.watch import RecorderSlice, Watch
    from pydriver.wdf import Device, Driver

__all__ = (
    "SYSTEMS",
    "SYSTEMS_FIXTURE",
    "WATCHES",
    "bug_check_fails",
    "device",
    "driver",
    "driver_entry",
    "expect",
    "fault",
    "interrupt_mode",
    "machine",
    "machine_config",
    "qmp",
    "recorder",
    "start_system",
    "system",
    "system_config",
)

WATCHES: "pytest.StashKey[list[Watch]]" = pytest.StashKey()
"""Key of an item's watches, one for each of its systems; the fixture `system`'s comes first."""

SYSTEMS: "pytest.StashKey[Systems]" = pytest.StashKey()
"""Key of the session's machines, from the first test on that asks for one."""

SYSTEMS_FIXTURE = "_pydriver_systems"


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """Fails a test with a bad configuration, without a traceback: it would name no line of it."""
    try:
        yield
    except (ConfigurationError, MachineError) as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@contextlib.contextmanager
def bug_check_fails() -> Iterator[None]:
    """Turns a bug check into a failure of the test."""
    from pydriver.ke import BugCheck

    try:
        yield
    except BugCheck as bug_check:
        failure = pytest.fail.Exception(bug_check.report)
        raise failure.with_traceback(bug_check.__traceback__) from bug_check.__cause__


# Requests


@pytest.fixture
def machine_config(request: pytest.FixtureRequest) -> "MachineConfig":
    """The machine that the test asks for: its markers, the ini file, the command line."""
    with _plainly():
        return Wanted.of(request.node).machine(Settings.of(request.config))


@pytest.fixture
def system_config(
    request: pytest.FixtureRequest, machine_config: "MachineConfig"
) -> "SystemConfig":
    """The system that the test asks for, on `machine_config`."""
    from pydriver.system import SystemConfig

    with _plainly():
        return SystemConfig(machine_config, verifier=Wanted.of(request.node).verified())


@pytest.fixture
def driver_entry(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The DriverEntry of the driver that the test asks for."""
    with _plainly():
        return Wanted.of(request.node).entry()


@pytest.fixture
def interrupt_mode(request: pytest.FixtureRequest) -> "InterruptMode | None":
    """The mode in which the device interrupts; `None` for the one with most messages."""
    with _plainly():
        return Wanted.of(request.node).mode()


# Objects


@pytest.fixture(scope="session", name=SYSTEMS_FIXTURE)
def systems(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Systems]":
    """The machines of the session."""
    from pydriver.testing.systems import Systems

    settings = Settings.of(request.config)
    crashes = settings.crash_dir or tmp_path_factory.getbasetemp() / "pydriver-crash"
    request.session.stash[SYSTEMS] = systems = Systems(settings.events, crashes)
    yield systems
    systems.close()


@pytest.fixture
def system(
    request: pytest.FixtureRequest,
    system_config: "SystemConfig",
    _pydriver_systems: "Systems",
) -> "Iterator[System]":
    """A running system. It may be shared by several tests, one at a time.

    Drivers that the test has loaded are unloaded afterwards. A bug check, a broken rule or the end
    of QEMU that the test did not expect fails it.
    """
    with _plainly():
        wanted = Wanted.of(request.node)
        watch = _pydriver_systems.lend(request.node, system_config, isolated=wanted.isolated)
    request.node.stash.setdefault(WATCHES, []).insert(0, watch)
    yield watch.system
    _pydriver_systems.take_back(watch)


@pytest.fixture
def start_system(
    request: pytest.FixtureRequest, _pydriver_systems: "Systems"
) -> "Iterator[StartSystem]":
    """Starts systems that only this test has, beside `system` or instead of it.

    ``start_system(config)`` returns a running :class:`~pydriver.system.System`. It is checked as
    `system` is, and ends with the test. With ``doomed=True`` the test ends it, by a bug check or
    otherwise, and checks that itself: a failure of that system does not fail the test.
    """
    watches = request.node.stash.setdefault(WATCHES, [])
    with contextlib.ExitStack() as stack:

        def start(config: "SystemConfig", *, doomed: bool = False) -> "System":
            with _plainly():
                watch = _pydriver_systems.lend(request.node, config, isolated=True)
            watch.doomed = doomed
            watches.append(watch)
            stack.callback(_pydriver_systems.take_back, watch)
            return watch.system

        yield start


@pytest.fixture
def machine(system: "System") -> "Machine":
    """QEMU, with the memory that it shares."""
    return system.machine


@pytest.fixture
def driver(
    request: pytest.FixtureRequest, system: "System", driver_entry: Callable[..., Any]
) -> "Driver":
    """The driver, just loaded."""
    driver: Driver = system.load_driver(driver_entry)
    request.node.stash[WATCHES][0].objects["driver"] = driver
    return driver


@pytest.fixture
def device(
    request: pytest.FixtureRequest,
    system: "System",
    driver: "Driver",
    interrupt_mode: "InterruptMode | None",
) -> "Device":
    """The device under test: the first one of the machine, just started by the driver."""
    from pydriver.testing.systems import device_under_test

    with _plainly():
        function = device_under_test(system)
        messages = Wanted.of(request.node).messages
    device = driver.add_device(function, interrupts=interrupt_mode, messages=messages)
    request.node.stash[WATCHES][0].objects["device"] = device
    return device


@pytest.fixture
def recorder(request: pytest.FixtureRequest, system: "System") -> "RecorderSlice":
    """The events of the recorder in this test."""
    recorder: RecorderSlice = request.node.stash[WATCHES][0].recorder
    return recorder


@pytest.fixture
def fault(request: pytest.FixtureRequest, system: "System") -> "Fault":
    """Breaks the device under test."""
    from pydriver.testing.fault import Fault

    with _plainly():
        return Fault(request.node.stash[WATCHES][0])


@pytest.fixture
def qmp(system: "System") -> "Iterator[Qmp]":
    """QMP: commands, and the events of this test."""
    from pydriver.testing.qmp import Qmp

    qmp = Qmp(system.machine)
    yield qmp
    qmp.close()


@pytest.fixture
def expect(request: pytest.FixtureRequest, system: "System") -> "Expect":
    """Blocks in which a bug check, a broken rule or the end of QEMU is expected."""
    from pydriver.testing.expect import Expect

    return Expect(request.node.stash[WATCHES][0])
