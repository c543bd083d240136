# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The PHY: the state of the link and its negotiated speed."""

import struct
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from pydriver.drivers.i8255x.spec import Ability, MdiOperation, Phy, PhyControl, PhyStatus
from pydriver.ke import NtStatusError, stall_execution_processor
from pydriver.ke.status import STATUS_IO_TIMEOUT, STATUS_NO_SUCH_DEVICE

if TYPE_CHECKING:
    from pydriver.drivers.i8255x.spec import I8255xRegisters
    from pydriver.ke import Kernel

__all__ = ("LinkState", "PhyDevice")

ADDRESS = 1
"""Address of the PHY on the device's management interface."""

GONE = 0xFFFFFFFF
"""Value of every register of a device that has been pulled out."""

POLL_US = 10
POLLS = 100

_LINK_STATE = struct.Struct("<?I?")


@dataclass(frozen=True, slots=True)
class LinkState:
    """The output of IOCTL_LINK and IOCTL_WAIT_LINK_CHANGE.

    :ivar up: whether a network is plugged in
    :ivar megabits: speed in megabits per second; 0 while the link is down
    :ivar full_duplex: whether both sides may send at the same time
    """

    up: bool = False
    megabits: int = 0
    full_duplex: bool = False

    SIZE = _LINK_STATE.size

    @classmethod
    def parse(cls, data: bytes | memoryview) -> "LinkState":
        """Parses the output."""
        return cls(*_LINK_STATE.unpack(data))

    def pack(self) -> bytes:
        """The bytes of the output."""
        return _LINK_STATE.pack(*astuple(self))


class PhyDevice:
    """The PHY of a device, at PASSIVE_LEVEL. The caller makes sure that it is the only user.

    :param kernel: the system's kernel
    :param registers: BAR0
    """

    def __init__(self, kernel: "Kernel", registers: "I8255xRegisters") -> None:
        self._kernel = kernel
        self._mdi = registers.MDI

    def start(self) -> None:
        """Makes the PHY negotiate.

        :raises NtStatusError: STATUS_IO_TIMEOUT; STATUS_NO_SUCH_DEVICE: the device is gone
        """
        control = PhyControl.AUTONEGOTIATION | PhyControl.RESTART_AUTONEGOTIATION
        self._access(MdiOperation.WRITE, Phy.CONTROL, control)

    def link_state(self) -> LinkState:
        """The present state of the link.

        :raises NtStatusError: STATUS_IO_TIMEOUT; STATUS_NO_SUCH_DEVICE: the device is gone
        """
        self._read(Phy.STATUS)  # clears a failure that is over
        if not self._read(Phy.STATUS) & PhyStatus.LINK:
            return LinkState()
        common = self._read(Phy.ADVERTISEMENT) & self._read(Phy.PARTNER_ABILITY)
        if common & (Ability.TX100_FULL | Ability.TX100_HALF):
            return LinkState(up=True, megabits=100, full_duplex=bool(common & Ability.TX100_FULL))
        return LinkState(up=True, megabits=10, full_duplex=bool(common & Ability.T10_FULL))

    def _read(self, register: Phy) -> int:
        return self._access(MdiOperation.READ, register, 0)

    def _access(self, operation: MdiOperation, register: Phy, data: int) -> int:
        mdi = self._mdi
        mdi.write(operation=operation, phy=ADDRESS, register=register, data=data)
        for _ in range(POLLS):
            value = mdi.read()
            if int(value) == GONE:
                raise NtStatusError(STATUS_NO_SUCH_DEVICE, "PHY")
            if value.ready:
                return value.data
            stall_execution_processor(self._kernel, POLL_US)
        raise NtStatusError(STATUS_IO_TIMEOUT, f"PHY: {operation.name} of {register.name}")
