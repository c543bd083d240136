# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""One vCPU as the controller sees it: commands, and the upcalls that interrupt them.

Ownership: a mailbox has one owner at a time. The thread in :meth:`ProcessorLink.serve` owns it
while it serves an upcall; any other thread borrows it with :meth:`ProcessorLink.acquire`. Only the
owner may call the command methods. An interrupt can come in during each of those that waits: it is
served before the method returns, on the same Python stack, as an interrupt handler runs on the
stack of the code that it interrupted.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from pydriver.abi._native import ffi, lib
from pydriver.errors import AccessFault, LinkError, LinkStopped, MachineDied

__all__ = ("Handler", "ProcessorLink")

Handler = Callable[[], int]
"""A function that serves one upcall and returns the flags of its RETURN: ``enum link_return``."""

# Bound once, because each of these is on the interrupt path.
_read = lib.link_read
_write = lib.link_write
_post = lib.link_post
_execute = lib.link_execute
_resume = lib.link_resume
_return_resume = lib.link_return_resume
_AGAIN: int = lib.LINK_AGAIN
_FAULTED: int = lib.LINK_FAULTED
_STOPPED: int = lib.LINK_STOPPED
_ACCEPTED: int = lib.LINK_ACCEPTED
_NOT_POSTED: int = lib.LINK_NOT_POSTED
_OP_NOP: int = lib.LINK_OP_NOP
_OP_SET_CR8: int = lib.LINK_OP_SET_CR8


