# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Commands to the device's two units, accepted one at a time [8255x manual, 6.3.2.2]."""

from typing import TYPE_CHECKING

from pydriver.drivers.i8255x.spec import CommandUnit, ReceiveState, ReceiveUnit
from pydriver.ke import NtStatusError, stall_execution_processor
from pydriver.ke.status import STATUS_IO_TIMEOUT
from pydriver.wdf import ObjectAttributes, SpinLock

if TYPE_CHECKING:
    from pydriver.drivers.i8255x.spec import I8255xRegisters
    from pydriver.wdf import Device

__all__ = ("SystemControlBlock",)

POLL_US = 5
POLLS = 100


class SystemControlBlock:
    """The system control block of a device; up to DISPATCH_LEVEL.

    Its lock guards pointer and command, so that they always belong to the same caller.

    :param device: the device of the block
    """

    registers: "I8255xRegisters"

    def __init__(self, device: "Device") -> None:
        self._kernel = device.system.kernel
        self._lock = SpinLock.create(ObjectAttributes(parent_object=device))

    def command_unit(self, command: CommandUnit, pointer: int = 0) -> None:
        """Gives the command unit a command.

        :param command: the command
        :param pointer: bus address for the command
        :raises NtStatusError: STATUS_IO_TIMEOUT: the device has not accepted the previous command
        """
        self._issue(pointer, command_unit=command)

    def receive_unit(self, command: ReceiveUnit, pointer: int = 0) -> None:
        """Gives the receive unit a command; otherwise like :meth:`command_unit`."""
        self._issue(pointer, receive_unit=command)

    def _issue(self, pointer: int, **command: int) -> None:
        with self._lock:
            for _ in range(POLLS):
                if not int(self.registers.COMMAND.read()):
                    break
                stall_execution_processor(self._kernel, POLL_US)
            else:
                raise NtStatusError(STATUS_IO_TIMEOUT, f"SCB command {command}")
            self.registers.POINTER.write(pointer)
            self.registers.COMMAND.write(**command)

    @property
    def receiving(self) -> bool:
        """Whether the receive unit has a descriptor for the next frame.

        The device's earlier writes to memory have arrived when this returns, because the answer to
        a read pushes them [PCI Local Bus 3.0, 3.2.5].
        """
        return self.registers.STATUS.read().receive_unit is ReceiveState.READY
