# SPDX-License-Identifier: MIT
"""Upcalls: interrupts by level, nesting, exceptions, services; by the evidence of the guest."""

import os

import pytest
from pydriver.abi._native import lib

from pydriver.link import ProcessorLink
from pydriver.machine import Machine

EOI = lib.LINK_RETURN_EOI
DISPATCH = lib.LINK_RETURN_DISPATCH
SOFTWARE = lib.LINK_VECTOR_DISPATCH
LOW, MIDDLE, HIGH = 0x31, 0x51, 0x91  # IRQL 3, 5, 9
INVALID_OPCODE = 6
UD2, RET, NOPS = b"\x0f\x0b", b"\xc3", 0x9090
Log = list[tuple[int, int, int, int]]


@pytest.fixture
def log(cpu: ProcessorLink) -> Log:
    """The guest's record of each upcall: vector, interrupted CR8, CR8 in the handler, depth."""
    entries: Log = []

    def note() -> int:
        frame = cpu.frame
        entries.append((frame.vector, frame.cr8, frame.level, cpu.depth))
        return EOI

    for vector in (LOW, MIDDLE, HIGH):
        cpu.handlers[vector] = note
    cpu.handlers[SOFTWARE] = lambda: note() & ~EOI
    return entries


def raise_vector(cpu: ProcessorLink, vector: int) -> None:
    cpu.send_ipi(cpu.apic_id, vector)


def test_interrupt_is_an_upcall_at_its_vectors_level(cpu: ProcessorLink, log: Log) -> None:
    raise_vector(cpu, MIDDLE)
    cpu.sync()
    cpu.sync()
    assert log == [(MIDDLE, 0, 5, 1)]
    assert (cpu.get_cr8(), cpu.depth) == (0, 0)


def test_interrupt_at_or_below_the_level_stays_pending_until_it_is_lowered(
    cpu: ProcessorLink, log: Log
) -> None:
    cpu.set_cr8(5)
    raise_vector(cpu, MIDDLE)
    raise_vector(cpu, LOW)
    cpu.sync()
    cpu.sync()
    assert log == []
    cpu.set_cr8(4)
    assert log == [(MIDDLE, 4, 5, 1)]
    cpu.set_cr8(0)
    assert log == [(MIDDLE, 4, 5, 1), (LOW, 0, 3, 1)]


def test_what_follows_a_return_comes_before_what_a_later_interrupt_does(
    cpu: ProcessorLink, machine: Machine, log: Log
) -> None:
    # The host has ended LOW's handler when it sees that HIGH had come before.
    state, address = cpu.state, machine.reservations.reserve(4096)
    place = machine.memory.pointer(address, "uint32_t *")

    def outcome_of(outcome: int) -> int:
        while outcome == lib.LINK_AGAIN:  # the guest has not had its turn for a while
            outcome = lib.link_resume(state)
        return outcome

    raise_vector(cpu, LOW)
    outcome: int = lib.LINK_DONE
    while outcome >= lib.LINK_DONE:
        outcome = outcome_of(lib.link_execute(state, lib.LINK_OP_NOP, 0, 0, 0, 0))
    assert lib.LINK_ACCEPTED - outcome == LOW
    raise_vector(cpu, HIGH)
    while cpu.depth < 2:  # the upcall is in the guest, and the controller has not looked
        os.sched_yield()
    lib.link_return(state, EOI)
    lib.link_write(state, address, 4, 7)
    assert lib.LINK_ACCEPTED - outcome_of(lib.link_resume(state)) == HIGH
    cpu.sync()
    assert place[0] == 7
    assert outcome_of(lib.link_return_resume(state, EOI)) == lib.LINK_DONE
    assert cpu.depth == 0


def test_higher_vector_nests_in_the_handler_of_a_lower_one(cpu: ProcessorLink, log: Log) -> None:
    order = []

    def low() -> int:
        order.append("low begins")
        raise_vector(cpu, HIGH)
        raise_vector(cpu, LOW)  # at its own level it does not arrive before the return
        cpu.sync()
        cpu.sync()
        order.append("low ends")
        cpu.handlers[LOW] = lambda: order.append("low again") or EOI
        return EOI

    def high() -> int:
        order.append("high")
        log.append((cpu.frame.vector, cpu.frame.cr8, cpu.frame.level, cpu.depth))
        return EOI

    cpu.handlers[LOW] = low
    cpu.handlers[HIGH] = high
    raise_vector(cpu, LOW)
    cpu.sync()
    cpu.sync()
    assert order == ["low begins", "high", "low ends", "low again"]
    assert log == [(HIGH, 3, 9, 2)]


