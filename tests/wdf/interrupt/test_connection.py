# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Connection: assigned resources, policies, power states, and the soft mask."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydriver.abi._native import lib

from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import STATUS_SUCCESS, STATUS_UNSUCCESSFUL
from pydriver.pci import InterruptMode
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    GroupAffinity,
    Interrupt,
    InterruptConfig,
    InterruptExtendedPolicy,
    InterruptPolarity,
    InterruptPolicy,
    InterruptPriority,
    KInterruptMode,
    MappedRegisters,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    ResourceList,
    ShareDisposition,
    SpinLock,
    TriState,
)
from pydriver.wdf.interrupt.interrupt import InterruptState
from tests.harness.bench import Bench, Edu, Plan, Signal

MQDMA = (0x1234, 0x6D71)


def not_mine(interrupt: Interrupt, message: int) -> bool:
    return False


@dataclass
class Mqdma:
    """A device with messages that can be masked; message 0 is raised by a register."""

    config: dict[str, Any] = field(default_factory=dict)
    interrupts: list[Interrupt] = field(default_factory=list)
    arrivals: int = 0
    arrived: Signal = field(default_factory=Signal)
    registers: MappedRegisters | None = None

    def load(self, bench: Bench, mode: InterruptMode) -> Device:
        driver = bench.system.load_driver(
            lambda driver_object: Driver.create(
                driver_object, DriverConfig(evt_driver_device_add=self.add)
            ),
            name="mqdma",
        )
        bench.drivers.append(driver)
        return driver.add_device(bench.system.pci.find(*MQDMA), interrupts=mode)

    def add(self, driver: Driver, init: DeviceInit) -> None:
        init.set_pnp_power_event_callbacks(
            PnpPowerEventCallbacks(
                evt_device_prepare_hardware=self.prepare, evt_device_d0_entry=self.d0_entry
            )
        )
        device = Device.create(init)
        config = InterruptConfig(evt_interrupt_isr=self.isr, **self.config)
        self.interrupts.append(Interrupt.create(device, config))

    def prepare(self, device: Device, raw: ResourceList, translated: ResourceList) -> None:
        self.registers = translated.memory[lib.MQDMA_BAR_REGISTERS].map()

    def d0_entry(self, device: Device, previous: int) -> None:
        assert self.registers is not None
        self.registers.write32(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_ENABLE)

    def isr(self, interrupt: Interrupt, message: int) -> bool:
        self.arrivals += 1
        self.arrived.set()
        return True

    def raise_interrupt(self) -> None:
        assert self.registers is not None
        self.registers.write32(lib.MQDMA_REG_INT_RAISE, 0)
        self.registers.read32(lib.MQDMA_REG_INT_STATUS_LO)
        self.registers.read32(lib.MQDMA_REG_INT_STATUS_LO)


@pytest.mark.covers("WdfInterruptReportInactive", "WdfInterruptReportActive")
@pytest.mark.parametrize("mode", [InterruptMode.MSIX, InterruptMode.MSI])
def test_message_is_held_back_while_the_interrupt_is_inactive(
    bench: Bench, mode: InterruptMode
) -> None:
    device = Mqdma()
    device.load(bench, mode)
    (interrupt,) = device.interrupts
    interrupt.report_inactive()
    device.raise_interrupt()
    assert device.arrivals == 0
    assert interrupt.wdm_get_interrupt() is not None, "it is still connected"
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    interrupt.report_active()
    interrupt.report_active()
    bench.kernel.lower_irql(old)
    device.arrived.wait("the message that was pending")
    assert device.arrivals == 1


@pytest.mark.covers("WdfInterruptReportInactive", "WdfInterruptReportActive")
def test_message_that_cannot_be_masked_is_lost_while_inactive(bench: Bench) -> None:
    """QEMU's edu has MSI without masks."""
    arrived = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        arrived.set()
        return True

    edu = bench.load(Plan(isr=isr, mode=InterruptMode.MSI))
    processor = edu.interrupt.processor
    assert processor is not None
    before = processor.spurious
    edu.interrupt.report_inactive()
    edu.raise_interrupt()
    edu.acknowledge()
    edu.registers.read32(0)
    assert (edu.interrupt.interrupts, processor.spurious) == (0, before + 1)
    edu.interrupt.report_active()
    edu.raise_interrupt()
    arrived.wait()


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.ReportInactiveOnPowerDown")
@pytest.mark.parametrize("report", list(TriState))
def test_interrupt_stays_connected_in_low_power_if_the_driver_wants(
    bench: Bench, report: TriState
) -> None:
    order: list[str] = []
    device = Mqdma(
        {
            "report_inactive_on_power_down": report,
            "evt_interrupt_enable": lambda interrupt, device: order.append("enable"),
            "evt_interrupt_disable": lambda interrupt, device: order.append("disable"),
        }
    )
    handle = device.load(bench, InterruptMode.MSIX)
    (interrupt,) = device.interrupts
    handle.exit_d0()
    stays = report is TriState.TRUE
    assert (interrupt.wdm_get_interrupt() is not None) is stays
    assert interrupt.active is not stays
    handle.enter_d0()
    assert interrupt.active
    assert order == ["enable", "disable", "enable"]
    device.raise_interrupt()
    device.arrived.wait()
    handle.stop()
    assert interrupt.wdm_get_interrupt() is None, "without a resource there is no connection"
    handle.start()
    assert interrupt.state is InterruptState.ENABLED


