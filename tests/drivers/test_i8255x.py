# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The driver of the 8255x: frames in and out, a network, a shared line, link and resets."""

import math
import random
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pydriver.drivers import edu, i8255x, nvme
from pydriver.drivers.i8255x.eeprom import Eeprom
from pydriver.drivers.i8255x.exercise import Station
from pydriver.drivers.i8255x.receive import DESCRIPTORS, STRIDE
from pydriver.drivers.i8255x.spec import FRAME_COMPLETE, I8255xRegisters
from pydriver.ke import NtStatusError
from pydriver.ke.status import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_CANCELLED,
    STATUS_CRC_ERROR,
    STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
)
from pydriver.machine import MachineConfig
from pydriver.pci import InterruptMode
from pydriver.system import System
from pydriver.testing import Qmp, RecorderSlice
from pydriver.trace import Event
from pydriver.wdf import Device, File

from .test_mqdma import wait_until

VENDOR = 0x8086
MAC = bytes.fromhex("525400abcdef")
MAC_TEXT = MAC.hex(":")
TIMEOUT = 20.0
USER_NETWORK = "-netdev user,id=n0"
DEVICE = f"i82559c,id=nic,netdev=n0,mac={MAC_TEXT}"
LENGTH = struct.Struct(">I")

MODELS = {
    "i82550": 0x1209,
    "i82551": 0x1209,
    "i82557a": 0x1229,
    "i82557b": 0x1229,
    "i82557c": 0x1229,
    "i82558a": 0x1229,
    "i82558b": 0x1229,
    "i82559a": 0x1229,
    "i82559b": 0x1229,
    "i82559c": 0x1229,
    "i82559er": 0x1209,
    "i82562": 0x1209,
    "i82801": 0x2449,
}

DISK = "-drive driver=null-co,size=1M,read-zeroes=on,snapshot=on,if=none,id=d0"
"""A disk of zeroes; what is written goes to a temporary file."""

pytestmark = pytest.mark.pydriver(device=DEVICE, driver=i8255x, cpus=1, options=USER_NETWORK)


class Peer:
    """The other end of the cable: QEMU's stream netdev, which puts a length before each frame."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT)
        self._connection = connection
        self._file = connection.makefile("rb")

    def receive(self) -> bytes:
        (length,) = LENGTH.unpack(self._file.read(LENGTH.size))
        return self._file.read(length)

    def send(self, *frames: bytes) -> None:
        self._connection.sendall(b"".join(LENGTH.pack(len(frame)) + frame for frame in frames))


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    """The port to which the machine connects its cable."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "network"))
        listening.listen()
        listening.settimeout(TIMEOUT)
        yield listening


@pytest.fixture
def machine_config(request: pytest.FixtureRequest, machine_config: MachineConfig) -> MachineConfig:
    """With a peer, a test has it at the other end of the cable, instead of QEMU's user network."""
    if "peer" not in request.fixturenames:
        return machine_config
    path = request.getfixturevalue("listening").getsockname()
    network = f"stream,id=n0,server=off,addr.type=unix,addr.path={path}"
    return replace(machine_config, options=("-netdev", network))


@pytest.fixture
def peer(listening: socket.socket, system: System) -> Iterator[Peer]:
    connection, _ = listening.accept()
    with connection:
        peer = Peer(connection)
        yield peer
        peer._file.close()


@pytest.fixture
def adapter(device: Device) -> i8255x.I8255x:
    return device.get_typed_context(i8255x.I8255x)


def frame(number: int, size: int = 200, to: bytes = MAC) -> bytes:
    content = random.Random(number).randbytes(size - 18)
    return to + bytes.fromhex("020000000001 88b5") + number.to_bytes(4, "big") + content


def statistics(file: File) -> i8255x.Statistics:
    size = i8255x.Statistics.SIZE
    return i8255x.Statistics.parse(file.device_control(i8255x.IOCTL_STATISTICS, b"", size, TIMEOUT))


def link(file: File) -> i8255x.LinkState:
    size = i8255x.LinkState.SIZE
    return i8255x.LinkState.parse(file.device_control(i8255x.IOCTL_LINK, b"", size, TIMEOUT))


# Frames


