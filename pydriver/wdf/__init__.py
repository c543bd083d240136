# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The framework: WDF's objects under WDF's names.

The method of a DDI is named like the DDI, without ``Wdf`` and the object, and in snake case:
``WdfDpcEnqueue(d)`` is ``d.enqueue()``. A DDI that creates an object is the class method
``create``; it returns the object, or raises :class:`NtStatusError` with the NTSTATUS.
"""

from pydriver.ke.status import NT_SUCCESS, NtStatusError
from pydriver.wdf.device.device import Device
from pydriver.wdf.device.driver import Driver, DriverConfig, DriverInitFlags, get_driver
from pydriver.wdf.device.init import DeviceInit
from pydriver.wdf.device.interface import DeviceInterface
from pydriver.wdf.device.property import (
    GUID_BUS_INTERFACE_STANDARD,
    BusInterfaceStandard,
    DeviceProperty,
    DevicePropertyData,
    DevicePropertyType,
)
from pydriver.wdf.device.registry_key import KEY_READ, KEY_WRITE, PlugPlayRegistryKey, RegistryKey
from pydriver.wdf.dma.adapter import ScatterGatherElement, ScatterGatherList
from pydriver.wdf.dma.common_buffer import CommonBuffer, CommonBufferConfig
from pydriver.wdf.dma.device import DmaPower
from pydriver.wdf.dma.enabler import (
    DmaDirection,
    DmaEnabler,
    DmaEnablerConfig,
    DmaEnablerFlags,
    DmaProfile,
)
from pydriver.wdf.dma.transaction import DmaTransaction, TransferInfo
from pydriver.wdf.dma.transfers import DmaTransactionState
from pydriver.wdf.interrupt.config import (
    GroupAffinity,
    InterruptConfig,
    InterruptExtendedPolicy,
    InterruptInfo,
    InterruptPolarity,
    InterruptPolicy,
    InterruptPriority,
    KInterruptMode,
    ShareDisposition,
)
from pydriver.wdf.interrupt.interrupt import Interrupt
from pydriver.wdf.interrupt.kinterrupt import KInterrupt
from pydriver.wdf.io.device_object import (
    DeviceIoType,
    DeviceObject,
    DeviceObjectFlags,
    WdmFileObject,
)
from pydriver.wdf.io.file import File
from pydriver.wdf.io.file_config import FileObjectClass, FileObjectConfig
from pydriver.wdf.io.irp import Irp, ProcessorMode, RequestType, ctl_code
from pydriver.wdf.io.queue import IoQueue
from pydriver.wdf.io.queue_config import (
    IoQueueConfig,
    IoQueueDispatchType,
    IoQueueState,
    IoStopAction,
)
from pydriver.wdf.io.request import Request
from pydriver.wdf.io.request_parameters import RequestParameters, RequestReuseParams
from pydriver.wdf.memory.lookaside import LookasideList
from pydriver.wdf.memory.mdl import Mdl
from pydriver.wdf.memory.memory import Memory, PoolType
from pydriver.wdf.memory.registers import (
    MappedPorts,
    MappedRegisters,
    mm_map_io_space,
    mm_map_io_space_ex,
    read_register_ulong,
    write_register_ulong,
)
from pydriver.wdf.memory.resource import (
    InterruptDescriptor,
    MemoryDescriptor,
    PortDescriptor,
    ResourceList,
)
from pydriver.wdf.object.collection import Collection
from pydriver.wdf.object.ddi import REGISTRY, Ddi
from pydriver.wdf.object.device_base import DeviceState
from pydriver.wdf.object.generic_object import GenericObject
from pydriver.wdf.object.object import (
    ExecutionLevel,
    Object,
    ObjectAttributes,
    SynchronizationScope,
)
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.pnp_config import (
    DeviceFailedAction,
    DevicePnpState,
    DevicePowerPolicyState,
    DevicePowerState,
    DeviceRelationType,
    DeviceStateFlags,
    PnpPowerEventCallbacks,
    PowerDeviceState,
    PowerPolicyEventCallbacks,
    SpecialFileType,
)
from pydriver.wdf.pnp.power import Failure
from pydriver.wdf.pnp.power_policy_config import (
    IdleSettings,
    PowerPolicyS0IdleCapabilities,
    PowerPolicyUserControl,
    WakeSettings,
)
from pydriver.wdf.sync.dpc import Dpc, DpcConfig
from pydriver.wdf.sync.spin_lock import SpinLock
from pydriver.wdf.sync.timeout import (
    WDF_ABS_TIMEOUT_IN_MS,
    WDF_ABS_TIMEOUT_IN_SEC,
    WDF_ABS_TIMEOUT_IN_US,
    WDF_REL_TIMEOUT_IN_MS,
    WDF_REL_TIMEOUT_IN_SEC,
    WDF_REL_TIMEOUT_IN_US,
)
from pydriver.wdf.sync.timer import Timer, TimerConfig
from pydriver.wdf.sync.wait_lock import WaitLock
from pydriver.wdf.sync.work_item import WorkItem, WorkItemConfig

__all__ = (
    "GUID_BUS_INTERFACE_STANDARD",
    "KEY_READ",
    "KEY_WRITE",
    "NT_SUCCESS",
    "REGISTRY",
    "WDF_ABS_TIMEOUT_IN_MS",
    "WDF_ABS_TIMEOUT_IN_SEC",
    "WDF_ABS_TIMEOUT_IN_US",
    "WDF_REL_TIMEOUT_IN_MS",
    "WDF_REL_TIMEOUT_IN_SEC",
    "WDF_REL_TIMEOUT_IN_US",
    "BusInterfaceStandard",
    "Collection",
    "CommonBuffer",
    "CommonBufferConfig",
    "Ddi",
    "Device",
    "DeviceFailedAction",
    "DeviceInit",
    "DeviceInterface",
    "DeviceIoType",
    "DeviceObject",
    "DeviceObjectFlags",
    "DevicePnpState",
    "DevicePowerPolicyState",
    "DevicePowerState",
    "DeviceProperty",
    "DevicePropertyData",
    "DevicePropertyType",
    "DeviceRelationType",
    "DeviceState",
    "DeviceStateFlags",
    "DmaDirection",
    "DmaEnabler",
    "DmaEnablerConfig",
    "DmaEnablerFlags",
    "DmaPower",
    "DmaProfile",
    "DmaTransaction",
    "DmaTransactionState",
    "Dpc",
    "DpcConfig",
    "Driver",
    "DriverConfig",
    "DriverInitFlags",
    "ExecutionLevel",
    "Failure",
    "File",
    "FileObjectClass",
    "FileObjectConfig",
    "GenericObject",
    "GroupAffinity",
    "IdleSettings",
    "Interrupt",
    "InterruptConfig",
    "InterruptDescriptor",
    "InterruptExtendedPolicy",
    "InterruptInfo",
    "InterruptPolarity",
    "InterruptPolicy",
    "InterruptPriority",
    "IoQueue",
    "IoQueueConfig",
    "IoQueueDispatchType",
    "IoQueueState",
    "IoStopAction",
    "Irp",
    "KInterrupt",
    "KInterruptMode",
    "LookasideList",
    "MappedPorts",
    "MappedRegisters",
    "Mdl",
    "Memory",
    "MemoryDescriptor",
    "NtStatusError",
    "Object",
    "ObjectAttributes",
    "PlugPlayRegistryKey",
    "PnpPowerEventCallbacks",
    "PoolType",
    "PortDescriptor",
    "PowerDeviceState",
    "PowerPolicyEventCallbacks",
    "PowerPolicyS0IdleCapabilities",
    "PowerPolicyUserControl",
    "ProcessorMode",
    "RegistryKey",
    "Request",
    "RequestParameters",
    "RequestReuseParams",
    "RequestType",
    "ResourceList",
    "ScatterGatherElement",
    "ScatterGatherList",
    "ShareDisposition",
    "SpecialFileType",
    "SpinLock",
    "SynchronizationScope",
    "Timer",
    "TimerConfig",
    "TransferInfo",
    "TriState",
    "WaitLock",
    "WakeSettings",
    "WdmFileObject",
    "WorkItem",
    "WorkItemConfig",
    "ctl_code",
    "get_driver",
    "mm_map_io_space",
    "mm_map_io_space_ex",
    "read_register_ulong",
    "write_register_ulong",
)
