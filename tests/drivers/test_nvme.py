# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The NVMe driver on QEMU's controller: data on the medium, queues and vectors, recovery."""

import random
import struct
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pydriver.drivers import nvme
from pydriver.drivers.nvme.prp import PrpList, prp_list_pages
from pydriver.drivers.nvme.queue import IoQueuePair
from pydriver.drivers.nvme.spec import doorbell
from pydriver.errors import ConfigurationError
from pydriver.ke import ManualClock, NtStatusError
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_SUCCESS,
)
from pydriver.machine import MachineConfig
from pydriver.pci import InterruptMode
from pydriver.system import System
from pydriver.testing import RecorderSlice
from pydriver.trace import Event
from pydriver.wdf import Device, File, Irp, ScatterGatherElement

from .test_mqdma import wait_until

PAGE = 4096
MIB = 1 << 20
SIZE = 16 * MIB
TIMEOUT = 30.0


pytestmark = pytest.mark.pydriver(
    device="nvme,serial=test,drive=d0", driver=nvme, cpus=1, memory=64 * MIB
)


def drive(path: Path, identifier: str, size: int) -> tuple[str, str]:
    """An empty disk, as options of QEMU."""
    with path.open("wb") as file:
        file.truncate(size)
    return "-drive", f"file={path},format=raw,if=none,id={identifier}"


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """The disk of the drive `d0`; an empty one for each test, so no two tests share a machine."""
    return tmp_path / "disk"


@pytest.fixture
def second_disk(tmp_path: Path) -> Path:
    """The disk of the drive `d1`."""
    return tmp_path / "second_disk"


@pytest.fixture
def machine_config(machine_config: MachineConfig, disk: Path, second_disk: Path) -> MachineConfig:
    drives = (*drive(disk, "d0", SIZE), *drive(second_disk, "d1", 2 * SIZE))
    return replace(machine_config, options=(*machine_config.options, *drives))


@pytest.fixture
def controller(device: Device) -> nvme.NvmeController:
    return device.get_typed_context(nvme.NvmeController)


@pytest.fixture
def queues(controller: nvme.NvmeController) -> list[IoQueuePair]:
    return controller.used


def ended(irps: list[Irp]) -> set[int]:
    return {irp.wait(TIMEOUT) for irp in irps}


def load(file: File, count: int, block: int, seed: int = 1) -> bytearray:
    """Writes blocks of random sizes in random order, checks them, and returns the disk's data."""
    choose = random.Random(seed)
    content = bytearray(choose.randbytes(count * 16 * block))
    places = []
    at = 0
    while at < len(content):
        size = min(choose.randint(1, 48) * block, len(content) - at)
        places.append((at, size))
        at += size
    choose.shuffle(places)
    view = memoryview(content)
    assert ended([file.write_async(view[at : at + size], at) for at, size in places]) == {
        STATUS_SUCCESS
    }
    reads = [(at, size, file.read_async(size, at)) for at, size in places]
    assert ended([irp for *_, irp in reads]) == {STATUS_SUCCESS}
    for at, size, irp in reads:
        assert irp.output == view[at : at + size]
    return content


# Data


@pytest.mark.parametrize(
    ("interrupt_mode", "cpus"),
    [
        pytest.param(
            mode,
            cpus,
            marks=pytest.mark.pydriver(messages=messages),
            id=f"{mode}-{messages}-{cpus}",
        )
        for mode, messages, cpus in (
            (InterruptMode.MSIX, None, 1),
            (InterruptMode.MSIX, None, 4),
            (InterruptMode.MSIX, 2, 2),
            (InterruptMode.MSIX, 1, 1),
            (InterruptMode.INTX, None, 1),
            (InterruptMode.INTX, None, 2),
        )
    ],
)
@pytest.mark.parametrize(
    "block",
    [
        pytest.param(
            block,
            marks=pytest.mark.pydriver(
                device="nvme,serial=test,drive=d0,"
                f"logical_block_size={block},physical_block_size={block}"
            ),
        )
        for block in (512, 4096)
    ],
)
def test_data_is_on_the_medium_in_every_interrupt_mode(
    disk: Path, device: Device, queues: list[IoQueuePair], block: int
) -> None:
    with device.open() as file:
        content = load(file, 40, block)
        file.device_control(nvme.IOCTL_FLUSH, timeout=TIMEOUT)
    assert all(queue.completed for queue in queues)
    assert all(queue.isrs for queue in queues)
    assert not any(queue.recovered or queue.retries for queue in queues)
    assert disk.read_bytes()[: len(content)] == content


