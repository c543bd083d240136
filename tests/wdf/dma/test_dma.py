# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""DMA enablers and common buffers; transactions are in test_dma_transactions.py."""

from collections.abc import Callable
from typing import Any

import pytest

from pydriver.ke import BugCheck, NtStatusError
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_DELETE_PENDING,
    STATUS_DEVICE_HARDWARE_ERROR,
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
    STATUS_WDF_OBJECT_ATTRIBUTES_INVALID,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
)
from pydriver.wdf import (
    CommonBuffer,
    CommonBufferConfig,
    Device,
    DmaDirection,
    DmaEnabler,
    DmaEnablerConfig,
    DmaEnablerFlags,
    DmaProfile,
    DmaTransaction,
    GenericObject,
    ObjectAttributes,
)
from tests.harness.bench import Bench

PAGE = 4096
UNLIMITED = 0xFFFFFFFF
READ, WRITE = DmaDirection.READ_FROM_DEVICE, DmaDirection.WRITE_TO_DEVICE


def enabler_of(
    device: Device,
    profile: DmaProfile = DmaProfile.SCATTER_GATHER,
    maximum: int = PAGE,
    **more: Any,
) -> DmaEnabler:
    return DmaEnabler.create(device, DmaEnablerConfig(profile, maximum, **more))


def status_of(call: Callable[[], object]) -> int:
    with pytest.raises(NtStatusError) as failed:
        call()
    return failed.value.status


@pytest.mark.covers(
    "WdfDmaEnablerCreate",
    "WDF_DMA_ENABLER_CONFIG.Profile",
    "WDF_DMA_ENABLER_CONFIG.MaximumLength",
    "WDF_DMA_ENABLER_CONFIG.AddressWidthOverride",
    "WDF_DMA_ENABLER_CONFIG.WdmDmaVersionOverride",
    "WDF_DMA_ENABLER_CONFIG.Flags",
)
@pytest.mark.parametrize(
    ("config", "status"),
    [
        (DmaEnablerConfig(9, PAGE), STATUS_INVALID_PARAMETER),  # type: ignore[arg-type]
        (DmaEnablerConfig(DmaProfile.PACKET, 0), STATUS_INVALID_PARAMETER),
        (DmaEnablerConfig(DmaProfile.SYSTEM, PAGE), STATUS_UNSUCCESSFUL),
        (DmaEnablerConfig(DmaProfile.SYSTEM_DUPLEX, PAGE), STATUS_UNSUCCESSFUL),
        (
            DmaEnablerConfig(DmaProfile.SYSTEM, PAGE, address_width_override=24),
            STATUS_INVALID_PARAMETER,
        ),
        (
            DmaEnablerConfig(DmaProfile.PACKET, PAGE, address_width_override=33),
            STATUS_INVALID_PARAMETER,
        ),
        (
            DmaEnablerConfig(
                DmaProfile.PACKET, PAGE, flags=DmaEnablerFlags.REQUIRE_SINGLE_TRANSFER
            ),
            STATUS_INVALID_PARAMETER,
        ),
        # The first 64 KiB of guest RAM have no memory for the device.
        (
            DmaEnablerConfig(DmaProfile.PACKET, PAGE, address_width_override=16),
            STATUS_INSUFFICIENT_RESOURCES,
        ),
    ],
    ids=[
        *("profile", "length", "system", "system duplex", "width of a system profile"),
        *("width", "single transfer without version 3", "too narrow"),
    ],
)
def test_configuration_of_an_enabler_is_checked(
    bench: Bench, config: DmaEnablerConfig, status: int
) -> None:
    device = bench.load().device
    before = device.children
    assert status_of(lambda: DmaEnabler.create(device, config)) == status
    assert device.dma_enablers == []
    assert device.children == before


