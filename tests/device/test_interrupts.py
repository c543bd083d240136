# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""MSI-X, MSI and INTx: their vectors, their time, and their masks."""

import pytest
from pydriver.abi._native import lib

from .conftest import Start
from .dut import (
    BAR4,
    CAP_MSI,
    COMMAND,
    COMMAND_INTX_DISABLE,
    COMMAND_MASTER,
    COMMAND_MEMORY,
    MESSAGE_DATA,
    Dut,
    descriptor,
)

MSIX_ENABLE, MSIX_FUNCTION_MASK = 0x8000, 0x4000


def raise_queue(dut: Dut, queue: int) -> None:
    dut.write(lib.MQDMA_REG_INT_RAISE, queue)


# MSI-X


@pytest.mark.parametrize("queue", [0, 1, 31, 32, 63])
def test_msix_message_of_a_queue_is_its_vector(dut: Dut, queue: int) -> None:
    dut.enable_msix()
    raise_queue(dut, queue)
    assert [vector for vector in range(65) if dut.got_message(vector)] == [queue]
    assert dut.read(lib.MQDMA_REG_CAUSE_LO, 8) == 1 << queue
    assert dut.messages() == 1


def test_interrupt_mode_is_what_is_enabled(dut: Dut) -> None:
    assert dut.read(lib.MQDMA_REG_INT_MODE) == lib.MQDMA_INT_MODE_INTX
    dut.enable_msi()
    assert dut.read(lib.MQDMA_REG_INT_MODE) == lib.MQDMA_INT_MODE_MSI
    dut.enable_msix()
    assert dut.read(lib.MQDMA_REG_INT_MODE) == lib.MQDMA_INT_MODE_MSIX


def test_completion_sends_the_message_before_the_doorbell_returns(dut: Dut) -> None:
    dut.enable_msix()
    queue = dut.queue(3).start()
    queue.submit(descriptor())
    assert dut.got_message(3)
    assert queue.read(lib.MQDMA_Q_INTERRUPTS) == 1


def test_every_completion_sends_its_own_message(dut: Dut) -> None:
    dut.enable_msix()
    queue = dut.queue(3).start()
    queue.submit(*[descriptor()] * 7)
    assert dut.messages() == 7
    assert queue.read(lib.MQDMA_Q_INTERRUPTS) == 7


def test_message_is_sent_although_its_cause_is_still_set(dut: Dut) -> None:
    dut.enable_msix()
    raise_queue(dut, 3)
    raise_queue(dut, 3)
    assert dut.messages() == 2


def test_descriptor_can_ask_for_no_interrupt(dut: Dut) -> None:
    dut.enable_msix()
    queue = dut.queue(3).start()
    queue.submit(descriptor(flags=lib.MQDMA_DESC_NO_INTERRUPT))
    assert dut.messages() == 0
    assert dut.read(lib.MQDMA_REG_CAUSE_LO) == 0
    assert queue.read(lib.MQDMA_Q_EVENTS) == 0
    assert len(queue.take()) == 1


def test_queue_can_have_another_vector(dut: Dut) -> None:
    dut.enable_msix()
    dut.queue(3).write(lib.MQDMA_Q_VECTOR, 40)
    raise_queue(dut, 3)
    assert dut.got_message(40)
    assert not dut.got_message(3)


def test_global_interrupt_has_the_vector_behind_the_queues(dut: Dut) -> None:
    dut.enable_msix()
    dut.write(lib.MQDMA_REG_INT_MASK_GLOBAL, 0)
    dut.write(lib.MQDMA_REG_INT_RAISE, lib.MQDMA_RAISE_GLOBAL)
    assert dut.got_message(64)
    assert dut.read(lib.MQDMA_REG_CAUSE_GLOBAL) == lib.MQDMA_GLOBAL_RAISED
    assert dut.read(lib.MQDMA_REG_CAUSE_GLOBAL) == 0


def test_global_vector_can_be_changed(dut: Dut) -> None:
    dut.enable_msix()
    dut.write(lib.MQDMA_REG_INT_MASK_GLOBAL, 0)
    dut.write(lib.MQDMA_REG_GLOBAL_VECTOR, 7)
    dut.read(0xFFC)
    assert dut.got_message(7)
    assert dut.read(lib.MQDMA_REG_CAUSE_GLOBAL) == lib.MQDMA_GLOBAL_BAD_ACCESS


