# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The part of a device that the wings below its own use [FxDeviceBase, fxdevicebase.hpp].

Each object of the framework is below a device, but the device's own wing is above all others. They
name `DeviceBase`, or a subclass in their own wing that declares the part of the device they use.
"""

from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

from pydriver.ke.status import NtStatusError
from pydriver.wdf.object.attributes import ObjectAttributes
from pydriver.wdf.object.object import Object

if TYPE_CHECKING:
    from pydriver.ke.guest_memory import GuestMemory
    from pydriver.pci import PciFunction
    from pydriver.system import System

__all__ = ("DeviceBase", "DeviceState", "WdfDevice", "require_device")

WdfDevice: TypeAlias = Any
"""WDFDEVICE, as a driver gets it: always a `pydriver.wdf.Device`.

That class is above this wing, and a driver's callback must be able to declare it, so the type stays
open here, as it does for the objects that other callbacks get.
"""


class DeviceState(Enum):
    """The stage of a device's life."""

    INIT = "init"
    PREPARING = "preparing hardware"
    STARTING = "starting"
    STARTED = "started"
    LOW_POWER = "low power"
    STOPPED = "stopped"
    FAILED = "failed"
    SURPRISE_REMOVED = "surprise-removed"
    REMOVED = "removed"


class DeviceBase(Object):
    """A device, without its parts.

    :ivar driver: the driver the device belongs to
    :ivar system: the system the device is in
    :ivar function: the PCI function of the device
    :ivar guest_memory: the guest memory that holds the buffers of its requests, and the contexts
        and the pool of the objects below it; ``None``: they are in this process
    :ivar state: the stage of its life; changed by the PnP sequences only
    :ivar surprised_thread: the identifier of the thread that is in EvtDeviceSurpriseRemoval
    """

    __slots__ = ("driver", "function", "guest_memory", "state", "surprised_thread", "system")

    driver: Object
    guest_memory: "GuestMemory | None"

    def __init__(
        self,
        driver: Object,
        system: "System",
        function: "PciFunction",
        attributes: ObjectAttributes,
        guest_memory: "GuestMemory | None",
    ) -> None:
        # Comes first, because the device's own context needs it.
        self.driver = driver
        self.guest_memory = guest_memory
        super().__init__(driver._kernel, driver, attributes, deletable=False)
        self.system = system
        self.function = function
        self.state = DeviceState.INIT
        self.surprised_thread: int | None = None

    @property
    def device_above(self) -> "DeviceBase":
        """The device itself."""
        return self

    @property
    def initializing(self) -> bool:
        """Whether EvtDriverDeviceAdd has not returned yet, or the device has not been started."""
        return self.state is DeviceState.INIT

    @property
    def preparing_hardware(self) -> bool:
        """Whether EvtDevicePrepareHardware is running."""
        return self.state is DeviceState.PREPARING


def require_device(parent: Object, status: int, what: str) -> DeviceBase:
    """The device at or above a parent.

    :param parent: the parent of a new object
    :param status: the NTSTATUS of the error
    :param what: the DDI, for the error
    :raises NtStatusError: no device is at or above the parent
    """
    device = parent.device_above
    if device is None:
        raise NtStatusError(status, what)
    return device
