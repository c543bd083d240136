# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFCOMMONBUFFER: memory to which both driver and device have access.

A common buffer is guest RAM: the device reaches it by bus-master DMA at its logical address, the
driver through a view of the shared memory, without an access by the guest's processor.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydriver.declarations.registry import handle, structure
from pydriver.ke.guest_memory import PAGE_SIZE, GuestBlock
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import STATUS_INVALID_PARAMETER, NtStatusError
from pydriver.wdf.dma.enabler import DmaEnabler
from pydriver.wdf.object.ddi import RAISES, creation_ddi, ddi
from pydriver.wdf.object.object import Object, ObjectAttributes, ParentRule, check_pointer

__all__ = ("CommonBuffer", "CommonBufferConfig")


@structure(
    "WDF_COMMON_BUFFER_CONFIG",
    """
    ULONG Size;
    ULONG AlignmentRequirement;
    """,
)
@dataclass(slots=True)
class CommonBufferConfig:
    """WDF_COMMON_BUFFER_CONFIG.

    :ivar alignment_requirement: the alignment of the address as a mask: the alignment less 1
    """

    alignment_requirement: int


@handle("WDFCOMMONBUFFER")
class CommonBuffer(Object):
    """A common buffer.

    :ivar view: the memory, as a memoryview of bytes
    :ivar pointer: the memory, as a cffi ``uint8_t *``
    :ivar logical_address: the address that the device uses
    :ivar length: the length in bytes
    """

    __slots__ = ("_block", "length", "logical_address", "pointer", "view")

    fx_type: ClassVar[int] = 0x1402

    passive_disposal: ClassVar[bool] = True

    def __init__(
        self, enabler: DmaEnabler, block: GuestBlock, attributes: ObjectAttributes
    ) -> None:
        super().__init__(enabler._kernel, enabler, attributes)
        self._block = block
        self.length = block.length
        self.logical_address = block.address
        self.view = block.view
        self.pointer: Any = block.pointer

    def __str__(self) -> str:
        return f"common buffer of {self.length} bytes at {self.logical_address:#x}"

    @classmethod
    @creation_ddi(
        "WdfCommonBufferCreate",
        "NTSTATUS (_In_ WDFDMAENABLER DmaEnabler, _In_ size_t Length, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES Attributes, _Out_ WDFCOMMONBUFFER *CommonBuffer)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create(
        cls,
        dma_enabler: DmaEnabler,
        length: int,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Allocates memory, filled with zeros, at an address that suits the device.

        :param dma_enabler: the DMA enabler of the device
        :param length: the length in bytes
        :param attributes: the attributes, which must not name a parent
        :raises NtStatusError: the attributes are not valid, the length is 0, or guest memory that
            the device can address is exhausted
        """
        what = "WdfCommonBufferCreate"
        requirement = dma_enabler.device.io.device_object.alignment_requirement
        return cls._create(dma_enabler, length, requirement, attributes, what)

    @classmethod
    @creation_ddi(
        "WdfCommonBufferCreateWithConfig",
        "NTSTATUS (_In_ WDFDMAENABLER DmaEnabler, _In_ size_t Length, "
        "_In_ PWDF_COMMON_BUFFER_CONFIG Config, _In_opt_ PWDF_OBJECT_ATTRIBUTES Attributes, "
        "_Out_ WDFCOMMONBUFFER *CommonBuffer)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create_with_config(
        cls,
        dma_enabler: DmaEnabler,
        length: int,
        config: CommonBufferConfig,
        attributes: ObjectAttributes | None = None,
    ) -> Self:
        """Like :meth:`create`, with the alignment of ``config`` instead of the device's.

        :param dma_enabler: the DMA enabler of the device
        :param length: the length in bytes
        :param config: the alignment
        :param attributes: the attributes, which must not name a parent
        :raises NtStatusError: as with :meth:`create`, or the alignment is not a power of 2
        """
        what = "WdfCommonBufferCreateWithConfig"
        check_pointer(dma_enabler._kernel, config, f"{what}: Config")
        return cls._create(dma_enabler, length, config.alignment_requirement, attributes, what)

    @classmethod
    def _create(
        cls,
        dma_enabler: DmaEnabler,
        length: int,
        requirement: int,
        attributes: ObjectAttributes | None,
        what: str,
    ) -> Self:
        attributes = cls.check_attributes(attributes, ParentRule.FORBIDDEN, what)
        if length <= 0 or requirement < 0 or requirement & (requirement + 1):
            raise NtStatusError(STATUS_INVALID_PARAMETER, what)
        block = dma_enabler._kernel.memory.allocate(
            length,
            what,
            alignment=max(PAGE_SIZE, requirement + 1),
            limit=dma_enabler.address_limit,
        )
        try:
            return cls(dma_enabler, block, attributes)
        except NtStatusError:
            block.free()
            raise

    @ddi("WdfCommonBufferGetAlignedVirtualAddress", "PVOID (_In_ WDFCOMMONBUFFER CommonBuffer)")
    def get_aligned_virtual_address(self) -> memoryview:
        """Returns the memory as the driver accesses it."""
        return self.view

    @ddi(
        "WdfCommonBufferGetAlignedLogicalAddress",
        "PHYSICAL_ADDRESS (_In_ WDFCOMMONBUFFER CommonBuffer)",
    )
    def get_aligned_logical_address(self) -> int:
        """Returns the address of the memory for the device."""
        return self.logical_address

    @ddi("WdfCommonBufferGetLength", "size_t (_In_ WDFCOMMONBUFFER CommonBuffer)")
    def get_length(self) -> int:
        """Returns the length in bytes."""
        return self.length

    def _on_dispose(self) -> None:
        self._block.free()