def test_msix_vectors_wrap_when_the_table_is_smaller_than_the_queues(start: Start) -> None:
    dut = Dut(start("-device", "mqdma,id=dut,addr=4,queues=8,msix-vectors=3"))
    dut.start()
    dut.enable_msix(3)
    for queue in range(8):
        raise_queue(dut, queue)
        assert [vector for vector in range(3) if dut.got_message(vector)] == [queue % 3]


@pytest.mark.parametrize("vector", [0, 17, 63])
def test_masked_msix_vector_is_pending_until_it_is_unmasked(dut: Dut, vector: int) -> None:
    dut.enable_msix()
    dut.mask_msix(vector, True)
    raise_queue(dut, vector)
    raise_queue(dut, vector)
    assert not dut.got_message(vector)
    assert dut.pending() == 1 << vector
    dut.mask_msix(vector, False)
    assert dut.got_message(vector)
    assert dut.pending() == 0


def test_pending_bit_of_the_vector_behind_the_queues(dut: Dut) -> None:
    dut.enable_msix()
    dut.mask_msix(64, True)
    dut.write(lib.MQDMA_REG_INT_MASK_GLOBAL, 0)
    dut.write(lib.MQDMA_REG_INT_RAISE, lib.MQDMA_RAISE_GLOBAL)
    assert dut.qemu.read(BAR4 + lib.MQDMA_MSIX_PBA + 8, 4) == 1
    assert dut.pending() == 0


def test_function_mask_holds_all_msix_vectors(dut: Dut) -> None:
    dut.enable_msix()
    dut.set_msix_control(MSIX_ENABLE | MSIX_FUNCTION_MASK)
    raise_queue(dut, 1)
    raise_queue(dut, 62)
    assert dut.pending() == 1 << 1 | 1 << 62
    dut.mask_msix(62, True)
    dut.set_msix_control(MSIX_ENABLE)
    assert dut.got_message(1)
    assert not dut.got_message(62)
    assert dut.pending() == 1 << 62


def test_pending_bits_are_read_only(dut: Dut) -> None:
    dut.enable_msix()
    dut.qemu.write(BAR4 + lib.MQDMA_MSIX_PBA, 0xFFFF_FFFF, 4)
    assert dut.pending() == 0


def test_msix_entries_are_masked_after_reset(dut: Dut) -> None:
    for vector in range(65):
        assert dut.qemu.read(BAR4 + 16 * vector + 12, 4) == 1


# The device's own masks, the same for all kinds


def test_mask_holds_the_message_until_it_is_cleared(dut: Dut) -> None:
    dut.enable_msix()
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 1 << 5)
    dut.write(lib.MQDMA_REG_INT_MASK_HI, 1 << 8)
    for queue in (5, 6, 40, 41):
        raise_queue(dut, queue)
    assert [vector for vector in range(65) if dut.got_message(vector)] == [6, 41]
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO, 8) == 1 << 5 | 1 << 6 | 1 << 40 | 1 << 41
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 0)
    assert [vector for vector in range(65) if dut.got_message(vector)] == [5]
    dut.write(lib.MQDMA_REG_INT_MASK_HI, 0)
    assert [vector for vector in range(65) if dut.got_message(vector)] == [40]


def test_interrupts_held_by_the_mask_become_one_message(dut: Dut) -> None:
    dut.enable_msix()
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 1)
    raise_queue(dut, 0)
    raise_queue(dut, 0)
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 0)
    assert dut.messages() == 1
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 1)
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 0)
    assert dut.messages() == 1


def test_cause_that_was_taken_is_not_sent_when_the_mask_is_cleared(dut: Dut) -> None:
    dut.enable_msix()
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 1)
    raise_queue(dut, 0)
    dut.read(lib.MQDMA_REG_CAUSE_LO)
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 0)
    assert dut.messages() == 0


