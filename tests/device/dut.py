# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The device under test as a bare driver uses it: configuration space, registers and rings."""

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydriver.abi._native import lib

from pydriver.machine.qtest import TIMEOUT, QtestMachine

#: The addresses of the BARs.
BAR0 = 0xE000_0000
BAR2 = 0xE200_0000
BAR4 = 0xE100_0000

#: The address in RAM to which messages of the vectors are sent, and their data.
MESSAGES = 0x8000
MESSAGE_DATA = 0xA5A5_0000

COMMAND = 0x04
STATUS = 0x06
CAPABILITY_POINTER = 0x34
COMMAND_MEMORY = 0x0002
COMMAND_MASTER = 0x0004
COMMAND_INTX_DISABLE = 0x0400

CAP_PM = 0x01
CAP_MSI = 0x05
CAP_EXPRESS = 0x10
CAP_MSIX = 0x11

ALL_ONES = 0xFFFF_FFFF

COMPLETION = struct.Struct("<QIIHHBBHQ")
DESCRIPTOR = struct.Struct("<BBHIQQQQQQQ")


@dataclass(frozen=True)
class Completion:
    """An entry of a completion ring."""

    cookie: int
    result: int
    sequence: int
    sq_head: int
    sq_index: int
    opcode: int
    status: int
    flags: int
    clock_ns: int


def descriptor(
    opcode: int = lib.MQDMA_OP_NOP,
    *,
    flags: int = 0,
    length: int = 0,
    cookie: int = 0,
    src: int = 0,
    dst: int = 0,
    param: int = 0,
    delay_ns: int = 0,
    reserved: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    """The 64 bytes of a descriptor."""
    return DESCRIPTOR.pack(
        opcode, reserved[0], flags, length, cookie, src, dst, param, delay_ns, *reserved[1:]
    )


class Dut:
    """An mqdma behind a bus, with its BARs mapped.

    :param devfn: the device and function number on ``bus``
    """

    def __init__(
        self, qemu: QtestMachine, *, bus: int = 0, devfn: int = 4 << 3, path: str = "dut"
    ) -> None:
        self.qemu = qemu
        self._address = 0x8000_0000 | bus << 16 | devfn << 8
        self._path = f"/machine/peripheral/{path}"

    # Configuration space, by ports 0xcf8 and 0xcfc

    def config(self, offset: int, size: int = 4) -> int:
        """Reads 1, 2 or 4 bytes of configuration space."""
        self.qemu.outl(0xCF8, self._address | (offset & 0xFC))
        value = self.qemu.inl(0xCFC) >> 8 * (offset & 3)
        return value & ((1 << 8 * size) - 1)

    def set_config(self, offset: int, value: int, size: int = 4) -> None:
        """Writes 1, 2 or 4 bytes of configuration space."""
        self.qemu.outl(0xCF8, self._address | (offset & 0xFC))
        port = 0xCFC + (offset & 3)
        self.qemu.command("out" + "bwl"[size.bit_length() - 1], hex(port), hex(value))

    def capabilities(self) -> dict[int, int]:
        """The offsets of the capabilities by their IDs."""
        found = {}
        at = self.config(CAPABILITY_POINTER, 1)
        while at:
            found[self.config(at, 1)] = at
            at = self.config(at + 1, 1)
        return found

    def start(self) -> None:
        """Maps the BARs, enables bus mastering, and enables the device."""
        self.set_config(0x10, BAR0)
        self.set_config(0x18, BAR2)
        self.set_config(0x1C, 0)
        self.set_config(0x20, BAR4)
        self.set_config(COMMAND, COMMAND_MEMORY | COMMAND_MASTER, 2)
        self.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_ENABLE)

    # Registers

    def read(self, register: int, size: int = 4) -> int:
        return self.qemu.read(BAR0 + register, size)

    def write(self, register: int, value: int, size: int = 4) -> None:
        self.qemu.write(BAR0 + register, value, size)

    def write_at_once(self, *writes: tuple[int, int]) -> None:
        """Writes registers (offset, value) so that nothing else runs in QEMU between the writes."""
        self.qemu.batch(*(f"writel {BAR0 + register:#x} {value:#x}" for register, value in writes))

    def queue(self, index: int) -> "Queue":
        return Queue(self, index)

    def error_code(self) -> int:
        """The code in STATUS, which must agree with the error bit there."""
        status = self.read(lib.MQDMA_REG_STATUS)
        code: int = (status & lib.MQDMA_STATUS_REG_ERRCODE_MASK) >> 8
        assert bool(status & lib.MQDMA_STATUS_REG_ERROR) == bool(code)
        return code

    # QOM properties

    def get(self, name: str) -> Any:
        return self.qemu.qmp("qom-get", path=self._path, property=name)

    def set(self, name: str, value: Any) -> None:
        self.qemu.qmp("qom-set", path=self._path, property=name, value=value)

    # Messages: each vector's goes to a word of RAM

    def enable_msix(self, vectors: int = 65) -> None:
        """Programs, unmasks and enables MSI-X."""
        for vector in range(vectors):
            self.set_msix_entry(vector)
            self.clear_message(vector)
        self.set_msix_control(0x8000)

    def set_msix_entry(self, vector: int, *, masked: bool = False) -> None:
        entry = BAR4 + lib.MQDMA_MSIX_TABLE + 16 * vector
        self.qemu.write(entry, MESSAGES + 4 * vector, 4)
        self.qemu.write(entry + 4, 0, 4)
        self.qemu.write(entry + 8, MESSAGE_DATA + vector, 4)
        self.qemu.write(entry + 12, int(masked), 4)

    def mask_msix(self, vector: int, masked: bool) -> None:
        self.qemu.write(BAR4 + lib.MQDMA_MSIX_TABLE + 16 * vector + 12, int(masked), 4)

    def set_msix_control(self, value: int) -> None:
        self.set_config(self.capabilities()[CAP_MSIX] + 2, value, 2)

    def pending(self) -> int:
        """The MSI-X pending bits of vectors 0 to 63."""
        return self.qemu.read(BAR4 + lib.MQDMA_MSIX_PBA, 8)

    def enable_msi(self, order: int = 0) -> None:
        """Enables MSI with 1 << order messages."""
        capability = self.capabilities()[CAP_MSI]
        for vector in range(32):
            self.clear_message(vector)
        self.set_config(capability + 4, MESSAGES)
        self.set_config(capability + 8, 0)
        self.set_config(capability + 12, MESSAGE_DATA & 0xFFFF, 2)
        self.set_config(capability + 2, 1 | order << 4, 2)

    def clear_message(self, vector: int) -> None:
        self.qemu.ram.write(MESSAGES + 4 * vector, bytes(4))

    def message(self, vector: int) -> int:
        """Takes the last message of a vector; returns its data, or 0 when none came."""
        value = int.from_bytes(self.qemu.ram.read(MESSAGES + 4 * vector, 4), "little")
        self.clear_message(vector)
        return value

    def got_message(self, vector: int) -> bool:
        """Takes the last MSI-X message of a vector; returns whether one came."""
        value = self.message(vector)
        assert value in {0, MESSAGE_DATA + vector}
        return bool(value)

    def messages(self) -> int:
        """The number of messages that the device has sent since its reset."""
        return self.read(lib.MQDMA_REG_MESSAGES)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Makes QEMU's main loop turn, by queries, until the condition holds."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not happen"


