# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The PnP and power callbacks of a device, and the states that they are told of."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import TYPE_CHECKING

from pydriver.wdf.object.tri_state import TriState

if TYPE_CHECKING:
    from pydriver.wdf.device.device import Device
    from pydriver.wdf.memory.resource import ResourceList

__all__ = (
    "DeviceFailedAction",
    "DevicePnpState",
    "DevicePowerPolicyState",
    "DevicePowerState",
    "DeviceRelationType",
    "DeviceState",
    "DeviceStateFlags",
    "PnpPowerEventCallbacks",
    "PowerDeviceState",
    "PowerPolicyEventCallbacks",
    "SpecialFileType",
)


class PowerDeviceState(IntEnum):
    """WDF_POWER_DEVICE_STATE."""

    INVALID = 0
    D0 = 1
    D1 = 2
    D2 = 3
    D3 = 4
    D3_FINAL = 5
    PREPARE_FOR_HIBERNATION = 6


class DeviceState(Enum):
    """Where the device is in its life."""

    INIT = "init"
    PREPARING = "preparing hardware"
    STARTING = "starting"
    STARTED = "started"
    LOW_POWER = "low power"
    STOPPED = "stopped"
    FAILED = "failed"
    SURPRISE_REMOVED = "surprise-removed"
    REMOVED = "removed"


class DevicePnpState(IntEnum):
    """WDF_DEVICE_PNP_STATE: those that a device of ours can be seen in."""

    OBJECT_CREATED = 0x100
    INIT = 0x105
    INIT_STARTING = 0x106
    HARDWARE_AVAILABLE = 0x108
    QUERY_REMOVE_ASK_DRIVER = 0x10B
    QUERY_REMOVE_PENDING = 0x10C
    QUERY_STOP_ASK_DRIVER = 0x10F
    QUERY_STOP_PENDING = 0x110
    REMOVED = 0x113
    REMOVING_DISABLE_INTERFACES = 0x117
    RESTARTING = 0x118
    STARTED = 0x119
    STARTED_REMOVING = 0x11C
    STOPPED = 0x11E
    STARTED_STOPPING = 0x120
    SURPRISE_REMOVE = 0x121
    FAILED = 0x12B


class DevicePowerState(IntEnum):
    """WDF_DEVICE_POWER_STATE: those that a device of ours can be seen in."""

    OBJECT_CREATED = 0x300
    D0 = 0x307
    D0_STARTING = 0x318
    GOTO_DX = 0x31E
    STOPPED = 0x33B
    DX = 0x317


class DevicePowerPolicyState(IntEnum):
    """WDF_DEVICE_POWER_POLICY_STATE: those that a device of ours can be seen in."""

    OBJECT_CREATED = 0x500
    STARTED = 0x505
    STARTED_WAKE_CAPABLE = 0x51C
    WAITING_UNARMED = 0x50D
    WAITING_ARMED = 0x52A
    STOPPED = 0x569


class SpecialFileType(IntEnum):
    """WDF_SPECIAL_FILE_TYPE."""

    PAGING = 1
    HIBERNATION = 2
    DUMP = 3
    BOOT = 4


class DeviceRelationType(IntEnum):
    """DEVICE_RELATION_TYPE."""

    BUS = 0
    EJECTION = 1
    POWER = 2
    REMOVAL = 3
    TARGET_DEVICE = 4
    SINGLE_BUS = 5


class DeviceFailedAction(IntEnum):
    """WDF_DEVICE_FAILED_ACTION."""

    ATTEMPT_RESTART = 1
    NO_RESTART = 2


@dataclass(slots=True)
class DeviceStateFlags:
    """WDF_DEVICE_STATE: what the driver tells the PnP manager of its device."""

    disabled: TriState = TriState.USE_DEFAULT
    dont_display_in_ui: TriState = TriState.USE_DEFAULT
    failed: TriState = TriState.USE_DEFAULT
    not_disableable: TriState = TriState.USE_DEFAULT
    removed: TriState = TriState.USE_DEFAULT
    resources_changed: TriState = TriState.USE_DEFAULT


DeviceCallback = Callable[["Device"], int | None]
VoidCallback = Callable[["Device"], None]
PrepareCallback = Callable[["Device", "ResourceList", "ResourceList"], int | None]
UsageCallback = Callable[["Device", SpecialFileType, bool], None]
UsageExCallback = Callable[["Device", SpecialFileType, bool], int | None]
PowerCallback = Callable[["Device", PowerDeviceState], int | None]


