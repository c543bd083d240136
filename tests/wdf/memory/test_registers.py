# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Register and port accessors: width, order, range, and accesses after the mapping is gone."""

from collections.abc import Callable, Iterator

import pytest

import pydriver.ddi
from pydriver.ke import BugCheck, Importance, KEvent
from pydriver.ke.bugcheck import (
    DRIVER_IRQL_NOT_LESS_OR_EQUAL,
    DRIVER_VERIFIER_DETECTED_VIOLATION,
    PAGE_FAULT_IN_NONPAGED_AREA,
)
from pydriver.ke.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.wdf import (
    REGISTRY,
    CommonBuffer,
    DmaEnabler,
    DmaEnablerConfig,
    DmaProfile,
    Dpc,
    DpcConfig,
    MappedPorts,
    MappedRegisters,
    ObjectAttributes,
    PortDescriptor,
    mm_map_io_space,
    mm_map_io_space_ex,
    read_register_ulong,
    write_register_ulong,
)
from tests.harness.bench import EDU, IDENTITY, LIVENESS, TIMEOUT, Bench

CONFIG_ADDRESS, CONFIG_DATA = 0xCF8, 0xCFC
IDENTITY_VALUE = 0x010000ED
PAGE = 4096
FOREVER = int(-TIMEOUT * 10_000_000)


@pytest.fixture
def memory(bench: Bench) -> tuple[MappedRegisters, memoryview]:
    """A page of the guest's memory, mapped as registers, which accepts accesses of all widths."""
    device = bench.load().device
    enabler = DmaEnabler.create(device, DmaEnablerConfig(DmaProfile.PACKET, PAGE))
    buffer = CommonBuffer.create(enabler, PAGE)
    return mm_map_io_space_ex(bench.kernel, buffer.logical_address, PAGE), buffer.view


@pytest.fixture
def ports(bench: Bench) -> Iterator[MappedPorts]:
    """The ports of the PCI configuration mechanism; the interrupt line of `edu` is selected."""
    ports = MappedPorts(bench.kernel, CONFIG_ADDRESS, 8)
    ports.write32(0, 1 << 31 | 4 << 11 | 0x3C)
    before = ports.read8(4)
    yield ports
    ports.write8(4, before)


@pytest.mark.covers(
    "READ_REGISTER_UCHAR",
    "READ_REGISTER_USHORT",
    "READ_REGISTER_ULONG",
    "READ_REGISTER_ULONG64",
    "WRITE_REGISTER_UCHAR",
    "WRITE_REGISTER_USHORT",
    "WRITE_REGISTER_ULONG",
    "WRITE_REGISTER_ULONG64",
)
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_register_accessor_has_its_width(
    memory: tuple[MappedRegisters, memoryview], bits: int
) -> None:
    registers, view = memory
    size = bits // 8
    view[:32] = bytes(range(0x10, 0x30))
    value = int.from_bytes(view[8 : 8 + size], "little")
    assert getattr(registers, f"read{bits}")(8) == value
    mark = int.from_bytes(b"\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8"[:size], "little")
    getattr(registers, f"write{bits}")(16, mark)
    assert getattr(registers, f"read{bits}")(16) == mark
    assert view[16 : 16 + size] == mark.to_bytes(size, "little")
    assert view[16 + size] == 0x20 + size, "not one byte more"
    assert view[15] == 0x1F


@pytest.mark.covers(
    "READ_REGISTER_BUFFER_UCHAR",
    "READ_REGISTER_BUFFER_USHORT",
    "READ_REGISTER_BUFFER_ULONG",
    "READ_REGISTER_BUFFER_ULONG64",
    "WRITE_REGISTER_BUFFER_UCHAR",
    "WRITE_REGISTER_BUFFER_USHORT",
    "WRITE_REGISTER_BUFFER_ULONG",
    "WRITE_REGISTER_BUFFER_ULONG64",
)
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_register_buffer_accessor_advances_the_register(
    memory: tuple[MappedRegisters, memoryview], bits: int
) -> None:
    registers, view = memory
    size = bits // 8
    view[:40] = bytes(40)
    getattr(registers, f"write_buffer{bits}")(8, [1, 2, 3])
    assert [view[8 + size * index] for index in range(3)] == [1, 2, 3]
    assert getattr(registers, f"read_buffer{bits}")(8, 3) == [1, 2, 3]
    assert getattr(registers, f"read_buffer{bits}")(8, 4) == [1, 2, 3, 0]