@pytest.mark.covers("WdfInterruptDisable", "WdfInterruptEnable")
def test_disabled_interrupt_stays_so_over_power_states(bench: Bench) -> None:
    calls: list[str] = []
    device = Mqdma(
        {
            "report_inactive_on_power_down": TriState.TRUE,
            "evt_interrupt_enable": lambda interrupt, device: calls.append("enable"),
            "evt_interrupt_disable": lambda interrupt, device: calls.append("disable"),
        }
    )
    handle = device.load(bench, InterruptMode.MSIX)
    (interrupt,) = device.interrupts
    interrupt.disable()
    interrupt.disable()
    handle.exit_d0()
    handle.enter_d0()
    assert calls == ["enable", "disable"]
    assert interrupt.state is InterruptState.CREATED
    interrupt.enable()
    interrupt.enable()
    assert calls == ["enable", "disable", "enable"]
    device.raise_interrupt()
    device.arrived.wait()


@pytest.mark.covers("WdfInterruptEnable", "WdfInterruptDisable", "WdfInterruptGetInfo")
def test_interrupt_without_a_resource_is_enabled_without_effect(bench: Bench) -> None:
    interrupts: list[Interrupt] = []

    def add(device: Device) -> None:
        interrupts.extend(
            Interrupt.create(device, InterruptConfig(evt_interrupt_isr=not_mine)) for _ in range(2)
        )

    bench.load(Plan(add=add))
    second = interrupts[1]
    second.enable()
    assert second.state is InterruptState.CREATED
    second.disable()
    assert second.force_disconnected
    info = second.get_info()
    assert (info.message_number, info.vector, info.share_disposition) == (1, 0, 0)


@pytest.mark.covers("WdfInterruptEnable", "EvtInterruptEnable")
def test_failure_of_enable_is_not_reported_to_its_caller(bench: Bench) -> None:
    statuses = iter([STATUS_SUCCESS, STATUS_UNSUCCESSFUL])
    device = Mqdma({"evt_interrupt_enable": lambda interrupt, device: next(statuses)})
    device.load(bench, InterruptMode.MSIX)
    (interrupt,) = device.interrupts
    interrupt.disable()
    interrupt.enable()
    assert interrupt.state is InterruptState.CONNECTED


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.covers("WdfInterruptEnable", "WdfInterruptDisable")
@pytest.mark.parametrize("name", ["enable", "disable"])
def test_connection_changes_at_passive_level_only(bench: Bench, name: str) -> None:
    edu = bench.load(Plan(isr=not_mine))
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    getattr(edu.interrupt, name)()
    bench.kernel.lower_irql(old)
    assert edu.interrupt.state is InterruptState.ENABLED
    assert not edu.interrupt.force_disconnected
    assert bench.violation().rule == "KmdfIrql"


@pytest.mark.covers(
    "WdfInterruptWdmGetInterrupt",
    "EvtInterruptEnable",
    "EvtInterruptDisable",
    "WDF_INTERRUPT_CONFIG.EvtInterruptEnable",
    "WDF_INTERRUPT_CONFIG.EvtInterruptDisable",
)
def test_kernel_interrupt_is_there_while_it_is_connected(bench: Bench) -> None:
    seen: list[tuple[str, bool, int]] = []

    def note(what: str, interrupt: Interrupt) -> None:
        there = interrupt.wdm_get_interrupt() is not None
        seen.append((what, there, bench.kernel.irql() - interrupt.synchronize_irql))

    config = {
        "evt_interrupt_enable": lambda interrupt, device: note("enable", interrupt),
        "evt_interrupt_disable": lambda interrupt, device: note("disable", interrupt),
    }
    created: list[bool] = []

    def add(device: Device) -> None:
        created.append(device.interrupts[0].wdm_get_interrupt() is None)

    edu = bench.load(Plan(isr=not_mine, config=config, add=add))
    edu.interrupt.disable()
    assert created == [True]
    assert seen == [("enable", True, 0), ("disable", True, 0)]
    assert edu.interrupt.wdm_get_interrupt() is None


