# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The state of objects, in the words and the order of the debugger's extension WDFKD.

The state is read when the system has failed or is about to fail, by the thread that found the
failure: no lock is taken, nothing waits, no register is accessed. State that another thread changes
meanwhile may be shown as before or after the change.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from typing import Any

from pydriver.ke.status import STATUS_PENDING, status_name
from pydriver.place import Place, place_of_callback
from pydriver.wdf.device.device import Device
from pydriver.wdf.interrupt.interrupt import Interrupt, InterruptState
from pydriver.wdf.io.queue import IoQueue
from pydriver.wdf.io.request import Request
from pydriver.wdf.io.request_state import COMPLETED, CREATED, OWNED, QUEUED
from pydriver.wdf.object.object import Object
from pydriver.wdf.sync.dpc import Dpc
from pydriver.wdf.sync.spin_lock import SpinLock
from pydriver.wdf.sync.timer import Timer
from pydriver.wdf.sync.work_item import WorkItem

__all__ = ("ObjectState", "Refer", "by_identity", "describe", "kind_of", "state_of", "wdf_name")

MOST_OBJECTS = 8
"""The number of objects that a report describes."""
MOST_REQUESTS = 16
"""The number of requests of each kind that a queue lists."""

STATES = {
    QUEUED: "Waiting in its queue",
    OWNED: "Pending, owned by the driver",
    COMPLETED: "Completed",
    CREATED: "Allocated by the driver",
}
CONNECTIONS = {
    InterruptState.CREATED: "Disconnected",
    InterruptState.CONNECTED: "Connected",
    InterruptState.ENABLED: "Connected, Enabled",
    InterruptState.DISCONNECTING: "Disconnecting",
}


Refer = Callable[[Object], str]


@dataclass
class ObjectState:
    """The known state of an object.

    :ivar refer: a function that makes a reference to an object, such as ``!wdfqueue 0x7f12a0``,
        which is also the command that shows it
    :ivar handle: the number of the object, as in a bug check's parameters
    :ivar kind: the type of its handle, such as ``WDFQUEUE``
    :ivar name: its name in reports
    :ivar lines: its state, for people
    :ivar values: its state, for programs
    :ivar callbacks: the places of the driver's callbacks, by their WDF names
    """

    handle: int
    kind: str
    name: str
    refer: Refer
    lines: list[str] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    callbacks: dict[str, Place] = field(default_factory=dict)

    def text(self) -> list[str]:
        """The whole state as lines, under a title."""
        title = f"!{self.kind.lower()} 0x{self.handle:x}: {self.name}"
        return [title, *(f"    {line}" for line in self.body())]

    def body(self) -> list[str]:
        """The state and the callbacks as lines."""
        return [*self.lines, *(f"{name}: {place}" for name, place in self.callbacks.items())]


def describe(objects: Iterable[object]) -> tuple[str, ...]:
    """The state of framework objects as lines; with a request also that of its queue.

    :param objects: any objects; those that are not framework objects are skipped
    """
    wanted: dict[int, Object] = {}
    for each in objects:
        if type(each) in _STATES:
            assert isinstance(each, Object)
            wanted.setdefault(id(each), each)
            if isinstance(each, Request) and each.queue is not None:
                wanted.setdefault(id(each.queue), each.queue)
    lines: list[str] = []
    for each in list(wanted.values())[:MOST_OBJECTS]:
        try:
            state = state_of(each)
        except RuntimeError:  # another thread changed a queue at the same time
            continue
        if state is not None:
            lines += state.text()
    return tuple(lines)


def kind_of(each: Object) -> str:
    """The type of an object's handle, such as ``WDFQUEUE``."""
    name = each.object_class.__name__.upper()
    return "WDF" + {"IOQUEUE": "QUEUE", "FILE": "FILEOBJECT"}.get(name, name)


def by_identity(each: Object) -> str:
    """A reference like ``!wdfqueue 0x7f12a0``, with the number in a bug check's parameters."""
    return f"!{kind_of(each).lower()} 0x{id(each):x}"


