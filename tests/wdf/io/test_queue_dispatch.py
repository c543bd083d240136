# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The configuration of queues, and the handlers and arguments of requests."""

from typing import Any

import pytest

from pydriver.ke import BugCheck
from pydriver.ke.bugcheck import WDF_VIOLATION
from pydriver.ke.irql import DISPATCH_LEVEL, PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER,
    STATUS_SUCCESS,
    STATUS_WDF_NO_CALLBACK,
)
from pydriver.wdf import (
    Device,
    ExecutionLevel,
    IoQueue,
    IoQueueConfig,
    ObjectAttributes,
    ProcessorMode,
    Request,
    RequestType,
    SpinLock,
    SynchronizationScope,
    TriState,
    ctl_code,
)
from tests.harness.bench import TIMEOUT, Bench, Plan
from tests.harness.queues import MANUAL, PARALLEL, SEQUENTIAL, Presented, default, in_dpc, status

METHOD_NEITHER = 3


@pytest.mark.covers(
    "EvtIoDefault",
    "EvtIoRead",
    "EvtIoWrite",
    "EvtIoDeviceControl",
    "EvtIoInternalDeviceControl",
    "WDF_IO_QUEUE_CONFIG.EvtIoDefault",
    "WDF_IO_QUEUE_CONFIG.EvtIoRead",
    "WDF_IO_QUEUE_CONFIG.EvtIoWrite",
    "WDF_IO_QUEUE_CONFIG.EvtIoDeviceControl",
    "WDF_IO_QUEUE_CONFIG.EvtIoInternalDeviceControl",
)
@pytest.mark.parametrize(
    ("handler", "arguments"),
    [
        ("evt_io_read", [(3,), (), (), ()]),
        ("evt_io_write", [(), (2,), (), ()]),
        ("evt_io_device_control", [(), (), (8, 4, ctl_code(0x801)), ()]),
        ("evt_io_internal_device_control", [(), (), (), (16, 1, ctl_code(0x802))]),
    ],
)
def test_handler_of_a_type_gets_its_requests_and_the_default_the_others(
    bench: Bench, handler: str, arguments: list[tuple[Any, ...]]
) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented, **{handler: presented}))
    with edu.device.open() as file:
        file.read_async(3)
        file.write_async(b"ab")
        file.device_control_async(ctl_code(0x801), b"1234", 8)
        file.internal_device_control_async(ctl_code(0x802), b"5", 16)
        assert presented.arguments == arguments
        for request in presented.requests:
            request.complete(STATUS_SUCCESS)


@pytest.mark.covers("EvtIoInternalDeviceControl")
def test_internal_device_control_comes_from_kernel_mode_with_buffers_of_any_method(
    bench: Bench,
) -> None:
    seen: list[tuple[ProcessorMode, bytes]] = []

    def control(queue: IoQueue, request: Request, output: int, size: int, code: int) -> None:
        seen.append((request.get_requestor_mode(), bytes(request.retrieve_input_buffer())))
        request.retrieve_output_buffer(2)[:2] = b"ok"
        request.complete_with_information(STATUS_SUCCESS, 2)

    config = IoQueueConfig(PARALLEL, evt_io_internal_device_control=control, default_queue=True)
    edu = bench.load(Plan(queues=[config]))
    with edu.device.open() as file:
        for method in (0, 1, 2, METHOD_NEITHER):
            answer = file.internal_device_control(ctl_code(0x801, method), b"in", 2, TIMEOUT)
            assert bytes(answer) == b"ok"
        with status(STATUS_INVALID_DEVICE_REQUEST):
            file.device_control(ctl_code(0x801), b"in", 2, TIMEOUT)
    assert seen == [(ProcessorMode.KERNEL, b"in")] * 4


@pytest.mark.covers("WdfDeviceConfigureRequestDispatching")
def test_internal_device_controls_are_dispatched_to_a_queue_of_their_own(bench: Bench) -> None:
    rest, internal = Presented(), Presented()
    kind = RequestType.DEVICE_CONTROL_INTERNAL

    def add(device: Device) -> None:
        with status(STATUS_INVALID_DEVICE_REQUEST):
            device.configure_request_dispatching(device.queues[1], RequestType.DEVICE_CONTROL)
        device.configure_request_dispatching(device.queues[1], kind)

    configs = [
        IoQueueConfig(PARALLEL, evt_io_default=rest, default_queue=True),
        IoQueueConfig(PARALLEL, evt_io_internal_device_control=internal),
    ]
    edu = bench.load(Plan(queues=configs, add=add))
    with edu.device.open() as file:
        file.internal_device_control_async(ctl_code(1))
        file.device_control_async(ctl_code(1))
        assert [len(internal.requests), len(rest.requests)] == [1, 1]
        for request in (*internal.requests, *rest.requests):
            request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WDF_IO_QUEUE_CONFIG.AllowZeroLengthRequests")
@pytest.mark.parametrize("allowed", [False, True])
def test_request_of_no_bytes_waits_for_its_turn(bench: Bench, *, allowed: bool) -> None:
    presented = Presented()
    edu = bench.load(default(SEQUENTIAL, presented, allow_zero_length_requests=allowed))
    with edu.device.open() as file:
        file.write_async(b"a")
        empty, read, last = file.write_async(b""), file.read_async(0), file.write_async(b"b")
        assert (empty.done, read.done) == (False, False)
        presented.requests[0].complete(STATUS_SUCCESS)
        if allowed:
            for index in (1, 2):
                presented.requests[index].complete(STATUS_SUCCESS)
        assert (empty.result(), read.result()) == (0, 0)
        assert presented.data == ([b"a", b"", b"", b"b"] if allowed else [b"a", b"b"])
        assert not last.done
        presented.requests[-1].complete(STATUS_SUCCESS)