class Queue:
    """A queue pair of the device, with its rings."""

    def __init__(self, dut: Dut, index: int) -> None:
        self.dut = dut
        self.index = index
        self.page = lib.MQDMA_QUEUE_BASE + index * lib.MQDMA_QUEUE_STRIDE
        self.order = 4
        self.location = 0
        self.sq_base = 0x10_0000 + index * 0x1_0000
        self.cq_base = self.sq_base + 0x8000
        self.tail = 0
        self.head = 0
        self.phase = 1

    def read(self, register: int, size: int = 4) -> int:
        return self.dut.read(self.page + register, size)

    def write(self, register: int, value: int, size: int = 4) -> None:
        self.dut.write(self.page + register, value, size)

    @property
    def entries(self) -> int:
        return 1 << self.order

    def _memory(self, in_bar2: bool) -> Any:
        return self.dut.qemu.shared if in_bar2 else self.dut.qemu.ram

    def start(
        self,
        *,
        order: int = 4,
        location: int = 0,
        sq_base: int | None = None,
        cq_base: int | None = None,
    ) -> "Queue":
        """Gives the queue its rings and enables it."""
        self.order = order
        self.location = location
        if sq_base is not None:
            self.sq_base = sq_base
        if cq_base is not None:
            self.cq_base = cq_base
        self.configure()
        self._memory(bool(location & lib.MQDMA_LOCATION_CQ_BAR2)).write(
            self.cq_base, bytes(lib.MQDMA_COMPLETION_SIZE * self.entries)
        )
        self.enable()
        assert self.state() == lib.MQDMA_STATE_IDLE
        return self

    def configure(self) -> None:
        self.write(lib.MQDMA_Q_ORDER, self.order)
        self.write(lib.MQDMA_Q_LOCATION, self.location)
        self.write(lib.MQDMA_Q_SQ_BASE_LO, self.sq_base, 8)
        self.write(lib.MQDMA_Q_CQ_BASE_LO, self.cq_base, 8)

    def enable(self) -> None:
        self.tail = self.head = 0
        self.phase = 1
        self.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ENABLE)

    def reset(self) -> None:
        self.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_RESET)

    def state(self) -> int:
        state: int = self.read(lib.MQDMA_Q_STATUS) & lib.MQDMA_Q_STATUS_STATE_MASK
        return state

    def error(self) -> int:
        status = self.read(lib.MQDMA_Q_STATUS)
        error: int = (status & lib.MQDMA_Q_STATUS_ERROR_MASK) >> lib.MQDMA_Q_STATUS_ERROR_SHIFT
        return error

    def inflight(self) -> int:
        status = self.read(lib.MQDMA_Q_STATUS)
        count: int = status >> lib.MQDMA_Q_STATUS_INFLIGHT_SHIFT
        return count

    def put(self, *descriptors: bytes) -> None:
        """Writes descriptors into the ring, without the doorbell."""
        memory = self._memory(bool(self.location & lib.MQDMA_LOCATION_SQ_BAR2))
        for each in descriptors:
            memory.write(self.sq_base + self.tail * lib.MQDMA_DESCRIPTOR_SIZE, each)
            self.tail = (self.tail + 1) % self.entries

    def ring(self) -> None:
        self.write(lib.MQDMA_Q_SQ_TAIL, self.tail)

    def submit(self, *descriptors: bytes, then: tuple[tuple[int, int], ...] = ()) -> None:
        """Writes descriptors into the ring, rings the doorbell, and at once writes more registers.

        :param then: the further registers, as offsets in BAR0 and values
        """
        self.put(*descriptors)
        self.dut.write_at_once((self.page + lib.MQDMA_Q_SQ_TAIL, self.tail), *then)

    def peek(self, index: int) -> Completion:
        memory = self._memory(bool(self.location & lib.MQDMA_LOCATION_CQ_BAR2))
        at = self.cq_base + index * lib.MQDMA_COMPLETION_SIZE
        return Completion(*COMPLETION.unpack(memory.read(at, COMPLETION.size)))

    def take(self, *, give_back: bool = True) -> list[Completion]:
        """Takes the completions whose phase bit marks them as new."""
        taken = []
        while True:
            entry = self.peek(self.head)
            if (entry.flags & lib.MQDMA_COMPLETION_PHASE) != self.phase:
                break
            taken.append(entry)
            self.head = (self.head + 1) % self.entries
            if not self.head:
                self.phase ^= 1
        if taken and give_back:
            self.write(lib.MQDMA_Q_CQ_HEAD, self.head)
        return taken

    def settle(self) -> None:
        """Waits until bottom half and block layer have done all work that is not delayed."""
        self.dut.until(lambda: self.state() != lib.MQDMA_STATE_RUNNING, f"the end of {self.index}")

    def run(self, *descriptors: bytes) -> list[Completion]:
        """Submits, waits, and takes the completions."""
        self.submit(*descriptors)
        self.settle()
        return self.take()

    def one(self, descriptor: bytes) -> Completion:
        """Submits one descriptor and returns its completion."""
        (completion,) = self.run(descriptor)
        return completion

    def last_event(self) -> tuple[int, int, int, int]:
        """Takes the last event: VALID and LOST flags, kind, status, low bits of the cookie."""
        word = self.read(lib.MQDMA_Q_LAST_TAKE)
        return (
            word & (lib.MQDMA_EVENT_VALID | lib.MQDMA_EVENT_LOST),
            (word & lib.MQDMA_EVENT_KIND_MASK) >> lib.MQDMA_EVENT_KIND_SHIFT,
            (word & lib.MQDMA_EVENT_STATUS_MASK) >> lib.MQDMA_EVENT_STATUS_SHIFT,
            word & lib.MQDMA_EVENT_COOKIE_MASK,
        )
