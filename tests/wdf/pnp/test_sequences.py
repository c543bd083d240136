# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Whole sequences: each step, its IRQL and its processor, in the order of Windows."""

from collections.abc import Callable

import pytest
from pydriver.abi._native import lib

from pydriver.ke import BugCheck, NtStatusError, VerifierConfig
from pydriver.ke.bugcheck import DRIVER_POWER_STATE_FAILURE
from pydriver.ke.status import (
    STATUS_DEVICE_NOT_READY,
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
)
from pydriver.pci import InterruptMode, PowerState
from pydriver.wdf import (
    Device,
    DeviceFailedAction,
    DevicePnpState,
    DevicePowerPolicyState,
    DevicePowerState,
    DeviceRelationType,
    DeviceState,
    DeviceStateFlags,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    IoStopAction,
    MappedRegisters,
    PnpPowerEventCallbacks,
    PowerDeviceState,
    Request,
    ResourceList,
    SpecialFileType,
    TriState,
)
from tests.harness.bench import Bench, Plan, Signal
from tests.harness.witness import (
    CLEANUP,
    RELEASE,
    REMOVE,
    START,
    Call,
    Witness,
    dirql,
    leave,
    passive,
)

RESTART = [*START[2:-1], *passive("SelfManagedIoRestart")]


@pytest.fixture
def mqdma(boot: Callable[..., Bench]) -> Bench:
    return boot(1)


