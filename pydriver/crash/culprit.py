# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The search for the line of the driver that is to blame, and the reason for blaming it.

A bug check and a violation name their line. After a stall, or when QEMU has died, nothing does:
then the line is one of code that still runs, or else of the code that last had the oldest request.
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
"""Callbacks of a queue that can get a request, by the kind of request."""

DEFERRED = {
    "DPC": ("EvtInterruptDpc", "EvtDpcFunc", "EvtTimerFunc"),
    "WORK_ITEM": ("EvtInterruptWorkItem", "EvtWorkItem"),
}
"""Callbacks that an event of the recorder stands for, by the event."""

OWNED = "Pending, owned by the driver"
WAITING = "Waiting in its queue"


@dataclass(frozen=True)
class Culprit:
    """A line of the driver.

    :ivar frame: the line, with its source
    :ivar why: the reason for blaming this line, in a sentence
    :ivar followup: the most likely mistake, if more is known about it than the failure's kind says
    """

    frame: Json
    why: str
    followup: str = ""


def incident_of(crash: Crash) -> Json | None:
    """Returns the incident that ended the run: the bug check, or else the first violation."""
    incidents: list[Json] = crash.state["incidents"]
    return incidents[0] if incidents and crash.state["kind"] in {"bug check", "verifier"} else None


def find_culprit(crash: Crash) -> Culprit | None:
    """Returns the line that is to blame, or ``None`` if nothing points at one."""
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
    """Returns the lines of a stack, the innermost first, without those of Python's library."""
    return [each for each in reversed(frames) if not each["library"]]


def _why(crash: Crash, incident: Json) -> str:
    if crash.state["kind"] == "bug check":
        return "the system stopped at this line"
    times = incident["times"]
    often = f", {times} times" if times > 1 else ""
    return f"the verifier found the rule broken at this line{often}"


def _running(crash: Crash) -> Iterator[Culprit]:
    """Yields the lines of the driver that are on a thread's stack."""
    for thread in crash.state["threads"]:
        for frame in _innermost(thread["frames"]) if thread["in_callback"] else ():
            yield Culprit(
                frame,
                f"this line was running on thread {thread['name']}",
                f"{frame['function']} has not returned: it waits here for something that does "
                "not happen.",
            )


def stuck_request(crash: Crash) -> Json | None:
    """Returns the request that the driver has owned longest, or else the one queued longest."""
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
                f"{lock['name']} has been held since this line",
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
                f"the driver owns {name}, and this callback was the last to run since the request "
                "was presented",
                f"{frame['function']} ran after the device's interrupt and has not completed "
                f"{name}: it forgot the request, did not find it, or took another path.",
            )
    for entry in reversed(ours):
        frame = _callback(objects, entry, ("EvtInterruptIsr",)) if entry["event"] == "ISR" else None
        if frame is not None:
            yield Culprit(
                frame,
                f"the driver owns {name}; since the request was presented this ISR has run, and "
                "no DPC",
                f"{frame['function']} has not queued a DPC: it did not recognise its interrupt, "
                "or the cause of the interrupt was lost.",
            )
    frame = _handler(request, queue)
    if frame is not None:
        yield Culprit(
            frame,
            f"the driver owns {name}, and none of its callbacks has run since this one got it",
            f"The device has not interrupted since {frame['function']} got {name}: it was not "
            "started, its interrupt is not enabled, or the interrupt was lost.",
        )


def _since_presented(crash: Crash, request: Json) -> list[Json]:
    """Returns the recorder's entries since a request was presented; all, if that one is lost."""
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
