# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A processor whose accesses are observed: by a register trace, a debugger, or both.

Such a processor exists only if there is an observer; without one, nothing is observed. The
observers are called in their order, and before the access is made. So an observer that holds the
thread should come before one that records, and if a write kills QEMU, the record has that write.
"""

from collections.abc import Callable, Sequence
from typing import Any

from pydriver.errors import MachineDied
from pydriver.link.processor import ProcessorLink
from pydriver.trace.access import AccessKind, Answered, Observer, RegisterAccess, Value

__all__ = ("ObservedProcessorLink",)


_Read = Callable[["ObservedProcessorLink", int], int]
_Write = Callable[["ObservedProcessorLink", int, int], None]


def _reader(plain: _Read, width: int) -> _Read:
    """Makes the observed read of one element.

    :param plain: the method that makes the access
    :param width: the size of the element in bytes
    """

    def read(link: "ObservedProcessorLink", address: int) -> int:
        told = link.tell(AccessKind.READ, width, 1, address)
        value: int | None = None
        try:
            value = plain(link, address)
        finally:
            _answer(told, value)
        return value

    return read


def _writer(plain: _Write, width: int) -> _Write:
    """Makes the observed write of one element.

    :param plain: the method that makes the access
    :param width: the size of the element in bytes
    """

    def write(link: "ObservedProcessorLink", address: int, value: int) -> None:
        link.tell(AccessKind.WRITE, width, 1, address, value)
        plain(link, address, value)

    return write


def _answer(told: Sequence[Answered], value: Value) -> None:
    # Without an answer too: the access may be the one that killed QEMU.
    for answered in told:
        answered(value)


class ObservedProcessorLink(ProcessorLink):
    """A :class:`ProcessorLink` whose accesses are observed.

    :param observers: the observers, which are called before each access in this order
    """

    __slots__ = ("_observers",)

    def __init__(
        self,
        number: int,
        cpu: Any,
        died: Callable[[], MachineDied],
        observers: Sequence[Observer],
    ) -> None:
        super().__init__(number, cpu, died)
        self._observers = observers

    def tell(
        self, kind: AccessKind, width: int, elements: int, address: int, value: Value = None
    ) -> list[Answered]:
        """Reports an access to the observers.

        :return: the functions to call with the answer
        """
        access = RegisterAccess(kind, self.number, self.state.irql, width, elements, address, value)
        return [told for each in self._observers if (told := each(access)) is not None]

    read8 = _reader(ProcessorLink.read8, 1)
    read16 = _reader(ProcessorLink.read16, 2)
    read32 = _reader(ProcessorLink.read32, 4)
    read64 = _reader(ProcessorLink.read64, 8)
    write8 = _writer(ProcessorLink.write8, 1)
    write16 = _writer(ProcessorLink.write16, 2)
    write32 = _writer(ProcessorLink.write32, 4)
    write64 = _writer(ProcessorLink.write64, 8)

    def read_block(self, address: int, width: int, count: int) -> bytes:
        """Reads elements at increasing addresses."""
        told = self.tell(AccessKind.READ_BLOCK, width, count, address)
        data: bytes | None = None
        try:
            data = super().read_block(address, width, count)
        finally:
            _answer(told, data)
        return data

    def write_block(self, address: int, width: int, data: bytes) -> None:
        """Writes elements at increasing addresses."""
        self.tell(AccessKind.WRITE_BLOCK, width, len(data) // width, address, bytes(data))
        super().write_block(address, width, data)

    def port_in(self, port: int, width: int) -> int:
        """Reads an I/O port."""
        told = self.tell(AccessKind.PORT_IN, width, 1, port)
        value: int | None = None
        try:
            value = super().port_in(port, width)
        finally:
            _answer(told, value)
        return value

    def port_out(self, port: int, width: int, value: int) -> None:
        """Writes an I/O port."""
        self.tell(AccessKind.PORT_OUT, width, 1, port, value)
        super().port_out(port, width, value)
