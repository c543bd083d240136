# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Perfetto traces: writes a timeline as one, and reads it again.

The format is Perfetto's protobuf, not Chrome's JSON: only it has tracks that are neither threads
nor processes, counters with a place of their own, and flows by number. Times are nanoseconds of the
controller's monotonic clock.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from google.protobuf.message import DecodeError
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import (
    Trace,
    TracePacket,
    TrackDescriptor,
    TrackEvent,
)

from pydriver.timeline.timeline import Category, Counter, Group, Slice, Timeline

__all__ = ("TraceError", "read_trace", "write_trace")

SEQUENCE: Final = 1
PACKETS_A_STEP: Final = 2048
GROUPS: Final = {group: 1 + index for index, group in enumerate(Group)}
COUNTERS: Final = 100
"""The UUID of the first counter; those of the groups are below."""
TRACKS: Final = 1000
"""The UUID of the first track."""
ABOUT: Final = 99
ABOUT_NAME: Final = "pydriver"
LENGTH_DELIMITED: Final = 2

Advance = Callable[[int], object]


class Output(Protocol):
    """An output to which a trace can be written."""

    def write(self, data: bytes, /) -> object:
        """Writes all of the data."""


class TraceError(Exception):
    """A file is not a trace that pydriver has written."""


def write_trace(timeline: Timeline, output: Output, advance: Advance = lambda done: None) -> None:
    """Writes a Perfetto trace.

    :param timeline: the timeline to write
    :param output: the output, open for writing
    :param advance: a function that is called now and then, with the number of slices written
    :raises OSError: the output cannot be written
    """
    _Writer(timeline, output).write(advance)


