# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Makes a timeline of a capture: beginnings find their ends, and causes their effects.

The entries of one processor are in the order in which its code ran, on one stack: an end belongs to
the innermost beginning that has none. The end of a work item has its duration, which identifies the
beginning.

Which of several work items completed a request is not known.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from pydriver.timeline.messages import Messages
from pydriver.timeline.timeline import Category, Counter, Group, Slice, Timeline, Track
from pydriver.trace.capture import Capture
from pydriver.trace.recorder import NO_PROCESSOR, Entry, Event

__all__ = ("assemble",)

DISPATCH_LEVEL = 2
PENDING_LANE, MASKED_LANE = 1, 2
"""The lanes of a vector. In lane 0 it is in service: it may be pending again at the same time."""
QUEUED_LANE = 1
"""The lane of a DPC, which may be queued again while it runs."""
FIRST_LANE = {Group.WORK_ITEMS: 1, Group.QUEUES: 1}
"""The first lane of the slices. Lane 0 shows when a work item was queued or a request completed."""
Advance = Callable[[int], object]


def assemble(capture: Capture, advance: Advance = lambda done: None) -> Timeline:
    """Makes the timeline of a run that has ended.

    :param capture: the capture of the run
    :param advance: a function that is called now and then, with the number of entries done
    """
    assembly = _Assembly(capture)
    for number, entry in enumerate(capture):
        if number % 4096 == 0:
            advance(number)
        assembly.take(entry)
    assembly.finish()
    return assembly.timeline


class _Lanes:
    """The tracks with one name: a slice goes to the first one that is free.

    :param timeline: the timeline to which tracks are added
    :param group: the group of the tracks
    :param name: the name of the tracks
    :param first: the number of the first lane
    """

    def __init__(self, timeline: Timeline, group: Group, name: str, first: int) -> None:
        self._timeline = timeline
        self._group = group
        self._name = name
        self._first = first
        self._tracks: list[int] = []
        self._free: list[int] = []

    def take(self) -> int:
        """Takes a free track, and returns its number."""
        if self._free:
            number = min(self._free)
            self._free.remove(number)
            return number
        lane = self._first + len(self._tracks)
        track = self._timeline.add_track(self._group, self._name, lane)
        self._tracks.append(track.number)
        return track.number

    def release(self, number: int) -> None:
        """Makes a track free again."""
        self._free.append(number)


