# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""NVM Express as specified: registers, commands, completions, identify data.

Sections are those of the NVM Express Base Specification, revision 1.4.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from pydriver.ke.status import (
    STATUS_DATA_ERROR,
    STATUS_DEVICE_DATA_ERROR,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_IO_DEVICE_ERROR,
    STATUS_IO_TIMEOUT,
    STATUS_NO_SUCH_DEVICE,
    STATUS_SUCCESS,
)
from pydriver.regs import Register32, Register64, RegisterMap, at, bit, bits

__all__ = (
    "COMMAND_BYTES",
    "COMPLETION",
    "COMPLETION_BYTES",
    "DEALLOCATE",
    "DSM_RANGE",
    "INTERRUPTS_ENABLED",
    "INTERRUPT_MASK_CLEAR",
    "INTERRUPT_MASK_SET",
    "PAGE",
    "PHYSICALLY_CONTIGUOUS",
    "Admin",
    "Cns",
    "Command",
    "Configuration",
    "Feature",
    "IdentifyController",
    "IdentifyNamespace",
    "Io",
    "NvmeRegisters",
    "OptionalCommands",
    "ShutdownStatus",
    "doorbell",
    "is_abort",
    "nt_status",
    "retryable",
)

PAGE: Final = 4096
"""Memory page: CC.MPS is 0 here."""

COMMAND_BYTES: Final = 64
COMPLETION_BYTES: Final = 16


# Registers [3.1]


class Capabilities(Register64):
    """CAP."""

    max_queue_entries = bits(15, 0)  # less one
    contiguous_queues_required = bit(16)
    timeout = bits(31, 24)  # in units of 500 ms: for CSTS.RDY after a change of CC.EN
    doorbell_stride = bits(35, 32)  # 4 << stride bytes
    min_page = bits(51, 48)  # 4096 << min_page bytes
    max_page = bits(55, 52)


class Configuration(Register32):
    """CC."""

    enable = bit(0)
    command_set = bits(6, 4)
    page_size = bits(10, 7)
    shutdown = bits(15, 14)
    submission_entry = bits(19, 16)  # log2 of its bytes
    completion_entry = bits(23, 20)


class ShutdownStatus(IntEnum):
    """CSTS.SHST."""

    NORMAL = 0
    OCCURRING = 1
    COMPLETE = 2


class Status(Register32):
    """CSTS."""

    ready = bit(0)
    fatal = bit(1)
    shutdown = bits(3, 2, ShutdownStatus)


class QueueAttributes(Register32):
    """AQA: sizes of the admin queues, less one."""

    submission = bits(11, 0)
    completion = bits(27, 16)


INTERRUPT_MASK_SET: Final = 0x0C
INTERRUPT_MASK_CLEAR: Final = 0x10


class NvmeRegisters(RegisterMap):
    """BAR0."""

    CAP = at(0x00, Capabilities)
    VS = at(0x08, Register32)
    INTMS = at(INTERRUPT_MASK_SET, Register32)  # not with MSI-X
    INTMC = at(INTERRUPT_MASK_CLEAR, Register32)
    CC = at(0x14, Configuration)
    CSTS = at(0x1C, Status)
    AQA = at(0x24, QueueAttributes)
    ASQ = at(0x28, Register64)
    ACQ = at(0x30, Register64)


DOORBELLS: Final = 0x1000


def doorbell(queue: int, stride: int, *, completion: bool) -> int:
    """Offset of a doorbell in BAR0 [3.1.24, 3.1.25].

    :param queue: identifier of the queue
    :param stride: CAP.DSTRD
    :param completion: whether it is the completion queue's head, not the submission queue's tail
    """
    return DOORBELLS + (2 * queue + completion) * (4 << stride)


# Commands [4.2]


class Admin(IntEnum):
    """Opcodes of the admin queue [5]."""

    DELETE_SUBMISSION_QUEUE = 0x00
    CREATE_SUBMISSION_QUEUE = 0x01
    DELETE_COMPLETION_QUEUE = 0x04
    CREATE_COMPLETION_QUEUE = 0x05
    IDENTIFY = 0x06
    ABORT = 0x08
    SET_FEATURES = 0x09


class Io(IntEnum):
    """Opcodes of the NVM command set [6]."""

    FLUSH = 0x00
    WRITE = 0x01
    READ = 0x02
    WRITE_ZEROES = 0x08
    DATASET_MANAGEMENT = 0x09


class Cns(IntEnum):
    """The structure to return from an identify command [5.15.1]."""

    NAMESPACE = 0
    CONTROLLER = 1
    ACTIVE_NAMESPACES = 2


class Feature(IntEnum):
    """Feature identifiers [5.21.1]."""

    NUMBER_OF_QUEUES = 7


class OptionalCommands(IntFlag):
    """ONCS [5.15.2.2]."""

    COMPARE = 1
    WRITE_UNCORRECTABLE = 2
    DATASET_MANAGEMENT = 4
    WRITE_ZEROES = 8


