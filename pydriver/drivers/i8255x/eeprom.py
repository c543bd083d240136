# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The serial EEPROM: its words, read bit by bit through four pins [8255x manual, 6.3.4].

A command is a start bit, an opcode of two bits and an address; then each clock shifts out a bit of
the word, the most significant one first. The address has six or eight bits; the EEPROM answers the
last of them with a zero.
"""

from typing import TYPE_CHECKING

from pydriver.ke import NtStatusError, stall_execution_processor
from pydriver.ke.status import STATUS_CRC_ERROR, STATUS_DEVICE_NOT_READY

if TYPE_CHECKING:
    from pydriver.drivers.i8255x.spec import I8255xRegisters
    from pydriver.ke import Kernel

__all__ = ("Eeprom",)

HALF_CLOCK_US = 1
START_AND_READ = (1, 1, 0)
LONGEST_ADDRESS = 8
WORD_BITS = 16
CHECKSUM = 0xBABA


class Eeprom:
    """The EEPROM of a device. At PASSIVE_LEVEL: it takes milliseconds.

    :param kernel: the system's kernel
    :param registers: BAR0
    """

    def __init__(self, kernel: "Kernel", registers: "I8255xRegisters") -> None:
        self._kernel = kernel
        self._pins = registers.EEPROM

    def read(self) -> list[int]:
        """Reads all words.

        :raises NtStatusError: STATUS_CRC_ERROR: the words do not add up to 0xBABA;
            STATUS_DEVICE_NOT_READY: there is no EEPROM
        """
        first, address_bits = self._read_first_word()
        words = [first] + [
            self._read_word(address, address_bits) for address in range(1, 1 << address_bits)
        ]
        if sum(words) & 0xFFFF != CHECKSUM:
            raise NtStatusError(STATUS_CRC_ERROR, f"EEPROM: checksum {sum(words) & 0xFFFF:#06x}")
        return words

    def _read_first_word(self) -> tuple[int, int]:
        """Reads word 0; returns it and the number of bits of an address."""
        self._select()
        for address_bits in range(1, LONGEST_ADDRESS + 1):
            if not self._clock(0):
                return self._end_word(), address_bits
        self._deselect()
        raise NtStatusError(STATUS_DEVICE_NOT_READY, "the EEPROM does not answer")

    def _read_word(self, address: int, address_bits: int) -> int:
        self._select()
        for place in reversed(range(address_bits)):
            self._clock(address >> place & 1)
        return self._end_word()

    def _select(self) -> None:
        self._pins.write(chip_select=1)
        for each in START_AND_READ:
            self._clock(each)

    def _end_word(self) -> int:
        word = 0
        for _ in range(WORD_BITS):
            word = word << 1 | self._clock(0)
        self._deselect()
        return word

    def _deselect(self) -> None:
        self._pins.write(0)
        stall_execution_processor(self._kernel, HALF_CLOCK_US)

    def _clock(self, data: int) -> int:
        """Makes one clock pulse, which shifts a bit in; returns the bit shifted out."""
        for clock in (0, 1, 0):
            self._pins.write(chip_select=1, data_in=data, clock=clock)
            stall_execution_processor(self._kernel, HALF_CLOCK_US)
        return self._pins.read().data_out
