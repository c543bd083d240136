# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""DPCs and work items of ISRs: coalescing, overlap on two processors, serialization."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from pydriver.ke import BugCheck, KEvent
from pydriver.ke.bugcheck import DRIVER_IRQL_NOT_LESS_OR_EQUAL, KMODE_EXCEPTION_NOT_HANDLED
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    ExecutionLevel,
    Interrupt,
    InterruptConfig,
    InterruptPolicy,
    InterruptPriority,
    ObjectAttributes,
    SynchronizationScope,
)
from tests.harness.bench import TIMEOUT, Bench, Plan, Signal


def not_mine(interrupt: Interrupt, message: int) -> bool:
    return False


def load_serialized(
    bench: Bench, level: ExecutionLevel = ExecutionLevel.INHERIT_FROM_PARENT, **config: Any
) -> Interrupt:
    """An interrupt on the last processor with automatic serialization, below a device's lock."""
    created: list[Interrupt] = []

    def add(driver: Driver, init: DeviceInit) -> None:
        attributes = ObjectAttributes(
            execution_level=level, synchronization_scope=SynchronizationScope.DEVICE
        )
        device = Device.create(init, attributes)
        interrupt = Interrupt.create(
            device,
            InterruptConfig(evt_interrupt_isr=not_mine, automatic_serialization=True, **config),
        )
        last = len(bench.kernel.processors) - 1
        interrupt.set_policy(
            InterruptPolicy.SPECIFIED_PROCESSORS, InterruptPriority.NORMAL, 1 << last
        )
        created.append(interrupt)

    driver = bench.system.load_driver(
        lambda driver_object: Driver.create(driver_object, DriverConfig(evt_driver_device_add=add)),
        name="serialized",
    )
    bench.drivers.append(driver)
    driver.add_device(bench.functions[0])
    return created[0]


@pytest.mark.covers("WdfInterruptQueueDpcForIsr", "EvtInterruptDpc")
def test_dpc_gets_interrupt_and_device_and_may_queue_itself(bench: Bench) -> None:
    seen: list[tuple[object, object, int]] = []
    answers: list[bool] = []
    done = Signal()

    def dpc(interrupt: Interrupt, device: Device) -> None:
        seen.append((interrupt, device, bench.kernel.irql()))
        if len(seen) < 3:
            answers.append(interrupt.queue_dpc_for_isr())
            answers.append(interrupt.queue_dpc_for_isr())
        else:
            done.set()

    edu = bench.load(Plan(isr=not_mine, dpc=dpc))
    assert edu.interrupt.queue_dpc_for_isr() is True
    done.wait()
    assert seen == [(edu.interrupt, edu.device, DISPATCH_LEVEL)] * 3
    assert answers == [True, False] * 2
    assert (edu.interrupt.dpcs_queued, edu.interrupt.dpcs_coalesced) == (3, 2)