@pytest.mark.covers(
    "WDF_DMA_ENABLER_CONFIG.AddressWidthOverride",
    "WDF_DMA_ENABLER_CONFIG.WdmDmaVersionOverride",
    "WDF_DMA_ENABLER_CONFIG.Flags",
)
def test_configurations_that_are_good(bench: Bench) -> None:
    device = bench.load().device
    single = DmaEnablerFlags.REQUIRE_SINGLE_TRANSFER
    made = [
        enabler_of(device, DmaProfile.PACKET64, address_width_override=48),
        enabler_of(device, address_width_override=28, flags=single),
        enabler_of(device, wdm_dma_version_override=3, flags=single),
        enabler_of(device, flags=DmaEnablerFlags.NO_SGLIST_PREALLOCATION),
    ]
    assert device.dma_enablers == made
    assert [each.address_limit for each in made] == [1 << 48, 1 << 28, 1 << 32, 1 << 32]
    made[0].delete()
    assert device.dma_enablers == made[1:]


@pytest.mark.covers("WdfDmaEnablerCreate")
def test_parent_of_an_enabler_is_below_its_device(bench: Bench) -> None:
    device = bench.load().device
    config = DmaEnablerConfig(DmaProfile.PACKET, PAGE)
    below = GenericObject.create(ObjectAttributes(parent_object=device))
    attributes = ObjectAttributes(parent_object=below)
    assert DmaEnabler.create(device, config, attributes).parent is below
    assert DmaEnabler.create(device, config).parent is device
    for parent in (device.driver, bench.load(index=1).device):
        attributes = ObjectAttributes(parent_object=parent)
        status = status_of(lambda a=attributes: DmaEnabler.create(device, config, a))  # type: ignore[misc]
        assert status == STATUS_WDF_OBJECT_ATTRIBUTES_INVALID


@pytest.mark.mistake("KmdfIrql")
@pytest.mark.covers("WdfDmaEnablerCreate", "WdfCommonBufferCreate")
def test_enabler_and_common_buffer_are_created_at_passive_level(bench: Bench) -> None:
    device = bench.load().device
    enabler = enabler_of(device)
    old = bench.kernel.raise_irql(DISPATCH_LEVEL)
    statuses = [
        status_of(lambda: enabler_of(device)),
        status_of(lambda: CommonBuffer.create(enabler, PAGE)),
        status_of(
            lambda: CommonBuffer.create_with_config(enabler, PAGE, CommonBufferConfig(0xFFF))
        ),
    ]
    enabler.set_maximum_scatter_gather_elements(3)
    bench.kernel.lower_irql(old)
    assert statuses == [STATUS_INVALID_DEVICE_REQUEST] * 3
    assert enabler.get_maximum_scatter_gather_elements() == UNLIMITED
    assert [each.rule for each in bench.violations()] == ["KmdfIrql"] * 4


@pytest.mark.covers("WdfDmaEnablerGetMaximumLength", "WdfDmaEnablerGetFragmentLength")
@pytest.mark.parametrize(
    ("maximum", "fragment"), [(100, 100), (3 * PAGE, 3 * PAGE), (1 << 20, 63 * PAGE)]
)
def test_map_registers_limit_a_fragment(bench: Bench, maximum: int, fragment: int) -> None:
    enabler = enabler_of(bench.load().device, DmaProfile.SCATTER_GATHER_DUPLEX, maximum)
    assert enabler.get_maximum_length() == maximum
    assert enabler.get_fragment_length(READ) == enabler.get_fragment_length(WRITE) == fragment


@pytest.mark.mistake("DmaElements")
@pytest.mark.covers(
    "WdfDmaEnablerSetMaximumScatterGatherElements", "WdfDmaEnablerGetMaximumScatterGatherElements"
)
def test_number_of_elements_is_set_once_and_before_the_transactions(bench: Bench) -> None:
    device = bench.load().device
    one, two = enabler_of(device), enabler_of(device)
    assert one.get_maximum_scatter_gather_elements() == UNLIMITED
    one.set_maximum_scatter_gather_elements(4)
    assert bench.violations() == []
    one.set_maximum_scatter_gather_elements(5)
    assert one.get_maximum_scatter_gather_elements() == 4
    DmaTransaction.create(two)
    two.set_maximum_scatter_gather_elements(4)
    assert two.get_maximum_scatter_gather_elements() == UNLIMITED
    assert [each.rule for each in bench.violations()] == ["DmaElements"] * 2


