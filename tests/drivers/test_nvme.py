# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The NVMe driver on QEMU's controller: data on the medium, queues and vectors, recovery."""

import random
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pydriver.drivers import nvme
from pydriver.drivers.nvme.prp import PrpList, prp_list_pages
from pydriver.drivers.nvme.queue import IoQueuePair
from pydriver.drivers.nvme.spec import doorbell
from pydriver.errors import ConfigurationError
from pydriver.ke import ManualClock, NtStatusError, System, SystemConfig
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_SUCCESS,
)
from pydriver.machine import MachineConfig
from pydriver.pci import InterruptMode
from pydriver.trace import Event
from pydriver.wdf import Device, File, Irp, ScatterGatherElement

from .test_mqdma import wait_until

VENDOR, DEVICE = 0x1B36, 0x0010
PAGE = 4096
MIB = 1 << 20
SIZE = 16 * MIB
TIMEOUT = 30.0


class Bench:
    """A system with an NVMe controller and its driver."""

    def __init__(self, system: System, device: Device) -> None:
        self.system = system
        self.device = device
        self.controller = device.get_typed_context(nvme.NvmeController)

    @property
    def queues(self) -> list[IoQueuePair]:
        return self.controller.used


def drive(path: Path, identifier: str = "d0", size: int = SIZE) -> tuple[str, str]:
    """An empty disk, as options of QEMU."""
    with path.open("wb") as file:
        file.truncate(size)
    return "-drive", f"file={path},format=raw,if=none,id={identifier}"


@contextmanager
def running(
    *options: str,
    devices: tuple[str, ...] = ("nvme,id=nvme0,serial=test,drive=d0",),
    cpus: int = 1,
    memory: int = 64 * MIB,
    interrupts: InterruptMode | None = None,
    messages: int | None = None,
    **parameters: int,
) -> Iterator[Bench]:
    machine = MachineConfig(cpus=cpus, memory=memory, devices=devices, options=options)
    with System(SystemConfig(machine)) as system:
        driver = system.load_driver(nvme.driver_entry_with(nvme.Parameters(**parameters)))
        function = system.pci.find(VENDOR, DEVICE)
        device = driver.add_device(function, interrupts=interrupts, messages=messages)
        yield Bench(system, device)


def ended(irps: list[Irp]) -> set[int]:
    return {irp.wait(TIMEOUT) for irp in irps}


def load(file: File, count: int, block: int, seed: int = 1) -> bytearray:
    """Writes blocks of random sizes in random order, checks them, and gives what the disk has."""
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
    ("mode", "messages", "cpus"),
    [
        (InterruptMode.MSIX, None, 1),
        (InterruptMode.MSIX, None, 4),
        (InterruptMode.MSIX, 2, 2),
        (InterruptMode.MSIX, 1, 1),
        (InterruptMode.INTX, None, 1),
        (InterruptMode.INTX, None, 2),
    ],
)
@pytest.mark.parametrize("block", [512, 4096])
def test_data_is_on_the_medium_in_every_interrupt_mode(
    tmp_path: Path, mode: InterruptMode, messages: int | None, cpus: int, block: int
) -> None:
    path = tmp_path / "disk"
    sizes = f"logical_block_size={block},physical_block_size={block}"
    with running(
        *drive(path),
        devices=(f"nvme,serial=test,drive=d0,{sizes}",),
        cpus=cpus,
        interrupts=mode,
        messages=messages,
    ) as bench:
        with bench.device.open() as file:
            content = load(file, 40, block)
            file.device_control(nvme.IOCTL_FLUSH, timeout=TIMEOUT)
        assert all(queue.completed for queue in bench.queues)
        assert all(queue.isrs for queue in bench.queues)
        assert not any(queue.recovered or queue.retries for queue in bench.queues)
    assert path.read_bytes()[: len(content)] == content


