# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The settings of the power policy's owner for a device that idles, and for its wake."""

from dataclasses import dataclass
from enum import IntEnum

from pydriver.declarations.registry import enumeration, enumerators, structure
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.pnp_config import PowerDeviceState

__all__ = (
    "DEFAULT_IDLE_TIMEOUT",
    "LONGEST_IDLE_TIMEOUT",
    "IdleSettings",
    "PowerPolicyS0IdleCapabilities",
    "PowerPolicyUserControl",
    "WakeSettings",
)

DEFAULT_IDLE_TIMEOUT = 5000
"""The default idle timeout in milliseconds [IdleTimeoutDefaultConstant]."""

LONGEST_IDLE_TIMEOUT = 0x7FFFFFFF


@enumeration("WDF_POWER_POLICY_S0_IDLE_CAPABILITIES", "Idle", more={"IdleCapsInvalid": 0})
class PowerPolicyS0IdleCapabilities(IntEnum):
    """WDF_POWER_POLICY_S0_IDLE_CAPABILITIES."""

    CANNOT_WAKE_FROM_S0 = 1
    CAN_WAKE_FROM_S0 = 2
    USB_SELECTIVE_SUSPEND = 3


@enumeration(
    "WDF_POWER_POLICY_S0_IDLE_USER_CONTROL",
    "",
    names={"DO_NOT_ALLOW": "IdleDoNotAllowUserControl", "ALLOW": "IdleAllowUserControl"},
    more={"IdleUserControlInvalid": 0},
)
@enumeration(
    "WDF_POWER_POLICY_SX_WAKE_USER_CONTROL",
    "",
    names={"DO_NOT_ALLOW": "WakeDoNotAllowUserControl", "ALLOW": "WakeAllowUserControl"},
    more={"WakeUserControlInvalid": 0},
)
class PowerPolicyUserControl(IntEnum):
    """WDF_POWER_POLICY_S0_IDLE_USER_CONTROL and WDF_POWER_POLICY_SX_WAKE_USER_CONTROL."""

    DO_NOT_ALLOW = 1
    ALLOW = 2


enumerators(
    "WDF_POWER_POLICY_IDLE_TIMEOUT_TYPE",
    {
        "DriverManagedIdleTimeout": 0,
        "SystemManagedIdleTimeout": 1,
        "SystemManagedIdleTimeoutWithHint": 2,
    },
)


@structure(
    "WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS",
    """
    ULONG Size;
    WDF_POWER_POLICY_S0_IDLE_CAPABILITIES IdleCaps;
    DEVICE_POWER_STATE DxState;
    ULONG IdleTimeout;
    WDF_POWER_POLICY_S0_IDLE_USER_CONTROL UserControlOfIdleSettings;
    WDF_TRI_STATE Enabled;
    WDF_TRI_STATE PowerUpIdleDeviceOnSystemWake;
    WDF_POWER_POLICY_IDLE_TIMEOUT_TYPE IdleTimeoutType;
    WDF_TRI_STATE ExcludeD3Cold;
    """,
    older={"1.7": "Enabled", "1.9": "PowerUpIdleDeviceOnSystemWake"},
    omits=(
        "IdleTimeoutType",
        "ExcludeD3Cold",
    ),
)
@dataclass(slots=True)
class IdleSettings:
    """WDF_DEVICE_POWER_POLICY_IDLE_SETTINGS.

    :ivar idle_caps: the capabilities: whether the device can wake itself up
    :ivar dx_state: the power state of the idle device: D1, D2 or D3; INVALID: the deepest one that
        the capabilities allow
    :ivar idle_timeout: the time without requests in milliseconds; 0: 5 seconds
    :ivar user_control_of_idle_settings: whether a user may switch idling off
    :ivar enabled: whether the device is put to sleep when it idles; the default is yes
    :ivar power_up_idle_device_on_system_wake: whether a device that idles is powered up when the
        system wakes; the default is no
    """

    idle_caps: int = PowerPolicyS0IdleCapabilities.CANNOT_WAKE_FROM_S0
    dx_state: int = PowerDeviceState.INVALID
    idle_timeout: int = 0
    user_control_of_idle_settings: int = PowerPolicyUserControl.ALLOW
    enabled: int = TriState.USE_DEFAULT
    power_up_idle_device_on_system_wake: int = TriState.USE_DEFAULT


@structure(
    "WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS",
    """
    ULONG Size;
    DEVICE_POWER_STATE DxState;
    WDF_POWER_POLICY_SX_WAKE_USER_CONTROL UserControlOfWakeSettings;
    WDF_TRI_STATE Enabled;
    BOOLEAN ArmForWakeIfChildrenAreArmedForWake;
    BOOLEAN IndicateChildWakeOnParentWake;
    """,
    older={"1.5": "Enabled"},
)
@dataclass(slots=True)
class WakeSettings:
    """WDF_DEVICE_POWER_POLICY_WAKE_SETTINGS.

    :ivar dx_state: the power state of the sleeping device: D1, D2 or D3; INVALID: the deepest one
        from which the device can wake
    :ivar user_control_of_wake_settings: whether a user may switch wake off
    :ivar enabled: whether the device may wake the system; the default is yes
    :ivar arm_for_wake_if_children_are_armed_for_wake: an argument of
        EvtDeviceArmWakeFromSxWithReason
    :ivar indicate_child_wake_on_parent_wake: an option without effect, as devices have no children
    """

    dx_state: int = PowerDeviceState.INVALID
    user_control_of_wake_settings: int = PowerPolicyUserControl.ALLOW
    enabled: int = TriState.USE_DEFAULT
    arm_for_wake_if_children_are_armed_for_wake: bool = False
    indicate_child_wake_on_parent_wake: bool = False