def test_frames_of_each_size_pass_unchanged_both_ways(peer: Peer, device: Device) -> None:
    sizes = [60, 61, 63, 64, 65, 127, 128, 512, 1000, 1499, 1513, 1514, 1518]
    with device.open() as file:
        for number, size in enumerate(sizes):
            out, back = frame(number, size), frame(number + 100, size)
            assert file.write(out, timeout=TIMEOUT) == size
            assert peer.receive() == out
            peer.send(back)
            assert file.read(i8255x.MAX_FRAME, timeout=TIMEOUT) == back


@pytest.mark.alone
@pytest.mark.parametrize("cpus", [1, 2])
def test_many_writes_are_sent_in_order_in_lists(
    peer: Peer, device: Device, adapter: i8255x.I8255x
) -> None:
    frames = [frame(number, 60 + number % 1400) for number in range(1000)]
    with device.open() as file:
        irps = [file.write_async(each) for each in frames]
        assert [peer.receive() for _ in frames] == frames
        assert {irp.wait(TIMEOUT) for irp in irps} == {STATUS_SUCCESS}
        assert adapter.transmit.sent == len(frames)
        assert statistics(file).sent == len(frames)


def test_reads_get_frames_in_order_and_the_ring_keeps_what_nobody_reads(
    peer: Peer, device: Device, adapter: i8255x.I8255x
) -> None:
    frames = [frame(number) for number in range(DESCRIPTORS + 40)]
    more = [frame(number) for number in range(1000, 1010)]
    with device.open() as file:
        peer.send(*frames)
        wait_until(lambda: statistics(file).lost == 40)
        kept = [file.read(i8255x.MAX_FRAME, timeout=TIMEOUT) for _ in range(DESCRIPTORS)]
        assert kept == frames[:DESCRIPTORS]
        # The receive unit had stopped, and continues.
        assert adapter.receive.restarts >= 1
        peer.send(*more)
        assert [file.read(i8255x.MAX_FRAME, timeout=TIMEOUT) for _ in more] == more
        assert statistics(file).received == DESCRIPTORS + len(more)


def test_frame_that_the_device_did_not_find_right_is_dropped(
    peer: Peer, device: Device, adapter: i8255x.I8255x
) -> None:
    frames = [frame(number) for number in range(3)]
    ring = adapter.receive
    with device.open() as file:
        peer.send(*frames)
        wait_until(lambda: statistics(file).received == len(frames))
        # QEMU finds every frame right: its status has FRAME_OK.
        place = (ring._first + 1) * STRIDE
        ring._view[place : place + 2] = FRAME_COMPLETE.to_bytes(2, "little")
        read = [file.read(i8255x.MAX_FRAME, timeout=TIMEOUT) for _ in range(2)]
    assert read == [frames[0], frames[2]]


@pytest.mark.pydriver(cpus=2)
def test_what_waits_for_frames_gets_each_of_a_long_stream(peer: Peer, device: Device) -> None:
    frames = [frame(number, 60 + number % 1400) for number in range(2000)]
    with device.open() as file:
        window = DESCRIPTORS // 2
        reads = [file.read_async(i8255x.MAX_FRAME) for _ in frames]
        for first in range(0, len(frames), window):
            peer.send(*frames[first : first + window])
            for read in reads[first : first + window]:
                read.result(TIMEOUT)
        assert [read.output for read in reads] == frames
        assert statistics(file).lost == 0


def test_read_that_is_too_small_leaves_the_frame_to_the_next_one(
    peer: Peer, device: Device
) -> None:
    with device.open() as file:
        small = file.read_async(100)
        peer.send(frame(1))
        assert small.wait(TIMEOUT) == STATUS_BUFFER_TOO_SMALL
        assert file.read(i8255x.MAX_FRAME, timeout=TIMEOUT) == frame(1)


def test_frames_for_others_are_not_for_us_but_broadcasts_are(peer: Peer, device: Device) -> None:
    with device.open() as file:
        peer.send(frame(1, to=bytes.fromhex("525400000099")))
        peer.send(frame(2, to=b"\xff" * 6))
        assert file.read(i8255x.MAX_FRAME, timeout=TIMEOUT) == frame(2, to=b"\xff" * 6)


