# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Connects and disconnects an interrupt, in the device's power sequences and for the driver."""

from enum import Enum
from typing import TYPE_CHECKING

from pydriver.ke.line import LineIsr
from pydriver.ke.probes import Point, probed
from pydriver.ke.status import NT_SUCCESS, STATUS_NOT_SUPPORTED, STATUS_SUCCESS
from pydriver.place import callback_name
from pydriver.wdf.interrupt.kinterrupt import KInterrupt
from pydriver.wdf.interrupt.lock import InterruptLocking
from pydriver.wdf.interrupt.service_routine import line_routine, message_routine, passive_routine
from pydriver.wdf.object.ddi import HIGH_LEVEL, PASSIVE_LEVEL, ddi
from pydriver.wdf.object.tri_state import TriState

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.ke.processor import Processor
    from pydriver.wdf.interrupt.config import InterruptConfig
    from pydriver.wdf.interrupt.device import InterruptDevice
    from pydriver.wdf.memory.resource import InterruptDescriptor
    from pydriver.wdf.object.device_base import WdfDevice
    from pydriver.wdf.object.object import Object, ObjectAttributes
    from pydriver.wdf.sync.work_item import QueuedWork

__all__ = ("InterruptConnection", "InterruptState")


class InterruptState(Enum):
    """The stages of an interrupt object between its creation and its service."""

    CREATED = 0
    CONNECTED = 1
    ENABLED = 2
    DISCONNECTING = 3


