# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The lines of a register trace: each access is a statement in Python."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from pydriver.place import Caller
from pydriver.trace.access import READS, AccessKind, Value

__all__ = (
    "AccessRecord",
    "Lines",
    "MemoryRecord",
    "TracedBar",
    "TracedFunction",
    "TracedMachine",
)

ECAM_SIZE = 256 << 20
FIRST_BAR = 0x10
MEMORY_LINE = 1024
"""The most bytes of memory in one line."""
LEAST_STEP = 1000
"""The shortest step of the clock that gets a line, in nanoseconds."""

HEADER = '''\
#!/usr/bin/env python3
"""Register accesses of a run of {title}.

`pydriver replay` makes the accesses again, on a new device, and prints what differs; so does this
file, when it is run. `pydriver replay --qtest FILE` makes commands for QEMU of it.
"""

if __name__ == "__main__":
    import sys

    from pydriver.cli.main import main

    sys.argv[1:1] = ["replay", __file__]
    sys.exit(main())

machine(
    memory={memory},
    arguments=[
{arguments}    ],
)
'''


PORTS = {AccessKind.PORT_IN, AccessKind.PORT_OUT}
SINGLE = {AccessKind.READ, AccessKind.WRITE}


class AccessRecord(NamedTuple):
    """An access.

    :ivar time: the time, as `perf_counter_ns` gives it
    :ivar kind: the kind of access
    :ivar processor: the number of the processor
    :ivar irql: the IRQL of the caller
    :ivar width: the size of an element in bytes
    :ivar elements: the number of elements
    :ivar address: the guest-physical address, or the port
    :ivar value: the value read or written, bytes for a block; ``None``: a read had no answer
    :ivar caller: the caller; ``None``: the framework
    """

    time: int
    kind: AccessKind
    processor: int
    irql: int
    width: int
    elements: int
    address: int
    value: Value
    caller: Caller | None


class MemoryRecord(NamedTuple):
    """A change of memory.

    :ivar time: the time, as `perf_counter_ns` gives it
    :ivar base: a physical address, or the name of a BAR
    :ivar offset: the offset from the base, in bytes
    :ivar data: the new content
    """

    time: int
    base: int | str
    offset: int
    data: bytes


@dataclass
class TracedBar:
    """A BAR.

    :ivar index: the number of the BAR, 0 to 5
    :ivar address: the guest-physical address, or the first port; changes when the function is moved
    :ivar size: the size in bytes
    :ivar ports: whether the BAR is one of I/O ports
    :ivar wide: whether the BAR has 64 bits, so that it takes two registers
    """

    index: int
    address: int
    size: int
    ports: bool
    wide: bool


@dataclass(frozen=True)
class TracedFunction:
    """A PCI function of the machine.

    :ivar slot: the place of the function, as in ``"00:02.0"``
    :ivar ids: vendor ID and device ID, as in ``"1234:11e8"``
    :ivar bars: the BARs that have addresses
    :ivar setup: the writes to configuration space that bring a new function into the state that it
        has when the trace begins: offset, width, value
    """

    slot: str
    ids: str
    bars: tuple[TracedBar, ...]
    setup: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class TracedMachine:
    """A machine as the trace describes it: enough to start it again, and to name addresses.

    :ivar title: the name of what the machine runs
    :ivar memory: the size of RAM in bytes
    :ivar arguments: the arguments of QEMU
    :ivar functions: the PCI functions, bridges before the functions behind them
    :ivar ecam: the guest-physical address of bus 0's configuration space
    :ivar ignored: the addresses of the framework's own devices, whose accesses are not recorded
    """

    title: str
    memory: int
    arguments: tuple[str, ...]
    functions: tuple[TracedFunction, ...]
    ecam: int
    ignored: tuple[range, ...]

    def named_bars(self) -> "list[tuple[str, TracedBar]]":
        """All BARs, with their names in the trace."""
        owners = [each for each in self.functions if each.bars]
        named = []
        for function in owners:
            # With one device it is clear whose BAR it is.
            suffix = f"_{function.slot.translate(_TO_NAME)}" if len(owners) > 1 else ""
            named += [(f"bar{bar.index}{suffix}", bar) for bar in function.bars]
        return named


