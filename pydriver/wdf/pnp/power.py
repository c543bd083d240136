# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""D0 entry and D0 exit of a device, step by step [powerstatemachine.cpp].

The steps stand in two tables, `ENTRY` and `EXIT`, in the order of Windows. A step of the entry that
fails is undone by the tail of the exit that its row names. A step of the exit that fails is noted,
and the rest still runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol, cast

from pydriver.ke.status import NT_SUCCESS, STATUS_SUCCESS, status_name
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.io.queue_config import IoStopAction
from pydriver.wdf.pnp.pnp_config import DevicePowerState, PnpPowerEventCallbacks, PowerDeviceState
from pydriver.wdf.sync.serialization import Presenting

if TYPE_CHECKING:
    from pydriver.wdf.device.device import Device
    from pydriver.wdf.interrupt.interrupt import Interrupt
    from pydriver.wdf.io.queue import IoQueue
    from pydriver.wdf.pnp.bus import BusFunction

__all__ = ("DmaPower", "Failure", "PoweredDevice", "SelfManagedIoState")


class DmaPower(Protocol):
    """A DMA enabler, as the power sequences see it."""

    def power_up(self) -> int:
        """EvtDmaEnablerFill, Enable and SelfManagedIoStart; NTSTATUS."""

    def power_down(self) -> int | None:
        """EvtDmaEnablerSelfManagedIoStop, Disable and Flush, as far as it was up; NTSTATUS."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed.

    :ivar step: the callback, or what it is about
    :ivar status: NTSTATUS
    """

    step: str
    status: int

    def __str__(self) -> str:
        return f"{self.step}: {status_name(self.status)}"


class SelfManagedIoState(Enum):
    """Where self-managed I/O is [selfmanagediostatemachine.cpp]."""

    CREATED = "created"
    STARTED = "started"
    STOPPED = "stopped"
    FAILED = "failed"
    FLUSHED = "flushed"
    FINAL = "final"


