# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""A device as DMA enablers know it, and a DMA enabler as the power sequences know it."""

from typing import Protocol

from pydriver.wdf.io.device import IoDevice

__all__ = ("DmaDevice", "DmaPower")


class DmaPower(Protocol):
    """A DMA enabler, as the power sequences see it."""

    def power_up(self) -> int:
        """EvtDmaEnablerFill, Enable and SelfManagedIoStart; NTSTATUS."""

    def power_down(self) -> int | None:
        """EvtDmaEnablerSelfManagedIoStop, Disable and Flush, as far as it was up; NTSTATUS."""


class DmaDevice(IoDevice):
    """A device with DMA enablers.

    :ivar dma_enablers: brought up with the device, in this order
    """

    __slots__ = ()

    dma_enablers: list[DmaPower]
