# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The state of a system that has failed, as an object for JSON.

The thread that found the failure takes the snapshot, while the machine is stopped; the machine
itself is not needed. See :mod:`pydriver.wdf.device.wdfkd` for state that may be slightly out of
date.
"""

import linecache
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydriver.errors import MachineDied, Stalled
from pydriver.ke import BugCheck, VerifierError
from pydriver.place import Place, Stack
from pydriver.trace.recorder import describe
from pydriver.wdf import IoQueue, Object
from pydriver.wdf.device.wdfkd import state_of

if TYPE_CHECKING:
    from pydriver.ke.bugcheck import Incident
    from pydriver.system import System
    from pydriver.trace import Recorder

__all__ = ("FORMAT", "Json", "recorder_entries", "snapshot", "tree_of")

FORMAT = 1
"""The version of the format of :func:`snapshot`; any change of meaning takes a new number."""

CONTEXT = 3
"""Lines of source before and after the faulting one."""
DEFINITION = 15
"""Lines of source after the first line of a function, where the whole function matters."""
NEWLINE = "\n"

Json = dict[str, Any]


def snapshot(system: "System", failure: BaseException) -> Json:
    """Takes the state of a system, without the entries of the recorder.

    :param system: the system that has failed
    :param failure: the error that ended it, or that a test or an application has found
    """
    kernel = system.kernel
    return {
        "format": FORMAT,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "kind": _kind(failure),
        "error": f"{type(failure).__name__}: {str(failure).partition(NEWLINE)[0]}",
        "bug_check": _bug_check(failure),
        "incidents": [_incident(each) for each in _incidents(system, failure)],
        "error_frames": _traceback(failure),
        "processors": [
            {
                "number": each.number,
                "irql": each.state.irql,
                "dpc_queue": [_named(dpc.owner) for dpc in list(each.dpcs)],
                "in_dpc": each.draining,
                "isrs": each.isr_durations.count,
                "dpcs": each.dpc_durations.count,
                "spurious": each.spurious,
                "thread": each.owner if each.state.borrowed else each.service_thread,
            }
            for each in kernel.processors
        ],
        "threads": list(_threads()),
        "locks": [
            {
                **_named(each.lock),
                "thread": each.thread,
                "acquired": None if each.place is None else _place(each.place),
            }
            for each in kernel.verifier.held_locks
        ],
        "objects": list(_objects(system)),
    }


def recorder_entries(recorder: "Recorder") -> list[Json]:
    """Returns the recorder's entries, the oldest first; times in ns of the host's clock."""
    return [
        {
            "time": time,
            "event": event.name,
            "processor": processor,
            "detail": detail,
            "object": None if target is None else _named(target),
            "argument": argument if isinstance(argument, int | str) else describe(argument),
        }
        for time, event, processor, detail, target, argument in recorder.last()
    ]


def _kind(failure: BaseException) -> str:
    kinds = {
        BugCheck: "bug check",
        VerifierError: "verifier",
        MachineDied: "machine died",
        Stalled: "stall",
        TimeoutError: "stall",
    }
    found = [name for kind, name in kinds.items() if isinstance(failure, kind)]
    return found[0] if found else "error"


def _bug_check(failure: BaseException) -> Json | None:
    if not isinstance(failure, BugCheck):
        return None
    state = failure.state
    return {"code": state.code, "name": state.name, "parameters": list(state.parameters)}


def _incidents(system: "System", failure: BaseException) -> "Iterator[Incident]":
    """Yields the bug check, then the violations that the verifier has found."""
    if isinstance(failure, BugCheck):
        yield failure.state
    yield from system.kernel.verifier.violations


def _incident(incident: "Incident") -> Json:
    return {
        "rule": incident.rule,
        "page": incident.page,
        "cause": incident.cause,
        "message": incident.message,
        "subject": incident.subject,
        "callback": incident.callback,
        "processor": incident.processor,
        "irql": incident.irql,
        "times": getattr(incident, "times", 1),
        "frames": [_place(each) for each in incident.frames],
        "objects": list(incident.objects),
        "events": list(incident.events),
    }


def _traceback(failure: BaseException) -> list[Json]:
    return [_place(each) for each in Stack.of_error(failure).places]


def _place(place: Place, after: int = CONTEXT) -> Json:
    """Returns a line with its source, because the file may have changed when this is read."""
    first = max(1, place.line - CONTEXT)
    lines = linecache.getlines(place.file)[first - 1 : place.line + after]
    return {
        "function": place.function,
        "file": place.file,
        "line": place.line,
        "text": place.source,
        "library": place.library,
        "first": first,
        "source": [each.rstrip() for each in lines],
    }


def _named(target: object) -> Json:
    return {"handle": id(target), "name": str(target)}


def _threads() -> Iterator[Json]:
    """Yields the threads that run code of a driver or of an application."""
    names = {each.ident: each.name for each in threading.enumerate()}
    for ident, stack in Stack.of_threads().items():
        frames = [_place(each) for each in stack.places]
        if ident in names and not all(each["library"] for each in frames):
            yield {
                "thread": ident,
                "name": names[ident],
                "in_callback": stack.callback is not None,
                "frames": frames,
            }


def _objects(system: "System") -> Iterator[Json]:
    for each in tree_of(system):
        try:
            state = state_of(each)
        except RuntimeError:  # another thread has just changed a queue
            continue
        if state is not None:
            device = each.device_above
            yield {
                "handle": state.handle,
                "type": state.kind,
                "name": state.name,
                "device": None if device is None else id(device),
                "lines": state.lines,
                **state.values,
                "callbacks": {
                    name: _place(place, DEFINITION) for name, place in state.callbacks.items()
                },
            }


def tree_of(system: "System") -> list[Object]:
    """Returns all framework objects of the loaded drivers, parents before their children."""
    return list(_tree(each.driver for each in system.drivers if isinstance(each.driver, Object)))


def _tree(roots: Iterable[Object]) -> Iterator[Object]:
    """Yields objects and all objects below them; below a queue these include its requests."""
    for root in roots:
        yield root
        yield from _tree(root.children)
        if isinstance(root, IoQueue):
            yield from [*root.owned, *root.queued]
