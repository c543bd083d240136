# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Common parts of the tests of queues and requests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

from pydriver.ke import NtStatusError
from pydriver.wdf import (
    Dpc,
    DpcConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    Request,
)
from tests.harness.bench import TIMEOUT, Bench, Edu, Plan

SEQUENTIAL, PARALLEL, MANUAL = IoQueueDispatchType


class Presented:
    """A handler that keeps its requests."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.data: list[bytes] = []
        self.arguments: list[tuple[Any, ...]] = []

    def __call__(self, queue: IoQueue, request: Request, *arguments: Any) -> None:
        self.requests.append(request)
        self.data.append(bytes(request.irp.input or b""))
        self.arguments.append(arguments)


def default(kind: IoQueueDispatchType, handler: Callable[..., None], **more: Any) -> Plan:
    """A driver whose default queue gives everything to one handler."""
    config = IoQueueConfig(kind, evt_io_default=handler, default_queue=True, **more)
    return Plan(queues=[config])


def manual(**more: Any) -> Plan:
    """A driver whose default queue is manual."""
    return Plan(queues=[IoQueueConfig(MANUAL, default_queue=True, **more)])


@contextmanager
def status(expected: int) -> Iterator[None]:
    """The block must fail with a status."""
    with pytest.raises(NtStatusError) as failed:
        yield
    assert failed.value.status == expected


def in_dpc(bench: Bench, edu: Edu, routine: Callable[[], object]) -> None:
    """Calls a routine at DISPATCH_LEVEL, and waits until it has returned."""
    config = DpcConfig(lambda dpc: routine(), automatic_serialization=False)
    dpc = Dpc.create(config, ObjectAttributes(parent_object=edu.device))
    dpc.enqueue()
    bench.kernel.flush_queued_dpcs()


def until(condition: Callable[[], bool], what: str) -> None:
    """Polls until a condition holds; for conditions without a notification."""
    end = monotonic() + TIMEOUT
    while not condition():
        assert monotonic() < end, f"{what}: not so in {TIMEOUT} s"
