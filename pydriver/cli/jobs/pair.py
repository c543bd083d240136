# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What `pydriver run --device ... --driver ...` does: any device of QEMU, and any driver.

A driver's module may have ``exercise(device)``: an application that tries the device, and returns
what is wrong, or nothing. Without it the devices are started and left alone for a while.
"""

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING

from pydriver.cli.jobs.job import Job, Phase
from pydriver.cli.options import LookOptions
from pydriver.cli.report import QueueCounters, Report, counter
from pydriver.drivers.catalog import DriverPackage, import_driver
from pydriver.errors import ConfigurationError
from pydriver.ke import VerifierConfig
from pydriver.machine import MachineConfig, SharedMemory
from pydriver.pci import InterruptMode
from pydriver.pci.ivshmem import DEVICE_ID, VENDOR_ID
from pydriver.system import System, SystemConfig

if TYPE_CHECKING:
    from pydriver.pci import PciFunction
    from pydriver.wdf import Device, Interrupt

__all__ = ("InterruptCounters", "PairJob", "PairOptions")

DISK_BYTES = 64 << 20
IDLE_SECONDS = 1.0
BRIDGE = 0x06
"""Base class of what the machine itself is made of."""

DRIVE = re.compile(r"(?:^|,)drive=([^,]+)")
NETDEV = re.compile(r"(?:^|,)netdev=([^,]+)")


@dataclass(frozen=True, kw_only=True)
class PairOptions(LookOptions):
    """The options.

    :ivar devices: of QEMU, as its -device takes them
    :ivar driver: the module of the driver, or its name
    :ivar qemu_options: other options of QEMU
    :ivar interrupts: ``msix``, ``msi`` or ``intx``; ``None``: what the device has most messages of
    :ivar messages: most messages to grant; ``None`` for all that the device offers
    :ivar cpus: vCPUs, 1 to 8
    :ivar accel: ``tcg`` or ``kvm``
    :ivar idle: seconds to leave the devices alone, instead of trying them
    :ivar verifier: check the driver against the rules of the framework
    :ivar as_json: report as JSON
    """

    devices: tuple[str, ...]
    driver: str
    qemu_options: tuple[str, ...]
    interrupts: str | None
    messages: int | None
    cpus: int
    accel: str
    idle: float | None
    verifier: bool
    as_json: bool


@dataclass(frozen=True)
class InterruptCounters(QueueCounters):
    """What happened on an interrupt object.

    :ivar interrupts: that its ISR was called for
    :ivar unclaimed: of them, that the ISR did not claim
    :ivar dpcs: times that its own DPC was queued
    :ivar coalesced: times that the DPC was queued already
    """

    interrupts: int = counter("interrupts")
    unclaimed: int = counter("unclaimed")
    dpcs: int = counter("DPCs queued")
    coalesced: int = counter("coalesced", json=False)


class PairJob(Job):
    """One run.

    :param options: what to run
    :param wake: called when the step has changed, and when the job is over
    :raises ConfigurationError: there is no such driver
    """

    def __init__(self, options: PairOptions, wake: Callable[[], None]) -> None:
        super().__init__(wake, options)
        self._options = options
        self._package: DriverPackage = import_driver(options.driver)
        self._interrupts: list[Interrupt] = []
        self._seconds = 0.0

    @property
    def completed(self) -> int:
        """Changes whenever an interrupt is served."""
        return sum(each.interrupts for each in self._interrupts)

    def describe_outstanding(self) -> str:
        """Nothing is known of a driver's requests here."""
        return f"{self._package.name} waits"

    def report(self) -> Report:
        """What is known, now or after the end."""
        report = Report(seconds=self._seconds, row="interrupt")
        report.queues = [
            InterruptCounters(
                each.interrupts, each.unclaimed, each.dpcs_queued, each.dpcs_coalesced
            )
            for each in self._interrupts
        ]
        report.levels = self._levels()
        return report

    def _config(self) -> SystemConfig:
        options = self._options
        return SystemConfig(
            MachineConfig(
                cpus=options.cpus,
                accel=options.accel,
                devices=options.devices,
                options=(*self._words(), *self._empty_disks(), *self._networks()),
            ),
            verifier=VerifierConfig(enabled=options.verifier),
        )

    def _words(self) -> list[str]:
        return [word for option in self._options.qemu_options for word in shlex.split(option)]

    def _undefined(self, wanted: "re.Pattern[str]") -> list[str]:
        """What devices name and no option of QEMU defines."""
        defined = " ".join(self._words())
        names = [name for device in self._options.devices for name in wanted.findall(device)]
        return [
            name
            for name in dict.fromkeys(names)
            if not re.search(rf"\b(id|node-name)={re.escape(name)}\b", defined)
        ]

    def _empty_disks(self) -> list[str]:
        """A disk in memory for each drive that is not defined."""
        options = []
        for name in self._undefined(DRIVE):
            disk = SharedMemory(f"disk-{name}", DISK_BYTES)
            self._stack.callback(disk.close)
            path = f"/proc/{os.getpid()}/fd/{disk.fd}"
            options += ["-drive", f"file={path},format=raw,if=none,id={name}"]
        return options

    def _networks(self) -> list[str]:
        """QEMU's user network for each network that is not defined."""
        return [word for name in self._undefined(NETDEV) for word in ("-netdev", f"user,id={name}")]

    def _work(self, system: System) -> None:
        devices = self._start_devices(system)
        start = perf_counter()
        self._use(system, devices)
        self._seconds = perf_counter() - start
        self._enter(Phase.ENDING)

    def _start_devices(self, system: System) -> "list[Device]":
        options = self._options
        mode = InterruptMode[options.interrupts.upper()] if options.interrupts else None
        driver = system.load_driver(self._package.entry, self._package.name)
        devices: list[Device] = []
        for function in self._functions(system):
            device = driver.add_device(function, interrupts=mode, messages=options.messages)
            devices.append(device)
            self._interrupts += [each for each in device.interrupts if each.processor is not None]
        return devices

    def _functions(self, system: "System") -> "list[PciFunction]":
        """Those that the driver names; of a driver that names none, all that devices are."""
        functions = [
            each
            for each in system.pci.functions
            if not each.is_bridge
            and each.class_code.base_class != BRIDGE
            and (each.vendor_id, each.device_id) != (VENDOR_ID, DEVICE_ID)
        ]
        if self._package.hardware_ids:
            functions = [each for each in functions if self._package.rank(each) is not None]
        if not functions:
            raise ConfigurationError(
                f"driver {self._package.name} drives none of: "
                + ", ".join(str(each) for each in system.pci.functions)
            )
        return functions

    def _use(self, system: "System", devices: "list[Device]") -> None:
        exercise = getattr(import_module(self._package.module), "exercise", None)
        if self._options.idle is not None or exercise is None:
            seconds = IDLE_SECONDS if self._options.idle is None else self._options.idle
            self._idle(system, seconds)
            return
        self._enter(Phase.EXERCISING, f"trying {', '.join(map(str, devices))}")
        for device in devices:
            wrong = exercise(device)
            if wrong and self.failure is None:
                self.failure = f"{device}: {wrong}"
