# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The opening of the link: handshake with the guest, spin budgets, doorbells."""

import os
import time
from collections.abc import Callable
from typing import Any, Self

from pydriver.abi._native import ffi, lib
from pydriver.errors import LinkError, MachineDied
from pydriver.link.processor import ProcessorLink
from pydriver.machine import Machine

__all__ = ("Link",)

BOOT_TIMEOUT = 20.0
"""Seconds for the boot: the guest takes microseconds, but a loaded machine starts QEMU slowly."""

SPIN_US = 300
SPIN_CROWDED_US = 50
"""Microseconds that a side spins before it sleeps. A vCPU spins for the shorter time when there are
as many vCPUs as host processors; the host does not spin at all while more threads spin or run than
there are host processors."""

LOOK_US = 120
"""Microseconds after which, each time, a spinning host checks what else runs on the machine. It is
longer than a wake-up takes: once both sides have slept, one of them finds the other awake."""

MakeProcessor = Callable[[int, Any, Callable[[], MachineDied]], ProcessorLink]

STRUCTURES = ("link_command", "link_registers", "link_frame", "link_mailbox", "link_control")


class Link:
    """All vCPUs of a running machine.

    :param machine: the machine, which must have been started
    :param make: the class of a processor's mailbox: :class:`ProcessorLink`, or one whose accesses
        are observed
    :ivar processors: the mailboxes, one for each vCPU
    :ivar x2apic: whether the local APICs are in x2APIC mode
    """

    def __init__(self, machine: Machine, make: MakeProcessor = ProcessorLink) -> None:
        self.machine = machine
        self._make = make
        self.processors: list[ProcessorLink] = []
        self.x2apic = False
        self._cpus: list[Any] = []
        offset = machine.image.symbol("link_control")
        self._control = machine.memory.pointer(offset, "struct link_control *")
        self._host = ffi.new("struct link_host *")
        self._loadavg = -1

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.close()

    def open(self) -> None:
        """Waits for the guest, checks that both sides have the same version, starts its processors.

        :raises LinkError: the guest does not start, or has another version
        :raises MachineDied: QEMU has ended
        """
        machine, control, host = self.machine, self._control, self._host
        machine.image.check_layout("link.c", STRUCTURES)
        self._await(lambda: control.magic == lib.LINK_MAGIC, "the guest to start")
        if control.version != lib.LINK_VERSION:
            raise LinkError(
                f"the guest speaks version {control.version} of the link, not {lib.LINK_VERSION}"
            )
        self._set_spins(len(os.sched_getaffinity(0)))
        host.control = control
        host.processors = machine.config.cpus
        host.one_thread = control.one_thread = machine.one_thread
        host.pidfd = machine.pidfd
        control.processors = machine.config.cpus
        for number in range(machine.config.cpus):
            mailbox = control.mailboxes[number]
            self._await(lambda box=mailbox: box.online, f"processor {number} to start")
            self._add(number)
        self.x2apic = bool(control.x2apic)

    def set_doorbell(self, address: int) -> None:
        """Allows the guest to sleep, because it can now ring and be woken.

        :param address: the guest-physical address of ivshmem's Doorbell register, whose MSI-X
            vector i interrupts processor i with ``LINK_VECTOR_WAKE``
        """
        for number in range(len(self.processors)):
            mailbox = self._control.mailboxes[number]
            values = self.machine.doorbell.ring_values(number)
            mailbox.ring_upcall, mailbox.ring_done = values
            mailbox.doorbell = address

    def stop(self) -> None:
        """Ends every wait, now and from now on, with :class:`LinkStopped`."""
        if self._cpus:
            lib.link_stop(self._host, ffi.new("struct link_cpu *[]", self._cpus))
        self._host.stopped = 1

    def close(self) -> None:
        """Frees the structures of :meth:`open`. No thread may use the link after that."""
        self.processors = []
        while self._cpus:
            lib.link_cpu_free(self._cpus.pop())
        if self._loadavg >= 0:
            os.close(self._loadavg)
            self._loadavg = -1

    def _set_spins(self, usable: int) -> None:
        cpus, host = self.machine.config.cpus, self._host
        ticks = lib.link_tsc_per_us()
        host.usable = usable
        host.online = os.cpu_count() or usable
        host.spin_ticks = int(ticks * SPIN_US)
        host.look_ticks = int(ticks * LOOK_US)
        self._loadavg = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
        host.loadavg_fd = self._loadavg
        crowded = cpus >= usable and not self.machine.one_thread
        guest_us = SPIN_CROWDED_US if crowded else SPIN_US
        for number in range(cpus):
            self._control.mailboxes[number].spin = int(ticks * guest_us)

    def _add(self, number: int) -> None:
        doorbell = self.machine.doorbell
        cpu = lib.link_cpu_new(
            self._host,
            number,
            doorbell.upcall_fds[number],
            doorbell.done_fds[number],
            doorbell.wake_fds[number],
        )
        if cpu == ffi.NULL:
            raise MemoryError
        self._cpus.append(cpu)
        self.processors.append(self._make(number, cpu, self.machine.death))

    def _await(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT
        while not condition():
            self.machine.check_alive()
            if time.monotonic() > deadline:
                raise LinkError(f"waited {BOOT_TIMEOUT:.0f} s for {what}; see QEMU's log")
            time.sleep(0.0005)