def test_request_that_is_longer_than_a_command_can_be_is_split(
    disk: Path, device: Device, controller: nvme.NvmeController
) -> None:
    data = random.Random(3).randbytes(3 * MIB)
    with device.open() as file:
        assert controller.max_transfer == MIB // 2  # MDTS of QEMU's controller
        assert file.write(data, PAGE, timeout=TIMEOUT) == len(data)
        assert file.read(len(data), PAGE, timeout=TIMEOUT) == data
    assert disk.read_bytes()[PAGE : PAGE + len(data)] == data


@pytest.mark.pydriver(
    device="nvme,serial=test,drive=d0,mdts=0",
    driver=nvme.driver_entry_with(nvme.Parameters(queues=1, depth=2, max_transfer=4 * MIB)),
)
def test_prp_list_of_more_than_one_page_reaches_the_medium(
    disk: Path, device: Device, queues: list[IoQueuePair]
) -> None:
    size = 4 * MIB  # 1023 entries after the first: two pages of them
    data = random.Random(4).randbytes(size)
    with device.open() as file:
        assert file.write(data, PAGE, timeout=TIMEOUT) == size
        assert file.read(size, PAGE, timeout=TIMEOUT) == data
    # One command for each.
    assert queues[0].pair._tail == 2
    assert disk.read_bytes()[PAGE : PAGE + size] == data


@pytest.mark.parametrize("pages", [1, 2, 3, 513, 514, 1024, 1025, 1536])
def test_prp_entries_name_each_page_in_order(pages: int) -> None:
    view = memoryview(bytearray(prp_list_pages(pages * PAGE) * PAGE))
    base = 0x100000
    data = [(1 << 32) + (pages - index) * 2 * PAGE for index in range(pages)]
    first, second = PrpList(view, base).build(ScatterGatherElement(each, PAGE) for each in data)
    found = [first]
    if pages == 2:
        found.append(second)
    elif pages > 2:
        page = second
        while len(found) < pages:
            entries = struct.unpack_from("<512Q", view, page - base)
            left = pages - len(found)
            found += entries[: left if left <= 512 else 511]
            page = entries[511]
    assert found == data


def test_element_of_several_pages_has_an_entry_for_each() -> None:
    view = memoryview(bytearray(PAGE))
    pieces = [ScatterGatherElement(0x10200, 0x2E00), ScatterGatherElement(0x50000, 0x100)]
    first, second = PrpList(view, 0x9000).build(pieces)
    assert (first, second) == (0x10200, 0x9000)
    assert struct.unpack_from("<3Q", view) == (0x11000, 0x12000, 0x50000)


@pytest.mark.parametrize(
    ("stride", "offsets"), [(0, (0x1008, 0x100C)), (2, (0x1020, 0x1030)), (10, (0x3000, 0x4000))]
)
def test_doorbells_are_where_the_stride_says(stride: int, offsets: tuple[int, int]) -> None:
    assert (
        doorbell(1, stride, completion=False),
        doorbell(1, stride, completion=True),
    ) == offsets


def test_zeroes_and_deallocation(device: Device) -> None:
    with device.open() as file:
        file.write(b"\xff" * 16 * PAGE, timeout=TIMEOUT)
        zeroes = nvme.range_bytes((PAGE, 2 * PAGE))
        file.device_control(nvme.IOCTL_WRITE_ZEROES, zeroes, timeout=TIMEOUT)
        assert file.read(4 * PAGE, timeout=TIMEOUT) == b"\xff" * PAGE + bytes(2 * PAGE) + (
            b"\xff" * PAGE
        )
        ranges = nvme.range_bytes((4 * PAGE, PAGE), (8 * PAGE, 2 * PAGE))
        file.device_control(nvme.IOCTL_DEALLOCATE, ranges, timeout=TIMEOUT)
        assert file.read(4 * PAGE, 10 * PAGE, timeout=TIMEOUT) == b"\xff" * 4 * PAGE


