# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Hardware resources: the lists that EvtDevicePrepareHardware gets [WDFCMRESLIST]."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, overload

from pydriver.wdf.registers import MappedPorts, MappedRegisters, mm_map_io_space_ex

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.line import Line
    from pydriver.pci import VectorBlock

__all__ = (
    "InterruptDescriptor",
    "MemoryDescriptor",
    "PortDescriptor",
    "ResourceDescriptor",
    "ResourceList",
)


@dataclass(frozen=True, slots=True)
class MemoryDescriptor:
    """CmResourceTypeMemory: a BAR in memory.

    :ivar bar: its index
    :ivar start: guest-physical address
    :ivar length: bytes
    :ivar prefetchable: reads have no side effects
    """

    bar: int
    start: int
    length: int
    prefetchable: bool
    _kernel: "Kernel" = field(repr=False, compare=False)

    def map(self) -> MappedRegisters:
        """Maps the range for register accesses [MmMapIoSpaceEx]."""
        return mm_map_io_space_ex(self._kernel, self.start, self.length)


@dataclass(frozen=True, slots=True)
class PortDescriptor:
    """CmResourceTypePort: a BAR of I/O ports.

    :ivar bar: its index
    :ivar start: the first port
    :ivar length: ports
    """

    bar: int
    start: int
    length: int
    _kernel: "Kernel" = field(repr=False, compare=False)

    def map(self) -> MappedPorts:
        """Gives access to the ports."""
        return MappedPorts(self._kernel, self.start, self.length)


@dataclass(frozen=True, slots=True)
class InterruptDescriptor:
    """CmResourceTypeInterrupt: one message, or the line.

    :ivar message: number of the message on the device; 0 for the line
    :ivar level: DIRQL
    :ivar vector: of the processor's IDT
    :ivar affinity: one bit: the processor on which it is taken
    :ivar message_signaled: a message, not a line
    """

    message: int
    level: int
    vector: int
    affinity: int
    message_signaled: bool
    block: "VectorBlock | None" = field(default=None, repr=False, compare=False)
    line: "Line | None" = field(default=None, repr=False, compare=False)

    @property
    def processor(self) -> int:
        """Number of the processor on which it is taken."""
        return self.affinity.bit_length() - 1


ResourceDescriptor = MemoryDescriptor | PortDescriptor | InterruptDescriptor


class ResourceList(Sequence[ResourceDescriptor]):
    """WDFCMRESLIST, read-only: BARs in the order of their indices, then interrupts.

    ``WdfCmResourceListGetCount`` is ``len()``, ``WdfCmResourceListGetDescriptor`` an index.
    """

    def __init__(self, descriptors: Sequence[ResourceDescriptor]) -> None:
        self._descriptors = tuple(descriptors)

    def __len__(self) -> int:
        return len(self._descriptors)

    @overload
    def __getitem__(self, index: int) -> ResourceDescriptor: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ResourceDescriptor]: ...

    def __getitem__(self, index: int | slice) -> ResourceDescriptor | Sequence[ResourceDescriptor]:
        return self._descriptors[index]

    def __iter__(self) -> Iterator[ResourceDescriptor]:
        return iter(self._descriptors)

    @property
    def memory(self) -> dict[int, MemoryDescriptor]:
        """The BARs in memory, by BAR index."""
        return {each.bar: each for each in self if isinstance(each, MemoryDescriptor)}

    @property
    def ports(self) -> dict[int, PortDescriptor]:
        """The BARs of I/O ports, by BAR index."""
        return {each.bar: each for each in self if isinstance(each, PortDescriptor)}

    @property
    def interrupts(self) -> list[InterruptDescriptor]:
        """The messages in their order, or the line."""
        return [each for each in self if isinstance(each, InterruptDescriptor)]
