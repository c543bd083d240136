# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""An NVMe disk used from Python through QEMU's qtest: the alternative to a driver framework.

Each access to a register or to memory is a message to QEMU and its answer. With shared memory,
which qtest itself does not have, only accesses to registers are. Completions are polled for. Rings
and commands are the NVMe driver's own.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import monotonic, perf_counter, perf_counter_ns
from typing import Self, overload

from pydriver.bench.figures import Load, percentile
from pydriver.drivers.nvme.rings import QueuePair, View, ring_bytes
from pydriver.drivers.nvme.spec import (
    COMMAND_BYTES,
    COMPLETION_BYTES,
    PHYSICALLY_CONTIGUOUS,
    Admin,
    Command,
    Io,
)
from pydriver.errors import MachineError
from pydriver.machine.binary import default_qemu
from pydriver.machine.qtest import QtestMachine

__all__ = ("QtestDisk",)

ENTRIES = 128
NAMESPACE = 1
LOGICAL_BLOCK = 512
TIMEOUT = 20.0

SLOT = 4
CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
CONFIG_ENABLE = 1 << 31
COMMAND_REGISTER, BAR0, BAR0_HIGH = 0x04, 0x10, 0x14
MEMORY_SPACE, BUS_MASTER = 1 << 1, 1 << 2

REGISTERS = 0xE000_0000
CC, CSTS, AQA, ASQ, ACQ = 0x14, 0x1C, 0x24, 0x28, 0x30
CC_ENABLE = 1
CSTS_READY = 1

RINGS = 1 << 20
DATA = 8 << 20


class _Messages:
    """Memory that is read and written by messages.

    :param machine: the machine the memory belongs to
    :param address: the guest-physical address of its start
    :param length: the length in bytes
    """

    def __init__(self, machine: QtestMachine, address: int, length: int) -> None:
        self._machine = machine
        self._address = address
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int, /) -> int: ...
    @overload
    def __getitem__(self, place: slice, /) -> bytes: ...
    def __getitem__(self, place: int | slice, /) -> int | bytes:
        if isinstance(place, int):
            return self._machine.read(self._address + place, 1)
        begin, end, _ = place.indices(self._length)
        return self._machine.memread(self._address + begin, end - begin)

    def __setitem__(self, place: slice, data: bytes, /) -> None:
        begin, _, _ = place.indices(self._length)
        self._machine.memwrite(self._address + begin, data)

    def release(self) -> None:
        """Does nothing, because nothing is held."""


@dataclass
class _Memory:
    """Memory in the form that rings need."""

    view: View
    logical_address: int


