# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""File objects, and the lock that may be held at PASSIVE_LEVEL."""

import threading
from dataclasses import dataclass

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.status import STATUS_ACCESS_DENIED, STATUS_SUCCESS, STATUS_TIMEOUT
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    File,
    FileObjectConfig,
    ObjectAttributes,
    Request,
    WaitLock,
)

from .bench import TIMEOUT, Bench


@dataclass
class Session:
    opened: bool = False


def test_driver_hears_of_open_cleanup_and_close_and_may_refuse(bench: Bench) -> None:
    calls: list[str] = []

    def create(device: Device, request: Request, file: File | None) -> None:
        assert file is not None
        calls.append(f"create {file.name}")
        if file.name == "secret":
            request.complete(STATUS_ACCESS_DENIED)
            return
        file.get_typed_context(Session).opened = True
        request.complete(STATUS_SUCCESS)

    def add(driver: Driver, init: DeviceInit) -> None:
        init.set_file_object_config(
            FileObjectConfig(
                evt_device_file_create=create,
                evt_file_cleanup=lambda file: calls.append(f"cleanup {file.name}"),
                evt_file_close=lambda file: calls.append(f"close {file.name}"),
            ),
            ObjectAttributes(context_type=Session),
        )
        Device.create(init)

    driver = bench.system.load_driver(
        lambda driver_object: Driver.create(driver_object, DriverConfig(evt_driver_device_add=add)),
        name="files",
    )
    bench.drivers.append(driver)
    device = driver.add_device(bench.functions[0])
    with device.open("public") as file:
        assert file.get_typed_context(Session).opened
        assert file.get_device() is device
    with pytest.raises(NtStatusError) as refused:
        device.open("secret")
    assert refused.value.status == STATUS_ACCESS_DENIED
    assert calls == ["create public", "cleanup public", "close public", "create secret"]
    assert device.files == []
    assert not any(isinstance(child, File) for child in device.children)


def test_wait_lock_is_held_by_one_thread_at_a_time(bench: Bench) -> None:
    lock = WaitLock.create(ObjectAttributes(parent_object=bench.load().device))
    answers: list[int] = []
    entered: list[str] = []

    def other() -> None:
        answers.append(lock.acquire(0))
        answers.append(lock.acquire(-10_000))
        with lock:
            entered.append("other")

    with lock:
        thread = threading.Thread(target=other)
        thread.start()
        while len(answers) < 2:
            pass
        assert entered == []
    thread.join(TIMEOUT)
    assert answers == [STATUS_TIMEOUT, STATUS_TIMEOUT]
    assert entered == ["other"]
