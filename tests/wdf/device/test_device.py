# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The device's DDIs: settings before its creation, names, keys, properties, dispatching."""

import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from pydriver.ke import NtStatusError
from pydriver.ke.irql import DISPATCH_LEVEL
from pydriver.ke.status import (
    STATUS_ACCESS_DENIED,
    STATUS_BUFFER_TOO_SMALL,
    STATUS_DRIVER_INTERNAL_ERROR,
    STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER,
    STATUS_INVALID_SECURITY_DESCR,
    STATUS_NO_SUCH_DEVICE,
    STATUS_NOT_SUPPORTED,
    STATUS_OBJECT_NAME_COLLISION,
    STATUS_OBJECT_NAME_NOT_FOUND,
    STATUS_OBJECT_TYPE_MISMATCH,
    STATUS_SUCCESS,
    STATUS_UNSUCCESSFUL,
    STATUS_WDF_BUSY,
    STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
)
from pydriver.pci import InterruptMode
from pydriver.wdf import (
    GUID_BUS_INTERFACE_STANDARD,
    KEY_READ,
    KEY_WRITE,
    Device,
    DeviceInit,
    DeviceIoType,
    DeviceObjectFlags,
    DeviceProperty,
    DevicePropertyData,
    DevicePropertyType,
    Driver,
    DriverConfig,
    DriverInitFlags,
    Interrupt,
    InterruptConfig,
    IoQueue,
    IoQueueConfig,
    IoQueueDispatchType,
    ObjectAttributes,
    PlugPlayRegistryKey,
    PnpPowerEventCallbacks,
    Request,
    RequestType,
    get_driver,
)
from tests.harness.bench import TIMEOUT, Bench, Plan, Signal

GUID = UUID("6e4f1a30-7f52-4f0d-a3a0-5d7a4be2a001")
OTHER_GUID = UUID("6e4f1a30-7f52-4f0d-a3a0-5d7a4be2a002")
FILE_OCTA_ALIGNMENT = 0xF

SetUp = Callable[[DeviceInit], Any]
Add = Callable[[Device], Any]


def load(
    bench: Bench,
    setup: SetUp = lambda init: None,
    add: Add = lambda device: None,
    index: int = 0,
    attributes: ObjectAttributes | None = None,
    config: DriverConfig | None = None,
) -> Device:
    """Starts a device with functions of the test for its init and its creation."""

    def device_add(driver: Driver, init: DeviceInit) -> None:
        setup(init)
        add(Device.create(init, attributes))

    config = config or DriverConfig()
    config.evt_driver_device_add = device_add
    driver = bench.system.load_driver(
        lambda driver_object: Driver.create(driver_object, config), name="device"
    )
    bench.drivers.append(driver)
    return driver.add_device(bench.functions[index])


def refused(call: Callable[[], object]) -> int:
    """The status that a call raises."""
    with pytest.raises(NtStatusError) as error:
        call()
    return error.value.status


# Creation


@pytest.mark.covers("WdfDeviceCreate")
@pytest.mark.parametrize(
    ("attributes", "setup", "status"),
    [
        (None, lambda init: init.assign_sddl_string("D:P"), STATUS_INVALID_SECURITY_DESCR),
        (None, lambda init: init.set_device_class(GUID), STATUS_INVALID_SECURITY_DESCR),
        (
            lambda init: ObjectAttributes(parent_object=init.driver),
            lambda init: None,
            STATUS_WDF_PARENT_ASSIGNMENT_NOT_ALLOWED,
        ),
    ],
)
def test_device_creation_is_checked(
    bench: Bench, attributes: Any, setup: SetUp, status: int
) -> None:
    def create(init: DeviceInit) -> None:
        setup(init)
        given = None if attributes is None else attributes(init)
        assert refused(lambda: Device.create(init, given)) == status
        init.assign_sddl_string("")
        init.device_class = None

    load(bench, create)