@pytest.mark.covers("WDF_IO_QUEUE_CONFIG.NumberOfPresentedRequests")
def test_parallel_queue_with_a_limit_of_none_presents_nothing(bench: Bench) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented, number_of_presented_requests=0))
    queue = edu.device.queues[0]
    with edu.device.open() as file:
        irp = file.write_async(b"a")
        assert queue.get_state()[1:] == (1, 0)
        assert presented.requests == []
        irp.cancel()


@pytest.mark.covers(
    "WDF_IO_QUEUE_CONFIG.DispatchType",
    "WDF_IO_QUEUE_CONFIG.NumberOfPresentedRequests",
    "WdfIoQueueCreate",
)
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (IoQueueConfig(0, evt_io_default=Presented()), STATUS_INVALID_PARAMETER),  # type: ignore[arg-type]
        (IoQueueConfig(4), STATUS_INVALID_PARAMETER),  # type: ignore[arg-type]
        (IoQueueConfig(PARALLEL, evt_io_stop=lambda *_: None), STATUS_WDF_NO_CALLBACK),
        (
            IoQueueConfig(MANUAL, evt_io_internal_device_control=Presented()),
            STATUS_INVALID_PARAMETER,
        ),
        (IoQueueConfig(MANUAL, number_of_presented_requests=1), STATUS_INVALID_PARAMETER),
    ],
    ids=["type 0", "type 4", "no handler", "manual with handler", "manual with limit"],
)
def test_queue_of_a_wrong_configuration_is_not_created(
    bench: Bench, config: IoQueueConfig, expected: int
) -> None:
    edu = bench.load()
    with status(expected):
        IoQueue.create(edu.device, config)
    assert edu.device.queues == []


@pytest.mark.covers("WDF_IO_QUEUE_CONFIG.NumberOfPresentedRequests")
def test_limit_of_none_is_accepted_for_every_type(bench: Bench) -> None:
    edu = bench.load()
    for kind, handler in ((SEQUENTIAL, Presented()), (PARALLEL, Presented()), (MANUAL, None)):
        IoQueue.create(
            edu.device,
            IoQueueConfig(kind, evt_io_default=handler, number_of_presented_requests=0),
        )


@pytest.mark.covers("WDF_IO_QUEUE_CONFIG.PowerManaged")
@pytest.mark.parametrize(
    ("managed", "presents"),
    [(TriState.USE_DEFAULT, False), (TriState.TRUE, False), (TriState.FALSE, True)],
)
def test_queue_that_is_not_power_managed_presents_outside_of_d0(
    bench: Bench, managed: TriState, *, presents: bool
) -> None:
    presented = Presented()
    edu = bench.load(default(PARALLEL, presented, power_managed=managed))
    with edu.device.open() as file:
        edu.device.exit_d0()
        file.write_async(b"a")
        assert bool(presented.requests) is presents
        edu.device.enter_d0()
        presented.requests[0].complete(STATUS_SUCCESS)


@pytest.mark.covers("WDF_OBJECT_ATTRIBUTES.SynchronizationScope", "WdfIoQueueCreate")
def test_queue_with_the_scope_of_the_device_needs_its_level(bench: Bench) -> None:
    scope = SynchronizationScope.DEVICE
    edu = bench.load(Plan(attributes=ObjectAttributes(synchronization_scope=scope)))
    passive = ExecutionLevel.PASSIVE
    with status(STATUS_INVALID_PARAMETER):
        IoQueue.create(edu.device, IoQueueConfig(MANUAL), ObjectAttributes(execution_level=passive))
    dispatch = ObjectAttributes(execution_level=ExecutionLevel.DISPATCH)
    queue = IoQueue.create(edu.device, IoQueueConfig(MANUAL), dispatch)
    assert queue.serialization_lock is edu.device.device_lock


@pytest.mark.mistake("VERIFIER_IRQL_MISMATCH", 0x10D)
@pytest.mark.covers("EvtIoDefault")
def test_handler_that_returns_at_another_irql_is_a_wdf_violation(doomed: Bench) -> None:
    def handler(queue: IoQueue, request: Request) -> None:
        request.complete(STATUS_SUCCESS)
        doomed.kernel.raise_irql(DISPATCH_LEVEL)

    edu = doomed.load(default(PARALLEL, handler))
    with pytest.raises(BugCheck) as stopped:
        edu.device.open().write_async(b"x")
    assert stopped.value.code == WDF_VIOLATION
    assert stopped.value.parameters[:3] == (0xE, PASSIVE_LEVEL, DISPATCH_LEVEL)


@pytest.mark.mistake("WdfSpinlockRelease")
def test_handler_that_returns_with_a_spin_lock_held_is_a_violation(bench: Bench) -> None:
    def handler(queue: IoQueue, request: Request) -> None:
        lock.acquire()
        request.complete(STATUS_SUCCESS)

    edu = bench.load(default(PARALLEL, handler))
    lock = SpinLock.create(ObjectAttributes(parent_object=edu.device))
    with edu.device.open() as file:

        def submit() -> None:
            file.write_async(b"x")
            lock.release()

        in_dpc(bench, edu, submit)
    assert bench.violation().rule == "WdfSpinlockRelease"
