# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Two processors: the targets of interrupts and DPCs, and locks that exclude across processors."""

import threading
from collections.abc import Callable

import pytest

from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.wdf import (
    Device,
    Dpc,
    DpcConfig,
    Interrupt,
    InterruptPriority,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    PowerDeviceState,
    SpinLock,
)
from tests.harness.bench import TIMEOUT, Bench, Plan, Signal, arrival


@pytest.fixture(autouse=True, params=["multi", "single"])
def vcpu_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test with a thread for each vCPU, and with one thread for all."""
    monkeypatch.setenv("PYDRIVER_VCPU_THREADS", request.param)


def test_interrupt_and_its_dpc_run_on_the_processor_that_policy_says(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(2)
    seen: list[tuple[int, int]] = []
    done = [Signal(), Signal()]

    def make(number: int) -> Plan:
        def isr(interrupt: Interrupt, message: int) -> bool:
            devices[number].acknowledge()
            seen.append((number, arrival(devices[number].link).apic_id))
            return interrupt.queue_dpc_for_isr()

        def dpc(interrupt: Interrupt, device: Device) -> None:
            frame = arrival(devices[number].link)
            assert frame.level == DISPATCH_LEVEL
            seen.append((number, frame.apic_id))
            done[number].set()

        return Plan(isr=isr, dpc=dpc, processor=number)

    devices = [bench.load(make(number), number) for number in range(2)]
    for number in range(2):
        devices[number].raise_interrupt()
        done[number].wait()
    apic_ids = [link.apic_id for link in bench.system.link.processors]
    assert seen == [(0, apic_ids[0])] * 2 + [(1, apic_ids[1])] * 2


def test_dpc_with_a_target_processor_runs_there(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    seen: list[int] = []
    done = Signal()
    device = bench.load().device
    links = bench.system.link.processors

    def routine(dpc: Dpc) -> None:
        processor = bench.kernel.current.processor
        assert processor is not None
        seen.append(arrival(processor.link).apic_id)
        done.set()

    dpc = Dpc.create(DpcConfig(routine), ObjectAttributes(parent_object=device))
    dpc.wdm_get_dpc().target = bench.kernel.processors[1]
    dpc.enqueue()
    done.wait()
    assert seen == [links[1].apic_id]


def test_dpcs_of_both_processors_are_flushed(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    ran: list[int] = []
    device = bench.load().device
    for number in range(2):
        dpc = Dpc.create(
            DpcConfig(lambda dpc, number=number: ran.append(number)),
            ObjectAttributes(parent_object=device),
        )
        dpc.wdm_get_dpc().target = bench.kernel.processors[number]
        dpc.enqueue()
    bench.kernel.flush_queued_dpcs()
    assert sorted(ran) == [0, 1]


def test_interrupt_lock_keeps_an_isr_on_another_processor_out(
    boot: Callable[..., Bench],
) -> None:
    """The guest's depth shows the ISR's frame, but the driver's ISR has not begun."""
    bench = boot(2)
    order: list[str] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        order.append("isr")
        edu.acknowledge()
        done.set()
        return True

    edu = bench.load(Plan(isr=isr, processor=1))
    bench.kernel.current.home = bench.kernel.processors[0]
    before = edu.interrupt.interrupts
    edu.interrupt.acquire_lock()
    assert bench.kernel.current.processor is bench.kernel.processors[0]
    edu.raise_interrupt()
    while edu.interrupt.interrupts == before:
        edu.registers.read32(0)
    order.append("release")
    edu.interrupt.release_lock()
    done.wait()
    assert order == ["release", "isr"]