class InterruptConnection(InterruptLocking):
    """The resource and the connection of an interrupt object.

    The device's sequences and the driver change a connection, at PASSIVE_LEVEL.

    :ivar device: the device that interrupts
    :ivar descriptor: the resource; ``None``: the interrupt has none
    :ivar vector: the vector on which the interrupt arrives; 0: no resource
    :ivar irql: the DIRQL; PASSIVE_LEVEL for a passive interrupt
    :ivar processor: the processor that takes the interrupt
    :ivar state: the stage of the connection
    :ivar active: whether the interrupt is let through: it has not been reported inactive
    :ivar force_disconnected: whether the driver has disabled the interrupt
    :ivar line_isr: the interrupt's entry among those that share a line
    """

    __slots__ = (
        "_resources",
        "_work",
        "active",
        "descriptor",
        "device",
        "force_disconnected",
        "irql",
        "line_isr",
        "processor",
        "state",
        "vector",
    )

    def __init__(
        self,
        device: "InterruptDevice",
        parent: "Object",
        config: "InterruptConfig",
        attributes: "ObjectAttributes",
    ) -> None:
        super().__init__(device, parent, config, attributes)
        self.device: WdfDevice = device
        self._resources = device.interrupt_resources
        self.descriptor: InterruptDescriptor | None = None
        self.vector = 0
        self.irql = PASSIVE_LEVEL
        self.processor: Processor | None = None
        self.state = InterruptState.CREATED
        self.active = True
        self.force_disconnected = False
        self.line_isr: LineIsr | None = None
        self._work: QueuedWork | None = None

    @property
    def isr(self) -> "Callable[..., object]":
        """EvtInterruptIsr, with a debugger's probe around it if one is set."""
        isr = self.config.evt_interrupt_isr
        assert isr is not None
        kernel = self._kernel
        return probed(
            kernel.probe,
            Point.INTERRUPT,
            callback_name(isr),
            self,
            isr,
            lambda: self.vector,
        )

    # DDIs

    @ddi(
        "WdfInterruptEnable",
        "VOID (_In_ WDFINTERRUPT Interrupt)",
        highest=PASSIVE_LEVEL,
        refusal=None,
    )
    def enable(self) -> None:
        """Connects the interrupt again after :meth:`disable`, and calls EvtInterruptEnable.

        A failure is not reported. Without a resource nothing happens.
        """
        self.force_disconnected = False
        self.connect()

    @ddi(
        "WdfInterruptDisable",
        "VOID (_In_ WDFINTERRUPT Interrupt)",
        highest=PASSIVE_LEVEL,
        refusal=None,
    )
    def disable(self) -> None:
        """Calls EvtInterruptDisable, waits for the queued DPC and work item, and disconnects.

        The interrupt stays disconnected until :meth:`enable`, across power states too.
        """
        self.force_disconnected = True
        self.disconnect()

    @ddi("WdfInterruptReportActive", "VOID (_In_ WDFINTERRUPT Interrupt)")
    def report_active(self) -> None:
        """Lets the interrupt through again after :meth:`report_inactive`."""
        self._report("WdfInterruptReportActive", active=True)

    @ddi("WdfInterruptReportInactive", "VOID (_In_ WDFINTERRUPT Interrupt)")
    def report_inactive(self) -> None:
        """Holds the interrupt back without disconnecting it.

        A message is masked. On a line the ISR is skipped, and the line is masked while no other ISR
        is active on it. Messages of an MSI function that cannot mask them are lost.
        """
        self._report("WdfInterruptReportInactive", active=False)

    @ddi(
        "WdfInterruptWdmGetInterrupt",
        "PKINTERRUPT (_In_ WDFINTERRUPT Interrupt)",
        highest=HIGH_LEVEL,
    )
    def wdm_get_interrupt(self) -> KInterrupt | None:
        """Returns the kernel's object, while the interrupt is connected."""
        return self._kinterrupt

    def _report(self, what: str, *, active: bool) -> None:
        if self._kinterrupt is None:
            self._kernel.verifier.violation(
                "InterruptNotConnected", f"{what} while it is not connected: {self}", self
            )
            return
        self._set_active(active=active)

    def _set_active(self, *, active: bool) -> None:
        if self.active is active or self.descriptor is None:
            return
        self.active = active
        self._resources.set_active(self, self.descriptor, active=active)

    # For the device's PnP and power sequences

    def assign(self, descriptor: "InterruptDescriptor | None") -> None:
        """Takes a resource, or loses it: then a connection kept over a power state ends.

        :param descriptor: the resource; ``None``: it is lost
        """
        if descriptor is None:
            self._disconnect_from_kernel()
            self.vector = self.irql = self.synchronize_irql = 0
            self.processor = None
        else:
            self.vector = descriptor.vector
            self.irql = PASSIVE_LEVEL if self.config.passive_handling else descriptor.level
            self.synchronize_irql = self.irql
            self.processor = self._kernel.processors[descriptor.processor]
        self.descriptor = descriptor

    def connect(self) -> int:
        """Connects and enables the interrupt [IoConnectInterruptEx, EvtInterruptEnable].

        :return: the NTSTATUS of EvtInterruptEnable; STATUS_SUCCESS without a resource;
            STATUS_NOT_SUPPORTED for a message with passive handling
        """
        descriptor = self.descriptor
        if descriptor is None or self.force_disconnected:
            return STATUS_SUCCESS
        if self.state is InterruptState.CREATED:
            if self.config.passive_handling and descriptor.message_signaled:
                return STATUS_NOT_SUPPORTED
            self.active = True
            # Before the interrupt is let through: the first ISR may already take the lock.
            self._kinterrupt = KInterrupt(self)
            self._resources.connect(self, descriptor)
        elif self.state is InterruptState.CONNECTED:
            self._set_active(active=True)
        else:
            return STATUS_SUCCESS
        self.state = InterruptState.CONNECTED
        status = self._call_status_locked(self.config.evt_interrupt_enable)
        if NT_SUCCESS(status):
            self.state = InterruptState.ENABLED
        return status

    def disconnect(self) -> int:
        """Disables the interrupt, waits for its DPC, and disconnects it [interruptobject.cpp].

        With ReportInactiveOnPowerDown the interrupt is reported inactive instead of being
        disconnected, unless the driver has disabled it.

        :return: the NTSTATUS of EvtInterruptDisable
        """
        if self.descriptor is None or self.state is InterruptState.CREATED:
            return STATUS_SUCCESS
        status = STATUS_SUCCESS
        if self.state is InterruptState.ENABLED:
            status = self._call_status_locked(self.config.evt_interrupt_disable)
        self.state = InterruptState.DISCONNECTING
        self._kernel.flush_queued_dpcs()
        if self._work is not None:
            self._work.flush()
        stays = self.config.report_inactive_on_power_down is TriState.TRUE
        if stays and not self.force_disconnected:
            self._set_active(active=False)
            self.state = InterruptState.CONNECTED
        elif self._resources.keeps_connections and self.line_isr and not self.force_disconnected:
            # A message cannot be sent in a low-power state: only a line is worth keeping.
            self.state = InterruptState.CONNECTED
        else:
            self._disconnect_from_kernel()
        return status

    def _disconnect_from_kernel(self) -> None:
        if self.descriptor is None or self._kinterrupt is None:
            return
        self._resources.disconnect(self, self.descriptor)
        self.state = InterruptState.CREATED

    def forget_connection(self) -> None:
        """Keeps the ISR from beginning again, and waits for one that runs; the source is masked.

        With one processor the caller holds all interrupts back meanwhile.
        """
        mutex = self._lock._mutex
        if self.wait_lock is not None:
            with self.wait_lock:
                self._kinterrupt = None
        elif mutex is not None:
            processor = self._current.processor
            mutex.acquire(processor)
            self._kinterrupt = None
            mutex.release(processor)
        else:
            self._kinterrupt = None

    def service_routine(self) -> "Callable[[], int]":
        """Returns the routine that serves the vector of a message."""
        return message_routine(self)

    def make_line_isr(self) -> LineIsr:
        """Makes the interrupt's entry for a line, which others may share."""
        passive = self.config.passive_handling
        routine = passive_routine(self) if passive else line_routine(self)
        self.line_isr = LineIsr(routine, self, passive)
        return self.line_isr
