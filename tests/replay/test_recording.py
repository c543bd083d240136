# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The contents of a register trace, and its fate when something breaks."""

import mmap
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pydriver.drivers import edu, mqdma
from pydriver.errors import ConfigurationError, MachineDied
from pydriver.link import ProcessorLink
from pydriver.machine import MachineConfig
from pydriver.pci import InterruptMode
from pydriver.system import System, SystemConfig
from pydriver.trace.memory import MemoryChanges, SharedRegion
from pydriver.trace.registers import RegisterTrace
from pydriver.wdf import Device
from tests.cli.command import names

from .traces import EDU, MQDMA, record, statements

EDU_MACHINE = MachineConfig(devices=("edu",))
FACTORIAL = edu.IOCTL_FACTORIAL


def compute(device: Device) -> None:
    with device.open() as file:
        assert file.device_control(FACTORIAL, (5).to_bytes(4, "little"), 4)[0] == 120


def copy(device: Device) -> None:
    with device.open() as file:
        file.device_control(mqdma.IOCTL_COPY, b"hardware" * 8, 68)


def write(device: Device) -> None:
    with device.open() as file:
        file.write(b"\x5a" * 24)


def test_every_access_of_a_driver_is_a_line_that_says_where_it_came_from(tmp_path: Path) -> None:
    lines = record(tmp_path / "t.py", EDU_MACHINE, EDU, edu.driver_entry, compute)
    accesses = [line for line in lines if "(bar0 + " in line]
    for line, (statement, irql, callback) in zip(
        accesses,
        [
            ("expect(read32(bar0 + 0x0), 0x10000ed)", 0, "_prepare_hardware"),
            ("write32(bar0 + 0x20, 0x80)", 0, "_d0_entry"),
            ("write32(bar0 + 0x8, 0x5)", 0, "_evt_io_device_control"),
            ("expect(read32(bar0 + 0x24), 0x1)", 6, "_isr"),
            ("write32(bar0 + 0x64, 0x1)", 6, "_isr"),
            ("expect(read32(bar0 + 0x8), 0x78)", 2, "_dpc: _end_factorial"),
        ],
        strict=True,
    ):
        place = rf"  # \d+\.\d+ s, cpu 0, IRQL {irql}, {callback} \(edu\.py:\d+\)"
        assert re.fullmatch(re.escape(statement) + place, line), line


def test_memory_that_the_driver_has_written_comes_before_its_doorbell(tmp_path: Path) -> None:
    found = statements(record(tmp_path / "t.py", EDU_MACHINE, EDU, edu.driver_entry, write))
    start = next(i for i, line in enumerate(found) if line.startswith("write64(bar0 + 0x98"))
    source = next(line for line in found if line.startswith("write64(bar0 + 0x80"))
    address = source.rpartition(", ")[2].rstrip(")")
    assert f'memory({address}, "{"5a" * 24}")' in found[:start]


def test_shared_memory_of_a_device_is_in_the_trace_too(tmp_path: Path) -> None:
    machine = MachineConfig(bar2=1 << 20, devices=("mqdma,memdev=bar2,queues=1",))
    entry = mqdma.driver_entry_with(mqdma.Parameters(depth=1, block=4096))
    lines = record(tmp_path / "t.py", machine, MQDMA, entry, copy)
    data = (b"hardware" * 8).hex()
    source = next(i for i, line in enumerate(lines) if data in line)
    doorbell = next(i for i, line in enumerate(lines) if "write32(bar0 + 0x1020, 0x1)" in line)
    assert source < doorbell
    assert lines[source].startswith("memory(bar2 + 0x")
    assert "'memory-backend-ram,id=bar2,size=1048576'," in "".join(lines)


def test_a_function_is_set_up_and_switched_on_by_the_trace(tmp_path: Path) -> None:
    found = statements(record(tmp_path / "t.py", EDU_MACHINE, EDU, edu.driver_entry, compute))
    base = found.index("bar0 = 0xc0000000")
    address = found.index('config_write32("00:02.0", 0x10, 0xc0000000)')
    master = found.index('config_write16("00:02.0", 0x4, 0x7)')
    first = next(i for i, line in enumerate(found) if "read32" in line)
    assert base < address < master < first


