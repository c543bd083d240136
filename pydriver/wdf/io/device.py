# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The part of a device that queues, requests and files use: its I/O package."""

from typing import TYPE_CHECKING

from pydriver.wdf.object.device_base import DeviceBase
from pydriver.wdf.sync.serialization import PresentationLock, Presenting

if TYPE_CHECKING:
    from pydriver.wdf.io.file import File
    from pydriver.wdf.io.package import IoPackage

__all__ = ("IoDevice",)


class IoDevice(DeviceBase, Presenting):
    """A device with an I/O package.

    :ivar io: the device's queues and files
    :ivar device_lock: the lock of its own callbacks, and of queues whose scope is DEVICE
    """

    __slots__ = ()

    io: "IoPackage"
    device_lock: PresentationLock

    def open(self, name: str = "", flags: int = 0, timeout: float | None = None) -> "File":
        """Opens the device [CreateFile].

        :param name: the name of the thing to open on the device
        :param flags: FO_*, the flags of the file object
        :param timeout: the time for the driver's answer, in seconds; ``None`` waits for ever
        :raises NtStatusError: the device is not started, or the driver refuses; or the device is
            exclusive, and open already
        :raises TimeoutError: the driver has not answered; the request has been cancelled
        """
        return self.io.open(name, flags, timeout)