@pytest.mark.covers(
    "EvtDriverDeviceAdd",
    "EvtDevicePrepareHardware",
    "EvtDeviceReleaseHardware",
    "EvtDeviceD0Entry",
    "EvtDeviceD0EntryPostInterruptsEnabled",
    "EvtDeviceD0ExitPreInterruptsDisabled",
    "EvtDeviceD0Exit",
    "EvtDeviceSelfManagedIoInit",
    "EvtDeviceSelfManagedIoSuspend",
    "EvtDeviceSelfManagedIoFlush",
    "EvtDeviceSelfManagedIoCleanup",
    "EvtDeviceQueryRemove",
    "EvtDriverUnload",
    "WDF_DRIVER_CONFIG.EvtDriverDeviceAdd",
    "WDF_DRIVER_CONFIG.EvtDriverUnload",
    "WdfDeviceInitSetPnpPowerEventCallbacks",
)
def test_start_and_removal_call_in_the_order_of_windows(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    assert witness.calls == START
    assert device.state is DeviceState.STARTED
    witness.calls.clear()
    mqdma.close()
    assert witness.calls == [
        *passive("QueryRemove"),
        *leave(),
        *RELEASE,
        *REMOVE,
        *CLEANUP,
        *passive("Unload"),
    ]
    assert device.state is DeviceState.REMOVED


@pytest.mark.covers("EvtDeviceSelfManagedIoRestart", "EvtDeviceD0Entry", "EvtDeviceD0Exit")
def test_leaving_and_entering_d0_restarts_instead_of_initialising(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    witness.calls.clear()
    device.exit_d0(PowerDeviceState.D3)
    assert witness.calls == leave("D3")
    witness.calls.clear()
    device.enter_d0()
    assert witness.calls == [
        (step.replace("D3_FINAL", "D3"), irql, number) for step, irql, number in RESTART
    ]


@pytest.mark.covers("EvtDeviceQueryStop", "EvtDeviceSelfManagedIoRestart")
def test_rebalance_gives_other_resources_and_restarts(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    vectors = [interrupt.vector for interrupt in device.interrupts]
    witness.calls.clear()
    device.stop()
    assert witness.calls == [*passive("QueryStop"), *leave(), *RELEASE]
    assert [interrupt.vector for interrupt in device.interrupts] == [0, 0]
    assert device.state is DeviceState.STOPPED
    witness.calls.clear()
    device.start()
    assert witness.calls == [*passive("PrepareHardware"), *RESTART]
    before, after = witness.bars
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert not set(vectors) & {interrupt.vector for interrupt in device.interrupts}


def test_device_works_at_its_new_addresses_with_its_new_interrupt(bench: Bench) -> None:
    seen: list[tuple[int, int]] = []
    done = Signal()
    mapped: list[MappedRegisters] = []

    def isr(interrupt: object, message: int) -> bool:
        mapped[-1].write32(0x64, mapped[-1].read32(0x24))
        seen.append((mapped[-1].address, edu.interrupt.vector))
        done.set()
        return True

    callbacks = PnpPowerEventCallbacks(
        evt_device_prepare_hardware=lambda device, raw, translated: mapped.append(
            translated.memory[0].map()
        )
    )
    edu = bench.load(Plan(isr=isr, callbacks=callbacks, mode=InterruptMode.MSI))
    vector = edu.interrupt.vector
    for _ in range(3):
        edu.device.rebalance()
        mapped[-1].write32(0x60, 1)
        done.wait("the interrupt")
        mapped[-1].read32(0)
    assert len({address for address, _ in seen}) > 1
    assert mapped[0].address != mapped[1].address
    assert seen[0][1] != vector


@pytest.mark.covers("EvtDeviceQueryStop", "EvtDeviceQueryRemove")
@pytest.mark.parametrize("query", ["QueryStop", "QueryRemove"])
def test_driver_may_veto(mqdma: Bench, query: str) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    witness.calls.clear()
    witness.fail = query
    with pytest.raises(NtStatusError) as vetoed:
        device.stop() if query == "QueryStop" else device.remove()
    assert vetoed.value.status == STATUS_INSUFFICIENT_RESOURCES
    assert witness.calls == passive(query)
    assert device.state is DeviceState.STARTED
    assert device.get_device_pnp_state() is DevicePnpState.STARTED


FAILED_STARTS: list[tuple[str, list[Call]]] = [
    ("DeviceAdd", [*START[:1], *CLEANUP]),
    ("PrepareHardware", [*START[:2], *RELEASE, *CLEANUP]),
    ("D0Entry D3_FINAL", [*START[:3], *RELEASE, *CLEANUP]),
    ("InterruptEnable 0", [*START[:4], *passive("D0Exit D3_FINAL"), *RELEASE, *CLEANUP]),
    (
        "InterruptEnable 1",
        [
            *START[:5],
            dirql("InterruptDisable 0"),
            *passive("D0Exit D3_FINAL"),
            *RELEASE,
            *CLEANUP,
        ],
    ),
    ("PostInterruptsEnabled D3_FINAL", [*START[:6], *leave()[5:], *RELEASE, *CLEANUP]),
    ("DMA up 0", [*START[:7], *leave()[2:], *RELEASE, *CLEANUP]),
    ("DMA up 1", [*START[:8], *leave()[2:], *RELEASE, *CLEANUP]),
    ("SelfManagedIoInit", [*START[:10], *leave()[1:], *RELEASE, *REMOVE, *CLEANUP]),
]


@pytest.mark.parametrize(("fail", "called"), FAILED_STARTS, ids=[fail for fail, _ in FAILED_STARTS])
def test_failed_start_is_unwound(mqdma: Bench, fail: str, called: list[Call]) -> None:
    witness = Witness(mqdma, fail)
    with pytest.raises(NtStatusError) as failed:
        witness.load()
    assert failed.value.status == STATUS_INSUFFICIENT_RESOURCES
    assert witness.calls == called
    assert mqdma.drivers[0].devices == ()
    # Nothing is left that would disturb a second try.
    again = Witness(mqdma)
    again.load()
    assert again.calls == START


def test_failed_return_to_d0_releases_the_hardware(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    device.exit_d0()
    witness.calls.clear()
    witness.fail = "SelfManagedIoRestart"
    with pytest.raises(NtStatusError):
        device.enter_d0()
    undone = [step for step, _, _ in (*leave()[1:], *RELEASE)]
    assert witness.steps[-9:] == ["SelfManagedIoRestart", *undone]
    assert device.state is DeviceState.FAILED
    witness.calls.clear()
    device.remove()
    assert witness.calls == [*REMOVE, *CLEANUP]


EXIT_STEPS = [step for step, _, _ in leave() if step != "queue stopped"]


@pytest.mark.parametrize("fail", EXIT_STEPS)
def test_failure_on_the_way_down_is_recorded_and_the_rest_still_runs(
    mqdma: Bench, fail: str
) -> None:
    witness = Witness(mqdma, fail.replace("D3_FINAL", "D3"))
    device = witness.load()
    witness.calls.clear()
    with pytest.raises(NtStatusError) as failed:
        device.exit_d0()
    assert failed.value.status == STATUS_INSUFFICIENT_RESOURCES
    assert witness.calls == [*leave("D3"), *RELEASE]
    assert [each.status for each in device.failures] == [STATUS_INSUFFICIENT_RESOURCES]
    assert device.state is DeviceState.FAILED


def test_removal_goes_on_after_failures(mqdma: Bench) -> None:
    witness = Witness(mqdma, (*EXIT_STEPS, "ReleaseHardware"))
    device = witness.load()
    witness.calls.clear()
    device.remove()
    assert witness.calls == [*passive("QueryRemove"), *leave(), *RELEASE, *REMOVE, *CLEANUP]
    assert len(device.failures) == len(EXIT_STEPS) + 1


# Surprise removal


def pull_out(bench: Bench) -> None:
    """Makes QEMU remove the hardware of the mqdma."""
    path = mqdma_path(bench)
    bench.system.machine.qmp("qom-set", path=path, property="fault-removed", value=True)


def mqdma_path(bench: Bench) -> str:
    qmp = bench.system.machine.qmp
    for folder in ("/machine/peripheral", "/machine/peripheral-anon"):
        for each in qmp("qom-list", path=folder):
            if each["type"] == "child<mqdma>":
                return f"{folder}/{each['name']}"
    raise AssertionError("there is no mqdma")


@pytest.mark.covers("EvtDeviceSurpriseRemoval")
def test_surprise_removal_calls_all_of_the_exit_without_hardware(mqdma: Bench) -> None:
    reads: list[int] = []

    def watch(device: Device, translated: ResourceList) -> None:
        reads.append(translated.memory[0].map().read32(0))

    witness = Witness(mqdma)
    original = witness.callbacks

    def callbacks() -> PnpPowerEventCallbacks:
        table = original()
        release = table.evt_device_release_hardware
        assert release is not None

        def both(device: Device, translated: ResourceList) -> int | None:
            watch(device, translated)
            return release(device, translated)

        table.evt_device_release_hardware = both
        return table

    witness.callbacks = callbacks  # type: ignore[method-assign]
    device = witness.load()
    witness.calls.clear()
    pull_out(mqdma)
    device.surprise_remove()
    assert witness.calls == [
        *passive("SurpriseRemoval"),
        *leave(),
        *RELEASE,
        *REMOVE,
        *CLEANUP,
    ]
    assert reads == [0xFFFFFFFF]
    assert device.state is DeviceState.REMOVED


def test_surprise_removal_outside_of_d0_skips_the_exit(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    device.exit_d0()
    witness.calls.clear()
    device.surprise_remove()
    assert witness.calls == [*passive("SurpriseRemoval"), *RELEASE, *REMOVE, *CLEANUP]


def test_surprise_removal_ends_with_the_last_handle(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    file = device.open()
    witness.calls.clear()
    device.surprise_remove()
    assert witness.steps[-1] == "SelfManagedIoFlush"
    assert device.state is DeviceState.SURPRISE_REMOVED
    with pytest.raises(NtStatusError) as gone:
        device.open()
    assert gone.value.status == STATUS_DEVICE_NOT_READY
    witness.calls.clear()
    file.close()
    assert witness.calls == [*passive("SelfManagedIoCleanup"), *CLEANUP]
    device.surprise_remove()
    assert device.state is DeviceState.REMOVED


# Requests


def test_power_managed_queue_is_asked_to_suspend_and_then_to_purge(bench: Bench) -> None:
    asked: list[IoStopAction] = []

    def stop(queue: IoQueue, request: Request, action: IoStopAction) -> None:
        asked.append(action)
        if action & IoStopAction.PURGE:
            request.complete(STATUS_INSUFFICIENT_RESOURCES)
        else:
            request.stop_acknowledge(requeue=False)

    config = IoQueueConfig(
        IoQueueDispatchType.SEQUENTIAL,
        evt_io_write=lambda queue, request, length: None,
        evt_io_stop=stop,
        evt_io_resume=lambda queue, request: None,
        default_queue=True,
    )
    edu = bench.load(Plan(queues=[config]))
    irp = edu.device.open().write_async(b"a")
    edu.device.remove()
    assert asked == [IoStopAction.SUSPEND, IoStopAction.PURGE]
    assert irp.status == STATUS_INSUFFICIENT_RESOURCES


@pytest.mark.mistake("RequestCompleted", 0x9F)
def test_request_that_stays_owned_at_removal_ends_in_a_bug_check(
    boot: Callable[..., Bench],
) -> None:
    bench = boot(1, VerifierConfig(power_timeout=0.5))
    config = IoQueueConfig(
        IoQueueDispatchType.SEQUENTIAL,
        evt_io_write=lambda queue, request, length: None,
        default_queue=True,
    )
    edu = bench.load(Plan(queues=[config]))
    edu.device.open().write_async(b"a")
    with pytest.raises(BugCheck):
        edu.device.remove()
    stopped = bench.kernel.failure
    assert isinstance(stopped, BugCheck)
    assert stopped.code == DRIVER_POWER_STATE_FAILURE
    assert stopped.rule == "RequestCompleted"


# Power of the function


def test_function_is_put_into_d3_and_back_with_its_bars(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    function = device.function
    device.exit_d0()
    assert function.power.state is PowerState.D3_HOT
    assert not function.header.COMMAND.read().bus_master_enable
    # Registers of a function that is reset on its way out of D3hot.
    for bar in function.bars:
        function.config.write32(bar.offset, 0)
    function.header.COMMAND.write(0)
    device.enter_d0()
    assert function.power.state is PowerState.D0
    command = function.header.COMMAND.read()
    assert (command.memory_enable, command.bus_master_enable) == (1, 1)
    assert function.msix.enabled
    assert device.resources.memory[0].map().read32(0) == lib.MQDMA_ID_VALUE
    for bar in function.bars:
        assert function.config.read32(bar.offset) & ~0xF == (bar.address or 0) & 0xFFFFFFF0


def test_orders_that_do_not_fit_the_state_are_refused(bench: Bench) -> None:
    device = bench.load().device
    for order in (device.start, device.enter_d0):
        with pytest.raises(NtStatusError) as refused:
            order()
        assert refused.value.status == STATUS_INVALID_DEVICE_STATE
    device.exit_d0()
    with pytest.raises(NtStatusError):
        device.exit_d0()
    device.stop()
    with pytest.raises(NtStatusError):
        device.stop()


# Notifications and queries of the PnP manager


@pytest.mark.covers(
    "EvtDeviceUsageNotificationEx", "EvtDeviceUsageNotification", "EvtDeviceRelationsQuery"
)
def test_special_file_is_told_and_keeps_the_device(mqdma: Bench) -> None:
    witness = Witness(mqdma)
    device = witness.load()
    witness.calls.clear()
    assert device.usage_notification(SpecialFileType.PAGING, in_path=True) == STATUS_SUCCESS
    assert device.query_stop() == STATUS_INVALID_DEVICE_REQUEST
    assert device.query_remove() == STATUS_INVALID_DEVICE_REQUEST
    assert device.usage_notification(SpecialFileType.PAGING, in_path=False) == STATUS_SUCCESS
    assert device.query_stop() == STATUS_SUCCESS
    device.cancel_query()
    witness.fail = "UsageNotification DUMP True"
    status = device.usage_notification(SpecialFileType.DUMP, in_path=True)
    assert status == STATUS_INSUFFICIENT_RESOURCES
    assert device.query_relations(DeviceRelationType.BUS) == ()
    assert witness.calls == passive(
        "UsageNotification PAGING True",
        "UsageNotification PAGING False",
        "QueryStop",
        "UsageNotification DUMP True",
        "RelationsQuery BUS",
    )


@pytest.mark.covers("EvtDeviceUsageNotification")
def test_usage_notification_without_ex_cannot_refuse(bench: Bench) -> None:
    told: list[tuple[SpecialFileType, bool]] = []
    callbacks = PnpPowerEventCallbacks(
        evt_device_usage_notification=lambda device, kind, in_path: told.append((kind, in_path))
    )
    device = bench.load(Plan(callbacks=callbacks)).device
    assert device.usage_notification(SpecialFileType.HIBERNATION, in_path=True) == STATUS_SUCCESS
    assert told == [(SpecialFileType.HIBERNATION, True)]
    device.usage_notification(SpecialFileType.HIBERNATION, in_path=False)


@pytest.mark.mistake("PrepareHardwareStatus")
def test_prepare_hardware_that_returns_not_supported_is_a_violation(bench: Bench) -> None:
    callbacks = PnpPowerEventCallbacks(
        evt_device_prepare_hardware=lambda device, raw, translated: STATUS_NOT_SUPPORTED
    )
    with pytest.raises(NtStatusError) as failed:
        bench.load(Plan(callbacks=callbacks))
    assert failed.value.status == STATUS_NOT_SUPPORTED
    assert bench.violation().rule == "PrepareHardwareStatus"


@pytest.mark.covers(
    "WdfDeviceGetDevicePnpState",
    "WdfDeviceGetDevicePowerState",
    "WdfDeviceGetDevicePowerPolicyState",
)
def test_states_can_be_looked_at(bench: Bench) -> None:
    seen: list[tuple[object, ...]] = []

    def look(device: Device) -> None:
        seen.append(
            (
                device.get_device_pnp_state(),
                device.get_device_power_state(),
                device.get_device_power_policy_state(),
            )
        )

    callbacks = PnpPowerEventCallbacks(
        evt_device_d0_entry=lambda device, state: look(device),
        evt_device_d0_exit=lambda device, state: look(device),
    )
    device = bench.load(Plan(callbacks=callbacks, add=look)).device
    look(device)
    device.exit_d0()
    look(device)
    device.stop()
    look(device)
    pnp, power, policy = DevicePnpState, DevicePowerState, DevicePowerPolicyState
    assert seen == [
        (pnp.OBJECT_CREATED, power.OBJECT_CREATED, policy.OBJECT_CREATED),
        (pnp.HARDWARE_AVAILABLE, power.D0_STARTING, policy.STARTED),
        (pnp.STARTED, power.D0, policy.STARTED),
        (pnp.STARTED, power.GOTO_DX, policy.WAITING_UNARMED),
        (pnp.STARTED, power.DX, policy.WAITING_UNARMED),
        (pnp.STOPPED, power.DX, policy.STOPPED),
    ]


# Failure


@pytest.mark.covers("WdfDeviceSetFailed")
def test_failed_device_is_removed_later(mqdma: Bench) -> None:
    gone = Signal()
    witness = Witness(mqdma)
    device = witness.load()
    witness.calls.clear()
    note = witness.note

    def noting(what: str, interrupt: object = None) -> int:
        status = note(what, interrupt)  # type: ignore[arg-type]
        if what == "Destroy":
            gone.set()
        return status

    witness.note = noting  # type: ignore[method-assign]
    device.set_failed(DeviceFailedAction.NO_RESTART)
    device.set_failed(DeviceFailedAction.NO_RESTART)
    assert device.get_device_state().failed is TriState.TRUE
    gone.wait("the removal")
    assert witness.calls == [
        *passive("SurpriseRemoval"),
        *leave(),
        *RELEASE,
        *REMOVE,
        *CLEANUP,
    ]


@pytest.mark.covers("WdfDeviceSetFailed")
def test_failed_device_is_added_again_a_few_times(bench: Bench) -> None:
    started: list[Device] = []
    signals = [Signal() for _ in range(7)]
    gone = Signal()

    def init(device: Device) -> None:
        started.append(device)
        signals[len(started) - 1].set()

    def surprise(device: Device) -> None:
        if len(started) == 6:
            gone.set()

    callbacks = PnpPowerEventCallbacks(
        evt_device_self_managed_io_init=init, evt_device_surprise_removal=surprise
    )
    edu = bench.load(Plan(callbacks=callbacks))
    driver = edu.device.driver
    for index in range(5):
        signals[index].wait(f"start {index}")
        device = started[index]
        device.set_failed(DeviceFailedAction.ATTEMPT_RESTART)
        signals[index + 1].wait(f"start {index + 1}")
        assert started[index + 1].function is device.function
    started[5].set_failed(DeviceFailedAction.ATTEMPT_RESTART)
    gone.wait("the last removal")
    started[5].remove(query=False)
    driver.restart_device(started[5])
    assert driver.devices == (), "more than that is too often"


@pytest.mark.mistake("DeviceFailedAction")
@pytest.mark.covers("WdfDeviceSetFailed")
def test_failed_action_that_does_not_exist_is_ignored(bench: Bench) -> None:
    device = bench.load().device
    device.set_failed(3)
    assert bench.violation().rule == "DeviceFailedAction"
    assert device.get_device_state() == DeviceStateFlags()
    assert device.state is DeviceState.STARTED


@pytest.mark.covers("WdfDeviceSetDeviceState", "WdfDeviceGetDeviceState")
def test_device_state_decides_what_happens_to_the_device(bench: Bench) -> None:
    stopped, removed = Signal(), Signal()
    callbacks = PnpPowerEventCallbacks(
        evt_device_self_managed_io_restart=lambda device: stopped.set(),
        evt_device_surprise_removal=lambda device: removed.set(),
    )
    device = bench.load(Plan(callbacks=callbacks)).device
    device.set_device_state(DeviceStateFlags(not_disableable=TriState.TRUE))
    assert device.get_device_state().not_disableable is TriState.TRUE
    assert device.query_remove() == STATUS_INVALID_DEVICE_REQUEST
    with pytest.raises(NtStatusError):
        device.remove()
    device.set_device_state(DeviceStateFlags(resources_changed=TriState.TRUE))
    stopped.wait("the rebalance")
    device.set_device_state(DeviceStateFlags(removed=TriState.TRUE))
    removed.wait("the removal")


def test_self_managed_io_is_never_flushed_if_it_never_started(mqdma: Bench) -> None:
    witness = Witness(mqdma, "D0Entry D3_FINAL")
    with pytest.raises(NtStatusError):
        witness.load()
    assert not [step for step in witness.steps if step.startswith("SelfManaged")]


def test_removal_of_a_stopped_device_gives_its_vectors_back(mqdma: Bench) -> None:
    taken = mqdma.system.vectors.allocator._taken
    before = list(taken)
    witness = Witness(mqdma)
    device = witness.load()
    device.rebalance()
    device.stop()
    assert taken != before, "so that the next ones are others"
    witness.calls.clear()
    device.remove()
    assert witness.calls == [*REMOVE, *CLEANUP]
    assert taken == before