def test_bad_requests_are_refused_and_leave_the_controller_alone(
    device: Device, queues: list[IoQueuePair]
) -> None:
    with device.open() as file:
        bad = [
            file.read_async(512, 1),
            file.read_async(511),
            file.read_async(1024, SIZE - 512),
            file.write_async(bytes(512), SIZE),
            *(
                file.device_control_async(nvme.IOCTL_WRITE_ZEROES, data)
                for data in (
                    nvme.range_bytes((0, 0)),
                    nvme.range_bytes((512, SIZE)),
                    nvme.range_bytes((0, 512), (1024, 512)),
                    nvme.range_bytes((0, 512)) + b"x",
                )
            ),
        ]
        assert ended(bad) == {STATUS_INVALID_PARAMETER}
        short = file.device_control_async(nvme.IOCTL_WRITE_ZEROES, b"short")
        assert ended([short, file.device_control_async(nvme.IOCTL_GEOMETRY, b"", 15)]) == {
            STATUS_BUFFER_TOO_SMALL
        }
        assert ended([file.device_control_async(0x220000)]) == {STATUS_INVALID_DEVICE_REQUEST}
        assert ended([file.read_async(0)]) == {STATUS_SUCCESS}
        assert sum(queue.completed for queue in queues) == 0


@pytest.mark.pydriver(
    device=(
        "nvme,id=nvme0,serial=test",
        "nvme-ns,bus=nvme0,nsid=1,drive=d0",
        "nvme-ns,bus=nvme0,nsid=7,drive=d1,logical_block_size=4096,physical_block_size=4096",
    )
)
def test_namespaces_are_files_of_the_device(disk: Path, second_disk: Path, device: Device) -> None:
    with device.open() as first, device.open("n1") as same, device.open("n7") as other:
        geometries = [
            nvme.Geometry.parse(file.device_control(nvme.IOCTL_GEOMETRY, b"", 16))
            for file in (first, same, other)
        ]
        assert geometries == [
            nvme.Geometry(SIZE // 512, 512, 1),
            nvme.Geometry(SIZE // 512, 512, 1),
            nvme.Geometry(2 * SIZE // 4096, 4096, 7),
        ]
        first.write(b"1" * PAGE, timeout=TIMEOUT)
        other.write(b"7" * PAGE, PAGE, timeout=TIMEOUT)
        assert same.read(PAGE, timeout=TIMEOUT) == b"1" * PAGE
    with pytest.raises(NtStatusError) as refused:
        device.open("n2")
    assert refused.value.status == STATUS_OBJECT_NAME_NOT_FOUND
    assert disk.read_bytes()[:PAGE] == b"1" * PAGE
    assert second_disk.read_bytes()[PAGE : 2 * PAGE] == b"7" * PAGE


def test_parameters_that_cannot_be_are_refused() -> None:
    for parameters, text in (
        ({"queues": 0}, "queues 0"),
        ({"depth": 1024}, "depth 1024"),
        ({"max_transfer": 5000}, "max_transfer 5000"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            nvme.Parameters(**parameters)


# Queues and vectors


@pytest.mark.pydriver(cpus=2)
def test_each_queue_has_its_own_vector_and_its_own_dpc(
    device: Device, queues: list[IoQueuePair], recorder: RecorderSlice
) -> None:
    with device.open() as file:
        load(file, 20, 512)
        interrupts = device.interrupts
        dpcs = {queue.dpc for queue in queues}
        # time, event, processor, detail, object, argument
        events = recorder.last()
        assert {entry[5] for entry in events if entry[1] is Event.ISR} >= {1, 2, 3, 4}
        assert dpcs <= {entry[4] for entry in events if entry[1] is Event.DPC}
        for queue in queues:
            interrupt = interrupts[queue.number]
            assert interrupt.interrupts >= queue.isrs > 0
            # Each DPC ran where its own vector arrives.
            places = {
                entry[2] for entry in events if entry[1] is Event.DPC and entry[4] is queue.dpc
            }
            assert places == {interrupt.processor.number}


def test_masking_one_vector_delays_that_queue_only(
    system: System, device: Device, queues: list[IoQueuePair]
) -> None:
    with device.open() as file:
        system.kernel.timers.use(ManualClock())  # the watch does not look
        msix = device.function.msix
        masked = queues[2]
        msix.mask(masked.number)
        before = [queue.completed for queue in queues]
        irps = [file.read_async(512, index * 512) for index in range(8)]
        wait_until(lambda: sum(irp.done for irp in irps) == 6)
        wait_until(lambda: msix.pending(masked.number))
        done = [queue.completed - count for queue, count in zip(queues, before, strict=True)]
        assert done == [2, 2, 0, 2]
        msix.unmask(masked.number)
        assert ended(irps) == {STATUS_SUCCESS}
        assert masked.completed - before[2] == 2


def test_lost_interrupt_is_made_good_by_the_watch(
    device: Device, queues: list[IoQueuePair]
) -> None:
    with device.open() as file:
        masked = queues[1]
        device.function.msix.mask(masked.number)
        assert ended([file.read_async(512) for _ in range(8)]) == {STATUS_SUCCESS}
        assert masked.recovered > 0


# Recovery


@pytest.mark.alone
@pytest.mark.timeout(300)  # a loaded machine: each reset is twenty commands, one after the other
@pytest.mark.parametrize("interrupt_mode", [InterruptMode.MSIX, InterruptMode.INTX])
@pytest.mark.parametrize("cpus", [1, 2])
def test_hundred_resets_under_load_lose_nothing(
    disk: Path, device: Device, controller: nvme.NvmeController
) -> None:
    stop = threading.Event()
    problems: list[str] = []
    content: dict[int, bytes] = {}

    def application(number: int) -> None:
        choose = random.Random(number)
        with device.open() as file:
            while not stop.is_set():
                at = (number * 64 + choose.randrange(64)) * 16384
                data = choose.randbytes(choose.randint(1, 32) * 512)
                write = file.write_async(data, at)
                if write.wait(TIMEOUT) != STATUS_SUCCESS:
                    problems.append(str(write))
                read = file.read_async(len(data), at)
                if read.wait(TIMEOUT) != STATUS_SUCCESS or read.output != data:
                    problems.append(str(read))
                content[at] = data

    threads = [threading.Thread(target=application, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        with device.open() as file:
            for _ in range(100):
                file.device_control(nvme.IOCTL_RESET, timeout=TIMEOUT)
    finally:
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT)
    assert not problems
    assert controller.resets == 100
    medium = disk.read_bytes()
    for at, data in content.items():
        assert medium[at : at + len(data)] == data


@pytest.mark.pydriver(
    device="nvme,serial=test,drive=slow",
    driver=nvme.driver_entry_with(nvme.Parameters(timeout_ms=150)),
    options=(
        "-blockdev",
        "driver=null-co,node-name=slow,size=16777216,latency-ns=900000000,read-zeroes=on",
    ),
)
def test_late_command_is_aborted_and_then_ended_by_a_reset(
    device: Device, controller: nvme.NvmeController
) -> None:
    with device.open() as file:
        irps = [file.read_async(PAGE, index * PAGE) for index in range(4)]
        assert ended(irps) == {STATUS_SUCCESS}
        assert controller.aborts >= 1
        assert controller.resets >= 1


def test_device_that_leaves_d0_comes_back_with_its_queues(device: Device) -> None:
    with device.open() as file:
        for _ in range(5):
            load(file, 4, 512)
            device.exit_d0()
            device.enter_d0()
        device.stop()
        device.start()
        load(file, 4, 512)
