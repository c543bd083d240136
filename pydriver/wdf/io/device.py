# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A device as queues, requests and files know it: it has an I/O package."""

from typing import TYPE_CHECKING

from pydriver.wdf.object.device_base import DeviceBase
from pydriver.wdf.sync.serialization import PresentationLock, Presenting

if TYPE_CHECKING:
    from pydriver.wdf.io.file import File
    from pydriver.wdf.io.package import IoPackage

__all__ = ("IoDevice",)


class IoDevice(DeviceBase, Presenting):
    """A device with an I/O package.

    :ivar io: its queues and files
    :ivar device_lock: for its own callbacks, and for queues whose scope is DEVICE
    """

    __slots__ = ()

    io: "IoPackage"
    device_lock: PresentationLock

    def open(self, name: str = "", flags: int = 0, timeout: float | None = None) -> "File":
        """Opens the device [CreateFile].

        :param name: of what to open on it
        :param flags: FO_*, of the file object
        :param timeout: seconds for the driver's answer; ``None`` waits for ever
        :raises NtStatusError: it is not started, or the driver refuses; it is open already, and
            exclusive
        :raises TimeoutError: the driver has not answered; the request has been cancelled
        """
        return self.io.open(name, flags, timeout)
