# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""File objects, and the lock that may be held at PASSIVE_LEVEL."""

import threading
from dataclasses import dataclass

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_ACCESS_DENIED,
    STATUS_CANCELLED,
    STATUS_FILE_CLOSED,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS,
    STATUS_TIMEOUT,
)
from pydriver.wdf import (
    Device,
    DeviceInit,
    Driver,
    DriverConfig,
    ExecutionLevel,
    File,
    FileObjectClass,
    FileObjectConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    Irp,
    ObjectAttributes,
    Request,
    RequestType,
    SynchronizationScope,
    TriState,
    WaitLock,
    ctl_code,
)
from tests.harness.bench import TIMEOUT, Bench, Plan, Signal


def load(
    bench: Bench,
    config: FileObjectConfig | None,
    attributes: ObjectAttributes | None = None,
    device_attributes: ObjectAttributes | None = None,
    queue: IoQueueConfig | None = None,
    *,
    filter_driver: bool = False,
) -> Device:
    """Starts a device with a file object configuration."""

    def add(driver: Driver, init: DeviceInit) -> None:
        if config is not None:
            init.set_file_object_config(config, attributes)
        if filter_driver:
            init.set_filter()
        device = Device.create(init, device_attributes)
        if queue is not None:
            IoQueue.create(device, queue)

    driver = bench.system.load_driver(
        lambda driver_object: Driver.create(driver_object, DriverConfig(evt_driver_device_add=add)),
        name="files",
    )
    bench.drivers.append(driver)
    return driver.add_device(bench.functions[0])


@dataclass
class Session:
    opened: bool = False


@pytest.mark.covers(
    "EvtDeviceFileCreate",
    "EvtFileCleanup",
    "EvtFileClose",
    "WdfDeviceInitSetFileObjectConfig",
    "WdfFileObjectGetDevice",
    "WDF_FILEOBJECT_CONFIG.EvtDeviceFileCreate",
    "WDF_FILEOBJECT_CONFIG.EvtFileClose",
    "WDF_FILEOBJECT_CONFIG.EvtFileCleanup",
)
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


@pytest.mark.covers(
    "WdfFileObjectGetFlags", "WdfFileObjectGetFileName", "WdfFileObjectWdmGetFileObject"
)
def test_file_object_knows_what_was_opened(bench: Bench) -> None:
    device = load(bench, None)
    with device.open("port\\1", flags=0x2) as file:
        assert (file.get_file_name(), file.get_flags()) == ("port\\1", 0x2)
        wdm = file.wdm_get_file_object()
        assert (wdm.file_name, wdm.flags) == ("port\\1", 0x2)
        assert wdm.device_object is device.wdm_get_device_object()
        file.delete()
        assert bench.violation().rule == "ObjectNotDeletable"
        assert not file.closed


@pytest.mark.covers("EvtDeviceFileCreate")
def test_handle_is_open_when_the_driver_completes_the_request(bench: Bench) -> None:
    pending: list[Request] = []
    opened: list[File] = []
    here = Signal()

    def create(device: Device, request: Request, file: File | None) -> None:
        assert request.get_parameters().type is RequestType.CREATE
        pending.append(request)
        here.set()

    device = load(bench, FileObjectConfig(evt_device_file_create=create))
    thread = threading.Thread(target=lambda: opened.append(device.open()))
    thread.start()
    here.wait("EvtDeviceFileCreate")
    assert opened == []
    pending[0].complete(STATUS_SUCCESS)
    thread.join(TIMEOUT)
    assert device.files == opened
    opened[0].close()


@pytest.mark.covers("WDF_FILEOBJECT_CONFIG.FileObjectClass", "WdfRequestGetFileObject")
@pytest.mark.parametrize(
    "object_class", [FileObjectClass.NOT_REQUIRED, FileObjectClass.CANNOT_USE_FS_CONTEXTS]
)
def test_requests_have_a_file_object_if_the_driver_wants_one(
    bench: Bench, object_class: FileObjectClass
) -> None:
    created: list[File | None] = []
    files: list[File | None] = []

    def create(device: Device, request: Request, file: File | None) -> None:
        created.append(file)
        request.complete(STATUS_SUCCESS)

    def write(queue: IoQueue, request: Request, length: int) -> None:
        files.append(request.get_file_object())
        request.complete_with_information(STATUS_SUCCESS, length)

    device = load(
        bench,
        FileObjectConfig(evt_device_file_create=create, file_object_class=object_class),
        queue=IoQueueConfig(IoQueueDispatchType.PARALLEL, evt_io_write=write, default_queue=True),
    )
    with device.open() as file:
        file.write(b"a")
    expected = None if object_class is FileObjectClass.NOT_REQUIRED else file
    assert (created, files) == ([expected], [expected])


