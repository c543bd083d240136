# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The PnP and power callbacks of a device, and the states that they get as arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from pydriver.declarations.registry import callbacks, enumeration, structure
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.wdf.object.device_base import WdfDevice
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.device_states import PNP_STATES, POWER_POLICY_STATES, POWER_STATES

if TYPE_CHECKING:
    from pydriver.wdf.memory.resource import ResourceList

__all__ = (
    "DeviceFailedAction",
    "DevicePnpState",
    "DevicePowerPolicyState",
    "DevicePowerState",
    "DeviceRelationType",
    "DeviceStateFlags",
    "PnpPowerEventCallbacks",
    "PowerDeviceState",
    "PowerPolicyEventCallbacks",
    "SpecialFileType",
)


callbacks(
    __name__,
    {
        "EVT_WDF_DEVICE_D0_ENTRY": "NTSTATUS ("
        "_In_ WDFDEVICE Device, _In_ WDF_POWER_DEVICE_STATE PreviousState)",
        "EVT_WDF_DEVICE_D0_ENTRY_POST_INTERRUPTS_ENABLED": "NTSTATUS ("
        "_In_ WDFDEVICE Device, _In_ WDF_POWER_DEVICE_STATE PreviousState)",
        "EVT_WDF_DEVICE_D0_EXIT": "NTSTATUS ("
        "_In_ WDFDEVICE Device, _In_ WDF_POWER_DEVICE_STATE TargetState)",
        "EVT_WDF_DEVICE_D0_EXIT_PRE_INTERRUPTS_DISABLED": "NTSTATUS ("
        "_In_ WDFDEVICE Device, _In_ WDF_POWER_DEVICE_STATE TargetState)",
        "EVT_WDF_DEVICE_PREPARE_HARDWARE": "NTSTATUS ("
        "_In_ WDFDEVICE Device, _In_ WDFCMRESLIST ResourcesRaw, "
        "_In_ WDFCMRESLIST ResourcesTranslated)",
        "EVT_WDF_DEVICE_RELEASE_HARDWARE": "NTSTATUS ("
        "_In_ WDFDEVICE Device, _In_ WDFCMRESLIST ResourcesTranslated)",
        "EVT_WDF_DEVICE_SELF_MANAGED_IO_CLEANUP": "VOID (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_SELF_MANAGED_IO_FLUSH": "VOID (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_SELF_MANAGED_IO_INIT": "NTSTATUS (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_SELF_MANAGED_IO_SUSPEND": "NTSTATUS (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_SELF_MANAGED_IO_RESTART": "NTSTATUS (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_SURPRISE_REMOVAL": "VOID (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_QUERY_REMOVE": "NTSTATUS (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_QUERY_STOP": "NTSTATUS (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_USAGE_NOTIFICATION": "VOID ("
        "_In_ WDFDEVICE Device, _In_ WDF_SPECIAL_FILE_TYPE NotificationType, "
        "_In_ BOOLEAN IsInNotificationPath)",
        "EVT_WDF_DEVICE_RELATIONS_QUERY": "VOID ("
        "_In_ WDFDEVICE Device, _In_ DEVICE_RELATION_TYPE RelationType)",
        "EVT_WDF_DEVICE_USAGE_NOTIFICATION_EX": "NTSTATUS ("
        "_In_ WDFDEVICE Device, _In_ WDF_SPECIAL_FILE_TYPE NotificationType, "
        "_In_ BOOLEAN IsInNotificationPath)",
        "EVT_WDF_DEVICE_ARM_WAKE_FROM_S0": "NTSTATUS (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_DISARM_WAKE_FROM_S0": "VOID (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_WAKE_FROM_S0_TRIGGERED": "VOID (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_ARM_WAKE_FROM_SX": "NTSTATUS (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_DISARM_WAKE_FROM_SX": "VOID (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_WAKE_FROM_SX_TRIGGERED": "VOID (_In_ WDFDEVICE Device)",
        "EVT_WDF_DEVICE_ARM_WAKE_FROM_SX_WITH_REASON": "NTSTATUS ("
        "_In_ WDFDEVICE Device, _In_ BOOLEAN DeviceWakeEnabled, "
        "_In_ BOOLEAN ChildrenArmedForWake)",
    },
    highest=PASSIVE_LEVEL,
)


