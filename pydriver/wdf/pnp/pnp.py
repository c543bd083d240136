# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The PnP sequences of a device: start, stop, orderly and surprise removal, failure.

All steps run at PASSIVE_LEVEL on the caller's thread, which acts as the PnP manager, one sequence
at a time for each device (`sequence`). Three callbacks are not synchronized with them:
EvtDeviceQueryStop, EvtDeviceQueryRemove, and EvtDeviceSurpriseRemoval.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from threading import Lock, get_ident
from typing import TYPE_CHECKING, NoReturn

from pydriver.ke.mutex import Mutex
from pydriver.ke.status import (
    NT_SUCCESS,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_NOT_SUPPORTED,
    STATUS_SUCCESS,
    NtStatusError,
)
from pydriver.wdf.dma.device import DmaDevice
from pydriver.wdf.memory.resource import ResourceList
from pydriver.wdf.object.device_base import DeviceState
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.pnp_config import (
    DevicePnpState,
    DeviceRelationType,
    DeviceStateFlags,
    PowerDeviceState,
    SpecialFileType,
)
from pydriver.wdf.pnp.power import Failure, Power

if TYPE_CHECKING:
    from pydriver.wdf.interrupt.interrupt import Interrupt
    from pydriver.wdf.memory.resource import ResourceDescriptor

__all__ = ("Pnp",)

D3_FINAL = PowerDeviceState.D3_FINAL
_RUNNING = frozenset({DeviceState.STARTED, DeviceState.LOW_POWER})
_GONE = frozenset({DeviceState.SURPRISE_REMOVED, DeviceState.REMOVED})


