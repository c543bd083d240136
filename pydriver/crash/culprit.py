# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Which line of the driver is to blame, and why.

A bug check and a violation name their line. When nothing moves any more, or QEMU is gone, nothing
does: then it is the code that still runs, or else the code that had the oldest request last.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydriver.crash.directory import Crash
from pydriver.crash.snapshot import Json

__all__ = ("Culprit", "find_culprit", "incident_of", "stuck_request")

HANDLERS = {
    "READ": ("EvtIoRead", "EvtIoDefault"),
    "WRITE": ("EvtIoWrite", "EvtIoDefault"),
    "DEVICE_CONTROL": ("EvtIoDeviceControl", "EvtIoDefault"),
    "DEVICE_CONTROL_INTERNAL": ("EvtIoInternalDeviceControl", "EvtIoDefault"),
    "CREATE": ("EvtIoDefault",),
}
"""Which callback of a queue gets a request of a kind."""

DEFERRED = {
    "DPC": ("EvtInterruptDpc", "EvtDpcFunc", "EvtTimerFunc"),
    "WORK_ITEM": ("EvtInterruptWorkItem", "EvtWorkItem"),
}
"""Which callbacks an event of the recorder stands for."""

OWNED = "Pending, owned by the driver"
WAITING = "Waiting in its queue"


@dataclass(frozen=True)
class Culprit:
    """A line of the driver.

    :ivar frame: the line, with its source
    :ivar why: in a sentence, why it is this one
    :ivar followup: what most likely is wrong, if it is known better than from the failure's kind
    """

    frame: Json
    why: str
    followup: str = ""


def incident_of(crash: Crash) -> Json | None:
    """The incident that the crash is about: the bug check, or else the first violation."""
    incidents: list[Json] = crash.state["incidents"]
    return incidents[0] if incidents and crash.state["kind"] in {"bug check", "verifier"} else None


def find_culprit(crash: Crash) -> Culprit | None:
    """The line that is to blame; ``None`` if nothing points at one."""
    for found in _suspects(crash):
        return found
    return None


def _suspects(crash: Crash) -> Iterator[Culprit]:
    incident = incident_of(crash)
    if incident is not None:
        for frame in _innermost(incident["frames"]):
            yield Culprit(frame, _why(crash, incident))
        for each in crash.state["incidents"]:
            for frame in _innermost(each["frames"]):
                yield Culprit(frame, f"a rule was broken before, here: {each['message']}")
    yield from _running(crash)
    if crash.state["kind"] in {"stall", "error"}:
        yield from _stalled(crash)
    for frame in _innermost(crash.state["error_frames"]):
        yield Culprit(frame, "the error was raised here")


def _innermost(frames: list[Json]) -> list[Json]:
    """The lines of a stack, the innermost first, but those of Python's library."""
    return [each for each in reversed(frames) if not each["library"]]


def _why(crash: Crash, incident: Json) -> str:
    if crash.state["kind"] == "bug check":
        return "the system stopped at this line"
    times = incident["times"]
    often = f", {times} times" if times > 1 else ""
    return f"the verifier found the rule broken at this line{often}"


def _running(crash: Crash) -> Iterator[Culprit]:
    """Code of the driver that is on a thread's stack."""
    for thread in crash.state["threads"]:
        for frame in _innermost(thread["frames"]) if thread["in_callback"] else ():
            yield Culprit(
                frame,
                f"this line was running on thread {thread['name']}",
                f"{frame['function']} has not returned: it waits here for something that does "
                "not happen.",
            )


def stuck_request(crash: Crash) -> Json | None:
    """The request that has been with the driver longest; else the one that waits longest."""
    requests = [each for each in crash.state["objects"] if each["type"] == "WDFREQUEST"]
    for state in (OWNED, WAITING):
        found = [each for each in requests if each["state"] == state]
        if found:
            oldest: Json = min(found, key=lambda each: int(each["number"]))
            return oldest
    return None


def _stalled(crash: Crash) -> Iterator[Culprit]:
    request = stuck_request(crash)
    if request is None:
        return
    objects = {each["handle"]: each for each in crash.state["objects"]}
    queue = objects.get(request.get("queue"))
    if request["state"] == OWNED and queue is not None:
        yield from _owned(crash, objects, request, queue)
    for lock in crash.state["locks"]:
        if lock["acquired"] is not None:
            yield Culprit(
                lock["acquired"],
                f"{lock['name']} is held since this line",
                f"{request['name']} waits, and {lock['name']} has not been released.",
            )


def _owned(crash: Crash, objects: dict[Any, Json], request: Json, queue: Json) -> Iterator[Culprit]:
    name, since = f"request {request['number']}", _since_presented(crash, request)
    ours = [each for each in since if _device(objects, each) == queue["device"]]
    for entry in reversed(ours):
        frame = _callback(objects, entry, DEFERRED.get(entry["event"], ()))
        periodic = objects.get(_handle(entry), {}).get("type") == "WDFTIMER"
        if frame is not None and not periodic:
            yield Culprit(
                frame,
                f"{name} is the driver's, and this callback ran last since it was presented",
                f"{frame['function']} ran after the device's interrupt and has not completed "
                f"{name}: it forgot it, did not find it, or took another path.",
            )
    for entry in reversed(ours):
        frame = _callback(objects, entry, ("EvtInterruptIsr",)) if entry["event"] == "ISR" else None
        if frame is not None:
            yield Culprit(
                frame,
                f"{name} is the driver's; its ISR ran since it was presented, and no DPC",
                f"{frame['function']} has not queued a DPC: it did not recognise its interrupt, "
                "or its cause was lost.",
            )
    frame = _handler(request, queue)
    if frame is not None:
        yield Culprit(
            frame,
            f"{name} is the driver's, and nothing of it ran since this callback got it",
            f"The device has not interrupted since {frame['function']} got {name}: it was not "
            "started, its interrupt is not enabled, or the interrupt was lost.",
        )


def _since_presented(crash: Crash, request: Json) -> list[Json]:
    """The recorder's entries after a request was presented; all, if that is forgotten."""
    for index, entry in enumerate(crash.recorder):
        if entry["event"] == "PRESENT" and entry["argument"] == request["number"]:
            return crash.recorder[index + 1 :]
    return crash.recorder


def _handle(entry: Json) -> Any:
    return entry["object"]["handle"] if entry["object"] else None


def _device(objects: dict[Any, Json], entry: Json) -> Any:
    return objects.get(_handle(entry), {}).get("device")


def _callback(objects: dict[Any, Json], entry: Json, names: tuple[str, ...]) -> Json | None:
    callbacks = objects.get(_handle(entry), {}).get("callbacks", {})
    found: list[Json] = [callbacks[name] for name in names if name in callbacks]
    return found[0] if found else None


def _handler(request: Json, queue: Json) -> Json | None:
    callbacks: dict[str, Json] = queue["callbacks"]
    for name in HANDLERS.get(request.get("kind", ""), ()):
        if name in callbacks:
            return callbacks[name]
    return None