@enumeration("WDF_POWER_DEVICE_STATE", "WdfPowerDevice", more={"WdfPowerDeviceMaximum": 7})
class PowerDeviceState(IntEnum):
    """WDF_POWER_DEVICE_STATE."""

    INVALID = 0
    D0 = 1
    D1 = 2
    D2 = 3
    D3 = 4
    D3_FINAL = 5
    PREPARE_FOR_HIBERNATION = 6


@enumeration("WDF_DEVICE_PNP_STATE", "WdfDevStatePnp", more=PNP_STATES)
class DevicePnpState(IntEnum):
    """WDF_DEVICE_PNP_STATE: the states in which a device here can be seen."""

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


@enumeration("WDF_DEVICE_POWER_STATE", "WdfDevStatePower", more=POWER_STATES)
class DevicePowerState(IntEnum):
    """WDF_DEVICE_POWER_STATE: the states in which a device here can be seen."""

    OBJECT_CREATED = 0x300
    D0 = 0x307
    D0_STARTING = 0x30F
    GOTO_DX = 0x31A
    STOPPED = 0x315
    DX = 0x31F


@enumeration("WDF_DEVICE_POWER_POLICY_STATE", "WdfDevStatePwrPol", more=POWER_POLICY_STATES)
class DevicePowerPolicyState(IntEnum):
    """WDF_DEVICE_POWER_POLICY_STATE: the states in which a device here can be seen."""

    OBJECT_CREATED = 0x500
    STARTED = 0x565
    STARTED_WAKE_CAPABLE = 0x531
    WAITING_UNARMED = 0x508
    WAITING_ARMED = 0x53E
    STOPPED = 0x563


@enumeration(
    "WDF_SPECIAL_FILE_TYPE",
    "WdfSpecialFile",
    more={
        "WdfSpecialFileUndefined": 0,
        "WdfSpecialFilePostDisplay": 5,
        "WdfSpecialFileGuestAssigned": 6,
        "WdfSpecialFileMax": 7,
    },
)
class SpecialFileType(IntEnum):
    """WDF_SPECIAL_FILE_TYPE."""

    PAGING = 1
    HIBERNATION = 2
    DUMP = 3
    BOOT = 4


@enumeration(
    "DEVICE_RELATION_TYPE",
    names={
        "BUS": "BusRelations",
        "EJECTION": "EjectionRelations",
        "POWER": "PowerRelations",
        "REMOVAL": "RemovalRelations",
        "TARGET_DEVICE": "TargetDeviceRelation",
        "SINGLE_BUS": "SingleBusRelations",
    },
    more={"TransportRelations": 6},
)
class DeviceRelationType(IntEnum):
    """DEVICE_RELATION_TYPE."""

    BUS = 0
    EJECTION = 1
    POWER = 2
    REMOVAL = 3
    TARGET_DEVICE = 4
    SINGLE_BUS = 5


@enumeration("WDF_DEVICE_FAILED_ACTION", "WdfDeviceFailed", more={"WdfDeviceFailedUndefined": 0})
class DeviceFailedAction(IntEnum):
    """WDF_DEVICE_FAILED_ACTION."""

    ATTEMPT_RESTART = 1
    NO_RESTART = 2


