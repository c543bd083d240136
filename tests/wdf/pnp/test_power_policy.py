# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The power policy: idle, wake, and the system's sleep."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import (
    STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_PENDING,
    STATUS_POWER_STATE_INVALID,
    STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
)
from pydriver.wdf import (
    Device,
    DeviceInit,
    DevicePowerPolicyState,
    DeviceState,
    Driver,
    DriverConfig,
    IdleSettings,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    PnpPowerEventCallbacks,
    PowerDeviceState,
    PowerPolicyEventCallbacks,
    PowerPolicyS0IdleCapabilities,
    Request,
    TriState,
    WakeSettings,
)
from pydriver.wdf.pnp.bus import BusFunction
from tests.harness.bench import TIMEOUT, Bench, Signal
from tests.harness.witness import MQDMA

WAKES = PowerPolicyS0IdleCapabilities.CAN_WAKE_FROM_S0
SHORT = 20


@dataclass
class Sleeper:
    """A driver that notes its power callbacks."""

    bench: Bench
    owner: bool | None = None
    calls: list[str] = field(default_factory=list)
    downs: list[Signal] = field(default_factory=lambda: [Signal() for _ in range(4)])
    ups: list[Signal] = field(default_factory=lambda: [Signal() for _ in range(4)])
    arm: int = STATUS_SUCCESS
    with_reason: bool = False
    requests: list[Request] = field(default_factory=list)

    def exit(self, device: Device, state: PowerDeviceState) -> None:
        self.calls.append(f"D0Exit {state.name}")
        self.downs.pop(0).set()

    def restart(self, device: Device) -> None:
        self.calls.append("Restart")
        self.ups.pop(0).set()

    def load(self) -> Device:
        def note(what: str) -> Callable[..., None]:
            return lambda device, *more: self.calls.append(what)

        def arm(what: str) -> Callable[..., int]:
            def callback(device: Device, *more: Any) -> int:
                self.calls.append(what + "".join(f" {each}" for each in more))
                return self.arm

            return callback

        def add(driver: Driver, init: DeviceInit) -> None:
            init.set_pnp_power_event_callbacks(
                PnpPowerEventCallbacks(
                    evt_device_d0_entry=lambda device, state: self.calls.append(
                        f"D0Entry {state.name}"
                    ),
                    evt_device_d0_exit=self.exit,
                    evt_device_d0_exit_pre_interrupts_disabled=note("PreInterruptsDisabled"),
                    evt_device_self_managed_io_restart=self.restart,
                )
            )
            init.set_power_policy_event_callbacks(
                PowerPolicyEventCallbacks(
                    evt_device_arm_wake_from_s0=arm("ArmS0"),
                    evt_device_arm_wake_from_sx=arm("ArmSx"),
                    evt_device_arm_wake_from_sx_with_reason=(
                        arm("ArmSxWithReason") if self.with_reason else None
                    ),
                    evt_device_disarm_wake_from_s0=note("DisarmS0"),
                    evt_device_disarm_wake_from_sx=note("DisarmSx"),
                    evt_device_wake_from_s0_triggered=note("S0Triggered"),
                    evt_device_wake_from_sx_triggered=note("SxTriggered"),
                )
            )
            if self.owner is not None:
                init.set_power_policy_ownership(is_power_policy_owner=self.owner)
            device = Device.create(init)
            IoQueue.create(
                device,
                IoQueueConfig(
                    IoQueueDispatchType.PARALLEL,
                    evt_io_write=lambda queue, request, length: self.requests.append(request),
                    default_queue=True,
                ),
            )

        driver = self.bench.system.load_driver(
            lambda driver_object: Driver.create(
                driver_object, DriverConfig(evt_driver_device_add=add)
            ),
            name="sleeper",
        )
        self.bench.drivers.append(driver)
        device = driver.add_device(self.bench.system.pci.find(*MQDMA))
        self.calls.clear()
        return device


def settled(device: Device) -> DeviceState:
    """The state, after the sequence that is under way."""
    with device.pnp.sequence:
        return device.state


@pytest.fixture
def sleeper(bench: Bench) -> Sleeper:
    return Sleeper(bench)


