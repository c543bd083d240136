# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Views of the framework's objects, with the words and the order of fields of WDFKD.

[Kernel-Mode Driver Framework Extensions (Wdfkd.dll)]. They only look: nothing waits, and no lock
is taken, so that they can be shown while a thread that holds it is stopped.
"""

from typing import TYPE_CHECKING

from pydriver.debug.handles import Handles, kind, objects_below, requests_of
from pydriver.ke.bugcheck import callback_name
from pydriver.ke.irql import irql_name
from pydriver.ke.status import status_name
from pydriver.trace import Event
from pydriver.wdf.io_queue_config import IoQueueDispatchType
from pydriver.wdf.request_state import COMPLETED, CREATED, OWNED, QUEUED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pydriver.ke import System
    from pydriver.trace import Entry
    from pydriver.wdf import Device, Driver, Interrupt, IoQueue
    from pydriver.wdf.object import Object
    from pydriver.wdf.request_base import RequestBase

__all__ = (
    "device_interrupts",
    "device_queues",
    "show_device",
    "show_driver",
    "show_handle",
    "show_interrupt",
    "show_object",
    "show_queue",
    "show_request",
    "source_of",
)

SINCE_PRESENTED = 12
"""Events after its presentation that `wdfrequest` shows."""

REQUEST_STATES = {
    QUEUED: "waits in its queue",
    OWNED: "presented to the driver, which owns it",
    COMPLETED: "completed",
    CREATED: "created by the driver",
}


def source_of(callback: "Callable[..., object]") -> str:
    """A callback by its name, its file and its first line: ``evt_dpc (lost.py:31)``."""
    from functools import partial
    from pathlib import Path

    name = callback_name(callback)
    function = callback
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None:
        return name
    return f"{name} ({Path(code.co_filename).name}:{code.co_firstlineno})"


def title(handles: Handles, target: "Object") -> list[str]:
    """``Dumping WDFQUEUE 0x1010``, underlined."""
    text = f"Dumping {kind(target)} {handles.of(target)}"
    return [text, "=" * len(text)]


def show_driver(handles: Handles, driver: "Driver") -> list[str]:
    """`!wdfdriverinfo`."""
    return [
        f"Default driver image name: {driver.name}",
        "-" * 40,
        f"WDFDRIVER: {handles.of(driver)}",
        *_contexts(driver),
        f"    EvtDriverDeviceAdd: {_callback(driver.config.evt_driver_device_add)}",
        f"    EvtDriverUnload:    {_callback(driver.config.evt_driver_unload)}",
        "",
        *(
            f"    {handles.command(device):<24} {device}  ({device.pnp_state.name})"
            for device in driver.devices
        ),
    ]


def show_device(handles: Handles, device: "Device") -> list[str]:
    """`!wdfdevice`."""
    callbacks = [
        (name, callback)
        for name in type(device.callbacks).__dataclass_fields__
        if (callback := getattr(device.callbacks, name)) is not None
    ]
    interrupts = len(device.interrupts)
    return [
        *title(handles, device),
        f"WDM PDEVICE_OBJECT:  {device.device_object.name or '-'}",
        f"    attached to:     {device.physical_device_object.name}",
        f"    PCI function:    {device.function}",
        f"    Pnp state:       {int(device.pnp_state):x} ( {device.pnp_state.name} )",
        f"    Power state:     {device.power_state.name}",
        f"    SynchronizationScope: {device.synchronization_scope.name}",
        f"    ExecutionLevel:  {device.execution_level.name}",
        f"    Driver:          {handles.command(device.driver)}",
        *_contexts(device),
        *(f"    {_camel(name)}: {source_of(callback)}" for name, callback in callbacks),
        f"    Queues:          {len(device.queues)}  (!wdfdevicequeues {handles.of(device)})",
        f"    Interrupts:      {interrupts}  (!wdfdeviceinterrupts {handles.of(device)})",
    ]


def device_queues(handles: Handles, device: "Device") -> list[str]:
    """`!wdfdevicequeues`."""
    text = f"Dumping queues of WDFDEVICE {handles.of(device)}"
    lines = [text, "=" * len(text), f"Number of queues: {len(device.queues)}"]
    for number, queue in enumerate(device.queues, 1):
        lines += ["-" * 40, f"Queue: {number} ({handles.command(queue)})"]
        lines += [f"    {line}" for line in _queue(handles, queue)]
    return lines


def show_queue(handles: Handles, queue: "IoQueue") -> list[str]:
    """`!wdfqueue`."""
    return [
        *title(handles, queue),
        *_queue(handles, queue),
        f"WDFDEVICE: {handles.command(queue.device)}",
    ]


def _queue(handles: Handles, queue: "IoQueue") -> list[str]:
    owned = len(queue.owned)
    requests = requests_of(queue)
    config = queue.config
    handlers = [
        (name, callback)
        for name in type(config).__dataclass_fields__
        if name.startswith("evt_") and (callback := getattr(config, name)) is not None
    ]
    return [
        ", ".join(_traits(queue)),
        f"Number of driver owned requests: {owned}",
        *(f"  {_brief(handles, each)}" for each in requests[:owned]),
        f"Number of waiting requests: {len(requests) - owned}",
        *(f"  {_brief(handles, each)}" for each in requests[owned:]),
        *(f"{_camel(name)}: {source_of(callback)}" for name, callback in handlers),
    ]


def _traits(queue: "IoQueue") -> "Iterable[str]":
    config = queue.config
    yield {
        IoQueueDispatchType.SEQUENTIAL: "Sequential",
        IoQueueDispatchType.PARALLEL: "Parallel",
        IoQueueDispatchType.MANUAL: "Manual",
    }[config.dispatch_type]
    if config.default_queue:
        yield "Default"
    yield "Power-managed" if config.power_managed else "Not power-managed"
    yield "PowerOn" if queue.powered else "PowerOff"
    yield "Can accept" if queue.accepting else "Cannot accept"
    yield "Can dispatch" if queue.dispatching else "Cannot dispatch"
    if queue.handlers:
        yield "Dispatching"
    yield f"ExecutionLevel{queue.execution_level.name.title()}"
    yield f"SynchronizationScope{queue.synchronization_scope.name.title()}"


def _brief(handles: Handles, request: "Object") -> str:
    return f"{handles.command(request)}  {request}"


def show_request(handles: Handles, system: "System", request: "RequestBase") -> list[str]:
    """`!wdfrequest`, and what ran since the driver was given the request."""
    irp = request.irp
    lines = [
        *title(handles, request),
        f"    !IRP:            {irp}",
        f"    State:           {REQUEST_STATES[request.state]}",
        f"    Status:          {status_name(irp.status)}, information {irp.information}",
        f"    Cancel:          {_cancel(request)}",
    ]
    if request.state != CREATED:
        lines.append(f"    Queue:           {handles.command(request.queue)}  {request.queue}")
        lines.append(f"    Device:          {handles.command(request.queue.device)}")
    lines += _contexts(request)
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


def _cancel(request: "RequestBase") -> str:
    asked = "asked for; " if request.canceled else ""
    if not request.cancelable:
        return f"{asked}not cancelable"
    assert request.cancel_routine is not None
    return f"{asked}cancelable, EvtRequestCancel: {source_of(request.cancel_routine)}"


def device_interrupts(handles: Handles, device: "Device") -> list[str]:
    """`!wdfdeviceinterrupts`."""
    text = f"Dumping interrupts of WDFDEVICE {handles.of(device)}"
    lines = [text, "=" * len(text), f"Number of interrupts: {len(device.interrupts)}"]
    for each in device.interrupts:
        if each.descriptor is not None:
            lines += ["-" * 40, f"{handles.command(each)}  {each}", *_interrupt(each)]
    without = sum(each.descriptor is None for each in device.interrupts)
    if without:
        lines += ["-" * 40, f"{without} without a resource"]
    return lines


def show_interrupt(handles: Handles, interrupt: "Interrupt") -> list[str]:
    """`!wdfinterrupt`."""
    return [
        *title(handles, interrupt),
        *_interrupt(interrupt),
        f"    Device:          {handles.command(interrupt.device)}",
    ]


def _interrupt(interrupt: "Interrupt") -> list[str]:
    info = interrupt.get_info.__wrapped__(interrupt)  # type: ignore[attr-defined]
    config = interrupt.config
    now = ", queued now" if interrupt._kdpc.queued else ""
    return [
        f"    Type:            {'MSI' if info.message_signaled else 'Line Based'}",
        f"    Vector:          {info.vector:#x}",
        f"    Irql:            {info.irql} ({irql_name(info.irql)})",
        f"    Mode:            {info.mode.name}",
        f"    Polarity:        {info.polarity.name}",
        f"    ShareDisposition: {info.share_disposition.name}",
        f"    Group affinity:  {info.group}:{info.target_processor_set:#x}",
        f"    State:           {interrupt.state.name}{'' if interrupt.active else ', inactive'}",
        f"    Interrupts:      {interrupt.interrupts}, of them not claimed {interrupt.unclaimed}",
        f"    DPCs queued:     {interrupt.dpcs_queued}, coalesced {interrupt.dpcs_coalesced}{now}",
        f"    EvtInterruptIsr: {_callback(config.evt_interrupt_isr)}",
        f"    EvtInterruptDpc: {_callback(config.evt_interrupt_dpc)}",
        f"    EvtInterruptWorkItem: {_callback(config.evt_interrupt_work_item)}",
    ]


def show_object(handles: Handles, target: "Object") -> list[str]:
    """`!wdfobject`: what all objects have."""
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
    """`!wdfhandle`: the type of a handle, its contexts, and what shows more."""
    return [
        *title(handles, target),
        f"    Type:            {kind(target)} ({target.fx_type:#x})",
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


def _callback(callback: "Callable[..., object] | None") -> str:
    return "-" if callback is None else source_of(callback)


def _camel(name: str) -> str:
    """``evt_io_read`` is EvtIoRead."""
    return "".join(part.title() for part in name.split("_"))