@structure(
    "WDF_DEVICE_STATE",
    """
    ULONG Size;
    WDF_TRI_STATE Disabled;
    WDF_TRI_STATE DontDisplayInUI;
    WDF_TRI_STATE Failed;
    WDF_TRI_STATE NotDisableable;
    WDF_TRI_STATE Removed;
    WDF_TRI_STATE ResourcesChanged;
    WDF_TRI_STATE AssignedToGuest;
    """,
    older={"1.27": "ResourcesChanged"},
    omits=("AssignedToGuest",),
)
@dataclass(slots=True)
class DeviceStateFlags:
    """WDF_DEVICE_STATE: the state of a device that its driver reports to the PnP manager."""

    disabled: TriState = TriState.USE_DEFAULT
    dont_display_in_ui: TriState = TriState.USE_DEFAULT
    failed: TriState = TriState.USE_DEFAULT
    not_disableable: TriState = TriState.USE_DEFAULT
    removed: TriState = TriState.USE_DEFAULT
    resources_changed: TriState = TriState.USE_DEFAULT


DeviceCallback = Callable[[WdfDevice], int | None]
VoidCallback = Callable[[WdfDevice], None]
PrepareCallback = Callable[[WdfDevice, "ResourceList", "ResourceList"], int | None]
UsageCallback = Callable[[WdfDevice, SpecialFileType, bool], None]
UsageExCallback = Callable[[WdfDevice, SpecialFileType, bool], int | None]
WakeReasonCallback = Callable[[WdfDevice, bool, bool], int | None]
PowerCallback = Callable[[WdfDevice, PowerDeviceState], int | None]


@structure(
    "WDF_PNPPOWER_EVENT_CALLBACKS",
    """
    ULONG Size;
    PFN_WDF_DEVICE_D0_ENTRY EvtDeviceD0Entry;
    PFN_WDF_DEVICE_D0_ENTRY_POST_INTERRUPTS_ENABLED EvtDeviceD0EntryPostInterruptsEnabled;
    PFN_WDF_DEVICE_D0_EXIT EvtDeviceD0Exit;
    PFN_WDF_DEVICE_D0_EXIT_PRE_INTERRUPTS_DISABLED EvtDeviceD0ExitPreInterruptsDisabled;
    PFN_WDF_DEVICE_PREPARE_HARDWARE EvtDevicePrepareHardware;
    PFN_WDF_DEVICE_RELEASE_HARDWARE EvtDeviceReleaseHardware;
    PFN_WDF_DEVICE_SELF_MANAGED_IO_CLEANUP EvtDeviceSelfManagedIoCleanup;
    PFN_WDF_DEVICE_SELF_MANAGED_IO_FLUSH EvtDeviceSelfManagedIoFlush;
    PFN_WDF_DEVICE_SELF_MANAGED_IO_INIT EvtDeviceSelfManagedIoInit;
    PFN_WDF_DEVICE_SELF_MANAGED_IO_SUSPEND EvtDeviceSelfManagedIoSuspend;
    PFN_WDF_DEVICE_SELF_MANAGED_IO_RESTART EvtDeviceSelfManagedIoRestart;
    PFN_WDF_DEVICE_SURPRISE_REMOVAL EvtDeviceSurpriseRemoval;
    PFN_WDF_DEVICE_QUERY_REMOVE EvtDeviceQueryRemove;
    PFN_WDF_DEVICE_QUERY_STOP EvtDeviceQueryStop;
    PFN_WDF_DEVICE_USAGE_NOTIFICATION EvtDeviceUsageNotification;
    PFN_WDF_DEVICE_RELATIONS_QUERY EvtDeviceRelationsQuery;
    PFN_WDF_DEVICE_USAGE_NOTIFICATION_EX EvtDeviceUsageNotificationEx;
    """,
    older={"1.9": "EvtDeviceRelationsQuery"},
)
@dataclass(slots=True)
class PnpPowerEventCallbacks:
    """WDF_PNPPOWER_EVENT_CALLBACKS, all called at PASSIVE_LEVEL.

    A result of ``None`` in place of an NTSTATUS is STATUS_SUCCESS.

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
    :ivar evt_device_usage_notification_ex: (device, special_file_type, is_in_notification_path) ->
        NTSTATUS; a failure refuses
    """

    evt_device_d0_entry: PowerCallback | None = None
    evt_device_d0_entry_post_interrupts_enabled: PowerCallback | None = None
    evt_device_d0_exit: PowerCallback | None = None
    evt_device_d0_exit_pre_interrupts_disabled: PowerCallback | None = None
    evt_device_prepare_hardware: PrepareCallback | None = None
    evt_device_release_hardware: "Callable[[WdfDevice, ResourceList], int | None] | None" = None
    evt_device_self_managed_io_cleanup: VoidCallback | None = None
    evt_device_self_managed_io_flush: VoidCallback | None = None
    evt_device_self_managed_io_init: DeviceCallback | None = None
    evt_device_self_managed_io_suspend: DeviceCallback | None = None
    evt_device_self_managed_io_restart: DeviceCallback | None = None
    evt_device_surprise_removal: VoidCallback | None = None
    evt_device_query_remove: DeviceCallback | None = None
    evt_device_query_stop: DeviceCallback | None = None
    evt_device_usage_notification: UsageCallback | None = None
    evt_device_relations_query: "Callable[[WdfDevice, DeviceRelationType], None] | None" = None
    evt_device_usage_notification_ex: UsageExCallback | None = None


