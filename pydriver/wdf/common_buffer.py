# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDMAENABLER and WDFCOMMONBUFFER: memory that the driver and the device both see.

A common buffer is guest RAM: the device reaches it by bus-master DMA at its logical address, the
driver through a view of the shared memory, without an access by the processor.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydriver.errors import MachineError
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_PARAMETER,
    NtStatusError,
)
from pydriver.wdf.ddi import RAISES, creation_ddi, ddi
from pydriver.wdf.object import Object, ObjectAttributes, ParentRule

if TYPE_CHECKING:
    from pydriver.wdf.device import Device

__all__ = ("CommonBuffer", "DmaEnabler", "DmaEnablerConfig", "DmaProfile")

ALIGNMENT = 4096


class DmaProfile(IntEnum):
    """WDF_DMA_PROFILE."""

    PACKET = 1
    SCATTER_GATHER = 2
    PACKET64 = 3
    SCATTER_GATHER64 = 4
    SCATTER_GATHER_DUPLEX = 5
    SCATTER_GATHER64_DUPLEX = 6


@dataclass(slots=True)
class DmaEnablerConfig:
    """WDF_DMA_ENABLER_CONFIG.

    :ivar profile: what the device can do
    :ivar maximum_length: bytes of one transfer
    """

    profile: DmaProfile
    maximum_length: int


class DmaEnabler(Object):
    """A DMA enabler.

    :ivar device: that does DMA
    :ivar maximum_length: bytes of one transfer
    """

    __slots__ = ("device", "maximum_length", "profile")

    fx_type: ClassVar[int] = 0x1400

    passive_disposal: ClassVar[bool] = True

    def __init__(
        self, device: "Device", config: DmaEnablerConfig, attributes: ObjectAttributes
    ) -> None:
        super().__init__(device._kernel, attributes.parent_object or device, attributes)
        self.device = device
        self.profile = config.profile
        self.maximum_length = config.maximum_length

    def __str__(self) -> str:
        return f"DMA enabler of {self.device}"

    @classmethod
    @creation_ddi(
        "WdfDmaEnablerCreate",
        "NTSTATUS (WDFDEVICE, PWDF_DMA_ENABLER_CONFIG, PWDF_OBJECT_ATTRIBUTES, WDFDMAENABLER *)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create(
        cls,
        device: "Device",
        config: DmaEnablerConfig,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Creates a DMA enabler.

        :param device: that does DMA
        :param config: what it can do
        :param attributes: a parent must be below the device
        :raises NtStatusError: a parameter is not valid
        """
        what = "WdfDmaEnablerCreate"
        attributes = cls.check_attributes(attributes, ParentRule.OPTIONAL, what)
        if not config.maximum_length:
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        return cls(device, config, attributes)

    @ddi("WdfDmaEnablerGetMaximumLength", "size_t (WDFDMAENABLER DmaEnabler)")
    def get_maximum_length(self) -> int:
        """Bytes of one transfer."""
        return self.maximum_length


class CommonBuffer(Object):
    """A common buffer.

    :ivar view: the memory, as a memoryview of bytes
    :ivar pointer: the memory, as a cffi ``uint8_t *``
    :ivar logical_address: where the device finds it
    :ivar length: bytes
    """

    __slots__ = ("_reservations", "length", "logical_address", "pointer", "view")

    fx_type: ClassVar[int] = 0x1402

    passive_disposal: ClassVar[bool] = True

    def __init__(
        self, enabler: DmaEnabler, length: int, alignment: int, attributes: ObjectAttributes
    ) -> None:
        machine = enabler.device.system.machine
        try:
            address = machine.reservations.reserve(length, alignment)
        except MachineError as error:
            raise NtStatusError(STATUS_INSUFFICIENT_RESOURCES, "WdfCommonBufferCreate") from error
        super().__init__(enabler._kernel, enabler, attributes)
        self._reservations = machine.reservations
        self.length = length
        self.logical_address = address
        self.view = machine.memory.view[address : address + length]
        self.pointer: Any = machine.memory.pointer(address)
        self.view[:] = bytes(length)

    def __str__(self) -> str:
        return f"common buffer of {self.length} bytes at {self.logical_address:#x}"

    @classmethod
    @creation_ddi(
        "WdfCommonBufferCreate",
        "NTSTATUS (WDFDMAENABLER, size_t Length, PWDF_OBJECT_ATTRIBUTES, WDFCOMMONBUFFER *)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create(
        cls,
        dma_enabler: DmaEnabler,
        length: int,
        attributes: ObjectAttributes | None = None,
        alignment: int = ALIGNMENT,
    ) -> Self:
        """Takes memory, filled with zeros.

        :param dma_enabler: of the device
        :param length: bytes
        :param attributes: without a parent
        :param alignment: of its address, a power of 2
        :raises NtStatusError: the length is 0, or guest memory is exhausted
        """
        what = "WdfCommonBufferCreate"
        attributes = cls.check_attributes(attributes, ParentRule.FORBIDDEN, what)
        if length <= 0:
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        return cls(dma_enabler, length, alignment, attributes)

    @ddi("WdfCommonBufferGetAlignedVirtualAddress", "PVOID (WDFCOMMONBUFFER CommonBuffer)")
    def get_aligned_virtual_address(self) -> memoryview:
        """The memory, as the driver sees it."""
        return self.view

    @ddi(
        "WdfCommonBufferGetAlignedLogicalAddress",
        "PHYSICAL_ADDRESS (WDFCOMMONBUFFER CommonBuffer)",
    )
    def get_aligned_logical_address(self) -> int:
        """The memory, as the device sees it."""
        return self.logical_address

    @ddi("WdfCommonBufferGetLength", "size_t (WDFCOMMONBUFFER CommonBuffer)")
    def get_length(self) -> int:
        """Bytes."""
        return self.length

    def _on_dispose(self) -> None:
        self.view.release()
        self._reservations.release(self.logical_address)
