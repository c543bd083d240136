# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The 8255x as in its manual: control and status registers, command blocks, frame descriptors.

Sections are those of Intel's *8255x 10/100 Mbps Ethernet Controller Family Open Source Software
Developer Manual*, revision 1.3; those of the PHY are from IEEE 802.3.
"""

import struct
from enum import IntEnum, IntFlag
from typing import Final

from pydriver.regs import Register8, Register32, RegisterMap, at, bit, bits

__all__ = (
    "ACKNOWLEDGE",
    "ALL_ONES",
    "CAUSES",
    "COMMAND_BLOCK",
    "COMMAND_COMPLETE",
    "COMMAND_OK",
    "CONFIGURATION",
    "END_OF_LIST",
    "FRAME_COMPLETE",
    "FRAME_COUNT_MASK",
    "FRAME_DESCRIPTOR",
    "FRAME_OK",
    "MAX_FRAME",
    "MIN_FRAME",
    "STATISTICS",
    "STATISTICS_DUMPED",
    "TRANSMIT_BLOCK",
    "Ability",
    "Action",
    "Cause",
    "CommandUnit",
    "I8255xRegisters",
    "MdiOperation",
    "Phy",
    "PhyControl",
    "PhyStatus",
    "Port",
    "ReceiveState",
    "ReceiveUnit",
)

ALL_ONES: Final = 0xFF
"""Value of a register byte when the device is gone."""

MIN_FRAME: Final = 14
"""Bytes: the Ethernet header. The device pads frames shorter than 60."""

MAX_FRAME: Final = 1518
"""Bytes: with a VLAN tag, without the frame check sequence, which the device adds and removes."""


# Registers [6.3]


class CommandUnit(IntEnum):
    """Commands to the command unit."""

    NOP = 0
    START = 1
    RESUME = 2
    LOAD_DUMP_COUNTERS_ADDRESS = 4
    DUMP_STATISTICAL_COUNTERS = 5
    LOAD_BASE = 6


class ReceiveUnit(IntEnum):
    """Commands to the receive unit."""

    NOP = 0
    START = 1
    RESUME = 2
    ABORT = 4
    LOAD_BASE = 6


class ReceiveState(IntEnum):
    """States of the receive unit."""

    IDLE = 0
    SUSPENDED = 1
    NO_RESOURCES = 2
    READY = 4


class Port(IntEnum):
    """Functions of the PORT register."""

    SOFTWARE_RESET = 0
    SELF_TEST = 1
    SELECTIVE_RESET = 2
    DUMP = 3


class MdiOperation(IntEnum):
    """Operations on a register of the PHY."""

    WRITE = 1
    READ = 2


class Cause(IntFlag):
    """Causes of an interrupt: bits of the STAT/ACK byte, cleared by writing ones."""

    SOFTWARE = 1 << 2
    MDI = 1 << 3
    RECEIVE_NOT_READY = 1 << 4
    COMMAND_UNIT_NOT_ACTIVE = 1 << 5
    FRAME_RECEIVED = 1 << 6
    COMMAND_COMPLETED = 1 << 7


CAUSES: Final = int(
    Cause.RECEIVE_NOT_READY
    | Cause.COMMAND_UNIT_NOT_ACTIVE
    | Cause.FRAME_RECEIVED
    | Cause.COMMAND_COMPLETED
)
"""The causes that the driver enables."""


class ScbStatus(Register8):
    """States of the two units."""

    receive_unit = bits(5, 2, ReceiveState)
    command_unit = bits(7, 6)


class ScbCommand(Register8):
    """Takes a command for each unit; zero again when both have been accepted."""

    receive_unit = bits(2, 0, ReceiveUnit)
    command_unit = bits(7, 4, CommandUnit)


class InterruptMask(Register8):
    """Masks of the causes."""

    all = bit(0)
    generate = bit(1)
    flow_control = bit(2)
    early_receive = bit(3)


class EepromControl(Register8):
    """The pins of the serial EEPROM."""

    clock = bit(0)
    chip_select = bit(1)
    data_in = bit(2)  # to the EEPROM
    data_out = bit(3)


class MdiControl(Register32):
    """A read or a write of a register of the PHY."""

    data = bits(15, 0)
    register = bits(20, 16)
    phy = bits(25, 21)
    operation = bits(27, 26, MdiOperation)
    ready = bit(28)
    interrupt = bit(29)


class I8255xRegisters(RegisterMap):
    """BAR0."""

    STATUS = at(0x00, ScbStatus)
    ACKNOWLEDGE = at(0x01, Register8)
    COMMAND = at(0x02, ScbCommand)
    INTERRUPT_MASK = at(0x03, InterruptMask)
    POINTER = at(0x04, Register32)
    PORT = at(0x08, Register32)
    EEPROM = at(0x0E, EepromControl)
    MDI = at(0x10, MdiControl)


ACKNOWLEDGE: Final = 0x01
"""Offset of the STAT/ACK byte, for the ISR."""


# Command blocks [6.4.2]. A list of them ends with END_OF_LIST: the command unit becomes idle.

COMMAND_BLOCK: Final = struct.Struct("<HHI")
"""Status, command, address of the next block."""

TRANSMIT_BLOCK: Final = struct.Struct("<HHIIHBB")
"""The same, then address of the buffer descriptors, bytes of the frame and the flag below, early
transmit threshold in 8 bytes, number of buffer descriptors. In the simplified mode there are no
buffer descriptors: the frame follows."""

NO_DESCRIPTORS: Final = 0xFFFFFFFF
WHOLE_FRAME: Final = 1 << 15
THRESHOLD: Final = 0xE0

END_OF_LIST: Final = 1 << 15
COMMAND_COMPLETE: Final = 1 << 15
COMMAND_OK: Final = 1 << 13


class Action(IntEnum):
    """Commands of a command block."""

    NOP = 0
    INDIVIDUAL_ADDRESS_SETUP = 1
    CONFIGURE = 2
    MULTICAST_SETUP = 3
    TRANSMIT = 4


# From the manual's table of defaults [6.4.2.3], except where a comment says otherwise.
CONFIGURATION: Final = bytes(
    (
        22,  # number of bytes
        0x08,  # FIFO limits
        0x00,
        0x00,
        0x00,
        0x00,
        0x32,  # standard statistics and transmit blocks, short list of counters
        0x03,  # short frames are discarded, one retry after an underrun
        0x01,  # MII
        0x00,
        0x2E,  # preamble of seven bytes, source address from memory
        0x00,
        0x60,  # inter-frame spacing of 96 bit times
        0x00,
        0xF2,
        0xC8,  # not promiscuous, broadcasts are received
        0x00,
        0x40,
        0xF2,  # short frames are padded, long ones discarded, no frame check sequence in memory
        0x80,  # full duplex as the PHY reports
        0x3F,
        0x05,  # only requested multicasts
    )
)


# Receive frame descriptors, simplified mode [6.4.3.1]: the frame follows.

FRAME_DESCRIPTOR: Final = struct.Struct("<HHIIHH")
"""Status, command, address of the next one, reserved, bytes received and flags, size."""

FRAME_COMPLETE: Final = 1 << 15
FRAME_OK: Final = 1 << 13
FRAME_COUNT_MASK: Final = 0x3FFF


# Statistical counters [6.3.2.4]

STATISTICS: Final = struct.Struct("<16I")
STATISTICS_DUMPED: Final = 0xA005
"""The word after the counters once they have been dumped."""


# The PHY [IEEE 802.3 22.2.4]


class Phy(IntEnum):
    """Registers of the PHY."""

    CONTROL = 0
    STATUS = 1
    IDENTIFIER_HIGH = 2
    IDENTIFIER_LOW = 3
    ADVERTISEMENT = 4
    PARTNER_ABILITY = 5


class PhyControl(IntFlag):
    """Bits of CONTROL."""

    RESTART_AUTONEGOTIATION = 1 << 9
    AUTONEGOTIATION = 1 << 12


class PhyStatus(IntFlag):
    """Bits of STATUS."""

    LINK = 1 << 2  # stays 0 after a failure until it has been read
    AUTONEGOTIATED = 1 << 5


class Ability(IntFlag):
    """Bits of ADVERTISEMENT and PARTNER_ABILITY."""

    T10_FULL = 1 << 6
    TX100_HALF = 1 << 7
    TX100_FULL = 1 << 8
