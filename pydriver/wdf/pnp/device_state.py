# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The DDIs of a device about its state, by which a driver informs the PnP manager."""

import contextlib
from dataclasses import replace

from pydriver.ke.status import NtStatusError
from pydriver.wdf.object.ddi import ddi
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.device import PnpDevice
from pydriver.wdf.pnp.pnp_config import (
    DeviceFailedAction,
    DevicePnpState,
    DeviceStateFlags,
)

__all__ = ("StateDdis",)


class StateDdis(PnpDevice):
    """The DDIs of a device about its state."""

    __slots__ = ()

    @ddi(
        "WdfDeviceSetFailed",
        "VOID (_In_ WDFDEVICE Device, _In_ WDF_DEVICE_FAILED_ACTION FailedAction)",
    )
    def set_failed(self, failed_action: int) -> None:
        """Reports that the hardware has failed, and returns; the device is removed afterwards.

        :param failed_action: NO_RESTART, or ATTEMPT_RESTART: the device is added again, unless that
            has happened too often in a short time
        """
        if failed_action not in set(DeviceFailedAction):
            self._kernel.verifier.violation(
                "DeviceFailedAction", f"WdfDeviceSetFailed({failed_action}) on {self}", self
            )
            return
        self.pnp.flags.failed = TriState.TRUE
        self.pnp.fail_later(restart=failed_action == DeviceFailedAction.ATTEMPT_RESTART)

    @ddi(
        "WdfDeviceSetDeviceState",
        "VOID (_In_ WDFDEVICE Device, _In_ PWDF_DEVICE_STATE DeviceState)",
    )
    def set_device_state(self, device_state: DeviceStateFlags) -> None:
        """Reports the device's state to the PnP manager, which acts on it later.

        A failed or removed device is removed. A device whose resources have changed is stopped and
        started. A device that cannot be disabled is neither stopped nor removed in an orderly way.

        :param device_state: the state
        """
        self.pnp.flags = replace(device_state)
        if TriState.TRUE in {device_state.failed, device_state.removed}:
            self.pnp.fail_later(restart=False)
        elif device_state.resources_changed is TriState.TRUE:
            self._kernel.threads.run(self._change_resources)

    def _change_resources(self) -> None:
        with contextlib.suppress(NtStatusError):
            self.pnp.rebalance()

    @ddi(
        "WdfDeviceGetDeviceState",
        "VOID (_In_ WDFDEVICE Device, _Inout_ PWDF_DEVICE_STATE DeviceState)",
    )
    def get_device_state(self) -> DeviceStateFlags:
        """Returns the state that the driver has reported to the PnP manager."""
        return replace(self.pnp.flags)

    @ddi("WdfDeviceGetDevicePnpState", "WDF_DEVICE_PNP_STATE (_In_ WDFDEVICE Device)")
    def get_device_pnp_state(self) -> DevicePnpState:
        """Returns the state of the PnP sequences; for debugging only, as it may change any time."""
        return self.pnp.state
