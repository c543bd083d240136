# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""D0 entry and D0 exit of a device, step by step [powerstatemachine.cpp].

The steps are in two tables, `ENTRY` and `EXIT`, in the order of Windows. When a step of the entry
fails, the exit undoes it, from the step on that is named in the row of the entry. When a step of
the exit fails, the failure is noted, and the remaining steps still run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from pydriver.ke.status import NT_SUCCESS, STATUS_SUCCESS, status_name
from pydriver.trace import Event
from pydriver.trace.recorder import NO_PROCESSOR
from pydriver.wdf.dma.device import DmaDevice
from pydriver.wdf.io.queue_config import IoStopAction
from pydriver.wdf.pnp.pnp_config import DevicePowerState, PnpPowerEventCallbacks, PowerDeviceState

if TYPE_CHECKING:
    from pydriver.wdf.pnp.bus import BusFunction

__all__ = ("Failure", "Power", "SelfManagedIoState")


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that failed.

    :ivar step: the name of the callback, or a description of the step
    :ivar status: its NTSTATUS
    """

    step: str
    status: int

    def __str__(self) -> str:
        return f"{self.step}: {status_name(self.status)}"


class SelfManagedIoState(Enum):
    """The states of self-managed I/O [selfmanagediostatemachine.cpp]."""

    CREATED = "created"
    STARTED = "started"
    STOPPED = "stopped"
    FAILED = "failed"
    FLUSHED = "flushed"
    FINAL = "final"


class Power:
    """The power sequences of one device.

    :param device: the device, with its I/O package, interrupt resources and DMA enablers
    :param bus: the bus driver's view of the device
    :param callbacks: the callbacks of the driver
    :param pageable: whether the power callbacks may touch pageable memory
    :ivar state: the power state of the device
    :ivar machine_state: the state of the sequences, by the framework's name
    :ivar failures: the steps of D0 exits that failed since the last D0 entry
    :ivar arm_wake: the callback that arms wake, set by the power policy for one D0 exit
    :ivar disarm_wake: the callback that disarms it, set by the power policy for the D0 entry that
        follows
    """

    __slots__ = (
        "_device",
        "_io",
        "_kernel",
        "_pageable",
        "_self_managed_io",
        "arm_wake",
        "bus",
        "callbacks",
        "disarm_wake",
        "failures",
        "machine_state",
        "state",
    )

    def __init__(
        self,
        device: DmaDevice,
        bus: "BusFunction",
        callbacks: PnpPowerEventCallbacks,
        *,
        pageable: bool,
    ) -> None:
        self._device = device
        self._io = device.io
        self._kernel = device._kernel
        self.callbacks = callbacks
        self.bus = bus
        self._pageable = pageable
        self.state = PowerDeviceState.D3_FINAL
        self.machine_state = DevicePowerState.OBJECT_CREATED
        self.failures: list[Failure] = []
        self._self_managed_io = SelfManagedIoState.CREATED
        self.arm_wake: Callable[[], None] | None = None
        self.disarm_wake: Callable[[], None] | None = None

    def call(self, step: str, callback: Callable[..., int | None] | None, *more: Any) -> int:
        """Calls a callback of the device with a limit on its time.

        :param step: the name of the callback
        :param callback: the callback; ``None``: the device does not have it
        :param more: its arguments after the device
        :return: its NTSTATUS
        """
        if callback is None:
            return STATUS_SUCCESS
        self.note(step)
        with self._kernel.watchdog.limit(step, self._device):
            return self._kernel.invoke_status(callback, self._device, *more)

    def note(self, step: str) -> None:
        """Records a step."""
        kernel = self._kernel
        irql = kernel.irql()
        kernel.record((perf_counter_ns(), Event.PNP, NO_PROCESSOR, irql, self._device, step))

    def waiting_for_requests(self) -> Any:
        """Limits the wait for the requests that the driver owns, like the time of a power IRP."""
        return self._kernel.watchdog.limit(
            "the wait for requests that the driver owns", self._device, "RequestCompleted"
        )

    # The sequences

    def enter(self, previous: PowerDeviceState) -> Failure | None:
        """Enters D0.

        :param previous: the state that the device leaves
        :return: the failure, after which the device is out of D0 again; ``None``: it is in D0
        """
        self.failures.clear()
        self.machine_state = DevicePowerState.D0_STARTING
        self.bus.power_on()
        for step, undone_by in ENTRY:
            failure = step(self, previous)
            if failure is not None:
                for undo in EXIT[EXIT.index(undone_by) :] if undone_by else ():
                    undo(self, PowerDeviceState.D3_FINAL)
                self._leave(PowerDeviceState.D3_FINAL)
                return failure
        self.state = PowerDeviceState.D0
        self.machine_state = DevicePowerState.D0
        return None

    def exit(self, target: PowerDeviceState) -> None:
        """Leaves D0; steps that fail are in `failures`.

        :param target: the state that the device enters
        """
        self.machine_state = DevicePowerState.GOTO_DX
        for step in EXIT:
            step(self, target)
        self._leave(target)

    def _leave(self, target: PowerDeviceState) -> None:
        self.bus.interrupts.disable()
        self.bus.power_off(target)
        self.state = target
        final = target is PowerDeviceState.D3_FINAL
        self.machine_state = DevicePowerState.STOPPED if final else DevicePowerState.DX

    def record(self, step: str, status: int | None) -> None:
        """Notes a step of an exit that has failed.

        :param step: the name of the callback, or a description of the step
        :param status: its NTSTATUS; ``None``: the step had nothing to do
        """
        if status is not None and not NT_SUCCESS(status):
            failure = Failure(step, status)
            self.failures.append(failure)
            self.note(f"failed: {failure}")

    # Steps of the entry, which return the failure or None

    def _call_entry(
        self, step: str, callback: Callable[..., int | None] | None, *more: Any
    ) -> Failure | None:
        status = self.call(step, callback, *more)
        return None if NT_SUCCESS(status) else Failure(step, status)

    def _d0_entry(self, previous: PowerDeviceState) -> Failure | None:
        return self._call_entry("EvtDeviceD0Entry", self.callbacks.evt_device_d0_entry, previous)

    def _connect_interrupts(self, previous: PowerDeviceState) -> Failure | None:
        self.bus.interrupts.enable()
        for interrupt in self.bus.interrupts.interrupts:
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
        for enabler in self._device.dma_enablers:
            status = enabler.power_up()
            if not NT_SUCCESS(status):
                return Failure(f"power-up of {enabler}", status)
        return None

    def disarm(self, previous: PowerDeviceState) -> Failure | None:
        """Disarms wake, if the power policy has armed it."""
        disarm, self.disarm_wake = self.disarm_wake, None
        if disarm is not None:
            disarm()
        return None

    def _release_queues(self, previous: PowerDeviceState) -> Failure | None:
        self._io.powered = True
        for queue in tuple(self._io.queues):
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
        self.record(step, status)
        failed = not NT_SUCCESS(status)
        self._self_managed_io = SelfManagedIoState.FAILED if failed else SelfManagedIoState.STOPPED

    def _stop_queues(self, target: PowerDeviceState) -> None:
        self._io.powered = False
        queues = tuple(self._io.queues)
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
        for enabler in self._device.dma_enablers:
            self.record(f"power-down of {enabler}", enabler.power_down())

    def _pre_interrupts_disabled(self, target: PowerDeviceState) -> None:
        step = "EvtDeviceD0ExitPreInterruptsDisabled"
        callback = self.callbacks.evt_device_d0_exit_pre_interrupts_disabled
        self.record(step, self.call(step, callback, target))

    def _disconnect_interrupts(self, target: PowerDeviceState) -> None:
        resources = self.bus.interrupts
        final = target is PowerDeviceState.D3_FINAL
        resources.keeps_connections = not self._pageable and not final
        for interrupt in reversed(resources.interrupts):
            self.record(f"EvtInterruptDisable of {interrupt}", interrupt.disconnect())
        resources.keeps_connections = False

    def _d0_exit(self, target: PowerDeviceState) -> None:
        step = "EvtDeviceD0Exit"
        self.record(step, self.call(step, self.callbacks.evt_device_d0_exit, target))

    # The end of self-managed I/O, for the PnP sequences

    def flush_self_managed_io(self) -> None:
        """Calls EvtDeviceSelfManagedIoFlush, if self-managed I/O was started before."""
        if self._self_managed_io in {SelfManagedIoState.STOPPED, SelfManagedIoState.FAILED}:
            self.call(
                "EvtDeviceSelfManagedIoFlush", self.callbacks.evt_device_self_managed_io_flush
            )
            self._self_managed_io = SelfManagedIoState.FLUSHED

    def clean_up_self_managed_io(self) -> None:
        """Calls EvtDeviceSelfManagedIoCleanup, if self-managed I/O was started before."""
        if self._self_managed_io is SelfManagedIoState.FLUSHED:
            self.call(
                "EvtDeviceSelfManagedIoCleanup", self.callbacks.evt_device_self_managed_io_cleanup
            )
        self._self_managed_io = SelfManagedIoState.FINAL


ExitStep = Callable[[Power, PowerDeviceState], None]
EntryStep = Callable[[Power, PowerDeviceState], Failure | None]

EXIT: tuple[ExitStep, ...] = (
    Power._suspend_self_managed_io,
    Power._stop_queues,
    Power._arm_wake,
    Power._dma_down,
    Power._pre_interrupts_disabled,
    Power._disconnect_interrupts,
    Power._d0_exit,
)

ENTRY: tuple[tuple[EntryStep, ExitStep | None], ...] = (
    (Power._d0_entry, None),
    (Power._connect_interrupts, Power._disconnect_interrupts),
    (Power._post_interrupts_enabled, Power._disconnect_interrupts),
    (Power._dma_up, Power._dma_down),
    (Power.disarm, None),
    (Power._release_queues, None),
    (Power._start_self_managed_io, Power._stop_queues),
)
"""Each step of the entry, and the step of the exit from which on it is undone."""
