# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Matches interrupt messages with ISRs.

Two interrupts on one vector, the second asserted before the first is delivered, become one unless
another delivery follows: a local APIC merges them like this.
"""

from collections import deque

from pydriver.trace.capture import Asserted, Capture
from pydriver.trace.recorder import NO_PROCESSOR, Event

__all__ = ("Messages",)

BOOT_VECTOR = 0xF0
"""The first of the link's own vectors."""
SLACK = 2_000
"""Nanoseconds by which QEMU's whole microseconds may be late."""


class Messages:
    """The messages of a run, for each processor and vector.

    :param capture: the capture of the run
    :ivar merged: the times, by vector, at which a message found the vector pending already
    :ivar known: whether QEMU has reported any message
    """

    def __init__(self, capture: Capture) -> None:
        numbers = {apic_id: number for number, apic_id in enumerate(capture.apic_ids)}
        self._asserted: dict[int, deque[int]] = {}
        self._deliveries: dict[int, deque[int]] = {}
        self.merged: dict[int, list[int]] = {}
        messages = [each for each in capture.asserted() if each.vector < BOOT_VECTOR]
        self.known = bool(messages)
        for each in messages:
            self._take(each, numbers.get(each.destination))
        if self.known:
            for time, event, number, vector, _, _ in capture:
                if event is Event.ISR and number != NO_PROCESSOR:
                    self._deliveries.setdefault(number << 8 | vector, deque()).append(time)

    def _take(self, message: Asserted, number: int | None) -> None:
        if number is not None:
            key = number << 8 | message.vector
            self._asserted.setdefault(key, deque()).append(message.time)

    def deliver(self, number: int, vector: int, time: int) -> int | None:
        """The time at which the interrupt that is delivered now was asserted; ``None``: not known.

        :param number: the number of the processor
        :param vector: the vector of the interrupt
        :param time: the time at which the ISR begins, in ns
        """
        key = number << 8 | vector
        asserted = self._asserted.get(key)
        if not asserted:
            return None
        deliveries = self._deliveries[key]
        deliveries.popleft()
        if asserted[0] > time + SLACK:
            return None
        first = asserted.popleft()
        later = []
        while asserted and asserted[0] <= time:
            later.append(asserted.popleft())
        following = deliveries[0] if deliveries else None
        if later and following is not None and (not asserted or asserted[0] > following):
            # The last message was asserted between this delivery and the beginning of its ISR.
            asserted.appendleft(later.pop())
        if later:
            self.merged.setdefault(vector, []).extend(later)
        return min(first, time)
