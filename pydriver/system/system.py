# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The composition root: a machine, its link, its PCI bus, and the kernel that runs on them.

with System(SystemConfig(MachineConfig(devices=("edu",)))) as system:
    driver = system.load_driver(driver_entry)
    device = driver.add_device(system.pci.find(0x1234, 0x11E8))
"""

import contextlib
import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any, Self, TypeVar

from pydriver.errors import LinkStopped, MachineDied, PydriverError, StateError
from pydriver.ke.bugcheck import BugCheck
from pydriver.ke.driver_object import DriverObject
from pydriver.ke.interrupts import InterruptVectors
from pydriver.ke.kernel import Kernel
from pydriver.ke.namespace import Namespace
from pydriver.ke.probes import Point, Probe
from pydriver.ke.registry import Registry
from pydriver.ke.verifier import VerifierConfig, VerifierError
from pydriver.link import Link, ProcessorLink
from pydriver.link.link import MakeProcessor
from pydriver.link.observed import ObservedProcessorLink
from pydriver.machine import Machine, MachineConfig
from pydriver.pci import IoApic, PciBus
from pydriver.pci.ivshmem import DEVICE_ID, VENDOR_ID, connect_doorbell
from pydriver.system.breakpoints import breakpoints_stop
from pydriver.system.register_trace import begin_trace
from pydriver.system.state import Stateful, SystemState, require
from pydriver.system.switching import prompt_switching
from pydriver.trace import Capture, Recorder
from pydriver.trace.access import Observer, RegisterAccess
from pydriver.trace.registers import RegisterTrace

__all__ = ("System", "SystemConfig")

REPORT_TIMEOUT = 120.0
"""Seconds that the report of a failure may take; it may include a memory dump."""


@dataclass(frozen=True)
class SystemConfig:
    """The configuration of a system.

    :ivar machine: the machine
    :ivar workers: number of system worker threads
    :ivar events: number of entries that the recorder keeps
    :ivar verifier: the checks that the verifier makes
    :ivar probe: a debugger's probe, called at each of its points, or ``None``
    :ivar register_trace: the trace into which accesses to devices are written, or ``None``; its
        creator must close it after the system has been closed
    :ivar on_failure: a function that is called once, with the system and the error that ended it:
        a bug check, QEMU's death or, at the end, the violations that the verifier has found. The
        machine still exists and is stopped. The call is made on the thread that found the failure,
        and every other thread waits for its end. See ``pydriver.crash``
    :ivar trace: the capture into which the run is traced, or ``None``; it takes the recorder's
        place
    """

    machine: MachineConfig = field(default_factory=MachineConfig)
    workers: int = 2
    events: int = 4096
    verifier: VerifierConfig = field(default_factory=VerifierConfig)
    probe: Probe | None = None
    register_trace: RegisterTrace | None = None
    on_failure: "Callable[[System, BaseException], object] | None" = None
    trace: Capture | None = None


DriverT = TypeVar("DriverT")
PartT = TypeVar("PartT")


class System(Stateful):
    """A running system. Use it as a context manager, or call :meth:`start` and :meth:`close`.

    :param config: the configuration of the system
    :ivar state: the state of the system
    :ivar registry: the registry, where drivers keep values
    :ivar namespace: the names by which applications find devices
    """

    def __init__(self, config: SystemConfig | None = None) -> None:
        self.config = config or SystemConfig()
        self.state = SystemState.NEW
        self.registry = Registry()
        self.namespace = Namespace()
        self._machine: Machine | None = None
        self._link: Link | None = None
        self._kernel: Kernel | None = None
        self._pci: PciBus | None = None
        self._vectors: InterruptVectors | None = None
        self._drivers: list[DriverObject] = []
        self._stack = contextlib.ExitStack()
        self._frozen = Event()  # the failure, or the end, has been dealt with

    # The parts: each exists from some point of the start on, also after the end

    @property
    def machine(self) -> Machine:
        """QEMU."""
        return self._existing(self._machine, "machine")

    @property
    def link(self) -> Link:
        """The link to QEMU's vCPUs."""
        return self._existing(self._link, "link")

    @property
    def kernel(self) -> Kernel:
        """The kernel: processors, DPCs, threads, recorder."""
        return self._existing(self._kernel, "kernel")

    @property
    def pci(self) -> PciBus:
        """The enumerated bus."""
        return self._existing(self._pci, "bus")

    @property
    def vectors(self) -> InterruptVectors:
        """The vectors of the interrupts."""
        return self._existing(self._vectors, "vectors")

    @property
    def has_kernel(self) -> bool:
        """Whether the start has reached the point where the kernel exists; stays true."""
        return self._kernel is not None

    def _existing(self, part: PartT | None, name: str) -> PartT:
        if part is None:
            raise StateError(f"the system {self.state.value}: it has no {name}")
        return part

    # Life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None = None,
        traceback: object = None,
    ) -> None:
        kernel = self.kernel
        if isinstance(error, MachineDied):  # no thread of a processor may have noticed yet
            kernel.fail(error)
        failed = kernel.failure is not None
        # After an error, a driver may wait for something that never happens: do not unload it.
        (self.close if kind is None else self.abort)()
        if failed and isinstance(error, LinkStopped):  # the failure says why
            kernel.raise_failure()

    @require(SystemState.NEW)
    def start(self) -> None:
        """Starts the machine, its processors and the kernel, and enumerates the bus.

        :raises MachineError: QEMU does not start
        :raises LinkError: the guest does not start
        :raises StateError: the system has been started before
        """
        self.state = SystemState.BOOTING
        try:
            with contextlib.ExitStack() as stack:
                try:
                    self._start(stack)
                except MachineDied as error:
                    if self._kernel is not None:  # no thread of a processor may have noticed yet
                        self._kernel.fail(error)
                    raise
                self._stack = stack.pop_all()
        except BaseException:
            self.state = SystemState.CLOSED
            raise
        self.state = SystemState.RUNNING

    def _start(self, stack: contextlib.ExitStack) -> None:
        config = self.config
        stack.enter_context(prompt_switching())
        # The objects that exist now are not garbage. A full collection that scans them takes 5 ms,
        # and could run in the middle of an ISR.
        stack.callback(gc.unfreeze)
        gc.freeze()
        trace = config.trace
        options: tuple[str, ...] = ()
        if trace is not None:
            options = trace.qemu_options()
            stack.callback(trace.stop)
        self._machine = machine = Machine(config.machine, options)
        stack.callback(machine.quit)
        machine.start()
        self._link = link = Link(machine, self._make_processor())
        stack.callback(link.close)
        link.open()
        self._kernel = kernel = Kernel(
            link.processors,
            self._freeze,
            machine.memory,
            machine.reservations,
            workers=config.workers,
            recorder=Recorder(config.events) if trace is None else trace,
            verifier=config.verifier,
            probe=config.probe,
        )
        # Entered last, so left first: once the threads have ended, nothing uses the link.
        stack.callback(self._stop_kernel)
        kernel.start()
        machine.listen(self._on_event)
        stack.enter_context(breakpoints_stop(machine, kernel))
        self.state = SystemState.ENUMERATING
        with kernel.borrowed():
            self._pci = bus = PciBus.start(kernel.access)
            apic_ids = [each.apic_id for each in link.processors]
            address = connect_doorbell(bus.find(VENDOR_ID, DEVICE_ID), apic_ids)
            self._vectors = InterruptVectors(kernel, IoApic(kernel.access))
            if config.register_trace is not None:
                begin_trace(config.register_trace, machine, bus)
        link.set_doorbell(address)

    def close(self) -> None:
        """Unloads the drivers, then ends all threads and the machine. Idempotent.

        :raises BugCheck: the removal of a driver ended in a bug check
        :raises VerifierError: rules were broken, and nothing worse has happened
        """
        if self.state is not SystemState.RUNNING or self.kernel.failure is not None:
            self.abort()
            return
        self.state = SystemState.ENDING
        try:
            self.unload_drivers()
            self._report_violations()
        except LinkStopped:
            self.check()
            raise
        finally:
            self.abort()
        self.kernel.verifier.check()

    def abort(self) -> None:
        """Cuts the power and ends all threads, without unloading any driver. Idempotent."""
        if self.state in {SystemState.NEW, SystemState.CLOSED}:
            return
        self.state = SystemState.ENDING
        self._drivers.clear()
        self._stack.close()
        self.state = SystemState.CLOSED

    def cut_power(self) -> None:
        """Kills QEMU, if it runs; every wait for the machine then ends with an error.

        It may be called on any thread and in every state.
        """
        if self._machine is not None:
            self._machine.kill()

    # Drivers

    @require(SystemState.RUNNING)
    def load_driver(
        self, driver_entry: Callable[[DriverObject], DriverT], name: str = ""
    ) -> DriverT:
        """Calls a driver's entry [DriverEntry].

        :param driver_entry: the function that creates the driver object and returns it
        :param name: the name of the driver; by default the name of the module that defines the
            entry, or of its package if the module is called ``driver``
        :return: the object that the entry returned
        :raises NtStatusError: the entry failed
        :raises StateError: the system is not running
        """
        name = name or driver_entry.__module__.removesuffix(".driver").rpartition(".")[2]
        driver_object = DriverObject(self.kernel, self, name)
        try:
            driver = driver_entry(driver_object)
        except PydriverError:
            raise
        except Exception as error:  # noqa: BLE001 -- becomes a bug check
            self.kernel.escaped(error)
        self._drivers.append(driver_object)
        return driver

    @property
    def drivers(self) -> tuple[DriverObject, ...]:
        """The loaded drivers, in the order in which they were loaded."""
        return tuple(self._drivers)

    @require(SystemState.RUNNING, SystemState.ENDING)
    def unload_drivers(self) -> None:
        """Removes all devices and unloads all drivers, the one loaded last first."""
        while self._drivers:
            driver_object = self._drivers.pop()
            if driver_object.driver_unload is not None:
                driver_object.driver_unload()

    def check(self) -> None:
        """Raises the error that ended the system, if any: a bug check, or QEMU's death.

        :raises BugCheck: a driver broke a rule
        :raises MachineDied: QEMU has ended
        """
        if self.kernel.failure is not None:
            self.kernel.raise_failure()

    def _make_processor(self) -> MakeProcessor:
        """The function that makes the processors' mailboxes."""
        observers: list[Observer] = []
        if self.config.probe is not None:
            observers.append(_observer(self.config.probe))
        # After the debugger: a write that the debugger holds must not be in the trace yet.
        if self.config.register_trace is not None:
            observers.append(self.config.register_trace.on_access)
        return partial(ObservedProcessorLink, observers=observers) if observers else ProcessorLink

    def _on_event(self, name: str, data: dict[str, Any]) -> None:
        """Stops the watchdogs while the machine is stopped. Runs on the QMP thread."""
        watchdog = self.kernel.watchdog
        if name == "STOP":
            watchdog.hold(self)
        elif name == "RESUME":
            watchdog.release(self)

    def _freeze(self) -> None:
        failure = self.kernel.failure
        try:
            if isinstance(failure, BugCheck):
                self.machine.stop()
            if failure is not None and not isinstance(failure, LinkStopped):
                self._report(failure)
        finally:
            self.link.stop()
            self._frozen.set()

    def _report(self, failure: BaseException) -> None:
        if self.config.on_failure is None:
            return
        try:
            self.config.on_failure(self, failure)
        except Exception as error:  # noqa: BLE001 -- the first failure counts
            failure.add_note(
                f"and the failure could not be reported: {type(error).__name__}: {error}"
            )

    def _report_violations(self) -> None:
        try:
            self.kernel.verifier.check()
        except VerifierError as error:
            with contextlib.suppress(PydriverError):  # QEMU has died just now
                self.machine.stop()
            self._report(error)

    def _stop_kernel(self) -> None:
        # A clean end is not a failure, but every wait must end. After a failure, the thread that
        # found it still needs the machine.
        if not self.kernel.fail(LinkStopped("the system has been closed")):
            self._frozen.wait(REPORT_TIMEOUT)
        self.link.stop()
        self.kernel.stop()


def _observer(probe: Probe) -> Observer:
    """A debugger's probe, as an observer of accesses."""

    def on_access(access: RegisterAccess) -> None:
        probe(Point.REGISTER, str(access), None, access.address)

    return on_access
