# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The guest's memory as an ELF core file, which gdb opens together with the guest's image.

QEMU writes the file, with the registers of the processors. If QEMU is dead the controller still has
the memory, because it is shared, and writes a file without registers.
"""

import os
import shutil
import struct
import subprocess
import threading
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from pydriver.errors import MachineError

if TYPE_CHECKING:
    from pydriver.machine import Machine, SharedMemory

__all__ = ("dump_by_qemu", "dump_shared")

DUMP_TIMEOUT = 60.0
"""Seconds that a dump may take; 64 MiB take less than a tenth of a second."""

LOOK_INTERVAL = 0.2
"""Seconds between two looks at whether QEMU is still there."""

PAGE = 4096
CHUNK = 1 << 20
ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")
IDENTITY = b"\x7fELF\x02\x01\x01"
ET_CORE, EM_X86_64, EV_CURRENT, PT_LOAD, PF_RWX = 4, 62, 1, 1, 7


def dump_by_qemu(machine: "Machine", path: Path) -> None:
    """Makes QEMU write a core file: all memory, by physical addresses, and the registers.

    :param machine: the machine, running or stopped
    :param path: the path of an existing, empty file; its mode is kept
    :raises MachineError: QEMU cannot write the file, or not in time
    """
    # Without `detach`, a dump that takes longer than the timeout of a QMP command would fail.
    done = threading.Event()
    outcome: dict[str, Any] = {}

    def listen(name: str, data: dict[str, Any]) -> None:
        if name == "DUMP_COMPLETED":
            outcome.update(data)
            done.set()

    machine.listen(listen)
    machine.qmp("dump-guest-memory", paging=False, detach=True, protocol=f"file:{path}")
    deadline = monotonic() + DUMP_TIMEOUT
    while not done.wait(LOOK_INTERVAL) and monotonic() < deadline:
        machine.check_alive()
    if not done.is_set():
        raise MachineError(f"QEMU has not written the memory within {DUMP_TIMEOUT:.0f} s")
    if outcome.get("result", {}).get("status") != "completed":
        raise MachineError(f"QEMU has not written the memory: {outcome.get('error', 'no reason')}")
    _dig_holes(path)


def _dig_holes(path: Path) -> None:
    """Frees the disk space of pages of zeros, where the file system supports that."""
    program = shutil.which("fallocate")
    if program is not None:
        subprocess.run(
            [program, "--dig-holes", path],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


def dump_shared(memory: "SharedMemory", path: Path) -> None:
    """Writes a core file of the guest's RAM, which starts at address 0, without registers.

    :raises OSError: the file cannot be written
    """
    header = ELF_HEADER.pack(
        IDENTITY.ljust(16, b"\0"),
        *(ET_CORE, EM_X86_64, EV_CURRENT),
        *(0, ELF_HEADER.size, 0, 0),
        *(ELF_HEADER.size, PROGRAM_HEADER.size, 1),
        *(0, 0, 0),
    )
    program = PROGRAM_HEADER.pack(PT_LOAD, PF_RWX, PAGE, 0, 0, memory.size, memory.size, PAGE)
    with path.open("r+b", buffering=0) as file:
        file.write(header + program)
        file.truncate(PAGE + memory.size)
        offset = 0
        while offset < memory.size:
            try:
                offset = os.lseek(memory.fd, offset, os.SEEK_DATA)
            except OSError:  # ENXIO: only a hole is left
                break
            end = os.lseek(memory.fd, offset, os.SEEK_HOLE)
            while offset < end:
                block = os.pread(memory.fd, min(CHUNK, end - offset), offset)
                offset += os.pwrite(file.fileno(), block, PAGE + offset)