PHYSICALLY_CONTIGUOUS: Final = 1
INTERRUPTS_ENABLED: Final = 2
DEALLOCATE: Final = 4

_COMMAND = struct.Struct("<BBHIQQQQIIIIII")


@dataclass(slots=True)
class Command:
    """A submission queue entry.

    :ivar opcode: :class:`Admin` or :class:`Io`
    :ivar namespace: identifier of the namespace; 0: none
    :ivar prp1: address of the data's first piece
    :ivar prp2: address of the second piece, or of a list of PRP entries
    :ivar dwords: command dwords 10 to 15; missing ones are 0
    """

    opcode: int
    namespace: int = 0
    prp1: int = 0
    prp2: int = 0
    dwords: tuple[int, ...] = ()

    def pack(self, identifier: int) -> bytes:
        """The 64 bytes.

        :param identifier: identifier of the command, unique in its queue
        """
        dwords = (*self.dwords, 0, 0, 0, 0, 0, 0)[:6]
        return _COMMAND.pack(
            self.opcode, 0, identifier, self.namespace, 0, 0, self.prp1, self.prp2, *dwords
        )


COMPLETION: Final = struct.Struct("<IIHHHH")
"""Completion queue entry [4.6]: result, reserved, submission queue's head and identifier, command
identifier, status with the phase tag in bit 0."""

DSM_RANGE: Final = struct.Struct("<IIQ")
"""Context attributes, number of blocks, first block [6.7]."""


# Status [4.6.1], without the phase tag

DO_NOT_RETRY: Final = 1 << 14
ABORT_REQUESTED: Final = 0x007
ABORTED_BY_QUEUE_DELETION: Final = 0x008

_NT_STATUS: Final = {
    0x000: STATUS_SUCCESS,
    0x001: STATUS_INVALID_DEVICE_REQUEST,  # invalid command opcode
    0x002: STATUS_INVALID_PARAMETER,  # invalid field in command
    0x004: STATUS_DATA_ERROR,  # data transfer error
    ABORT_REQUESTED: STATUS_IO_TIMEOUT,
    0x00B: STATUS_NO_SUCH_DEVICE,  # invalid namespace or format
    0x080: STATUS_INVALID_PARAMETER,  # LBA out of range
    0x281: STATUS_DEVICE_DATA_ERROR,  # unrecovered read error
}


def nt_status(status: int) -> int:
    """The NTSTATUS of a command.

    :param status: status of the completion, without the phase tag
    """
    return _NT_STATUS.get(status & 0x7FF, STATUS_IO_DEVICE_ERROR)


def is_abort(status: int) -> bool:
    """Whether the command was aborted, on request or because its queue was deleted."""
    return status & 0x7FF in {ABORT_REQUESTED, ABORTED_BY_QUEUE_DELETION}


def retryable(status: int) -> bool:
    """Whether the command may succeed if it is sent again."""
    return status != 0 and not status & DO_NOT_RETRY


# Identify data [5.15.2]


@dataclass(frozen=True, slots=True)
class IdentifyController:
    """Identify data of the controller.

    :ivar serial: serial number
    :ivar model: model number
    :ivar firmware: firmware revision
    :ivar max_transfer: bytes of one command's data; 0: any number
    :ivar optional_commands: the optional commands that it supports
    :ivar volatile_cache: whether it has a volatile write cache
    """

    serial: str
    model: str
    firmware: str
    max_transfer: int
    optional_commands: OptionalCommands
    volatile_cache: bool

    @classmethod
    def parse(cls, data: bytes) -> "IdentifyController":
        """Parses the 4096 bytes of the identify command."""
        texts = (data[4:24], data[24:64], data[64:72])
        serial, model, firmware = (text.decode("ascii", "replace").strip() for text in texts)
        exponent = data[77]
        (optional,) = struct.unpack_from("<H", data, 520)
        return cls(
            serial,
            model,
            firmware,
            PAGE << exponent if exponent else 0,
            OptionalCommands(optional & 0xF),
            bool(data[525] & 1),
        )


@dataclass(frozen=True, slots=True)
class IdentifyNamespace:
    """Identify data of a namespace.

    :ivar identifier: identifier, from 1
    :ivar blocks: number of blocks
    :ivar block_size: bytes of a block
    """

    identifier: int
    blocks: int
    block_size: int

    @classmethod
    def parse(cls, identifier: int, data: bytes) -> "IdentifyNamespace":
        """Parses the 4096 bytes of the identify command.

        :param identifier: identifier of the namespace
        """
        (blocks,) = struct.unpack_from("<Q", data, 0)
        (block_format,) = struct.unpack_from("<I", data, 128 + 4 * (data[26] & 0xF))
        return cls(identifier, blocks, 1 << (block_format >> 16 & 0xFF))

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.blocks * self.block_size