def test_request_that_is_longer_than_a_command_can_be_is_split(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    data = random.Random(3).randbytes(3 * MIB)
    with running(*drive(path)) as bench, bench.device.open() as file:
        assert bench.controller.max_transfer == MIB // 2  # MDTS of QEMU's controller
        assert file.write(data, PAGE, timeout=TIMEOUT) == len(data)
        assert file.read(len(data), PAGE, timeout=TIMEOUT) == data
    assert path.read_bytes()[PAGE : PAGE + len(data)] == data


def test_prp_list_of_more_than_one_page_reaches_the_medium(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    size = 4 * MIB  # 1023 entries after the first: two pages of them
    data = random.Random(4).randbytes(size)
    with running(
        *drive(path),
        devices=("nvme,serial=test,drive=d0,mdts=0",),
        queues=1,
        depth=2,
        max_transfer=size,
    ) as bench:
        with bench.device.open() as file:
            assert file.write(data, PAGE, timeout=TIMEOUT) == size
            assert file.read(size, PAGE, timeout=TIMEOUT) == data
        # One command for each.
        assert bench.queues[0].pair._tail == 2
    assert path.read_bytes()[PAGE : PAGE + size] == data


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


def test_zeroes_and_deallocation(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with running(*drive(path)) as bench, bench.device.open() as file:
        file.write(b"\xff" * 16 * PAGE, timeout=TIMEOUT)
        zeroes = nvme.range_bytes((PAGE, 2 * PAGE))
        file.device_control(nvme.IOCTL_WRITE_ZEROES, zeroes, timeout=TIMEOUT)
        assert file.read(4 * PAGE, timeout=TIMEOUT) == b"\xff" * PAGE + bytes(2 * PAGE) + (
            b"\xff" * PAGE
        )
        ranges = nvme.range_bytes((4 * PAGE, PAGE), (8 * PAGE, 2 * PAGE))
        file.device_control(nvme.IOCTL_DEALLOCATE, ranges, timeout=TIMEOUT)
        assert file.read(4 * PAGE, 10 * PAGE, timeout=TIMEOUT) == b"\xff" * 4 * PAGE


def test_bad_requests_are_refused_and_leave_the_controller_alone(tmp_path: Path) -> None:
    with running(*drive(tmp_path / "disk")) as bench, bench.device.open() as file:
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
        assert sum(queue.completed for queue in bench.queues) == 0


def test_namespaces_are_files_of_the_device(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    devices = (
        "nvme,id=nvme0,serial=test",
        "nvme-ns,bus=nvme0,nsid=1,drive=d1",
        "nvme-ns,bus=nvme0,nsid=7,drive=d2,logical_block_size=4096,physical_block_size=4096",
    )
    options = (*drive(one, "d1"), *drive(two, "d2", 2 * SIZE))
    with running(*options, devices=devices) as bench:
        device = bench.device
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
    assert one.read_bytes()[:PAGE] == b"1" * PAGE
    assert two.read_bytes()[PAGE : 2 * PAGE] == b"7" * PAGE


def test_parameters_that_cannot_be_are_refused() -> None:
    for parameters, text in (
        ({"queues": 0}, "queues 0"),
        ({"depth": 1024}, "depth 1024"),
        ({"max_transfer": 5000}, "max_transfer 5000"),
    ):
        with pytest.raises(ConfigurationError, match=text):
            nvme.Parameters(**parameters)


# Queues and vectors


def test_each_queue_has_its_own_vector_and_its_own_dpc(tmp_path: Path) -> None:
    with running(*drive(tmp_path / "disk"), cpus=2) as bench, bench.device.open() as file:
        load(file, 20, 512)
        interrupts = bench.device.interrupts
        dpcs = {queue.dpc for queue in bench.queues}
        # time, event, processor, detail, object, argument
        events = bench.system.kernel.recorder.last()
        assert {entry[5] for entry in events if entry[1] is Event.ISR} >= {1, 2, 3, 4}
        assert dpcs <= {entry[4] for entry in events if entry[1] is Event.DPC}
        for queue in bench.queues:
            interrupt = interrupts[queue.number]
            assert interrupt.interrupts >= queue.isrs > 0
            # Each DPC ran where its own vector arrives.
            places = {
                entry[2] for entry in events if entry[1] is Event.DPC and entry[4] is queue.dpc
            }
            assert places == {interrupt.processor.number}


def test_masking_one_vector_delays_that_queue_only(tmp_path: Path) -> None:
    with running(*drive(tmp_path / "disk")) as bench, bench.device.open() as file:
        bench.system.kernel.timers.use(ManualClock())  # the watch does not look
        msix = bench.device.function.msix
        masked = bench.queues[2]
        msix.mask(masked.number)
        before = [queue.completed for queue in bench.queues]
        irps = [file.read_async(512, index * 512) for index in range(8)]
        wait_until(lambda: sum(irp.done for irp in irps) == 6)
        wait_until(lambda: msix.pending(masked.number))
        done = [queue.completed - count for queue, count in zip(bench.queues, before, strict=True)]
        assert done == [2, 2, 0, 2]
        msix.unmask(masked.number)
        assert ended(irps) == {STATUS_SUCCESS}
        assert masked.completed - before[2] == 2


def test_lost_interrupt_is_made_good_by_the_watch(tmp_path: Path) -> None:
    with running(*drive(tmp_path / "disk")) as bench, bench.device.open() as file:
        masked = bench.queues[1]
        bench.device.function.msix.mask(masked.number)
        assert ended([file.read_async(512) for _ in range(8)]) == {STATUS_SUCCESS}
        assert masked.recovered > 0


# Recovery


@pytest.mark.timeout(300)  # a loaded machine: each reset is twenty commands, one after the other
@pytest.mark.parametrize("mode", [InterruptMode.MSIX, InterruptMode.INTX])
@pytest.mark.parametrize("cpus", [1, 2])
def test_hundred_resets_under_load_lose_nothing(
    tmp_path: Path, mode: InterruptMode, cpus: int
) -> None:
    path = tmp_path / "disk"
    with running(*drive(path), cpus=cpus, interrupts=mode) as bench:
        stop = threading.Event()
        problems: list[str] = []
        content: dict[int, bytes] = {}

        def application(number: int) -> None:
            choose = random.Random(number)
            with bench.device.open() as file:
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
            with bench.device.open() as file:
                for _ in range(100):
                    file.device_control(nvme.IOCTL_RESET, timeout=TIMEOUT)
        finally:
            stop.set()
            for thread in threads:
                thread.join(TIMEOUT)
        assert not problems
        assert bench.controller.resets == 100
    disk = path.read_bytes()
    for at, data in content.items():
        assert disk[at : at + len(data)] == data


def test_late_command_is_aborted_and_then_ended_by_a_reset() -> None:
    slow = "driver=null-co,node-name=d0,size=16777216,latency-ns=900000000,read-zeroes=on"
    with running("-blockdev", slow, timeout_ms=150) as bench, bench.device.open() as file:
        irps = [file.read_async(PAGE, index * PAGE) for index in range(4)]
        assert ended(irps) == {STATUS_SUCCESS}
        assert bench.controller.aborts >= 1
        assert bench.controller.resets >= 1


def test_device_that_leaves_d0_comes_back_with_its_queues(tmp_path: Path) -> None:
    with running(*drive(tmp_path / "disk")) as bench, bench.device.open() as file:
        for _ in range(5):
            load(file, 4, 512)
            bench.device.exit_d0()
            bench.device.enter_d0()
        bench.device.stop()
        bench.device.start()
        load(file, 4, 512)