@structure(
    "WDF_POWER_POLICY_EVENT_CALLBACKS",
    """
    ULONG Size;
    PFN_WDF_DEVICE_ARM_WAKE_FROM_S0 EvtDeviceArmWakeFromS0;
    PFN_WDF_DEVICE_DISARM_WAKE_FROM_S0 EvtDeviceDisarmWakeFromS0;
    PFN_WDF_DEVICE_WAKE_FROM_S0_TRIGGERED EvtDeviceWakeFromS0Triggered;
    PFN_WDF_DEVICE_ARM_WAKE_FROM_SX EvtDeviceArmWakeFromSx;
    PFN_WDF_DEVICE_DISARM_WAKE_FROM_SX EvtDeviceDisarmWakeFromSx;
    PFN_WDF_DEVICE_WAKE_FROM_SX_TRIGGERED EvtDeviceWakeFromSxTriggered;
    PFN_WDF_DEVICE_ARM_WAKE_FROM_SX_WITH_REASON EvtDeviceArmWakeFromSxWithReason;
    """,
    older={"1.5": "EvtDeviceWakeFromSxTriggered"},
)
@dataclass(slots=True)
class PowerPolicyEventCallbacks:
    """WDF_POWER_POLICY_EVENT_CALLBACKS, all called at PASSIVE_LEVEL.

    :ivar evt_device_arm_wake_from_s0: (device) -> NTSTATUS; after a failure it is not armed
    :ivar evt_device_arm_wake_from_sx: (device) -> NTSTATUS; after a failure it is not armed
    :ivar evt_device_arm_wake_from_sx_with_reason: (device, device_wake_enabled,
        children_armed_for_wake) -> NTSTATUS, used instead of evt_device_arm_wake_from_sx
    :ivar evt_device_disarm_wake_from_s0: (device)
    :ivar evt_device_disarm_wake_from_sx: (device)
    :ivar evt_device_wake_from_s0_triggered: (device)
    :ivar evt_device_wake_from_sx_triggered: (device)
    """

    evt_device_arm_wake_from_s0: DeviceCallback | None = None
    evt_device_arm_wake_from_sx: DeviceCallback | None = None
    evt_device_arm_wake_from_sx_with_reason: WakeReasonCallback | None = None
    evt_device_disarm_wake_from_s0: VoidCallback | None = None
    evt_device_disarm_wake_from_sx: VoidCallback | None = None
    evt_device_wake_from_s0_triggered: VoidCallback | None = None
    evt_device_wake_from_sx_triggered: VoidCallback | None = None