@pytest.mark.mistake("FileObjectConfigured")
@pytest.mark.covers("WdfRequestGetFileObject")
def test_request_has_no_file_object_without_a_configuration(bench: Bench) -> None:
    files: list[File | None] = []

    def write(queue: IoQueue, request: Request, length: int) -> None:
        files.append(request.get_file_object())
        request.complete(STATUS_SUCCESS)

    queue = IoQueueConfig(IoQueueDispatchType.PARALLEL, evt_io_write=write, default_queue=True)
    with load(bench, None, queue=queue).open() as file:
        file.write(b"a")
    assert files == [None]
    assert bench.violation().rule == "FileObjectConfigured"


@pytest.mark.covers("WDF_FILEOBJECT_CONFIG.AutoForwardCleanupClose")
@pytest.mark.parametrize(
    ("forward", "filter_driver", "forwarded"),
    [
        (TriState.USE_DEFAULT, False, 0),
        (TriState.USE_DEFAULT, True, 1),
        (TriState.TRUE, False, 1),
        (TriState.FALSE, True, 0),
    ],
)
def test_cleanup_and_close_are_passed_on_as_configured(
    bench: Bench, forward: TriState, filter_driver: bool, forwarded: int
) -> None:
    config = FileObjectConfig(auto_forward_cleanup_close=forward)
    device = load(bench, config, filter_driver=filter_driver)
    device.open().close()
    counts = device.wdm_get_physical_device().forwarded
    assert (counts[0x12], counts[0x02]) == (forwarded, forwarded)


@pytest.mark.covers("WdfDeviceCreate", "WDF_OBJECT_ATTRIBUTES.SynchronizationScope")
@pytest.mark.parametrize(
    ("scope", "level", "possible"),
    [
        (SynchronizationScope.INHERIT_FROM_PARENT, ExecutionLevel.DISPATCH, True),
        (SynchronizationScope.NONE, ExecutionLevel.DISPATCH, True),
        (SynchronizationScope.QUEUE, ExecutionLevel.PASSIVE, False),
        (SynchronizationScope.DEVICE, ExecutionLevel.DISPATCH, False),
        (SynchronizationScope.DEVICE, ExecutionLevel.PASSIVE, True),
    ],
)
def test_scope_of_file_objects_is_checked(
    bench: Bench, scope: SynchronizationScope, level: ExecutionLevel, possible: bool
) -> None:
    attributes = ObjectAttributes(synchronization_scope=scope)
    device_attributes = ObjectAttributes(
        execution_level=level, synchronization_scope=SynchronizationScope.DEVICE
    )
    if possible:
        load(bench, FileObjectConfig(), attributes, device_attributes).open().close()
        return
    with pytest.raises(NtStatusError) as refused:
        load(bench, FileObjectConfig(), attributes, device_attributes)
    assert refused.value.status == STATUS_INVALID_DEVICE_REQUEST


@pytest.mark.covers("EvtDeviceFileCreate", "EvtFileCleanup", "EvtFileClose")
@pytest.mark.parametrize("scope", [SynchronizationScope.DEVICE, SynchronizationScope.NONE])
def test_file_callbacks_run_under_the_device_lock_if_their_scope_says_so(
    bench: Bench, scope: SynchronizationScope
) -> None:
    held: list[bool] = []
    irqls: list[int] = []

    def look(device: Device) -> None:
        held.append(device.device_lock.held_here)
        irqls.append(bench.kernel.irql())

    def create(device: Device, request: Request, file: File | None) -> None:
        look(device)
        request.complete(STATUS_SUCCESS)

    device = load(
        bench,
        FileObjectConfig(
            evt_device_file_create=create,
            evt_file_cleanup=lambda file: look(file.device),
            evt_file_close=lambda file: look(file.device),
        ),
        ObjectAttributes(synchronization_scope=scope),
        ObjectAttributes(
            execution_level=ExecutionLevel.PASSIVE,
            synchronization_scope=SynchronizationScope.DEVICE,
        ),
    )
    device.open().close()
    assert held == [scope is SynchronizationScope.DEVICE] * 3
    assert irqls == [PASSIVE_LEVEL] * 3


