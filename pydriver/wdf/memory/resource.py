# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Hardware resources: the lists that EvtDevicePrepareHardware gets [WDFCMRESLIST]."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, NoReturn, overload

import pydriver.ke.structures  # noqa: F401 -- declares what is represented here
from pydriver.declarations.registry import handle, represents
from pydriver.ke.status import STATUS_ACCESS_DENIED, NtStatusError
from pydriver.wdf.memory.registers import MappedPorts, MappedRegisters, mm_map_io_space_ex
from pydriver.wdf.object.ddi import ddi
from pydriver.wdf.object.object import Object

if TYPE_CHECKING:
    from pydriver.ke.kernel import Kernel
    from pydriver.ke.line import Line
    from pydriver.pci import VectorBlock
    from pydriver.wdf.object.device_base import DeviceBase
__all__ = (
    "InterruptDescriptor",
    "MemoryDescriptor",
    "PortDescriptor",
    "ResourceDescriptor",
    "ResourceList",
)


@represents(
    "CM_PARTIAL_RESOURCE_DESCRIPTOR",
    {"u.Memory.Start": "start", "u.Memory.Length": "length", "Flags": "prefetchable"},
    adds=("bar",),
)
@dataclass(frozen=True, slots=True)
class MemoryDescriptor:
    """CmResourceTypeMemory: a BAR in memory.

    :ivar bar: the index of the BAR
    :ivar start: the guest-physical address
    :ivar length: the length in bytes
    :ivar prefetchable: whether reads have no side effects
    """

    bar: int
    start: int
    length: int
    prefetchable: bool
    _kernel: "Kernel" = field(repr=False, compare=False)

    def map(self) -> MappedRegisters:
        """Maps the range for register accesses [MmMapIoSpaceEx]."""
        return mm_map_io_space_ex(self._kernel, self.start, self.length)


@represents(
    "CM_PARTIAL_RESOURCE_DESCRIPTOR",
    {"u.Port.Start": "start", "u.Port.Length": "length"},
    adds=("bar",),
)
@dataclass(frozen=True, slots=True)
class PortDescriptor:
    """CmResourceTypePort: a BAR of I/O ports.

    :ivar bar: the index of the BAR
    :ivar start: the number of the first port
    :ivar length: the number of ports
    """

    bar: int
    start: int
    length: int
    _kernel: "Kernel" = field(repr=False, compare=False)

    def map(self) -> MappedPorts:
        """Gives access to the ports."""
        return MappedPorts(self._kernel, self.start, self.length)


