# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The DDIs of a device about its power policy: idle, wake, and the state of the sequences."""

from pydriver.declarations.binding import Binding
from pydriver.wdf.object.ddi import ddi
from pydriver.wdf.pnp.device import PnpDevice
from pydriver.wdf.pnp.pnp_config import DevicePowerPolicyState, DevicePowerState
from pydriver.wdf.pnp.power_policy_config import IdleSettings, WakeSettings

__all__ = ("PowerPolicyDdis",)


class PowerPolicyDdis(PnpDevice):
    """The DDIs of a device about its power policy."""

    __slots__ = ()

    @ddi(
        "WdfDeviceAssignS0IdleSettings",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PWDF_DEVICE_POWER_POLICY_IDLE_SETTINGS Settings)",
    )
    def assign_s0_idle_settings(self, settings: IdleSettings) -> None:
        """Sets when the device sleeps while the system works.

        :param settings: the settings
        :raises NtStatusError: the driver does not own the power policy; a value is out of range;
            the device does not have the power state, or cannot wake from it
        """
        self.policy.assign_s0_idle_settings(settings)

    @ddi(
        "WdfDeviceAssignSxWakeSettings",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ PWDF_DEVICE_POWER_POLICY_WAKE_SETTINGS Settings)",
    )
    def assign_sx_wake_settings(self, settings: WakeSettings) -> None:
        """Sets whether the device may wake the system.

        :param settings: the settings
        :raises NtStatusError: the driver does not own the power policy; a value is out of range;
            the device cannot wake from the power state
        """
        self.policy.assign_sx_wake_settings(settings)

    @ddi(
        "WdfDeviceStopIdle",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ BOOLEAN WaitForD0, _In_opt_ PVOID Tag, "
        "_In_ LONG Line, _In_z_ PCCH File)",
        binding=Binding(omits=("Line", "File"), entry="WdfDeviceStopIdleActual"),
    )
    def stop_idle(self, *, wait_for_d0: bool, tag: object = None) -> int:
        """Keeps the device in D0, and brings it there if it idles.

        :param wait_for_d0: whether to wait until the device is in D0; at PASSIVE_LEVEL
        :param tag: the reason, for the debugger
        :return: STATUS_SUCCESS: it is in D0; STATUS_PENDING: it will be. :meth:`resume_idle` undoes
            both
        :raises NtStatusError: STATUS_INVALID_DEVICE_STATE: the driver does not own the power
            policy; STATUS_POWER_STATE_INVALID: the device has failed or gone
        """
        return self.policy.stop_idle("WdfDeviceStopIdle", wait_for_d0=wait_for_d0)

    @ddi("WdfDeviceStopIdleNoTrack", "NTSTATUS (_In_ WDFDEVICE Device, _In_ BOOLEAN WaitForD0)")
    def stop_idle_no_track(self, *, wait_for_d0: bool) -> int:
        """Like :meth:`stop_idle`, without a tag."""
        return self.policy.stop_idle("WdfDeviceStopIdleNoTrack", wait_for_d0=wait_for_d0)

    @ddi(
        "WdfDeviceResumeIdle",
        "VOID (_In_ WDFDEVICE Device, _In_opt_ PVOID Tag, _In_ LONG Line, _In_z_ PCCH File)",
        binding=Binding(omits=("Line", "File"), entry="WdfDeviceResumeIdleActual"),
    )
    def resume_idle(self, tag: object = None) -> None:
        """Undoes a :meth:`stop_idle` that succeeded."""
        self.policy.resume_idle("WdfDeviceResumeIdle")

    @ddi("WdfDeviceResumeIdleNoTrack", "VOID (_In_ WDFDEVICE Device)")
    def resume_idle_no_track(self) -> None:
        """Undoes a :meth:`stop_idle_no_track` that succeeded."""
        self.policy.resume_idle("WdfDeviceResumeIdleNoTrack")

    @ddi("WdfDeviceGetDevicePowerState", "WDF_DEVICE_POWER_STATE (_In_ WDFDEVICE Device)")
    def get_device_power_state(self) -> DevicePowerState:
        """Returns the state of the power sequences; for debugging only, as it may change."""
        return self.power.machine_state

    @ddi(
        "WdfDeviceGetDevicePowerPolicyState",
        "WDF_DEVICE_POWER_POLICY_STATE (_In_ WDFDEVICE Device)",
    )
    def get_device_power_policy_state(self) -> DevicePowerPolicyState:
        """Returns the state of the power policy; for debugging only, as it may change."""
        return self.policy.state