@pytest.mark.covers("READ_REGISTER_BUFFER_ULONG")
def test_register_buffer_is_read_from_a_device_in_order(bench: Bench) -> None:
    registers = bench.load().registers
    registers.write32(LIVENESS, 0x12345678)
    assert registers.read_buffer32(IDENTITY, 2) == [IDENTITY_VALUE, 0xEDCBA987]


@pytest.mark.covers(
    "READ_PORT_UCHAR",
    "READ_PORT_USHORT",
    "READ_PORT_ULONG",
    "WRITE_PORT_UCHAR",
    "WRITE_PORT_USHORT",
    "WRITE_PORT_ULONG",
)
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_port_accessor_has_its_width(ports: MappedPorts, bits: int) -> None:
    """The interrupt line is one byte; the pin behind it is read-only and not 0."""
    pin = ports.read8(5)
    assert pin == 1
    getattr(ports, f"write{bits}")(4, 0xA5)
    value = getattr(ports, f"read{bits}")(4)
    assert value & 0xFF == 0xA5
    assert value >> 8 == (0 if bits == 8 else pin)


def test_port_resource_maps_its_ports_and_no_other(doomed: Bench) -> None:
    kernel = doomed.kernel
    MappedPorts(kernel, CONFIG_ADDRESS, 8).write32(0, 1 << 31 | 4 << 11)
    ports = PortDescriptor(0, CONFIG_DATA, 4, kernel).map()
    assert ports.read_buffer16(0, 2) == [EDU[0]] * 2
    assert ports.read16(2) == EDU[1]
    with pytest.raises(BugCheck) as stopped:
        ports.read8(4)
    assert stopped.value.code == PAGE_FAULT_IN_NONPAGED_AREA


@pytest.mark.covers(
    "READ_PORT_BUFFER_UCHAR",
    "READ_PORT_BUFFER_USHORT",
    "READ_PORT_BUFFER_ULONG",
    "WRITE_PORT_BUFFER_UCHAR",
    "WRITE_PORT_BUFFER_USHORT",
    "WRITE_PORT_BUFFER_ULONG",
)
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_port_buffer_accessor_stays_at_its_port(ports: MappedPorts, bits: int) -> None:
    getattr(ports, f"write_buffer{bits}")(4, [1, 2, 3])
    values = getattr(ports, f"read_buffer{bits}")(4, 3)
    assert [value & 0xFF for value in values] == [3, 3, 3]
    assert values[0] == values[1] == values[2]


def test_all_accessors_are_registered() -> None:
    names = {name for name in REGISTRY if name.startswith(("READ_", "WRITE_"))}
    assert len(names) == 4 * 4 + 3 * 4
    assert all(callable(getattr(pydriver.ddi, name)) for name in names)


@pytest.mark.covers("READ_REGISTER_ULONG", "WRITE_REGISTER_ULONG")
def test_register_functions_do_what_the_methods_do(bench: Bench) -> None:
    registers = bench.load().registers
    write_register_ulong(registers, LIVENESS, 0x12345678)
    assert read_register_ulong(registers, LIVENESS) == registers.read32(LIVENESS) == 0xEDCBA987


Access = Callable[[MappedRegisters], object]


@pytest.mark.mistake("PAGE_FAULT_IN_NONPAGED_AREA", 0x50)
@pytest.mark.covers("MmMapIoSpaceEx", "READ_REGISTER_BUFFER_ULONG", "WRITE_REGISTER_BUFFER_ULONG")
@pytest.mark.parametrize(
    ("access", "write"),
    [
        (lambda registers: registers.read8(PAGE), 0),
        (lambda registers: registers.write16(-2, 0), 1),
        (lambda registers: registers.read_buffer32(PAGE - 4, 2), 0),
        (lambda registers: registers.write_buffer64(PAGE - 8, [1, 2]), 1),
    ],
)
def test_access_outside_of_the_mapping_is_a_page_fault(
    doomed: Bench, access: Access, write: int
) -> None:
    registers = mm_map_io_space_ex(doomed.kernel, 0x100000, PAGE)
    with pytest.raises(BugCheck) as stopped:
        access(registers)
    assert stopped.value.code == PAGE_FAULT_IN_NONPAGED_AREA
    assert stopped.value.parameters[1] == write


