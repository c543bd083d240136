# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The part of a device that its PnP and power DDIs use: the sequences, and the bus below it."""

from pydriver.wdf.dma.device import DmaDevice
from pydriver.wdf.interrupt.device import InterruptDevice
from pydriver.wdf.pnp.bus import BusFunction
from pydriver.wdf.pnp.pnp import Pnp
from pydriver.wdf.pnp.power import Power
from pydriver.wdf.pnp.power_policy import PowerPolicy

__all__ = ("PnpDevice",)


class PnpDevice(InterruptDevice, DmaDevice):
    """A device with PnP, power and power-policy sequences [FxPkgPnp].

    :ivar bus: the bus driver's view of the device
    :ivar power: the power sequences
    :ivar pnp: the PnP sequences
    :ivar policy: the power policy
    """

    __slots__ = ()

    bus: BusFunction
    power: Power
    pnp: Pnp
    policy: PowerPolicy
