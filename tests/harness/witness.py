# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Drivers that note each callback: its arguments, its IRQL and its processor."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS
from pydriver.pci import InterruptMode, PciFunction
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    Interrupt,
    InterruptConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    PowerDeviceState,
    ResourceList,
)
from tests.harness.bench import Bench

Call = tuple[str, object, int | None]
MQDMA = (0x1234, 0x6D71)


def passive(*steps: str) -> list[Call]:
    """The notes of steps at PASSIVE_LEVEL, which are on no processor."""
    return [(step, PASSIVE_LEVEL, None) for step in steps]


def dirql(step: str) -> Call:
    """The note of a step at the interrupt's IRQL, on its processor."""
    return step, "DIRQL", 0


START = [
    *passive("DeviceAdd", "PrepareHardware", "D0Entry D3_FINAL"),
    dirql("InterruptEnable 0"),
    dirql("InterruptEnable 1"),
    *passive("PostInterruptsEnabled D3_FINAL", "DMA up 0", "DMA up 1", "queue resumed"),
    *passive("SelfManagedIoInit"),
]


def leave(target: str = "D3_FINAL") -> list[Call]:
    """The steps of a D0 exit."""
    return [
        *passive("SelfManagedIoSuspend", "queue stopped", "DMA down 0", "DMA down 1"),
        *passive(f"PreInterruptsDisabled {target}"),
        dirql("InterruptDisable 1"),
        dirql("InterruptDisable 0"),
        *passive(f"D0Exit {target}"),
    ]


RELEASE = passive("ReleaseHardware")
REMOVE = passive("SelfManagedIoFlush", "SelfManagedIoCleanup")
CLEANUP = passive("Cleanup", "Destroy")


@dataclass
class DmaStandIn:
    """A stand-in for a DMA enabler in the power sequences."""

    witness: "Witness"
    number: int

    def power_up(self) -> int:
        return self.witness.note(f"DMA up {self.number}")

    def power_down(self) -> int:
        return self.witness.note(f"DMA down {self.number}")


class WatchedQueue(IoQueue):
    """A queue that notes when the device's power stops and resumes it."""

    __slots__ = ("witness",)
    witness: "Witness"

    def power_up(self) -> None:
        self.witness.note("queue resumed")
        super().power_up()

    def power_down(self, action: Any) -> None:
        self.witness.note("queue stopped")
        super().power_down(action)


@dataclass
class Witness:
    """A driver with two interrupts, two DMA enablers and a queue.

    :ivar fail: the steps that fail
    :ivar calls: the steps so far
    """

    bench: Bench
    fail: str | tuple[str, ...] = ()
    calls: list[Call] = field(default_factory=list)
    setup: Callable[[DeviceInit], None] | None = None
    add_more: Callable[[Device], None] | None = None
    device: Device | None = None
    lists: list[tuple[ResourceList, ResourceList]] = field(default_factory=list)
    bars: list[list[int]] = field(default_factory=list)

    @property
    def steps(self) -> list[str]:
        """The steps alone."""
        return [step for step, _, _ in self.calls]

    def note(self, what: str, interrupt: Interrupt | None = None) -> int:
        processor = self.bench.kernel.current.processor
        number = None if processor is None else processor.number
        with self.bench.kernel.borrowed() as link:
            irql: object = link.get_cr8()
        if interrupt is not None:
            assert irql == interrupt.synchronize_irql
            irql = "DIRQL"
        self.calls.append((what, irql, number))
        fail = (self.fail,) if isinstance(self.fail, str) else self.fail
        return STATUS_INSUFFICIENT_RESOURCES if what in fail else STATUS_SUCCESS

    def load_driver(self) -> Driver:
        driver = self.bench.system.load_driver(
            lambda driver_object: Driver.create(
                driver_object,
                DriverConfig(
                    evt_driver_device_add=self.add,
                    evt_driver_unload=lambda driver: self.calls.append(
                        ("Unload", PASSIVE_LEVEL, None)
                    ),
                ),
            ),
            name="witness",
        )
        self.bench.drivers.append(driver)
        return driver

    def load(
        self,
        function: PciFunction | None = None,
        interrupts: InterruptMode = InterruptMode.MSIX,
    ) -> Device:
        return self.load_driver().add_device(
            function or self.bench.system.pci.find(*MQDMA), interrupts=interrupts
        )

    def callbacks(self) -> PnpPowerEventCallbacks:
        def power(what: str) -> Callable[[Device, PowerDeviceState], int]:
            return lambda device, state: self.note(f"{what} {state.name}")

        def plain(what: str) -> Callable[[Device], int]:
            return lambda device: self.note(what)

        def void(what: str) -> Callable[[Device], None]:
            return lambda device: self.note(what) and None

        return PnpPowerEventCallbacks(
            evt_device_d0_entry=power("D0Entry"),
            evt_device_d0_entry_post_interrupts_enabled=power("PostInterruptsEnabled"),
            evt_device_d0_exit=power("D0Exit"),
            evt_device_d0_exit_pre_interrupts_disabled=power("PreInterruptsDisabled"),
            evt_device_prepare_hardware=self.prepare,
            evt_device_release_hardware=lambda device, translated: self.note("ReleaseHardware"),
            evt_device_self_managed_io_init=plain("SelfManagedIoInit"),
            evt_device_self_managed_io_suspend=plain("SelfManagedIoSuspend"),
            evt_device_self_managed_io_restart=plain("SelfManagedIoRestart"),
            evt_device_self_managed_io_flush=void("SelfManagedIoFlush"),
            evt_device_self_managed_io_cleanup=void("SelfManagedIoCleanup"),
            evt_device_surprise_removal=void("SurpriseRemoval"),
            evt_device_query_remove=plain("QueryRemove"),
            evt_device_query_stop=plain("QueryStop"),
            evt_device_usage_notification_ex=lambda device, kind, in_path: self.note(
                f"UsageNotification {kind.name} {in_path}"
            ),
            evt_device_relations_query=lambda device, kind: (
                self.note(f"RelationsQuery {kind.name}") and None
            ),
        )

    def prepare(self, device: Device, raw: ResourceList, translated: ResourceList) -> int:
        self.lists.append((raw, translated))
        self.bars.append([each.start for each in translated.memory.values()])
        return self.note("PrepareHardware")

    def add(self, driver: Driver, init: DeviceInit) -> int:
        init.set_pnp_power_event_callbacks(self.callbacks())
        if self.setup is not None:
            self.setup(init)
        device = self.device = Device.create(
            init,
            ObjectAttributes(
                evt_cleanup_callback=lambda device: self.note("Cleanup"),
                evt_destroy_callback=lambda device: self.note("Destroy"),
            ),
        )
        for number in range(2):
            Interrupt.create(
                device,
                InterruptConfig(
                    evt_interrupt_isr=lambda interrupt, message: False,
                    evt_interrupt_enable=self.interrupt(f"InterruptEnable {number}"),
                    evt_interrupt_disable=self.interrupt(f"InterruptDisable {number}"),
                ),
            )
            device.dma_enablers.append(DmaStandIn(self, number))
        queue = WatchedQueue.create(device, IoQueueConfig(IoQueueDispatchType.MANUAL))
        queue.witness = self
        if self.add_more is not None:
            self.add_more(device)
        return self.note("DeviceAdd")

    def interrupt(self, what: str) -> Callable[[Interrupt, Device], int]:
        return lambda interrupt, device: self.note(what, interrupt)
