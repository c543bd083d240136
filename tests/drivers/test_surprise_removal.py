# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The device is pulled out in the middle of a deep load: each request ends once, nothing hangs."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pydriver.drivers import mqdma
from pydriver.ke import NtStatusError
from pydriver.ke.status import (
    STATUS_CANCELLED,
    STATUS_DEVICE_NOT_READY,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_NO_SUCH_DEVICE,
    STATUS_SUCCESS,
)
from pydriver.machine import MachineConfig
from pydriver.system import System, SystemConfig
from pydriver.wdf import Device, DeviceState, File, Irp

from .test_mqdma import wait_until

QUEUES, DEPTH, BLOCK = 8, 64, 4096
LOAD = QUEUES * DEPTH
TIMEOUT = 30.0
WATCHDOG_US = 60_000_000
DMA = "dma"

REMOVED = {STATUS_NO_SUCH_DEVICE, STATUS_CANCELLED, STATUS_INVALID_DEVICE_STATE}
"""Statuses: the driver owned the request; it waited in a queue; the queues were closed."""


@contextmanager
def running(cpus: int) -> Iterator[tuple[System, Device]]:
    machine = MachineConfig(
        cpus=cpus,
        bar2=mqdma.shared_memory(QUEUES, DEPTH, BLOCK),
        devices=(f"mqdma,id=dma,memdev=bar2,queues={QUEUES}",),
    )
    with System(SystemConfig(machine)) as system:
        # The watch would reset the hung queues, if the machine takes long to fill them.
        parameters = mqdma.Parameters(depth=DEPTH, block=BLOCK, watchdog_us=WATCHDOG_US)
        entry = mqdma.driver_entry_with(parameters)
        function = system.pci.find(mqdma.VENDOR, mqdma.DEVICE)
        yield system, system.load_driver(entry).add_device(function)


def pull_out(system: System, device: Device) -> None:
    """Takes the hardware away, then reports that as the bus driver would."""
    system.machine.set_property(DMA, "fault-removed", True)
    device.surprise_remove()


class Ends:
    """Sends requests from one thread, and notes the ends of each.

    It has no lock: a DPC that ends a request may have interrupted the code that would hold it.
    """

    def __init__(self) -> None:
        self.irps: list[Irp] = []
        self._ended: list[int] = []

    def send(self, file: File) -> Irp:
        number = len(self.irps)
        irp = file.device_control_async(
            mqdma.IOCTL_COPY,
            bytes(BLOCK),
            BLOCK + mqdma.CRC_BYTES,
            on_complete=lambda irp: self._ended.append(number),
        )
        self.irps.append(irp)
        return irp

    def assert_all_ended_once(self) -> Counter[int]:
        statuses = Counter(irp.wait(TIMEOUT) for irp in self.irps)
        # A waiter is woken before the completion callback is called.
        wait_until(lambda: len(self._ended) >= len(self.irps))
        assert sorted(self._ended) == list(range(len(self.irps)))
        return statuses


@pytest.mark.parametrize("cpus", [1, 2])
def test_all_that_the_device_has_ends_once_with_a_removal_status(cpus: int) -> None:
    with running(cpus) as (system, device):
        queues = device.get_typed_context(mqdma.MqdmaDevice).queues
        system.machine.set_property(DMA, "fault-hang", (1 << QUEUES) - 1)
        ends = Ends()
        with device.open() as file:
            for _ in range(2 * LOAD):
                ends.send(file)
            assert [queue.in_flight for queue in queues] == [DEPTH] * QUEUES
            pull_out(system, device)
            statuses = ends.assert_all_ended_once()
            assert statuses.total() == 2 * LOAD
            assert statuses[STATUS_NO_SUCH_DEVICE] >= LOAD
            assert set(statuses) <= {STATUS_NO_SUCH_DEVICE, STATUS_CANCELLED}
            assert device.state is DeviceState.SURPRISE_REMOVED
        assert device.state is DeviceState.REMOVED
        with pytest.raises(NtStatusError):
            device.open()


@pytest.mark.parametrize("cpus", [1, 2])
def test_traffic_that_runs_on_ends_once_and_the_rest_of_the_system_lives(cpus: int) -> None:
    with running(cpus) as (system, device):
        ends = Ends()
        deep = threading.Event()
        stop = threading.Event()

        def application() -> None:
            with device.open() as file:
                flying = [ends.send(file) for _ in range(LOAD)]
                deep.set()
                while not stop.is_set():
                    flying.pop(0).wait(TIMEOUT)
                    flying.append(ends.send(file))

        thread = threading.Thread(target=application)
        thread.start()
        assert deep.wait(TIMEOUT)
        pull_out(system, device)
        stop.set()
        thread.join(TIMEOUT)
        assert not thread.is_alive()
        statuses = ends.assert_all_ended_once()
        assert set(statuses) <= REMOVED | {STATUS_SUCCESS}
        assert statuses.total() > LOAD
        assert device.state is DeviceState.REMOVED
        with pytest.raises(NtStatusError) as refused:
            device.open()
        assert refused.value.status == STATUS_DEVICE_NOT_READY
        assert system.kernel.failure is None
