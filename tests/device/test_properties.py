# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The device's properties on the command line, and its messages when they are wrong."""

import pytest
from pydriver.abi._native import lib

from .conftest import SHARED_SIZE, Refused, Start
from .dut import ALL_ONES, BAR0, CAP_EXPRESS, CAP_MSI, CAP_MSIX, Dut, descriptor


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("queues=0", "mqdma: queues is 0, it must be 1 to 64"),
        ("queues=65", "mqdma: queues is 65, it must be 1 to 64"),
        ("queues=-1", "queues"),
        ("msi-vectors=3", "mqdma: msi-vectors is 3, it must be 0 or a power of two up to 32"),
        ("msi-vectors=64", "mqdma: msi-vectors is 64, it must be 0 or a power of two up to 32"),
        ("msix-vectors=66", "mqdma: msix-vectors is 66, it must be 0 to 65"),
        ("fault-hang=1", "mqdma: fault-hang can be set only while the device runs"),
        ("fault-removed=on", "mqdma: fault-removed can be set only while the device runs"),
        ("memdev=nowhere", "nowhere"),
        ("drive=nowhere", "nowhere"),
    ],
)
def test_bad_property_is_an_error_that_says_what_is_allowed(
    start_refused: Refused, options: str, message: str
) -> None:
    assert message in start_refused("-device", f"mqdma,{options}")


def test_memory_backend_must_have_a_power_of_two_as_its_size(start_refused: Refused) -> None:
    said = start_refused("-device", "mqdma,memdev=shared", shared_size=0x3000)
    assert "mqdma: the size of memdev is 0x3000, it must be a power of two" in said


def test_memory_backend_cannot_be_used_twice(start_refused: Refused) -> None:
    device = ("-device", "mqdma,memdev=shared")
    said = start_refused(*device, *device, shared_size=SHARED_SIZE)
    assert "mqdma: memdev 'shared' is in use" in said


@pytest.mark.parametrize("queues", [1, 2, 64])
def test_device_has_the_queues_of_the_property(start: Start, queues: int) -> None:
    dut = Dut(start("-device", f"mqdma,id=dut,addr=4,queues={queues}"))
    dut.start()
    assert dut.read(lib.MQDMA_REG_CAPS) & lib.MQDMA_CAPS_QUEUES_MASK == queues
    assert dut.config(dut.capabilities()[CAP_MSIX] + 2, 2) & 0x7FF == queues
    assert dut.queue(queues - 1).start().one(descriptor(cookie=1)).cookie == 1
    assert dut.read(lib.MQDMA_REG_ERR_ACCESS) == 0
    assert dut.queue(queues).read(lib.MQDMA_Q_STATUS) == ALL_ONES
    assert dut.error_code() == lib.MQDMA_ERROR_OFFSET


def test_device_can_do_without_messages(start: Start) -> None:
    qemu = start("-device", "mqdma,id=dut,addr=4,msi-vectors=0,msix-vectors=0")
    qemu.intercept_ioapic()
    dut = Dut(qemu)
    dut.start()
    assert not {CAP_MSI, CAP_MSIX} & dut.capabilities().keys()
    dut.set_config(0x20, ALL_ONES)
    assert dut.config(0x20) == 0
    dut.queue(0).start().submit(descriptor())
    assert any(qemu.irqs.values())
    dut.set("fault-removed", True)
    assert dut.read(lib.MQDMA_REG_ID) == ALL_ONES


def test_device_without_memory_backend_has_no_bar2(start: Start) -> None:
    dut = Dut(start("-device", "mqdma,id=dut,addr=4"))
    dut.start()
    dut.set_config(0x18, ALL_ONES)
    assert dut.config(0x18) == 0
    assert dut.read(lib.MQDMA_REG_CAPS) & lib.MQDMA_CAPS_BAR2 == 0
    assert dut.read(lib.MQDMA_REG_BAR2_SIZE_LO, 8) == 0


@pytest.mark.parametrize("location", [lib.MQDMA_LOCATION_SQ_BAR2, lib.MQDMA_LOCATION_CQ_BAR2])
def test_ring_in_a_bar2_that_is_not_there_stops_the_queue(start: Start, location: int) -> None:
    dut = Dut(start("-device", "mqdma,id=dut,addr=4"))
    dut.start()
    queue = dut.queue(0)
    queue.location = location
    queue.configure()
    queue.enable()
    assert queue.error() == lib.MQDMA_ERROR_NO_BAR2