def test_map_registers_are_given_back_with_the_enabler(bench: Bench) -> None:
    device = bench.load().device
    free = list(bench.system.machine.reservations._free)
    enabler = enabler_of(device, DmaProfile.SCATTER_GATHER_DUPLEX, 1 << 20)
    assert bench.system.machine.reservations._free != free
    enabler.delete()
    assert bench.system.machine.reservations._free == free


# Power

STEPS = ("fill", "enable", "self_managed_io_start", "self_managed_io_stop", "disable", "flush")


def powered(bench: Bench, fails: str = "") -> tuple[DmaEnabler, list[str]]:
    calls: list[str] = []

    def step(name: str) -> Callable[[DmaEnabler], int]:
        def callback(enabler: DmaEnabler) -> int:
            assert bench.kernel.irql() == PASSIVE_LEVEL
            calls.append(name)
            return STATUS_DEVICE_HARDWARE_ERROR if name == fails else STATUS_SUCCESS

        return callback

    callbacks = {f"evt_dma_enabler_{each}": step(each) for each in STEPS}
    return enabler_of(bench.load().device, **callbacks), calls


@pytest.mark.covers(
    "EvtDmaEnablerFill",
    "EvtDmaEnablerFlush",
    "EvtDmaEnablerDisable",
    "EvtDmaEnablerEnable",
    "EvtDmaEnablerSelfManagedIoStart",
    "EvtDmaEnablerSelfManagedIoStop",
    "WDF_DMA_ENABLER_CONFIG.EvtDmaEnablerFill",
    "WDF_DMA_ENABLER_CONFIG.EvtDmaEnablerFlush",
    "WDF_DMA_ENABLER_CONFIG.EvtDmaEnablerDisable",
    "WDF_DMA_ENABLER_CONFIG.EvtDmaEnablerEnable",
    "WDF_DMA_ENABLER_CONFIG.EvtDmaEnablerSelfManagedIoStart",
    "WDF_DMA_ENABLER_CONFIG.EvtDmaEnablerSelfManagedIoStop",
)
@pytest.mark.parametrize(
    ("fails", "up", "down"),
    [
        ("", STEPS[:3], STEPS[3:]),
        ("fill", STEPS[:1], ()),
        ("enable", STEPS[:2], ("disable",)),
        ("self_managed_io_start", STEPS[:3], ("disable", "flush")),
        ("self_managed_io_stop", STEPS[:3], STEPS[3:]),
        ("disable", STEPS[:3], STEPS[3:]),
    ],
)
def test_power_down_undoes_what_power_up_has_done(
    bench: Bench, fails: str, up: tuple[str, ...], down: tuple[str, ...]
) -> None:
    enabler, calls = powered(bench, fails)
    status = enabler.power_up()
    assert status == (STATUS_DEVICE_HARDWARE_ERROR if fails in up else STATUS_SUCCESS)
    assert calls == list(up)
    calls.clear()
    enabler.power_down()
    assert calls == list(down)


def test_enabler_that_was_not_powered_up_is_not_powered_down(bench: Bench) -> None:
    enabler, calls = powered(bench)
    enabler.power_down()
    assert calls == []


def test_enabler_needs_no_callbacks(bench: Bench) -> None:
    enabler = enabler_of(bench.load().device)
    assert enabler.power_up() == STATUS_SUCCESS
    enabler.power_down()


# Common buffers


