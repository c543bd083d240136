# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What a driver tells the PnP manager of its device, and what that tells and asks the driver."""

import contextlib
from dataclasses import replace

from pydriver.ke.status import NT_SUCCESS, STATUS_SUCCESS, NtStatusError
from pydriver.wdf.object.ddi import ddi
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.pnp import PnpDevice
from pydriver.wdf.pnp.pnp_config import (
    DeviceFailedAction,
    DevicePnpState,
    DeviceRelationType,
    DeviceStateFlags,
    SpecialFileType,
)

__all__ = ("ReportingDevice",)


class ReportingDevice(PnpDevice):
    """The DDIs of a device about its state."""

    __slots__ = ()

    @ddi(
        "WdfDeviceSetFailed",
        "VOID (_In_ WDFDEVICE Device, _In_ WDF_DEVICE_FAILED_ACTION FailedAction)",
    )
    def set_failed(self, failed_action: int) -> None:
        """Says that the hardware has failed, and returns; the device is removed after that.

        :param failed_action: NO_RESTART, or ATTEMPT_RESTART: then it is added again, unless that
            has happened too often in a short time
        """
        if failed_action not in set(DeviceFailedAction):
            self._kernel.verifier.violation(
                "DeviceFailedAction", f"WdfDeviceSetFailed({failed_action}) on {self}", self
            )
            return
        self._flags.failed = TriState.TRUE
        self.fail_later(restart=failed_action == DeviceFailedAction.ATTEMPT_RESTART)

    @ddi(
        "WdfDeviceSetDeviceState",
        "VOID (_In_ WDFDEVICE Device, _In_ PWDF_DEVICE_STATE DeviceState)",
    )
    def set_device_state(self, device_state: DeviceStateFlags) -> None:
        """Tells the PnP manager of a state, which acts upon it later.

        Failed and removed devices are removed; one whose resources have changed is stopped and
        started; one that is not disableable is neither stopped nor removed in order.
        """
        self._flags = replace(device_state)
        if TriState.TRUE in {device_state.failed, device_state.removed}:
            self.fail_later(restart=False)
        elif device_state.resources_changed is TriState.TRUE:
            self._kernel.threads.run(self._change_resources)

    def _change_resources(self) -> None:
        with contextlib.suppress(NtStatusError):
            self.rebalance()

    @ddi(
        "WdfDeviceGetDeviceState",
        "VOID (_In_ WDFDEVICE Device, _Inout_ PWDF_DEVICE_STATE DeviceState)",
    )
    def get_device_state(self) -> DeviceStateFlags:
        """What the driver has told the PnP manager."""
        return replace(self._flags)

    @ddi("WdfDeviceGetDevicePnpState", "WDF_DEVICE_PNP_STATE (_In_ WDFDEVICE Device)")
    def get_device_pnp_state(self) -> DevicePnpState:
        """Where the PnP sequences are: for debugging only, it may be another one already."""
        return self.pnp_state

    # What else the PnP manager tells and asks

    def usage_notification(self, kind: SpecialFileType, *, in_path: bool) -> int:
        """A special file is put on the device, or taken off [IRP_MN_DEVICE_USAGE_NOTIFICATION].

        :return: NTSTATUS: the driver may refuse
        """
        callbacks = self.callbacks
        if callbacks.evt_device_usage_notification_ex is not None:
            status = self.call(
                "EvtDeviceUsageNotificationEx",
                callbacks.evt_device_usage_notification_ex,
                kind,
                in_path,
            )
            if not NT_SUCCESS(status):
                return status
        elif callbacks.evt_device_usage_notification is not None:
            self.call(
                "EvtDeviceUsageNotification", callbacks.evt_device_usage_notification, kind, in_path
            )
        self._special_files[kind] += 1 if in_path else -1
        return STATUS_SUCCESS

    def query_relations(self, relation_type: DeviceRelationType) -> tuple[object, ...]:
        """The devices that are related to this one: none [IRP_MN_QUERY_DEVICE_RELATIONS]."""
        self.call(
            "EvtDeviceRelationsQuery", self.callbacks.evt_device_relations_query, relation_type
        )
        return ()
