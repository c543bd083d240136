# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WdfInterruptCreate: its refusals, their order, and its other effects."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from pydriver.ke import BugCheck, NtStatusError
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    STATUS_WDF_EXECUTION_LEVEL_INVALID,
    STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
    STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
)
from pydriver.pci import InterruptMode
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    ExecutionLevel,
    Interrupt,
    InterruptConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    PnpPowerEventCallbacks,
    ResourceList,
    SpinLock,
    SynchronizationScope,
    TriState,
    WaitLock,
)
from tests.harness.bench import Bench, Plan


def isr(interrupt: Interrupt, message: int) -> bool:
    return False


def callback(interrupt: Interrupt, device: Device) -> None:
    """A DPC or a work item that is never queued."""


def status_of(
    device: Device, config: InterruptConfig, attributes: ObjectAttributes | None = None
) -> int:
    try:
        Interrupt.create(device, config, attributes)
    except NtStatusError as error:
        return error.status
    return STATUS_SUCCESS


def in_device_add(bench: Bench, use: Callable[[Device], Any]) -> Any:
    """Calls a function in EvtDriverDeviceAdd; returns its result."""
    results: list[Any] = []
    bench.load(Plan(add=lambda device: results.append(use(device))))
    return results[0]


def in_prepare_hardware(bench: Bench, use: Callable[[Device, ResourceList], Any]) -> Any:
    """Calls a function in EvtDevicePrepareHardware; returns its result."""
    results: list[Any] = []

    def prepare(device: Device, raw: ResourceList, translated: ResourceList) -> None:
        results.append(use(device, translated))

    bench.load(Plan(callbacks=PnpPowerEventCallbacks(evt_device_prepare_hardware=prepare)))
    return results[0]


GOOD = InterruptConfig(evt_interrupt_isr=isr)


@dataclass
class Case:
    """A configuration, and the status of its creation in EvtDriverDeviceAdd."""

    name: str
    config: Callable[[Device], InterruptConfig]
    status: int
    attributes: Callable[[Device], ObjectAttributes] | None = None


def spin_lock(device: Device) -> SpinLock:
    return SpinLock.create(ObjectAttributes(parent_object=device))


def wait_lock(device: Device) -> WaitLock:
    return WaitLock.create(ObjectAttributes(parent_object=device))


def queue(device: Device) -> IoQueue:
    return IoQueue.create(device, IoQueueConfig(IoQueueDispatchType.MANUAL))


def below(parent: Callable[[Device], Any]) -> Callable[[Device], ObjectAttributes]:
    return lambda device: ObjectAttributes(parent_object=parent(device))


SCOPE = ObjectAttributes(synchronization_scope=SynchronizationScope.DEVICE)
LEVEL = ObjectAttributes(execution_level=ExecutionLevel.PASSIVE)

CASES = [
    Case("no ISR", lambda device: InterruptConfig(), STATUS_INVALID_PARAMETER),
    Case(
        "no ISR comes before the attributes",
        lambda device: InterruptConfig(),
        STATUS_INVALID_PARAMETER,
        lambda device: SCOPE,
    ),
    Case(
        "parent without serialization",
        lambda device: GOOD,
        STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
        below(lambda device: device),
    ),
    Case(
        "scope",
        lambda device: GOOD,
        STATUS_WDF_SYNCHRONIZATION_SCOPE_INVALID,
        lambda device: SCOPE,
    ),
    Case("level", lambda device: GOOD, STATUS_WDF_EXECUTION_LEVEL_INVALID, lambda device: LEVEL),
    Case(
        "the attributes come before the wake",
        lambda device: replace(GOOD, can_wake_device=True),
        STATUS_WDF_EXECUTION_LEVEL_INVALID,
        lambda device: LEVEL,
    ),
    Case("wake", lambda device: replace(GOOD, can_wake_device=True), STATUS_INVALID_PARAMETER),
    Case(
        "DPC and work item",
        lambda device: replace(GOOD, evt_interrupt_dpc=callback, evt_interrupt_work_item=callback),
        STATUS_INVALID_PARAMETER,
    ),
    Case(
        "DPC and work item come before the parent",
        lambda device: replace(
            GOOD,
            evt_interrupt_dpc=callback,
            evt_interrupt_work_item=callback,
            automatic_serialization=True,
        ),
        STATUS_INVALID_PARAMETER,
        below(lambda device: device.driver),
    ),
    Case(
        "wait lock of an interrupt at DIRQL",
        lambda device: replace(GOOD, wait_lock=wait_lock(device)),
        STATUS_INVALID_PARAMETER,
    ),
    Case(
        "spin lock of a passive interrupt",
        lambda device: replace(GOOD, passive_handling=True, spin_lock=spin_lock(device)),
        STATUS_INVALID_PARAMETER,
    ),
    Case(
        "parent that is neither the device nor its queue",
        lambda device: replace(GOOD, automatic_serialization=True),
        STATUS_INVALID_PARAMETER,
        below(lambda device: device.driver),
    ),
    Case(
        "neither DPC nor work item",
        lambda device: GOOD,
        STATUS_SUCCESS,
    ),
    Case(
        "queue as the parent",
        lambda device: replace(GOOD, automatic_serialization=True),
        STATUS_SUCCESS,
        below(queue),
    ),
    Case("floating save", lambda device: replace(GOOD, floating_save=True), STATUS_SUCCESS),
    Case("spin lock", lambda device: replace(GOOD, spin_lock=spin_lock(device)), STATUS_SUCCESS),
]


