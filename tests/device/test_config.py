# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Configuration space: identity, BARs, capabilities, power states, function level reset."""

import pytest
from pydriver.abi._native import lib

from .conftest import SHARED_SIZE, Start
from .dut import (
    ALL_ONES,
    BAR2,
    BAR4,
    CAP_EXPRESS,
    CAP_MSI,
    CAP_MSIX,
    CAP_PM,
    COMMAND,
    COMMAND_MASTER,
    COMMAND_MEMORY,
    Dut,
    descriptor,
)

D0, D1, D2, D3HOT = range(4)


def set_power(dut: Dut, state: int) -> None:
    dut.set_config(dut.capabilities()[CAP_PM] + 4, state, 2)


def power(dut: Dut) -> int:
    return dut.config(dut.capabilities()[CAP_PM] + 4, 2) & 3


def flr(dut: Dut) -> None:
    control = dut.capabilities()[CAP_EXPRESS] + 8
    dut.set_config(control, dut.config(control, 2) | 0x8000, 2)


def test_identity(dut: Dut) -> None:
    assert dut.config(0x00) == lib.MQDMA_PCI_DEVICE << 16 | lib.MQDMA_PCI_VENDOR
    assert dut.config(0x08) == lib.MQDMA_PCI_CLASS << 16 | lib.MQDMA_PCI_REVISION
    assert dut.config(0x3D, 1) == 1


@pytest.mark.parametrize(
    ("offset", "size", "kind"),
    [
        (0x10, lib.MQDMA_BAR_REGISTERS_SIZE, 0x0),
        (0x18, SHARED_SIZE, 0xC),
        (0x20, lib.MQDMA_BAR_MSIX_SIZE, 0x0),
    ],
)
def test_bar_has_its_size_and_kind(dut: Dut, offset: int, size: int, kind: int) -> None:
    dut.set_config(COMMAND, 0, 2)
    dut.set_config(offset, ALL_ONES)
    assert dut.config(offset) == (-size & ALL_ONES) | kind


def test_bar2_is_the_memory_backend(dut: Dut) -> None:
    dut.qemu.shared.write(0x1000, b"12345678")
    assert dut.qemu.read(BAR2 + 0x1000, 8) == int.from_bytes(b"12345678", "little")
    dut.qemu.write(BAR2 + SHARED_SIZE - 4, 0xDEAD_BEEF, 4)
    assert dut.qemu.shared.read(SHARED_SIZE - 4, 4) == bytes.fromhex("efbeadde")


def test_capabilities_are_pm_msi_express_and_msix(dut: Dut) -> None:
    assert dut.capabilities().keys() == {CAP_PM, CAP_MSI, CAP_EXPRESS, CAP_MSIX}


def test_msix_table_and_pending_bits_are_in_bar4(dut: Dut) -> None:
    capability = dut.capabilities()[CAP_MSIX]
    assert dut.config(capability + 2, 2) & 0x7FF == 64
    assert dut.config(capability + 4) == lib.MQDMA_MSIX_TABLE | lib.MQDMA_BAR_MSIX
    assert dut.config(capability + 8) == lib.MQDMA_MSIX_PBA | lib.MQDMA_BAR_MSIX


def test_device_on_the_root_bus_is_an_integrated_endpoint(dut: Dut) -> None:
    assert dut.config(dut.capabilities()[CAP_EXPRESS] + 2, 2) >> 4 & 0xF == 0x9


def test_device_works_behind_a_root_port(start: Start) -> None:
    qemu = start(
        *("-device", "pcie-root-port,id=rp,addr=4,chassis=1"),
        *("-device", "mqdma,id=dut,bus=rp,memdev=shared"),
        shared_size=SHARED_SIZE,
    )
    port = Dut(qemu)
    port.set_config(0x18, 0x00010100)
    port.set_config(0x20, 0xE1F0_E000)
    port.set_config(0x24, 0xE2F1_E201)
    port.set_config(COMMAND, COMMAND_MEMORY | COMMAND_MASTER, 2)
    dut = Dut(qemu, bus=1, devfn=0)
    dut.start()
    assert dut.config(dut.capabilities()[CAP_EXPRESS] + 2, 2) >> 4 & 0xF == 0x0
    dut.enable_msix(9)
    queue = dut.queue(1).start()
    assert queue.one(descriptor(cookie=4)).cookie == 4
    assert dut.got_message(1)


# Power


def test_device_in_d3hot_does_not_answer(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_SCRATCH0, 1)
    set_power(dut, D3HOT)
    assert power(dut) == D3HOT
    dut.write(lib.MQDMA_REG_SCRATCH0, 2)
    assert dut.read(lib.MQDMA_REG_SCRATCH0) == ALL_ONES
    assert dut.read(lib.MQDMA_REG_ID, 8) == (1 << 64) - 1
    assert dut.qemu.read(BAR4, 4) == ALL_ONES
    set_power(dut, D0)
    assert dut.read(lib.MQDMA_REG_SCRATCH0) == 1