class Lines:
    """Turns records into lines, in their order.

    :param machine: the machine that is traced
    :param start: the time of the beginning, as `perf_counter_ns` gives it
    """

    def __init__(self, machine: TracedMachine, start: int) -> None:
        self._machine = machine
        self._start = self._last = start
        self._bars = machine.named_bars()
        names = {id(bar): name for name, bar in self._bars}
        self._registers: dict[tuple[str, int], tuple[str, TracedBar, int]] = {}
        for function in machine.functions:
            for bar in function.bars:
                for half in range(1 + bar.wide):
                    place = FIRST_BAR + 4 * (bar.index + half)
                    self._registers[function.slot, place] = (names[id(bar)], bar, 32 * half)

    def header(self) -> list[str]:
        """The lines before the first access."""
        machine = self._machine
        arguments = "".join(f"        {argument!r},\n" for argument in machine.arguments)
        lines = [
            HEADER.format(
                title=machine.title.replace("\\", "\\\\").replace('"', '\\"'),
                memory=machine.memory,
                arguments=arguments,
            )
        ]
        lines += [f"{name} = {bar.address:#x}\n" for name, bar in self._bars]
        for function in machine.functions:
            if not function.setup:
                continue
            lines.append(f"# {function.slot} [{function.ids}], as the system had set it up\n")
            lines += [
                f'config_write{8 * width}("{function.slot}", {offset:#x}, {value:#x})\n'
                for offset, width, value in function.setup
            ]
        return lines

    def of(self, record: AccessRecord | MemoryRecord) -> Iterator[str]:
        """The lines of one record."""
        if isinstance(record, MemoryRecord):
            yield from self._clock(record.time)
            yield from self._memory(record)
            return
        slot, offset = self._configuration(record)
        if slot and record.kind is AccessKind.READ:
            return  # such reads change nothing, and would be most of a short trace
        yield from self._clock(record.time)
        statement = self._statement(record, f'"{slot}", {offset:#x}' if slot else "")
        yield (
            f"{statement}  # {(record.time - self._start) / 1e9:.6f} s, cpu {record.processor}, "
            f"IRQL {record.irql}, {record.caller or 'framework'}\n"
        )
        if (slot, offset) in self._registers:
            assert isinstance(record.value, int)
            yield from self._moved(*self._registers[slot, offset], record.value)

    def end(self, time: int) -> list[str]:
        """The lines after the last access, which may have begun something that needs time."""
        return [f"clock_step({max(0, time - self._last)})  # the end\n"]

    def _clock(self, time: int) -> Iterator[str]:
        step = time - self._last
        if step >= LEAST_STEP:
            self._last = time
            yield f"clock_step({step})\n"

    def _memory(self, record: MemoryRecord) -> Iterator[str]:
        for at in range(0, len(record.data), MEMORY_LINE):
            part = record.data[at : at + MEMORY_LINE].hex()
            offset = record.offset + at
            if isinstance(record.base, int):
                yield f'memory({record.base + offset:#x}, "{part}")\n'
            else:
                yield f'memory({record.base} + {offset:#x}, "{part}")\n'

    def _statement(self, record: AccessRecord, configuration: str) -> str:
        kind = record.kind
        name = f"config_{kind.value}" if configuration else kind.value
        arguments = configuration or self._place(record)
        if kind in SINGLE:
            name += f"{8 * record.width}"
        else:
            arguments += f", {record.width}"
        value = record.value
        text = f'"{value.hex()}"' if isinstance(value, bytes) else f"{value or 0:#x}"
        if kind not in READS:
            return f"{name}({arguments}, {text})"
        if kind is AccessKind.READ_BLOCK:
            arguments += f", {record.elements}"
        if value is None:
            return f"{name}({arguments})  # no answer"
        return f"expect({name}({arguments}), {text})"

    def _place(self, record: AccessRecord) -> str:
        for name, bar in self._bars:
            offset = record.address - bar.address
            if bar.ports == (record.kind in PORTS) and 0 <= offset < bar.size:
                return f"{name} + {offset:#x}"
        return f"{record.address:#x}"

    def _configuration(self, record: AccessRecord) -> tuple[str, int]:
        """The slot whose configuration space is accessed, ``""`` for none, and the offset."""
        at = record.address - self._machine.ecam
        if record.kind not in SINGLE or not 0 <= at < ECAM_SIZE:
            return "", 0
        return f"{at >> 20:02x}:{at >> 15 & 31:02x}.{at >> 12 & 7}", at & 0xFFF

    def _moved(self, name: str, bar: TracedBar, shift: int, value: int) -> Iterator[str]:
        """Follows a BAR to another address."""
        if shift == 0:
            value &= ~3 if bar.ports else ~0xF
        address = bar.address & ~(0xFFFFFFFF << shift) | value << shift
        if address != bar.address:
            bar.address = address
            yield f"{name} = {address:#x}\n"


_TO_NAME = str.maketrans({":": "_", ".": "_"})