def test_the_frameworks_own_devices_are_not_in_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "t.py"
    trace = RegisterTrace(path)
    with System(SystemConfig(EDU_MACHINE, register_trace=trace)) as system:
        driver = system.load_driver(edu.driver_entry)
        compute(driver.add_device(system.pci.find(*EDU), interrupts=InterruptMode.INTX))
    trace.close()
    text = path.read_text(encoding="utf-8")
    assert "0xfec00000" not in text  # the I/O APIC
    assert '"00:01.0"' not in text  # the doorbell
    assert "ivshmem" not in text


def test_a_bar_that_moves_keeps_its_name(tmp_path: Path) -> None:
    def move(device: Device) -> None:
        device.stop()
        device.start()
        compute(device)

    found = statements(record(tmp_path / "t.py", EDU_MACHINE, EDU, edu.driver_entry, move))
    bases = [line for line in found if line.startswith("bar0 = ")]
    assert len(bases) > 1
    assert len(set(bases)) == len(bases)
    moved = found.index(bases[-1])
    assert found[moved - 1] == f'config_write32("00:02.0", 0x10, {bases[-1].split()[-1]})'
    assert "write32(bar0 + 0x8, 0x5)" in found[moved:]


def test_without_a_trace_the_processors_are_plain() -> None:
    with System(SystemConfig(EDU_MACHINE)) as system:
        assert [type(each) for each in system.link.processors] == [ProcessorLink]


def test_a_system_that_does_not_start_leaves_no_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "t.py"
    path.write_text("old")
    trace = RegisterTrace(path)
    config = SystemConfig(MachineConfig(devices=("nonesuch",)), register_trace=trace)
    with pytest.raises(MachineDied), System(config):
        pass
    trace.close()
    assert names(tmp_path) == ["t.py"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is not a regular file"),
        ("missing/t.py", "No such file or directory"),
        ("\0", "null"),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        RegisterTrace(tmp_path / name)
    assert names(tmp_path) == []


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Makes every write past a size fail, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_an_error_at_the_end_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.py"
    trace = RegisterTrace(path)
    with System(SystemConfig(EDU_MACHINE, register_trace=trace)) as system:
        device = system.load_driver(edu.driver_entry).add_device(system.pci.find(*EDU))
        with file_size_limit(4096):
            for _ in range(30):
                compute(device)
            with pytest.raises(OSError, match="File too large") as caught:
                trace.close()
    assert caught.value.filename == str(path)
    text = path.read_text(encoding="utf-8")
    assert 0 < len(text) <= 4096
    assert text.endswith("\n")
    compile(text, "trace", "exec")


def test_only_changed_bytes_of_pages_that_exist_are_found() -> None:
    size = 1 << 30
    fd = os.memfd_create("test")
    os.ftruncate(fd, size)
    with mmap.mmap(fd, size) as memory, memoryview(memory) as view:
        changes = MemoryChanges([SharedRegion(fd, view, lambda: ((0, size),), "bar2")])
        assert list(changes.take()) == []
        view[0x5000:0x5004] = b"abcd"
        view[0x5040:0x5041] = b"e"
        view[0x2FFFE:0x30002] = b"\x01\x02\x03\x04"
        assert list(changes.take()) == [
            ("bar2", 0x5000, b"abcd"),
            ("bar2", 0x5040, b"e"),
            ("bar2", 0x2FFFE, b"\x01\x02"),
            ("bar2", 0x30000, b"\x03\x04"),
        ]
        view[0x5001:0x5003] = b"\0\0"
        view[0x5006:0x5007] = b"f"
        assert list(changes.take()) == [("bar2", 0x5001, b"\0\0d\0\0f")]
        assert list(changes.take()) == []
        assert os.fstat(fd).st_blocks * 512 == 3 * 4096  # reading has made no page
    os.close(fd)
