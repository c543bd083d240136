# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The fate of requests when the device leaves D0, returns, and is removed."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from pydriver.ke.status import STATUS_CANCELLED, STATUS_SUCCESS
from pydriver.wdf import (
    Device,
    IoQueue,
    IoQueueConfig,
    IoStopAction,
    PnpPowerEventCallbacks,
    PowerDeviceState,
    Request,
    RequestType,
)
from pydriver.wdf.io import queue_power
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan, Signal
from tests.harness.queues import MANUAL, PARALLEL, Presented, default, until

SUSPEND, PURGE, CANCELABLE = IoStopAction
Stops = list[tuple[Request, IoStopAction]]


def stop_with(routine: Callable[[Request], object]) -> tuple[Stops, Callable[..., None]]:
    stops: Stops = []

    def evt_io_stop(queue: IoQueue, request: Request, action: IoStopAction) -> None:
        stops.append((request, action))
        routine(request)

    return stops, evt_io_stop


def load_acknowledging(
    bench: Bench, presented: Presented, *, requeue: bool, **config: Any
) -> tuple[Edu, Stops, list[Request]]:
    """A driver that acknowledges every stop, and the arguments of EvtIoStop and EvtIoResume."""
    stops, stop = stop_with(lambda request: request.stop_acknowledge(requeue=requeue))
    resumed: list[Request] = []
    plan = default(
        PARALLEL,
        presented,
        evt_io_stop=stop,
        evt_io_resume=lambda queue, request: resumed.append(request),
        **config,
    )
    return bench.load(plan), stops, resumed


def in_thread(routine: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=routine)
    thread.start()
    return thread


@pytest.mark.covers("EvtIoStop", "WDF_IO_QUEUE_CONFIG.EvtIoStop", "WDF_IO_QUEUE_CONFIG.EvtIoResume")
def test_stop_says_what_for_and_whether_the_request_is_cancelable(bench: Bench) -> None:
    presented = Presented()
    edu, stops, resumed = load_acknowledging(bench, presented, requeue=False)
    with edu.device.open() as file:
        for _ in range(2):
            file.write_async(b"x")
        plain, cancelable = presented.requests
        cancelable.mark_cancelable(lambda request: None)
        edu.device.exit_d0()
        assert stops == [(plain, SUSPEND), (cancelable, SUSPEND | CANCELABLE)]
        edu.device.enter_d0()
        assert resumed == [plain, cancelable]
        cancelable.unmark_cancelable()
        for request in presented.requests:
            request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfRequestStopAcknowledge", "EvtIoResume")
def test_request_that_is_kept_may_be_completed_before_d0_and_is_not_resumed_then(
    bench: Bench,
) -> None:
    presented = Presented()
    edu, _, resumed = load_acknowledging(bench, presented, requeue=False)
    with edu.device.open() as file:
        for _ in range(2):
            file.write_async(b"x")
        edu.device.exit_d0()
        presented.requests[0].complete(STATUS_SUCCESS)
        edu.device.enter_d0()
        assert resumed == [presented.requests[1]]
        presented.requests[1].complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfRequestStopAcknowledge")
def test_requeued_request_goes_to_the_head_and_comes_through_its_handler_again(
    bench: Bench,
) -> None:
    presented = Presented()
    edu, _, resumed = load_acknowledging(
        bench, presented, requeue=True, number_of_presented_requests=2
    )
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        for data in (b"a", b"b", b"c"):
            file.write_async(data)
        assert presented.data == [b"a", b"b"]
        edu.device.exit_d0()
        assert queue.get_state()[1:] == (3, 0)
        edu.device.enter_d0()
        assert presented.data[2:] == [b"a", b"b"]
        assert resumed == []
        for request in (*presented.requests[2:], *presented.requests[4:]):
            request.complete(STATUS_SUCCESS)
        presented.requests[-1].complete(STATUS_SUCCESS)


@pytest.mark.covers("EvtIoStop")
def test_power_down_waits_until_a_request_that_was_not_acknowledged_has_ended(
    bench: Bench,
) -> None:
    presented = Presented()
    order: list[str] = []
    _, stop = stop_with(lambda request: None)
    plan = default(PARALLEL, presented, evt_io_stop=stop)
    plan.callbacks = PnpPowerEventCallbacks(
        evt_device_d0_exit=lambda device, target: order.append("EvtDeviceD0Exit")
    )
    edu = bench.load(plan)
    with edu.device.open() as file:
        file.write_async(b"x")
        thread = in_thread(edu.device.exit_d0)
        until(lambda: bool(edu.device.queues[0].watchers), "the power-down waits")
        order.append("complete")
        presented.requests[0].complete(STATUS_SUCCESS)
        thread.join(TIMEOUT)
        assert order == ["complete", "EvtDeviceD0Exit"]
        edu.device.enter_d0()