@dataclass(slots=True)
class PnpPowerEventCallbacks:
    """WDF_PNPPOWER_EVENT_CALLBACKS: all at PASSIVE_LEVEL. ``None`` for NTSTATUS is STATUS_SUCCESS.

    :ivar evt_device_d0_entry: (device, previous_state) -> NTSTATUS
    :ivar evt_device_d0_entry_post_interrupts_enabled: (device, previous_state) -> NTSTATUS
    :ivar evt_device_d0_exit: (device, target_state) -> NTSTATUS
    :ivar evt_device_d0_exit_pre_interrupts_disabled: (device, target_state) -> NTSTATUS
    :ivar evt_device_prepare_hardware: (device, raw, translated) -> NTSTATUS
    :ivar evt_device_release_hardware: (device, translated) -> NTSTATUS
    :ivar evt_device_self_managed_io_cleanup: (device)
    :ivar evt_device_self_managed_io_flush: (device)
    :ivar evt_device_self_managed_io_init: (device) -> NTSTATUS
    :ivar evt_device_self_managed_io_suspend: (device) -> NTSTATUS
    :ivar evt_device_self_managed_io_restart: (device) -> NTSTATUS
    :ivar evt_device_surprise_removal: (device), not synchronized with the others
    :ivar evt_device_query_remove: (device) -> NTSTATUS; a failure vetoes
    :ivar evt_device_query_stop: (device) -> NTSTATUS; a failure vetoes
    :ivar evt_device_usage_notification: (device, special_file_type, is_in_notification_path)
    :ivar evt_device_relations_query: (device, relation_type)
    :ivar evt_device_usage_notification_ex: as without Ex, -> NTSTATUS; a failure refuses
    """

    evt_device_d0_entry: PowerCallback | None = None
    evt_device_d0_entry_post_interrupts_enabled: PowerCallback | None = None
    evt_device_d0_exit: PowerCallback | None = None
    evt_device_d0_exit_pre_interrupts_disabled: PowerCallback | None = None
    evt_device_prepare_hardware: PrepareCallback | None = None
    evt_device_release_hardware: "Callable[[Device, ResourceList], int | None] | None" = None
    evt_device_self_managed_io_cleanup: VoidCallback | None = None
    evt_device_self_managed_io_flush: VoidCallback | None = None
    evt_device_self_managed_io_init: DeviceCallback | None = None
    evt_device_self_managed_io_suspend: DeviceCallback | None = None
    evt_device_self_managed_io_restart: DeviceCallback | None = None
    evt_device_surprise_removal: VoidCallback | None = None
    evt_device_query_remove: DeviceCallback | None = None
    evt_device_query_stop: DeviceCallback | None = None
    evt_device_usage_notification: UsageCallback | None = None
    evt_device_relations_query: "Callable[[Device, DeviceRelationType], None] | None" = None
    evt_device_usage_notification_ex: UsageExCallback | None = None


@dataclass(slots=True)
class PowerPolicyEventCallbacks:
    """WDF_POWER_POLICY_EVENT_CALLBACKS: all at PASSIVE_LEVEL.

    :ivar evt_device_arm_wake_from_s0: (device) -> NTSTATUS; a failure: not armed
    :ivar evt_device_arm_wake_from_sx: (device) -> NTSTATUS; a failure: not armed
    :ivar evt_device_arm_wake_from_sx_with_reason: (device, device_wake_enabled,
        children_armed_for_wake) -> NTSTATUS; instead of the one without reason
    :ivar evt_device_disarm_wake_from_s0: (device)
    :ivar evt_device_disarm_wake_from_sx: (device)
    :ivar evt_device_wake_from_s0_triggered: (device)
    :ivar evt_device_wake_from_sx_triggered: (device)
    """

    evt_device_arm_wake_from_s0: DeviceCallback | None = None
    evt_device_arm_wake_from_sx: DeviceCallback | None = None
    evt_device_arm_wake_from_sx_with_reason: "Callable[[Device, bool, bool], int | None] | None" = (
        None
    )
    evt_device_disarm_wake_from_s0: VoidCallback | None = None
    evt_device_disarm_wake_from_sx: VoidCallback | None = None
    evt_device_wake_from_s0_triggered: VoidCallback | None = None
    evt_device_wake_from_sx_triggered: VoidCallback | None = None