class ProcessorLink:
    """The mailbox of one vCPU.

    :param number: the number of the processor, from 0
    :param cpu: ``struct link_cpu *``
    :param died: the function that makes the error with the reason why QEMU ended
    :ivar handlers: the functions that serve upcalls, by vector; index 256 serves guest code that
        calls the framework. Each must be set before its vector can arrive.
    :ivar state: ``struct link_cpu *``, for code that reads its ``irql`` often
    """

    __slots__ = ("_died", "_mailbox", "apic_id", "handlers", "number", "state")

    def __init__(self, number: int, cpu: Any, died: Callable[[], MachineDied]) -> None:
        self.number = number
        self.handlers: list[Handler] = [self._unexpected for _ in range(lib.LINK_HANDLERS)]
        self.state = cpu
        self._mailbox = cpu.mailbox
        self._died = died
        self.apic_id = int(self._mailbox.apic_id)

    @property
    def cr8(self) -> int:
        """The IRQL: CR8 of the frame in which the owner's code runs, as the guest stored it."""
        return self.state.irql  # type: ignore[no-any-return]

    @property
    def depth(self) -> int:
        """The number of upcalls from which the guest has not returned."""
        return self._mailbox.depth  # type: ignore[no-any-return]

    @property
    def asleep(self) -> bool:
        """Whether the vCPU halts until it is woken."""
        return bool(self._mailbox.asleep)

    @property
    def frame(self) -> Any:
        """The ``struct link_frame *`` of the current upcall, written by the guest."""
        return self.state.frame

    @property
    def statistics(self) -> dict[str, int]:
        """Counts of how often this side slept and was woken late, and the guest halted."""
        cpu = self.state
        return {
            "upcalls": cpu.upcalls,
            "blocks": cpu.blocks,
            "blips": cpu.blips,
            "halts": self._mailbox.halts,
        }

    # Commands

    def read8(self, address: int, /) -> int:
        """Reads one byte at a guest-physical address (waits)."""
        value: int = _read(self.state, address, 1)
        return value if value >= 0 else self._finish(value, lib.LINK_OP_READ, 1, address)

    def read16(self, address: int, /) -> int:
        """Reads two bytes (waits)."""
        value: int = _read(self.state, address, 2)
        return value if value >= 0 else self._finish(value, lib.LINK_OP_READ, 2, address)

    def read32(self, address: int, /) -> int:
        """Reads four bytes (waits).

        :param address: a guest-physical address, naturally aligned
        :raises AccessFault: the address is not mapped in the guest
        :raises MachineDied: QEMU has ended
        """
        value: int = _read(self.state, address, 4)
        return value if value >= 0 else self._finish(value, lib.LINK_OP_READ, 4, address)

    def read64(self, address: int, /) -> int:
        """Reads eight bytes in one access (waits)."""
        return self._command(lib.LINK_OP_READ, 8, address)

    def write8(self, address: int, value: int, /) -> None:
        """Writes one byte (posted: a fault is raised by the next command that waits)."""
        if outcome := _write(self.state, address, 1, value):
            self._post_again(outcome, lib.LINK_OP_WRITE, 1, address, value)

    def write16(self, address: int, value: int, /) -> None:
        """Writes two bytes (posted)."""
        if outcome := _write(self.state, address, 2, value):
            self._post_again(outcome, lib.LINK_OP_WRITE, 2, address, value)

    def write32(self, address: int, value: int, /) -> None:
        """Writes four bytes (posted)."""
        if outcome := _write(self.state, address, 4, value):
            self._post_again(outcome, lib.LINK_OP_WRITE, 4, address, value)

    def write64(self, address: int, value: int, /) -> None:
        """Writes eight bytes in one access (posted)."""
        if outcome := _write(self.state, address, 8, value):
            self._post_again(outcome, lib.LINK_OP_WRITE, 8, address, value)

    def read_block(self, address: int, width: int, count: int) -> bytes:
        """Reads ``count`` elements of ``width`` bytes at increasing addresses, in order (waits)."""
        parts = []
        for first, length in _blocks(width, count):
            self._command(lib.LINK_OP_READ_BLOCK, width, address + first * width, count=length)
            parts.append(bytes(ffi.buffer(self._mailbox.block, length * width)))
        return b"".join(parts)

    def write_block(self, address: int, width: int, data: bytes) -> None:
        """Writes elements of ``width`` bytes at increasing addresses, in order (waits)."""
        if len(data) % width:
            raise LinkError(f"{len(data)} bytes are not a whole number of {width}-byte elements")
        for first, length in _blocks(width, len(data) // width):
            part = data[first * width : (first + length) * width]
            ffi.memmove(self._mailbox.block, part, len(part))
            self._command(lib.LINK_OP_WRITE_BLOCK, width, address + first * width, count=length)

    def port_in(self, port: int, width: int) -> int:
        """Reads an I/O port [IN]; ``width`` is 1, 2 or 4 (waits)."""
        return self._command(lib.LINK_OP_IN, width, port)

    def port_out(self, port: int, width: int, value: int) -> None:
        """Writes an I/O port [OUT]; ``width`` is 1, 2 or 4 (posted)."""
        self._send(lib.LINK_OP_OUT, width, port, value)

    def rdmsr(self, msr: int) -> int:
        """Reads a model-specific register (waits)."""
        return self._command(lib.LINK_OP_RDMSR, 0, msr)

    def wrmsr(self, msr: int, value: int) -> None:
        """Writes a model-specific register (posted)."""
        self._send(lib.LINK_OP_WRMSR, 0, msr, value)

    def get_cr8(self) -> int:
        """Reads CR8 on the processor itself (waits)."""
        return self._command(lib.LINK_OP_GET_CR8, 0, 0)

    def set_cr8(self, level: int) -> None:
        """Writes CR8, 0 to 15; interrupts that it lets through are served before this returns."""
        if outcome := _execute(self.state, _OP_SET_CR8, 0, 0, 0, level):
            self._finish(outcome, _OP_SET_CR8, 0, 0, level)

    def send_ipi(self, apic_id: int, vector: int) -> None:
        """Sends a fixed interrupt to a processor, this one included (posted)."""
        self._send(lib.LINK_OP_IPI, 0, apic_id, vector)

    def eoi(self) -> None:
        """Writes the local APIC's end-of-interrupt register (posted)."""
        self._send(lib.LINK_OP_EOI, 0, 0)

    def call(self, address: int, *arguments: int) -> int:
        """Calls a guest function with up to four 64-bit arguments, interrupts enabled (waits)."""
        padded = (*arguments, 0, 0, 0, 0)[:4]
        outcome = lib.link_call(self.state, address, *padded)
        while outcome <= _NOT_POSTED:
            self._before_post(outcome)
            outcome = lib.link_call(self.state, address, *padded)
        return self._wait(outcome)

    def sync(self) -> None:
        """Waits until every posted command has been executed: one hand-over there and back."""
        if outcome := _execute(self.state, _OP_NOP, 0, 0, 0, 0):
            self._finish(outcome, _OP_NOP, 0, 0)

    def flush(self) -> None:
        """As :meth:`sync`, but without cost if every posted command has already been executed.

        A lock that other processors wait for may be released only after this: a write that has not
        been executed yet would otherwise come after theirs.
        """
        frame = self.state.frame
        if frame.posted != frame.done:
            self.sync()

    def set_service_result(self, value: int) -> None:
        """Sets the result for guest code that called the framework; it gets it on return."""
        self.state.service_value = value

    # Ownership and upcalls

    def acquire(self) -> None:
        """Borrows the processor: waits until no upcall is being served. Not recursive."""
        while outcome := lib.link_acquire(self.state):
            self._check(outcome)

    def release(self) -> None:
        """Gives the processor back."""
        lib.link_release(self.state)

    @contextlib.contextmanager
    def borrowed(self) -> Iterator["ProcessorLink"]:
        """Borrows the processor for the duration of a ``with`` block."""
        self.acquire()
        try:
            yield self
        finally:
            self.release()

    def serve(self) -> None:
        """Serves upcalls until the link is stopped.

        :raises MachineDied: QEMU has ended
        """
        cpu = self.state
        handlers = self.handlers
        wait = lib.link_wait_upcall
        return_wait = lib.link_return_wait
        outcome = wait(cpu)
        while True:
            while outcome >= 0:
                outcome = return_wait(cpu, handlers[outcome]())
            if outcome == _STOPPED:
                return
            if outcome != _AGAIN:
                raise self._died()
            outcome = wait(cpu)

    # The rest is off the fast path.

    def _send(self, op: int, width: int, address: int, value: int = 0) -> None:
        if outcome := _post(self.state, op, width, 0, address, value):
            self._post_again(outcome, op, width, address, value)

    def _post_again(self, outcome: int, op: int, width: int, address: int, value: int) -> None:
        while outcome:
            self._before_post(outcome)
            outcome = _post(self.state, op, width, 0, address, value)

    def _command(self, op: int, width: int, address: int, value: int = 0, count: int = 0) -> int:
        outcome = _execute(self.state, op, width, count, address, value)
        return self._finish(outcome, op, width, address, value, count)

    def _finish(
        self, outcome: int, op: int, width: int, address: int, value: int = 0, count: int = 0
    ) -> int:
        """Completes a command that waits, whatever came first."""
        while outcome <= _NOT_POSTED:
            self._before_post(outcome)
            outcome = _execute(self.state, op, width, count, address, value)
        return self._wait(outcome)

    def _wait(self, outcome: int) -> int:
        cpu = self.state
        handlers = self.handlers
        while outcome:
            if _NOT_POSTED < outcome <= _ACCEPTED:
                outcome = _return_resume(cpu, handlers[_ACCEPTED - outcome]())
            else:
                self._check(outcome)
                outcome = _resume(cpu)
        return cpu.value  # type: ignore[no-any-return]

    def _before_post(self, outcome: int) -> None:
        """Does the work that is needed before there is room to post."""
        outcome -= _NOT_POSTED
        if outcome <= _ACCEPTED:
            lib.link_return(self.state, self.handlers[_ACCEPTED - outcome]())
        else:
            self._check(outcome)

    def _check(self, outcome: int) -> None:
        """Raises the error that an outcome means; returns if it means to try again."""
        if outcome == _FAULTED:
            self._raise_status()
        if outcome == _STOPPED:
            raise LinkStopped(f"processor {self.number}: the link is being closed")
        if outcome != _AGAIN:
            raise self._died()

    def _raise_status(self) -> NoReturn:
        cpu = self.state
        if cpu.status == lib.LINK_STATUS_FAULT:
            raise AccessFault(cpu.address, cpu.value >> 32, cpu.value & 0xFFFFFFFF)
        raise LinkError(f"processor {self.number}: the guest does not know the last command")

    def _unexpected(self) -> int:
        frame = self.frame
        raise LinkError(
            f"processor {self.number}: no handler is set for vector {frame.vector:#x} "
            f"at RIP {frame.rip:#x}, CR8 {frame.cr8}"
        )


def _blocks(width: int, count: int) -> Iterator[tuple[int, int]]:
    size = lib.LINK_BLOCK_BYTES // width
    for first in range(0, count, size):
        yield first, min(size, count - first)