@pytest.fixture
def waking(sleeper: Sleeper, monkeypatch: pytest.MonkeyPatch) -> Sleeper:
    """Makes the function appear to signal PME from D3, as no emulated one here can."""
    monkeypatch.setattr(BusFunction, "wakes_from", PowerDeviceState.D3)
    return sleeper


@pytest.mark.covers("WdfDeviceAssignS0IdleSettings", "WdfDeviceStopIdle", "WdfDeviceResumeIdle")
def test_device_that_idles_is_powered_down_and_stop_idle_powers_it_up(sleeper: Sleeper) -> None:
    device = sleeper.load()
    down, up = sleeper.downs[:2], sleeper.ups[0]
    device.assign_s0_idle_settings(IdleSettings(idle_timeout=SHORT, dx_state=PowerDeviceState.D3))
    down[0].wait("the idle time-out")
    assert settled(device) is DeviceState.LOW_POWER
    assert sleeper.calls == ["PreInterruptsDisabled", "D0Exit D3"]
    assert device.stop_idle(wait_for_d0=True) == STATUS_SUCCESS
    up.wait("the return")
    assert device.powered
    assert sleeper.calls[2:] == ["D0Entry D3", "Restart"]
    assert device.policy._timer is None, "a reference keeps it up"
    device.resume_idle()
    down[1].wait("the next idle time-out")


@pytest.mark.mistake("ResumeIdleUnbalanced")
@pytest.mark.covers("WdfDeviceStopIdleNoTrack", "WdfDeviceResumeIdleNoTrack")
def test_stop_idle_without_a_wait_is_pending(sleeper: Sleeper) -> None:
    device = sleeper.load()
    assert device.stop_idle_no_track(wait_for_d0=False) == STATUS_SUCCESS
    device.resume_idle_no_track()
    device.exit_d0()
    up = sleeper.ups[0]
    irql = sleeper.bench.kernel.raise_irql(DISPATCH_LEVEL)
    assert device.stop_idle_no_track(wait_for_d0=False) == STATUS_PENDING
    sleeper.bench.kernel.lower_irql(irql)
    up.wait("the return to D0")
    assert settled(device) is DeviceState.STARTED
    device.resume_idle_no_track()
    device.resume_idle_no_track()
    assert sleeper.bench.violation().rule == "ResumeIdleUnbalanced"


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.covers("WdfDeviceStopIdle")
def test_stop_idle_with_a_wait_is_refused_at_dispatch_level(sleeper: Sleeper) -> None:
    device = sleeper.load()
    kernel = sleeper.bench.kernel
    irql = kernel.raise_irql(DISPATCH_LEVEL)
    with pytest.raises(NtStatusError) as refused:
        device.stop_idle(wait_for_d0=True)
    kernel.lower_irql(irql)
    assert refused.value.status == STATUS_INVALID_DEVICE_REQUEST
    assert sleeper.bench.violation().rule == "KmdfIrql"


@pytest.mark.covers("WdfDeviceStopIdle")
def test_stop_idle_of_a_device_that_has_gone_fails(sleeper: Sleeper) -> None:
    device = sleeper.load()
    file = device.open()
    device.surprise_remove()
    with pytest.raises(NtStatusError) as refused:
        device.stop_idle(wait_for_d0=True)
    assert refused.value.status == STATUS_POWER_STATE_INVALID
    file.close()


def test_request_wakes_an_idle_device(sleeper: Sleeper) -> None:
    device = sleeper.load()
    down, up = sleeper.downs[0], sleeper.ups[0]
    device.assign_s0_idle_settings(IdleSettings(idle_timeout=SHORT))
    down.wait("the idle time-out")
    with device.open() as file:
        irp = file.write_async(b"a")
        up.wait("the return")
        assert settled(device) is DeviceState.STARTED
        device.stop_idle(wait_for_d0=False)
        sleeper.requests[0].complete(STATUS_SUCCESS)
        assert irp.wait(TIMEOUT) == STATUS_SUCCESS


def test_idle_that_is_disabled_powers_the_device_up(sleeper: Sleeper) -> None:
    device = sleeper.load()
    down, up = sleeper.downs[0], sleeper.ups[0]
    device.assign_s0_idle_settings(IdleSettings(idle_timeout=SHORT))
    down.wait("the idle time-out")
    device.assign_s0_idle_settings(IdleSettings(enabled=TriState.FALSE))
    up.wait("the return")
    assert settled(device) is DeviceState.STARTED
    assert device.policy._timer is None


