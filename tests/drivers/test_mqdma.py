# SPDX-License-Identifier: MIT
"""The mqdma driver on the emulated device: data, capture, repair."""

import random
import threading
from collections.abc import Callable
from typing import Any

import crc32c
import pytest
from pydriver.abi._native import lib

from pydriver.drivers import mqdma
from pydriver.drivers.mqdma.queue import HardwareQueue
from pydriver.errors import ConfigurationError
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_IO_DEVICE_ERROR,
    STATUS_NO_SUCH_DEVICE,
    STATUS_SUCCESS,
)
from pydriver.pci import InterruptMode
from pydriver.system import System
from pydriver.testing import Fault
from pydriver.wdf import Device, Irp

BLOCK = 4096
DEPTH = 4
TIMEOUT = 20.0


def mqdma_with(queues: int = 2, cpus: int = 1, **parameters: Any) -> pytest.MarkDecorator:
    """A device with a number of queues, and its driver with these parameters."""
    return pytest.mark.pydriver(
        device=f"mqdma,memdev=bar2,queues={queues}",
        driver=mqdma.driver_entry_with(mqdma.Parameters(depth=DEPTH, block=BLOCK, **parameters)),
        bar2=mqdma.shared_memory(queues, DEPTH, BLOCK),
        interrupts="msix",
        cpus=cpus,
    )


pytestmark = mqdma_with()
MODES = pytest.mark.parametrize(
    "interrupt_mode",
    [
        pytest.param(mode, marks=pytest.mark.pydriver(messages=messages), id=f"{mode}-{messages}")
        for mode, messages in (
            (InterruptMode.MSIX, None),
            (InterruptMode.MSI, 32),
            (InterruptMode.MSI, 1),
            (InterruptMode.INTX, None),
        )
    ],
)


@pytest.fixture
def context(device: Device) -> mqdma.MqdmaDevice:
    return device.get_typed_context(mqdma.MqdmaDevice)


@pytest.fixture
def queues(context: mqdma.MqdmaDevice) -> list[HardwareQueue]:
    return context.queues


def copy(device: Device, count: int, size: int = BLOCK) -> list[tuple[bytes, Irp]]:
    """Sends copies of random blocks, waits for all, and returns each with its data."""
    random.seed(count)
    blocks = [random.randbytes(size) for _ in range(count)]
    with device.open() as file:
        irps = [
            file.device_control_async(mqdma.IOCTL_COPY, block, size + mqdma.CRC_BYTES)
            for block in blocks
        ]
        for irp in irps:
            irp.wait(TIMEOUT)
    return list(zip(blocks, irps, strict=True))


def assert_copied(results: list[tuple[bytes, Irp]]) -> None:
    for block, irp in results:
        assert irp.status == STATUS_SUCCESS
        assert irp.information == len(block) + mqdma.CRC_BYTES
        assert bytes(irp.output[:-4]) == block
        assert int.from_bytes(irp.output[-4:], "little") == crc32c.crc32c(block)


@MODES
@pytest.mark.parametrize(
    "count",
    [
        pytest.param(count, marks=mqdma_with(count, cpus), id=f"{count}-{cpus}")
        for count, cpus in ((1, 1), (5, 2), (40, 1))
    ],
)
def test_every_block_arrives_with_its_crc_in_every_interrupt_mode(
    device: Device, queues: list[HardwareQueue], count: int
) -> None:
    assert_copied(copy(device, 4 * count + 3))
    completed = [queue.completed for queue in queues]
    assert sum(completed) == 4 * count + 3
    assert max(completed) - min(completed) <= 1
    assert all(queue.isrs for queue in queues)


@pytest.mark.parametrize("size", [1, 3, 4, 511, BLOCK])
def test_block_of_any_size_up_to_the_largest_is_copied(device: Device, size: int) -> None:
    assert_copied(copy(device, 3, size))


def test_bad_requests_are_refused_and_leave_the_device_alone(
    device: Device, queues: list[HardwareQueue]
) -> None:
    with device.open() as file:
        for code, data, output, status in (
            (mqdma.IOCTL_COPY, b"", 64, STATUS_INVALID_PARAMETER),
            (mqdma.IOCTL_COPY, bytes(BLOCK + 1), 2 * BLOCK, STATUS_INVALID_PARAMETER),
            (mqdma.IOCTL_COPY, bytes(64), 67, STATUS_BUFFER_TOO_SMALL),
            (mqdma.IOCTL_NOP + 4, b"", 0, STATUS_INVALID_DEVICE_REQUEST),
        ):
            assert file.device_control_async(code, data, output).wait(TIMEOUT) == status
        assert sum(queue.completed for queue in queues) == 0


def test_parameters_that_cannot_be_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="depth 0"):
        mqdma.Parameters(depth=0)
    with pytest.raises(ConfigurationError, match="block of 6"):
        mqdma.Parameters(block=6)
    with pytest.raises(ConfigurationError, match="shared memory"):
        mqdma.shared_memory(64, 256, 16 << 20)


def burst(system: System, context: mqdma.MqdmaDevice, events: int) -> HardwareQueue:
    """The device raises events while a processor is at DISPATCH_LEVEL: ISRs run, DPCs do not."""
    machine, kernel = system.machine, system.kernel
    address = context.registers.address + lib.MQDMA_REG_INT_RAISE
    old = kernel.raise_irql(2)
    kernel.processors[0].link.call(
        machine.image.symbol("raise_interrupts"), address, lib.MQDMA_RAISE_EVENT, events
    )
    kernel.lower_irql(old)
    return context.queues[0]


