# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The interfaces between DMA and the device: what enablers use of it, and it of them."""

from typing import Protocol

from pydriver.wdf.io.device import IoDevice

__all__ = ("DmaDevice", "DmaPower")


class DmaPower(Protocol):
    """The part of a DMA enabler that the power sequences use."""

    def power_up(self) -> int:
        """Calls EvtDmaEnablerFill, Enable and SelfManagedIoStart; returns an NTSTATUS."""

    def power_down(self) -> int | None:
        """Calls EvtDmaEnablerSelfManagedIoStop, Disable and Flush, as far as power-up went."""


class DmaDevice(IoDevice):
    """A device with DMA enablers.

    :ivar dma_enablers: the enablers, in the order in which they power up with the device
    """

    __slots__ = ()

    dma_enablers: list[DmaPower]