class _Assembly:
    """The state of the run at the entry that is being taken."""

    def __init__(self, capture: Capture) -> None:
        self.timeline = timeline = Timeline()
        self._now = 0
        self._flow = 0
        self._tracks: dict[tuple[Group, str, int], Track] = {}
        self._lanes: dict[tuple[Group, str], _Lanes] = {}
        self._names: dict[tuple[int, str], str] = {}
        processors = range(len(capture.apic_ids))
        self._processors = [self._track(Group.PROCESSORS, f"processor {n}") for n in processors]
        timeline.counters = [Counter(number) for number in processors]
        self._stacks: list[list[tuple[Slice, int]]] = [[] for _ in processors]
        self._waiting = [0 for _ in processors]
        self._resting: dict[int, int] = {}  # the IRQL from which a run of DPCs began
        self._interrupts = Messages(capture)
        self._services: dict[int, Slice] = {}
        self._masked: dict[int, Slice] = {}
        self._vectors: dict[int, Track] = {}
        self._queued: dict[int, deque[tuple[int, Slice | None]]] = {}
        self._items: list[Slice] = []
        self._requests: dict[object, Slice] = {}
        self._handlers: dict[Event, Callable[[Entry], None]] = {
            Event.ISR: self._begin_isr,
            Event.ISR_END: self._end_isr,
            Event.DPC: self._begin_dpc,
            Event.DPC_END: self._end_dpc,
            Event.DPC_QUEUED: self._queue,
            Event.WORK_ITEM_QUEUED: self._queue,
            Event.WORK_ITEM: self._begin_work_item,
            Event.WORK_ITEM_END: self._end_work_item,
            Event.IRQL: self._set_irql,
            Event.BORROW: self._borrow,
            Event.GIVE_BACK: self._give_back,
            Event.MASK: self._mask,
            Event.UNMASK: self._unmask,
            Event.PRESENT: self._present,
            Event.COMPLETE: self._complete,
        }
        self._capture = capture

    def take(self, entry: Entry) -> None:
        """Takes the next entry."""
        self._now = entry[0]
        self._handlers.get(entry[1], self._note)(entry)

    def finish(self) -> None:
        """Ends what has not ended."""
        now = self._now
        for stack in self._stacks:
            for each, _ in stack:
                self._cut(each, now)
        for open_ones in (self._masked, self._services, self._requests):
            for each in open_ones.values():
                self._cut(each, now)
        for each in self._items:
            self._cut(each, now)
        merged = self._interrupts.merged
        for vector, times in merged.items():
            track = self._vectors.get(vector)
            for time in times if track else ():
                assert track is not None
                self._add(track.number, Category.MERGED, "asserted again", time)
        if self._capture.full:
            self.timeline.about["missing"] = "the beginning: there was room for the last entries"
        known = self._interrupts.known
        self.timeline.about["asserted"] = (
            "when the message reached the local APIC (QEMU, whole microseconds)"
            if known
            else "not known: the local APIC is not QEMU's"
        )

    @staticmethod
    def _cut(each: Slice, now: int) -> None:
        each.end = max(now, each.begin)
        each.values["unfinished"] = 1

    # Tracks and slices

    def _track(self, group: Group, name: str, lane: int = 0) -> Track:
        key = (group, name, lane)
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = self.timeline.add_track(*key)
        return track

    def _lane(self, group: Group, name: str) -> _Lanes:
        lanes = self._lanes.get((group, name))
        if lanes is None:
            first = FIRST_LANE[group]
            lanes = self._lanes[group, name] = _Lanes(self.timeline, group, name, first)
        return lanes

    def _add(
        self, track: int, category: Category, name: str, begin: int, end: int | None = None
    ) -> Slice:
        each = Slice(track, category, name, begin, end)
        self.timeline.slices.append(each)
        return each

    def _link(self, cause: Slice, effect: Slice) -> None:
        self._flow += 1
        cause.flows.append(self._flow)
        effect.flows.append(self._flow)

    def _name(self, owner: object, callback: str) -> str:
        """The name of an object's callback, which is looked up once."""
        key = (id(owner), callback)
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = _callback_name(owner, callback)
        return name

    # IRQL

    def _level(self, number: int, level: int) -> None:
        samples = self.timeline.counters[number].samples
        if not samples or samples[-1][1] != level:
            samples.append((self._now, level))

    def _current_level(self, number: int) -> int:
        samples = self.timeline.counters[number].samples
        return samples[-1][1] if samples else 0

    def _set_irql(self, entry: Entry) -> None:
        self._level(entry[2], entry[3])

    def _push(self, number: int, each: Slice, level: int) -> None:
        self._stacks[number].append((each, self._current_level(number)))
        self._level(number, level)

    def _pop(self, number: int, category: Category) -> Slice | None:
        stack = self._stacks[number]
        if not stack or stack[-1][0].category is not category:
            return None  # the slice began before the oldest entry
        each, level = stack.pop()
        each.end = self._now
        self._level(number, level)
        return each

    def _innermost(self, number: int) -> Slice | None:
        stack = self._stacks[number] if number != NO_PROCESSOR else None
        return stack[-1][0] if stack else None

    # Interrupts

    def _begin_isr(self, entry: Entry) -> None:
        time, _, number, vector, owner, _ = entry
        name = self._name(owner, "evt_interrupt_isr")
        if number == NO_PROCESSOR:
            self._moment(self._track(Group.THREADS, "passive ISRs").number, name, owner)
            return
        track = self._vectors.get(vector)
        if track is None:
            track = self._vector(vector, owner)
        each = self._add(self._processors[number].number, Category.ISR, name, time)
        each.values["object"] = str(owner)
        asserted = self._interrupts.deliver(number, vector, time)
        if asserted is not None:
            lane = self._track(Group.VECTORS, track.name, PENDING_LANE).number
            pending = self._add(lane, Category.PENDING, "pending", asserted, time)
            each.values["interrupt_to_isr_ns"] = time - asserted
            self._link(pending, each)
        self._services[number << 8 | vector] = self._add(
            track.number, Category.IN_SERVICE, "in service", time
        )
        each.values["vector"] = vector
        self._push(number, each, vector >> 4)

    def _vector(self, vector: int, owner: object) -> Track:
        track = self._vectors.get(vector)
        if track is None:
            track = self._track(Group.VECTORS, f"vector {vector:#04x}, {owner}")
            self._vectors[vector] = track
        return track

    def _end_isr(self, entry: Entry) -> None:
        number = entry[2]
        each = self._pop(number, Category.ISR)
        if each is not None:
            service = self._services.pop(number << 8 | int(each.values["vector"]), None)
            if service is not None:
                service.end = self._now

    def _mask(self, entry: Entry) -> None:
        vector = entry[3]
        if vector not in self._masked:
            name = self._vector(vector, entry[4]).name
            track = self._track(Group.VECTORS, name, MASKED_LANE)
            self._masked[vector] = self._add(track.number, Category.MASKED, "masked", self._now)

    def _unmask(self, entry: Entry) -> None:
        each = self._masked.pop(entry[3], None)
        if each is not None:
            each.end = self._now

    # DPCs and work items

    def _queue(self, entry: Entry) -> None:
        time, event, number, target, owner, _ = entry
        self._queued.setdefault(id(owner), deque()).append((time, self._innermost(number)))
        if event is Event.DPC_QUEUED:
            self._waiting[target] += 1

    def _dequeue(self, owner: object, each: Slice, track: int) -> None:
        waiting = self._queued.get(id(owner))
        if not waiting:
            return
        time, cause = waiting.popleft()
        self._add(track, Category.QUEUED, "queued", time, self._now)
        if cause is not None:
            self._link(cause, each)
            latency = cause.values.get("interrupt_to_isr_ns")
            if cause.category is Category.ISR and latency is not None:
                asserted = cause.begin - int(latency)
                each.values["interrupt_to_dpc_ns"] = self._now - asserted

    def _begin_dpc(self, entry: Entry) -> None:
        time, _, number, _, owner, _ = entry
        name = self._name(owner, "evt_interrupt_dpc")
        track = self._track(Group.DPCS, f"{name}, {owner}" if name != str(owner) else name)
        each = self._add(self._processors[number].number, Category.DPC, name, time)
        each.values["object"] = str(owner)
        self._waiting[number] = max(0, self._waiting[number] - 1)
        self._dequeue(owner, each, self._track(Group.DPCS, track.name, QUEUED_LANE).number)
        self._services[-1 - number] = self._add(track.number, Category.RUNNING, name, time)
        self._push(number, each, DISPATCH_LEVEL)
        resting = self._resting.pop(number, None)
        if resting is not None:
            self._stacks[number][-1] = (each, resting)

    def _end_dpc(self, entry: Entry) -> None:
        number = entry[2]
        stack = self._stacks[number]
        if self._waiting[number] and stack:
            # The level falls only when the last DPC of the queue has run: the next DPC enters at
            # this level, and returns to the one from which this DPC was entered.
            self._resting[number] = stack[-1][1]
            stack[-1] = (stack[-1][0], DISPATCH_LEVEL)
        if self._pop(number, Category.DPC) is None:
            return
        running = self._services.pop(-1 - number, None)
        if running is not None:
            running.end = self._now

    def _begin_work_item(self, entry: Entry) -> None:
        owner = entry[4]
        name = self._name(owner, "evt_interrupt_work_item")
        where = f"{name}, {owner}" if name != str(owner) else name
        track = self._lane(Group.WORK_ITEMS, where).take()
        each = self._add(track, Category.WORK_ITEM, name, self._now)
        each.values["object"] = str(owner)
        self._items.append(each)
        queued = self._track(Group.WORK_ITEMS, where, 0).number
        self._dequeue(owner, each, queued)

    def _end_work_item(self, entry: Entry) -> None:
        time, duration = entry[0], entry[3]
        begun = [each for each in self._items if each.begin <= time - duration]
        if not begun:
            return
        each = max(begun, key=lambda each: each.begin)
        self._items.remove(each)
        each.end = time
        track = self.timeline.tracks[each.track]
        self._lane(track.group, track.name).release(each.track)

    # Requests

    def _present(self, entry: Entry) -> None:
        _, _, _, length, queue, number = entry
        self._leave(number)
        lane = self._lane(Group.QUEUES, str(queue)).take()
        each = self._add(lane, Category.REQUEST, f"request {number}", self._now)
        each.values["bytes"] = length
        self._requests[number] = each

    def _leave(self, number: object) -> Slice | None:
        each = self._requests.pop(number, None)
        if each is not None:
            each.end = self._now
            track = self.timeline.tracks[each.track]
            self._lane(track.group, track.name).release(each.track)
        return each

    def _complete(self, entry: Entry) -> None:
        _, _, number, status, queue, request = entry
        track = self._track(Group.QUEUES, str(queue)).number
        done = self._add(track, Category.COMPLETED, f"request {request}", self._now)
        done.values["status"] = f"0x{status:08X}"
        each = self._leave(request)
        if each is not None:
            each.values["status"] = done.values["status"]
            self._link(each, done)
        cause = self._innermost(number)
        if cause is None and number == NO_PROCESSOR and len(self._items) == 1:
            cause = self._items[0]
        if cause is not None and cause.category is not Category.THREAD:
            self._link(cause, done)

    # Passive threads, and other events

    def _borrow(self, entry: Entry) -> None:
        number = entry[2]
        track = self._processors[number].number
        self._push(number, self._add(track, Category.THREAD, "passive thread", self._now), 0)

    def _give_back(self, entry: Entry) -> None:
        self._pop(entry[2], Category.THREAD)
        self._level(entry[2], 0)

    def _note(self, entry: Entry) -> None:
        _, event, number, detail, owner, argument = entry
        if number == NO_PROCESSOR:
            track = self._track(Group.THREADS, "events").number
        else:
            track = self._processors[number].number
        name = str(argument) if argument is not None else event.name.lower().replace("_", " ")
        each = self._moment(track, name, owner)
        each.values["kind"] = event.name.lower()
        each.values["detail"] = detail

    def _moment(self, track: int, name: str, owner: object) -> Slice:
        each = self._add(track, Category.EVENT, name, self._now)
        if owner is not None:
            each.values["object"] = str(owner)
        return each


def _callback_name(owner: Any, attribute: str) -> str:
    """The driver's name for an object's callback; the object's name if it has no such callback."""
    callback = getattr(getattr(owner, "config", None), attribute, None)
    while isinstance(callback, partial):
        callback = callback.func
    name: str | None = getattr(callback, "__qualname__", None)
    return str(owner) if name is None else name.rpartition(".")[2]