@pytest.mark.covers(
    "WdfInterruptGetInfo",
    "WDF_INTERRUPT_INFO.TargetProcessorSet",
    "WDF_INTERRUPT_INFO.Group",
    "WDF_INTERRUPT_INFO.MessageNumber",
    "WDF_INTERRUPT_INFO.Vector",
    "WDF_INTERRUPT_INFO.Irql",
    "WDF_INTERRUPT_INFO.Mode",
    "WDF_INTERRUPT_INFO.Polarity",
    "WDF_INTERRUPT_INFO.MessageSignaled",
    "WDF_INTERRUPT_INFO.ShareDisposition",
)
@pytest.mark.parametrize("mode", [InterruptMode.MSI, InterruptMode.INTX])
def test_info_says_what_was_assigned(bench: Bench, mode: InterruptMode) -> None:
    edu = bench.load(Plan(isr=not_mine, mode=mode))
    info = edu.interrupt.get_info()
    message = mode is InterruptMode.MSI
    assert (info.message_number, info.target_processor_set, info.group) == (0, 1, 0)
    assert info.vector >> 4 == info.irql == edu.interrupt.irql
    assert info.message_signaled is message
    if message:
        assert info.mode is KInterruptMode.LATCHED
        assert info.polarity is InterruptPolarity.UNKNOWN
        assert info.share_disposition is ShareDisposition.DEVICE_EXCLUSIVE
    else:
        assert info.mode is KInterruptMode.LEVEL_SENSITIVE
        assert info.polarity is InterruptPolarity.ACTIVE_LOW
        assert info.share_disposition is ShareDisposition.SHARED
    edu.device.stop()
    lost = edu.interrupt.get_info()
    assert (lost.vector, lost.message_number) == (0, 0)


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.SpinLock", "EvtInterruptIsr")
@pytest.mark.parametrize("cpus", [1, 2])
def test_messages_with_one_spin_lock_synchronize_at_the_highest_irql(
    boot: Callable[..., Bench], cpus: int
) -> None:
    bench = boot(cpus)
    levels: list[int] = []

    class Two(Mqdma):
        def add(self, driver: Driver, init: DeviceInit) -> None:
            super().add(driver, init)
            device = self.interrupts[0].get_device()
            lock = SpinLock.create(ObjectAttributes(parent_object=device))
            for priority in (InterruptPriority.LOW, InterruptPriority.HIGH):
                config = InterruptConfig(evt_interrupt_isr=self.isr, spin_lock=lock)
                interrupt = Interrupt.create(device, config)
                interrupt.set_policy(InterruptPolicy.SPECIFIED_PROCESSORS, priority, 1)
                self.interrupts.append(interrupt)

        def d0_entry(self, device: Device, previous: int) -> None:
            super().d0_entry(device, previous)
            assert self.registers is not None
            self.registers.write32(lib.MQDMA_QUEUE_BASE + lib.MQDMA_Q_VECTOR, 1)

        def isr(self, interrupt: Interrupt, message: int) -> bool:
            levels.append(bench.kernel.irql())
            assert message == interrupt.message_number == 1
            return super().isr(interrupt, message)

    device = Two()
    device.load(bench, InterruptMode.MSIX)
    own, low, high = device.interrupts
    assert low.irql < high.irql
    assert low.synchronize_irql == high.synchronize_irql == high.irql
    assert own.synchronize_irql == own.irql
    device.raise_interrupt()
    device.arrived.wait()
    assert levels == [high.irql]
    low.acquire_lock()
    assert bench.kernel.irql() == high.irql
    low.release_lock()


@pytest.mark.covers("EvtInterruptIsr", "WDF_INTERRUPT_CONFIG.SpinLock")
@pytest.mark.parametrize("shared", [False, True])
def test_isrs_of_two_messages_overlap_unless_they_share_a_lock(
    boot: Callable[..., Bench], shared: bool
) -> None:
    bench = boot(2)
    overlapped: list[bool] = []
    second_runs, both = threading.Event(), Signal()

    class Two(Mqdma):
        def add(self, driver: Driver, init: DeviceInit) -> None:
            init.set_pnp_power_event_callbacks(
                PnpPowerEventCallbacks(
                    evt_device_prepare_hardware=self.prepare, evt_device_d0_entry=self.d0_entry
                )
            )
            device = Device.create(init)
            lock = SpinLock.create(ObjectAttributes(parent_object=device)) if shared else None
            for number in range(2):
                config = InterruptConfig(evt_interrupt_isr=self.isr, spin_lock=lock)
                interrupt = Interrupt.create(device, config)
                interrupt.set_policy(
                    InterruptPolicy.SPECIFIED_PROCESSORS, InterruptPriority.NORMAL, 1 << number
                )
                self.interrupts.append(interrupt)

        def d0_entry(self, device: Device, previous: int) -> None:
            super().d0_entry(device, previous)
            assert self.registers is not None
            page = lib.MQDMA_QUEUE_BASE + lib.MQDMA_QUEUE_STRIDE
            self.registers.write32(page + lib.MQDMA_Q_VECTOR, 1)

        def isr(self, interrupt: Interrupt, message: int) -> bool:
            if message:
                second_runs.set()
                both.set()
                return True
            assert self.registers is not None
            self.registers.write32(lib.MQDMA_REG_INT_RAISE, 1)
            while not self.interrupts[1].interrupts:  # counted before the lock is taken
                self.registers.read32(lib.MQDMA_REG_INT_STATUS_LO)
            for _ in range(100 if shared else 1_000_000):
                self.registers.read32(lib.MQDMA_REG_INT_STATUS_LO)
                if second_runs.is_set():
                    break
            overlapped.append(second_runs.is_set())
            return True

    device = Two()
    device.load(bench, InterruptMode.MSIX)
    device.raise_interrupt()
    both.wait()
    assert overlapped == [not shared]


