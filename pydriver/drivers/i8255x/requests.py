# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The device controls of applications, at PASSIVE_LEVEL, and the queues of all requests."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydriver.drivers.i8255x.phy import LinkState
from pydriver.drivers.i8255x.spec import STATISTICS
from pydriver.ke import NtStatusError
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
)
from pydriver.wdf import (
    Device,
    ExecutionLevel,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    Request,
    RequestType,
    ctl_code,
)

if TYPE_CHECKING:
    from pydriver.drivers.i8255x.adapter import I8255x

__all__ = (
    "IOCTL_ADDRESS",
    "IOCTL_LINK",
    "IOCTL_RESET",
    "IOCTL_STATISTICS",
    "IOCTL_WAIT_LINK_CHANGE",
    "Statistics",
    "create_queues",
)

IOCTL_ADDRESS = ctl_code(0x800)
"""Output: the MAC address, six bytes."""

IOCTL_LINK = ctl_code(0x801)
"""Output: the bytes of a :class:`LinkState`."""

IOCTL_WAIT_LINK_CHANGE = ctl_code(0x802)
"""The same output, when the link changes the next time."""

IOCTL_STATISTICS = ctl_code(0x803)
"""Output: the bytes of a :class:`Statistics`."""

IOCTL_RESET = ctl_code(0x804)
"""Resets the device; writes in progress are not lost."""

ADDRESS_BYTES = 6
GOOD_SENT, GOOD_RECEIVED, NO_RESOURCES = 0, 9, 12
OUTPUTS = {
    IOCTL_ADDRESS: ADDRESS_BYTES,
    IOCTL_LINK: LinkState.SIZE,
    IOCTL_WAIT_LINK_CHANGE: LinkState.SIZE,
    IOCTL_STATISTICS: STATISTICS.size,
    IOCTL_RESET: 0,
}
"""Bytes of each device control's output."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """The device's counters.

    :ivar sent: frames sent
    :ivar received: frames written to memory
    :ivar lost: frames for which there was no free descriptor
    """

    sent: int
    received: int
    lost: int

    SIZE = STATISTICS.size

    @classmethod
    def parse(cls, data: bytes | memoryview) -> "Statistics":
        """Parses the output."""
        counters = STATISTICS.unpack(data)
        return cls(counters[GOOD_SENT], counters[GOOD_RECEIVED], counters[NO_RESOURCES])


def create_queues(device: Device, adapter: "I8255x") -> None:
    """Creates the queue of device controls and routes reads and writes to the rings' queues.

    :param device: the adapter's device
    :param adapter: its context
    """

    def evt_io_device_control(
        queue: IoQueue, request: Request, output: int, length: int, code: int
    ) -> None:
        needed = OUTPUTS.get(code)
        if needed is None:
            request.complete(STATUS_INVALID_DEVICE_REQUEST)
        elif output < needed:
            request.complete(STATUS_BUFFER_TOO_SMALL)
        elif code == IOCTL_WAIT_LINK_CHANGE:
            request.forward_to_io_queue(adapter.link_changes)
        elif code == IOCTL_RESET:
            request.complete(adapter.reset())
        else:
            _answer(adapter, request, code)

    IoQueue.create(
        device,
        IoQueueConfig(
            IoQueueDispatchType.SEQUENTIAL,
            default_queue=True,
            evt_io_device_control=evt_io_device_control,
        ),
        ObjectAttributes(execution_level=ExecutionLevel.PASSIVE),
    )
    device.configure_request_dispatching(adapter.receive.queue, RequestType.READ)
    device.configure_request_dispatching(adapter.transmit.queue, RequestType.WRITE)


def _answer(adapter: "I8255x", request: Request, code: int) -> None:
    try:
        if code == IOCTL_ADDRESS:
            answer = adapter.address
        elif code == IOCTL_LINK:
            answer = adapter.link.pack()
        else:
            answer = adapter.dump_statistics()
    except NtStatusError as error:
        request.complete(error.status)
        return
    request.retrieve_output_buffer()[: len(answer)] = answer
    request.complete_with_information(STATUS_SUCCESS, len(answer))
