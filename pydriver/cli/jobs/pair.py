# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The job of `pydriver run --device ... --driver ...`: any device of QEMU, and any driver.

A driver's module may have ``exercise(device)``: an application that tries the device, and returns
a description of what is wrong, or nothing. Without it the devices are started and left alone for a
while.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING

import click

from pydriver.cli.instruments import Instruments
from pydriver.cli.jobs.job import Job, JobPhase
from pydriver.cli.options import (
    accel_option,
    cpus_option,
    group,
    json_option,
    qemu_option,
    read_by,
    verifier_option,
)
from pydriver.cli.report import QueueCounters, RunReport, counter
from pydriver.errors import ConfigurationError

if TYPE_CHECKING:
    from pydriver.drivers.catalog import DriverPackage
    from pydriver.pci import PciFunction
    from pydriver.system import System, SystemConfig
    from pydriver.wdf import Device, Interrupt

__all__ = (
    "InterruptCounters",
    "PairJob",
    "PairOptions",
    "idle_option",
    "interrupts_option",
    "messages_option",
)

DISK_BYTES = 64 << 20
IDLE_SECONDS = 1.0
BRIDGE = 0x06
"""The base class of bridges, which belong to the machine [PCI Code and ID Assignment 1.11, 1]."""

DRIVE = re.compile(r"(?:^|,)drive=([^,]+)")
NETDEV = re.compile(r"(?:^|,)netdev=([^,]+)")


interrupts_option = click.option(
    "--interrupts",
    type=click.Choice(["msix", "msi", "intx"]),
    default="msix",
    show_default=True,
    help="The interrupt mode of the device.",
)
messages_option = click.option(
    "--messages",
    type=click.IntRange(1, 32),
    metavar="N",
    help="Most MSI or MSI-X messages to grant; default: as many as the device has.",
)
idle_option = click.option(
    "--idle",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help="Start the driver, do nothing for that long, and report.",
)


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """The options. ``interrupts`` is ``None`` for the mode with most messages."""

    interrupts: str | None = read_by(interrupts_option)
    messages: int | None = read_by(messages_option, default=None)
    cpus: int = read_by(cpus_option)
    accel: str = read_by(accel_option)
    devices: tuple[str, ...] = read_by(
        click.option(
            "--device",
            "devices",
            multiple=True,
            metavar="DEVICE",
            help="Instead of streaming through mqdma: a device of QEMU, as its -device takes it. "
            "Can be given again. A drive that it names but that is not defined is an empty disk in "
            "memory; such a netdev is QEMU's user network.",
        )
    )
    driver: str = read_by(
        click.option(
            "--driver",
            metavar="MODULE",
            help="The driver of that device: a module, a file, or the name of an installed driver.",
        )
    )
    qemu_options: tuple[str, ...] = read_by(qemu_option)
    idle: float | None = read_by(idle_option, default=None)
    instruments: Instruments = group(Instruments)
    verifier: bool = read_by(verifier_option)
    as_json: bool = read_by(json_option, default=False)


@dataclass(frozen=True)
class InterruptCounters(QueueCounters):
    """Counts of an interrupt object.

    :ivar interrupts: interrupts for which its ISR was called
    :ivar unclaimed: those of them that the ISR did not claim
    :ivar dpcs: times that its own DPC was queued
    :ivar coalesced: times that the DPC was queued already
    """

    interrupts: int = counter("interrupts")
    unclaimed: int = counter("unclaimed")
    dpcs: int = counter("DPCs queued")
    coalesced: int = counter("coalesced", json=False)


class PairJob(Job):
    """One run.

    :param options: the options of the run
    :param wake: a function to call when the step has changed, and when the job is over
    :raises ConfigurationError: there is no such driver
    """

    def __init__(self, options: PairOptions, wake: Callable[[], None]) -> None:
        from pydriver.drivers.catalog import import_driver

        super().__init__(wake, options.instruments)
        self._options = options
        self._package: DriverPackage = import_driver(options.driver)
        self._interrupts: list[Interrupt] = []
        self._seconds = 0.0

    @property
    def completed(self) -> int:
        """Changes whenever an interrupt is served."""
        return sum(each.interrupts for each in self._interrupts)

    def describe_outstanding(self) -> str:
        """Names the driver: its requests are not known here."""
        return f"{self._package.name} waits"

    def report(self) -> RunReport:
        """The report on the job so far, or on all of it after its end."""
        report = RunReport(seconds=self._seconds, row="interrupt")
        report.queues = [
            InterruptCounters(
                each.interrupts, each.unclaimed, each.dpcs_queued, each.dpcs_coalesced
            )
            for each in self._interrupts
        ]
        report.levels = self._levels()
        return report

    def _config(self) -> "SystemConfig":
        from pydriver.ke import VerifierConfig
        from pydriver.machine import MachineConfig
        from pydriver.system import SystemConfig

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
        import shlex

        return [word for option in self._options.qemu_options for word in shlex.split(option)]

    def _undefined(self, wanted: "re.Pattern[str]") -> list[str]:
        """The names that devices use and no option of QEMU defines."""
        defined = " ".join(self._words())
        names = [name for device in self._options.devices for name in wanted.findall(device)]
        return [
            name
            for name in dict.fromkeys(names)
            if not re.search(rf"\b(id|node-name)={re.escape(name)}\b", defined)
        ]

    def _empty_disks(self) -> list[str]:
        """A disk in memory for each drive that is not defined."""
        from pydriver.machine import SharedMemory

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

    def _work(self, system: "System") -> None:
        devices = self._start_devices(system)
        start = perf_counter()
        self._use(system, devices)
        self._seconds = perf_counter() - start
        self._enter(JobPhase.ENDING)

    def _start_devices(self, system: "System") -> "list[Device]":
        from pydriver.pci import InterruptMode

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
        """The functions that the driver names; all devices, if it names none."""
        from pydriver.pci.ivshmem import DEVICE_ID, VENDOR_ID

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
        self._enter(JobPhase.EXERCISING, f"trying {', '.join(map(str, devices))}")
        for device in devices:
            wrong = exercise(device)
            if wrong and self.failure is None:
                self.failure = f"{device}: {wrong}"