def state_of(each: Object, refer: Refer = by_identity) -> ObjectState | None:
    """The state of an object; ``None`` for a type without state to show.

    :param each: the object
    :param refer: a function that makes a reference to an object
    """
    fill = _STATES.get(type(each))
    if fill is None:
        return None
    state = ObjectState(id(each), kind_of(each), str(each), refer)
    fill(each, state)
    return state


def _callbacks(state: ObjectState, config: object) -> None:
    """Notes the callbacks of a configuration, which are its fields `evt_...`."""
    for each in fields(config):  # type: ignore[arg-type]
        if each.name.startswith("evt_"):
            _callback(state, each.name, getattr(config, each.name))


def _callback(state: ObjectState, name: str, callback: object) -> None:
    place = None if callback is None else place_of_callback(callback)
    if place is not None:
        state.callbacks[wdf_name(name)] = place


def wdf_name(name: str) -> str:
    """A callback's name in WDF: ``evt_io_read`` is EvtIoRead."""
    return "".join(word.capitalize() for word in name.split("_"))


def _device(device: Device, state: ObjectState) -> None:
    state.values = {
        "driver": device.driver.name,
        "function": str(device.function),
        "pnp": device.pnp_state.name,
        "power": device.power_state.name,
        "queues": [id(each) for each in device.queues],
        "interrupts": [id(each) for each in device.interrupts],
    }
    state.lines = [
        f"Driver: {device.driver.name}",
        f"PCI function: {device.function}",
        f"Pnp state: {device.pnp_state.name}",
        f"Power state: {device.power_state.name}",
    ]


def _queue(queue: IoQueue, state: ObjectState) -> None:
    config = queue.config
    owned, waiting = sorted(queue.owned, key=_number), list(queue.queued)
    flags = [
        config.dispatch_type.name.capitalize(),
        "Power-managed" if config.power_managed else "Not power-managed",
        "PowerOn" if queue.powered else "PowerOff",
        "Can accept" if queue.accepting else "Cannot accept",
        "Can dispatch" if queue.dispatching else "Cannot dispatch",
        f"ExecutionLevel{queue.execution_level.name.capitalize()}",
        f"SynchronizationScope{queue.synchronization_scope.name.capitalize()}",
    ]
    state.values = {
        "flags": flags,
        "owned": [each.number for each in owned],
        "waiting": [each.number for each in waiting],
    }
    state.lines = [
        ", ".join(flags),
        f"Number of driver owned requests: {len(owned)}",
        *_requests(owned, state.refer),
        f"Number of waiting requests: {len(waiting)}",
        *_requests(waiting, state.refer),
    ]
    _callbacks(state, config)


def _number(request: Request) -> int:
    return request.number


def _requests(requests: list[Request], refer: Refer) -> list[str]:
    lines = [f"    {refer(each)}: {each}" for each in requests[:MOST_REQUESTS]]
    more = len(requests) - MOST_REQUESTS
    return [*lines, f"    and {more} more"] if more > 0 else lines


def _request(request: Request, state: ObjectState) -> None:
    where = STATES[request.state]
    stop = request.stop_state.value
    state.values = {
        "number": request.number,
        "state": where,
        "cancelable": request.cancelable,
        "canceled": request.canceled,
        "stop": stop,
    }
    state.lines = [f"State: {where}"]
    if request.state == CREATED:
        return
    irp = request.irp
    status = "" if irp.status == STATUS_PENDING else f", {status_name(irp.status)}"
    state.lines = [
        f"!irp 0x{id(irp):x}: {irp}",
        f"{state.refer(request.queue)}: {request.queue}",
        f"State: {where}{status}",
        f"Length 0x{request.length:x}, Information 0x{request.information:x}",
        f"Cancelable: {_boolean(request.cancelable)}",
        f"Cancellation asked for: {_boolean(request.canceled)}",
        f"Power down: {stop}",
    ]
    state.values |= {"queue": id(request.queue), "kind": irp.kind.name, "status": irp.status}
    if request.presenting is not None:
        state.lines.append(f"A handler of {request.presenting} is running with it")


