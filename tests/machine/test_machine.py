# SPDX-License-Identifier: MIT
"""The QEMU process: its arguments and its end, after which nothing of it stays."""

import json
import os
import resource
import signal
import socket
import threading
from pathlib import Path

import pytest

from pydriver.errors import ConfigurationError, LinkError, MachineDied, MachineError
from pydriver.link import Link
from pydriver.machine import GuestImage, Machine, MachineConfig, Reservations
from pydriver.machine.binary import BUILD

MIB = 1 << 20


def open_descriptors() -> set[str]:
    return {link.name for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}


def children() -> list[str]:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.fixture(autouse=True)
def nothing_stays() -> None:
    before = open_descriptors(), threading.active_count(), children()
    yield
    after = open_descriptors(), threading.active_count(), children()
    assert after[0] == before[0]
    assert after[1:] == before[1:]


def test_qmp_answers_while_the_guest_runs() -> None:
    with Machine(MachineConfig()) as machine:
        assert machine.qmp("query-status")["status"] == "running"
        machine.stop()
        assert machine.qmp("query-status")["status"] == "paused"
        machine.resume()
        assert machine.qmp("query-status")["running"]


def test_qmp_error_names_the_command() -> None:
    with (
        Machine(MachineConfig()) as machine,
        pytest.raises(MachineError, match="device_del"),
    ):
        machine.qmp("device_del", id="nobody")


def test_last_lines_of_qemu_are_there_after_its_end() -> None:
    with Machine(MachineConfig(options=("-global", "nobody.property=1"))) as machine:
        machine.qmp("query-status")
        assert any("nobody" in line for line in machine.log())
    assert any("nobody" in line for line in machine.log())


def test_events_reach_a_listener() -> None:
    seen = threading.Event()
    with Machine(MachineConfig()) as machine:
        machine.listen(lambda name, data: seen.set() if name == "STOP" else None)
        machine.stop()
        assert seen.wait(5)


def test_second_qmp_socket_is_for_its_owner_only_and_goes_with_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    with Machine(MachineConfig(qmp_path=path)) as machine:
        assert path.stat().st_mode & 0o777 == 0o600
        machine.qmp("query-status")  # the first connection is open meanwhile
        with socket.socket(socket.AF_UNIX) as person:
            person.connect(str(path))
            stream = person.makefile("rw")
            assert "QMP" in json.loads(stream.readline())
            stream.write('{"execute": "qmp_capabilities"}\n{"execute": "query-name"}\n')
            stream.flush()
            assert json.loads(stream.readline()) == {"return": {}}
            assert json.loads(stream.readline())["return"]["name"] == "pydriver"
            stream.close()
    assert not path.exists()


def test_socket_path_that_exists_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "qmp"
    path.write_text("mine")
    with (
        pytest.raises(ConfigurationError, match="QMP socket"),
        Machine(MachineConfig(qmp_path=path)),
    ):
        pass
    assert path.read_text() == "mine"


def test_death_is_an_error_with_the_signal_and_wakes_who_waits() -> None:
    with Machine(MachineConfig()) as machine, Link(machine) as link:
        died: list[BaseException] = []

        def serve() -> None:
            try:
                link.processors[0].serve()
            except MachineDied as error:
                died.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        os.kill(machine.pid, signal.SIGKILL)
        thread.join(2)
        assert not thread.is_alive()
        assert "SIGKILL" in str(died[0])
        with pytest.raises(MachineDied, match="SIGKILL"):
            machine.qmp("query-status")


def test_bad_device_is_an_error_with_qemus_last_lines() -> None:
    machine = Machine(MachineConfig(devices=("no-such-device",)))
    with machine, pytest.raises(MachineDied, match="no-such-device"), Link(machine):
        pass


def test_two_machines_live_in_one_process() -> None:
    with Machine(MachineConfig()) as one, Machine(MachineConfig()) as two:
        with Link(one) as first, Link(two) as second:
            for link, value in ((first, 0x1111), (second, 0x2222)):
                page = link.machine.reservations.reserve(4096)
                with link.processors[0].borrowed() as cpu:
                    cpu.write32(page, value)
                    assert cpu.read32(page) == value
        assert one.pid != two.pid


def test_reset_boots_the_guest_again() -> None:
    with Machine(MachineConfig()) as machine:
        for _ in range(3):
            with Link(machine) as link, link.processors[0].borrowed() as cpu:
                cpu.set_cr8(5)
                assert cpu.get_cr8() == 5
            machine.reset()
        with Link(machine) as link, link.processors[0].borrowed() as cpu:
            assert cpu.get_cr8() == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cpus", 0),
        ("cpus", 9),
        ("accel", "xen"),
        ("memory", MIB),
        ("memory", 16 * MIB + 4096),
        ("memory", 4096 * MIB),
        ("bar2", 4095),
        ("bar2", 3 * MIB),
        ("vcpu_threads", "two"),
    ],
)
def test_bad_configuration_is_refused_with_the_value(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=str(value)):
        MachineConfig(**{field: value})


def test_missing_qemu_and_missing_guest_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        Machine(MachineConfig(qemu=tmp_path / "nowhere"))
    with pytest.raises(ConfigurationError, match=r"boot\.rom"):
        Machine(MachineConfig(image=tmp_path / "guest.elf"))


def test_file_that_is_no_elf_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "guest.elf"
    path.write_bytes(b"#!/bin/sh\n")
    with pytest.raises(ConfigurationError, match=r"guest\.elf"):
        GuestImage(path)


def test_image_with_another_layout_is_refused(tmp_path: Path) -> None:
    """A guest that was compiled with one word less in front of the frames."""
    image = bytearray((BUILD / "guest.elf").read_bytes())
    good = GuestImage(BUILD / "guest.elf")
    good.check_layout("link.c", ("link_mailbox",))
    unit, section = good._elf.get_dwarf_info(), good._elf.get_section_by_name(".debug_info")
    for compile_unit in unit.iter_CUs():
        for die in compile_unit.iter_DIEs():
            name = die.attributes.get("DW_AT_name")
            if die.tag == "DW_TAG_member" and name is not None and name.value == b"frames":
                offset = section["sh_offset"] + die.attributes["DW_AT_data_member_location"].offset
                image[offset] ^= 4
    good.close()
    path = tmp_path / "guest.elf"
    path.write_bytes(image)
    bad = GuestImage(path)
    with pytest.raises(LinkError, match="struct link_mailbox: frames is at"):
        bad.check_layout("link.c", ("link_mailbox",))
    bad.close()


def test_no_memory_for_the_memfd_is_a_clear_error() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        with pytest.raises(MachineError, match="no memory for ram: memfd of 65536 KiB"):
            Machine(MachineConfig())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_reservations_are_disjoint_aligned_and_come_back() -> None:
    memory = Reservations(0x1234, 0x10000)
    first, second = memory.reserve(100, 16), memory.reserve(4096)
    assert first % 16 == 0
    assert second % 4096 == 0
    assert not first <= second < first + 100
    with pytest.raises(MachineError, match="exhausted"):
        memory.reserve(0x10000)
    memory.release(first)
    memory.release(second)
    assert memory.reserve(0xE000, 4096) == 0x2000
    with pytest.raises(ConfigurationError):
        memory.reserve(16, 3)