GOOD = InterruptExtendedPolicy(
    InterruptPolicy.SPECIFIED_PROCESSORS, InterruptPriority.HIGH, GroupAffinity(2)
)


def load_with_policy(bench: Bench, use: Callable[[Interrupt], None]) -> Edu:
    def add(device: Device) -> None:
        use(Interrupt.create(device, InterruptConfig(evt_interrupt_isr=not_mine)))

    return bench.load(Plan(add=add))


@pytest.mark.covers(
    "WdfInterruptSetExtendedPolicy",
    "WdfInterruptSetPolicy",
    "WDF_INTERRUPT_EXTENDED_POLICY.Policy",
    "WDF_INTERRUPT_EXTENDED_POLICY.Priority",
    "WDF_INTERRUPT_EXTENDED_POLICY.TargetProcessorSetAndGroup",
)
@pytest.mark.parametrize("extended", [False, True])
def test_policy_decides_on_processor_and_irql(boot: Callable[..., Bench], extended: bool) -> None:
    def use(interrupt: Interrupt) -> None:
        if extended:
            interrupt.set_extended_policy(GOOD)
        else:
            interrupt.set_policy(GOOD.policy, GOOD.priority, 2)

    info = load_with_policy(boot(2), use).interrupt.get_info()
    assert (info.target_processor_set, info.irql) == (2, 10)


@pytest.mark.mistake("InterruptPolicy")
@pytest.mark.covers("WdfInterruptSetPolicy", "WdfInterruptSetExtendedPolicy")
@pytest.mark.parametrize(
    "policy",
    [
        InterruptExtendedPolicy(),
        InterruptExtendedPolicy(6, InterruptPriority.LOW),  # type: ignore[arg-type]
        InterruptExtendedPolicy(-1, InterruptPriority.LOW),  # type: ignore[arg-type]
        InterruptExtendedPolicy(InterruptPolicy.ONE_CLOSE, 4),  # type: ignore[arg-type]
        InterruptExtendedPolicy(
            InterruptPolicy.ONE_CLOSE, InterruptPriority.LOW, GroupAffinity(1, group=1)
        ),
    ],
    ids=["priority undefined", "policy 6", "policy -1", "priority 4", "group 1"],
)
def test_policy_out_of_range_is_a_violation_and_ignored(
    bench: Bench, policy: InterruptExtendedPolicy
) -> None:
    def use(interrupt: Interrupt) -> None:
        interrupt.set_extended_policy(policy)
        if not policy.target_processor_set_and_group.group:
            interrupt.set_policy(policy.policy, policy.priority)

    interrupt = load_with_policy(bench, use).interrupt
    assert {each.rule for each in bench.violations()} == {"InterruptPolicy"}
    assert interrupt.policy is InterruptPolicy.ONE_CLOSE
    assert interrupt.priority is InterruptPriority.UNDEFINED


@pytest.mark.mistake("InterruptPolicy")
@pytest.mark.covers("WdfInterruptSetPolicy")
def test_policy_for_an_interrupt_that_has_its_resource_is_a_violation_and_stored(
    bench: Bench,
) -> None:
    def prepare(device: Device, raw: ResourceList, translated: ResourceList) -> None:
        interrupt = Interrupt.create(
            device,
            InterruptConfig(
                evt_interrupt_isr=not_mine,
                interrupt_raw=raw.interrupts[0],
                interrupt_translated=translated.interrupts[0],
            ),
        )
        interrupt.set_policy(InterruptPolicy.ALL_CLOSE, InterruptPriority.LOW)
        assert interrupt.policy is InterruptPolicy.ALL_CLOSE
        assert interrupt.irql != 3

    callbacks = PnpPowerEventCallbacks(evt_device_prepare_hardware=prepare)
    bench.load(Plan(callbacks=callbacks))
    assert bench.violation().rule == "InterruptPolicy"