@mqdma_with(capture=mqdma.Capture.ISR)
def test_isr_that_captures_loses_no_event_of_a_burst(
    system: System, context: mqdma.MqdmaDevice
) -> None:
    queue = burst(system, context, 50)
    assert (queue.isrs, queue.events, queue.lost()) == (50, 50, 0)
    assert (queue.dpcs_queued, queue.dpcs_coalesced) == (1, 49)


@mqdma_with(capture=mqdma.Capture.DPC)
def test_capture_that_is_left_to_the_dpc_loses_all_events_of_a_burst_but_the_last(
    system: System, context: mqdma.MqdmaDevice
) -> None:
    queue = burst(system, context, 50)
    assert (queue.isrs, queue.events, queue.lost()) == (50, 1, 49)


@mqdma_with(queues=1)
def test_lost_interrupt_is_made_good_by_the_watch(
    device: Device, queues: list[HardwareQueue], fault: Fault
) -> None:
    fault.set(lost=1)
    assert_copied(copy(device, 1))
    assert queues[0].recovered == 1


def test_watch_has_ended_when_the_device_leaves_d0(
    device: Device, context: mqdma.MqdmaDevice
) -> None:
    copy(device, 1)
    assert context.watching
    device.exit_d0()
    assert not context.watching
    device.enter_d0()
    copy(device, 1)
    assert context.watching


def test_failed_dma_is_tried_again_by_the_work_item(
    device: Device, queues: list[HardwareQueue], fault: Fault
) -> None:
    fault.set(dma=2)
    assert_copied(copy(device, 8))
    assert sum(queue.retries for queue in queues) == 2


@mqdma_with(queues=1)
def test_request_that_fails_every_time_ends_with_an_error_after_three_attempts(
    device: Device, fault: Fault
) -> None:
    fault.set(dma=3)
    assert [irp.status for _, irp in copy(device, 1)] == [STATUS_IO_DEVICE_ERROR]
    assert_copied(copy(device, 4))


def test_corrupt_completion_is_recognized_and_its_request_tried_again(
    device: Device, queues: list[HardwareQueue], fault: Fault
) -> None:
    fault.set(corrupt=1)
    assert_copied(copy(device, 8))
    assert sum(queue.retries for queue in queues) == 1


@mqdma_with(watchdog_us=200_000)
def test_hung_queue_is_reset_and_its_requests_are_submitted_again(
    device: Device, queues: list[HardwareQueue], fault: Fault
) -> None:
    fault.set(hang=1)
    assert_copied(copy(device, 12))
    assert [queue.repairs for queue in queues] == [1, 0]
    assert_copied(copy(device, 12))


def test_spurious_interrupt_is_not_claimed(
    device: Device, queues: list[HardwareQueue], fault: Fault
) -> None:
    interrupt = queues[0].interrupt
    before = interrupt.unclaimed
    fault.set(spurious=0)
    wait_until(lambda: interrupt.unclaimed == before + 1)
    assert_copied(copy(device, 4))


def test_requests_of_a_device_that_is_removed_end_exactly_once_with_that_status(
    device: Device, fault: Fault
) -> None:
    fault.set(hang=3)
    ended: list[int] = []
    with device.open() as file:
        irps = [
            file.device_control_async(
                mqdma.IOCTL_COPY,
                bytes(64),
                68,
                on_complete=lambda irp: ended.append(irp.status),
            )
            for _ in range(20)
        ]
        fault.set(removed=True)
        for irp in irps:
            irp.wait(TIMEOUT)
    assert ended == [STATUS_NO_SUCH_DEVICE] * 20


def test_completion_callbacks_may_submit_the_next_request(device: Device) -> None:
    left = 500
    done = threading.Event()
    with device.open() as file:

        def completed(irp: Irp) -> None:
            nonlocal left
            assert irp.status == STATUS_SUCCESS
            left -= 1
            if left:
                file.device_control_async(mqdma.IOCTL_NOP, on_complete=completed)
            else:
                done.set()

        file.device_control_async(mqdma.IOCTL_NOP, on_complete=completed)
        assert done.wait(TIMEOUT)


@pytest.mark.pydriver(cpus=2, isolated=True)  # it changes the home of the test's thread
def test_dpcs_of_two_queues_run_at_the_same_time_on_two_processors(
    system: System, device: Device, queues: list[HardwareQueue]
) -> None:
    inside = [threading.Event(), threading.Event()]
    levels: list[list[int]] = []
    processors = system.kernel.processors

    def meet(queue: HardwareQueue) -> None:
        reap = queue.reap

        def wait_for_the_other_one() -> None:
            inside[queue.index].set()
            link = processors[queue.index].link
            while not inside[1 - queue.index].is_set():
                link.sync()
            levels.append([each.irql for each in processors])
            reap()

        queue.reap = wait_for_the_other_one

    for queue in queues:
        meet(queue)
    # The first request is for queue 0: its processor is not the one that submits.
    system.kernel.current.home = processors[1]
    assert_copied(copy(device, 2))
    assert [2, 2] in levels


@pytest.mark.alone
@MODES
@mqdma_with(queues=4)
@pytest.mark.parametrize("cpus", [1, 2])
def test_hundred_resets_under_load_lose_nothing(device: Device) -> None:
    stop = threading.Event()
    results: list[tuple[bytes, Irp]] = []

    def application() -> None:
        while not stop.is_set():
            results.extend(copy(device, 12))

    threads = [threading.Thread(target=application) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(100):  # each D0 entry resets the device
            device.exit_d0()
            device.enter_d0()
            # Even the quickest resets have something to lose.
            wait_until(lambda number=number: len(results) >= number)
    finally:
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT)
    assert_copied(results)


def wait_until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(int(TIMEOUT / 0.005)):
        if condition():
            return
        tick.wait(0.005)
    pytest.fail("it did not happen in time")