@pytest.mark.covers(
    "WdfCommonBufferCreate",
    "WdfCommonBufferCreateWithConfig",
    "WdfCommonBufferGetAlignedLogicalAddress",
    "WdfCommonBufferGetAlignedVirtualAddress",
    "WdfCommonBufferGetLength",
    "WdfDeviceSetAlignmentRequirement",
)
def test_common_buffer_is_aligned_for_its_device_or_as_configured(bench: Bench) -> None:
    device = bench.load().device
    enabler = enabler_of(device)
    CommonBuffer.create(enabler, 10)  # so that the next block is not aligned by chance
    device.set_alignment_requirement(0x1FFFF)
    for buffer, alignment in (
        (CommonBuffer.create(enabler, 100), 0x20000),
        (CommonBuffer.create_with_config(enabler, 100, CommonBufferConfig(0x3FFF)), 0x4000),
        (CommonBuffer.create_with_config(enabler, 100, CommonBufferConfig(0)), PAGE),
    ):
        assert buffer.get_aligned_logical_address() % alignment == 0
        assert buffer.get_length() == len(buffer.get_aligned_virtual_address()) == 100
        assert buffer.parent is enabler


@pytest.mark.covers("WdfCommonBufferCreate", "WdfCommonBufferCreateWithConfig")
def test_common_buffer_refuses_what_is_not_possible(bench: Bench) -> None:
    device = bench.load().device
    enabler = enabler_of(device)
    no_mask = CommonBufferConfig(0x1000)
    for create, status in (
        (lambda: CommonBuffer.create(enabler, 0), STATUS_INVALID_PARAMETER),
        (
            lambda: CommonBuffer.create_with_config(enabler, 1, no_mask),
            STATUS_INVALID_PARAMETER,
        ),
        (lambda: CommonBuffer.create(enabler, 1 << 40), STATUS_INSUFFICIENT_RESOURCES),
        (
            lambda: CommonBuffer.create(enabler, 1, ObjectAttributes(parent_object=device)),
            STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
        ),
    ):
        assert status_of(create) == status
    assert enabler.children == ()


@pytest.mark.covers("WDF_DMA_ENABLER_CONFIG.AddressWidthOverride", "WdfCommonBufferCreate")
def test_common_buffer_is_where_the_device_reaches_it(bench: Bench) -> None:
    device = bench.load().device
    reservations = bench.system.machine.reservations
    start = reservations.reserve(PAGE)
    reservations.release(start)
    width = (start + 16 * PAGE).bit_length()
    enabler = enabler_of(device, address_width_override=width)
    room = (1 << width) - start
    assert status_of(lambda: CommonBuffer.create(enabler, room)) == STATUS_INSUFFICIENT_RESOURCES
    assert CommonBuffer.create(enabler_of(device), room).get_length() == room


@pytest.mark.covers("WdfCommonBufferCreateWithConfig", "WdfDmaEnablerCreate")
@pytest.mark.parametrize("which", ["enabler", "buffer"])
def test_configuration_is_required(doomed: Bench, which: str) -> None:
    device = doomed.load().device
    enabler = enabler_of(device)
    nothing: Any = None
    with pytest.raises(BugCheck) as stopped:
        {
            "enabler": lambda: DmaEnabler.create(device, nothing),
            "buffer": lambda: CommonBuffer.create_with_config(enabler, 1, nothing),
        }[which]()
    assert (stopped.value.code, stopped.value.parameters[0]) == (WDF_VIOLATION, 4)


@pytest.mark.covers("WdfCommonBufferCreate")
def test_memory_of_a_common_buffer_that_is_not_created_is_free_again(bench: Bench) -> None:
    """Its enabler is being deleted, which is noticed after the memory was reserved."""
    device = bench.load().device
    reservations = bench.system.machine.reservations
    refused: list[tuple[int, object, object]] = []

    def cleanup(above: DmaEnabler) -> None:
        before = reservations.taken
        with pytest.raises(NtStatusError) as error:
            CommonBuffer.create(above, PAGE)
        refused.append((error.value.status, before, reservations.taken))

    attributes = ObjectAttributes(evt_cleanup_callback=cleanup)
    config = DmaEnablerConfig(DmaProfile.PACKET, PAGE)
    DmaEnabler.create(device, config, attributes).delete()
    ((status, before, after),) = refused
    assert status == STATUS_DELETE_PENDING
    assert before == after