@pytest.mark.covers("WdfInterruptQueueDpcForIsr", "EvtInterruptDpc")
def test_dpc_that_is_queued_again_while_it_runs_runs_on_two_processors(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(2)
    overlap = threading.Barrier(2)
    processors: list[int] = []

    def dpc(interrupt: Interrupt, device: Device) -> None:
        processor = bench.kernel.current.processor
        assert processor is not None
        processors.append(processor.number)
        started.set()
        overlap.wait(TIMEOUT)

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        return interrupt.queue_dpc_for_isr()

    started = Signal()
    edu = bench.load(Plan(isr=isr, dpc=dpc, processor=1))
    bench.kernel.current.home = bench.kernel.processors[0]
    edu.raise_interrupt()
    started.wait()
    assert edu.interrupt.queue_dpc_for_isr(), "it left the queue before it began"
    bench.kernel.flush_queued_dpcs()
    assert processors == [1, 0]


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.AutomaticSerialization", "EvtInterruptDpc")
def test_serialized_dpc_excludes_itself_on_another_processor(boot: Callable[..., Bench]) -> None:
    bench = boot(2)
    inside = most = runs = 0
    started, queued_again = Signal(), threading.Event()

    def dpc(interrupt: Interrupt, device: Device) -> None:
        nonlocal inside, most, runs
        inside += 1
        most = max(most, inside)
        processor = bench.kernel.current.processor
        assert processor is not None
        if not runs:
            started.set()
            while not queued_again.is_set() or interrupt._kdpc.queued:
                processor.link.sync()
            for _ in range(100):  # the second one has left the queue: it waits for the lock
                processor.link.sync()
        inside -= 1
        runs += 1

    interrupt = load_serialized(bench, evt_interrupt_dpc=dpc)
    kernel = bench.kernel

    def queue_on_the_other() -> None:
        kernel.current.home = kernel.processors[1]
        interrupt.queue_dpc_for_isr()

    thread = threading.Thread(target=queue_on_the_other)
    thread.start()
    started.wait()
    kernel.current.home = kernel.processors[0]
    old = kernel.raise_irql(DISPATCH_LEVEL)
    assert interrupt.queue_dpc_for_isr()
    queued_again.set()
    kernel.lower_irql(old)
    thread.join(TIMEOUT)
    kernel.flush_queued_dpcs()
    assert (most, runs) == (1, 2)


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.AutomaticSerialization", "EvtInterruptWorkItem")
def test_serialized_work_item_runs_under_the_lock_of_the_device(bench: Bench) -> None:
    held: list[bool] = []

    def work(interrupt: Interrupt, device: Device) -> None:
        lock = device.serialization_lock
        assert lock is not None
        held.append(lock.held_here)
        done.set()

    done = Signal()
    interrupt = load_serialized(bench, ExecutionLevel.PASSIVE, evt_interrupt_work_item=work)
    assert interrupt.queue_work_item_for_isr()
    done.wait()
    assert held == [True]


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.AutomaticSerialization", "EvtInterruptDpc")
def test_dpc_without_serialization_runs_without_a_lock(bench: Bench) -> None:
    held: list[object] = []
    edu = bench.load(
        Plan(
            isr=not_mine,
            dpc=lambda interrupt, device: held.extend(bench.kernel.current.held),
        )
    )
    edu.interrupt.queue_dpc_for_isr()
    bench.kernel.flush_queued_dpcs()
    assert edu.interrupt.dpcs_queued == 1
    assert held == []


@pytest.mark.covers("WdfInterruptQueueWorkItemForIsr", "EvtInterruptWorkItem")
def test_work_item_goes_through_the_dpc_only_from_above_dispatch_level(bench: Bench) -> None:
    runs: list[tuple[object, object, int]] = []
    gate, running, done = Signal(), Signal(), Signal()

    def work(interrupt: Interrupt, device: Device) -> None:
        runs.append((interrupt, device, bench.kernel.irql()))
        running.set()
        gate.wait()
        if len(runs) == 2:
            done.set()

    edu = bench.load(Plan(isr=not_mine, config={"evt_interrupt_work_item": work}))
    interrupt = edu.interrupt
    kernel = bench.kernel
    old = kernel.raise_irql(interrupt.irql)
    answers = [interrupt.queue_work_item_for_isr() for _ in range(2)]
    assert interrupt.dpcs_queued == 1
    kernel.lower_irql(old)
    running.wait()
    assert answers == [True, False]
    gate.set()
    answers = [interrupt.queue_work_item_for_isr()]
    done.wait()
    assert answers == [True], "it left the queue before it began"
    assert interrupt.dpcs_queued == 1
    assert runs == [(interrupt, edu.device, PASSIVE_LEVEL)] * 2


@pytest.mark.covers("WdfInterruptQueueDpcForIsr", "WdfInterruptQueueWorkItemForIsr")
def test_dpc_of_an_interrupt_with_a_work_item_queues_that(bench: Bench) -> None:
    done = Signal()
    config = {"evt_interrupt_work_item": lambda interrupt, device: done.set()}
    edu = bench.load(Plan(isr=not_mine, config=config))
    assert edu.interrupt.queue_dpc_for_isr()
    done.wait()


@pytest.mark.covers("WdfInterruptQueueWorkItemForIsr")
def test_work_item_of_a_removed_device_is_not_queued(bench: Bench) -> None:
    config = {"evt_interrupt_work_item": lambda interrupt, device: None}
    edu = bench.load(Plan(isr=not_mine, config=config))
    interrupt = edu.interrupt
    interrupt.reference()
    edu.device.remove()
    assert interrupt.queue_work_item_for_isr() is False
    interrupt.dereference()


def ended(bench: Bench) -> BugCheck:
    """Waits for the bug check of the system."""
    with pytest.raises(BugCheck) as stopped:
        KEvent(bench.kernel).wait(int(-TIMEOUT * 10_000_000))
    return stopped.value


@pytest.mark.mistake("DRIVER_IRQL_NOT_LESS_OR_EQUAL", 0xD1)
@pytest.mark.covers("WdfInterruptQueueDpcForIsr")
def test_dpc_that_does_not_exist_stops_the_system_when_it_runs(doomed: Bench) -> None:
    edu = doomed.load(Plan(isr=not_mine))
    old = doomed.kernel.raise_irql(DISPATCH_LEVEL)
    assert edu.interrupt.queue_dpc_for_isr()
    assert doomed.kernel.failure is None
    with pytest.raises(BugCheck) as stopped:
        doomed.kernel.lower_irql(old)
    assert stopped.value.code == DRIVER_IRQL_NOT_LESS_OR_EQUAL
    assert stopped.value.parameters[:2] == (0, DISPATCH_LEVEL)


@pytest.mark.covers("WdfInterruptQueueWorkItemForIsr")
@pytest.mark.parametrize(
    ("level", "code"),
    [(PASSIVE_LEVEL, KMODE_EXCEPTION_NOT_HANDLED), (6, DRIVER_IRQL_NOT_LESS_OR_EQUAL)],
)
def test_work_item_that_does_not_exist_stops_the_system(
    doomed: Bench, level: int, code: int
) -> None:
    edu = doomed.load(Plan(isr=not_mine, dpc=lambda interrupt, device: None))
    doomed.kernel.raise_irql(level)
    with pytest.raises(BugCheck) as stopped:
        edu.interrupt.queue_work_item_for_isr()
    assert stopped.value.code == code
    assert ended(doomed).code == code
