# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Allocation of vectors: arithmetic only."""

import pytest

from pydriver.errors import PciError, VectorsExhaustedError
from pydriver.pci import VectorAllocator, message


def test_message_names_processor_and_vector() -> None:
    assert message(3, 0x51) == (0xFEE03000, 0x51)


@pytest.mark.parametrize(("apic_id", "vector"), [(0xFF, 0x51), (-1, 0x51), (0, 0x0F), (0, 0xFF)])
def test_impossible_message_is_refused(apic_id: int, vector: int) -> None:
    with pytest.raises(PciError):
        message(apic_id, vector)


def test_vector_has_the_irql_that_was_asked_for() -> None:
    vectors = VectorAllocator([0])
    for irql in range(3, 12):
        block = vectors.allocate(irql, processor=0)
        assert block.base >> 4 == irql
        assert block.irql() == irql


@pytest.mark.parametrize("irql", [0, 2, 12, 15])
def test_irql_that_is_no_devices_is_refused(irql: int) -> None:
    with pytest.raises(PciError, match="not a device IRQL"):
        VectorAllocator([0]).allocate(irql)


@pytest.mark.parametrize("count", [2, 4, 8, 16])
def test_block_is_aligned_and_of_one_irql(count: int) -> None:
    vectors = VectorAllocator([0])
    vectors.allocate(5, processor=0)
    block = vectors.allocate(5, count, processor=0) if count < 16 else vectors.allocate(6, 16)
    assert block.base % count == 0
    assert {vector >> 4 for vector in block.vectors} == {5 if count < 16 else 6}


def test_32_vectors_take_two_irqls() -> None:
    block = VectorAllocator([0]).allocate(4, 32, processor=0)
    assert (block.irql(0), block.irql(15), block.irql(16), block.irql(31)) == (4, 4, 5, 5)


@pytest.mark.parametrize("irql", [3, 5, 11])
def test_32_vectors_begin_at_an_even_irql(irql: int) -> None:
    with pytest.raises(VectorsExhaustedError):
        VectorAllocator([0]).allocate(irql, 32)


def test_exhaustion_names_irql_and_processor() -> None:
    vectors = VectorAllocator([0, 1])
    for _ in range(16):
        vectors.allocate(7, processor=1)
    with pytest.raises(VectorsExhaustedError, match="IRQL 7 on processor 1"):
        vectors.allocate(7, processor=1)
    assert vectors.allocate(7, processor=0).base == 0x70


def test_freed_vectors_are_handed_out_again() -> None:
    vectors = VectorAllocator([0])
    blocks = [vectors.allocate(7, 8, processor=0) for _ in range(2)]
    vectors.free(blocks[0])
    assert vectors.allocate(7, 8, processor=0) == blocks[0]
    vectors.free(blocks[1])
    with pytest.raises(PciError, match="is not taken"):
        vectors.free(blocks[1])


def test_global_block_is_free_on_every_processor() -> None:
    vectors = VectorAllocator([0, 2])
    vectors.allocate(7, 8, processor=0)
    everywhere = vectors.allocate(7, 8)
    assert everywhere.base == 0x78
    assert vectors.message(everywhere, 3, processor=1) == (0xFEE02000, 0x7B)
    assert vectors.allocate(7, 8, processor=1).base == 0x70


def test_message_for_another_processor_is_refused() -> None:
    vectors = VectorAllocator([0, 2])
    block = vectors.allocate(7, processor=1)
    assert vectors.message(block).address == 0xFEE02000
    with pytest.raises(PciError, match="not taken on processor 0"):
        vectors.message(block, processor=0)


def test_any_irql_spreads_over_all_device_vectors() -> None:
    vectors = VectorAllocator([0])
    taken = [vectors.allocate(processor=0).base for _ in range(144)]
    assert sorted(taken) == list(range(0x30, 0xC0))
    assert [vector >> 4 for vector in taken[:9]] == list(range(3, 12))
    with pytest.raises(VectorsExhaustedError, match="any device IRQL"):
        vectors.allocate(processor=0)
