# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Views of the machine: processors, interrupt controllers, memory, registers, stacks."""

import threading
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pydriver.abi._native import ffi, lib
from pydriver.ke.dpc import Importance, KDpc
from pydriver.ke.irql import irql_name
from pydriver.place import Place, Stack
from pydriver.regs import RegisterMap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydriver.ke.processor import Processor
    from pydriver.machine import Machine
    from pydriver.system import System
    from pydriver.wdf import Device

__all__ = (
    "MonitorAccess",
    "backtrace",
    "device_registers",
    "dpc_queues",
    "dump_memory",
    "irqls",
    "local_apic",
    "pci_functions",
    "symbols",
)

UPCALLS = {
    lib.LINK_UPCALL_IDLE: "idle",
    lib.LINK_UPCALL_INTERRUPT: "interrupt",
    lib.LINK_UPCALL_SOFTWARE: "software interrupt",
    lib.LINK_UPCALL_EXCEPTION: "exception",
    lib.LINK_UPCALL_SERVICE: "service call",
}
CLI = str(Path(__file__).resolve().parent.parent / "cli") + "/"
"""Folder of the code in which the threads of commands begin."""

VIEWS_THREAD = "pydriver-views"
"""Name of the threads that serve views."""

BYTES_PER_LINE = 16
MOST_BYTES = 4096
MOST_SYMBOLS = 40


class MonitorAccess:
    """Reads guest-physical addresses through QEMU's monitor, even while the machine is stopped.

    A read of a device's register has the same side effects as any other read.

    :param machine: QEMU
    """

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine

    def _read(self, address: int, width: int) -> int:
        unit = {1: "b", 2: "h", 4: "w", 8: "g"}[width]
        answer = self._machine.qmp(
            "human-monitor-command", command_line=f"xp /1x{unit} {address:#x}"
        )
        return int(str(answer).split(":")[1].split()[0], 16)

    def read8(self, address: int) -> int:
        """Reads one byte."""
        return self._read(address, 1)

    def read16(self, address: int) -> int:
        """Reads two bytes."""
        return self._read(address, 2)

    def read32(self, address: int) -> int:
        """Reads four bytes."""
        return self._read(address, 4)

    def read64(self, address: int) -> int:
        """Reads eight bytes."""
        return self._read(address, 8)

    def _refuse(self, address: int, value: int) -> None:
        """Refuses a write: views write nothing."""
        raise ValueError(f"{address:#x} can only be read: views write nothing")

    write8 = write16 = write32 = write64 = _refuse


def monitor(machine: "Machine", command: str) -> list[str]:
    """Returns the answer of QEMU's human monitor, as lines."""
    return str(machine.qmp("human-monitor-command", command_line=command)).splitlines()


def irqls(system: "System") -> list[str]:
    """Shows the IRQL of each processor as Python has it, beside the CR8 [`irql`]."""
    lines = ["cpu  IRQL (frame that runs)      CR8 (vCPU, now)  frames  owner"]
    for processor in system.kernel.processors:
        believed = processor.state.irql
        live = _control_register(system.machine, processor.number)
        # A vCPU that sleeps in an unanswered upcall does so at CR8 = 14: see guest/link.c.
        shown = "?" if live is None else f"{live}{' (asleep)' if processor.link.asleep else ''}"
        lines.append(
            f"{processor.number:>3}  {irql_name(believed):<28}{shown:<17}"
            f"{processor.link.depth:>6}  {_owner(processor)}"
        )
    return lines


def _owner(processor: "Processor") -> str:
    state = processor.state
    if not state.level and not state.borrowed:
        return "-"
    ident = processor.owner if state.borrowed else processor.service_thread
    return next((each.name for each in threading.enumerate() if each.ident == ident), "-")


def _control_register(machine: "Machine", number: int) -> int | None:
    """Returns CR8, the upper half of the local APIC's task priority [SDM 3, 11.8.6]."""
    for line in monitor(machine, f"info lapic {number}"):
        name, _, rest = line.strip().partition("\t")
        if name.startswith("TPR"):
            return int(rest.split()[0], 16) >> 4
        if "TPR" in line:
            return int(line.split("TPR")[1].split()[0].strip(":= "), 16) >> 4
    return None


def local_apic(system: "System", number: int) -> list[str]:
    """Shows the local APIC of one processor, as QEMU prints it [`lapic`]."""
    return monitor(system.machine, f"info lapic {number}")


def dpc_queues(system: "System") -> list[str]:
    """Shows the DPC queue of each processor [`dpcs`]."""
    lines = []
    for processor in system.kernel.processors:
        doing = "working it off" if processor.draining else "not working it off"
        lines.append(
            f"processor {processor.number}: {len(processor.dpcs)} queued, {doing}; "
            f"{processor.dpc_durations.count} have run"
        )
        for dpc in islice(list(processor.dpcs), MOST_SYMBOLS):
            # The others are markers of a flush of the queues, which should not wait.
            importance = dpc.importance if isinstance(dpc, KDpc) else Importance.MEDIUM_HIGH
            lines.append(f"    {importance.name:<12} {dpc.owner}")
    return lines


