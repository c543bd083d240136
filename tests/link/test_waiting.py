# SPDX-License-Identifier: MIT
"""Waits and wake-ups: both sides sleep when they have nothing to do, and miss no wake-up."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydriver.abi._native import lib

from pydriver.errors import LinkStopped
from pydriver.link import Link, ProcessorLink
from pydriver.machine import Machine, MachineConfig
from pydriver.pci import PciBus
from pydriver.pci.ivshmem import DEVICE_ID, VENDOR_ID, connect_doorbell

EOI = lib.LINK_RETURN_EOI
VECTOR = 0x51


@pytest.fixture(
    params=[(1, "multi"), (2, "multi"), (2, "single"), (4, "multi"), (4, "single")],
    ids=lambda param: f"{param[0]} vCPUs, {param[1]}",
)
def link(request: pytest.FixtureRequest) -> Iterator[Link]:
    """A link that can sleep: its doorbell is connected, and its processors are served."""
    cpus, threads = request.param
    config = MachineConfig(cpus=cpus, vcpu_threads=threads)
    with Machine(config) as machine, Link(machine) as link:
        with link.processors[0].borrowed() as cpu:
            function = PciBus.start(cpu).find(VENDOR_ID, DEVICE_ID)
            address = connect_doorbell(function, [each.apic_id for each in link.processors])
        link.set_doorbell(address)
        threads = [threading.Thread(target=each.serve) for each in link.processors]
        for thread in threads:
            thread.start()
        yield link
        link.stop()
        for thread in threads:
            thread.join(5)
        assert not any(thread.is_alive() for thread in threads)


def wait_for_halts(cpu: ProcessorLink, more_than: int) -> None:
    for _ in range(1_000_000):
        if cpu.statistics["halts"] > more_than:
            return
        os.sched_yield()
    pytest.fail("the processor did not go to sleep")


def test_every_processor_sleeps_and_is_woken_by_a_command(link: Link) -> None:
    for cpu in link.processors:
        wait_for_halts(cpu, 0)
        for _ in range(20):
            halts = cpu.statistics["halts"]
            with cpu.borrowed():
                cpu.sync()
            wait_for_halts(cpu, halts)


def test_sleeping_service_thread_is_woken_by_an_upcall(link: Link) -> None:
    for cpu in link.processors:
        arrived = threading.Semaphore(0)

        def handler(arrived: threading.Semaphore = arrived) -> int:
            arrived.release()
            return EOI

        cpu.handlers[VECTOR] = handler
        for _ in range(20):
            wait_for_halts(cpu, 0)
            with cpu.borrowed():
                cpu.send_ipi(cpu.apic_id, VECTOR)
            assert arrived.acquire(timeout=10)


def test_interrupt_of_another_processor_arrives_there(link: Link) -> None:
    sender = link.processors[0]
    for cpu in link.processors:
        seen: list[tuple[int, int]] = []
        arrived = threading.Event()

        def handler(
            cpu: ProcessorLink = cpu,
            seen: list[tuple[int, int]] = seen,
            arrived: threading.Event = arrived,
        ) -> int:
            seen.append((cpu.frame.apic_id, cpu.frame.vector))
            arrived.set()
            return EOI

        cpu.handlers[VECTOR] = handler
        with sender.borrowed():
            sender.send_ipi(cpu.apic_id, VECTOR)
        assert arrived.wait(10)
        assert seen == [(cpu.apic_id, VECTOR)]


def test_thousand_interrupts_are_all_served_whoever_owns_the_processor(link: Link) -> None:
    """Borrowers and the service thread take turns; no upcall is lost between them."""
    cpu = link.processors[-1]
    served = 0
    done = threading.Event()

    def handler() -> int:
        nonlocal served
        served += 1
        if served == 1000:
            done.set()
        return EOI

    cpu.handlers[VECTOR] = handler
    for sent in range(1, 1001):
        with cpu.borrowed():
            cpu.send_ipi(cpu.apic_id, VECTOR)
            if sent % 3:
                cpu.sync()
        while served < sent:  # the vector is edge triggered: two at once would be one
            os.sched_yield()
    assert done.wait(10)


def test_stop_ends_every_wait_with_a_typed_error(link: Link) -> None:
    cpu = link.processors[0]
    link.stop()
    cpu.acquire()
    link.machine.stop()  # the guest no longer answers
    with pytest.raises(LinkStopped):
        cpu.sync()


def test_idle_machine_and_controller_use_almost_no_processor_time(link: Link) -> None:
    def used() -> float:
        fields = Path(f"/proc/{link.machine.pid}/stat").read_text().rsplit(")", 1)[1].split()
        qemu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        own = os.times()
        return qemu + own.user + own.system

    for cpu in link.processors:
        wait_for_halts(cpu, 0)
    before = used()
    threading.Event().wait(2)
    assert used() - before < 0.06 * len(link.processors)
