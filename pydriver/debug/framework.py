# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Views of the framework's objects, with the words and the order of fields of WDFKD.

[Kernel-Mode Driver Framework Extensions (Wdfkd.dll)]. Views only read: they do not wait and take no
lock, so that they work while a thread that holds a lock is stopped.
"""

from typing import TYPE_CHECKING

from pydriver.debug.handles import Handles, objects_below
from pydriver.place import place_of_callback
from pydriver.trace import Event
from pydriver.wdf.device.wdfkd import kind_of, state_of, wdf_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydriver.system import System
    from pydriver.trace import Entry
    from pydriver.wdf import Device, Driver, Object
    from pydriver.wdf.io.request_base import RequestBase

__all__ = (
    "device_interrupts",
    "device_queues",
    "show_device",
    "show_driver",
    "show_handle",
    "show_object",
    "show_request",
    "show_state",
)

SINCE_PRESENTED = 12
"""Number of events after a request's presentation that `wdfrequest` shows."""


def title(handles: Handles, target: "Object") -> list[str]:
    """Returns an underlined title, for example ``Dumping WDFQUEUE 0x1010``."""
    text = f"Dumping {kind_of(target)} {handles.of(target)}"
    return [text, "=" * len(text)]


def show_driver(handles: Handles, driver: "Driver") -> list[str]:
    """Shows a driver and its devices [!wdfdriverinfo]."""
    return [
        f"Default driver image name: {driver.name}",
        "-" * 40,
        f"WDFDRIVER: {handles.of(driver)}",
        *_contexts(driver),
        f"    EvtDriverDeviceAdd: {_place(driver.config.evt_driver_device_add)}",
        f"    EvtDriverUnload:    {_place(driver.config.evt_driver_unload)}",
        "",
        *(
            f"    {handles.command(device):<24} {device}  ({device.pnp_state.name})"
            for device in driver.devices
        ),
    ]


def show_device(handles: Handles, device: "Device") -> list[str]:
    """Shows a device [!wdfdevice]."""
    callbacks = [
        (name, callback)
        for name in type(device.callbacks).__dataclass_fields__
        if (callback := getattr(device.callbacks, name)) is not None
    ]
    handle = handles.of(device)
    return [
        *title(handles, device),
        f"WDM PDEVICE_OBJECT: {device.device_object.name or '-'}",
        f"    attached to {device.physical_device_object.name}",
        f"    {handles.command(device.driver)}: {device.driver}",
        *_body(handles, device),
        f"    SynchronizationScope{device.synchronization_scope.name.title()}",
        f"    ExecutionLevel{device.execution_level.name.title()}",
        *_contexts(device),
        *(f"    {wdf_name(name)}: {_place(callback)}" for name, callback in callbacks),
        f"    Number of queues: {len(device.queues)}  (!wdfdevicequeues {handle})",
        f"    Number of interrupts: {len(device.interrupts)}  (!wdfdeviceinterrupts {handle})",
    ]


def device_queues(handles: Handles, device: "Device") -> list[str]:
    """Shows the queues of a device [!wdfdevicequeues]."""
    text = f"Dumping queues of WDFDEVICE {handles.of(device)}"
    lines = [text, "=" * len(text), f"Number of queues: {len(device.queues)}"]
    for number, queue in enumerate(device.queues, 1):
        lines += ["-" * 40, f"Queue: {number} ({handles.command(queue)})"]
        lines += _body(handles, queue)
    return lines


def show_state(handles: Handles, target: "Object") -> list[str]:
    """Shows an object's state and its callbacks [!wdfqueue, !wdfinterrupt]."""
    device = target.device_above
    owner = [] if device is None else [f"    {handles.command(device)}: {device}"]
    return [*title(handles, target), *owner, *_body(handles, target)]


def _body(handles: Handles, target: "Object") -> list[str]:
    state = state_of(target, handles.command)
    return [] if state is None else [f"    {line}" for line in state.body()]


def show_request(handles: Handles, system: "System", request: "RequestBase") -> list[str]:
    """Shows a request, and the events since it was presented to the driver [!wdfrequest]."""
    lines = [*show_state(handles, request), *_contexts(request)]
    entries = system.kernel.recorder.last()
    presented = _presentation(entries, request.number)
    if presented is None:
        return lines
    recorder = system.kernel.recorder
    since = entries[presented : presented + SINCE_PRESENTED]
    lines.append("    Since it was presented:")
    lines += [f"      {line}" for line in recorder.format_entries(since)]
    more = len(entries) - presented - len(since)
    if more > 0:
        lines.append(f"      ... and {more} more events (!wdflogdump)")
    return lines


def _presentation(entries: "list[Entry]", number: int) -> int | None:
    for index in range(len(entries) - 1, -1, -1):
        if entries[index][1] is Event.PRESENT and entries[index][5] == number:
            return index
    return None


def device_interrupts(handles: Handles, device: "Device") -> list[str]:
    """Shows the interrupts of a device [!wdfdeviceinterrupts]."""
    text = f"Dumping interrupts of WDFDEVICE {handles.of(device)}"
    lines = [text, "=" * len(text), f"Number of interrupts: {len(device.interrupts)}"]
    for each in device.interrupts:
        if each.descriptor is not None:
            lines += ["-" * 40, f"{handles.command(each)}: {each}", *_body(handles, each)]
    without = sum(each.descriptor is None for each in device.interrupts)
    if without:
        lines += ["-" * 40, f"{without} without a resource"]
    return lines


def show_object(handles: Handles, target: "Object") -> list[str]:
    """Shows the properties that all objects have [!wdfobject]."""
    parent = target.parent
    return [
        *title(handles, target),
        f"    {target}",
        f"    State:           {target.phase.name}",
        f"    Reference count: {target._references}",
        f"    Parent:          {handles.command(parent) if parent is not None else '-'}",
        *_contexts(target),
        *(
            f"    Child:           {handles.command(child):<24} {child}"
            for child in target.children
        ),
    ]


def show_handle(handles: Handles, target: "Object") -> list[str]:
    """Shows the type of a handle, its contexts, and the commands that show more [!wdfhandle]."""
    return [
        *title(handles, target),
        f"    Type:            {kind_of(target)} ({target.fx_type:#x})",
        f"    Object:          {target}",
        *_contexts(target),
        f"    !wdfobject {handles.of(target)}",
        f"    Objects below:   {sum(1 for _ in objects_below(target)) - 1}",
    ]


def _contexts(target: "Object") -> list[str]:
    return [
        f"    context:         {kind.__module__}.{kind.__qualname__}"
        for kind in target._contexts or {}
    ]


def _place(callback: "Callable[..., object] | None") -> str:
    return "-" if callback is None else str(place_of_callback(callback))
