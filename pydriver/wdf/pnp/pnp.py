# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The PnP sequences of a device: start, stop, removal in order and by surprise, failure.

All steps run at PASSIVE_LEVEL on the caller's thread, which is the PnP manager's, and one sequence
at a time for each device (`_sequence`). Three callbacks are not synchronized with them: those that
ask the driver before a stop and before a removal, and EvtDeviceSurpriseRemoval.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
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
from pydriver.wdf.memory.resource import ResourceList
from pydriver.wdf.object.tri_state import TriState
from pydriver.wdf.pnp.pnp_config import (
    DevicePnpState,
    DeviceState,
    DeviceStateFlags,
    PowerDeviceState,
    SpecialFileType,
)
from pydriver.wdf.pnp.power import Failure, PoweredDevice

if TYPE_CHECKING:
    from pydriver.wdf.device.interface import DeviceInterface
    from pydriver.wdf.interrupt.interrupt import Interrupt
    from pydriver.wdf.io.file import File

__all__ = ("PnpDevice",)

D3_FINAL = PowerDeviceState.D3_FINAL
_RUNNING = frozenset({DeviceState.STARTED, DeviceState.LOW_POWER})
_GONE = frozenset({DeviceState.SURPRISE_REMOVED, DeviceState.REMOVED})