def test_bad_requests_are_refused(device: Device) -> None:
    with device.open() as file:
        for irp, status in (
            (file.write_async(bytes(i8255x.MIN_FRAME - 1)), STATUS_INVALID_BUFFER_SIZE),
            (file.write_async(bytes(i8255x.MAX_FRAME + 1)), STATUS_INVALID_BUFFER_SIZE),
            (file.device_control_async(i8255x.IOCTL_ADDRESS, b"", 5), STATUS_BUFFER_TOO_SMALL),
            (file.device_control_async(i8255x.IOCTL_RESET + 4), STATUS_INVALID_DEVICE_REQUEST),
        ):
            assert irp.wait(TIMEOUT) == status


def test_reads_and_waits_end_with_their_file(device: Device) -> None:
    file = device.open()
    read = file.read_async(i8255x.MAX_FRAME)
    change = file.device_control_async(i8255x.IOCTL_WAIT_LINK_CHANGE, b"", i8255x.LinkState.SIZE)
    file.close()
    assert read.wait(TIMEOUT) == STATUS_CANCELLED
    assert change.wait(TIMEOUT) == STATUS_CANCELLED


# EEPROM


def test_address_is_the_one_in_the_eeprom(device: Device) -> None:
    with device.open() as file:
        assert file.device_control(i8255x.IOCTL_ADDRESS, b"", 6, TIMEOUT) == MAC


@pytest.mark.pydriver(isolated=True)  # the EEPROM stays damaged
def test_damaged_eeprom_is_noticed(system: System, adapter: i8255x.I8255x) -> None:
    registers = I8255xRegisters(adapter._mapped)
    eeprom = Eeprom(system.kernel, registers)
    words = eeprom.read()
    assert len(words) == 64
    assert words[10] != 0xFFFF
    for enable_or_erase in (0b1_00_110000, 0b1_11_001010):  # write enable; erase word 10
        command(registers, enable_or_erase)
    with pytest.raises(NtStatusError) as caught:
        eeprom.read()
    assert caught.value.status == STATUS_CRC_ERROR


def command(registers: I8255xRegisters, value: int) -> None:
    """Shifts a command into the EEPROM."""
    for place in reversed(range(value.bit_length())):
        for clock in (0, 1, 0):
            registers.EEPROM.write(chip_select=1, data_in=value >> place & 1, clock=clock)
    registers.EEPROM.write(0)


# The network


@pytest.mark.parametrize(
    "product",
    [
        pytest.param(product, marks=pytest.mark.pydriver(device=f"{model},netdev=n0"), id=model)
        for model, product in MODELS.items()
    ],
)
def test_each_model_leases_an_address_and_gets_its_echoes(device: Device, product: int) -> None:
    assert (device.function.vendor_id, device.function.device_id) == (VENDOR, product)
    with device.open() as file:
        station = Station(file, TIMEOUT)
        lease = station.lease()
        assert lease.address == bytes((10, 0, 2, 15))
        assert lease.router == bytes((10, 0, 2, 2))
        assert station.echo(lease, 20, 1400, 4) == 20