@pytest.mark.covers(
    "WdfInterruptCreate",
    "WDF_INTERRUPT_CONFIG.EvtInterruptIsr",
    "WDF_INTERRUPT_CONFIG.EvtInterruptDpc",
    "WDF_INTERRUPT_CONFIG.EvtInterruptWorkItem",
    "WDF_INTERRUPT_CONFIG.CanWakeDevice",
    "WDF_INTERRUPT_CONFIG.WaitLock",
    "WDF_INTERRUPT_CONFIG.SpinLock",
    "WDF_INTERRUPT_CONFIG.PassiveHandling",
    "WDF_INTERRUPT_CONFIG.FloatingSave",
)
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_configuration_is_checked_in_the_order_of_the_framework(bench: Bench, case: Case) -> None:
    def create(device: Device) -> int:
        attributes = None if case.attributes is None else case.attributes(device)
        return status_of(device, case.config(device), attributes)

    assert in_device_add(bench, create) == case.status


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.InterruptRaw", "WDF_INTERRUPT_CONFIG.InterruptTranslated")
def test_resource_is_given_in_prepare_hardware_and_only_there(bench: Bench) -> None:
    statuses: list[int] = []

    def prepare(device: Device, resources: ResourceList) -> None:
        (descriptor,) = resources.interrupts
        given = replace(GOOD, interrupt_raw=descriptor, interrupt_translated=descriptor)
        foreign = replace(descriptor, vector=descriptor.vector ^ 1)
        statuses.extend(
            status_of(device, config)
            for config in (
                GOOD,
                replace(given, interrupt_raw=None),
                replace(given, interrupt_translated=None),
                replace(given, share_vector=TriState.TRUE),
                replace(given, can_wake_device=True, passive_handling=True),
                replace(given, interrupt_raw=foreign),
                replace(given, interrupt_translated=foreign),
                given,
            )
        )
        late = in_device_add_of_another(bench, given)
        statuses.append(late)

    in_prepare_hardware(bench, prepare)
    assert statuses == [
        *[STATUS_INVALID_DEVICE_STATE] * 4,
        *[STATUS_INVALID_PARAMETER] * 3,
        STATUS_SUCCESS,
        STATUS_INVALID_PARAMETER,
    ]


def in_device_add_of_another(bench: Bench, config: InterruptConfig) -> int:
    results: list[int] = []
    bench.load(Plan(add=lambda device: results.append(status_of(device, config))), index=1)
    return results[0]


@pytest.mark.covers("WdfInterruptCreate")
def test_interrupt_is_not_created_after_the_start(bench: Bench) -> None:
    assert status_of(bench.load().device, GOOD) == STATUS_INVALID_DEVICE_STATE


@dataclass
class Serialized:
    """A device's attributes, and the status of an interrupt with automatic serialization."""

    attributes: ObjectAttributes
    with_dpc: int
    with_work_item: int
    passive_with_neither: int


SCOPE_DEVICE = SynchronizationScope.DEVICE
INCOMPATIBLE = STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL


@pytest.mark.covers("WDF_INTERRUPT_CONFIG.AutomaticSerialization")
@pytest.mark.parametrize(
    "row",
    [
        Serialized(ObjectAttributes(), STATUS_SUCCESS, STATUS_SUCCESS, STATUS_SUCCESS),
        pytest.param(
            Serialized(
                ObjectAttributes(synchronization_scope=SCOPE_DEVICE),
                STATUS_SUCCESS,
                INCOMPATIBLE,
                INCOMPATIBLE,
            ),
            marks=pytest.mark.mistake("ExecutionLevel"),
        ),
        Serialized(
            ObjectAttributes(
                synchronization_scope=SCOPE_DEVICE, execution_level=ExecutionLevel.PASSIVE
            ),
            INCOMPATIBLE,
            STATUS_SUCCESS,
            STATUS_SUCCESS,
        ),
    ],
    ids=["no scope", "dispatch", "passive"],
)
def test_serialization_needs_callbacks_of_the_same_level(bench: Bench, row: Serialized) -> None:
    statuses: list[int] = []

    def add(driver: Driver, init: DeviceInit) -> None:
        device = Device.create(init, row.attributes)
        serialized = replace(GOOD, automatic_serialization=True)
        statuses.extend(
            status_of(device, config)
            for config in (
                replace(serialized, evt_interrupt_dpc=callback),
                replace(serialized, evt_interrupt_work_item=callback),
                replace(serialized, passive_handling=True),
            )
        )

    driver = bench.system.load_driver(
        lambda driver_object: Driver.create(driver_object, DriverConfig(evt_driver_device_add=add)),
        name="serialized",
    )
    bench.drivers.append(driver)
    driver.add_device(bench.functions[0], interrupts=InterruptMode.INTX)
    assert statuses == [row.with_dpc, row.with_work_item, row.passive_with_neither]
    broken = {"ExecutionLevel"} if INCOMPATIBLE in statuses else set()
    assert {each.rule for each in bench.violations()} == broken


@pytest.mark.covers("WdfInterruptCreate", "WdfInterruptGetDevice")
def test_created_interrupt_belongs_to_the_framework(bench: Bench) -> None:
    def create(device: Device) -> list[Interrupt]:
        parent = queue(device)
        config = replace(GOOD, automatic_serialization=True)
        first = Interrupt.create(device, config, ObjectAttributes(parent_object=parent))
        second = Interrupt.create(device, GOOD)
        assert not parent.deletable
        assert first.parent is parent
        assert first.get_device() is second.get_device() is device
        return [first, second]

    interrupts = in_device_add(bench, create)
    assert [each.message_number for each in interrupts] == [0, 1]
    interrupts[0].delete()
    assert bench.violation().rule == "ObjectNotDeletable"
    interrupts[0].get_info()


@pytest.mark.covers("WdfInterruptCreate")
def test_interrupt_that_the_driver_keeps_keeps_its_device(bench: Bench) -> None:
    destroyed: list[str] = []

    def add(device: Device) -> Interrupt:
        return Interrupt.create(
            device,
            GOOD,
            ObjectAttributes(evt_destroy_callback=lambda handle: destroyed.append("interrupt")),
        )

    interrupt = in_device_add(bench, add)
    device = interrupt.get_device()
    interrupt.reference()
    device.remove()
    assert destroyed == []
    assert interrupt.get_device().get_driver() is bench.drivers[0]
    interrupt.dereference()
    assert destroyed == ["interrupt"]
    assert device.freed


@pytest.mark.mistake("WdfSpinlock")
@pytest.mark.covers("WDF_INTERRUPT_CONFIG.SpinLock")
def test_spin_lock_of_an_interrupt_is_of_no_use_to_the_driver(bench: Bench) -> None:
    def add(device: Device) -> SpinLock:
        lock = spin_lock(device)
        Interrupt.create(device, replace(GOOD, spin_lock=lock))
        return lock

    lock = in_device_add(bench, add)
    lock.acquire()
    assert bench.kernel.irql() == 0
    lock.release()
    assert [each.rule for each in bench.violations()] == ["WdfSpinlock"] * 2


@pytest.mark.covers("WdfInterruptCreate", "WdfInterruptSetExtendedPolicy")
@pytest.mark.parametrize(
    "call",
    [
        lambda device: Interrupt.create(device, None),  # type: ignore[arg-type]
        lambda device: Interrupt.create(device, GOOD).set_extended_policy(None),  # type: ignore[arg-type]
    ],
    ids=["create", "policy"],
)
def test_pointer_that_is_null_is_a_wdf_violation(
    doomed: Bench, call: Callable[[Device], Any]
) -> None:
    with pytest.raises(BugCheck) as stopped:
        in_device_add(doomed, call)
    assert (stopped.value.code, stopped.value.parameters[:2]) == (WDF_VIOLATION, (4, 0))