@pytest.mark.mistake("PAGE_FAULT_IN_NONPAGED_AREA", 0x50)
@pytest.mark.covers("READ_PORT_ULONG", "WRITE_PORT_UCHAR")
@pytest.mark.parametrize(
    ("access", "write"),
    [
        (lambda ports: ports.read32(5), 0),
        (lambda ports: ports.write8(8, 0), 1),
        (lambda ports: ports.read_buffer16(-1, 1), 0),
    ],
)
def test_access_outside_of_the_ports_is_a_page_fault(
    doomed: Bench, access: Callable[[MappedPorts], object], write: int
) -> None:
    ports = MappedPorts(doomed.kernel, CONFIG_ADDRESS, 8)
    with pytest.raises(BugCheck) as stopped:
        access(ports)
    assert stopped.value.code == PAGE_FAULT_IN_NONPAGED_AREA
    assert stopped.value.parameters[1] == write
    assert "of 0x8 ports" in stopped.value.state.message


@pytest.mark.covers("MmUnmapIoSpace")
@pytest.mark.parametrize(
    "irql",
    [
        pytest.param(PASSIVE_LEVEL, marks=pytest.mark.mistake("PAGE_FAULT_IN_NONPAGED_AREA", 0x50)),
        pytest.param(
            DISPATCH_LEVEL, marks=pytest.mark.mistake("DRIVER_IRQL_NOT_LESS_OR_EQUAL", 0xD1)
        ),
    ],
)
@pytest.mark.parametrize("kept", [False, True], ids=["method", "kept function"])
def test_access_after_unmapping_is_a_page_fault(doomed: Bench, irql: int, kept: bool) -> None:
    edu = doomed.load()
    registers = edu.registers
    read32 = registers.read32
    assert read32(IDENTITY) == IDENTITY_VALUE
    registers.unmap()

    def access(dpc: Dpc | None) -> None:
        if kept:
            read32(IDENTITY)
        else:
            registers.read_buffer32(IDENTITY, 1)

    if irql == DISPATCH_LEVEL:
        dpc = Dpc.create(DpcConfig(access), ObjectAttributes(parent_object=edu.device))
        dpc.wdm_get_dpc().set_importance(Importance.LOW)  # at the next tick
        dpc.enqueue()
    with pytest.raises(BugCheck) as stopped:
        access(None) if irql == PASSIVE_LEVEL else KEvent(doomed.kernel).wait(FOREVER)
    state = stopped.value.state
    assert "no longer mapped" in state.message
    if irql == PASSIVE_LEVEL:
        assert (state.code, state.parameters[0]) == (PAGE_FAULT_IN_NONPAGED_AREA, registers.address)
    else:
        assert state.code == DRIVER_IRQL_NOT_LESS_OR_EQUAL
        assert state.parameters[:3] == (registers.address, DISPATCH_LEVEL, 0)


@pytest.mark.mistake("IrqlMmDispatch", 0xC4)
@pytest.mark.covers("MmMapIoSpace", "MmMapIoSpaceEx")
@pytest.mark.parametrize("map_it", [mm_map_io_space, mm_map_io_space_ex])
def test_mapping_is_for_dispatch_level_at_most(
    boot: Callable[..., Bench], map_it: Callable[..., MappedRegisters]
) -> None:
    bench = boot()
    kernel = bench.kernel
    address = bench.load().registers.address
    irql = kernel.raise_irql(DISPATCH_LEVEL)
    assert map_it(kernel, address, 8).read32(IDENTITY) == IDENTITY_VALUE
    kernel.raise_irql(DISPATCH_LEVEL + 1)
    with pytest.raises(BugCheck) as stopped:
        map_it(kernel, address, 8)
    assert irql == PASSIVE_LEVEL
    assert stopped.value.code == DRIVER_VERIFIER_DETECTED_VIOLATION
    assert stopped.value.parameters == (0x73, DISPATCH_LEVEL + 1, address, 8)
    assert stopped.value.rule == "IrqlMmDispatch"


@pytest.mark.mistake("IrqlMmApcLte", 0xC4)
@pytest.mark.covers("MmUnmapIoSpace")
def test_unmapping_is_for_apc_level_at_most(doomed: Bench) -> None:
    kernel = doomed.kernel
    first, second = (mm_map_io_space(kernel, 0x100000, 8) for _ in range(2))
    kernel.raise_irql(APC_LEVEL)
    first.unmap()
    kernel.raise_irql(DISPATCH_LEVEL)
    with pytest.raises(BugCheck) as stopped:
        second.unmap()
    assert (stopped.value.code, stopped.value.rule) == (
        DRIVER_VERIFIER_DETECTED_VIOLATION,
        "IrqlMmApcLte",
    )
    assert stopped.value.parameters == (0x7B, DISPATCH_LEVEL, 0x100000, 8)
