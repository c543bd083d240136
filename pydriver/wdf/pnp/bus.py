# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The PCI bus driver's services for a function driver: resources, and the power state."""

import contextlib
from typing import TYPE_CHECKING

from pydriver.errors import PciTimeoutError
from pydriver.ke.status import NtStatusError
from pydriver.pci import CapabilityId, PowerState
from pydriver.pci.relocate import relocate
from pydriver.wdf.interrupt.resources import InterruptResources
from pydriver.wdf.memory.resource import InterruptDescriptor, MemoryDescriptor, PortDescriptor
from pydriver.wdf.pnp.pnp_config import PowerDeviceState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydriver.pci import PciFunction
    from pydriver.system import System
    from pydriver.wdf.interrupt.interrupt import Interrupt
    from pydriver.wdf.memory.resource import ResourceDescriptor

__all__ = ("BusFunction",)

_STATES = {PowerDeviceState.D1: PowerState.D1, PowerDeviceState.D2: PowerState.D2}


class BusFunction:
    """The bus driver's view of one device.

    :param system: the system whose bus and vectors are used
    :param function: the PCI function
    :param interrupts: the resources of the function's interrupts
    """

    def __init__(
        self, system: "System", function: "PciFunction", interrupts: InterruptResources
    ) -> None:
        self._system = system
        self.function = function
        self.interrupts = interrupts
        self._release: Callable[[], None] | None = None
        self._messages = 0
        self.wake_enabled = False

    # Resources

    def assign(self, interrupts: "Sequence[Interrupt]") -> "tuple[ResourceDescriptor, ...]":
        """Gives the function its BARs and its interrupts, and enables its decoding.

        After :meth:`release` for a rebalance the addresses differ, if others are free.

        :param interrupts: the interrupt objects that exist already
        :return: the BARs in the order of their indices, then the interrupts
        :raises NtStatusError: no interrupt resources are available
        """
        kernel = self._system.kernel
        function = self.function
        if self._release is not None:
            relocate(self._system.pci, function)
        self.power_on()
        resources = function.resources()
        bars: list[MemoryDescriptor | PortDescriptor] = [
            *(
                MemoryDescriptor(each.bar, each.start, each.length, each.prefetchable, kernel)
                for each in resources.memory
            ),
            *(
                PortDescriptor(each.bar, each.start, each.length, kernel)
                for each in resources.ports
            ),
        ]
        bars.sort(key=lambda each: each.bar)
        granted = self._assign_interrupts(interrupts)
        for index, interrupt in enumerate(interrupts):
            interrupt.assign(granted[index] if index < len(granted) else None)
        return (*bars, *granted)

    def _assign_interrupts(self, interrupts: "Sequence[Interrupt]") -> list[InterruptDescriptor]:
        release, self._release = self._release, None
        if release is None:
            return self.interrupts.allocate(interrupts)
        # The old ranges are still taken, so that the new ones differ.
        granted: list[InterruptDescriptor] = []
        with contextlib.suppress(NtStatusError):
            granted = self.interrupts.allocate(interrupts)
        release()
        if len(granted) < self._messages:
            self.interrupts.free()
            granted = self.interrupts.allocate(interrupts)
        return granted

    def release(self, *, rebalance: bool) -> None:
        """Takes the resources back, and disables the function's decoding.

        :param rebalance: whether the function is about to get other resources
        """
        if rebalance:
            self._messages = len(self.interrupts)
            self._release = self.interrupts.retire()
        else:
            self.interrupts.free()
            self.forget()
        self.function.disable()

    def forget(self) -> None:
        """Gives back resources that were kept for a rebalance which does not take place."""
        release, self._release = self._release, None
        if release is not None:
            release()

    # Power [PCI Power Management 1.2, 5]

    @property
    def present(self) -> bool:
        """Whether the function still answers."""
        return self.function.is_present

    @property
    def wakes_from(self) -> PowerDeviceState:
        """The deepest state from which the function can signal PME; INVALID: it cannot."""
        function = self.function
        if not function.has(CapabilityId.POWER_MANAGEMENT):
            return PowerDeviceState.INVALID
        support = function.power.registers.CAPABILITIES.read().pme_support
        for state, bit in (
            (PowerDeviceState.D3, 3),
            (PowerDeviceState.D2, 2),
            (PowerDeviceState.D1, 1),
        ):
            if support >> bit & 1:
                return state
        return PowerDeviceState.INVALID

    def supports(self, state: PowerDeviceState) -> bool:
        """Whether the function has a power state; every function has D3, if only without power."""
        if state not in _STATES:
            return True
        function = self.function
        return (
            function.has(CapabilityId.POWER_MANAGEMENT)
            and _STATES[state] in function.power.supported
        )

    def power_on(self) -> None:
        """Puts the function into D0, and restores registers that it may have lost.

        Interrupts are programmed later, when the function driver's are connected.
        """
        function = self.function
        if not self.present:
            return
        if function.has(CapabilityId.POWER_MANAGEMENT):
            power = function.power
            if power.state is not PowerState.D0:
                lost = power.loses_state
                power.set_state(PowerState.D0)
                self._enable_wake(enabled=False)
                if lost and function.has(CapabilityId.MSI):
                    function.msi.forget()
        for bar in function.bars:
            if bar.address is not None:
                bar.write()
        function.enable_memory()
        function.enable_ports()
        function.enable_bus_master()

    def power_off(self, target: PowerDeviceState) -> None:
        """Disables bus mastering, and puts the function into the power state.

        With D3Final no power IRP goes down the stack: the function stays in D0, and loses its
        resources afterwards [powerstatemachine.cpp].
        """
        function = self.function
        if not self.present:
            return
        function.disable_bus_master()
        if target is PowerDeviceState.D3_FINAL or not function.has(CapabilityId.POWER_MANAGEMENT):
            return
        wanted = _STATES.get(target, PowerState.D3_HOT)
        if wanted not in function.power.supported:
            wanted = PowerState.D3_HOT
        self._enable_wake(enabled=self.wake_enabled)
        # The function was pulled out meanwhile; or it stays on, as an i8255x of QEMU 7.2 to 10.0
        # does, whose power state cannot be changed. For the driver it is off.
        with contextlib.suppress(PciTimeoutError):
            function.power.set_state(wanted)

    def _enable_wake(self, *, enabled: bool) -> None:
        # Writing 1 to pme_status clears it: an earlier event is not a reason to wake.
        self.function.power.registers.CONTROL.set(pme_enable=int(enabled), pme_status=1)
