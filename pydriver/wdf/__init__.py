# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The framework: WDF's objects under WDF's names.

A DDI's method has its name without ``Wdf`` and the object, in snake case: ``WdfDpcEnqueue(d)`` is
``d.enqueue()``. What creates an object is the class method ``create``; it returns the object, or
raises :class:`NtStatusError` with the NTSTATUS.
"""

from pydriver.ke.status import NT_SUCCESS, NtStatusError
from pydriver.wdf.collection import Collection
from pydriver.wdf.common_buffer import CommonBuffer, CommonBufferConfig
from pydriver.wdf.ddi import REGISTRY, Ddi
from pydriver.wdf.device import Device
from pydriver.wdf.device_init import (
    DeviceInit,
    DeviceState,
    FileObjectConfig,
    PnpPowerEventCallbacks,
    PowerDeviceState,
)
from pydriver.wdf.dma_adapter import ScatterGatherElement, ScatterGatherList
from pydriver.wdf.dma_enabler import (
    DmaDirection,
    DmaEnabler,
    DmaEnablerConfig,
    DmaEnablerFlags,
    DmaProfile,
)
from pydriver.wdf.dma_transaction import DmaTransaction, TransferInfo
from pydriver.wdf.dma_transfers import DmaTransactionState
from pydriver.wdf.dpc import Dpc, DpcConfig
from pydriver.wdf.driver import Driver, DriverConfig
from pydriver.wdf.file import File
from pydriver.wdf.generic_object import GenericObject
from pydriver.wdf.interrupt import Interrupt
from pydriver.wdf.interrupt_config import (
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
from pydriver.wdf.io_queue import IoQueue
from pydriver.wdf.io_queue_config import (
    IoQueueConfig,
    IoQueueDispatchType,
    IoQueueState,
    IoStopAction,
)
from pydriver.wdf.irp import Irp, ProcessorMode, RequestType, ctl_code
from pydriver.wdf.kinterrupt import KInterrupt
from pydriver.wdf.lookaside import LookasideList
from pydriver.wdf.mdl import Mdl
from pydriver.wdf.memory import Memory, PoolType
from pydriver.wdf.object import (
    ExecutionLevel,
    Object,
    ObjectAttributes,
    SynchronizationScope,
)
from pydriver.wdf.registers import (
    MappedPorts,
    MappedRegisters,
    mm_map_io_space,
    mm_map_io_space_ex,
    read_register_ulong,
    write_register_ulong,
)
from pydriver.wdf.request import Request
from pydriver.wdf.request_parameters import RequestParameters, RequestReuseParams
from pydriver.wdf.resource import (
    InterruptDescriptor,
    MemoryDescriptor,
    PortDescriptor,
    ResourceList,
)
from pydriver.wdf.spin_lock import SpinLock
from pydriver.wdf.timeout import (
    WDF_ABS_TIMEOUT_IN_MS,
    WDF_ABS_TIMEOUT_IN_SEC,
    WDF_ABS_TIMEOUT_IN_US,
    WDF_REL_TIMEOUT_IN_MS,
    WDF_REL_TIMEOUT_IN_SEC,
    WDF_REL_TIMEOUT_IN_US,
)
from pydriver.wdf.timer import Timer, TimerConfig
from pydriver.wdf.tri_state import TriState
from pydriver.wdf.wait_lock import WaitLock
from pydriver.wdf.work_item import WorkItem, WorkItemConfig

__all__ = (
    "NT_SUCCESS",
    "REGISTRY",
    "WDF_ABS_TIMEOUT_IN_MS",
    "WDF_ABS_TIMEOUT_IN_SEC",
    "WDF_ABS_TIMEOUT_IN_US",
    "WDF_REL_TIMEOUT_IN_MS",
    "WDF_REL_TIMEOUT_IN_SEC",
    "WDF_REL_TIMEOUT_IN_US",
    "Collection",
    "CommonBuffer",
    "CommonBufferConfig",
    "Ddi",
    "Device",
    "DeviceInit",
    "DeviceState",
    "DmaDirection",
    "DmaEnabler",
    "DmaEnablerConfig",
    "DmaEnablerFlags",
    "DmaProfile",
    "DmaTransaction",
    "DmaTransactionState",
    "Dpc",
    "DpcConfig",
    "Driver",
    "DriverConfig",
    "ExecutionLevel",
    "File",
    "FileObjectConfig",
    "GenericObject",
    "GroupAffinity",
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
    "PnpPowerEventCallbacks",
    "PoolType",
    "PortDescriptor",
    "PowerDeviceState",
    "ProcessorMode",
    "Request",
    "RequestParameters",
    "RequestReuseParams",
    "RequestType",
    "ResourceList",
    "ScatterGatherElement",
    "ScatterGatherList",
    "ShareDisposition",
    "SpinLock",
    "SynchronizationScope",
    "Timer",
    "TimerConfig",
    "TransferInfo",
    "TriState",
    "WaitLock",
    "WorkItem",
    "WorkItemConfig",
    "ctl_code",
    "mm_map_io_space",
    "mm_map_io_space_ex",
    "read_register_ulong",
    "write_register_ulong",
)
