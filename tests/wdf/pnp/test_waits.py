# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Waits of the framework itself: they end when the system does, and lose nothing on the way."""

from collections.abc import Callable
from threading import Thread

import pytest

from pydriver.ke import BugCheck, VerifierConfig
from pydriver.ke.bugcheck import DRIVER_POWER_STATE_FAILURE
from pydriver.ke.status import STATUS_PENDING, STATUS_SUCCESS, STATUS_UNSUCCESSFUL
from pydriver.wdf import (
    Device,
    IdleSettings,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    PnpPowerEventCallbacks,
    PowerDeviceState,
)
from pydriver.wdf.pnp.pnp import Pnp
from tests.harness.bench import TIMEOUT, Bench, Plan, Signal


def test_power_callback_that_starts_a_sequence_of_its_device_ends_with_the_system(
    boot: Callable[..., Bench],
) -> None:
    """The second sequence waits for the first, which waits for this callback."""
    bench = boot(1, VerifierConfig(power_timeout=0.5))

    def d0_exit(device: Device, target: PowerDeviceState) -> None:
        device.enter_d0()

    edu = bench.load(Plan(callbacks=PnpPowerEventCallbacks(evt_device_d0_exit=d0_exit)))
    ended: list[BaseException] = []

    def exit_d0() -> None:
        try:
            edu.device.exit_d0()
        except BugCheck as error:
            ended.append(error)

    thread = Thread(target=exit_d0, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    with pytest.raises(BugCheck) as stopped:
        bench.system.check()
    assert stopped.value.code == DRIVER_POWER_STATE_FAILURE
    assert len(ended) == 1


def idle_device(bench: Bench, callbacks: PnpPowerEventCallbacks) -> Device:
    """A device that idles as soon as `_idle_out` is called."""
    device = bench.load(Plan(callbacks=callbacks)).device
    device.assign_s0_idle_settings(IdleSettings(idle_timeout=60_000))
    return device


def test_idle_device_that_does_not_return_to_d0_is_removed(bench: Bench) -> None:
    removed = Signal()
    entries = [STATUS_SUCCESS, STATUS_UNSUCCESSFUL]
    device = idle_device(
        bench,
        PnpPowerEventCallbacks(
            evt_device_d0_entry=lambda device, previous: entries.pop(0),
            evt_device_surprise_removal=lambda device: removed.set(),
        ),
    )
    device.policy._idle_out()
    assert device.stop_idle(wait_for_d0=False) == STATUS_PENDING
    removed.wait("the removal of the failed device")
    bench.system.check()


def test_stop_idle_while_the_device_is_about_to_leave_d0_brings_it_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision to leave D0 has been taken, and no step has been made yet."""
    returned = Signal()
    results: list[int] = []
    device = idle_device(
        bench,
        PnpPowerEventCallbacks(evt_device_self_managed_io_restart=lambda device: returned.set()),
    )
    leave_d0 = Pnp.leave_d0

    def late(self: Pnp, target: PowerDeviceState) -> None:
        results.append(device.stop_idle(wait_for_d0=False))
        leave_d0(self, target)

    monkeypatch.setattr(Pnp, "leave_d0", late)
    device.policy._idle_out()
    assert results == [STATUS_PENDING]
    returned.wait("the return to D0")
    device.resume_idle()


def test_queue_that_gets_two_requests_at_once_tells_the_driver(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second request arrives before the first one's thread continues."""
    device = bench.load(
        Plan(queues=[IoQueueConfig(IoQueueDispatchType.MANUAL, default_queue=True)])
    ).device
    queue = device.default_queue
    assert queue is not None
    told = 0

    def ready(queue: IoQueue, context: object) -> None:
        nonlocal told
        told += 1

    assert queue.ready_notify(ready) == STATUS_SUCCESS
    original = IoQueue.told
    with device.open() as file:

        def late(self: IoQueue, **more: bool) -> None:
            monkeypatch.undo()
            file.read_async(1)
            original(self, **more)

        monkeypatch.setattr(IoQueue, "told", late)
        file.read_async(1)
        assert told == 1
