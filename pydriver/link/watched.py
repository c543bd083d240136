# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A processor that says which register it is about to access: for a debugger, which may hold it."""

from collections.abc import Callable
from typing import Any

from pydriver.errors import MachineDied
from pydriver.link.processor import ProcessorLink

__all__ = ("Watch", "WatchedProcessorLink")

Watch = Callable[[str, int], None]
"""Called with what is about to be done, such as ``write32``, and the address or the port."""


class WatchedProcessorLink(ProcessorLink):
    """As :class:`ProcessorLink`.

    :param watch: called before each access to a register
    """

    __slots__ = ("_watch",)

    def __init__(
        self, number: int, cpu: Any, died: Callable[[], MachineDied], watch: Watch
    ) -> None:
        super().__init__(number, cpu, died)
        self._watch = watch

    def read8(self, address: int) -> int:
        """Reads one byte."""
        self._watch("read8", address)
        return super().read8(address)

    def read16(self, address: int) -> int:
        """Reads two bytes."""
        self._watch("read16", address)
        return super().read16(address)

    def read32(self, address: int) -> int:
        """Reads four bytes."""
        self._watch("read32", address)
        return super().read32(address)

    def read64(self, address: int) -> int:
        """Reads eight bytes in one access."""
        self._watch("read64", address)
        return super().read64(address)

    def write8(self, address: int, value: int) -> None:
        """Writes one byte."""
        self._watch(f"write8 of {value:#x}", address)
        super().write8(address, value)

    def write16(self, address: int, value: int) -> None:
        """Writes two bytes."""
        self._watch(f"write16 of {value:#x}", address)
        super().write16(address, value)

    def write32(self, address: int, value: int) -> None:
        """Writes four bytes."""
        self._watch(f"write32 of {value:#x}", address)
        super().write32(address, value)

    def write64(self, address: int, value: int) -> None:
        """Writes eight bytes in one access."""
        self._watch(f"write64 of {value:#x}", address)
        super().write64(address, value)

    def read_block(self, address: int, width: int, count: int) -> bytes:
        """Reads elements at increasing addresses."""
        self._watch(f"read of {count} elements of {width} bytes", address)
        return super().read_block(address, width, count)

    def write_block(self, address: int, width: int, data: bytes) -> None:
        """Writes elements at increasing addresses."""
        self._watch(f"write of {len(data) // width} elements of {width} bytes", address)
        super().write_block(address, width, data)

    def port_in(self, port: int, width: int) -> int:
        """Reads an I/O port."""
        self._watch(f"in of {width} bytes", port)
        return super().port_in(port, width)

    def port_out(self, port: int, width: int, value: int) -> None:
        """Writes an I/O port."""
        self._watch(f"out of {value:#x}", port)
        super().port_out(port, width, value)
