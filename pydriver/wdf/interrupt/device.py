# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The part of a device that interrupt objects use: its interrupt resources."""

from typing import TYPE_CHECKING

from pydriver.wdf.io.device import IoDevice

if TYPE_CHECKING:
    from pydriver.wdf.interrupt.resources import InterruptResources

__all__ = ("InterruptDevice",)


class InterruptDevice(IoDevice):
    """A device with interrupts.

    :ivar interrupt_resources: the interrupt objects, and the messages or the line they are given
    """

    __slots__ = ()

    interrupt_resources: "InterruptResources"
