# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Crash directories: what a system leaves behind when it fails, and the analysis of it. ::

    report = CrashDirectory(Path("crash"))
    with System(SystemConfig(machine, on_failure=report)) as system:
        ...

writes `crash/` at a bug check, when QEMU dies, and at the end if the verifier has found something.
For an error that does not end the system, such as a test that waits in vain, call
:func:`write_crash` while the system exists. Later, :func:`read_crash` and :func:`analyse` say what
was wrong, as `pydriver analyze` does.

The directory has mode 0700, its files 0600:

=================== ============================================================================
report.txt          the report that the terminal shows
crash.json          incidents, objects, threads, processors, locks: for programs
recorder.json, .txt the whole recorder
memory.elf          the guest's memory and registers: `gdb guest.elf memory.elf`
guest.elf           the guest's image, with debug information
registers.txt       the processors' registers and local APICs
qtree.txt           QEMU's device tree, PCI bus and I/O APIC
devices.json        the properties of the devices
pci-config.txt      the configuration space of each PCI function
qemu.log            the output of QEMU
configuration.json  command lines, versions
contents.json       the files that were written, and why others are missing
=================== ============================================================================
"""

from pydriver.crash.analysis import Analysis, analyse
from pydriver.crash.directory import (
    Crash,
    CrashDirectory,
    WrittenCrash,
    read_crash,
    write_crash,
)

__all__ = (
    "Analysis",
    "Crash",
    "CrashDirectory",
    "WrittenCrash",
    "analyse",
    "read_crash",
    "write_crash",
)
