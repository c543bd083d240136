# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""DRIVER_OBJECT, which the system passes to a driver's entry."""

from typing import TYPE_CHECKING, Any

from pydriver.declarations.registry import stands_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.kernel import Kernel

__all__ = ("DriverObject",)


@stands_for("DRIVER_OBJECT")
class DriverObject:
    """The argument of a driver's entry [DRIVER_OBJECT].

    :param kernel: the kernel of the system that loads the driver
    :param system: that system, whose type is unknown to the kernel
    :param name: the name of the driver, for reports
    :ivar driver_unload: the function that removes the driver's devices and calls its
        EvtDriverUnload; set by the framework
    :ivar driver: the framework's driver object, once the entry has created it
    :ivar guest_memory: whether the driver's contexts, pool and request buffers are in guest memory,
        where its devices and code in the guest reach them; set before the entry creates the driver
    """

    def __init__(self, kernel: "Kernel", system: Any, name: str) -> None:
        self.kernel = kernel
        self.system = system
        self.name = name
        self.driver_unload: Callable[[], None] | None = None
        self.driver: Any = None
        self.guest_memory = False
