# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A processor whose accesses are written into a register trace.

There is such a processor only where a trace was asked for; without one nothing is looked at. A
write is recorded before it is made, so that the trace of a QEMU that dies of it has it.
"""

from collections.abc import Callable
from typing import Any

from pydriver.errors import MachineDied
from pydriver.link.processor import ProcessorLink
from pydriver.trace.registers import RegisterTrace

__all__ = ("TracedProcessorLink",)


class TracedProcessorLink(ProcessorLink):
    """As :class:`ProcessorLink`.

    :param trace: what the accesses are written into
    """

    __slots__ = ("_trace",)

    def __init__(
        self, number: int, cpu: Any, died: Callable[[], MachineDied], trace: RegisterTrace
    ) -> None:
        super().__init__(number, cpu, died)
        self._trace = trace

    def read8(self, address: int) -> int:
        """Reads one byte."""
        return self._read(super().read8, 1, address)

    def read16(self, address: int) -> int:
        """Reads two bytes."""
        return self._read(super().read16, 2, address)

    def read32(self, address: int) -> int:
        """Reads four bytes."""
        return self._read(super().read32, 4, address)

    def read64(self, address: int) -> int:
        """Reads eight bytes in one access."""
        return self._read(super().read64, 8, address)

    def write8(self, address: int, value: int) -> None:
        """Writes one byte."""
        self._trace.write(self.number, self.state.irql, 1, address, value)
        super().write8(address, value)

    def write16(self, address: int, value: int) -> None:
        """Writes two bytes."""
        self._trace.write(self.number, self.state.irql, 2, address, value)
        super().write16(address, value)

    def write32(self, address: int, value: int) -> None:
        """Writes four bytes."""
        self._trace.write(self.number, self.state.irql, 4, address, value)
        super().write32(address, value)

    def write64(self, address: int, value: int) -> None:
        """Writes eight bytes in one access."""
        self._trace.write(self.number, self.state.irql, 8, address, value)
        super().write64(address, value)

    def read_block(self, address: int, width: int, count: int) -> bytes:
        """Reads elements at increasing addresses."""
        data: bytes | None = None
        try:
            data = super().read_block(address, width, count)
        finally:
            self._trace.read_block(self.number, self.state.irql, width, count, address, data)
        return data

    def write_block(self, address: int, width: int, data: bytes) -> None:
        """Writes elements at increasing addresses."""
        self._trace.write_block(self.number, self.state.irql, width, address, bytes(data))
        super().write_block(address, width, data)

    def port_in(self, port: int, width: int) -> int:
        """Reads an I/O port."""
        value: int | None = None
        try:
            value = super().port_in(port, width)
        finally:
            self._trace.port_in(self.number, self.state.irql, width, port, value)
        return value

    def port_out(self, port: int, width: int, value: int) -> None:
        """Writes an I/O port."""
        self._trace.port_out(self.number, self.state.irql, width, port, value)
        super().port_out(port, width, value)

    def _read(self, access: Callable[[int], int], width: int, address: int) -> int:
        value: int | None = None
        try:
            value = access(address)
        finally:
            # Without an answer too: it may be what QEMU has died of.
            self._trace.read(self.number, self.state.irql, width, address, value)
        return value