def test_bar2_does_not_answer_in_d3hot(dut: Dut) -> None:
    dut.qemu.shared.write(0, bytes(8))
    set_power(dut, D3HOT)
    dut.qemu.write(BAR2, 0x1234, 4)
    assert dut.qemu.read(BAR2, 4) == ALL_ONES
    set_power(dut, D0)
    assert dut.qemu.read(BAR2, 4) == 0


@pytest.mark.parametrize("state", [D1, D2])
def test_power_states_between_are_not_there(dut: Dut, state: int) -> None:
    set_power(dut, state)
    assert power(dut) == D0
    assert dut.read(lib.MQDMA_REG_ID) == lib.MQDMA_ID_VALUE
    set_power(dut, D3HOT)
    set_power(dut, state)
    assert power(dut) == D3HOT
    assert dut.read(lib.MQDMA_REG_ID) == ALL_ONES


def test_work_waits_for_d0(dut: Dut) -> None:
    dut.enable_msix()
    queue = dut.queue(0).start()
    queue.submit(descriptor(cookie=1, delay_ns=1000))
    set_power(dut, D3HOT)
    dut.qemu.step(5000)
    assert queue.peek(0).flags == 0
    assert not dut.got_message(0)
    set_power(dut, D0)
    queue.settle()
    assert [entry.cookie for entry in queue.take()] == [1]
    assert dut.got_message(0)


def test_interrupt_that_is_due_in_d3hot_is_sent_in_d0(dut: Dut) -> None:
    dut.enable_msix()
    queue = dut.queue(6).start()
    queue.write(lib.MQDMA_Q_COALESCE_US, 10)
    queue.submit(descriptor())
    set_power(dut, D3HOT)
    dut.qemu.step_us(100)
    assert not dut.got_message(6)
    set_power(dut, D0)
    assert dut.got_message(6)


def test_intx_is_not_asserted_in_d3hot(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_INT_RAISE, 0)
    assert any(dut.qemu.irqs.values())
    set_power(dut, D3HOT)
    assert not any(dut.qemu.irqs.values())
    set_power(dut, D0)
    dut.read(lib.MQDMA_REG_SCRATCH0)
    assert any(dut.qemu.irqs.values())


def test_no_soft_reset_is_announced_and_kept(dut: Dut) -> None:
    control = dut.capabilities()[CAP_PM] + 4
    assert dut.config(control, 2) & 8
    dut.queue(2).write(lib.MQDMA_Q_COALESCE_US, 55)
    set_power(dut, D3HOT)
    set_power(dut, D0)
    assert dut.queue(2).read(lib.MQDMA_Q_COALESCE_US) == 55


# Function level reset


def test_flr_is_announced(dut: Dut) -> None:
    assert dut.config(dut.capabilities()[CAP_EXPRESS] + 4) & 1 << 28


def test_flr_resets_registers_and_configuration(dut: Dut) -> None:
    dut.enable_msix()
    queue = dut.queue(0).start()
    queue.submit(descriptor(cookie=1, delay_ns=100))
    dut.write(lib.MQDMA_REG_SCRATCH0, 1)
    flr(dut)
    assert dut.config(COMMAND, 2) == 0
    assert dut.config(dut.capabilities()[CAP_MSIX] + 2, 2) & 0x8000 == 0
    assert dut.config(dut.capabilities()[CAP_EXPRESS] + 8, 2) & 0x8000 == 0
    dut.start()
    assert dut.read(lib.MQDMA_REG_SCRATCH0) == 0
    assert queue.read(lib.MQDMA_Q_STATUS) == 0
    dut.qemu.step(1000)
    assert queue.peek(0).flags == 0


def test_flr_leaves_d3hot(dut: Dut) -> None:
    set_power(dut, D3HOT)
    flr(dut)
    assert power(dut) == D0
    dut.start()
    assert dut.read(lib.MQDMA_REG_ID) == lib.MQDMA_ID_VALUE


def test_flr_takes_intx_away(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_INT_RAISE, 0)
    assert any(dut.qemu.irqs.values())
    flr(dut)
    dut.config(0)
    assert not any(dut.qemu.irqs.values())


def test_other_device_control_bits_do_not_reset(dut: Dut) -> None:
    dut.write(lib.MQDMA_REG_SCRATCH0, 1)
    control = dut.capabilities()[CAP_EXPRESS] + 8
    dut.set_config(control, 0x000F, 2)
    assert dut.read(lib.MQDMA_REG_SCRATCH0) == 1


def test_machine_reset_resets_the_device(dut: Dut) -> None:
    queue = dut.queue(0).start()
    queue.submit(descriptor(delay_ns=100))
    set_power(dut, D3HOT)
    dut.qemu.reset()
    assert power(dut) == D0
    dut.start()
    assert queue.read(lib.MQDMA_Q_STATUS) == 0
    dut.qemu.step(1000)
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 0