@pytest.mark.parametrize(
    "stops",
    [
        pytest.param(True, marks=pytest.mark.mistake("EvtIoStopCompleteOrStopAck")),
        pytest.param(False, marks=pytest.mark.mistake("DrvAckIoStop")),
    ],
)
def test_request_that_holds_the_power_down_up_for_long_is_a_violation(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, *, stops: bool
) -> None:
    monkeypatch.setattr(queue_power, "PATIENCE", -10)
    presented = Presented()
    _, stop = stop_with(lambda request: None)
    edu = bench.load(default(PARALLEL, presented, evt_io_stop=stop if stops else None))
    verifier = bench.kernel.verifier
    with edu.device.open() as file:
        file.write_async(b"x")
        thread = in_thread(edu.device.exit_d0)
        until(lambda: bool(verifier.violations), "the request is named")
        presented.requests[0].complete(STATUS_SUCCESS)
        thread.join(TIMEOUT)
        edu.device.enter_d0()
    rule = "EvtIoStopCompleteOrStopAck" if stops else "DrvAckIoStop"
    assert bench.violation().rule == rule


@pytest.mark.covers("EvtIoStop")
def test_forwarded_request_does_not_hold_the_power_down_up(bench: Bench) -> None:
    presented = Presented()
    _, stop = stop_with(lambda request: request.forward_to_io_queue(other))
    edu = bench.load(default(PARALLEL, presented, evt_io_stop=stop))
    other = IoQueue.create(edu.device, IoQueueConfig(MANUAL, power_managed=False))
    with edu.device.open() as file:
        file.write_async(b"x")
        edu.device.exit_d0()
        request = other.retrieve_next_request()
        assert request is presented.requests[0]
        request.complete(STATUS_SUCCESS)
        edu.device.enter_d0()


@pytest.mark.covers("EvtIoStop", "EvtRequestCancel")
def test_cancel_callback_is_held_off_while_stop_is_called_for_its_request(bench: Bench) -> None:
    presented = Presented()
    order: list[str] = []

    def cancel(request: Request) -> None:
        order.append("EvtRequestCancel")
        request.complete(STATUS_CANCELLED)

    def evt_io_stop(request: Request) -> None:
        request.irp.cancel()
        order.append("EvtIoStop returns")

    _, stop = stop_with(evt_io_stop)
    edu = bench.load(default(PARALLEL, presented, evt_io_stop=stop))
    with edu.device.open() as file:
        irp = file.write_async(b"x")
        presented.requests[0].mark_cancelable(cancel)
        edu.device.exit_d0()
        assert order == ["EvtIoStop returns", "EvtRequestCancel"]
        assert irp.status == STATUS_CANCELLED
        edu.device.enter_d0()


@pytest.mark.mistake("StopAckWithinEvtIoStop")
@pytest.mark.covers("WdfRequestStopAcknowledge")
def test_acknowledgement_outside_of_stop_is_a_violation_and_does_nothing(bench: Bench) -> None:
    presented = Presented()
    stops, stop = stop_with(lambda request: request.complete(STATUS_SUCCESS))
    edu = bench.load(default(PARALLEL, presented, evt_io_stop=stop))
    with edu.device.open() as file:
        file.write_async(b"x")
        presented.requests[0].stop_acknowledge(requeue=False)
        assert bench.violation().rule == "StopAckWithinEvtIoStop"
        edu.device.exit_d0()
        assert len(stops) == 1
        edu.device.enter_d0()


@pytest.mark.mistake("ReqMarkCancelableSend")
@pytest.mark.covers("WdfRequestStopAcknowledge")
def test_cancelable_request_is_not_requeued_in_stop(bench: Bench) -> None:
    presented = Presented()

    def evt_io_stop(request: Request) -> None:
        request.stop_acknowledge(requeue=True)
        assert request.unmark_cancelable() == STATUS_SUCCESS
        request.stop_acknowledge(requeue=True)

    _, stop = stop_with(evt_io_stop)
    edu = bench.load(default(PARALLEL, presented, evt_io_stop=stop))
    with edu.device.open() as file:
        file.write_async(b"x")
        presented.requests[0].mark_cancelable(lambda request: None)
        edu.device.exit_d0()
        assert bench.violation().rule == "ReqMarkCancelableSend"
        edu.device.enter_d0()
        presented.requests[1].complete(STATUS_SUCCESS)


