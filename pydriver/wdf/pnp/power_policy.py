# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The power policy of a device: idle, wake, and the system's sleep [powerpolicystatemachine.cpp].

`_policy_lock` guards the references that keep the device in D0, and the timer; nothing waits and no
register is accessed under it. Whoever changes the power state has the PnP sequence lock.
"""

import contextlib
from dataclasses import replace
from threading import Lock

from pydriver.declarations.binding import Binding
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
from pydriver.wdf.object.ddi import ddi, irql_violation
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.device_state import ReportingDevice
from pydriver.wdf.pnp.pnp_config import (
    DevicePowerPolicyState,
    DevicePowerState,
    DeviceState,
    PowerDeviceState,
    PowerPolicyEventCallbacks,
)
from pydriver.wdf.pnp.power_policy_config import (
    DEFAULT_IDLE_TIMEOUT,
    LONGEST_IDLE_TIMEOUT,
    IdleSettings,
    PowerPolicyS0IdleCapabilities,
    PowerPolicyUserControl,
    WakeSettings,
)

__all__ = ("PolicyDevice",)

_DX = {PowerDeviceState.D1, PowerDeviceState.D2, PowerDeviceState.D3}


class PolicyDevice(ReportingDevice):
    """What of a device its power policy is about.

    :ivar power_policy_owner: the driver decides when the device sleeps
    :ivar watches_io: each request is told to :meth:`io_arrived`
    :ivar sees_requests: that, or the driver has a callback that sees each request
    """

    __slots__ = (
        "_asleep",
        "_idle_references",
        "_idle_settings",
        "_idled",
        "_io_count",
        "_io_seen",
        "_policy_callbacks",
        "_policy_lock",
        "_sees_requests",
        "_timer",
        "_timer_dpc",
        "_wake_settings",
        "power_policy_owner",
        "sees_requests",
        "watches_io",
    )

    def prepare_policy(
        self, callbacks: PowerPolicyEventCallbacks, *, owner: bool, sees_requests: bool
    ) -> None:
        """Sets the attributes of this class; by the device's creation."""
        self._policy_callbacks = callbacks
        self.power_policy_owner = owner
        self._policy_lock = Lock()
        self._idle_references = 0
        self._idle_settings: IdleSettings | None = None
        self._wake_settings: WakeSettings | None = None
        self._timer: KTimer | None = None
        self._timer_dpc = KDpc(self._kernel, self._timer_expired, self)
        self._io_count = self._io_seen = 0
        self.watches_io = False
        self.sees_requests = self._sees_requests = sees_requests
        # The device sleeps because it was idle; because the system sleeps.
        self._idled = False
        self._asleep = False

    # Settings

    @ddi(
        "WdfDeviceAssignS0IdleSettings",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PWDF_DEVICE_POWER_POLICY_IDLE_SETTINGS Settings)",
    )
    def assign_s0_idle_settings(self, settings: IdleSettings) -> None:
        """Says when the device sleeps while the system works.

        :param settings: see there
        :raises NtStatusError: the driver does not own the power policy; a value is out of range;
            the bus cannot have the device wake from that state, or has no such state
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
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: {self} is not on USB")
        wakes = caps == PowerPolicyS0IdleCapabilities.CAN_WAKE_FROM_S0
        self._check_capabilities(what, settings.dx_state, wakes=wakes)
        self._idle_settings = replace(settings)
        self.watches_io = self._idle_enabled
        self.sees_requests = self.watches_io or self._sees_requests
        self._rearm()
        if not self._idle_enabled and self._idled:
            self._power_up_later()

    @ddi(
        "WdfDeviceAssignSxWakeSettings",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PWDF_DEVICE_POWER_POLICY_WAKE_SETTINGS Settings)",
    )
    def assign_sx_wake_settings(self, settings: WakeSettings) -> None:
        """Says whether the device may wake the system.

        :param settings: see there
        :raises NtStatusError: the driver does not own the power policy; a value is out of range;
            the bus cannot have the device wake from that state
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
        if not self.power_policy_owner:
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what}: no power policy owner")
        if dx_state not in {*_DX, PowerDeviceState.INVALID} or enabled not in set(TriState):
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)

    def _check_capabilities(self, what: str, dx_state: int, *, wakes: bool) -> None:
        deepest = self.bus.wakes_from
        if wakes and (deepest is PowerDeviceState.INVALID or dx_state > deepest):
            raise NtStatusError(STATUS_POWER_STATE_INVALID, f"{what}: {self} cannot wake from it")
        if dx_state and not self.bus.supports(PowerDeviceState(dx_state)):
            raise NtStatusError(STATUS_POWER_STATE_INVALID, f"{what}: {self} has no such state")

    @property
    def _idle_enabled(self) -> bool:
        return self._idle_settings is not None and self._idle_settings.enabled != TriState.FALSE

    # References that keep the device in D0

    @ddi(
        "WdfDeviceStopIdle",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ BOOLEAN WaitForD0, _In_opt_ PVOID Tag, "
        "_In_ LONG Line, _In_z_ PCCH File)",
        binding=Binding(omits=("Line", "File"), entry="WdfDeviceStopIdleActual"),
    )
    def stop_idle(self, *, wait_for_d0: bool, tag: object = None) -> int:
        """Keeps the device in D0, and brings it there if it idles.

        :param wait_for_d0: return when it is there; at PASSIVE_LEVEL
        :param tag: what for
        :return: STATUS_SUCCESS: it is in D0; STATUS_PENDING: it will be. Both are undone by
            :meth:`resume_idle`
        :raises NtStatusError: STATUS_INVALID_DEVICE_STATE: the driver does not own the power
            policy; STATUS_POWER_STATE_INVALID: the device has failed or gone
        """
        return self._stop_idle("WdfDeviceStopIdle", wait_for_d0=wait_for_d0)

    @ddi("WdfDeviceStopIdleNoTrack", "NTSTATUS (_In_ WDFDEVICE Device, _In_ BOOLEAN WaitForD0)")
    def stop_idle_no_track(self, *, wait_for_d0: bool) -> int:
        """As :meth:`stop_idle`, without a tag."""
        return self._stop_idle("WdfDeviceStopIdleNoTrack", wait_for_d0=wait_for_d0)

    def _stop_idle(self, what: str, *, wait_for_d0: bool) -> int:
        irql = self._kernel.irql()
        if wait_for_d0 and irql > PASSIVE_LEVEL and self._kernel.verifying:
            irql_violation(self._kernel, what, irql, self, PASSIVE_LEVEL)
            raise NtStatusError(STATUS_INVALID_DEVICE_REQUEST, f"{what} with a wait")
        if not self.power_policy_owner:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{what}: no power policy owner")
        if self.state in {DeviceState.FAILED, DeviceState.SURPRISE_REMOVED, DeviceState.REMOVED}:
            raise NtStatusError(STATUS_POWER_STATE_INVALID, f"{what}: {self} is {self.state.value}")
        with self._policy_lock:
            self._idle_references += 1
            self._cancel_timer()
            idled = self._idled
        low = idled or self.state is DeviceState.LOW_POWER
        if self.power_state is PowerDeviceState.D0 and not low:
            return STATUS_SUCCESS
        if not wait_for_d0:
            if low and not self._asleep:
                self._power_up_later()
            return STATUS_PENDING
        try:
            self._power_up()
        except NtStatusError:
            with self._policy_lock:
                self._idle_references -= 1
            raise
        return STATUS_SUCCESS

    @ddi(
        "WdfDeviceResumeIdle",
        "VOID (_In_ WDFDEVICE Device, _In_opt_ PVOID Tag, _In_ LONG Line, _In_z_ PCCH File)",
        binding=Binding(omits=("Line", "File"), entry="WdfDeviceResumeIdleActual"),
    )
    def resume_idle(self, tag: object = None) -> None:
        """Undoes a :meth:`stop_idle` that succeeded."""
        self._resume_idle("WdfDeviceResumeIdle")

    @ddi("WdfDeviceResumeIdleNoTrack", "VOID (_In_ WDFDEVICE Device)")
    def resume_idle_no_track(self) -> None:
        """Undoes a :meth:`stop_idle_no_track` that succeeded."""
        self._resume_idle("WdfDeviceResumeIdleNoTrack")

    def _resume_idle(self, what: str) -> None:
        with self._policy_lock:
            balanced = self._idle_references > 0
            if balanced:
                self._idle_references -= 1
        if not balanced:
            self._kernel.verifier.violation(
                "ResumeIdleUnbalanced", f"{what} without a WdfDeviceStopIdle before", self
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
        with self._policy_lock:
            self._cancel_timer()
            if (
                settings is None
                or not self._idle_enabled
                or self._idle_references
                or self.state is not DeviceState.STARTED
            ):
                return
            self._io_seen = self._io_count
            timeout = settings.idle_timeout or DEFAULT_IDLE_TIMEOUT
            self._timer = KTimer(self._kernel, owner=self)
            self._timer.set(-timeout * TICKS_PER_MS, dpc=self._timer_dpc)

    def _timer_expired(self) -> None:
        self._kernel.threads.run(self._idle_out)

    def _idle_out(self) -> None:
        with self._sequence:
            settings = self._idle_settings
            if self.state is not DeviceState.STARTED or settings is None:
                return
            with self._policy_lock:
                # First said, then looked: who comes from here on finds it said, and has the
                # device powered up after this.
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
                    self.bus.wakes_from if wakes else PowerDeviceState.D3
                )
                if wakes:
                    self.arm_wake = self._arm_s0
                try:
                    self.leave_d0(PowerDeviceState(target))
                except NtStatusError:
                    self.fail_later(restart=False)
                return
        self._rearm()

    @property
    def _busy(self) -> bool:
        return any(
            queue.owned or queue.queued for queue in self.queues if queue.config.power_managed
        )

    def io_arrived(self) -> None:
        """A request was sent: the device does not idle; at IRQL <= DISPATCH_LEVEL."""
        self._io_count += 1
        if self._idled:
            self._power_up_later()

    def _power_up_later(self) -> None:
        """Has another thread power the device up; at IRQL <= DISPATCH_LEVEL."""

        def power_up() -> None:
            with contextlib.suppress(NtStatusError):  # then it is removed, which tells everybody
                self._power_up()

        self._kernel.threads.run(power_up)

    def _power_up(self) -> None:
        with self._sequence:
            if self.state is DeviceState.LOW_POWER and not self._asleep:
                try:
                    self.return_to_d0()
                except NtStatusError as error:
                    self.fail_later(restart=False)
                    raise NtStatusError(STATUS_POWER_STATE_INVALID, str(self)) from error

    def power_changed(self) -> None:
        """Has the idle time begin anew in D0, and end elsewhere."""
        if self.state is not DeviceState.LOW_POWER:
            self._idled = False
        self._rearm()
        # One that came between the last look at the queues and their stop.
        if self._idled and self._busy:
            self._power_up_later()

    # Wake

    def _arm_s0(self) -> None:
        callback = self._policy_callbacks.evt_device_arm_wake_from_s0
        if NT_SUCCESS(self.call("EvtDeviceArmWakeFromS0", callback)):
            self.bus.wake_enabled = True
            self.disarm_wake = self._disarm_s0

    def _disarm_s0(self) -> None:
        self.bus.wake_enabled = False
        self.call(
            "EvtDeviceDisarmWakeFromS0", self._policy_callbacks.evt_device_disarm_wake_from_s0
        )

    def _arm_sx(self) -> None:
        callbacks, settings = self._policy_callbacks, self._wake_settings
        assert settings is not None
        if callbacks.evt_device_arm_wake_from_sx_with_reason is not None:
            status = self.call(
                "EvtDeviceArmWakeFromSxWithReason",
                callbacks.evt_device_arm_wake_from_sx_with_reason,
                True,
                False,
            )
        else:
            status = self.call("EvtDeviceArmWakeFromSx", callbacks.evt_device_arm_wake_from_sx)
        if NT_SUCCESS(status):
            self.bus.wake_enabled = True
            self.disarm_wake = self._disarm_sx

    def _disarm_sx(self) -> None:
        self.bus.wake_enabled = False
        self.call(
            "EvtDeviceDisarmWakeFromSx", self._policy_callbacks.evt_device_disarm_wake_from_sx
        )

    def wake(self) -> None:
        """The device, which idles, has signalled that it wants to wake up; at PASSIVE_LEVEL."""
        if not self.bus.wake_enabled or self._asleep:
            return
        self.call(
            "EvtDeviceWakeFromS0Triggered", self._policy_callbacks.evt_device_wake_from_s0_triggered
        )
        self._power_up()

    # The system's sleep

    def enter_sleep(self) -> None:
        """The system goes to sleep: the device leaves D0, armed if it may wake the system.

        :raises NtStatusError: a callback failed; the device has failed then
        """
        with self._sequence:
            self._asleep = True
            if self.state is not DeviceState.STARTED:
                return
            settings = self._wake_settings
            target = PowerDeviceState.D3
            if settings is not None and settings.enabled != TriState.FALSE:
                target = PowerDeviceState(settings.dx_state or self.bus.wakes_from)
                self.arm_wake = self._arm_sx
            self.leave_d0(target)

    def leave_sleep(self, *, triggered: bool = False) -> None:
        """The system works again: the device returns to D0, unless it had been idle before.

        :param triggered: it was this device that has woken the system
        :raises NtStatusError: a callback failed; the device has failed then
        """
        with self._sequence:
            self._asleep = False
            if self.state is not DeviceState.LOW_POWER:
                return
            if triggered and self.bus.wake_enabled:
                self.call(
                    "EvtDeviceWakeFromSxTriggered",
                    self._policy_callbacks.evt_device_wake_from_sx_triggered,
                )
            settings = self._idle_settings
            stays = self._idled and not self._idle_references and not self._busy
            if (
                stays
                and settings is not None
                and settings.power_up_idle_device_on_system_wake != TriState.TRUE
            ):
                return
            self.return_to_d0()

    # States

    @ddi("WdfDeviceGetDevicePowerState", "WDF_DEVICE_POWER_STATE (_In_ WDFDEVICE Device)")
    def get_device_power_state(self) -> DevicePowerState:
        """Where the power sequences are: for debugging only, it may be another one already."""
        return self.power_machine_state

    @ddi(
        "WdfDeviceGetDevicePowerPolicyState",
        "WDF_DEVICE_POWER_POLICY_STATE (_In_ WDFDEVICE Device)",
    )
    def get_device_power_policy_state(self) -> DevicePowerPolicyState:
        """Where the power policy is: for debugging only, it may be another one already."""
        states = DevicePowerPolicyState
        if self.state in {DeviceState.INIT, DeviceState.PREPARING}:
            return states.OBJECT_CREATED
        if self.state is DeviceState.LOW_POWER:
            return states.WAITING_ARMED if self.bus.wake_enabled else states.WAITING_UNARMED
        if self.state in {DeviceState.STARTING, DeviceState.STARTED}:
            return states.STARTED_WAKE_CAPABLE if self._idle_enabled else states.STARTED
        return states.STOPPED