class PnpDevice(PoweredDevice):
    """What of a device its PnP sequences are about.

    :ivar state: where it is in its life
    :ivar pnp_state: the same, by the framework's name
    :ivar resources: the translated resources, from EvtDevicePrepareHardware to
        EvtDeviceReleaseHardware
    :ivar raw_resources: the raw ones
    :ivar files: open handles
    :ivar interfaces: device interfaces, in the order of creation
    :ivar surprised_thread: identifier of the thread that is in EvtDeviceSurpriseRemoval
    """

    __slots__ = (
        "_failing",
        "_flags",
        "_removing",
        "_restart",
        "_sequence",
        "_special_files",
        "_surprised",
        "files",
        "interfaces",
        "pnp_state",
        "raw_resources",
        "resources",
        "state",
        "surprised_thread",
    )

    def prepare_pnp(self) -> None:
        """Sets the attributes of this class; by the device's creation."""
        self._sequence = Mutex(self._kernel)
        # Locks used as test-and-set bits: a device fails once, and is pulled out once.
        self._failing = Lock()
        self._surprised = Lock()
        self.surprised_thread: int | None = None
        self._removing = False
        self._restart = False
        self._flags = DeviceStateFlags()
        self._special_files: Counter[SpecialFileType] = Counter()
        self.state = DeviceState.INIT
        self.pnp_state = DevicePnpState.OBJECT_CREATED
        self.files: list[File] = []
        self.interfaces: list[DeviceInterface] = []
        self._set_resources(())

    def _set_resources(self, descriptors: tuple[object, ...]) -> None:
        self.raw_resources = ResourceList(self.handle, descriptors)  # type: ignore[arg-type]
        self.resources = ResourceList(self.handle, descriptors)  # type: ignore[arg-type]

    @property
    def initializing(self) -> bool:
        """EvtDriverDeviceAdd has not returned yet, or the device has not been started."""
        return self.state is DeviceState.INIT

    @property
    def preparing_hardware(self) -> bool:
        """EvtDevicePrepareHardware is running."""
        return self.state is DeviceState.PREPARING

    # Start

    def start(self) -> None:
        """Starts the device, for the first time or after :meth:`stop` [IRP_MN_START_DEVICE].

        :raises NtStatusError: a step failed; what was done is undone
        """
        with self._sequence:
            if self.state not in {DeviceState.INIT, DeviceState.STOPPED}:
                self._wrong_state()
            first = self.state is DeviceState.INIT
            self.note("start")
            self.pnp_state = DevicePnpState.INIT_STARTING if first else DevicePnpState.RESTARTING
            self._capture_resources()
            failure = self._prepare_hardware()
            if failure is None:
                self.state = DeviceState.STARTING
                self.pnp_state = DevicePnpState.HARDWARE_AVAILABLE
                self._compute_synchronize_irqls()
                failure = self.enter_power(D3_FINAL)
            if failure is not None:
                self.note(f"start failed: {failure}")
                self._fail_with(failure, "does not start")
            self.state = DeviceState.STARTED
            self.pnp_state = DevicePnpState.STARTED
            for interface in self.interfaces:
                interface.set_device_started(started=True)
            self.power_changed()

    def _capture_resources(self) -> None:
        try:
            descriptors = self.bus.assign(self.interrupts)
        except BaseException:
            self.bus.release(rebalance=False)
            self.state = DeviceState.FAILED
            self.pnp_state = DevicePnpState.FAILED
            raise
        self._drop_resources()
        self._set_resources(descriptors)

    def _prepare_hardware(self) -> Failure | None:
        self.state = DeviceState.PREPARING
        step = "EvtDevicePrepareHardware"
        with self._readable_resources():
            status = self.call(
                step,
                self.callbacks.evt_device_prepare_hardware,
                self.raw_resources,
                self.resources,
            )
        if status == STATUS_NOT_SUPPORTED:
            self._kernel.verifier.violation(
                "PrepareHardwareStatus", f"{step} returned STATUS_NOT_SUPPORTED", self
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
        for interrupt in self.interrupts:
            lock = interrupt.config.spin_lock
            key = id(interrupt) if lock is None else id(lock)
            groups.setdefault(key, []).append(interrupt)
        for group in groups.values():
            highest = max(interrupt.irql for interrupt in group)
            for interrupt in group:
                interrupt.synchronize_irql = highest

    # Leaving D0 and returning, for idle and for sleep

    def exit_d0(self, target: PowerDeviceState = PowerDeviceState.D3) -> None:
        """Has the device leave D0, as for idle or sleep.

        :param target: D1, D2 or D3
        :raises NtStatusError: it is not in D0; or a callback failed: the device has failed then
        """
        with self._sequence:
            if self.state is not DeviceState.STARTED:
                self._wrong_state()
            self.leave_d0(target)

    def leave_d0(self, target: PowerDeviceState) -> None:
        """Does :meth:`exit_d0` for one who has the sequence, in D0."""
        self.note(f"exit D0 to {target.name}")
        self.state = DeviceState.LOW_POWER
        self.exit_power(target)
        if self.failures:
            self._fail_with(self.failures[0], "does not leave D0")
        self.power_changed()

    def enter_d0(self, previous: PowerDeviceState | None = None) -> None:
        """Has the device return to D0.

        :param previous: state that EvtDeviceD0Entry is told; ``None``: the one that it is in
        :raises NtStatusError: it is not in a low-power state; or a callback failed: the device
            has failed then
        """
        with self._sequence:
            if self.state is not DeviceState.LOW_POWER:
                self._wrong_state()
            self.return_to_d0(previous)

    def return_to_d0(self, previous: PowerDeviceState | None = None) -> None:
        """Does :meth:`enter_d0` for one who has the sequence, out of D0."""
        previous = self.power_state if previous is None else previous
        self.note(f"enter D0 from {previous.name}")
        failure = self.enter_power(previous)
        if failure is not None:
            self._fail_with(failure, "does not return to D0")
        self.state = DeviceState.STARTED
        self.power_changed()

    def power_changed(self) -> None:
        """The device has entered or left D0; for the power policy."""

    # Rebalance

    def query_stop(self) -> int:
        """Asks the driver whether the device may be stopped [IRP_MN_QUERY_STOP_DEVICE]."""
        self.pnp_state = DevicePnpState.QUERY_STOP_ASK_DRIVER
        return self._query(
            "EvtDeviceQueryStop",
            self.callbacks.evt_device_query_stop,
            DevicePnpState.QUERY_STOP_PENDING,
        )

    def stop(self) -> None:
        """Stops the device for new resources, if the driver agrees; :meth:`start` gives them.

        :raises NtStatusError: the device does not run; the driver vetoes; or a callback failed:
            the device has failed then
        """
        if self.state not in _RUNNING:
            self._wrong_state()
        status = self.query_stop()
        if not NT_SUCCESS(status):
            raise NtStatusError(status, f"{self} does not stop")
        with self._sequence:
            if self.state not in _RUNNING:
                self._wrong_state()
            self.note("stop")
            self.pnp_state = DevicePnpState.STARTED_STOPPING
            if self.state is DeviceState.STARTED:
                self.exit_power(D3_FINAL)
            self.state = DeviceState.STOPPED
            if self.failures:
                self._fail_with(self.failures[0], "does not stop")
            self._release_hardware(rebalance=True)
            self.pnp_state = DevicePnpState.STOPPED
            self.power_changed()

    def rebalance(self) -> None:
        """Gives the device other resources: :meth:`stop` and :meth:`start`.

        :raises NtStatusError: as these two do
        """
        self.stop()
        self.start()

    def _query(self, step: str, callback: object, pending: DevicePnpState) -> int:
        static = self._flags.not_disableable is TriState.TRUE or self._special_files.total()
        status = STATUS_INVALID_DEVICE_REQUEST if static else STATUS_SUCCESS
        if not static:
            status = self.call(step, callback)  # type: ignore[arg-type]
        self.pnp_state = pending if NT_SUCCESS(status) else DevicePnpState.STARTED
        return status

    # Removal

    def query_remove(self) -> int:
        """Asks the driver whether the device may be removed [IRP_MN_QUERY_REMOVE_DEVICE]."""
        self.pnp_state = DevicePnpState.QUERY_REMOVE_ASK_DRIVER
        return self._query(
            "EvtDeviceQueryRemove",
            self.callbacks.evt_device_query_remove,
            DevicePnpState.QUERY_REMOVE_PENDING,
        )

    def cancel_query(self) -> None:
        """Something else has vetoed: the device goes on [IRP_MN_CANCEL_REMOVE_DEVICE]."""
        self.pnp_state = DevicePnpState.STARTED

    def remove(self, *, query: bool = True) -> None:
        """Removes the device in order, and deletes it. Idempotent.

        Handles that are still open are closed.

        :param query: ask the driver first, if the device runs
        :raises NtStatusError: the driver vetoes
        """
        if query and self.state in _RUNNING:
            status = self.query_remove()
            if not NT_SUCCESS(status):
                raise NtStatusError(status, f"{self} is not to be removed")
        with self._sequence:
            if self.state is DeviceState.REMOVED:
                return
            self._removing = True
            self.note("remove")
            if self.state is not DeviceState.SURPRISE_REMOVED:
                self.pnp_state = DevicePnpState.STARTED_REMOVING
                self._tear_down()
            files = tuple(self.files)
            for file in files:
                file.close()
            self._purge_queues(power_managed=False)
            for file in files:
                file.gone.wait()
            self.clean_up_self_managed_io()
            self.state = DeviceState.REMOVED
            self.pnp_state = DevicePnpState.REMOVED
        self._delete()
        if self._restart:
            device = self.handle
            self._kernel.threads.run(lambda: device.driver.restart_device(device))

    def surprise_remove(self) -> None:
        """Takes note that the device has gone [IRP_MN_SURPRISE_REMOVAL].

        What is left of it goes when the last handle is closed.
        """
        if not self._surprised.acquire(blocking=False):
            return
        self.surprised_thread = get_ident()
        self.call("EvtDeviceSurpriseRemoval", self.callbacks.evt_device_surprise_removal)
        self.surprised_thread = None
        with self._sequence:
            if self.state in _GONE:
                return
            self.note("surprise removal")
            self.pnp_state = DevicePnpState.SURPRISE_REMOVE
            self._tear_down()
            self.state = DeviceState.SURPRISE_REMOVED
        self.remove_if_unused()

    def remove_if_unused(self) -> None:
        """Ends a surprise removal when no handle is open any more."""
        if self.state is DeviceState.SURPRISE_REMOVED and not self.files and not self._removing:
            self.remove(query=False)

    def _tear_down(self) -> None:
        if self.state is DeviceState.STARTED:
            self.exit_power(D3_FINAL)
        self._disarm_wake(D3_FINAL)
        if self.state in _RUNNING:
            self._release_hardware()
        for interface in self.interfaces:
            interface.set_device_started(started=False)
        self._purge_queues(power_managed=True)
        self.flush_self_managed_io()
        self.bus.forget()
        self.state = DeviceState.STOPPED
        self.power_changed()

    def _purge_queues(self, *, power_managed: bool) -> None:
        for queue in tuple(self.queues):
            if queue.config.power_managed == power_managed:
                with self.waiting_for_requests():
                    queue.shut_down()

    def _release_hardware(self, *, rebalance: bool = False) -> None:
        step = "EvtDeviceReleaseHardware"
        with self._readable_resources():
            status = self.call(step, self.callbacks.evt_device_release_hardware, self.resources)
        self._record(step, status)
        for interrupt in reversed(self.interrupts[:]):
            if interrupt.prepared:
                self.interrupts.remove(interrupt)
                interrupt._delete()
            else:
                interrupt.assign(None)
        self.bus.release(rebalance=rebalance)
        self._drop_resources()
        self._set_resources(())

    def _drop_resources(self) -> None:
        self.raw_resources._delete()
        self.resources._delete()

    # Failure

    def _fail_with(self, failure: Failure, what: str) -> NoReturn:
        """Ends the use of the hardware after a failed sequence; out of D0."""
        self._release_hardware()
        self.state = DeviceState.FAILED
        self.pnp_state = DevicePnpState.FAILED
        self.power_changed()
        raise NtStatusError(failure.status, f"{self} {what}: {failure.step}")

    def _wrong_state(self) -> NoReturn:
        raise NtStatusError(STATUS_INVALID_DEVICE_STATE, f"{self} is {self.state.value}")

    def fail_later(self, *, restart: bool) -> None:
        """Has another thread remove the device; at IRQL <= DISPATCH_LEVEL."""
        if not self._failing.acquire(blocking=False):
            return
        self._restart = restart
        self._kernel.threads.run(self.surprise_remove)
