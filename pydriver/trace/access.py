# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""One access to a device, as the observers of a processor get it."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

__all__ = ("READS", "AccessKind", "Answered", "Observer", "RegisterAccess", "Value")

Value = int | bytes | None
"""The value that was read or written; several elements are bytes. ``None``: a read without an
answer."""


class AccessKind(Enum):
    """The kind of an access: the name of the method that makes it, without the width in bits."""

    READ = "read"
    WRITE = "write"
    READ_BLOCK = "read_block"
    WRITE_BLOCK = "write_block"
    PORT_IN = "port_in"
    PORT_OUT = "port_out"


READS = frozenset({AccessKind.READ, AccessKind.READ_BLOCK, AccessKind.PORT_IN})


class RegisterAccess(NamedTuple):
    """An access that is about to be made.

    :ivar kind: the kind of access
    :ivar processor: number of the processor that makes it
    :ivar irql: IRQL of the caller
    :ivar width: bytes of an element
    :ivar elements: number of elements
    :ivar address: guest-physical address, or the port
    :ivar value: value to be written; ``None`` for a read
    """

    kind: AccessKind
    processor: int
    irql: int
    width: int
    elements: int
    address: int
    value: Value

    def __str__(self) -> str:
        """For example ``write32 of 0x5 at 0xc0000008``."""
        value = f"{self.value:#x}" if isinstance(self.value, int) else ""
        match self.kind:
            case AccessKind.READ:
                what = f"read{8 * self.width}"
            case AccessKind.WRITE:
                what = f"write{8 * self.width} of {value}"
            case AccessKind.READ_BLOCK:
                what = f"read of {self.elements} elements of {self.width} bytes"
            case AccessKind.WRITE_BLOCK:
                what = f"write of {self.elements} elements of {self.width} bytes"
            case AccessKind.PORT_IN:
                what = f"in of {self.width} bytes"
            case AccessKind.PORT_OUT:
                what = f"out of {value}"
        return f"{what} at {self.address:#x}"


Answered = Callable[[Value], object]
"""Called with the value that a read has read, or with ``None`` if it was not answered."""

Observer = Callable[[RegisterAccess], Answered | None]
"""``on_access(access)``, called on the thread that makes the access, before it is made.

It may hold the thread. The callable that it returns for a read is called after the read; for a
write it is ignored.
"""