def pci_functions(system: "System") -> list[str]:
    """Shows every PCI function, with its BARs and its driver [`pci`]."""
    drivers = {
        device.function: device
        for each in system.drivers
        if each.driver is not None
        for device in each.driver.devices
    }
    lines = []
    for function in system.pci.functions:
        device = drivers.get(function)
        lines.append(f"{function}{f'  driver: {device.driver.name}' if device else ''}")
        lines += [f"    {bar}" for bar in function.bars]
    return lines


def dump_memory(system: "System", address: int, length: int) -> list[str]:
    """Shows guest RAM, 16 bytes a line [`mem`].

    :raises ValueError: the address is not in RAM, or the length is too large
    """
    memory = system.machine.memory
    if not 0 < length <= MOST_BYTES:
        raise ValueError(f"{length} bytes: 1 to {MOST_BYTES} can be shown")
    if not 0 <= address <= memory.size - length:
        raise ValueError(f"{address:#x} is not in RAM, which is {memory.size:#x} bytes from 0 on")
    start = memory.pointer(address, "unsigned char *")
    data = bytes(ffi.buffer(start, length))
    return [
        f"{address + offset:016x}  {part.hex(' '):<47}  "
        + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        for offset in range(0, length, BYTES_PER_LINE)
        for part in [data[offset : offset + BYTES_PER_LINE]]
    ]


def symbols(system: "System", pattern: str) -> list[str]:
    """Shows symbols of the guest by a shell pattern, or the one at an address [`sym`].

    :raises ValueError: there is no such symbol
    """
    image = system.machine.image
    if pattern.startswith("0x"):
        found = image.nearest(int(pattern, 16))
        if not found:
            raise ValueError(f"{pattern} is not in the guest's image")
        return [f"{pattern}  {found}"]
    matches = image.symbols(pattern)
    if not matches:
        raise ValueError(f"the guest has no symbol {pattern}")
    lines = [f"{address:#010x}  {name}" for address, name in matches[:MOST_SYMBOLS]]
    if len(matches) > MOST_SYMBOLS:
        lines.append(f"... and {len(matches) - MOST_SYMBOLS} more")
    return lines


def backtrace(system: "System") -> list[str]:
    """Shows the upcall frames of each vCPU, and the stacks of threads in driver code [`bt`]."""
    lines = []
    for processor in system.kernel.processors:
        lines.append(f"processor {processor.number}: guest frames, the innermost first")
        lines += [f"    {line}" for line in _guest_frames(system, processor)]
    for thread, stack in _driver_threads():
        lines.append(f"thread {thread}: driver's frames, the innermost first")
        lines += [f"    {line}" for line in reversed(stack)]
    return lines


def _guest_frames(system: "System", processor: "Processor") -> "Iterator[str]":
    mailbox = processor.state.mailbox
    for depth in range(mailbox.depth, -1, -1):
        frame = mailbox.frames[depth]
        if frame.kind == lib.LINK_UPCALL_IDLE or not depth:
            yield f"#{depth} idle at PASSIVE_LEVEL, {frame.done} of {frame.posted} commands done"
            continue
        where = system.machine.image.nearest(frame.rip) or "-"
        yield (
            f"#{depth} {UPCALLS.get(frame.kind, '?')} {frame.vector:#04x}, interrupted "
            f"{frame.rip:#x} ({where}) at {irql_name(frame.cr8)}, now {irql_name(frame.level)}"
        )


def _driver_threads() -> "Iterator[tuple[str, list[str]]]":
    stacks = Stack.of_threads()
    for thread in threading.enumerate():
        stack = stacks.get(thread.ident or 0)
        if stack is None or thread is threading.current_thread():
            continue
        if thread.name == VIEWS_THREAD:
            continue
        lines = [
            f"{each.function} ({each.file}:{each.line})"
            for each in stack.all_places
            if not _is_host(each)
        ]
        if lines:
            yield thread.name, lines


def _is_host(place: Place) -> bool:
    """Whether a place is in Python's library or in the command line's own code."""
    return place.library or place.file.startswith(CLI)


def device_registers(system: "System", device: "Device") -> list[str]:
    """Shows the decoded registers of each register map in the device's contexts [`regs`].

    :raises ValueError: the contexts have no register map
    """
    lines: list[str] = []
    for context in (device._contexts or {}).values():
        for name, value in _maps(context):
            lines.append(f"{name}: {type(value).__name__}")
            lines += _decoded(system, value)
    if not lines:
        raise ValueError(f"{device}: its contexts have no RegisterMap")
    return lines


def _maps(context: object) -> "Iterator[tuple[str, RegisterMap]]":
    names = getattr(context, "__dict__", None) or {
        name: getattr(context, name, None) for name in getattr(context, "__slots__", ())
    }
    for name, value in names.items():
        if isinstance(value, RegisterMap):
            yield name, value


def _decoded(system: "System", registers: RegisterMap) -> "Iterator[str]":
    base = getattr(registers.access, "address", 0) + registers.base
    copy = type(registers)(MonitorAccess(system.machine), base)
    for register in copy:
        value = register.read()
        fields = ", ".join(f"{field}={number}" for field, number in value)
        name = str(register).strip("<>")
        yield f"    {name:<44} {int(value):#x}{f'  ({fields})' if fields else ''}"