def test_spin_lock_excludes_across_processors(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    device = bench.load().device
    lock = SpinLock.create(ObjectAttributes(parent_object=device))
    inside = most = rounds = 0
    finished = [Signal(), Signal()]

    def routine(dpc: Dpc) -> None:
        nonlocal inside, most, rounds
        for _ in range(50):
            with lock:
                inside += 1
                most = max(most, inside)
                processor = bench.kernel.current.processor
                assert processor is not None
                processor.link.sync()
                rounds += 1
                inside -= 1
        finished[processor.number].set()

    for number in range(2):
        dpc = Dpc.create(DpcConfig(routine), ObjectAttributes(parent_object=device))
        dpc.wdm_get_dpc().target = bench.kernel.processors[number]
        dpc.enqueue()
    for signal in finished:
        signal.wait()
    assert (most, rounds) == (1, 100)


def test_what_was_written_under_a_spin_lock_is_there_for_the_next_holder(
    boot: Callable[..., Bench],
) -> None:
    """A count in a register: an increment that reads before another's posted write is lost."""
    bench = boot(2)
    edu = bench.load()
    lock = SpinLock.create(ObjectAttributes(parent_object=edu.device))
    finished = [Signal(), Signal()]
    inverted, rounds = 0x04, 2000

    def routine(dpc: Dpc) -> None:
        for _ in range(rounds):
            with lock:
                count = ~edu.registers.read32(inverted) & 0xFFFFFFFF
                edu.registers.write32(inverted, count + 1)
        processor = bench.kernel.current.processor
        assert processor is not None
        finished[processor.number].set()

    edu.registers.write32(inverted, 0)
    for number in range(2):
        dpc = Dpc.create(DpcConfig(routine), ObjectAttributes(parent_object=edu.device))
        dpc.wdm_get_dpc().target = bench.kernel.processors[number]
        dpc.enqueue()
    for signal in finished:
        signal.wait("the last round", 4 * TIMEOUT)  # thousands of changes of hands
    assert ~edu.registers.read32(inverted) & 0xFFFFFFFF == 2 * rounds


def test_interrupts_that_share_a_lock_synchronize_at_the_higher_irql(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(2)
    levels: list[int] = []
    done = Signal()
    first = bench.load(Plan(isr=lambda interrupt, message: False), 1)
    lock = SpinLock.create(ObjectAttributes(parent_object=first.device))

    def isr(interrupt: Interrupt, message: int) -> bool:
        levels.append(edu.link.get_cr8())
        edu.acknowledge()
        done.set()
        return True

    edu = bench.load(Plan(isr=isr, config={"spin_lock": lock}, priority=InterruptPriority.LOW))
    edu.interrupt.synchronize_irql = 11
    edu.interrupt.disable()
    edu.interrupt.enable()
    edu.raise_interrupt()
    done.wait()
    assert levels == [11]
    assert edu.interrupt.irql < 11


def test_passive_threads_borrow_both_processors(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    device = bench.load()
    numbers: list[int] = []

    def access() -> None:
        with bench.kernel.borrowed() as link:
            numbers.append(link.number)
        assert device.registers.read32(0) == 0x010000ED

    threads = [threading.Thread(target=access) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert sorted(set(numbers)) == [0, 1]


def test_d0_exit_waits_for_the_dpc_that_still_runs(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    order: list[str] = []
    running, disabling = Signal(), threading.Event()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        return interrupt.queue_dpc_for_isr()

    def dpc(interrupt: Interrupt, device: Device) -> None:
        running.set()
        while not disabling.is_set():
            edu.link.sync()
        for _ in range(100):
            edu.link.sync()
        order.append("dpc ends")

    def disable(interrupt: Interrupt, device: Device) -> None:
        order.append("disable")
        disabling.set()

    def d0_exit(device: Device, target: PowerDeviceState) -> None:
        order.append("d0 exit")

    edu = bench.load(
        Plan(
            isr=isr,
            dpc=dpc,
            processor=1,
            config={"evt_interrupt_disable": disable},
            callbacks=PnpPowerEventCallbacks(evt_device_d0_exit=d0_exit),
        )
    )
    bench.kernel.current.home = bench.kernel.processors[0]
    edu.raise_interrupt()
    running.wait()
    edu.device.exit_d0()
    assert order == ["disable", "dpc ends", "d0 exit"]