def test_global_mask_holds_the_message_until_it_is_cleared(dut: Dut) -> None:
    dut.enable_msix()
    dut.read(0xFFC)
    assert dut.messages() == 0
    dut.write(lib.MQDMA_REG_INT_MASK_GLOBAL, lib.MQDMA_GLOBAL_ALL & ~lib.MQDMA_GLOBAL_BAD_ACCESS)
    assert dut.got_message(64)
    dut.write(lib.MQDMA_REG_INT_MASK_GLOBAL, lib.MQDMA_GLOBAL_ALL)
    dut.write(lib.MQDMA_REG_INT_MASK_GLOBAL, 0)
    assert dut.messages() == 1


# Causes


def test_reading_the_cause_clears_it(dut: Dut) -> None:
    for queue in (0, 31, 32, 63):
        raise_queue(dut, queue)
    assert dut.read(lib.MQDMA_REG_CAUSE_LO) == 1 | 1 << 31
    assert dut.read(lib.MQDMA_REG_CAUSE_LO) == 0
    assert dut.read(lib.MQDMA_REG_CAUSE_HI) == 1 | 1 << 31
    assert dut.read(lib.MQDMA_REG_CAUSE_HI) == 0


def test_reading_the_status_does_not_clear_the_cause(dut: Dut) -> None:
    raise_queue(dut, 0)
    raise_queue(dut, 63)
    for _ in range(2):
        assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 1
        assert dut.read(lib.MQDMA_REG_INT_STATUS_HI) == 1 << 31


def test_acknowledging_clears_only_the_bits_that_are_written(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_INT_RAISE, lib.MQDMA_RAISE_GLOBAL)
    dut.read(0xFFC)
    for queue in (0, 1, 32, 33):
        raise_queue(dut, queue)
    dut.write(lib.MQDMA_REG_INT_ACK_LO, 1)
    dut.write(lib.MQDMA_REG_INT_ACK_HI, 2)
    dut.write(lib.MQDMA_REG_INT_ACK_GLOBAL, lib.MQDMA_GLOBAL_RAISED)
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 2
    assert dut.read(lib.MQDMA_REG_INT_STATUS_HI) == 1
    assert dut.read(lib.MQDMA_REG_INT_STATUS_GLOBAL) == lib.MQDMA_GLOBAL_BAD_ACCESS


def test_raising_for_a_queue_that_is_not_there_is_refused(start: Start) -> None:
    dut = Dut(start("-device", "mqdma,id=dut,addr=4,queues=3"))
    dut.start()
    raise_queue(dut, 3)
    assert dut.error_code() == lib.MQDMA_ERROR_VALUE
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 0
    raise_queue(dut, 2)
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 1 << 2


def test_raising_works_while_device_and_queue_are_disabled(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_CONTROL, 0)
    dut.enable_msix()
    raise_queue(dut, 9)
    assert dut.got_message(9)


# Bus mastering


def test_message_waits_for_bus_mastering(dut: Dut) -> None:
    dut.enable_msix()
    dut.set_config(COMMAND, COMMAND_MEMORY, 2)
    raise_queue(dut, 2)
    dut.write(lib.MQDMA_REG_INT_MASK_GLOBAL, 0)
    dut.write(lib.MQDMA_REG_INT_RAISE, lib.MQDMA_RAISE_GLOBAL)
    assert dut.messages() == 0
    dut.set_config(COMMAND, COMMAND_MEMORY | COMMAND_MASTER, 2)
    assert dut.got_message(2)
    assert dut.got_message(64)
    assert dut.messages() == 2


def test_message_to_our_own_register_is_refused(dut: Dut) -> None:
    """A message that would raise the next one must not go round in circles."""
    dut.enable_msix()
    entry = BAR4 + lib.MQDMA_MSIX_TABLE
    dut.qemu.write(entry, 0xE000_0000 + lib.MQDMA_REG_INT_RAISE, 4)
    dut.qemu.write(entry + 8, 0, 4)
    raise_queue(dut, 0)
    assert dut.messages() == 1
    queue = dut.queue(0).start(order=8)
    queue.submit(*[descriptor()] * 40)
    queue.settle()
    assert len(queue.take()) == 40
    assert dut.messages() == 41


# MSI


