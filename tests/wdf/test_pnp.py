# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The order of a device's callbacks: start, removal, power, and each failed start."""

from collections.abc import Callable

import pytest

from pydriver.errors import VectorsExhaustedError
from pydriver.ke import NtStatusError
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_DEVICE_CONFIGURATION_ERROR,
    STATUS_DEVICE_NOT_READY,
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
)
from pydriver.pci import InterruptMode, VectorBlock
from pydriver.wdf import (
    Device,
    DeviceInit,
    DeviceState,
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
    PowerDeviceState,
    Request,
    ResourceList,
)

from .bench import TIMEOUT, Bench, Edu, Plan, Signal, arrival

START = [
    ("DeviceAdd", PASSIVE_LEVEL),
    ("PrepareHardware", PASSIVE_LEVEL),
    ("D0Entry D3_FINAL", PASSIVE_LEVEL),
    ("InterruptEnable 0", "DIRQL"),
    ("InterruptEnable 1", "DIRQL"),
    ("PostInterruptsEnabled D3_FINAL", PASSIVE_LEVEL),
    ("SelfManagedIoInit", PASSIVE_LEVEL),
]
LEAVE = [
    ("SelfManagedIoSuspend", PASSIVE_LEVEL),
    ("PreInterruptsDisabled D3_FINAL", PASSIVE_LEVEL),
    ("InterruptDisable 1", "DIRQL"),
    ("InterruptDisable 0", "DIRQL"),
    ("D0Exit D3_FINAL", PASSIVE_LEVEL),
]
RELEASE = [("ReleaseHardware", PASSIVE_LEVEL)]
REMOVE = [
    ("SelfManagedIoFlush", PASSIVE_LEVEL),
    ("SelfManagedIoCleanup", PASSIVE_LEVEL),
]
CLEANUP = [("Cleanup", PASSIVE_LEVEL), ("Destroy", PASSIVE_LEVEL)]


class Witness:
    """A driver with two interrupt objects that notes each callback, and the guest's CR8 in it."""

    def __init__(self, bench: Bench, fail: str = "") -> None:
        self.bench = bench
        self.fail = fail
        self.calls: list[tuple[str, object]] = []
        self.device: Device | None = None

    def note(self, what: str, interrupt: Interrupt | None = None) -> int:
        with self.bench.kernel.borrowed() as link:
            irql: object = link.get_cr8()
        if interrupt is not None:
            assert irql == interrupt.irql or interrupt.synchronize_irql == irql
            irql = "DIRQL"
        self.calls.append((what, irql))
        return STATUS_INSUFFICIENT_RESOURCES if what == self.fail else STATUS_SUCCESS

    def load(self) -> Device:
        driver = self.bench.system.load_driver(
            lambda driver_object: Driver.create(
                driver_object,
                DriverConfig(
                    evt_driver_device_add=self.add,
                    evt_driver_unload=lambda driver: self.calls.append(("Unload", PASSIVE_LEVEL)),
                ),
            ),
            name="witness",
        )
        self.bench.drivers.append(driver)
        return driver.add_device(
            self.bench.system.pci.find(0x1234, 0x6D71), interrupts=InterruptMode.MSIX
        )

    def add(self, driver: Driver, init: DeviceInit) -> int:
        def previous(what: str) -> Callable[[Device, PowerDeviceState], int]:
            return lambda device, state: self.note(f"{what} {state.name}")

        def plain(what: str) -> Callable[[Device], int]:
            return lambda device: self.note(what)

        init.set_pnp_power_event_callbacks(
            PnpPowerEventCallbacks(
                evt_device_d0_entry=previous("D0Entry"),
                evt_device_d0_entry_post_interrupts_enabled=previous("PostInterruptsEnabled"),
                evt_device_d0_exit=previous("D0Exit"),
                evt_device_d0_exit_pre_interrupts_disabled=previous("PreInterruptsDisabled"),
                evt_device_prepare_hardware=lambda device, raw, translated: self.note(
                    "PrepareHardware"
                ),
                evt_device_release_hardware=lambda device, translated: self.note("ReleaseHardware"),
                evt_device_self_managed_io_init=plain("SelfManagedIoInit"),
                evt_device_self_managed_io_suspend=plain("SelfManagedIoSuspend"),
                evt_device_self_managed_io_restart=plain("SelfManagedIoRestart"),
                evt_device_self_managed_io_flush=plain("SelfManagedIoFlush"),
                evt_device_self_managed_io_cleanup=plain("SelfManagedIoCleanup"),
            )
        )
        device = self.device = Device.create(
            init,
            ObjectAttributes(
                evt_cleanup_callback=lambda device: self.note("Cleanup"),
                evt_destroy_callback=lambda device: self.note("Destroy"),
            ),
        )
        for number in range(2):
            Interrupt.create(
                device,
                InterruptConfig(
                    evt_interrupt_isr=lambda interrupt, message: False,
                    evt_interrupt_enable=self.interrupt(f"InterruptEnable {number}"),
                    evt_interrupt_disable=self.interrupt(f"InterruptDisable {number}"),
                ),
            )
        return self.note("DeviceAdd")

    def interrupt(self, what: str) -> Callable[[Interrupt, Device], int]:
        return lambda interrupt, device: self.note(what, interrupt)


