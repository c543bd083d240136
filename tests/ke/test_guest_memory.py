# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Guest memory: blocks that Python and the guest's processor share, and their owners."""

import itertools

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.guest_memory import PAGE_SIZE, GuestMemory
from pydriver.ke.status import STATUS_INSUFFICIENT_RESOURCES
from tests.harness.bench import Bench


@pytest.fixture
def memory(bench: Bench) -> GuestMemory:
    return bench.kernel.memory


def test_python_and_the_processor_see_the_same_bytes(bench: Bench, memory: GuestMemory) -> None:
    block = memory.allocate(8, "test")
    with bench.kernel.borrowed() as link:
        link.write32(block.address, 0x11223344)
        assert link.read32(block.address) == 0x11223344
        block.view[4:8] = b"\x88\x77\x66\x55"
        assert block.view[:4].tolist() == [0x44, 0x33, 0x22, 0x11]
        assert link.read32(block.address + 4) == 0x55667788
    assert block.pointer[7] == 0x55
    block.free()


def test_blocks_are_aligned_apart_and_filled_with_zeros(memory: GuestMemory) -> None:
    first = memory.allocate(24, "test")
    first.view[:] = b"\xff" * 24
    address = first.address
    first.free()
    blocks = [memory.allocate(24, "test") for _ in range(3)]
    page = memory.allocate(10, "test", alignment=PAGE_SIZE)
    assert blocks[0].address == address
    assert not any(blocks[0].view)
    assert all(each.address % 16 == 0 for each in blocks)
    assert page.address % PAGE_SIZE == 0
    ranges = sorted((each.address, each.address + each.length) for each in (*blocks, page))
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ranges))
    for each in (*blocks, page):
        each.free()
    assert not [each for each in memory.blocks if each.tag == "test"]


def test_address_is_known_of_what_is_in_guest_memory_only(memory: GuestMemory) -> None:
    block = memory.allocate(100, "test")
    assert memory.address_of(block.view) == block.address
    assert memory.address_of(block.view[10:20].toreadonly()) == block.address + 10
    assert memory.address_of(block.view[:0]) is None
    for other in (b"data", bytearray(100), block.view.tobytes()):
        assert memory.address_of(memoryview(other)) is None
    block.free()


def test_exhausted_guest_memory_is_insufficient_resources(memory: GuestMemory) -> None:
    before = memory.blocks
    with pytest.raises(NtStatusError) as failed:
        memory.allocate(len(memory.view) + 1, "test")
    assert failed.value.status == STATUS_INSUFFICIENT_RESOURCES
    with pytest.raises(NtStatusError) as failed:
        memory.allocate(16, "test", limit=PAGE_SIZE)
    assert failed.value.status == STATUS_INSUFFICIENT_RESOURCES
    assert memory.blocks == before


def test_freed_block_is_out_of_reach_and_is_freed_once(memory: GuestMemory) -> None:
    block = memory.allocate(16, "test")
    view = block.view
    block.free()
    with pytest.raises(ValueError, match="released"):
        view[0] = 1
    with pytest.raises(ValueError, match="freed before"):
        block.free()


@pytest.mark.mistake("PoolLeak")
def test_each_block_that_a_driver_has_not_freed_is_found_at_unload(bench: Bench) -> None:
    device = bench.load().device
    driver = device.driver
    kept = [bench.kernel.memory.allocate(size, "Test", owner=driver) for size in (48, 64)]
    bench.kernel.memory.allocate(32, "Test", owner=driver).free()
    others = bench.kernel.memory.allocate(80, "Test")
    found = bench.unload_and_look()
    assert [each.rule for each in found] == ["PoolLeak"] * 2
    for each, block in zip(found, kept, strict=True):
        assert f"{block.length} bytes" in each.message
        assert f"({block.tag})" in each.message
        assert "test_each_block_that_a_driver_has_not_freed" in each.message
        assert "test_guest_memory.py" in each.message
    for block in (*kept, others):
        block.free()