@pytest.mark.covers("WdfDeviceAssignS0IdleSettings")
@pytest.mark.parametrize(
    ("settings", "status"),
    [
        (None, STATUS_INFO_LENGTH_MISMATCH),
        (IdleSettings(idle_caps=9), STATUS_INVALID_PARAMETER),
        (IdleSettings(dx_state=PowerDeviceState.D0), STATUS_INVALID_PARAMETER),
        (IdleSettings(idle_timeout=1 << 31), STATUS_INVALID_PARAMETER),
        (IdleSettings(user_control_of_idle_settings=0), STATUS_INVALID_PARAMETER),
        (IdleSettings(enabled=3), STATUS_INVALID_PARAMETER),
        (IdleSettings(power_up_idle_device_on_system_wake=3), STATUS_INVALID_PARAMETER),
        (IdleSettings(idle_caps=3), STATUS_INVALID_DEVICE_REQUEST),
        (IdleSettings(idle_caps=WAKES), STATUS_POWER_STATE_INVALID),
        (IdleSettings(dx_state=PowerDeviceState.D1), STATUS_POWER_STATE_INVALID),
    ],
)
def test_idle_settings_are_checked(sleeper: Sleeper, settings: Any, status: int) -> None:
    device = sleeper.load()
    with pytest.raises(NtStatusError) as refused:
        device.assign_s0_idle_settings(settings)
    assert refused.value.status == status


@pytest.mark.covers("WdfDeviceAssignSxWakeSettings")
@pytest.mark.parametrize(
    ("settings", "status"),
    [
        (None, STATUS_INFO_LENGTH_MISMATCH),
        (WakeSettings(dx_state=7), STATUS_INVALID_PARAMETER),
        (WakeSettings(user_control_of_wake_settings=0), STATUS_INVALID_PARAMETER),
        (WakeSettings(), STATUS_POWER_STATE_INVALID),
    ],
)
def test_wake_settings_are_checked(sleeper: Sleeper, settings: Any, status: int) -> None:
    device = sleeper.load()
    with pytest.raises(NtStatusError) as refused:
        device.assign_sx_wake_settings(settings)
    assert refused.value.status == status


@pytest.mark.covers("WdfDeviceInitSetPowerPolicyOwnership")
def test_only_the_owner_of_the_power_policy_decides(bench: Bench) -> None:
    device = Sleeper(bench, owner=False).load()
    for call in (
        lambda: device.assign_s0_idle_settings(IdleSettings()),
        lambda: device.assign_sx_wake_settings(WakeSettings()),
    ):
        with pytest.raises(NtStatusError) as refused:
            call()
        assert refused.value.status == STATUS_INVALID_DEVICE_REQUEST
    with pytest.raises(NtStatusError) as refused:
        device.stop_idle(wait_for_d0=False)
    assert refused.value.status == STATUS_INVALID_DEVICE_STATE


@pytest.mark.covers(
    "EvtDeviceArmWakeFromS0",
    "EvtDeviceDisarmWakeFromS0",
    "EvtDeviceWakeFromS0Triggered",
    "WdfDeviceInitSetPowerPolicyEventCallbacks",
)
def test_idle_device_is_armed_and_can_wake_itself(waking: Sleeper) -> None:
    device = waking.load()
    down, up = waking.downs[0], waking.ups[0]
    device.assign_s0_idle_settings(IdleSettings(idle_caps=WAKES, idle_timeout=SHORT))
    down.wait("the idle time-out")
    assert settled(device) is DeviceState.LOW_POWER
    assert device.get_device_power_policy_state() is DevicePowerPolicyState.WAITING_ARMED
    assert device.function.power.registers.CONTROL.read().state == 3
    assert device.policy._idle_settings is not None
    device.policy._idle_settings.idle_timeout = 60_000  # once is enough
    device.wake()
    up.wait("the return")
    assert waking.calls == [
        "ArmS0",
        "PreInterruptsDisabled",
        "D0Exit D3",
        "S0Triggered",
        "D0Entry D3",
        "DisarmS0",
        "Restart",
    ]
    device.wake()
    assert waking.calls[-1] == "Restart", "one that is not armed wakes nobody"