# Four slots apart is the same pin of the interrupt router.
@pytest.mark.alone
@pytest.mark.pydriver(
    device=(f"{DEVICE},addr=0x4", "edu,addr=0x8", "nvme,serial=x,drive=d0,addr=0xc"),
    options=f"{USER_NETWORK} {DISK}",
)
@pytest.mark.timeout(300)  # a loaded machine: each interrupt runs the ISRs of all three drivers
@pytest.mark.parametrize("cpus", [1, 2])
def test_thousand_echoes_are_answered_while_others_are_busy_on_the_line(
    system: System, device: Device
) -> None:
    others = [
        system.load_driver(entry, name).add_device(
            system.pci.find(*ids), interrupts=InterruptMode.INTX
        )
        for entry, name, ids in (
            (edu.driver_entry, "edu", (edu.VENDOR, edu.DEVICE)),
            (nvme.driver_entry, "nvme", (0x1B36, 0x0010)),
        )
    ]
    lines = {each.interrupts[0].get_info().vector for each in (device, *others)}
    assert len(lines) == 1
    stop = threading.Event()
    wrong: list[int] = []
    done = dict.fromkeys(others, 0)

    def compute(device: Device) -> None:
        with device.open() as file:
            while not stop.is_set():
                number = done[device] % 13
                answer = file.device_control(
                    edu.IOCTL_FACTORIAL, number.to_bytes(4, "little"), 4, TIMEOUT
                )
                if int.from_bytes(answer, "little") != math.factorial(number):
                    wrong.append(number)
                done[device] += 1

    def store(device: Device) -> None:
        with device.open() as file:
            while not stop.is_set():
                data = random.Random(done[device]).randbytes(4096)
                file.write(data, 8192, TIMEOUT)
                if file.read(4096, 8192, TIMEOUT) != data:
                    wrong.append(done[device])
                done[device] += 1

    threads = [
        threading.Thread(target=work, args=(device,))
        for work, device in zip((compute, store), others, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        with device.open() as file:
            station = Station(file, TIMEOUT)
            lease = station.lease()
            before = dict(done)
            assert station.echo(lease, 1000, 1000, 8) == 1000
            assert statistics(file).lost == 0
            busy = [done[each] - before[each] for each in others]
    finally:
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT)
    assert not wrong
    assert min(busy) > 20
    assert device.interrupts[0].unclaimed + others[0].interrupts[0].unclaimed > 0


# The link


def test_work_item_notices_that_the_link_is_unplugged(
    device: Device, qmp: Qmp, recorder: RecorderSlice
) -> None:
    with device.open() as file:
        size = i8255x.LinkState.SIZE
        assert link(file) == i8255x.LinkState(up=True, megabits=100, full_duplex=True)
        for up in (False, True):
            change = file.device_control_async(i8255x.IOCTL_WAIT_LINK_CHANGE, b"", size)
            qmp("set_link", name="nic", up=up)
            assert change.wait(TIMEOUT) == STATUS_SUCCESS
            assert i8255x.LinkState.parse(change.output).up == up
            assert link(file).up == up
        station = Station(file, TIMEOUT)
        assert station.echo(station.lease(), 10, 100, 1) == 10
        # time, event, processor, IRQL, object, argument
        items = [
            entry[3]
            for entry in recorder.last()
            if entry[1] is Event.WORK_ITEM and "_evt_look" in str(entry[4])
        ]
        assert items
        assert set(items) == {0}


# Resets


@pytest.mark.alone
@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("kind", ["reset", "power cycle"])
def test_hundred_resets_under_load_lose_no_write(
    peer: Peer, device: Device, adapter: i8255x.I8255x, kind: str
) -> None:
    stop = threading.Event()
    sent: list[bytes] = []
    problems: list[str] = []
    received: set[bytes] = set()

    def application() -> None:
        with device.open() as file:
            while not stop.is_set():
                frames = [frame(len(sent) + index) for index in range(20)]
                irps = [file.write_async(each) for each in frames]
                problems.extend(str(irp) for irp in irps if irp.wait(TIMEOUT) != STATUS_SUCCESS)
                sent.extend(frames)

    def other_end() -> None:
        while (got := peer.receive()) != b"end of test...":
            received.add(got)
            peer.send(got[6:12] + got[:6])  # something to receive, too

    threads = [threading.Thread(target=each) for each in (application, other_end)]
    for thread in threads:
        thread.start()
    try:
        with device.open() as file:
            for number in range(100):
                if kind == "reset":
                    file.device_control(i8255x.IOCTL_RESET, timeout=TIMEOUT)
                else:
                    device.exit_d0()
                    device.enter_d0()
                # Even the quickest resets have something to lose.
                wait_until(lambda number=number: len(sent) >= number)
    finally:
        stop.set()
        threads[0].join(TIMEOUT)
        with device.open() as file:
            file.write(b"end of test...", timeout=TIMEOUT)
        threads[1].join(TIMEOUT)
    assert not problems
    assert received >= set(sent)
    assert adapter.resets == (100 if kind == "reset" else 0)


def test_write_waits_for_a_device_that_is_not_in_d0(peer: Peer, device: Device) -> None:
    with device.open() as file:
        file.write(frame(1), timeout=TIMEOUT)
        assert peer.receive() == frame(1)
        device.exit_d0()
        held = file.write_async(frame(2))
        assert not held.done
        device.enter_d0()
        assert held.wait(TIMEOUT) == STATUS_SUCCESS
        assert peer.receive() == frame(2)
