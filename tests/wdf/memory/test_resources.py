# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The resource lists of EvtDevicePrepareHardware."""

import pytest

from pydriver.ke import BugCheck, NtStatusError
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.status import STATUS_ACCESS_DENIED
from pydriver.pci import InterruptMode
from pydriver.wdf import (
    Device,
    Interrupt,
    InterruptConfig,
    InterruptDescriptor,
    MemoryDescriptor,
    PnpPowerEventCallbacks,
    ResourceList,
)
from tests.harness.bench import Bench, Plan
from tests.harness.witness import Witness


@pytest.mark.covers("WdfCmResourceListGetCount", "WdfCmResourceListGetDescriptor")
def test_both_lists_have_the_bars_and_then_the_interrupts(bench: Bench) -> None:
    seen: list[object] = []

    def look(device: Device, raw: ResourceList, translated: ResourceList) -> None:
        count = translated.get_count()
        assert raw.get_count() == count == len(translated)
        assert raw is not translated
        for index in range(count):
            seen.append(translated.get_descriptor(index))
            assert type(raw.get_descriptor(index)) is type(translated.get_descriptor(index))
        assert translated.get_descriptor(count) is None
        assert translated.get_descriptor(-1) is None

    def release(device: Device, translated: ResourceList) -> None:
        assert translated.get_count() == len(seen)

    callbacks = PnpPowerEventCallbacks(
        evt_device_prepare_hardware=look, evt_device_release_hardware=release
    )
    bench.load(Plan(callbacks=callbacks, mode=InterruptMode.MSI)).device.remove()
    memory, interrupt = seen
    assert isinstance(memory, MemoryDescriptor)
    assert memory.length == 1 << 20
    assert isinstance(interrupt, InterruptDescriptor)
    assert interrupt.message_signaled


@pytest.mark.mistake("ResourceListReadOnly")
@pytest.mark.covers(
    "WdfCmResourceListAppendDescriptor",
    "WdfCmResourceListInsertDescriptor",
    "WdfCmResourceListRemove",
    "WdfCmResourceListRemoveByDescriptor",
)
def test_lists_of_prepare_hardware_are_read_only(bench: Bench) -> None:
    def change(device: Device, raw: ResourceList, translated: ResourceList) -> None:
        first = translated.get_descriptor(0)
        assert first is not None
        for call in (
            lambda: translated.append_descriptor(first),
            lambda: translated.insert_descriptor(first, 0),
        ):
            with pytest.raises(NtStatusError) as refused:
                call()
            assert refused.value.status == STATUS_ACCESS_DENIED
        count = translated.get_count()
        translated.remove(0)
        raw.remove_by_descriptor(first)
        assert (translated.get_count(), raw.get_count()) == (count, count)

    bench.load(Plan(callbacks=PnpPowerEventCallbacks(evt_device_prepare_hardware=change)))
    found = bench.violations()
    assert len(found) == 4
    assert {each.rule for each in found} == {"ResourceListReadOnly"}


@pytest.mark.mistake("ResourceListOutsideCallback")
@pytest.mark.covers("WdfCmResourceListGetCount")
def test_list_is_for_the_callbacks_only(bench: Bench) -> None:
    device = bench.load().device
    device.resources.get_count()
    assert bench.violation().rule == "ResourceListOutsideCallback"
    device.resources.delete()
    assert bench.violation().rule == "ObjectNotDeletable"


@pytest.mark.mistake("INVALID_HANDLE", 0x10D)
@pytest.mark.covers("WdfCmResourceListGetCount")
def test_list_is_gone_with_the_hardware(doomed: Bench) -> None:
    witness = Witness(doomed)
    device = witness.load()
    _, translated = witness.lists[0]
    device.stop()
    with pytest.raises(BugCheck) as stopped:
        translated.get_count()
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 5)


def test_surplus_interrupt_objects_get_no_vector(bench: Bench) -> None:
    def add(device: Device) -> None:
        for _ in range(2):
            Interrupt.create(
                device, InterruptConfig(evt_interrupt_isr=lambda interrupt, message: False)
            )

    edu = bench.load(Plan(add=add, mode=InterruptMode.MSI))
    first, second = edu.device.interrupts
    assert first.get_info().vector
    assert second.get_info().vector == 0