@represents(
    "CM_PARTIAL_RESOURCE_DESCRIPTOR",
    {
        "Flags": "message_signaled",
        "u.Interrupt.Level": "level",
        "u.Interrupt.Vector": "vector",
        "u.Interrupt.Affinity": "affinity",
    },
    adds=("message", "block", "line"),
)
@dataclass(frozen=True, slots=True)
class InterruptDescriptor:
    """CmResourceTypeInterrupt: one message, or the line.

    :ivar message: the number of the message on the device; 0 for the line
    :ivar level: the DIRQL
    :ivar vector: the vector in the processor's IDT
    :ivar affinity: a mask with one bit: the processor on which the interrupt is taken
    :ivar message_signaled: whether it is a message, not the line
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
        """The number of the processor on which the interrupt is taken."""
        return self.affinity.bit_length() - 1


ResourceDescriptor = MemoryDescriptor | PortDescriptor | InterruptDescriptor


@handle("WDFCMRESLIST")
class ResourceList(Object, Sequence[ResourceDescriptor]):
    """A resource list of a device: BARs in the order of their indices, then interrupts.

    The list is also a sequence. The two lists of a device, raw and translated, have matching
    indices. A driver may only read them, and only in EvtDevicePrepareHardware and
    EvtDeviceReleaseHardware.

    :ivar readable: whether one of these callbacks is running
    """

    __slots__ = ("_descriptors", "_device", "readable")

    fx_type: ClassVar[int] = 0x1036

    def __init__(self, device: "DeviceBase", descriptors: Sequence[ResourceDescriptor]) -> None:
        super().__init__(device._kernel, device, deletable=False)
        self._device = device
        self._descriptors = tuple(descriptors)
        self.readable = False

    def __str__(self) -> str:
        return f"resource list of {self._device}"

    # Equality is that of the object, not that of the sequence's contents.
    __hash__ = Object.__hash__
    __eq__ = Object.__eq__

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

    @ddi("WdfCmResourceListGetCount", "ULONG (_In_ WDFCMRESLIST List)")
    def get_count(self) -> int:
        """The number of descriptors."""
        self._check_readable("WdfCmResourceListGetCount")
        return len(self._descriptors)

    @ddi(
        "WdfCmResourceListGetDescriptor",
        "PCM_PARTIAL_RESOURCE_DESCRIPTOR (_In_ WDFCMRESLIST List, _In_ ULONG Index)",
    )
    def get_descriptor(self, index: int) -> ResourceDescriptor | None:
        """The descriptor at an index.

        :param index: 0 to :meth:`get_count` - 1
        :return: the descriptor; ``None`` if the index is out of range
        """
        self._check_readable("WdfCmResourceListGetDescriptor")
        return self._descriptors[index] if 0 <= index < len(self._descriptors) else None

    def _check_readable(self, what: str) -> None:
        if not self.readable:
            self._kernel.verifier.violation(
                "ResourceListOutsideCallback",
                f"{what} outside of EvtDevicePrepareHardware and EvtDeviceReleaseHardware",
                self,
            )

    # The lists of these callbacks are read-only.

    @ddi(
        "WdfCmResourceListAppendDescriptor",
        "NTSTATUS (_In_ WDFCMRESLIST List, _In_ PCM_PARTIAL_RESOURCE_DESCRIPTOR Descriptor)",
    )
    def append_descriptor(self, descriptor: ResourceDescriptor) -> None:
        """Adds a descriptor at the end.

        :raises NtStatusError: STATUS_ACCESS_DENIED: the list is read-only
        """
        self._refuse("WdfCmResourceListAppendDescriptor")

    @ddi(
        "WdfCmResourceListInsertDescriptor",
        "NTSTATUS (_In_ WDFCMRESLIST List, _In_ PCM_PARTIAL_RESOURCE_DESCRIPTOR Descriptor, "
        "_In_ ULONG Index)",
    )
    def insert_descriptor(self, descriptor: ResourceDescriptor, index: int) -> None:
        """Adds a descriptor in front of another one.

        :raises NtStatusError: STATUS_ACCESS_DENIED: the list is read-only
        """
        self._refuse("WdfCmResourceListInsertDescriptor")

    @ddi("WdfCmResourceListRemove", "VOID (_In_ WDFCMRESLIST List, _In_ ULONG Index)")
    def remove(self, index: int) -> None:
        """Removes a descriptor. The list is read-only: a violation without an effect."""
        self._report_read_only("WdfCmResourceListRemove")

    @ddi(
        "WdfCmResourceListRemoveByDescriptor",
        "VOID (_In_ WDFCMRESLIST List, _In_ PCM_PARTIAL_RESOURCE_DESCRIPTOR Descriptor)",
    )
    def remove_by_descriptor(self, descriptor: ResourceDescriptor) -> None:
        """Removes a descriptor. The list is read-only: a violation without an effect."""
        self._report_read_only("WdfCmResourceListRemoveByDescriptor")

    def _refuse(self, what: str) -> NoReturn:
        self._report_read_only(what)
        raise NtStatusError(STATUS_ACCESS_DENIED, f"{what}: {self} is read-only")

    def _report_read_only(self, what: str) -> None:
        self._kernel.verifier.violation(
            "ResourceListReadOnly", f"{what}: {self} is read-only", self
        )
