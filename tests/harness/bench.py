# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Drivers made by tests, on QEMU's `edu` device, and the guest's evidence of their interrupts.

`edu` raises its interrupt when a cause is written to RAISE, and lowers it when the cause is
written to ACKNOWLEDGE; a callback can make both writes itself. A test therefore determines exactly
when an interrupt is due.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydriver.ke import BugCheck, Kernel, Violation
from pydriver.link import ProcessorLink
from pydriver.pci import InterruptMode
from pydriver.system import System
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    Interrupt,
    InterruptConfig,
    InterruptPolicy,
    InterruptPriority,
    IoQueue,
    IoQueueConfig,
    MappedRegisters,
    ObjectAttributes,
    PnpPowerEventCallbacks,
)

EDU = (0x1234, 0x11E8)
# Devices 4 and 8 share an interrupt line [pydriver.pci.q35.root_gsi]; mqdma is for its MSI-X.
DEVICES = ("edu,addr=4", "edu,addr=5", "edu,addr=8", "mqdma,addr=9,memdev=bar2,queues=8")
IDENTITY, LIVENESS, FACTORIAL, STATUS = 0x00, 0x04, 0x08, 0x20
CAUSE, RAISE, ACKNOWLEDGE = 0x24, 0x60, 0x64

TIMEOUT = 10.0

Mistake = tuple[str, int | None]
"""A rule, and the code of the bug check if it has one; as in `pytest.mark.mistake`."""


class Arrival(NamedTuple):
    """The record that the guest wrote into the frame of an upcall.

    `interrupted` is CR8 before the interrupt, `level` CR8 as read back after it was raised.
    """

    vector: int
    interrupted: int
    level: int
    apic_id: int


def arrival(link: ProcessorLink) -> Arrival:
    """The guest's record of the upcall that is being served on a processor."""
    frame = link.frame
    return Arrival(frame.vector, frame.cr8, frame.level, frame.apic_id)


@dataclass
class Edu:
    """A started device and its registers."""

    device: Device
    registers: MappedRegisters

    @property
    def interrupt(self) -> Interrupt:
        return self.device.interrupts[0]

    @property
    def link(self) -> ProcessorLink:
        """The processor that takes the interrupt."""
        processor = self.interrupt.processor
        assert processor is not None
        return processor.link

    @property
    def pending(self) -> bool:
        """Whether the local APIC has accepted the interrupt and not delivered it: its IRR."""
        link, vector = self.link, self.interrupt.vector
        if self.device.system.link.x2apic:
            word = link.rdmsr(0x820 + vector // 32)
        else:
            word = link.read32(0xFEE00200 + vector // 32 * 0x10)
        return bool(word >> vector % 32 & 1)

    def raise_interrupt(self, cause: int = 1) -> None:
        self.registers.write32(RAISE, cause)

    def acknowledge(self) -> int:
        """Acknowledges the interrupt, as every ISR here must; returns the causes."""
        causes = self.registers.read32(CAUSE)
        self.registers.write32(ACKNOWLEDGE, causes)
        return causes


@dataclass
class Plan:
    """The callbacks and settings of a driver; every field is optional."""

    isr: Callable[[Interrupt, int], bool] | None = None
    dpc: Callable[[Interrupt, Device], None] | None = None
    queues: list[IoQueueConfig] = field(default_factory=list)
    callbacks: PnpPowerEventCallbacks = field(default_factory=PnpPowerEventCallbacks)
    priority: InterruptPriority = InterruptPriority.NORMAL
    processor: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    mode: InterruptMode | None = None
    add: Callable[[Device], None] | None = None
    attributes: ObjectAttributes | None = None
    init: Callable[[DeviceInit], object] | None = None


class Bench:
    """The `edu` devices of a system, and drivers for them."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.kernel = system.kernel
        self.functions = system.pci.find_all(*EDU)
        self.drivers: list[Driver] = []
        self._found: set[Mistake] = set()

    def load(self, plan: Plan | None = None, index: int = 0) -> Edu:
        """Loads a driver for a device and starts it."""
        plan = plan or Plan()
        mapped: list[MappedRegisters] = []
        prepare = plan.callbacks.evt_device_prepare_hardware

        def prepare_hardware(device: Device, raw: Any, translated: Any) -> int | None:
            mapped[:] = [translated.memory[0].map()]
            return prepare(device, raw, translated) if prepare else None

        plan.callbacks.evt_device_prepare_hardware = prepare_hardware

        def add(driver: Driver, init: DeviceInit) -> None:
            init.set_pnp_power_event_callbacks(plan.callbacks)
            if plan.init is not None:
                plan.init(init)
            device = Device.create(init, plan.attributes)
            if plan.isr is not None:
                interrupt = Interrupt.create(
                    device,
                    InterruptConfig(
                        evt_interrupt_isr=plan.isr, evt_interrupt_dpc=plan.dpc, **plan.config
                    ),
                )
                interrupt.set_policy(
                    InterruptPolicy.SPECIFIED_PROCESSORS, plan.priority, 1 << plan.processor
                )
            for config in plan.queues:
                IoQueue.create(device, config)
            if plan.add is not None:
                plan.add(device)

        driver = self.system.load_driver(
            lambda driver_object: Driver.create(
                driver_object, DriverConfig(evt_driver_device_add=add)
            ),
            name=f"test{index}",
        )
        self.drivers.append(driver)
        device = driver.add_device(self.functions[index], interrupts=plan.mode)
        return Edu(device, mapped[0])

    def violations(self) -> list[Violation]:
        """The violations since the last call; the caller has expected them."""
        found = list(self.kernel.verifier.violations)
        self.kernel.verifier.clear()
        self._found |= {(each.rule, None) for each in found}
        return found

    def violation(self) -> Violation:
        """The only violation that the verifier has found."""
        found = self.violations()
        assert len(found) == 1, [each.report() for each in found]
        return found[0]

    def mistakes(self) -> set[Mistake]:
        """The mistakes that were found in the test: the violations it read, and the bug check."""
        failure = self.kernel.failure
        if isinstance(failure, BugCheck):
            return {*self._found, (failure.state.cause, failure.code)}
        return self._found

    def unload_and_look(self) -> list[Violation]:
        """Unloads the drivers; returns the violations that the verifier has found by then."""
        self.system.unload_drivers()
        return self.violations()

    def close(self) -> None:
        """Unloads the drivers that the test loaded."""
        while self.drivers:
            self.drivers.pop().unload()


class Signal:
    """An event that a test waits for; it fails loudly if the event does not come."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        self._event.set()

    def wait(self, what: str = "the signal", timeout: float = TIMEOUT) -> None:
        assert self._event.wait(timeout), f"{what} did not come in {timeout} s"


@contextmanager
def held_elsewhere(
    kernel: Kernel, acquire: Callable[[], object], release: Callable[[], object] = lambda: None
) -> Iterator[None]:
    """Makes another thread, on processor 1, hold something while the block runs on processor 0.

    :param acquire: the function that acquires it
    :param release: the function that releases it; ``None`` where the block ends the system
    """
    held, over = Signal(), Signal()

    def hold() -> None:
        kernel.current.home = kernel.processors[1]
        acquire()
        held.set()
        over.wait("the end of the block")
        release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait("the lock")
    kernel.current.home = kernel.processors[0]
    try:
        yield
    finally:
        over.set()
        thread.join(TIMEOUT)
