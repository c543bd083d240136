# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The admin queue: commands that are sent one at a time, and waited for, at PASSIVE_LEVEL.

The queue looks for completions every millisecond, because it is used before the device's
interrupts are connected and while the controller is being reset. Its interrupt, if one arrives,
ends the wait at once.
"""

from typing import TYPE_CHECKING

from pydriver.drivers.nvme.rings import QueuePair, ring_bytes
from pydriver.drivers.nvme.spec import (
    INTERRUPTS_ENABLED,
    PAGE,
    PHYSICALLY_CONTIGUOUS,
    Admin,
    Cns,
    Command,
    Feature,
    IdentifyController,
    IdentifyNamespace,
    nt_status,
)
from pydriver.ke import KEvent, NtStatusError
from pydriver.ke.event import EventType
from pydriver.ke.status import STATUS_IO_TIMEOUT, STATUS_SUCCESS
from pydriver.wdf import WDF_REL_TIMEOUT_IN_MS, CommonBuffer

if TYPE_CHECKING:
    from pydriver.drivers.nvme.state import ControllerState
    from pydriver.wdf import MappedRegisters

__all__ = ("AdminQueue",)

ENTRIES = 16
LOOK = WDF_REL_TIMEOUT_IN_MS(1)
TIMEOUT_MS = 2000


class AdminQueue:
    """The admin queue pair.

    :param controller: the controller of the queue; its enabler and its device exist
    :ivar pair: the rings
    :ivar entries: entries of each ring
    """

    entries = ENTRIES

    def __init__(self, controller: "ControllerState") -> None:
        enabler = controller.enabler
        self.pair = QueuePair(0, ENTRIES, CommonBuffer.create(enabler, ring_bytes(ENTRIES)))
        self._data = CommonBuffer.create(enabler, PAGE)
        self._interrupted = KEvent(controller.device.system.kernel, EventType.SYNCHRONIZATION)
        self._identifier = 0
        self._controller = controller

    def start(self, registers: "MappedRegisters", stride: int) -> None:
        """Empties the rings, while the controller is disabled."""
        self.pair.start(registers, stride)

    def interrupted(self) -> None:
        """Ends the wait for a completion; up to DISPATCH_LEVEL."""
        self._interrupted.set()

    def execute(self, command: Command) -> int:
        """Sends a command and waits for its end.

        :return: the completion's result
        :raises NtStatusError: the command failed, or did not end within two seconds
        """
        self._identifier = identifier = (self._identifier + 1) & 0xFFFF
        self.pair.submit(command.pack(identifier))
        for _ in range(TIMEOUT_MS):
            completions = self._controller.take_completions(self.pair)
            self._controller.unmask()
            for which, status, result in completions:
                if which != identifier:
                    continue  # of a command that was given up
                if status:
                    raise NtStatusError(nt_status(status), f"{command}: status {status:#x}")
                return result
            self._interrupted.wait(LOOK)
        raise NtStatusError(STATUS_IO_TIMEOUT, f"{command}")

    def _identify(self, structure: Cns, namespace: int) -> bytes:
        address = self._data.logical_address
        self.execute(Command(Admin.IDENTIFY, namespace, address, 0, (structure,)))
        return bytes(self._data.view)

    def identify_controller(self) -> IdentifyController:
        """Asks for the controller's identify data."""
        return IdentifyController.parse(self._identify(Cns.CONTROLLER, 0))

    def identify_namespaces(self) -> list[IdentifyNamespace]:
        """Asks for all active namespaces, in the order of their identifiers."""
        active = memoryview(self._identify(Cns.ACTIVE_NAMESPACES, 0)).cast("I")
        return [
            IdentifyNamespace.parse(each, self._identify(Cns.NAMESPACE, each))
            for each in active.tolist()
            if each
        ]

    def set_number_of_queues(self, wanted: int) -> int:
        """Asks for a number of I/O queue pairs.

        :param wanted: the number
        :return: the number that is granted, at least 1
        """
        number = wanted - 1
        granted = self.execute(
            Command(Admin.SET_FEATURES, dwords=(Feature.NUMBER_OF_QUEUES, number << 16 | number))
        )
        return min(granted & 0xFFFF, granted >> 16, number) + 1

    def create_queues(self, pair: QueuePair, vector: int) -> None:
        """Makes an I/O queue pair known to the controller.

        :param pair: the rings, which are empty
        :param vector: vector of the completion queue's interrupt
        """
        size = (pair.entries - 1) << 16 | pair.number
        flags = vector << 16 | INTERRUPTS_ENABLED | PHYSICALLY_CONTIGUOUS
        self.execute(
            Command(
                Admin.CREATE_COMPLETION_QUEUE,
                prp1=pair.completion_address,
                dwords=(size, flags),
            )
        )
        self.execute(
            Command(
                Admin.CREATE_SUBMISSION_QUEUE,
                prp1=pair.submission_address,
                dwords=(size, pair.number << 16 | PHYSICALLY_CONTIGUOUS),
            )
        )

    def delete_submission_queue(self, pair: QueuePair) -> None:
        """Deletes a submission queue; the controller aborts the commands that it has from it."""
        self.execute(Command(Admin.DELETE_SUBMISSION_QUEUE, dwords=(pair.number,)))

    def delete_completion_queue(self, pair: QueuePair) -> None:
        """Deletes a completion queue, whose submission queue has been deleted."""
        self.execute(Command(Admin.DELETE_COMPLETION_QUEUE, dwords=(pair.number,)))

    def abort(self, queue: int, identifier: int) -> int:
        """Requests that a command be aborted, which the controller need not do.

        :param queue: identifier of the queue to which the command was submitted
        :param identifier: identifier of the command
        :return: the NTSTATUS of the request
        """
        try:
            self.execute(Command(Admin.ABORT, dwords=(identifier << 16 | queue,)))
        except NtStatusError as error:
            return error.status
        return STATUS_SUCCESS