def test_software_interrupt_asked_for_at_return_comes_at_level_2(
    cpu: ProcessorLink, log: Log
) -> None:
    cpu.handlers[MIDDLE] = lambda: EOI | DISPATCH
    raise_vector(cpu, MIDDLE)
    cpu.sync()
    cpu.sync()
    assert log == [(SOFTWARE, 0, 2, 1)]


def test_software_interrupt_waits_while_the_level_is_dispatch(cpu: ProcessorLink, log: Log) -> None:
    cpu.set_cr8(2)
    cpu.handlers[MIDDLE] = lambda: EOI | DISPATCH
    raise_vector(cpu, MIDDLE)
    cpu.sync()
    cpu.sync()
    assert log == []
    cpu.set_cr8(0)
    assert log == [(SOFTWARE, 0, 2, 1)]


def test_commands_posted_before_an_interrupt_was_seen_are_executed_before_its_handlers(
    cpu: ProcessorLink, machine: Machine
) -> None:
    page = machine.reservations.reserve(4096)
    seen = []

    def handler() -> int:
        seen.append(cpu.read32(page))
        return EOI

    cpu.handlers[MIDDLE] = handler
    for value in range(1, 200):
        raise_vector(cpu, MIDDLE)
        cpu.write32(page, value)  # the guest may take the interrupt before it sees this command
        cpu.sync()
        cpu.sync()
        assert seen.pop() == value
    assert not seen


def test_exception_is_an_upcall_with_all_registers(cpu: ProcessorLink, machine: Machine) -> None:
    """A function that consists of ``mov rax, imm64; ud2; ret``; the handler steps over the ud2."""
    code = machine.reservations.reserve(4096)
    move = b"\x48\xb8" + (0x1122334455667788).to_bytes(8, "little")
    cpu.write_block(code, 1, move + UD2 + RET)
    found = {}

    def handler() -> int:
        registers = cpu.frame.registers
        found.update(
            kind=cpu.frame.kind,
            rip=registers.rip,
            rax=registers.rax,
            rdi=registers.rdi,
            r10=registers.r10,
            cr0=registers.cr0,
            cs=registers.cs,
        )
        cpu.write16(code + 10, NOPS)  # written by the guest: TCG must see that its code has changed
        return 0

    cpu.handlers[INVALID_OPCODE] = handler
    assert cpu.call(code, 0xD1, 0x51) == 0x1122334455667788
    assert found == {
        "kind": lib.LINK_UPCALL_EXCEPTION,
        "rip": code + 10,
        "rax": 0x1122334455667788,
        "rdi": 0xD1,
        "r10": found["r10"],
        "cr0": 0x80010021 | 0x10,
        "cs": 0x10,
    }


def test_guest_code_calls_the_framework_and_gets_its_answer(
    cpu: ProcessorLink, machine: Machine
) -> None:
    numbers = []

    def service() -> int:
        numbers.append(cpu.frame.vector)
        cpu.set_service_result(0xCAFE)
        return 0

    cpu.handlers[lib.LINK_HANDLER_SERVICE] = service
    assert cpu.call(machine.image.symbol("link_service"), 42) == 0xCAFE
    assert numbers == [42]


def test_interrupt_during_a_called_function_nests_in_it(
    cpu: ProcessorLink, machine: Machine, log: Log
) -> None:
    """raise_interrupts() writes the local APIC's ICR and waits for each interrupt."""
    icr = 0xFEE00300
    fixed_to_self = 1 << 18
    if cpu.rdmsr(0x1B) & 1 << 10:
        pytest.skip("x2APIC: its ICR is no memory")
    raise_interrupts = machine.image.symbol("raise_interrupts")
    count = cpu.call(raise_interrupts, icr, fixed_to_self | MIDDLE, 5)
    assert count == 5
    assert log == [(MIDDLE, 0, 5, 1)] * 5


def test_exception_inside_an_interrupt_handlers_call_nests(
    cpu: ProcessorLink, machine: Machine, log: Log
) -> None:
    code = machine.reservations.reserve(4096)
    cpu.write_block(code, 1, UD2 + RET)
    depths = []

    def trap() -> int:
        depths.append((cpu.frame.vector, cpu.depth, cpu.frame.cr8))
        cpu.write16(code, NOPS)
        return 0

    def handler() -> int:
        cpu.call(code)
        return EOI

    cpu.handlers[INVALID_OPCODE] = trap
    cpu.handlers[MIDDLE] = handler
    raise_vector(cpu, MIDDLE)
    cpu.sync()
    cpu.sync()
    assert depths == [(INVALID_OPCODE, 2, 5)]
