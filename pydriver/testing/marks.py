# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The requests of a test: its `pydriver` markers, over the ini keys, over the command line.

The marker of a function goes before that of its class, and this before that of its module, keyword
by keyword.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydriver.errors import ConfigurationError

if TYPE_CHECKING:
    import pytest

    from pydriver.ke import VerifierConfig
    from pydriver.machine import MachineConfig
    from pydriver.pci import InterruptMode
    from pydriver.testing.options import Settings

__all__ = ("MARKER", "MARKER_HELP", "Wanted")

MARKER = "pydriver"
MARKER_HELP = (
    f"{MARKER}(device, driver, interrupts, messages, cpus, memory, bar2, options, verifier, "
    "isolated): what the fixtures machine, driver and device are; "
    "see docs/how-to/testing.md of pydriver"
)


@dataclass(frozen=True)
class Wanted:
    """The keywords of the marker.

    :ivar device: the device as QEMU's ``-device`` takes it, or several; the one with the id
        ``dut`` is tested, or else the first one
    :ivar driver: the driver's module, the module's name, the name of an installed driver, or a
        DriverEntry
    :ivar interrupts: the mode: ``msix``, ``msi``, ``intx`` or an :class:`InterruptMode`
    :ivar messages: most messages that the device is given
    :ivar cpus: vCPUs, 1 to 8
    :ivar memory: bytes of guest RAM
    :ivar bar2: bytes of the shared memory with the id ``bar2``
    :ivar options: other options of QEMU
    :ivar verifier: the configuration of the verifier, or whether it is on
    :ivar isolated: ``True`` for a machine that no other test gets
    """

    device: str | Sequence[str] = ()
    driver: Any = None
    interrupts: "str | InterruptMode | None" = None
    messages: int | None = None
    cpus: int | None = None
    memory: int | None = None
    bar2: int | None = None
    options: str | Sequence[str] = ()
    verifier: "bool | VerifierConfig" = True
    isolated: bool = False

    @classmethod
    def of(cls, node: "pytest.Item") -> "Wanted":
        """Collects the requests of a test.

        :raises ConfigurationError: a marker has an argument that does not exist
        """
        config = node.config
        known = [each.name for each in fields(cls)]
        found: dict[str, Any] = {
            "device": config.getini("pydriver_device"),
            "driver": config.getini("pydriver_driver") or None,
            "interrupts": config.getini("pydriver_interrupts") or None,
            "options": config.getini("pydriver_options"),
        }
        for mark in reversed(list(node.iter_markers(MARKER))):
            wrong = [*map(repr, mark.args), *(name for name in mark.kwargs if name not in known)]
            if wrong:
                raise ConfigurationError(
                    f"{node.nodeid}: mark.{MARKER} does not know {', '.join(wrong)}; "
                    f"its keywords are {', '.join(known)}"
                )
            found.update(mark.kwargs)
        return cls(**found)

    @property
    def devices(self) -> tuple[str, ...]:
        """The arguments of ``-device``."""
        return (self.device,) if isinstance(self.device, str) else tuple(self.device)

    def machine(self, settings: "Settings") -> "MachineConfig":
        """The machine.

        :raises ConfigurationError: a value is out of range
        """
        from pydriver.machine import MachineConfig

        config = MachineConfig(
            cpus=settings.cpus if self.cpus is None else self.cpus,
            accel=settings.accel,
            devices=self.devices,
            options=tuple(
                shlex.split(self.options) if isinstance(self.options, str) else self.options
            ),
            qemu=settings.qemu,
        )
        if self.memory is not None:
            config = replace(config, memory=self.memory)
        if self.bar2 is not None:
            config = replace(config, bar2=self.bar2)
        return config

    def verified(self) -> "VerifierConfig":
        """The configuration of the verifier."""
        from pydriver.ke import VerifierConfig

        if isinstance(self.verifier, bool):
            return VerifierConfig(enabled=self.verifier)
        return self.verifier

    def entry(self) -> Callable[..., Any]:
        """The DriverEntry.

        :raises ConfigurationError: there is no such driver, or none was named
        """
        from pydriver.drivers.catalog import import_driver

        driver = self.driver
        if driver is None:
            raise ConfigurationError(
                "there is no driver: name it by mark.pydriver(driver=...), by pydriver_driver in "
                "the ini file, or by a fixture driver_entry"
            )
        if isinstance(driver, ModuleType):
            driver = driver.__name__
        return import_driver(driver).entry if isinstance(driver, str) else driver

    def mode(self) -> "InterruptMode | None":
        """The mode in which the device interrupts; ``None`` for the one with most messages.

        :raises ConfigurationError: there is no such mode
        """
        from pydriver.pci import InterruptMode

        if not isinstance(self.interrupts, str):
            return self.interrupts
        modes = {each.value: each for each in InterruptMode if each is not InterruptMode.NONE}
        if self.interrupts.lower() not in modes:
            raise ConfigurationError(f"interrupts {self.interrupts!r}: {' or '.join(modes)}")
        return modes[self.interrupts.lower()]