@pytest.mark.mistake("EvtIoStopResume")
def test_request_that_is_kept_by_a_queue_without_resume_is_a_violation(bench: Bench) -> None:
    presented = Presented()
    _, stop = stop_with(lambda request: request.stop_acknowledge(requeue=False))
    edu = bench.load(default(PARALLEL, presented, evt_io_stop=stop))
    with edu.device.open() as file:
        file.write_async(b"x")
        edu.device.exit_d0()
        assert bench.violation().rule == "EvtIoStopResume"
        edu.device.enter_d0()
        presented.requests[0].complete(STATUS_SUCCESS)


@pytest.mark.covers("WDF_IO_QUEUE_CONFIG.EvtIoStop")
def test_queue_that_is_not_power_managed_is_not_stopped(bench: Bench) -> None:
    presented = Presented()
    stops, stop = stop_with(lambda request: None)
    edu = bench.load(default(PARALLEL, presented, evt_io_stop=stop, power_managed=False))
    with edu.device.open() as file:
        file.write_async(b"x")
        edu.device.exit_d0(PowerDeviceState.D2)
        assert stops == []
        edu.device.enter_d0()
        presented.requests[0].complete(STATUS_SUCCESS)


@pytest.mark.covers("EvtIoStop")
def test_every_queue_is_held_and_its_handlers_have_returned_before_the_first_stop(
    bench: Bench,
) -> None:
    order: list[str] = []
    running, let_go = Signal(), Signal()
    presented = Presented()

    def handler(queue: IoQueue, request: Request, length: int) -> None:
        running.set()
        let_go.wait("the power-down waits")
        order.append("handler returns")
        request.complete(STATUS_SUCCESS)

    _, stop = stop_with(lambda request: order.append("EvtIoStop") or request.complete(0))
    configs = [
        IoQueueConfig(PARALLEL, evt_io_default=presented, evt_io_stop=stop, default_queue=True),
        IoQueueConfig(PARALLEL, evt_io_write=handler),
    ]

    def add(device: Device) -> None:
        device.configure_request_dispatching(device.queues[1], RequestType.WRITE)

    edu: Edu = bench.load(Plan(queues=configs, add=add))
    with edu.device.open() as file:
        file.read_async(1)
        writer = in_thread(lambda: file.write_async(b"x"))
        running.wait("the handler")
        power_down = in_thread(edu.device.exit_d0)
        until(lambda: bool(edu.device.queues[1].watchers), "the power-down waits")
        let_go.set()
        for thread in (writer, power_down):
            thread.join(TIMEOUT)
        assert order == ["handler returns", "EvtIoStop"]
        edu.device.enter_d0()


def test_deleted_queue_waits_for_a_handler_on_another_thread(bench: Bench) -> None:
    order: list[str] = []
    running, let_go = Signal(), Signal()

    def handler(queue: IoQueue, request: Request) -> None:
        request.complete(STATUS_SUCCESS)
        running.set()
        let_go.wait("the deletion waits")
        order.append("handler returns")

    presented = Presented()
    edu = bench.load(default(PARALLEL, presented))
    queue = IoQueue.create(edu.device, IoQueueConfig(PARALLEL, evt_io_default=handler))
    with edu.device.open() as file:
        file.write_async(b"x")
        sender = in_thread(lambda: presented.requests[0].forward_to_io_queue(queue))
        running.wait("the handler")

        def delete() -> None:
            queue.delete()
            order.append("deleted")

        deletion = in_thread(delete)
        until(lambda: bool(queue.watchers), "the deletion waits")
        let_go.set()
        for thread in (sender, deletion):
            thread.join(TIMEOUT)
    assert order == ["handler returns", "deleted"]


@pytest.mark.covers("WdfRequestStopAcknowledge", "WdfRequestForwardToIoQueue")
def test_request_that_was_kept_and_then_forwarded_is_waited_for_by_the_other_queue(
    bench: Bench,
) -> None:
    presented = Presented()
    order: list[str] = []
    _, stop = stop_with(lambda request: request.stop_acknowledge(requeue=False))
    edu = bench.load(
        default(PARALLEL, presented, evt_io_stop=stop, evt_io_resume=lambda queue, request: None)
    )
    other = IoQueue.create(edu.device, IoQueueConfig(MANUAL))

    def exit_d0() -> None:
        edu.device.exit_d0()
        order.append("left D0")

    with edu.device.open() as file:
        file.write_async(b"x")
        edu.device.exit_d0()
        assert presented.requests[0].forward_to_io_queue(other) == STATUS_SUCCESS
        edu.device.enter_d0()
        request = other.retrieve_next_request()
        assert request is presented.requests[0]
        thread = in_thread(exit_d0)
        until(lambda: bool(other.watchers) or not thread.is_alive(), "the power-down waits")
        order.append("complete")
        request.complete(STATUS_SUCCESS)
        thread.join(TIMEOUT)
        assert order == ["complete", "left D0"]
        edu.device.enter_d0()
