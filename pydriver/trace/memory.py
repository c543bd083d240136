# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""What has changed in the memory that a driver shares with its device.

A driver writes rings and buffers without an access that could be seen, and the device reads them
by DMA. So the memory is compared with a copy of it. Only pages that exist are looked at: memory
that nobody has touched is a hole in its file [lseek(2), SEEK_DATA].
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ("MemoryChanges", "SharedRegion")

PAGE = 4096
GAP = 16
"""Fewer equal bytes than that, between two changed ones, count as changed too."""

_CHANGED = re.compile(rb"[^\0]+(?:\0{1,%d}[^\0]+)*" % (GAP - 1))


@dataclass(frozen=True)
class SharedRegion:
    """Memory that driver and device share.

    :ivar fd: its file
    :ivar view: all of it
    :ivar extents: the parts that may be used now, in bytes, by their starts and ends
    :ivar base: physical address of its first byte, or the name of the BAR that shows it
    """

    fd: int
    view: memoryview
    extents: Callable[[], Sequence[tuple[int, int]]]
    base: int | str


class MemoryChanges:
    """A copy of some regions; at first all zeros. One thread at a time uses it.

    :param regions: to look at
    """

    def __init__(self, regions: Sequence[SharedRegion]) -> None:
        self._regions = [(region, dict[int, bytearray]()) for region in regions]

    def take(self) -> Iterator[tuple[int | str, int, bytes]]:
        """Finds what has changed since the last call.

        :return: base of the region, offset, the bytes that are there now
        """
        for region, copies in self._regions:
            view = region.view
            for start, end in region.extents():
                for page in _existing_pages(region.fd, start, end):
                    copy = copies.get(page)
                    if copy is None:
                        copy = copies[page] = bytearray(PAGE)
                    # A bytearray compares itself with a buffer at the speed of memcmp.
                    if copy != view[page : page + PAGE]:
                        now = bytes(view[page : page + PAGE])
                        for first, last in _differences(copy, now):
                            yield region.base, page + first, now[first:last]
                        copy[:] = now


def _existing_pages(fd: int, start: int, end: int) -> Iterator[int]:
    """Pages that have been touched, of a range of a file's bytes."""
    at = start & -PAGE
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # a hole up to the end [ENXIO]
            return
        hole = os.lseek(fd, at, os.SEEK_HOLE)
        yield from range(at, min(hole, end), PAGE)
        at = hole


def _differences(before: bytearray, now: bytes) -> Iterator[tuple[int, int]]:
    changed = int.from_bytes(before, "little") ^ int.from_bytes(now, "little")
    for match in _CHANGED.finditer(changed.to_bytes(PAGE, "little")):
        yield match.span()
