# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The order of a device's callbacks: start, removal, power, and each failed start."""

from collections.abc import Callable

import pytest

from pydriver.errors import VectorsExhaustedError
from pydriver.ke import NtStatusError
from pydriver.ke.status import (
    STATUS_DEVICE_CONFIGURATION_ERROR,
    STATUS_DEVICE_NOT_READY,
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
)
from pydriver.pci import InterruptMode, VectorBlock
from pydriver.wdf import (
    Device,
    Driver,
    DriverConfig,
    Interrupt,
    InterruptConfig,
    InterruptDescriptor,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    IoStopAction,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    Request,
    ResourceList,
)
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, Signal, arrival
from tests.harness.witness import Witness


@pytest.fixture
def mqdma(boot: Callable[..., Bench]) -> Bench:
    return boot(1)


def test_interrupts_get_vectors_of_their_irql_and_one_message_each(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    infos = [interrupt.get_info() for interrupt in device.interrupts]
    assert [info.message_number for info in infos] == [0, 1]
    assert all(info.vector >> 4 == info.irql for info in infos)
    assert all(info.message_signaled for info in infos)
    assert infos[0].vector != infos[1].vector
    assert len(device.resources.interrupts) > 2


def test_interrupt_object_without_a_message_is_never_connected(mqdma: Bench) -> None:
    witness = Witness(mqdma)

    def load() -> Device:
        driver = mqdma.system.load_driver(
            lambda driver_object: Driver.create(
                driver_object, DriverConfig(evt_driver_device_add=witness.add)
            ),
            name="witness",
        )
        mqdma.drivers.append(driver)
        return driver.add_device(mqdma.system.pci.find(0x1234, 0x6D71), messages=1)

    device = load()
    assert device.interrupts[1].get_info().vector == 0
    assert ("InterruptEnable 0", "DIRQL", 0) in witness.calls
    assert ("InterruptEnable 1", "DIRQL", 0) not in witness.calls


def test_interrupt_is_created_in_prepare_hardware_from_its_resource(bench: Bench) -> None:
    created: list[Interrupt] = []
    vectors: list[int] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        vectors.append(arrival(edu.link).vector)
        edu.acknowledge()
        done.set()
        return True

    def prepare(device: Device, raw: ResourceList, translated: ResourceList) -> None:
        with pytest.raises(NtStatusError) as missing:
            Interrupt.create(device, InterruptConfig(evt_interrupt_isr=isr))
        assert missing.value.status == STATUS_INVALID_DEVICE_STATE
        (descriptor,) = translated.interrupts
        assert isinstance(descriptor, InterruptDescriptor)
        created.append(
            Interrupt.create(
                device,
                InterruptConfig(
                    evt_interrupt_isr=isr,
                    interrupt_raw=raw.interrupts[0],
                    interrupt_translated=descriptor,
                ),
            )
        )

    callbacks = PnpPowerEventCallbacks(evt_device_prepare_hardware=prepare)
    edu = bench.load(Plan(callbacks=callbacks))
    edu.raise_interrupt()
    done.wait()
    assert vectors == [created[0].vector]
    edu.device.stop()
    assert edu.device.interrupts == [], "made in PrepareHardware, gone with the hardware"


@pytest.mark.parametrize(
    ("config", "status"),
    [
        (InterruptConfig(), STATUS_INVALID_PARAMETER),
        (
            InterruptConfig(
                evt_interrupt_isr=lambda interrupt, message: False,
                evt_interrupt_dpc=lambda interrupt, device: None,
                evt_interrupt_work_item=lambda interrupt, device: None,
            ),
            STATUS_INVALID_PARAMETER,
        ),
    ],
    ids=["no ISR", "DPC and work item"],
)
def test_interrupt_configuration_is_checked(
    bench: Bench, config: InterruptConfig, status: int
) -> None:
    seen: list[int] = []

    def add(device: Device) -> None:
        with pytest.raises(NtStatusError) as wrong:
            Interrupt.create(device, config)
        seen.append(wrong.value.status)

    bench.load(Plan(add=add))
    assert seen == [status]


def test_interrupt_parent_needs_automatic_serialization(bench: Bench) -> None:
    seen: list[int] = []

    def add(device: Device) -> None:
        queue = IoQueue.create(device, IoQueueConfig(IoQueueDispatchType.MANUAL))
        attributes = ObjectAttributes(parent_object=queue)
        config = InterruptConfig(evt_interrupt_isr=lambda interrupt, message: False)
        with pytest.raises(NtStatusError) as wrong:
            Interrupt.create(device, config, attributes)
        seen.append(wrong.value.status)
        config.automatic_serialization = True
        interrupt = Interrupt.create(device, config, attributes)
        assert interrupt.parent is queue
        assert interrupt.get_device() is device
        assert not queue.deletable

    bench.load(Plan(add=add))
    assert seen == [STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED]


def test_interrupt_cannot_be_created_after_the_start(bench: Bench) -> None:
    edu = bench.load()
    with pytest.raises(NtStatusError) as late:
        Interrupt.create(
            edu.device, InterruptConfig(evt_interrupt_isr=lambda interrupt, message: False)
        )
    assert late.value.status == STATUS_INVALID_DEVICE_STATE


def test_mode_that_the_device_has_not_is_refused(bench: Bench) -> None:
    with pytest.raises(NtStatusError) as refused:
        bench.load(Plan(mode=InterruptMode.MSIX))
    assert refused.value.status == STATUS_DEVICE_CONFIGURATION_ERROR


def test_disabled_interrupt_does_not_arrive_until_it_is_enabled(bench: Bench) -> None:
    interrupts: list[str] = []
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        interrupts.append("isr")
        done.set()
        return True

    edu = bench.load(Plan(isr=isr, mode=InterruptMode.INTX))
    edu.interrupt.disable()
    edu.raise_interrupt()
    edu.registers.read32(0)
    edu.registers.read32(0)
    assert interrupts == []
    edu.interrupt.enable()
    done.wait()
    assert interrupts == ["isr"]


def test_line_is_shared_and_the_chain_ends_with_the_device_that_claims(bench: Bench) -> None:
    called: list[str] = []
    done = Signal()

    def make(name: str) -> Callable[[Interrupt, int], bool]:
        def isr(interrupt: Interrupt, message: int) -> bool:
            called.append(name)
            if not devices[name].acknowledge():
                return False
            done.set()
            return True

        return isr

    devices: dict[str, Edu] = {}
    for name, index in (("first", 0), ("second", 2)):
        devices[name] = bench.load(Plan(isr=make(name), mode=InterruptMode.INTX), index)
    first, second = devices["first"].interrupt, devices["second"].interrupt
    assert first.vector == second.vector
    devices["second"].raise_interrupt()
    done.wait()
    devices["second"].registers.read32(0)
    assert called == ["first", "second"]
    assert (first.unclaimed, second.unclaimed) == (1, 0)
    called.clear()
    devices["first"].raise_interrupt()
    devices["first"].registers.read32(0)
    devices["first"].registers.read32(0)
    assert called == ["first"]


def test_line_that_nobody_claims_is_counted(bench: Bench) -> None:
    counts: list[int] = []
    calls = 0
    done = Signal()

    def isr(interrupt: Interrupt, message: int) -> bool:
        nonlocal calls
        calls += 1
        if calls < 3:
            return False
        edu.acknowledge()
        descriptor = interrupt.descriptor
        assert descriptor is not None
        assert descriptor.line is not None
        counts.append(descriptor.line.unclaimed)
        done.set()
        return True

    edu = bench.load(Plan(isr=isr, mode=InterruptMode.INTX))
    edu.raise_interrupt()
    done.wait()
    assert counts == [2], "a level that stays interrupts again"


def test_device_that_is_not_started_cannot_be_opened(bench: Bench) -> None:
    edu = bench.load()
    edu.device.stop()
    with pytest.raises(NtStatusError) as refused:
        edu.device.open()
    assert refused.value.status == STATUS_DEVICE_NOT_READY
    edu.device.start()
    edu.device.open().close()


def test_requests_wait_for_d0_and_a_stopped_request_is_presented_again(bench: Bench) -> None:
    presented: list[Request] = []
    stopped: list[tuple[Request, IoStopAction]] = []

    def write(queue: IoQueue, request: Request, length: int) -> None:
        presented.append(request)

    def stop(queue: IoQueue, request: Request, action: IoStopAction) -> None:
        stopped.append((request, action))
        request.stop_acknowledge(requeue=True)

    config = IoQueueConfig(
        IoQueueDispatchType.PARALLEL, evt_io_write=write, evt_io_stop=stop, default_queue=True
    )
    edu = bench.load(Plan(queues=[config]))
    with edu.device.open() as file:
        first = file.write_async(b"a")
        edu.device.exit_d0()
        assert stopped == [(presented[0], IoStopAction.SUSPEND)]
        second = file.write_async(b"b")
        assert len(presented) == 1
        edu.device.enter_d0()
        assert presented == [presented[0], presented[0], presented[2]]
        for request in presented[1:]:
            request.complete(STATUS_SUCCESS)
        assert [irp.wait(TIMEOUT) for irp in (first, second)] == [STATUS_SUCCESS] * 2


def test_removal_cancels_what_waits_and_waits_for_what_the_driver_owns(bench: Bench) -> None:
    owned: list[Request] = []

    def stop(queue: IoQueue, request: Request, action: IoStopAction) -> None:
        assert action & IoStopAction.SUSPEND
        request.complete(STATUS_INSUFFICIENT_RESOURCES)

    config = IoQueueConfig(
        IoQueueDispatchType.SEQUENTIAL,
        evt_io_write=lambda queue, request, length: owned.append(request),
        evt_io_stop=stop,
        default_queue=True,
    )
    edu = bench.load(Plan(queues=[config]))
    file = edu.device.open()
    mine, waiting = file.write_async(b"a"), file.write_async(b"b")
    bench.close()
    assert mine.status == STATUS_INSUFFICIENT_RESOURCES
    assert waiting.status == 0xC0000120


def take_all_vectors(bench: Bench) -> list[VectorBlock]:
    """Takes every vector of processor 0."""
    taken = []
    for _ in range(9 * 16 + 1):
        try:
            taken.append(bench.system.vectors.allocate(range(3, 12), 1, 0))
        except VectorsExhaustedError:
            return taken
    raise AssertionError("there are more vectors than a processor has")


def test_device_gets_as_many_messages_as_there_are_vectors(mqdma: Bench) -> None:
    taken = take_all_vectors(mqdma)
    mqdma.system.vectors.free(taken[0])
    device = Witness(mqdma).load()
    assert [interrupt.vector for interrupt in device.interrupts] == [taken[0].base, 0]


def test_start_without_a_free_vector_fails(mqdma: Bench) -> None:
    take_all_vectors(mqdma)
    with pytest.raises(NtStatusError) as failed:
        Witness(mqdma).load()
    assert failed.value.status == STATUS_INSUFFICIENT_RESOURCES