@pytest.mark.covers("WdfDeviceCreate")
def test_device_is_created_once(bench: Bench) -> None:
    statuses: list[int] = []
    kept: list[DeviceInit] = []
    load(
        bench,
        kept.append,
        lambda device: statuses.append(refused(lambda: Device.create(kept[0]))),
    )
    assert statuses == [STATUS_INVALID_DEVICE_STATE]


@pytest.mark.covers("WdfDeviceCreate")
def test_device_that_has_gone_cannot_be_created(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(init: DeviceInit) -> None:
        monkeypatch.setattr(type(init.function), "is_present", False)

    assert refused(lambda: load(bench, gone)) == STATUS_NO_SUCH_DEVICE
    monkeypatch.undo()


@pytest.mark.covers("WdfDeviceCreate", "WdfDeviceOpenRegistryKey", "WdfDeviceCreateSymbolicLink")
def test_passive_ddis_are_refused_at_dispatch_level(bench: Bench) -> None:
    device = load(bench)
    kernel = bench.kernel
    for call in (
        lambda: device.create_symbolic_link("link"),
        lambda: device.open_registry_key(PlugPlayRegistryKey.DEVICE),
        lambda: device.create_device_interface(GUID),
        lambda: device.query_for_interface(GUID_BUS_INTERFACE_STANDARD),
    ):
        irql = kernel.raise_irql(DISPATCH_LEVEL)
        status = refused(call)
        kernel.lower_irql(irql)
        assert status == STATUS_INVALID_DEVICE_REQUEST
    assert {each.rule for each in bench.violations()} == {"KmdfIrql"}


@pytest.mark.covers(
    "WdfDeviceInitSetIoType",
    "WdfDeviceInitSetExclusive",
    "WdfDeviceInitSetDeviceType",
    "WdfDeviceInitSetCharacteristics",
    "WdfDeviceInitAssignName",
    "WdfDeviceInitAssignSDDLString",
    "WdfDeviceInitSetDeviceClass",
    "WdfDeviceInitSetPowerInrush",
    "WdfDeviceInitSetPowerPageable",
    "WdfDeviceInitSetPowerNotPageable",
    "WdfDeviceWdmGetDeviceObject",
    "WdfDeviceWdmGetAttachedDevice",
    "WdfDeviceWdmGetPhysicalDevice",
)
def test_what_the_init_says_is_in_the_device_object(bench: Bench) -> None:
    def setup(init: DeviceInit) -> None:
        init.assign_name("\\Device\\Test")
        assert refused(lambda: init.assign_sddl_string("nonsense")) == STATUS_INVALID_PARAMETER
        init.assign_sddl_string("D:P(A;;GA;;;SY)")
        init.set_device_class(GUID)
        init.set_io_type(DeviceIoType.DIRECT)
        init.set_device_type(0x12)
        init.set_characteristics(0x100, or_in_values=False)
        init.set_characteristics(0x1, or_in_values=True)
        init.set_power_not_pageable()
        init.set_power_pageable()
        init.set_power_inrush()

    device = load(bench, setup)
    own = device.wdm_get_device_object()
    assert (own.name, own.device_type, own.characteristics) == ("\\Device\\Test", 0x12, 0x101)
    assert own.flags == DeviceObjectFlags.DIRECT_IO | DeviceObjectFlags.POWER_INRUSH
    assert device.wdm_get_attached_device() is device.wdm_get_physical_device()
    assert own.attached_to is device.wdm_get_physical_device()
    plain = load(bench, index=1).wdm_get_device_object()
    assert plain.flags == DeviceObjectFlags.BUFFERED_IO | DeviceObjectFlags.POWER_PAGABLE
    assert plain.device_type == 0x22


@pytest.mark.covers("WdfDeviceInitSetExclusive")
def test_exclusive_device_is_open_once(bench: Bench) -> None:
    device = load(bench, lambda init: init.set_exclusive(is_exclusive=True))
    with device.open():
        assert refused(device.open) == STATUS_ACCESS_DENIED
    device.open().close()


@pytest.mark.mistake("StructureSize")
@pytest.mark.covers("WdfDeviceInitSetPnpPowerEventCallbacks", "WdfDeviceInitSetFileObjectConfig")
def test_structure_of_the_wrong_kind_is_ignored(bench: Bench) -> None:
    def setup(init: Any) -> None:
        before = init.callbacks
        init.set_pnp_power_event_callbacks(DriverConfig())
        init.set_file_object_config(DriverConfig())
        init.set_power_policy_event_callbacks(DriverConfig())
        init.set_request_attributes(DriverConfig())
        assert init.callbacks is before
        assert init.file_config is None
        assert init.request_attributes is None

    load(bench, setup)
    assert {each.rule for each in bench.violations()} == {"StructureSize"}


@pytest.mark.mistake("UsageNotification")
@pytest.mark.covers("WdfDeviceInitSetPnpPowerEventCallbacks")
def test_usage_notification_with_and_without_ex_is_ignored(bench: Bench) -> None:
    callbacks = PnpPowerEventCallbacks(
        evt_device_usage_notification=lambda device, kind, in_path: None,
        evt_device_usage_notification_ex=lambda device, kind, in_path: STATUS_SUCCESS,
    )
    device = load(bench, lambda init: init.set_pnp_power_event_callbacks(callbacks))
    assert device.callbacks.evt_device_usage_notification is None
    assert bench.violation().rule == "UsageNotification"


@pytest.mark.mistake("InitFreeDeviceCallback")
@pytest.mark.covers("WdfDeviceInitFree")
def test_init_of_device_add_is_not_freed_by_the_driver(bench: Bench) -> None:
    load(bench, lambda init: init.free())
    assert bench.violation().rule == "InitFreeDeviceCallback"


@pytest.mark.covers("WdfDeviceSetAlignmentRequirement", "WdfDeviceGetAlignmentRequirement")
def test_alignment_requirement_is_a_mask(bench: Bench) -> None:
    device = load(bench)
    device.set_alignment_requirement(FILE_OCTA_ALIGNMENT)
    assert device.get_alignment_requirement() == FILE_OCTA_ALIGNMENT
    assert device.wdm_get_device_object().alignment_requirement == FILE_OCTA_ALIGNMENT


# Requests


def parallel(**handlers: Any) -> IoQueueConfig:
    return IoQueueConfig(IoQueueDispatchType.PARALLEL, **handlers)


def complete(queue: IoQueue, request: Request, *_: object) -> None:
    request.complete(STATUS_SUCCESS)


@pytest.mark.covers("WdfDeviceConfigureRequestDispatching", "WdfDeviceGetDefaultQueue")
def test_request_dispatching_is_checked(bench: Bench) -> None:
    other = load(bench, index=1)
    foreign = IoQueue.create(other, parallel(evt_io_default=complete))
    statuses: list[int] = []

    def add(device: Device) -> None:
        assert device.get_default_queue() is None
        default = IoQueue.create(device, parallel(evt_io_default=complete, default_queue=True))
        assert device.get_default_queue() is default
        writes = IoQueue.create(device, parallel(evt_io_write=complete))
        configure = device.configure_request_dispatching
        statuses.extend(
            refused(call)
            for call in (
                lambda: configure(writes, 2),  # type: ignore[arg-type]
                lambda: configure(foreign, RequestType.WRITE),
                lambda: configure(default, RequestType.WRITE),
                lambda: configure(writes, RequestType.READ),
                lambda: configure(writes, RequestType.CREATE),
            )
        )
        configure(writes, RequestType.WRITE)
        statuses.append(refused(lambda: configure(writes, RequestType.WRITE)))
        assert not writes.deletable

    device = load(bench, add=add)
    queue = IoQueue.create(device, parallel(evt_io_read=complete))
    late = refused(lambda: device.configure_request_dispatching(queue, RequestType.READ))
    assert statuses == [
        STATUS_INVALID_PARAMETER,
        *[STATUS_INVALID_DEVICE_REQUEST] * 4,
        STATUS_WDF_BUSY,
    ]
    assert late == STATUS_INVALID_DEVICE_STATE


@pytest.mark.covers("WdfDeviceConfigureRequestDispatching")
def test_create_and_internal_requests_can_be_dispatched(bench: Bench) -> None:
    names: list[str] = []

    def created(queue: IoQueue, request: Request) -> None:
        names.append(request.irp.file.name)
        accepted = request.irp.file.name == "yes"
        request.complete(STATUS_SUCCESS if accepted else STATUS_ACCESS_DENIED)

    def add(device: Device) -> None:
        queue = IoQueue.create(device, parallel(evt_io_default=created))
        device.configure_request_dispatching(queue, RequestType.CREATE)
        device.configure_request_dispatching(queue, RequestType.DEVICE_CONTROL_INTERNAL)
        assert device.internal_queue is queue

    device = load(bench, add=add)
    device.open("yes").close()
    assert refused(lambda: device.open("no")) == STATUS_ACCESS_DENIED
    assert names == ["yes", "no"]
    assert device.files == []


@pytest.mark.covers(
    "EvtIoInCallerContext", "WdfDeviceEnqueueRequest", "WdfDeviceInitSetIoInCallerContextCallback"
)
def test_requests_are_seen_in_the_context_of_their_sender(bench: Bench) -> None:
    seen: list[tuple[int, int]] = []
    presented: list[int] = []

    def in_context(device: Device, request: Request) -> None:
        seen.append((bench.kernel.irql(), request.length))
        if request.length == 1:
            request.complete(STATUS_ACCESS_DENIED)
            return
        try:
            device.enqueue_request(request)
        except NtStatusError as error:
            request.complete(error.status)

    def write(queue: IoQueue, request: Request, length: int) -> None:
        presented.append(length)
        status = refused(lambda: queue.device.enqueue_request(request))
        request.complete_with_information(status and STATUS_SUCCESS, length)

    device = load(
        bench,
        lambda init: init.set_io_in_caller_context_callback(in_context),
        lambda device: IoQueue.create(device, parallel(evt_io_write=write, default_queue=True)),
    )
    with device.open() as file:
        assert refused(lambda: file.write(b"1")) == STATUS_ACCESS_DENIED
        assert file.write(b"22") == 2
        irql = bench.kernel.raise_irql(DISPATCH_LEVEL)
        irp = file.write_async(b"333")
        bench.kernel.lower_irql(irql)
        assert irp.wait(TIMEOUT) == STATUS_SUCCESS
    assert seen == [(0, 1), (0, 2), (DISPATCH_LEVEL, 3)]
    assert presented == [2, 3]


@pytest.mark.covers("WdfDeviceEnqueueRequest")
def test_request_that_a_queue_has_presented_is_not_enqueued(bench: Bench) -> None:
    statuses: list[int] = []

    def write(queue: IoQueue, request: Request, length: int) -> None:
        statuses.append(refused(lambda: queue.device.enqueue_request(request)))
        request.complete(STATUS_SUCCESS)

    def add(device: Device) -> None:
        IoQueue.create(device, parallel(evt_io_default=complete, default_queue=True))
        writes = IoQueue.create(device, parallel(evt_io_write=write))
        device.configure_request_dispatching(writes, RequestType.WRITE)
        # This makes the request's own queue another one than the queue of its type.
        device.io._dispatched[RequestType.WRITE] = device.queues[0]

    with load(bench, add=add).open() as file:
        file.write(b"1")
    assert statuses == [STATUS_INVALID_DEVICE_REQUEST]


@pytest.mark.covers("WdfDeviceEnqueueRequest")
def test_request_without_a_queue_stays_with_the_driver(bench: Bench) -> None:
    statuses: list[int] = []

    def in_context(device: Device, request: Request) -> None:
        statuses.append(refused(lambda: device.enqueue_request(request)))
        request.complete(STATUS_UNSUCCESSFUL)

    device = load(bench, lambda init: init.set_io_in_caller_context_callback(in_context))
    with device.open() as file:
        assert refused(lambda: file.write(b"1")) == STATUS_UNSUCCESSFUL
    assert statuses == [STATUS_INVALID_DEVICE_REQUEST]


class Note:
    """The context of each request."""

    value = 0


@pytest.mark.covers("WdfDeviceInitSetRequestAttributes")
def test_each_request_gets_the_context_of_the_init(bench: Bench) -> None:
    contexts: list[Note] = []
    cleaned: list[Request] = []

    def write(queue: IoQueue, request: Request, length: int) -> None:
        contexts.append(request.get_typed_context(Note))
        request.complete_with_information(STATUS_SUCCESS, length)

    attributes = ObjectAttributes(context_type=Note, evt_cleanup_callback=cleaned.append)
    device = load(
        bench,
        lambda init: init.set_request_attributes(attributes),
        lambda device: IoQueue.create(device, parallel(evt_io_write=write, default_queue=True)),
    )
    with device.open() as file:
        file.write(b"1")
        file.write(b"2")
    assert all(isinstance(each, Note) for each in contexts)
    assert contexts[0] is not contexts[1]
    assert len(cleaned) == 2


@pytest.mark.covers("WdfFdoInitSetFilter")
def test_filter_passes_on_what_its_queues_do_not_handle(bench: Bench) -> None:
    device = load(
        bench,
        lambda init: init.set_filter(),
        lambda device: IoQueue.create(device, parallel(evt_io_write=complete, default_queue=True)),
    )
    assert not device.power_policy_owner
    with device.open() as file:
        file.write(b"a")
        assert refused(lambda: file.read(4)) == STATUS_INVALID_DEVICE_REQUEST
    forwarded = device.wdm_get_physical_device().forwarded
    assert forwarded == {RequestType.CREATE: 1, RequestType.READ: 1, 0x12: 1, 0x02: 1}


# Names


@pytest.mark.covers(
    "WdfDeviceCreateDeviceInterface",
    "WdfDeviceSetDeviceInterfaceState",
    "WdfDeviceSetDeviceInterfaceStateEx",
)
def test_device_is_found_by_its_interface_while_it_is_started(bench: Bench) -> None:
    namespace = bench.system.namespace

    def add(device: Device) -> None:
        device.create_device_interface(GUID, "port")
        assert namespace.interfaces(GUID) == ()

    device = load(bench, add=add)
    assert [each.device for each in namespace.interfaces(GUID)] == [device]
    with namespace.open_interface(GUID) as file:
        assert (file.get_device(), file.name) == (device, "port")
    device.create_device_interface(OTHER_GUID)
    assert len(namespace.interfaces(OTHER_GUID)) == 1
    device.set_device_interface_state(GUID, "port", is_interface_enabled=False)
    assert refused(lambda: namespace.open_interface(GUID)) == STATUS_OBJECT_NAME_NOT_FOUND
    device.set_device_interface_state_ex(GUID, "port", is_interface_enabled=True)
    assert len(namespace.interfaces(GUID)) == 1
    device.set_device_interface_state(GUID, "none", is_interface_enabled=False)
    call = lambda: device.set_device_interface_state_ex(GUID, is_interface_enabled=True)  # noqa: E731
    assert refused(call) == STATUS_INVALID_DEVICE_REQUEST
    device.remove()
    assert namespace.interfaces(GUID) == ()


@pytest.mark.covers("WdfDeviceCreateSymbolicLink")
def test_device_is_found_by_its_symbolic_link(bench: Bench) -> None:
    namespace = bench.system.namespace
    device = load(bench)
    assert refused(lambda: device.create_symbolic_link("")) == STATUS_INVALID_DEVICE_REQUEST
    device.create_symbolic_link("\\DosDevices\\Test")
    second = refused(lambda: device.create_symbolic_link("\\DosDevices\\Again"))
    assert second == STATUS_INVALID_DEVICE_REQUEST
    other = load(bench, index=1)
    taken = refused(lambda: other.create_symbolic_link("\\DosDevices\\TEST"))
    assert taken == STATUS_OBJECT_NAME_COLLISION
    with namespace.open("\\DosDevices\\Test") as file:
        assert file.device is device
    device.remove()
    gone = refused(lambda: namespace.open("\\DosDevices\\Test"))
    assert gone == STATUS_OBJECT_NAME_NOT_FOUND


# Keys, properties, the bus


@pytest.mark.covers(
    "WdfDeviceOpenRegistryKey",
    "WdfFdoInitOpenRegistryKey",
    "WdfRegistryQueryULong",
    "WdfRegistryAssignULong",
    "WdfRegistryClose",
)
def test_registry_keeps_a_device_s_values(bench: Bench) -> None:
    def setup(init: DeviceInit) -> None:
        key = init.open_registry_key(PlugPlayRegistryKey.DEVICE, KEY_READ | KEY_WRITE)
        assert refused(lambda: key.query_u_long("Count")) == STATUS_OBJECT_NAME_NOT_FOUND
        key.assign_u_long("Count", 1 << 32 | 7)
        key.close()

    device = load(bench, setup)
    key = device.open_registry_key(PlugPlayRegistryKey.DEVICE)
    assert key.query_u_long("COUNT") == 7
    assert refused(lambda: key.assign_u_long("Count", 1)) == STATUS_ACCESS_DENIED
    bench.system.registry.assign(key.path, "Name", "text")
    assert refused(lambda: key.query_u_long("Name")) == STATUS_OBJECT_TYPE_MISMATCH
    key.close()
    assert key not in device.children
    software = device.open_registry_key(PlugPlayRegistryKey.DRIVER, KEY_WRITE)
    assert refused(lambda: software.query_u_long("Count")) == STATUS_ACCESS_DENIED
    wrong = refused(lambda: device.open_registry_key(4))  # type: ignore[arg-type]
    assert wrong == STATUS_INVALID_PARAMETER


@pytest.mark.covers("WdfDriverOpenParametersRegistryKey", "WdfDriverGetRegistryPath")
def test_registry_keeps_a_driver_s_parameters(bench: Bench) -> None:
    driver = load(bench).driver
    assert driver.get_registry_path().endswith("\\Services\\device")
    path = f"{driver.get_registry_path()}\\Parameters"
    bench.system.registry.assign(path, "Depth", 3)
    assert driver.open_parameters_registry_key().query_u_long("Depth") == 3


@pytest.mark.covers(
    "WdfDeviceQueryProperty",
    "WdfDeviceAllocAndQueryProperty",
    "WdfDeviceQueryPropertyEx",
    "WdfDeviceAllocAndQueryPropertyEx",
)
def test_properties_tell_what_and_where_the_device_is(bench: Bench) -> None:
    device = load(bench)
    query = device.alloc_and_query_property
    address = device.function.address

    def text(key: DeviceProperty) -> list[str]:
        memory = query(key)
        assert memory.parent is device
        return bytes(memory.get_buffer()).decode("utf-16-le").rstrip("\0").split("\0")

    assert text(DeviceProperty.HARDWARE_ID)[-1] == "PCI\\VEN_1234&DEV_11E8"
    assert text(DeviceProperty.HARDWARE_ID)[0].startswith("PCI\\VEN_1234&DEV_11E8&SUBSYS_")
    assert text(DeviceProperty.COMPATIBLE_IDS)[-1].startswith("PCI\\CC_")
    assert text(DeviceProperty.LOCATION_INFORMATION) == [
        f"PCI bus 0, device {address.device}, function 0"
    ]
    assert text(DeviceProperty.ENUMERATOR_NAME) == ["PCI"]
    assert text(DeviceProperty.DRIVER_KEY_NAME) == ["device"]
    name = device.wdm_get_physical_device().name
    assert text(DeviceProperty.PHYSICAL_DEVICE_OBJECT_NAME) == [name]
    assert "1234:11e8" in text(DeviceProperty.DEVICE_DESCRIPTION)[0]
    for key, value in (
        (DeviceProperty.BUS_NUMBER, 0),
        (DeviceProperty.ADDRESS, address.device << 16),
        (DeviceProperty.LEGACY_BUS_TYPE, 5),
    ):
        assert device.query_property(key, 4) == struct.pack("<I", value)
    too_small = refused(lambda: device.query_property(DeviceProperty.ADDRESS, 3))
    assert too_small == STATUS_BUFFER_TOO_SMALL
    assert refused(lambda: query(0x99)) == STATUS_OBJECT_NAME_NOT_FOUND
    guid = DevicePropertyData(DeviceProperty.BUS_TYPE_GUID)
    kind, memory = device.alloc_and_query_property_ex(guid)
    assert kind is DevicePropertyType.GUID
    assert device.query_property_ex(guid, 16) == (kind, bytes(memory.get_buffer()))
    assert refused(lambda: device.query_property_ex(guid, 15)) == STATUS_BUFFER_TOO_SMALL


@pytest.mark.covers("WdfFdoQueryForInterface")
def test_bus_interface_gives_configuration_space(bench: Bench) -> None:
    device = load(bench)
    bus = device.query_for_interface(GUID_BUS_INTERFACE_STANDARD)
    assert bus.get_bus_data(0, 0, 4) == struct.pack("<HH", 0x1234, 0x11E8)
    assert bus.set_bus_data(0, 0x3C, b"\x2a") == 1
    assert bus.get_bus_data(0, 0x3C, 1) == b"\x2a"
    before = bus.get_bus_data(0, 0x0C, 2)
    assert bus.set_bus_data(0, 0x0C, before) == 2
    assert bus.set_bus_data(0, 0x10, bus.get_bus_data(0, 0x10, 4)) == 4
    assert bus.get_bus_data(1, 0, 4) == b""
    assert bus.set_bus_data(0, 4095, b"12") == 0
    assert refused(lambda: device.query_for_interface(GUID)) == STATUS_NOT_SUPPORTED
    newer = refused(lambda: device.query_for_interface(GUID_BUS_INTERFACE_STANDARD, 2))
    assert newer == STATUS_NOT_SUPPORTED


# The driver


@pytest.mark.covers(
    "WdfDriverCreate", "WdfGetDriver", "WdfDeviceGetDriver", "WdfDriverWdmGetDriverObject"
)
def test_driver_is_created_once(bench: Bench) -> None:
    def entry(driver_object: Any) -> Driver:
        assert get_driver(driver_object) is None
        driver = Driver.create(driver_object, DriverConfig())
        assert get_driver(driver_object) is driver
        assert driver.wdm_get_driver_object() is driver_object
        second = refused(lambda: Driver.create(driver_object, DriverConfig()))
        assert second == STATUS_DRIVER_INTERNAL_ERROR
        return driver

    bench.drivers.append(bench.system.load_driver(entry, name="driver"))
    device = load(bench)
    assert device.get_driver() is bench.drivers[-1]


@pytest.mark.covers("WdfDriverCreate", "WDF_DRIVER_CONFIG.DriverInitFlags")
@pytest.mark.parametrize(
    ("config", "status"),
    [
        (None, STATUS_INFO_LENGTH_MISMATCH),
        (DriverConfig(driver_init_flags=0x20), STATUS_INVALID_PARAMETER),
        (
            DriverConfig(
                evt_driver_device_add=lambda driver, init: None,
                driver_init_flags=DriverInitFlags.NON_PNP_DRIVER,
            ),
            STATUS_INVALID_PARAMETER,
        ),
    ],
)
def test_driver_configuration_is_checked(bench: Bench, config: Any, status: int) -> None:
    call = lambda: bench.system.load_driver(  # noqa: E731
        lambda driver_object: Driver.create(driver_object, config)
    )
    assert refused(call) == status


@pytest.mark.covers("WDF_DRIVER_CONFIG.DriverInitFlags")
def test_driver_can_switch_the_verifier_on(boot: Callable[..., Bench]) -> None:
    from pydriver.ke import VerifierConfig

    bench = boot(1, VerifierConfig(enabled=False))
    device = load(bench, lambda init: init.free())
    assert bench.violations() == []
    device.remove()
    config = DriverConfig(driver_init_flags=DriverInitFlags.VERIFIER_ON)
    load(bench, lambda init: init.free(), config=config)
    assert bench.violation().rule == "InitFreeDeviceCallback"


@pytest.mark.covers("WDF_DRIVER_CONFIG.DriverPoolTag")
@pytest.mark.parametrize(
    ("tag", "effective"),
    [(0, b"devi"), (int.from_bytes(b"Ddk ", "little"), b"devi"), (0x31323334, b"4321")],
)
def test_pool_tag_is_that_of_the_name_without_one(bench: Bench, tag: int, effective: bytes) -> None:
    device = load(bench, config=DriverConfig(driver_pool_tag=tag))
    assert device.driver.pool_tag == int.from_bytes(effective, "little")


@pytest.mark.covers("EvtDriverUnload")
def test_driver_that_vetoes_is_unloaded_all_the_same(bench: Bench) -> None:
    called: list[str] = []

    def veto(device: Device) -> int:
        called.append("veto")
        return STATUS_UNSUCCESSFUL

    config = DriverConfig(evt_driver_unload=lambda driver: called.append("unload"))
    callbacks = PnpPowerEventCallbacks(evt_device_query_remove=veto)
    load(bench, lambda init: init.set_pnp_power_event_callbacks(callbacks), config=config)
    bench.drivers[-1].unload()
    assert called == ["veto", "unload"]


@pytest.mark.covers("WdfDeviceInitSetPowerNotPageable", "WdfDeviceInitSetPowerPageable")
@pytest.mark.parametrize("pageable", [True, False])
def test_device_that_is_not_pageable_keeps_its_interrupts_in_dx(
    bench: Bench, pageable: bool
) -> None:
    called: list[str] = []
    done = Signal()

    def first(interrupt: Interrupt, message: int) -> bool:
        called.append("first")
        return False

    def second(interrupt: Interrupt, message: int) -> bool:
        edu.acknowledge()
        called.append("second")
        done.set()
        return True

    def device_add(driver: Driver, init: DeviceInit) -> None:
        if pageable:
            init.set_power_pageable()
        else:
            init.set_power_not_pageable()
        Interrupt.create(Device.create(init), InterruptConfig(evt_interrupt_isr=first))

    driver = bench.system.load_driver(
        lambda driver_object: Driver.create(driver_object, DriverConfig(device_add)), name="first"
    )
    bench.drivers.append(driver)
    device = driver.add_device(bench.functions[0], interrupts=InterruptMode.INTX)
    # Functions 0 and 2 share a line.
    edu = bench.load(Plan(isr=second, mode=InterruptMode.INTX), 2)
    device.exit_d0()
    edu.raise_interrupt()
    done.wait("the interrupt of the other device")
    edu.registers.read32(0)
    assert called == (["second"] if pageable else ["first", "second"])
    called.clear()
    device.enter_d0()
    edu.raise_interrupt()
    edu.registers.read32(0)
    edu.registers.read32(0)
    # An interrupt that is connected again comes last in the chain, after the one that claims.
    assert called == (["second"] if pageable else ["first", "second"])
    device.exit_d0()
    device.remove()
    called.clear()
    edu.raise_interrupt()
    edu.registers.read32(0)
    edu.registers.read32(0)
    assert called == ["second"]