@pytest.mark.parametrize("order", range(6))
def test_msi_vectors_wrap_at_the_number_that_was_granted(dut: Dut, order: int) -> None:
    dut.enable_msi(order)
    for queue in (0, 1, 5, 31, 33, 63):
        raise_queue(dut, queue)
        assert dut.message(0) == (MESSAGE_DATA & 0xFFFF) + queue % (1 << order)
    assert dut.messages() == 6


def test_masked_msi_message_is_pending_until_it_is_unmasked(dut: Dut) -> None:
    dut.enable_msi(5)
    capability = dut.capabilities()[CAP_MSI]
    dut.set_config(capability + 16, 1 << 9)
    raise_queue(dut, 9)
    assert dut.message(0) == 0
    assert dut.config(capability + 20) == 1 << 9
    dut.set_config(capability + 16, 0)
    assert dut.message(0) == (MESSAGE_DATA & 0xFFFF) + 9
    assert dut.config(capability + 20) == 0


@pytest.mark.parametrize("vectors", [1, 2, 4, 8, 16, 32])
def test_msi_offers_the_number_of_messages_of_the_property(start: Start, vectors: int) -> None:
    dut = Dut(start("-device", f"mqdma,id=dut,addr=4,msi-vectors={vectors}"))
    control = dut.config(dut.capabilities()[CAP_MSI] + 2, 2)
    assert 1 << (control >> 1 & 7) == vectors
    assert control & 0x0180 == 0x0180


# INTx


def intx_level(dut: Dut) -> bool:
    """The level at the I/O APIC, which must be the level in the device's STATUS."""
    level = any(dut.qemu.irqs.values())
    asserted = dut.read(lib.MQDMA_REG_STATUS) & lib.MQDMA_STATUS_REG_INTX
    assert level == bool(asserted)
    return level


def test_intx_is_asserted_until_the_cause_is_read(dut: Dut) -> None:
    assert not intx_level(dut)
    raise_queue(dut, 3)
    raise_queue(dut, 40)
    assert intx_level(dut)
    dut.read(lib.MQDMA_REG_CAUSE_LO)
    assert intx_level(dut)
    dut.read(lib.MQDMA_REG_CAUSE_HI)
    assert not intx_level(dut)
    assert dut.read(lib.MQDMA_REG_INTX_ASSERTED) == 1


def test_intx_is_asserted_until_the_cause_is_acknowledged(dut: Dut) -> None:
    raise_queue(dut, 3)
    dut.write(lib.MQDMA_REG_INT_ACK_LO, 1 << 3)
    assert not intx_level(dut)


def test_intx_follows_the_mask(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 1 << 3)
    raise_queue(dut, 3)
    assert not intx_level(dut)
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 0)
    assert intx_level(dut)
    dut.write(lib.MQDMA_REG_INT_MASK_LO, 1 << 3)
    assert not intx_level(dut)


def test_intx_of_the_global_cause(dut: Dut) -> None:
    dut.read(0xFFC)
    assert not intx_level(dut)
    dut.write(lib.MQDMA_REG_INT_MASK_GLOBAL, 0)
    assert intx_level(dut)
    dut.read(lib.MQDMA_REG_CAUSE_GLOBAL)
    assert not intx_level(dut)


def test_completion_asserts_intx(dut: Dut) -> None:
    dut.queue(9).start().submit(descriptor())
    assert intx_level(dut)
    assert dut.messages() == 0


def test_command_register_disables_intx(dut: Dut) -> None:
    raise_queue(dut, 0)
    dut.set_config(COMMAND, COMMAND_MEMORY | COMMAND_MASTER | COMMAND_INTX_DISABLE, 2)
    assert not any(dut.qemu.irqs.values())
    dut.set_config(COMMAND, COMMAND_MEMORY | COMMAND_MASTER, 2)
    assert intx_level(dut)


def test_enabling_messages_takes_intx_away(dut: Dut) -> None:
    raise_queue(dut, 0)
    assert intx_level(dut)
    dut.enable_msix()
    assert not intx_level(dut)
    dut.set_msix_control(0)
    assert intx_level(dut)


def test_reset_takes_intx_away(dut: Dut) -> None:
    raise_queue(dut, 0)
    dut.write(lib.MQDMA_REG_CONTROL, lib.MQDMA_CONTROL_RESET)
    assert not intx_level(dut)
