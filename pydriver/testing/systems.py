# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The machines of a test run: one that tests share, and those that tests ask for alone.

At most one system is shared at a time. It is started when a test asks for it, and given to the next
test that asks for the same configuration. It is not used again after a failed test, a failure of
the system or an injected fault; then the next test gets a fresh one.
"""

import functools
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from pydriver.errors import CapabilityError, ConfigurationError, PciTimeoutError, PydriverError
from pydriver.ke import BugCheck
from pydriver.pci import CapabilityId
from pydriver.pci.ivshmem import DEVICE_ID as DOORBELL_DEVICE
from pydriver.pci.ivshmem import VENDOR_ID as DOORBELL_VENDOR
from pydriver.system import System
from pydriver.testing.watch import Fate, Watch

if TYPE_CHECKING:
    from pathlib import Path

    from pydriver.machine import MachineConfig
    from pydriver.pci import PciFunction
    from pydriver.system import SystemConfig

__all__ = ("StartSystem", "Systems", "device_id", "device_under_test")

DEFAULT_ID = "dut"
"""The id in QEMU of the device under test. If no device has it, the first one is tested."""

ID = re.compile(r",id=([^,]+)")

HELP_TIMEOUT = 30.0


class StartSystem(Protocol):
    """The type of the fixture `start_system`."""

    def __call__(self, config: "SystemConfig", *, doomed: bool = False) -> System:
        """Starts a system.

        :param config: the configuration of the system
        :param doomed: whether the test ends it, by a bug check or otherwise, and checks that itself
        :raises MachineError: QEMU does not start
        """


class Systems:
    """Starts and ends systems for tests.

    :param events: most events of the recorder in the report of a test
    :param crashes: the folder for crash directories
    """

    def __init__(self, events: int, crashes: "Path") -> None:
        self._events = events
        self._crashes = crashes
        self._shared: System | None = None

    def lend(self, item: pytest.Item, config: "SystemConfig", *, isolated: bool) -> Watch:
        """Gives a test a running system.

        :param item: the test
        :param config: the configuration of the system
        :param isolated: ``True`` for a fresh system that no other test gets
        :raises ConfigurationError: QEMU is missing
        :raises MachineError: QEMU does not start
        """
        machine = config.machine
        config = replace(config, machine=replace(machine, devices=_named(machine.devices)))
        system = _start(config) if isolated else self._get_shared(config)
        watch = Watch(item, system, self._events, self._crashes)
        if isolated:
            watch.worsen(Fate.SPENT)
        return watch

    def take_back(self, watch: Watch) -> None:
        """Unloads the drivers that the test has loaded, and takes the system back.

        :raises pytest.fail.Exception: the test did not expect a failure that was found
        """
        system = watch.system
        verdict = ""
        try:
            if watch.fate is not Fate.BROKEN and watch.failure is None:
                try:
                    watch.restore_clock()
                    system.unload_drivers()
                    if watch.fate is Fate.SHARED and not _reset_functions(system):
                        watch.worsen(Fate.SPENT)
                except (BugCheck, PydriverError):
                    watch.worsen(Fate.BROKEN)
                    verdict = watch.verdict()
                    if not verdict:
                        raise
            verdict = verdict or watch.verdict()
        except BaseException:
            watch.worsen(Fate.BROKEN)
            raise
        finally:
            watch.close()
            if watch.fate is not Fate.SHARED:
                if system is self._shared:
                    self._shared = None
                _end(system)
        if verdict:
            pytest.fail(verdict, pytrace=False)

    def _get_shared(self, config: "SystemConfig") -> System:
        shared = self._shared
        if shared is not None and (shared.config != config or not _works(shared)):
            self.close()
        if self._shared is None:
            self._shared = _start(config)
        return self._shared

    def close(self) -> None:
        """Ends the shared system. Idempotent."""
        system, self._shared = self._shared, None
        if system is not None:
            _end(system)


def device_id(config: "MachineConfig") -> str:
    """Returns the id in QEMU of the device under test.

    :raises ConfigurationError: there is no such device
    """
    if not config.devices:
        raise ConfigurationError(
            "there is no device: name it by mark.pydriver(device=...), by pydriver_device in the "
            "ini file, or by a fixture machine_config"
        )
    ids = [found[1] if (found := ID.search(each)) else "" for each in config.devices]
    return DEFAULT_ID if DEFAULT_ID in ids else ids[0]


def device_under_test(system: System) -> "PciFunction":
    """Returns the PCI function of the device under test.

    :raises ConfigurationError: there is no device, or it is not a PCI device
    """
    config = system.config.machine
    identifier = device_id(config)
    for each in _functions(system.machine.qmp("query-pci")):
        if each["qdev_id"] == identifier:
            return system.pci.at(f"{each['bus']:02x}:{each['slot']:02x}.{each['function']}")
    raise ConfigurationError(f"the device with the id {identifier} is not a function of a PCI bus")


def _functions(buses: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields the functions that `query-pci` lists, bridges before the functions behind them."""
    for bus in buses:
        for each in bus["devices"]:
            yield each
            yield from _functions(
                [each["pci_bridge"]] if "devices" in each.get("pci_bridge", {}) else []
            )


def _named(devices: tuple[str, ...]) -> tuple[str, ...]:
    """Gives the first device an id, by which QMP finds it, if no device has the default id."""
    if not devices or ID.search(devices[0]) or f",id={DEFAULT_ID}" in ",".join(devices):
        return devices
    return (f"{devices[0]},id={DEFAULT_ID}", *devices[1:])


def _start(config: "SystemConfig") -> System:
    missing = [
        name
        for name in map(_model, config.machine.devices)
        if config.machine.qemu is not None and name not in _models(config.machine.qemu)
    ]
    if missing:
        pytest.skip(f"QEMU {config.machine.qemu} has no device {' and no '.join(missing)}")
    system = System(config)
    system.start()
    return system


def _model(device: str) -> str:
    return device.partition(",")[0].removeprefix("driver=")


def _end(system: System) -> None:
    # As after an error: nothing is left to unload, or a driver waits for an unknown event.
    system.abort()


def _works(system: System) -> bool:
    try:
        system.check()
        system.machine.check_alive()
    except (BugCheck, PydriverError):
        return False
    return True


def _reset_functions(system: System) -> bool:
    """Resets the functions that have a function-level reset, so that no test affects the next.

    :return: ``False`` if a function does not come back from the reset
    """
    with system.kernel.borrowed():
        for function in system.pci.functions:
            ids = (function.vendor_id, function.device_id)
            if function.is_bridge or ids == (DOORBELL_VENDOR, DOORBELL_DEVICE):
                continue
            if function.has(CapabilityId.PCI_EXPRESS):
                try:
                    with suppress(CapabilityError):
                        function.reset()
                except PciTimeoutError:
                    return False
    return True


@functools.cache
def _models(qemu: "Path") -> frozenset[str]:
    """Returns the device models of a QEMU, by name and by alias.

    :raises ConfigurationError: there is no such QEMU
    """
    try:
        listed = subprocess.run(
            [qemu, "-display", "none", "-device", "help"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=HELP_TIMEOUT,
            check=False,
        ).stdout
    except OSError as error:
        raise ConfigurationError(
            f"QEMU {qemu}: {error.strerror}. Give its path with --pydriver-qemu=PATH or "
            "$PYDRIVER_QEMU"
        ) from error
    names = set()
    for line in listed.splitlines():
        for field in line.split(", "):
            key, _, value = field.partition(" ")
            if key in ("name", "alias"):
                names.add(value.strip('"'))
    return frozenset(names)