def _boolean(value: object) -> str:
    return "TRUE" if value else "FALSE"


def _interrupt(interrupt: Interrupt, state: ObjectState) -> None:
    descriptor = interrupt.descriptor
    message = descriptor is None or descriptor.message_signaled
    line = None if descriptor is None else descriptor.line
    shared = line is not None and not line.exclusive
    holder = interrupt._lock._owner
    state.values = {
        "state": interrupt.state.name,
        "message_signaled": message,
        "vector": interrupt.vector,
        "irql": interrupt.irql,
        "active": interrupt.active,
        "interrupts": interrupt.interrupts,
        "unclaimed": interrupt.unclaimed,
        "dpc_queued": interrupt._kdpc.queued,
        "dpcs_queued": interrupt.dpcs_queued,
        "dpcs_coalesced": interrupt.dpcs_coalesced,
        "held_by": None if holder is None else holder.number,
    }
    state.lines = [
        f"Interrupt Type: {'Message' if message else 'Line'}-based, {CONNECTIONS[interrupt.state]}",
        f"Vector: 0x{interrupt.vector:x}",
        f"Irql: 0x{interrupt.irql:x}",
        f"Mode: {'Latched' if message else 'LevelSensitive'}",
        f"Polarity: {'WdfInterruptPolarityUnknown' if message else 'WdfInterruptActiveLow'}",
        f"ShareDisposition: CmResourceShare{'Shared' if shared else 'DeviceExclusive'}",
        f"Processor Affinity: 0x{0 if descriptor is None else descriptor.affinity:x}",
        f"Message number: {interrupt.message_number}",
        f"Interrupts: {interrupt.interrupts}, unclaimed: {interrupt.unclaimed}",
        f"DPC: {_queued(interrupt._kdpc.queued)}",
        f"DPC queued: {interrupt.dpcs_queued}, coalesced: {interrupt.dpcs_coalesced}",
        f"Lock: {'free' if holder is None else f'held, or its ISR runs, on {holder}'}",
    ]
    _callbacks(state, interrupt.config)


def _queued(queued: object) -> str:
    return "in a queue" if queued else "not in a queue"


def _dpc(dpc: Dpc, state: ObjectState) -> None:
    state.values = {"queued": dpc._kdpc.queued}
    state.lines = [f"DPC: {_queued(dpc._kdpc.queued)}"]
    _callback(state, "evt_dpc_func", dpc._kdpc.routine)


def _timer(timer: Timer, state: ObjectState) -> None:
    state.values = {"dpc_queued": timer._kdpc.queued, "period": timer._config.period}
    state.lines = [
        f"Period: {timer._config.period} ms",
        f"DPC: {_queued(timer._kdpc.queued)}",
    ]
    _callback(state, "evt_timer_func", timer._config.evt_timer_func)


def _work_item(item: WorkItem, state: ObjectState) -> None:
    queued = item._work._flag.locked()
    state.values = {"queued": queued, "running": bool(item._work._threads)}
    running = ", running" if item._work._threads else ""
    state.lines = [f"Work item: {_queued(queued)}{running}"]
    _callback(state, "evt_work_item", item._work._routine)


def _spin_lock(lock: SpinLock, state: ObjectState) -> None:
    holder = lock._owner
    state.values = {"held_by": None if holder is None else holder.number}
    state.lines = ["Free" if holder is None else f"Held on {holder}"]
    place = lock._kernel.verifier.acquired_at(lock)
    if place is not None:
        state.values["acquired"] = str(place)
        state.lines.append(f"Acquired at {place}: {place.source}")


_STATES: dict[type, Callable[[Any, ObjectState], None]] = {
    Device: _device,
    IoQueue: _queue,
    Request: _request,
    Interrupt: _interrupt,
    Dpc: _dpc,
    Timer: _timer,
    WorkItem: _work_item,
    SpinLock: _spin_lock,
}