@pytest.mark.covers("EvtDeviceArmWakeFromS0")
def test_device_that_cannot_be_armed_is_not_disarmed(waking: Sleeper) -> None:
    waking.arm = STATUS_UNSUCCESSFUL
    device = waking.load()
    down = waking.downs[0]
    device.assign_s0_idle_settings(IdleSettings(idle_caps=WAKES, idle_timeout=SHORT))
    down.wait("the idle time-out")
    assert settled(device) is DeviceState.LOW_POWER
    device.wake()
    device.stop_idle(wait_for_d0=True)
    assert waking.calls == [
        "ArmS0",
        "PreInterruptsDisabled",
        "D0Exit D3",
        "D0Entry D3",
        "Restart",
    ]


@pytest.mark.covers(
    "WdfDeviceAssignSxWakeSettings",
    "EvtDeviceArmWakeFromSx",
    "EvtDeviceDisarmWakeFromSx",
    "EvtDeviceWakeFromSxTriggered",
)
@pytest.mark.parametrize("enabled", [TriState.USE_DEFAULT, TriState.FALSE])
def test_sleep_of_the_system_arms_the_device(waking: Sleeper, enabled: TriState) -> None:
    device = waking.load()
    device.assign_sx_wake_settings(WakeSettings(enabled=enabled))
    device.enter_sleep()
    assert device.stop_idle(wait_for_d0=False) == STATUS_PENDING
    device.leave_sleep(triggered=True)
    armed = ["ArmSx", "PreInterruptsDisabled", "D0Exit D3", "SxTriggered", "D0Entry D3", "DisarmSx"]
    plain = ["PreInterruptsDisabled", "D0Exit D3", "D0Entry D3"]
    assert waking.calls == [*(plain if enabled is TriState.FALSE else armed), "Restart"]


def test_arming_with_a_reason_comes_instead_of_the_one_without(waking: Sleeper) -> None:
    waking.with_reason = True
    device = waking.load()
    device.assign_sx_wake_settings(WakeSettings())
    device.enter_sleep()
    assert waking.calls[0] == "ArmSxWithReason True False"
    device.leave_sleep()


@pytest.mark.parametrize("up", [TriState.TRUE, TriState.USE_DEFAULT])
def test_device_that_was_idle_stays_so_after_the_sleep(sleeper: Sleeper, up: TriState) -> None:
    device = sleeper.load()
    down = sleeper.downs[0]
    device.assign_s0_idle_settings(
        IdleSettings(idle_timeout=SHORT, power_up_idle_device_on_system_wake=up)
    )
    down.wait("the idle time-out")
    device.enter_sleep()
    before = len(sleeper.calls)
    device.leave_sleep()
    returned = ["D0Entry D3", "Restart"] if up is TriState.TRUE else []
    assert sleeper.calls[before : before + 2] == returned


def test_device_that_has_requests_does_not_idle(sleeper: Sleeper) -> None:
    device = sleeper.load()
    device.assign_s0_idle_settings(IdleSettings(idle_timeout=60_000))
    with device.open() as file:
        irp = file.write_async(b"a")
        device.policy._idle_out()
        assert device.state is DeviceState.STARTED
        sleeper.requests[0].complete(STATUS_SUCCESS)
        assert irp.done
        file.write_async(b"b")
        sleeper.requests[1].complete(STATUS_SUCCESS)
        device.policy._idle_out()
        assert device.state is DeviceState.STARTED, "there was one since the time began"
        device.policy._idle_out()
        assert settled(device) is DeviceState.LOW_POWER


@pytest.mark.covers("EvtDeviceDisarmWakeFromS0")
def test_armed_device_is_disarmed_when_it_is_removed(waking: Sleeper) -> None:
    device = waking.load()
    down = waking.downs[0]
    device.assign_s0_idle_settings(IdleSettings(idle_caps=WAKES, idle_timeout=SHORT))
    down.wait("the idle time-out")
    assert settled(device) is DeviceState.LOW_POWER
    device.remove()
    assert waking.calls == ["ArmS0", "PreInterruptsDisabled", "D0Exit D3", "DisarmS0"]
