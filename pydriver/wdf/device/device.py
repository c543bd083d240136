# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""WDFDEVICE: a function device object or a filter, and its parts.

Requests reach its queues and callbacks through `pydriver.wdf.io.package`; the PnP and power
sequences are in `pydriver.wdf.pnp`.
"""

from typing import TYPE_CHECKING, ClassVar, Self

from pydriver.declarations.registry import handle
from pydriver.ke.irql import PASSIVE_LEVEL
from pydriver.ke.status import (
    STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_SECURITY_DESCR,
    STATUS_NO_SUCH_DEVICE,
    NtStatusError,
)
from pydriver.wdf.device.init import make_device_object
from pydriver.wdf.device.interface import DeviceNames, NameDdis
from pydriver.wdf.device.property import PropertyDdis, instance_path
from pydriver.wdf.interrupt.resources import InterruptResources
from pydriver.wdf.io.device_object import DeviceObject
from pydriver.wdf.io.file_config import serializes_file_callbacks
from pydriver.wdf.io.irp import RequestType
from pydriver.wdf.io.package import IoPackage
from pydriver.wdf.object.ddi import RAISES, creation_ddi, ddi
from pydriver.wdf.object.object import (
    ExecutionLevel,
    ObjectAttributes,
    ParentRule,
    SynchronizationScope,
)
from pydriver.wdf.pnp.bus import BusFunction
from pydriver.wdf.pnp.device_state import StateDdis
from pydriver.wdf.pnp.pnp import Pnp
from pydriver.wdf.pnp.pnp_config import (
    DevicePnpState,
    DeviceRelationType,
    PnpPowerEventCallbacks,
    PowerDeviceState,
    SpecialFileType,
)
from pydriver.wdf.pnp.power import Failure, Power
from pydriver.wdf.pnp.power_policy import PowerPolicy
from pydriver.wdf.pnp.power_policy_ddis import PowerPolicyDdis
from pydriver.wdf.sync.serialization import (
    CallbackKind,
    effective_level,
    effective_scope,
    make_lock,
)

if TYPE_CHECKING:
    from pydriver.wdf.device.driver import Driver
    from pydriver.wdf.device.init import DeviceInit
    from pydriver.wdf.device.interface import DeviceInterface
    from pydriver.wdf.interrupt.interrupt import Interrupt
    from pydriver.wdf.io.file import File
    from pydriver.wdf.io.queue import IoQueue
    from pydriver.wdf.io.request import Request
    from pydriver.wdf.memory.resource import ResourceList

__all__ = ("Device",)


@handle("WDFDEVICE")
class Device(PropertyDdis, NameDdis, PowerPolicyDdis, StateDdis):
    """A device. It is made of parts, as WDF's FxDevice is; the DDIs that it inherits use them.

    :ivar function: the PCI function
    :ivar driver: the driver to which it belongs
    :ivar io: the I/O package
    :ivar bus: the bus driver's view of the device
    :ivar power: the power sequences
    :ivar pnp: the PnP sequences
    :ivar policy: the power policy
    :ivar names: device interfaces and the symbolic link
    :ivar interrupt_resources: the interrupt objects, and the messages or the line they are given
    :ivar dma_enablers: the DMA enablers, in the order in which they power up with the device
    :ivar device_lock: the presentation lock of the device's own callbacks, and of queues whose
        scope is DEVICE
    :ivar interrupt_mode: the mode in which the function should interrupt; ``None``: the best one
    :ivar message_limit: the most messages that it is given; ``None``: as many as it has
    """

    __slots__ = (
        "bus",
        "callback_kind",
        "device_lock",
        "dma_enablers",
        "execution_level",
        "interrupt_mode",
        "interrupt_resources",
        "io",
        "message_limit",
        "names",
        "pnp",
        "policy",
        "power",
        "serialization_lock",
        "synchronization_scope",
    )

    fx_type: ClassVar[int] = 0x1002
    allows_level: ClassVar[bool] = True
    allows_scope: ClassVar[bool] = True
    passive_disposal: ClassVar[bool] = True

    def __init__(self, init: "DeviceInit", attributes: ObjectAttributes) -> None:
        driver = init.driver
        level = effective_level(attributes, driver.execution_level)
        serialized = serializes_file_callbacks(init.file_attributes, level, "WdfDeviceCreate")
        guest_memory = driver.guest_memory
        if init.guest_memory is not None:
            guest_memory = driver._kernel.memory if init.guest_memory else None
        super().__init__(driver, driver.system, init.function, attributes, guest_memory)
        self.execution_level = level
        self.synchronization_scope = effective_scope(attributes, driver.synchronization_scope)
        # WDF's quirk: a level inherited from the driver does not count here.
        passive = attributes.execution_level is ExecutionLevel.PASSIVE
        self.callback_kind = CallbackKind.PASSIVE if passive else CallbackKind.DISPATCH
        self.device_lock = make_lock(self, self.execution_level)
        unlocked = self.synchronization_scope is SynchronizationScope.NONE
        self.serialization_lock = None if unlocked else self.device_lock
        self.interrupt_mode = init.interrupt_mode
        self.message_limit = init.message_limit
        self.interrupt_resources = InterruptResources(
            self.system, init.function, init.interrupt_mode, init.message_limit
        )
        self.dma_enablers = []
        self.names = DeviceNames()
        below = DeviceObject(name="\\Device\\" + instance_path(init.function).replace("\\", "#"))
        self.io = IoPackage(
            self,
            make_device_object(init, below),
            filter_driver=init.filter,
            file_config=init.file_config,
            file_attributes=init.file_attributes,
            files_serialized=serialized,
            request_attributes=init.request_attributes,
            caller_context=init.evt_io_in_caller_context,
        )
        self.bus = BusFunction(self.system, init.function, self.interrupt_resources)
        self.power = Power(self, self.bus, init.callbacks, pageable=init.power_pageable)
        self.pnp = Pnp(
            self,
            self.power,
            restart=lambda: driver.restart_device(self),
            started_changed=self.names.set_device_started,
        )
        owner = init.power_policy_owner
        self.policy = PowerPolicy(
            self,
            self.pnp,
            self.power,
            init.policy_callbacks,
            owner=not init.filter if owner is None else owner,
        )
        init.device = self

    def __str__(self) -> str:
        return f"{self.driver.name} {self.function.address}"

    # State of the parts

    @property
    def callbacks(self) -> PnpPowerEventCallbacks:
        """The PnP and power callbacks of the driver."""
        return self.power.callbacks

    @property
    def device_object(self) -> DeviceObject:
        """The device's own device object."""
        return self.io.device_object

    @property
    def physical_device_object(self) -> DeviceObject:
        """The bus driver's device object, at the bottom of the stack."""
        return self.io.physical_device_object

    @property
    def default_queue(self) -> "IoQueue | None":
        """The queue for requests that no other queue takes."""
        return self.io.default_queue

    @property
    def internal_queue(self) -> "IoQueue | None":
        """The queue for internal device controls."""
        return self.io.internal_queue

    @property
    def queues(self) -> "list[IoQueue]":
        """All queues, in the order of creation."""
        return self.io.queues

    @property
    def files(self) -> "list[File]":
        """The open handles."""
        return self.io.files

    @property
    def interrupts(self) -> "list[Interrupt]":
        """The interrupt objects, in the order of creation."""
        return self.interrupt_resources.interrupts

    @property
    def interfaces(self) -> "list[DeviceInterface]":
        """The device interfaces, in the order of creation."""
        return self.names.interfaces

    @property
    def resources(self) -> "ResourceList":
        """The translated resources, from EvtDevicePrepareHardware to EvtDeviceReleaseHardware."""
        return self.pnp.resources

    @property
    def raw_resources(self) -> "ResourceList":
        """The raw resources."""
        return self.pnp.raw_resources

    @property
    def pnp_state(self) -> "DevicePnpState":
        """The state of the PnP sequences, by the framework's name."""
        return self.pnp.state

    @property
    def powered(self) -> bool:
        """Whether the device is in D0 and its queues present requests."""
        return self.io.powered

    @property
    def power_state(self) -> PowerDeviceState:
        """The power state of the device."""
        return self.power.state

    @property
    def failures(self) -> "list[Failure]":
        """The steps of D0 exits that failed since the last D0 entry."""
        return self.power.failures

    @property
    def power_policy_owner(self) -> bool:
        """Whether the driver decides when the device sleeps."""
        return self.policy.owner

    # The PnP manager

    def start(self) -> None:
        """Starts the device, for the first time or after :meth:`stop` [IRP_MN_START_DEVICE].

        :raises NtStatusError: a step failed; the steps before it have been undone
        """
        self.pnp.start()

    def query_stop(self) -> int:
        """Asks the driver whether the device may be stopped [IRP_MN_QUERY_STOP_DEVICE]."""
        return self.pnp.query_stop()

    def stop(self) -> None:
        """Stops the device, if the driver agrees, so that :meth:`start` can give it new resources.

        :raises NtStatusError: the device does not run; the driver vetoes; or a callback failed, and
            with it the device
        """
        self.pnp.stop()

    def rebalance(self) -> None:
        """Gives the device other resources: :meth:`stop` and :meth:`start`.

        :raises NtStatusError: either of them failed
        """
        self.pnp.rebalance()

    def query_remove(self) -> int:
        """Asks the driver whether the device may be removed [IRP_MN_QUERY_REMOVE_DEVICE]."""
        return self.pnp.query_remove()

    def cancel_query(self) -> None:
        """Cancels a stop or removal that something else vetoed [IRP_MN_CANCEL_REMOVE_DEVICE]."""
        self.pnp.cancel_query()

    def remove(self, *, query: bool = True) -> None:
        """Removes and deletes the device in an orderly way. Idempotent.

        Handles that are still open are closed.

        :param query: whether to ask the driver first, if the device runs
        :raises NtStatusError: the driver vetoes
        """
        self.pnp.remove(query=query)

    def surprise_remove(self) -> None:
        """Handles the loss of the device [IRP_MN_SURPRISE_REMOVAL].

        The rest of the device object goes when the last handle is closed.
        """
        self.pnp.surprise_remove()

    def usage_notification(self, kind: SpecialFileType, *, in_path: bool) -> int:
        """Notifies of a special file on the device [IRP_MN_DEVICE_USAGE_NOTIFICATION].

        :param kind: the kind of file
        :param in_path: whether the file is put on the device; ``False``: it is taken off
        :return: an NTSTATUS: the driver may refuse
        """
        return self.pnp.usage_notification(kind, in_path=in_path)

    def query_relations(self, relation_type: DeviceRelationType) -> tuple[object, ...]:
        """The devices that are related to this one: none [IRP_MN_QUERY_DEVICE_RELATIONS]."""
        return self.pnp.query_relations(relation_type)

    # The power manager

    def exit_d0(self, target: PowerDeviceState = PowerDeviceState.D3) -> None:
        """Makes the device leave D0, as for idle or sleep.

        :param target: the new power state: D1, D2 or D3
        :raises NtStatusError: it is not in D0; or a callback failed, and with it the device
        """
        self.pnp.exit_d0(target)

    def enter_d0(self, previous: PowerDeviceState | None = None) -> None:
        """Makes the device return to D0.

        :param previous: the state that is passed to EvtDeviceD0Entry; ``None``: the device's state
        :raises NtStatusError: it is not in a low-power state; or a callback failed, and with it
            the device
        """
        self.pnp.enter_d0(previous)

    def wake(self) -> None:
        """Handles the wake signal of a device that idles; at PASSIVE_LEVEL."""
        self.policy.wake()

    def enter_sleep(self) -> None:
        """Makes the device leave D0 as the system goes to sleep, armed if it may wake the system.

        :raises NtStatusError: a callback failed, and with it the device
        """
        self.policy.enter_sleep()

    def leave_sleep(self, *, triggered: bool = False) -> None:
        """Makes the device return to D0 as the system wakes up, unless it was idle before.

        :param triggered: whether this device woke the system
        :raises NtStatusError: a callback failed, and with it the device
        """
        self.policy.leave_sleep(triggered=triggered)

    # DDIs

    @classmethod
    @creation_ddi(
        "WdfDeviceCreate",
        "NTSTATUS (_Inout_ PWDFDEVICE_INIT *DeviceInit, "
        "_In_opt_ PWDF_OBJECT_ATTRIBUTES DeviceAttributes, _Out_ WDFDEVICE *Device)",
        highest=PASSIVE_LEVEL,
        refusal=RAISES,
    )
    def create(cls, device_init: "DeviceInit", attributes: ObjectAttributes | None = None) -> Self:
        """Creates the device; in EvtDriverDeviceAdd.

        :param device_init: the argument of that callback, which is consumed
        :param attributes: the attributes, which must not name a parent
        :raises NtStatusError: the attributes are not valid; ``device_init`` is consumed, or has a
            security descriptor or a class but no name; the scope of its file objects is not
            possible; or the device has been removed
        """
        what = "WdfDeviceCreate"
        attributes = cls.check_attributes(attributes, ParentRule.FORBIDDEN, what)
        if device_init.device is not None:
            raise NtStatusError(STATUS_INVALID_DEVICE_STATE, what)
        secured = device_init.security_descriptor or device_init.device_class is not None
        if secured and not device_init.name:
            raise NtStatusError(STATUS_INVALID_SECURITY_DESCR, f"{what}: a device without a name")
        if not device_init.function.is_present:
            raise NtStatusError(STATUS_NO_SUCH_DEVICE, f"{what}: {device_init.function}")
        return cls(device_init, attributes)

    @ddi("WdfDeviceGetDriver", "WDFDRIVER (_In_ WDFDEVICE Device)")
    def get_driver(self) -> "Driver":
        """Returns the driver to which the device belongs."""
        return self.driver

    @ddi("WdfDeviceGetDefaultQueue", "WDFQUEUE (_In_ WDFDEVICE Device)")
    def get_default_queue(self) -> "IoQueue | None":
        """Returns the default queue; ``None``: the device has none."""
        return self.io.default_queue

    @ddi(
        "WdfDeviceConfigureRequestDispatching",
        "NTSTATUS (_In_ WDFDEVICE Device, _In_ WDFQUEUE Queue, _In_ WDF_REQUEST_TYPE RequestType)",
    )
    def configure_request_dispatching(self, queue: "IoQueue", request_type: RequestType) -> None:
        """Sends all requests of a type to a queue; in EvtDriverDeviceAdd.

        :param queue: a queue of this device, but not its default queue
        :param request_type: CREATE, READ, WRITE, DEVICE_CONTROL or DEVICE_CONTROL_INTERNAL
        :raises NtStatusError: the queue cannot take them [fxdeviceapi.cpp]
        """
        what = "WdfDeviceConfigureRequestDispatching"
        self.io.configure_dispatching(queue, request_type, what)

    @ddi("WdfDeviceEnqueueRequest", "NTSTATUS (_In_ WDFDEVICE Device, _In_ WDFREQUEST Request)")
    def enqueue_request(self, request: "Request") -> None:
        """Gives a request to the queue for its type; in EvtIoInCallerContext.

        :param request: the argument of that callback
        :raises NtStatusError: STATUS_INVALID_DEVICE_REQUEST: the request is another one, or no
            queue takes it; the driver still owns it
        """
        self.io.enqueue(request, f"WdfDeviceEnqueueRequest({request})")

    @ddi(
        "WdfDeviceSetAlignmentRequirement",
        "VOID (_In_ WDFDEVICE Device, _In_ ULONG AlignmentRequirement)",
    )
    def set_alignment_requirement(self, alignment_requirement: int) -> None:
        """Sets the alignment of buffers.

        :param alignment_requirement: the alignment as a mask: the alignment in bytes, less one
        """
        self.io.device_object.alignment_requirement = alignment_requirement

    @ddi("WdfDeviceGetAlignmentRequirement", "ULONG (_In_ WDFDEVICE Device)")
    def get_alignment_requirement(self) -> int:
        """Returns the alignment of buffers, as a mask."""
        return self.io.device_object.alignment_requirement

    @ddi("WdfDeviceWdmGetDeviceObject", "PDEVICE_OBJECT (_In_ WDFDEVICE Device)")
    def wdm_get_device_object(self) -> DeviceObject:
        """Returns the device's own device object."""
        return self.io.device_object

    @ddi("WdfDeviceWdmGetAttachedDevice", "PDEVICE_OBJECT (_In_ WDFDEVICE Device)")
    def wdm_get_attached_device(self) -> DeviceObject:
        """Returns the device object to which the device's own is attached."""
        return self.io.physical_device_object

    @ddi("WdfDeviceWdmGetPhysicalDevice", "PDEVICE_OBJECT (_In_ WDFDEVICE Device)")
    def wdm_get_physical_device(self) -> DeviceObject:
        """Returns the bus driver's device object."""
        return self.io.physical_device_object

    def _on_dispose(self) -> None:
        self.system.namespace.remove_device(self)

    def _on_destroy(self) -> None:
        self._kernel.verifier.forget_lock(self.device_lock)
