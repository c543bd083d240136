# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The host's half of the link, without a guest: the test writes the mailbox."""

import mmap
import multiprocessing

from pydriver.abi._native import ffi, lib

CALLS = 300_000


def begin_upcalls(memory: mmap.mmap, depth: int) -> None:
    """Does the first step of publish() in guest/link.c: sets depth, and counts no upcall yet."""
    word = memoryview(memory)[depth : depth + 4].cast("I")
    while True:
        word[0] = 1
        word[0] = 0


def test_upcall_that_only_begins_is_not_accepted() -> None:
    memory = mmap.mmap(-1, ffi.sizeof("struct link_control"))
    control = ffi.cast("struct link_control *", ffi.from_buffer(memory))
    host = ffi.new("struct link_host *")
    host.control = control
    host.processors, host.usable, host.online = 1, 2, 1 << 16
    host.spin_ticks = host.look_ticks = 1 << 40
    host.loadavg_fd = host.pidfd = -1
    cpu = lib.link_cpu_new(host, 0, -1, -1, -1)
    depth = ffi.offsetof("struct link_control", "mailboxes") + ffi.offsetof(
        "struct link_mailbox", "depth"
    )
    guest = multiprocessing.get_context("fork").Process(
        target=begin_upcalls, args=(memory, depth), daemon=True
    )
    guest.start()
    try:
        assert not any(lib.link_resume(cpu) for _ in range(CALLS))  # LINK_DONE is 0
    finally:
        guest.kill()
        guest.join()
        lib.link_cpu_free(cpu)