@pytest.mark.covers("EvtFileCleanup", "EvtFileClose")
def test_removal_closes_the_handles_that_are_open(bench: Bench) -> None:
    calls: list[str] = []
    device = load(
        bench,
        FileObjectConfig(
            evt_file_cleanup=lambda file: calls.append("cleanup"),
            evt_file_close=lambda file: calls.append("close"),
        ),
    )
    file = device.open()
    device.remove()
    assert file.closed
    file.close()
    assert calls == ["cleanup", "close"]


@pytest.mark.covers("EvtFileCleanup", "EvtFileClose")
def test_close_comes_when_the_last_request_of_the_file_is_complete(bench: Bench) -> None:
    calls: list[str] = []
    closed = Signal()
    owned: list[Request] = []
    completed: list[Irp] = []

    def close(file: File) -> None:
        calls.append("close")
        closed.set()

    queue = IoQueueConfig(
        IoQueueDispatchType.PARALLEL,
        evt_io_write=lambda queue, request, length: owned.append(request),
        default_queue=True,
    )
    config = FileObjectConfig(
        evt_file_cleanup=lambda file: calls.append("cleanup"), evt_file_close=close
    )
    device = load(bench, config, queue=queue)
    file, other = device.open(), device.open()
    file.write_async(b"1", on_complete=completed.append)
    file.write_async(b"2")
    other.write_async(b"3")
    file.close()
    owned[0].complete(STATUS_SUCCESS)
    assert calls == ["cleanup"]
    assert owned[1].get_file_object() is file
    assert device.files == [file, other]
    owned[1].complete(STATUS_SUCCESS)
    closed.wait("EvtFileClose")
    file.gone.wait()
    assert len(completed) == 1, "the application is told as well"
    assert device.files == [other]
    owned[2].complete(STATUS_SUCCESS)


def test_removal_waits_for_the_close_of_each_file(bench: Bench) -> None:
    calls: list[str] = []
    owned: list[Request] = []

    def cancelled(request: Request) -> None:
        calls.append("cancelled")
        request.complete(STATUS_CANCELLED)

    def write(queue: IoQueue, request: Request, length: int) -> None:
        owned.append(request)
        request.mark_cancelable(cancelled)

    queue = IoQueueConfig(
        IoQueueDispatchType.PARALLEL, evt_io_write=write, default_queue=True, power_managed=False
    )
    config = FileObjectConfig(
        evt_file_cleanup=lambda file: calls.append("cleanup"),
        evt_file_close=lambda file: calls.append("close"),
    )
    device = load(bench, config, queue=queue)
    device.open().write_async(b"1")
    device.remove()
    assert calls == ["cleanup", "cancelled", "close"]


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


def test_closed_file_takes_no_request(bench: Bench) -> None:
    file = bench.load().device.open()
    file.close()
    for send in (
        lambda: file.read_async(4),
        lambda: file.write_async(b"data"),
        lambda: file.device_control_async(ctl_code(0x800), b"in", 4),
    ):
        with pytest.raises(NtStatusError) as refused:
            send()
        assert refused.value.status == STATUS_FILE_CLOSED


@pytest.mark.parametrize("call", ["read", "write", "device_control"])
def test_request_that_an_application_waits_for_no_longer_is_cancelled(
    bench: Bench, call: str
) -> None:
    queue_config = IoQueueConfig(IoQueueDispatchType.MANUAL, default_queue=True)
    device = bench.load(Plan(queues=[queue_config])).device
    arguments: dict[str, tuple[object, ...]] = {
        "read": (4,),
        "write": (b"data",),
        "device_control": (ctl_code(0x800), b"in", 4),
    }
    with device.open() as file:
        with pytest.raises(TimeoutError):
            getattr(file, call)(*arguments[call], timeout=0)
        assert device.queues[0].retrieve_next_request() is None