@pytest.fixture
def mqdma(boot: Callable[..., Bench]) -> Bench:
    return boot(1)


def test_start_and_removal_call_in_the_order_of_windows(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    assert witness.calls == START
    assert device.state is DeviceState.STARTED
    witness.calls.clear()
    mqdma.close()
    assert witness.calls == [
        *LEAVE,
        *RELEASE,
        *REMOVE,
        *CLEANUP,
        ("Unload", PASSIVE_LEVEL),
    ]
    assert device.state is DeviceState.REMOVED


def test_leaving_and_entering_d0_restarts_instead_of_initialising(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    witness.calls.clear()
    device.exit_d0(PowerDeviceState.D3)
    assert [what for what, _ in witness.calls] == [
        "SelfManagedIoSuspend",
        "PreInterruptsDisabled D3",
        "InterruptDisable 1",
        "InterruptDisable 0",
        "D0Exit D3",
    ]
    witness.calls.clear()
    device.enter_d0()
    assert [what for what, _ in witness.calls] == [
        "D0Entry D3",
        "InterruptEnable 0",
        "InterruptEnable 1",
        "PostInterruptsEnabled D3",
        "SelfManagedIoRestart",
    ]


def test_stop_for_new_resources_and_start_again(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    witness.calls.clear()
    device.stop()
    assert witness.calls == [*LEAVE, *RELEASE]
    assert device.interrupts[0].vector == 0
    witness.calls.clear()
    device.start()
    assert witness.calls == [*START[1:-1], ("SelfManagedIoRestart", PASSIVE_LEVEL)]


@pytest.mark.parametrize(
    ("fail", "called"),
    [
        ("DeviceAdd", [*START[:1], *CLEANUP]),
        ("PrepareHardware", [*START[:2], *RELEASE, *CLEANUP]),
        ("D0Entry D3_FINAL", [*START[:3], *RELEASE, *CLEANUP]),
        (
            "InterruptEnable 0",
            [*START[:4], ("D0Exit D3_FINAL", PASSIVE_LEVEL), *RELEASE, *CLEANUP],
        ),
        (
            "InterruptEnable 1",
            [
                *START[:5],
                ("InterruptDisable 0", "DIRQL"),
                ("D0Exit D3_FINAL", PASSIVE_LEVEL),
                *RELEASE,
                *CLEANUP,
            ],
        ),
        ("PostInterruptsEnabled D3_FINAL", [*START[:6], *LEAVE[2:], *RELEASE, *CLEANUP]),
        ("SelfManagedIoInit", [*START[:7], *LEAVE[1:], *RELEASE, *REMOVE, *CLEANUP]),
    ],
)
def test_failed_start_is_unwound(mqdma: Bench, fail: str, called: list[tuple[str, object]]) -> None:
    witness = Witness(mqdma, fail)
    with pytest.raises(NtStatusError) as failed:
        witness.load()
    assert failed.value.status == STATUS_INSUFFICIENT_RESOURCES
    assert witness.calls == called
    assert mqdma.drivers[0].devices == ()
    # Nothing is left that a second try would trip over.
    again = Witness(mqdma)
    again.load()
    assert again.calls == START


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
    assert ("InterruptEnable 0", "DIRQL") in witness.calls
    assert ("InterruptEnable 1", "DIRQL") not in witness.calls


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
        (
            InterruptConfig(
                evt_interrupt_isr=lambda interrupt, message: False, passive_handling=True
            ),
            STATUS_NOT_SUPPORTED,
        ),
    ],
    ids=["no ISR", "DPC and work item", "passive"],
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
    """Take every vector of processor 0."""
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