class Pnp:
    """The PnP sequences of one device, and their state.

    :param device: the device; its state is changed here and nowhere else
    :param power: the power sequences of the device
    :param restart: a function that is called on another thread after the removal of a failed device
        that should be added again
    :ivar state: the state of the sequences, by the framework's name
    :ivar flags: the state that the driver has reported to the PnP manager
    :ivar sequence: the lock that is held while a sequence runs
    :ivar resources: the translated resources, from EvtDevicePrepareHardware to
        EvtDeviceReleaseHardware
    :ivar raw_resources: the raw resources
    :ivar started_changed: a function that is called when the device has started, or is torn down
    :ivar power_changed: a function that is called when the device has entered or left D0; set by
        the power policy
    """

    __slots__ = (
        "_device",
        "_failing",
        "_io",
        "_kernel",
        "_power",
        "_removing",
        "_restart",
        "_restarts",
        "_special_files",
        "_surprised",
        "flags",
        "power_changed",
        "raw_resources",
        "resources",
        "sequence",
        "started_changed",
        "state",
    )

    def __init__(
        self,
        device: DmaDevice,
        power: Power,
        *,
        restart: Callable[[], None],
        started_changed: Callable[[bool], None],
    ) -> None:
        self._device = device
        self._io = device.io
        self._kernel = device._kernel
        self._power = power
        self._restart = restart
        self.started_changed = started_changed
        self.power_changed: Callable[[], None] = _nothing
        self.sequence = Mutex(self._kernel)
        # These locks are test-and-set bits: a device fails once, and is pulled out once.
        self._failing = Lock()
        self._surprised = Lock()
        self._removing = False
        self._restarts = False
        self.flags = DeviceStateFlags()
        self._special_files: Counter[SpecialFileType] = Counter()
        self.state = DevicePnpState.OBJECT_CREATED
        self._set_resources(())
        device.io.file_closed = self.remove_if_unused

    def _set_resources(self, descriptors: Sequence["ResourceDescriptor"]) -> None:
        self.raw_resources = ResourceList(self._device, descriptors)
        self.resources = ResourceList(self._device, descriptors)

    @property
    def _interrupts(self) -> "list[Interrupt]":
        return self._power.bus.interrupts.interrupts

    # Start

    def start(self) -> None:
        """Starts the device, for the first time or after :meth:`stop` [IRP_MN_START_DEVICE].

        :raises NtStatusError: a step failed; the steps before it have been undone
        """
        with self.sequence:
            if self._device.state not in {DeviceState.INIT, DeviceState.STOPPED}:
                self._wrong_state()
            first = self._device.state is DeviceState.INIT
            self._power.note("start")
            self.state = DevicePnpState.INIT_STARTING if first else DevicePnpState.RESTARTING
            self._capture_resources()
            failure = self._prepare_hardware()
            if failure is None:
                self._device.state = DeviceState.STARTING
                self.state = DevicePnpState.HARDWARE_AVAILABLE
                self._compute_synchronize_irqls()
                failure = self._power.enter(D3_FINAL)
            if failure is not None:
                self._power.note(f"start failed: {failure}")
                self._fail_with(failure, "does not start")
            self._device.state = DeviceState.STARTED
            self.state = DevicePnpState.STARTED
            self.started_changed(True)
            self.power_changed()

    def _capture_resources(self) -> None:
        try:
            descriptors = self._power.bus.assign(self._interrupts)
        except BaseException:
            self._power.bus.release(rebalance=False)
            self._device.state = DeviceState.FAILED
            self.state = DevicePnpState.FAILED
            raise
        self._drop_resources()
        self._set_resources(descriptors)

    def _prepare_hardware(self) -> Failure | None:
        self._device.state = DeviceState.PREPARING
        step = "EvtDevicePrepareHardware"
        with self._readable_resources():
            status = self._power.call(
                step,
                self._power.callbacks.evt_device_prepare_hardware,
                self.raw_resources,
                self.resources,
            )
        if status == STATUS_NOT_SUPPORTED:
            self._kernel.verifier.violation(
                "PrepareHardwareStatus",
                f"{step} returned STATUS_NOT_SUPPORTED",
                self._device,
            )
        return None if NT_SUCCESS(status) else Failure(step, status)

    @contextlib.contextmanager
    def _readable_resources(self) -> Iterator[None]:
        lists = (self.raw_resources, self.resources)
        for each in lists:
            each.readable = True
        try:
            yield
        finally:
            for each in lists:
                each.readable = False

    def _compute_synchronize_irqls(self) -> None:
        groups: dict[int, list[Interrupt]] = {}
        for interrupt in self._interrupts:
            lock = interrupt.config.spin_lock
            key = id(interrupt) if lock is None else id(lock)
            groups.setdefault(key, []).append(interrupt)
        for group in groups.values():
            highest = max(interrupt.irql for interrupt in group)
            for interrupt in group:
                interrupt.synchronize_irql = highest

    # D0 exit and D0 entry, for idle and for sleep

    def exit_d0(self, target: PowerDeviceState = PowerDeviceState.D3) -> None:
        """Makes the device leave D0, as for idle or sleep.

        :param target: the new power state: D1, D2 or D3
        :raises NtStatusError: it is not in D0; or a callback failed, and with it the device
        """
        with self.sequence:
            if self._device.state is not DeviceState.STARTED:
                self._wrong_state()
            self.leave_d0(target)

    def leave_d0(self, target: PowerDeviceState) -> None:
        """Like :meth:`exit_d0`, for a caller that holds `sequence` while the device is in D0."""
        self._power.note(f"exit D0 to {target.name}")
        self._device.state = DeviceState.LOW_POWER
        self._power.exit(target)
        if self._power.failures:
            self._fail_with(self._power.failures[0], "does not leave D0")
        self.power_changed()

    def enter_d0(self, previous: PowerDeviceState | None = None) -> None:
        """Makes the device return to D0.

        :param previous: the state that is passed to EvtDeviceD0Entry; ``None``: the device's state
        :raises NtStatusError: it is not in a low-power state; or a callback failed, and with it
            the device
        """
        with self.sequence:
            if self._device.state is not DeviceState.LOW_POWER:
                self._wrong_state()
            self.return_to_d0(previous)

    def return_to_d0(self, previous: PowerDeviceState | None = None) -> None:
        """Like :meth:`enter_d0`, for a caller that holds `sequence` while the device is asleep."""
        previous = self._power.state if previous is None else previous
        self._power.note(f"enter D0 from {previous.name}")
        failure = self._power.enter(previous)
        if failure is not None:
            self._fail_with(failure, "does not return to D0")
        self._device.state = DeviceState.STARTED
        self.power_changed()

    # Rebalance

    def query_stop(self) -> int:
        """Asks the driver whether the device may be stopped [IRP_MN_QUERY_STOP_DEVICE]."""
        self.state = DevicePnpState.QUERY_STOP_ASK_DRIVER
        return self._query(
            "EvtDeviceQueryStop",
            self._power.callbacks.evt_device_query_stop,
            DevicePnpState.QUERY_STOP_PENDING,
        )

    def stop(self) -> None:
        """Stops the device, if the driver agrees, so that :meth:`start` can give it new resources.

        :raises NtStatusError: the device does not run; the driver vetoes; or a callback failed, and
            with it the device
        """
        if self._device.state not in _RUNNING:
            self._wrong_state()
        status = self.query_stop()
        if not NT_SUCCESS(status):
            raise NtStatusError(status, f"{self._device} does not stop")
        with self.sequence:
            if self._device.state not in _RUNNING:
                self._wrong_state()
            self._power.note("stop")
            self.state = DevicePnpState.STARTED_STOPPING
            if self._device.state is DeviceState.STARTED:
                self._power.exit(D3_FINAL)
            self._device.state = DeviceState.STOPPED
            if self._power.failures:
                self._fail_with(self._power.failures[0], "does not stop")
            self._release_hardware(rebalance=True)
            self.state = DevicePnpState.STOPPED
            self.power_changed()

    def rebalance(self) -> None:
        """Gives the device other resources: :meth:`stop` and :meth:`start`.

        :raises NtStatusError: either of them failed
        """
        self.stop()
        self.start()

    def _query(self, step: str, callback: object, pending: DevicePnpState) -> int:
        static = self.flags.not_disableable is TriState.TRUE or self._special_files.total()
        status = STATUS_INVALID_DEVICE_REQUEST if static else STATUS_SUCCESS
        if not static:
            status = self._power.call(step, callback)  # type: ignore[arg-type]
        self.state = pending if NT_SUCCESS(status) else DevicePnpState.STARTED
        return status

    # Removal

    def query_remove(self) -> int:
        """Asks the driver whether the device may be removed [IRP_MN_QUERY_REMOVE_DEVICE]."""
        self.state = DevicePnpState.QUERY_REMOVE_ASK_DRIVER
        return self._query(
            "EvtDeviceQueryRemove",
            self._power.callbacks.evt_device_query_remove,
            DevicePnpState.QUERY_REMOVE_PENDING,
        )

    def cancel_query(self) -> None:
        """Cancels a stop or removal that something else vetoed [IRP_MN_CANCEL_REMOVE_DEVICE]."""
        self.state = DevicePnpState.STARTED

    def remove(self, *, query: bool = True) -> None:
        """Removes and deletes the device in an orderly way. Idempotent.

        Handles that are still open are closed.

        :param query: whether to ask the driver first, if the device runs
        :raises NtStatusError: the driver vetoes
        """
        if query and self._device.state in _RUNNING:
            status = self.query_remove()
            if not NT_SUCCESS(status):
                raise NtStatusError(status, f"{self._device} is not to be removed")
        with self.sequence:
            if self._device.state is DeviceState.REMOVED:
                return
            self._removing = True
            self._power.note("remove")
            if self._device.state is not DeviceState.SURPRISE_REMOVED:
                self.state = DevicePnpState.STARTED_REMOVING
                self._tear_down()
            files = tuple(self._io.files)
            for file in files:
                file.close()
            self._purge_queues(power_managed=False)
            for file in files:
                file.gone.wait()
            self._power.clean_up_self_managed_io()
            self._device.state = DeviceState.REMOVED
            self.state = DevicePnpState.REMOVED
        self._device._delete()
        if self._restarts:
            self._kernel.threads.run(self._restart)

    def surprise_remove(self) -> None:
        """Handles the loss of the device [IRP_MN_SURPRISE_REMOVAL].

        The rest of the device object goes when the last handle is closed.
        """
        if not self._surprised.acquire(blocking=False):
            return
        self._device.surprised_thread = get_ident()
        self._power.call(
            "EvtDeviceSurpriseRemoval", self._power.callbacks.evt_device_surprise_removal
        )
        self._device.surprised_thread = None
        with self.sequence:
            if self._device.state in _GONE:
                return
            self._power.note("surprise removal")
            self.state = DevicePnpState.SURPRISE_REMOVE
            self._tear_down()
            self._device.state = DeviceState.SURPRISE_REMOVED
        self.remove_if_unused()

    def remove_if_unused(self) -> None:
        """Completes a surprise removal when all handles are closed."""
        if (
            self._device.state is DeviceState.SURPRISE_REMOVED
            and not self._io.files
            and not self._removing
        ):
            self.remove(query=False)

    def _tear_down(self) -> None:
        if self._device.state is DeviceState.STARTED:
            self._power.exit(D3_FINAL)
        self._power.disarm(D3_FINAL)
        if self._device.state in _RUNNING:
            self._release_hardware()
        self.started_changed(False)
        self._purge_queues(power_managed=True)
        self._power.flush_self_managed_io()
        self._power.bus.forget()
        self._device.state = DeviceState.STOPPED
        self.power_changed()

    def _purge_queues(self, *, power_managed: bool) -> None:
        for queue in tuple(self._io.queues):
            if queue.config.power_managed == power_managed:
                with self._power.waiting_for_requests():
                    queue.shut_down()

    def _release_hardware(self, *, rebalance: bool = False) -> None:
        step = "EvtDeviceReleaseHardware"
        with self._readable_resources():
            status = self._power.call(
                step, self._power.callbacks.evt_device_release_hardware, self.resources
            )
        self._power.record(step, status)
        for interrupt in reversed(self._interrupts[:]):
            if interrupt.prepared:
                self._interrupts.remove(interrupt)
                interrupt._delete()
            else:
                interrupt.assign(None)
        self._power.bus.release(rebalance=rebalance)
        self._drop_resources()
        self._set_resources(())

    def _drop_resources(self) -> None:
        self.raw_resources._delete()
        self.resources._delete()

    # Failure

    def _fail_with(self, failure: Failure, what: str) -> NoReturn:
        """Ends the use of the hardware after a failed sequence; out of D0."""
        self._release_hardware()
        self._device.state = DeviceState.FAILED
        self.state = DevicePnpState.FAILED
        self.power_changed()
        raise NtStatusError(failure.status, f"{self._device} {what}: {failure.step}")

    def _wrong_state(self) -> NoReturn:
        raise NtStatusError(
            STATUS_INVALID_DEVICE_STATE, f"{self._device} is {self._device.state.value}"
        )

    def fail_later(self, *, restart: bool) -> None:
        """Makes another thread remove the device; at IRQL <= DISPATCH_LEVEL.

        :param restart: whether the device should be added again
        """
        if not self._failing.acquire(blocking=False):
            return
        self._restarts = restart
        self._kernel.threads.run(self.surprise_remove)

    # Other requests of the PnP manager

    def usage_notification(self, kind: SpecialFileType, *, in_path: bool) -> int:
        """Notifies of a special file on the device [IRP_MN_DEVICE_USAGE_NOTIFICATION].

        :param kind: the kind of file
        :param in_path: whether the file is put on the device; ``False``: it is taken off
        :return: an NTSTATUS: the driver may refuse
        """
        callbacks = self._power.callbacks
        if callbacks.evt_device_usage_notification_ex is not None:
            status = self._power.call(
                "EvtDeviceUsageNotificationEx",
                callbacks.evt_device_usage_notification_ex,
                kind,
                in_path,
            )
            if not NT_SUCCESS(status):
                return status
        elif callbacks.evt_device_usage_notification is not None:
            self._power.call(
                "EvtDeviceUsageNotification", callbacks.evt_device_usage_notification, kind, in_path
            )
        self._special_files[kind] += 1 if in_path else -1
        return STATUS_SUCCESS

    def query_relations(self, relation_type: DeviceRelationType) -> tuple[object, ...]:
        """The devices that are related to this one: none [IRP_MN_QUERY_DEVICE_RELATIONS]."""
        self._power.call(
            "EvtDeviceRelationsQuery",
            self._power.callbacks.evt_device_relations_query,
            relation_type,
        )
        return ()


def _nothing() -> None:
    """The default of `power_changed`, until the device has a power policy."""