@pytest.mark.parametrize("flags", [lib.MQDMA_DESC_SRC_BAR2, lib.MQDMA_DESC_DST_BAR2])
def test_operand_in_a_bar2_that_is_not_there_is_refused(start: Start, flags: int) -> None:
    dut = Dut(start("-device", "mqdma,id=dut,addr=4"))
    dut.start()
    entry = dut.queue(0).start().one(descriptor(lib.MQDMA_OP_COPY, length=8, flags=flags))
    assert entry.status == lib.MQDMA_STATUS_NO_BAR2
    assert dut.read(lib.MQDMA_REG_ERR_DESCRIPTOR) == 1


def set_slot(port: Dut, *, power: bool) -> None:
    """Switches the power of a root port's slot, and its indicator, as its driver would."""
    control = port.capabilities()[CAP_EXPRESS] + 0x18
    port.set_config(control, 0x0100 if power else 0x0700, 2)


def test_device_can_be_plugged_and_unplugged_while_the_machine_runs(start: Start) -> None:
    qemu = start(
        *("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"),
        *("-device", "pcie-root-port,id=rp,addr=4,chassis=1"),
        shared_size=SHARED_SIZE,
    )
    port, dut = Dut(qemu), Dut(qemu, bus=1, devfn=0)
    port.set_config(0x18, 0x00010100)
    port.set_config(0x20, 0xE1F0_E000)
    port.set_config(0x04, 6, 2)
    for _ in range(2):
        qemu.qmp("device_add", driver="mqdma", id="dut", bus="rp", memdev="shared")
        set_slot(port, power=True)
        dut.start()
        dut.queue(0).start().submit(descriptor(delay_ns=10**9))
        qemu.qmp("device_del", id="dut")
        set_slot(port, power=False)
        qemu.wait_event("DEVICE_DELETED")
        assert qemu.read(BAR0, 4) != lib.MQDMA_ID_VALUE
    qemu.step(10**9)


def test_two_devices_do_not_disturb_each_other(start: Start) -> None:
    qemu = start("-device", "mqdma,id=dut,addr=4", "-device", "mqdma,id=other,addr=5")
    dut = Dut(qemu)
    dut.start()
    other = Dut(qemu, devfn=5 << 3, path="other")
    other.set("fault-lost", 1)
    dut.write(lib.MQDMA_REG_INT_RAISE, 0)
    assert dut.read(lib.MQDMA_REG_INT_STATUS_LO) == 1
    assert other.get("fault-lost") == 1
    assert other.get("stat-interrupts") == 0


def test_every_path_is_traced(start: Start) -> None:
    qemu = start(
        *("-trace", "mqdma_*", "-d", "guest_errors"),
        *("-device", "mqdma,id=dut,addr=4,drive=disk"),
        disk=bytes(4096),
    )
    dut = Dut(qemu)
    dut.start()
    dut.write(lib.MQDMA_REG_INT_RAISE, 0)
    dut.enable_msix(9)
    dut.set_config(0x04, 2, 2)
    dut.write(lib.MQDMA_REG_INT_RAISE, 0)
    dut.start()
    queue = dut.queue(0).start()
    queue.write(lib.MQDMA_Q_COALESCE_COUNT, 9)
    queue.run(
        *[descriptor()] * 12,
        *[descriptor(lib.MQDMA_OP_DRIVE_READ, length=512, dst=0x4000)] * 2,
        descriptor(lib.MQDMA_OP_FILL, length=1 << 20, dst=0x10_0000 * 4),
    )
    queue.submit(descriptor(0x77))
    queue.submit(descriptor(delay_ns=100))
    queue.write(lib.MQDMA_Q_CONTROL, lib.MQDMA_Q_CONTROL_ABORT)
    queue.write(lib.MQDMA_Q_SQ_TAIL, 99)
    dut.set("fault-lost", 1)
    dut.set("fault-removed", True)
    dut.set("fault-removed", False)
    power = dut.capabilities()[0x01] + 4
    dut.set_config(power, 3, 2)
    log = qemu.log()
    for name in (
        *("read", "write", "queue_enable", "queue_reset", "queue_abort", "queue_error"),
        *("queue_yield", "fetch", "delay", "complete", "drive", "drive_done", "event"),
        *("coalesce", "interrupt", "interrupt_owed", "message", "intx", "reset", "power"),
        *("removed", "fault"),
    ):
        assert f"mqdma_{name} " in log, name
    assert "mqdma: queue 0: bad descriptor: status 1" in log
    assert "mqdma: queue 0 stops: error 10" in log