class PoweredDevice(Presenting):
    """What of a device its power sequences are about.

    :ivar powered: it is in D0, and the queues present requests
    :ivar power_state: in which it is
    :ivar dma_enablers: brought up with the device, in this order
    :ivar power_pageable: its power callbacks may touch pageable memory
    :ivar keeps_interrupts: a low-power state leaves them connected
    :ivar failures: steps of a D0 exit that failed, since the last D0 entry
    """

    __slots__ = (
        "_self_managed_io",
        "arm_wake",
        "bus",
        "callbacks",
        "disarm_wake",
        "dma_enablers",
        "failures",
        "interrupts",
        "keeps_interrupts",
        "power_machine_state",
        "power_pageable",
        "power_state",
        "powered",
        "queues",
    )

    bus: "BusFunction"

    def prepare_power(
        self, callbacks: PnpPowerEventCallbacks, bus: "BusFunction", *, pageable: bool
    ) -> None:
        """Sets the attributes of this class; by the device's creation."""
        self.callbacks = callbacks
        self.bus = bus
        self.power_pageable = pageable
        self.keeps_interrupts = False
        self.interrupts: list[Interrupt] = []
        self.queues: list[IoQueue] = []
        self.dma_enablers: list[DmaPower] = []
        self.powered = False
        self.power_state = PowerDeviceState.D3_FINAL
        self.power_machine_state = DevicePowerState.OBJECT_CREATED
        self.failures: list[Failure] = []
        self._self_managed_io = SelfManagedIoState.CREATED
        # Set by the power policy for one D0 exit, and for the D0 entry that follows it.
        self.arm_wake: Callable[[], None] | None = None
        self.disarm_wake: Callable[[], None] | None = None

    @property
    def handle(self) -> "Device":
        """The device, for its callbacks."""
        return cast("Device", self)

    def call(self, step: str, callback: Callable[..., int | None] | None, *more: Any) -> int:
        """Calls a callback of the device, if it has it, and limits its time.

        :param step: its name
        :return: NTSTATUS
        """
        if callback is None:
            return STATUS_SUCCESS
        self.note(step)
        with self._kernel.watchdog.limit(step, self):
            return self._kernel.invoke_status(callback, self.handle, *more)

    def note(self, step: str) -> None:
        """Writes a step into the recorder."""
        kernel = self._kernel
        irql = kernel.irql()
        kernel.record((perf_counter_ns(), Event.PNP, NO_PROCESSOR, irql, self, step))

    def waiting_for_requests(self) -> Any:
        """Limits the wait for the requests that the driver owns, as a power IRP's time is."""
        return self._kernel.watchdog.limit(
            "the wait for requests that the driver owns", self, "RequestCompleted"
        )

    # The sequences

    def enter_power(self, previous: PowerDeviceState) -> Failure | None:
        """Enters D0.

        :param previous: the state that the device leaves
        :return: ``None``, or what failed; then the device is out of D0 again
        """
        self.failures.clear()
        self.power_machine_state = DevicePowerState.D0_STARTING
        self.bus.power_on()
        for step, undone_by in ENTRY:
            failure = step(self, previous)
            if failure is not None:
                for undo in EXIT[EXIT.index(undone_by) :] if undone_by else ():
                    undo(self, PowerDeviceState.D3_FINAL)
                self._leave(PowerDeviceState.D3_FINAL)
                return failure
        self.power_state = PowerDeviceState.D0
        self.power_machine_state = DevicePowerState.D0
        return None

    def exit_power(self, target: PowerDeviceState) -> None:
        """Leaves D0; what fails on the way is in `failures`.

        :param target: the state that the device enters
        """
        self.power_machine_state = DevicePowerState.GOTO_DX
        for step in EXIT:
            step(self, target)
        self._leave(target)

    def _leave(self, target: PowerDeviceState) -> None:
        self.bus.interrupts.disable()
        self.bus.power_off(target)
        self.power_state = target
        final = target is PowerDeviceState.D3_FINAL
        self.power_machine_state = DevicePowerState.STOPPED if final else DevicePowerState.DX

    def _record(self, step: str, status: int | None) -> None:
        if status is not None and not NT_SUCCESS(status):
            failure = Failure(step, status)
            self.failures.append(failure)
            self.note(f"failed: {failure}")

    # Steps of the entry: what failed, or None

    def _call_entry(
        self, step: str, callback: Callable[..., int | None] | None, *more: Any
    ) -> Failure | None:
        status = self.call(step, callback, *more)
        return None if NT_SUCCESS(status) else Failure(step, status)

    def _d0_entry(self, previous: PowerDeviceState) -> Failure | None:
        return self._call_entry("EvtDeviceD0Entry", self.callbacks.evt_device_d0_entry, previous)

    def _connect_interrupts(self, previous: PowerDeviceState) -> Failure | None:
        self.bus.interrupts.enable()
        for interrupt in self.interrupts:
            status = interrupt.connect()
            if not NT_SUCCESS(status):
                return Failure(f"EvtInterruptEnable of {interrupt}", status)
        return None

    def _post_interrupts_enabled(self, previous: PowerDeviceState) -> Failure | None:
        return self._call_entry(
            "EvtDeviceD0EntryPostInterruptsEnabled",
            self.callbacks.evt_device_d0_entry_post_interrupts_enabled,
            previous,
        )

    def _dma_up(self, previous: PowerDeviceState) -> Failure | None:
        for enabler in self.dma_enablers:
            status = enabler.power_up()
            if not NT_SUCCESS(status):
                return Failure(f"power-up of {enabler}", status)
        return None

    def _disarm_wake(self, previous: PowerDeviceState) -> Failure | None:
        disarm, self.disarm_wake = self.disarm_wake, None
        if disarm is not None:
            disarm()
        return None

    def _release_queues(self, previous: PowerDeviceState) -> Failure | None:
        self.powered = True
        for queue in tuple(self.queues):
            queue.power_up()
        return None

    def _start_self_managed_io(self, previous: PowerDeviceState) -> Failure | None:
        callbacks = self.callbacks
        if self._self_managed_io is SelfManagedIoState.CREATED:
            failure = self._call_entry(
                "EvtDeviceSelfManagedIoInit", callbacks.evt_device_self_managed_io_init
            )
        else:
            failure = self._call_entry(
                "EvtDeviceSelfManagedIoRestart", callbacks.evt_device_self_managed_io_restart
            )
        failed = failure is not None
        self._self_managed_io = SelfManagedIoState.FAILED if failed else SelfManagedIoState.STARTED
        return failure

    # Steps of the exit

    def _suspend_self_managed_io(self, target: PowerDeviceState) -> None:
        if self._self_managed_io is not SelfManagedIoState.STARTED:
            return
        step = "EvtDeviceSelfManagedIoSuspend"
        status = self.call(step, self.callbacks.evt_device_self_managed_io_suspend)
        self._record(step, status)
        failed = not NT_SUCCESS(status)
        self._self_managed_io = SelfManagedIoState.FAILED if failed else SelfManagedIoState.STOPPED

    def _stop_queues(self, target: PowerDeviceState) -> None:
        self.powered = False
        queues = tuple(self.queues)
        with self.waiting_for_requests():
            for queue in queues:
                queue.hold()
            for queue in queues:
                queue.power_down(IoStopAction.SUSPEND)

    def _arm_wake(self, target: PowerDeviceState) -> None:
        arm, self.arm_wake = self.arm_wake, None
        if arm is not None:
            arm()

    def _dma_down(self, target: PowerDeviceState) -> None:
        for enabler in self.dma_enablers:
            self._record(f"power-down of {enabler}", enabler.power_down())

    def _pre_interrupts_disabled(self, target: PowerDeviceState) -> None:
        step = "EvtDeviceD0ExitPreInterruptsDisabled"
        callback = self.callbacks.evt_device_d0_exit_pre_interrupts_disabled
        self._record(step, self.call(step, callback, target))

    def _disconnect_interrupts(self, target: PowerDeviceState) -> None:
        self.keeps_interrupts = not self.power_pageable and target is not PowerDeviceState.D3_FINAL
        for interrupt in reversed(self.interrupts):
            self._record(f"EvtInterruptDisable of {interrupt}", interrupt.disconnect())
        self.keeps_interrupts = False

    def _d0_exit(self, target: PowerDeviceState) -> None:
        step = "EvtDeviceD0Exit"
        self._record(step, self.call(step, self.callbacks.evt_device_d0_exit, target))

    # The end of self-managed I/O, by the PnP sequences

    def flush_self_managed_io(self) -> None:
        """Calls EvtDeviceSelfManagedIoFlush, if self-managed I/O was ever started."""
        if self._self_managed_io in {SelfManagedIoState.STOPPED, SelfManagedIoState.FAILED}:
            self.call(
                "EvtDeviceSelfManagedIoFlush", self.callbacks.evt_device_self_managed_io_flush
            )
            self._self_managed_io = SelfManagedIoState.FLUSHED

    def clean_up_self_managed_io(self) -> None:
        """Calls EvtDeviceSelfManagedIoCleanup, if self-managed I/O was ever started."""
        if self._self_managed_io is SelfManagedIoState.FLUSHED:
            self.call(
                "EvtDeviceSelfManagedIoCleanup", self.callbacks.evt_device_self_managed_io_cleanup
            )
        self._self_managed_io = SelfManagedIoState.FINAL


ExitStep = Callable[[PoweredDevice, PowerDeviceState], None]
EntryStep = Callable[[PoweredDevice, PowerDeviceState], Failure | None]

EXIT: tuple[ExitStep, ...] = (
    PoweredDevice._suspend_self_managed_io,
    PoweredDevice._stop_queues,
    PoweredDevice._arm_wake,
    PoweredDevice._dma_down,
    PoweredDevice._pre_interrupts_disabled,
    PoweredDevice._disconnect_interrupts,
    PoweredDevice._d0_exit,
)

ENTRY: tuple[tuple[EntryStep, ExitStep | None], ...] = (
    (PoweredDevice._d0_entry, None),
    (PoweredDevice._connect_interrupts, PoweredDevice._disconnect_interrupts),
    (PoweredDevice._post_interrupts_enabled, PoweredDevice._disconnect_interrupts),
    (PoweredDevice._dma_up, PoweredDevice._dma_down),
    (PoweredDevice._disarm_wake, None),
    (PoweredDevice._release_queues, None),
    (PoweredDevice._start_self_managed_io, PoweredDevice._stop_queues),
)
"""Each step, and the step of the exit at which its undoing begins."""
