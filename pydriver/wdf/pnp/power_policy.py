# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The power policy of a device: idle, wake, and the system's sleep [powerpolicystatemachine.cpp].

`_lock` guards the references that keep the device in D0, and the timer; code that holds it neither
waits nor accesses a register. The power state is only changed with the PnP sequence lock held.
"""

import contextlib
from dataclasses import replace
from threading import Lock

from pydriver.ke.clock import TICKS_PER_MS
from pydriver.ke.dpc import KDpc
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    NT_SUCCESS,
    STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_PENDING,
    STATUS_POWER_STATE_INVALID,
    STATUS_SUCCESS,
    NtStatusError,
)
from pydriver.ke.timer import KTimer
from pydriver.wdf.dma.device import DmaDevice
from pydriver.wdf.object.ddi import irql_violation
from pydriver.wdf.object.device_base import DeviceState
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.pnp import Pnp
from pydriver.wdf.pnp.pnp_config import (
    DevicePowerPolicyState,
    PowerDeviceState,
    PowerPolicyEventCallbacks,
)
from pydriver.wdf.pnp.power import Power
from pydriver.wdf.pnp.power_policy_config import (
    DEFAULT_IDLE_TIMEOUT,
    LONGEST_IDLE_TIMEOUT,
    IdleSettings,
    PowerPolicyS0IdleCapabilities,
    PowerPolicyUserControl,
    WakeSettings,
)

__all__ = ("PowerPolicy",)

_GONE = frozenset({DeviceState.FAILED, DeviceState.SURPRISE_REMOVED, DeviceState.REMOVED})
_DX = {PowerDeviceState.D1, PowerDeviceState.D2, PowerDeviceState.D3}


class PowerPolicy:
    """The power policy of one device.

    :param device: the device
    :param pnp: the PnP sequences of the device
    :param power: the power sequences of the device
    :param callbacks: the callbacks of the power policy's owner
    :param owner: whether the driver decides when the device sleeps
    """

    __slots__ = (
        "_asleep",
        "_callbacks",
        "_device",
        "_idle_references",
        "_idle_settings",
        "_idled",
        "_io",
        "_io_count",
        "_io_seen",
        "_kernel",
        "_lock",
        "_pnp",
        "_power",
        "_timer",
        "_timer_dpc",
        "_wake_settings",
        "owner",
    )

    def __init__(
        self,
        device: DmaDevice,
        pnp: Pnp,
        power: Power,
        callbacks: PowerPolicyEventCallbacks,
        *,
        owner: bool,
    ) -> None:
        self._device = device
        self._io = device.io
        self._kernel = device._kernel
        self._pnp = pnp
        self._power = power
        self._callbacks = callbacks
        self.owner = owner
        self._lock = Lock()
        self._idle_references = 0
        self._idle_settings: IdleSettings | None = None
        self._wake_settings: WakeSettings | None = None
        self._timer: KTimer | None = None
        self._timer_dpc = KDpc(self._kernel, self._timer_expired, device)
        self._io_count = self._io_seen = 0
        # Whether the device sleeps because it was idle, and whether because the system sleeps.
        self._idled = False
        self._asleep = False
        pnp.power_changed = self.power_changed

    # Settings

    def assign_s0_idle_settings(self, settings: IdleSettings) -> None:
        """Sets when the device sleeps while the system works.

        :param settings: the settings
        :raises NtStatusError: the driver does not own the power policy; a value is out of range;
            the device does not have the power state, or cannot wake from it
        """
        what = "WdfDeviceAssignS0IdleSettings"
        if not isinstance(settings, IdleSettings):
            raise NtStatusError(STATUS_INFO_LENGTH_MISMATCH, what)
        self._check_settings(what, settings.dx_state, settings.enabled)
        if (
            settings.idle_caps not in set(PowerPolicyS0IdleCapabilities)
            or settings.user_control_of_idle_settings not in set(PowerPolicyUserControl)
            or settings.power_up_idle_device_on_system_wake not in set(TriState)
            or not 0 <= settings.idle_timeout <= LONGEST_IDLE_TIMEOUT
        ):
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        caps = settings.idle_caps
        if caps == PowerPolicyS0IdleCapabilities.USB_SELECTIVE_SUSPEND:
            raise NtStatusError(
                STATUS_INVALID_DEVICE_REQUEST, f"{what}: {self._device} is not on USB"
            )
        wakes = caps == PowerPolicyS0IdleCapabilities.CAN_WAKE_FROM_S0
        self._check_capabilities(what, settings.dx_state, wakes=wakes)
        self._idle_settings = replace(settings)
        self._io.watch(self.io_arrived if self._idle_enabled else None)
        self._rearm()
        if not self._idle_enabled and self._idled:
            self._power_up_later()

    def assign_sx_wake_settings(self, settings: WakeSettings) -> None:
        """Sets whether the device may wake the system.

        :param settings: the settings
        :raises NtStatusError: the driver does not own the power policy; a value is out of range;
            the device cannot wake from the power state
        """
        what = "WdfDeviceAssignSxWakeSettings"
        if not isinstance(settings, WakeSettings):
            raise NtStatusError(STATUS_INFO_LENGTH_MISMATCH, what)
        self._check_settings(what, settings.dx_state, settings.enabled)
        if settings.user_control_of_wake_settings not in set(PowerPolicyUserControl):
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        self._check_capabilities(what, settings.dx_state, wakes=True)
        self._wake_settings = replace(settings)

    def _check_settings(self, what: str, dx_state: int, enabled: int) -> None:
        if not self.owner:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: no power policy owner")
        if dx_state not in {*_DX, PowerDeviceState.INVALID} or enabled not in set(TriState):
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)

    def _check_capabilities(self, what: str, dx_state: int, *, wakes: bool) -> None:
        device, bus = self._device, self._power.bus
        deepest = bus.wakes_from
        if wakes and (deepest is PowerDeviceState.INVALID or dx_state > deepest):
            raise NtStatusError(
                STATUS_POWER_STATE_INVALID, f"{what}: {device} cannot wake from DxState"
            )
        if dx_state and not bus.supports(PowerDeviceState(dx_state)):
            raise NtStatusError(STATUS_POWER_STATE_INVALID, f"{what}: {device} has no such state")

    @property
    def _idle_enabled(self) -> bool:
        return self._idle_settings is not None and self._idle_settings.enabled != TriState.FALSE

    # References that keep the device in D0

    def stop_idle(self, what: str, *, wait_for_d0: bool) -> int:
        """Keeps the device in D0 [WdfDeviceStopIdle].

        :param what: the name of the DDI, for the error
        :param wait_for_d0: whether to wait until the device is in D0; at PASSIVE_LEVEL
        :return: STATUS_SUCCESS or STATUS_PENDING, see :meth:`PowerPolicyDdis.stop_idle`
        :raises NtStatusError: the device is not kept, see :meth:`PowerPolicyDdis.stop_idle`
        """
        irql = self._kernel.irql()
        if wait_for_d0 and irql > PASSIVE_LEVEL and self._kernel.verifying:
            irql_violation(self._kernel, what, irql, self._device, PASSIVE_LEVEL)
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what} with a wait")
        if not self.owner:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{what}: no power policy owner")
        if self._device.state in _GONE:
            raise NtStatusError(
                STATUS_POWER_STATE_INVALID, f"{what}: {self._device} is {self._device.state.value}"
            )
        with self._lock:
            self._idle_references += 1
            self._cancel_timer()
            idled = self._idled
        low = idled or self._device.state is DeviceState.LOW_POWER
        if self._power.state is PowerDeviceState.D0 and not low:
            return STATUS_SUCCESS
        if not wait_for_d0:
            if low and not self._asleep:
                self._power_up_later()
            return STATUS_PENDING
        try:
            self._power_up()
        except NtStatusError:
            with self._lock:
                self._idle_references -= 1
            raise
        return STATUS_SUCCESS

    def resume_idle(self, what: str) -> None:
        """Undoes a :meth:`stop_idle` that succeeded [WdfDeviceResumeIdle].

        :param what: the name of the DDI, for the report
        """
        with self._lock:
            balanced = self._idle_references > 0
            if balanced:
                self._idle_references -= 1
        if not balanced:
            self._kernel.verifier.violation(
                "ResumeIdleUnbalanced", f"{what} without a WdfDeviceStopIdle before", self._device
            )
            return
        self._rearm()

    # The timer

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _rearm(self) -> None:
        settings = self._idle_settings
        with self._lock:
            self._cancel_timer()
            if (
                settings is None
                or not self._idle_enabled
                or self._idle_references
                or self._device.state is not DeviceState.STARTED
            ):
                return
            self._io_seen = self._io_count
            timeout = settings.idle_timeout or DEFAULT_IDLE_TIMEOUT
            self._timer = KTimer(self._kernel, owner=self._device)
            self._timer.set(-timeout * TICKS_PER_MS, dpc=self._timer_dpc)

    def _timer_expired(self) -> None:
        self._kernel.threads.run(self._idle_out)

    def _idle_out(self) -> None:
        with self._pnp.sequence:
            settings = self._idle_settings
            if self._device.state is not DeviceState.STARTED or settings is None:
                return
            with self._lock:
                # The flag is set before references and requests are checked: one that comes from
                # here on finds it set, and makes the device power up afterwards.
                self._idled = True
                idle = (
                    not self._idle_references
                    and self._idle_enabled
                    and self._io_seen == self._io_count
                    and not self._busy
                )
                self._idled = idle
            if idle:
                wakes = settings.idle_caps == PowerPolicyS0IdleCapabilities.CAN_WAKE_FROM_S0
                target = settings.dx_state or (
                    self._power.bus.wakes_from if wakes else PowerDeviceState.D3
                )
                if wakes:
                    self._power.arm_wake = self._arm_s0
                try:
                    self._pnp.leave_d0(PowerDeviceState(target))
                except NtStatusError:
                    self._pnp.fail_later(restart=False)
                return
        self._rearm()

    @property
    def _busy(self) -> bool:
        return any(
            queue.owned or queue.queued for queue in self._io.queues if queue.config.power_managed
        )

    def io_arrived(self) -> None:
        """Keeps the device from idling, as a request was sent; at IRQL <= DISPATCH_LEVEL."""
        self._io_count += 1
        if self._idled:
            self._power_up_later()

    def _power_up_later(self) -> None:
        """Makes another thread power the device up; at IRQL <= DISPATCH_LEVEL."""

        def power_up() -> None:
            with contextlib.suppress(NtStatusError):  # a failure removes it, which wakes waiters
                self._power_up()

        self._kernel.threads.run(power_up)

    def _power_up(self) -> None:
        with self._pnp.sequence:
            if self._device.state is DeviceState.LOW_POWER and not self._asleep:
                try:
                    self._pnp.return_to_d0()
                except NtStatusError as error:
                    self._pnp.fail_later(restart=False)
                    raise NtStatusError(STATUS_POWER_STATE_INVALID, str(self._device)) from error

    def power_changed(self) -> None:
        """Restarts the idle timer in D0, and stops it in other states."""
        if self._device.state is not DeviceState.LOW_POWER:
            self._idled = False
        self._rearm()
        # A request may have come between the last check of the queues and their stop.
        if self._idled and self._busy:
            self._power_up_later()

    # Wake

    def _arm_s0(self) -> None:
        callback = self._callbacks.evt_device_arm_wake_from_s0
        if NT_SUCCESS(self._power.call("EvtDeviceArmWakeFromS0", callback)):
            self._power.bus.wake_enabled = True
            self._power.disarm_wake = self._disarm_s0

    def _disarm_s0(self) -> None:
        self._power.bus.wake_enabled = False
        self._power.call(
            "EvtDeviceDisarmWakeFromS0", self._callbacks.evt_device_disarm_wake_from_s0
        )

    def _arm_sx(self) -> None:
        callbacks, settings = self._callbacks, self._wake_settings
        assert settings is not None
        if callbacks.evt_device_arm_wake_from_sx_with_reason is not None:
            status = self._power.call(
                "EvtDeviceArmWakeFromSxWithReason",
                callbacks.evt_device_arm_wake_from_sx_with_reason,
                True,
                False,
            )
        else:
            status = self._power.call(
                "EvtDeviceArmWakeFromSx", callbacks.evt_device_arm_wake_from_sx
            )
        if NT_SUCCESS(status):
            self._power.bus.wake_enabled = True
            self._power.disarm_wake = self._disarm_sx

    def _disarm_sx(self) -> None:
        self._power.bus.wake_enabled = False
        self._power.call(
            "EvtDeviceDisarmWakeFromSx", self._callbacks.evt_device_disarm_wake_from_sx
        )

    def wake(self) -> None:
        """Handles the wake signal of a device that idles; at PASSIVE_LEVEL."""
        if not self._power.bus.wake_enabled or self._asleep:
            return
        self._power.call(
            "EvtDeviceWakeFromS0Triggered", self._callbacks.evt_device_wake_from_s0_triggered
        )
        self._power_up()

    # The system's sleep

    def enter_sleep(self) -> None:
        """Makes the device leave D0 as the system goes to sleep, armed if it may wake the system.

        :raises NtStatusError: a callback failed, and with it the device
        """
        with self._pnp.sequence:
            self._asleep = True
            if self._device.state is not DeviceState.STARTED:
                return
            settings = self._wake_settings
            target = PowerDeviceState.D3
            if settings is not None and settings.enabled != TriState.FALSE:
                target = PowerDeviceState(settings.dx_state or self._power.bus.wakes_from)
                self._power.arm_wake = self._arm_sx
            self._pnp.leave_d0(target)

    def leave_sleep(self, *, triggered: bool = False) -> None:
        """Makes the device return to D0 as the system wakes up, unless it was idle before.

        :param triggered: whether this device woke the system
        :raises NtStatusError: a callback failed, and with it the device
        """
        with self._pnp.sequence:
            self._asleep = False
            if self._device.state is not DeviceState.LOW_POWER:
                return
            if triggered and self._power.bus.wake_enabled:
                self._power.call(
                    "EvtDeviceWakeFromSxTriggered",
                    self._callbacks.evt_device_wake_from_sx_triggered,
                )
            settings = self._idle_settings
            stays = self._idled and not self._idle_references and not self._busy
            if (
                stays
                and settings is not None
                and settings.power_up_idle_device_on_system_wake != TriState.TRUE
            ):
                return
            self._pnp.return_to_d0()

    # States

    @property
    def state(self) -> DevicePowerPolicyState:
        """The state of the power policy; for debugging only, as it may change at any time."""
        states = DevicePowerPolicyState
        if self._device.state in {DeviceState.INIT, DeviceState.PREPARING}:
            return states.OBJECT_CREATED
        if self._device.state is DeviceState.LOW_POWER:
            return states.WAITING_ARMED if self._power.bus.wake_enabled else states.WAITING_UNARMED
        if self._device.state in {DeviceState.STARTING, DeviceState.STARTED}:
            return states.STARTED_WAKE_CAPABLE if self._idle_enabled else states.STARTED
        return states.STOPPED