class QtestDisk:
    """A disk with one I/O queue pair.

    :param machine: the machine, with an NVMe controller in slot 4
    :param ram: the machine's RAM
    :param block: the length of a read in bytes
    :param offset: the function that returns the byte offset of the read in a place
    """

    def __init__(
        self, machine: QtestMachine, ram: View, block: int, offset: Callable[[int], int]
    ) -> None:
        self._machine = machine
        self._ram = ram
        self._block = block
        self._offset = offset
        self._admin, self._io = (QueuePair(each, ENTRIES, self._rings(each)) for each in (0, 1))
        self._map()
        self._enable()
        self._create_queue()

    @classmethod
    @contextlib.contextmanager
    def started(
        cls, medium: str, block: int, offset: Callable[[int], int], *, shared: bool
    ) -> Iterator[Self]:
        """Starts a machine of its own with a disk.

        :param medium: the value of QEMU's -blockdev, without the name of its node
        :param block: the length of a read in bytes
        :param offset: the function that returns the byte offset of the read in a place
        :param shared: whether the machine's memory is accessed directly, not by messages
        """
        options = ("-blockdev", f"{medium},node-name=d0")
        device = ("-device", f"nvme,serial=qtest,drive=d0,addr={SLOT:#x}")
        with QtestMachine(str(default_qemu()), *options, *device) as machine:
            ram: View = machine.ram.view if shared else _Messages(machine, 0, machine.ram.size)
            disk = cls(machine, ram, block, offset)
            yield disk
            disk.close()

    def _rings(self, number: int) -> _Memory:
        size = ring_bytes(ENTRIES)
        address = RINGS + number * size
        if isinstance(self._ram, memoryview):
            return _Memory(self._ram[address : address + size], address)
        return _Memory(_Messages(self._machine, address, size), address)

    def close(self) -> None:
        """Releases the memory."""
        for pair in (self._admin, self._io):
            pair.forget()
        self._ram.release()

    def write32(self, offset: int, value: int) -> None:
        """Writes a register, for example a doorbell."""
        self._machine.write(REGISTERS + offset, value, 4)

    def _map(self) -> None:
        command = MEMORY_SPACE | BUS_MASTER
        for register, value in ((BAR0, REGISTERS), (BAR0_HIGH, 0), (COMMAND_REGISTER, command)):
            self._machine.outl(CONFIG_ADDRESS, CONFIG_ENABLE | SLOT << 11 | register)
            self._machine.outl(CONFIG_DATA, value)

    def _enable(self) -> None:
        self._admin.start(self, 0)
        self.write32(AQA, (ENTRIES - 1) << 16 | ENTRIES - 1)
        for register, address in (
            (ASQ, self._admin.submission_address),
            (ACQ, self._admin.completion_address),
        ):
            self.write32(register, address)
            self.write32(register + 4, 0)
        sizes = (COMMAND_BYTES.bit_length() - 1) << 16 | (COMPLETION_BYTES.bit_length() - 1) << 20
        self.write32(CC, sizes | CC_ENABLE)
        self._wait(lambda: bool(self._machine.read(REGISTERS + CSTS, 4) & CSTS_READY))

    def _create_queue(self) -> None:
        pair = self._io
        pair.start(self, 0)
        size = (ENTRIES - 1) << 16 | pair.number
        for opcode, address, flags in (
            (Admin.CREATE_COMPLETION_QUEUE, pair.completion_address, 0),
            (Admin.CREATE_SUBMISSION_QUEUE, pair.submission_address, pair.number << 16),
        ):
            command = Command(opcode, prp1=address, dwords=(size, flags | PHYSICALLY_CONTIGUOUS))
            self._admin.submit(command.pack(0))
            self._wait(lambda: self._admin.pending)
            ((_, status, _),) = self._admin.take_completions()
            if status:
                raise MachineError(f"{command}: status {status:#x}")

    @staticmethod
    def _wait(condition: Callable[[], bool]) -> None:
        deadline = monotonic() + TIMEOUT
        while not condition():
            if monotonic() > deadline:
                raise MachineError("the NVMe controller does not answer")

    def read(self, depth: int, reads: int) -> Load:
        """Keeps reads in flight.

        :param depth: the number of reads in flight
        :param reads: the total number of reads
        """
        pair, ram, block = self._io, self._ram, self._block
        buffers = [bytearray(block) for _ in range(depth)]
        begun = [0] * depth
        times: list[int] = []
        blocks = block // LOGICAL_BLOCK - 1

        def send(place: int) -> None:
            begun[place] = perf_counter_ns()
            first = self._offset(place) // LOGICAL_BLOCK
            dwords = (first & 0xFFFFFFFF, first >> 32, blocks)
            command = Command(Io.READ, NAMESPACE, DATA + place * block, 0, dwords)
            pair.submit(command.pack(place))

        start = perf_counter()
        for place in range(depth):
            send(place)
        sent = depth
        while len(times) < reads:
            self._wait(lambda: pair.pending)
            for place, status, _ in pair.take_completions():
                if status:
                    raise MachineError(f"a read ended with status {status:#x}")
                data = DATA + place * block
                buffers[place][:] = ram[data : data + block]
                times.append(perf_counter_ns() - begun[place])
                if sent < reads:
                    sent += 1
                    send(place)
        return Load((perf_counter() - start) / reads * 1e6, percentile(times))
