# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Interrupt vectors, by IRQL: on x64 an interrupt's IRQL is its vector >> 4."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydriver.errors import PciError, VectorsExhaustedError

__all__ = (
    "FIRST_DEVICE_IRQL",
    "LAST_DEVICE_IRQL",
    "Message",
    "VectorAllocator",
    "VectorBlock",
    "message",
)

FIRST_DEVICE_IRQL = 3
LAST_DEVICE_IRQL = 11
_PER_IRQL = 16


class Message(NamedTuple):
    """The write by which a device interrupts.

    :ivar address: the guest-physical address.
    :ivar data: the low 32 bits of the data.
    """

    address: int
    data: int


def message(apic_id: int, vector: int) -> Message:
    """Compose the message of an edge-triggered interrupt for one processor.

    Physical destination, fixed delivery [Intel SDM vol. 3 11.11.1, 11.11.2].

    :param apic_id: the APIC id of the processor, 0 to 254: 8 bits without interrupt remapping.
    :param vector: the vector, 0x10 to 0xfe.
    :raises PciError: a value is out of range.
    """
    if not 0 <= apic_id <= 0xFE:
        raise PciError(f"APIC id {apic_id:#x} does not fit in a message without remapping")
    if not 0x10 <= vector <= 0xFE:
        raise PciError(f"{vector:#x} is not a vector for a message")
    return Message(0xFEE00000 | apic_id << 12, vector)


@dataclass(frozen=True, slots=True)
class VectorBlock:
    """Adjacent vectors, the first a multiple of their number, as MSI needs for several messages.

    :ivar base: the first vector.
    :ivar count: the number of vectors, a power of 2.
    :ivar processor: the number of the processor on which they are taken; None: on every processor.
    """

    base: int
    count: int
    processor: int | None

    @property
    def vectors(self) -> range:
        """The vectors."""
        return range(self.base, self.base + self.count)

    def irql(self, index: int = 0) -> int:
        """Return the IRQL of one of its vectors: a block of 32 vectors has two IRQLs.

        :param index: the place of the vector in the block, 0 to `count` - 1.
        """
        return self.vectors[index] >> 4


class VectorAllocator:
    """The vectors of the device IRQLs, 3 to 11, of each processor.

    The caller serialises its calls, and makes them at PASSIVE_LEVEL.

    :param apic_ids: the APIC ids of the processors, by processor number.
    """

    def __init__(self, apic_ids: Sequence[int]) -> None:
        self.apic_ids = tuple(apic_ids)
        # One bit for each of the 256 vectors, for each processor.
        self._taken = [0] * len(self.apic_ids)

    def allocate(
        self, irql: int | None = None, count: int = 1, processor: int | None = None
    ) -> VectorBlock:
        """Take adjacent free vectors.

        :param irql: the IRQL of the first vector, 3 to 11; None: the IRQL with most free vectors,
            and of several such IRQLs the lowest.
        :param count: the number of vectors: 1, 2, 4, 8, 16 or 32. 32 vectors have two IRQLs, of
            which the first is even.
        :param processor: the number of the processor; None: the same vectors on every processor.
        :raises VectorsExhaustedError: no such block is free.
        :raises PciError: a parameter is out of range.
        """
        if count.bit_count() != 1 or not 1 <= count <= 32:
            raise PciError(f"{count} vectors: a power of 2 up to 32 is possible")
        if irql is not None and not FIRST_DEVICE_IRQL <= irql <= LAST_DEVICE_IRQL:
            raise PciError(
                f"IRQL {irql} is not a device IRQL ({FIRST_DEVICE_IRQL} to {LAST_DEVICE_IRQL})"
            )
        taken = self._taken_on(processor)
        irqls = range(FIRST_DEVICE_IRQL, LAST_DEVICE_IRQL + 1)
        if irql is None:
            choices = sorted(irqls, key=lambda level: (taken >> 16 * level & 0xFFFF).bit_count())
        else:
            choices = [irql]
        block = (1 << count) - 1
        end = (LAST_DEVICE_IRQL + 1) * _PER_IRQL
        for level in choices:
            start = level * _PER_IRQL
            for base in range(start, start + _PER_IRQL, count):
                if base % count == 0 and base + count <= end and not taken & block << base:
                    for number in self._numbers(processor):
                        self._taken[number] |= block << base
                    return VectorBlock(base, count, processor)
        raise VectorsExhaustedError(
            f"no {count} adjacent vectors free at "
            f"{'any device IRQL' if irql is None else f'IRQL {irql}'} on "
            f"{'every processor' if processor is None else f'processor {processor}'}"
        )

    def free(self, block: VectorBlock) -> None:
        """Give vectors back.

        :param block: the block that `allocate` returned.
        :raises PciError: they are not taken.
        """
        mask = ((1 << block.count) - 1) << block.base
        numbers = self._numbers(block.processor)
        if any(self._taken[number] & mask != mask for number in numbers):
            raise PciError(f"{block} is not taken")
        for number in numbers:
            self._taken[number] &= ~mask

    def message(self, block: VectorBlock, index: int = 0, processor: int | None = None) -> Message:
        """Compose the message that raises one of the vectors of a block.

        :param block: the block that `allocate` returned.
        :param index: the place of the vector in the block, 0 to `block.count` - 1.
        :param processor: the number of the processor to interrupt, for a block that is taken on
            every processor; default: 0.
        :raises PciError: the block belongs to another processor.
        """
        number = block.processor if processor is None else processor
        if block.processor not in {None, number}:
            raise PciError(f"{block} is not taken on processor {number}")
        return message(self.apic_ids[number or 0], block.vectors[index])

    def _numbers(self, processor: int | None) -> Sequence[int]:
        if processor is None:
            return range(len(self.apic_ids))
        if not 0 <= processor < len(self.apic_ids):
            raise PciError(f"no processor {processor}; there are {len(self.apic_ids)}")
        return (processor,)

    def _taken_on(self, processor: int | None) -> int:
        taken = 0
        for number in self._numbers(processor):
            taken |= self._taken[number]
        return taken