class _Writer:
    """Writes one trace, in steps of many packets."""

    def __init__(self, timeline: Timeline, output: Output) -> None:
        self._timeline = timeline
        self._output = output
        self._trace = Trace()
        self._names: dict[str, int] = {}
        self._keys: dict[str, int] = {}

    def write(self, advance: Advance) -> None:
        self._describe_tracks()
        for number, (time, _, each, event) in enumerate(self._events()):
            if number % PACKETS_A_STEP == 0:
                self._flush()
                advance(number // 2)
            if isinstance(each, Slice):
                self._write_slice(time, each, event)
            else:
                self._write_sample(time, *each)
        self._flush()

    def _flush(self) -> None:
        self._output.write(self._trace.SerializeToString())
        self._trace = Trace()

    def _packet(self, time: int) -> TracePacket:
        packet = self._trace.packet.add()
        packet.timestamp = time
        packet.trusted_packet_sequence_id = SEQUENCE
        packet.sequence_flags = TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        return packet

    def _descriptor(self, uuid: int, name: str, parent: int = 0, order: int = 0) -> TrackDescriptor:
        packet = self._trace.packet.add()
        packet.trusted_packet_sequence_id = SEQUENCE
        descriptor = packet.track_descriptor
        descriptor.uuid = uuid
        descriptor.name = name
        descriptor.child_ordering = TrackDescriptor.EXPLICIT
        descriptor.sibling_order_rank = order
        if parent:
            descriptor.parent_uuid = parent
        return descriptor

    def _describe_tracks(self) -> None:
        timeline = self._timeline
        first = self._trace.packet.add()
        first.trusted_packet_sequence_id = SEQUENCE
        first.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        self._descriptor(ABOUT, ABOUT_NAME)
        for group, uuid in GROUPS.items():
            self._descriptor(uuid, group.value, order=uuid)
        for counter in timeline.counters:
            uuid = COUNTERS + counter.processor
            descriptor = self._descriptor(
                uuid, counter.label, GROUPS[Group.PROCESSORS], 2 * counter.processor
            )
            descriptor.counter.unit_name = "IRQL"
        order = sorted(timeline.tracks, key=lambda track: (track.group, track.name, track.lane))
        for rank, track in enumerate(order):
            place = 2 * track.number + 1 if track.group is Group.PROCESSORS else rank
            self._descriptor(TRACKS + track.number, track.name, GROUPS[track.group], place)
        packet = self._packet(timeline.span[0])
        event = packet.track_event
        event.type = TrackEvent.TYPE_INSTANT
        event.track_uuid = ABOUT
        event.name = ABOUT_NAME
        annotation = event.debug_annotations.add()
        annotation.name = "about"
        annotation.string_value = json.dumps(timeline.about)

    def _events(self) -> "list[tuple[int, int, Any, int]]":
        """All events, in an order in which a nested slice begins later and ends earlier."""
        events: list[tuple[int, int, Any, int]] = []
        for each in self._timeline.slices:
            if each.end is None:
                events.append((each.begin, 2, each, TrackEvent.TYPE_INSTANT))
                continue
            events.append((each.begin, 1, each, TrackEvent.TYPE_SLICE_BEGIN))
            # A slice that takes no time at all must not end before it begins.
            order = 0 if each.end > each.begin else 3
            events.append((each.end, order, each, TrackEvent.TYPE_SLICE_END))
        for counter in self._timeline.counters:
            uuid = COUNTERS + counter.processor
            events += [(time, 4, (uuid, value), 0) for time, value in counter.samples]
        events.sort(key=lambda event: event[:2])
        return events

    def _write_sample(self, time: int, uuid: int, value: int) -> None:
        event = self._packet(time).track_event
        event.type = TrackEvent.TYPE_COUNTER
        event.track_uuid = uuid
        event.counter_value = value

    def _write_slice(self, time: int, each: Slice, kind: int) -> None:
        packet = self._packet(time)
        event = packet.track_event
        event.type = kind
        event.track_uuid = TRACKS + each.track
        if kind == TrackEvent.TYPE_SLICE_END:
            return
        event.categories.append(each.category.value)
        event.name_iid = self._intern(packet, each.name)
        event.flow_ids.extend(each.flows)
        for name, value in each.values.items():
            annotation = event.debug_annotations.add()
            annotation.name_iid = self._intern_key(packet, name)
            if isinstance(value, int):
                annotation.int_value = value
            else:
                annotation.string_value = value

    def _intern(self, packet: TracePacket, name: str) -> int:
        iid = self._names.get(name)
        if iid is None:
            iid = self._names[name] = len(self._names) + 1
            interned = packet.interned_data.event_names.add()
            interned.iid = iid
            interned.name = name
        return iid

    def _intern_key(self, packet: TracePacket, name: str) -> int:
        iid = self._keys.get(name)
        if iid is None:
            iid = self._keys[name] = len(self._keys) + 1
            interned = packet.interned_data.debug_annotation_names.add()
            interned.iid = iid
            interned.name = name
        return iid


def read_trace(data: bytes, advance: Advance = lambda done: None) -> Timeline:
    """Reads a trace that :func:`write_trace` wrote.

    :param data: the content of the file
    :param advance: a function that is called now and then, with the number of bytes read
    :raises TraceError: the file is damaged, or is not such a trace
    """
    reader = _Reader()
    try:
        for number, (end, packet) in enumerate(_packets(data)):
            reader.take(packet)
            if number % PACKETS_A_STEP == 0:
                advance(end)
    except (DecodeError, IndexError, KeyError, ValueError) as error:
        raise TraceError(f"it is damaged or not a Perfetto trace: {error}") from error
    return reader.finish()


def _packets(data: bytes) -> Iterator[tuple[int, TracePacket]]:
    """The packets of a trace, each with the offset of its end."""
    view = memoryview(data)
    at = 0
    while at < len(data):
        tag = data[at]
        if tag != 1 << 3 | LENGTH_DELIMITED:
            raise ValueError(f"tag {tag:#x} at byte {at}")
        length, at = _varint(data, at + 1)
        end = at + length
        if end > len(data):
            raise ValueError(f"it ends in the middle of the packet at byte {at}")
        yield end, TracePacket.FromString(view[at:end])
        at = end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


class _Reader:
    """The timeline as far as it has been read."""

    def __init__(self) -> None:
        self._timeline = Timeline()
        self._groups = {uuid: group for group, uuid in GROUPS.items()}
        self._open: dict[int, list[Slice]] = {}
        self._names: dict[int, str] = {}
        self._keys: dict[int, str] = {}
        self._lanes: dict[tuple[Group, str], int] = {}
        self._place: dict[int, int] = {}
        self._known = False

    def take(self, packet: TracePacket) -> None:
        """Takes a packet."""
        if packet.HasField("interned_data"):
            data = packet.interned_data
            self._names |= {each.iid: each.name for each in data.event_names}
            self._keys |= {each.iid: each.name for each in data.debug_annotation_names}
        if packet.HasField("track_descriptor"):
            self._take_descriptor(packet.track_descriptor)
        elif packet.HasField("track_event"):
            self._take_event(packet.timestamp, packet.track_event)

    def finish(self) -> Timeline:
        """The timeline.

        :raises TraceError: the trace is incomplete, or not one of ours
        """
        if not self._known:
            raise TraceError("it is not a trace that `pydriver run --trace` wrote")
        if any(self._open.values()):
            raise TraceError("it is damaged: something begins in it and does not end")
        return self._timeline

    def _take_descriptor(self, descriptor: TrackDescriptor) -> None:
        uuid = descriptor.uuid
        if descriptor.HasField("counter"):
            self._timeline.counters.append(Counter(uuid - COUNTERS))
        elif uuid >= TRACKS:
            group = self._groups[descriptor.parent_uuid]
            key = (group, descriptor.name)
            lane = self._lanes[key] = self._lanes.get(key, -1) + 1
            self._place[uuid] = self._timeline.add_track(*key, lane).number

    def _take_event(self, time: int, event: TrackEvent) -> None:
        uuid = event.track_uuid
        if uuid == ABOUT:
            self._known = True
            self._timeline.about = json.loads(event.debug_annotations[0].string_value)
        elif event.type == TrackEvent.TYPE_COUNTER:
            counter = self._timeline.counters[uuid - COUNTERS]
            counter.samples.append((time, event.counter_value))
        elif event.type == TrackEvent.TYPE_SLICE_END:
            self._open[uuid].pop().end = time
        else:
            each = Slice(
                self._place[uuid],
                Category(event.categories[0]),
                self._names[event.name_iid],
                time,
                values={
                    self._keys[value.name_iid]: value.string_value
                    if value.HasField("string_value")
                    else value.int_value
                    for value in event.debug_annotations
                },
                flows=list(event.flow_ids),
            )
            self._timeline.slices.append(each)
            if event.type == TrackEvent.TYPE_SLICE_BEGIN:
                self._open.setdefault(uuid, []).append(each)
