# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""Changes of the memory that a driver shares with its device.

A driver writes rings and buffers without an access that could be observed, and the device reads
them by DMA. Therefore the memory is compared with a copy. Only pages that exist are compared:
memory that nobody has touched is a hole in its file [lseek(2), SEEK_DATA].
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ("MemoryChanges", "SharedRegion")

PAGE = 4096
GAP = 16
"""Between two changed bytes, fewer equal bytes than this count as changed, too."""

_CHANGED = re.compile(rb"[^\0]+(?:\0{1,%d}[^\0]+)*" % (GAP - 1))


@dataclass(frozen=True)
class SharedRegion:
    """Memory that driver and device share.

    :ivar fd: the descriptor of its file
    :ivar view: the whole region
    :ivar extents: gives the parts that may be in use now, as pairs of start and end in bytes
    :ivar base: the physical address of the first byte, or the name of the BAR that shows the region
    """

    fd: int
    view: memoryview
    extents: Callable[[], Sequence[tuple[int, int]]]
    base: int | str


class MemoryChanges:
    """A copy of some regions, all zeros at first. Only one thread at a time may use it.

    :param regions: the regions to compare
    """

    def __init__(self, regions: Sequence[SharedRegion]) -> None:
        self._regions = [(region, dict[int, bytearray]()) for region in regions]

    def take(self) -> Iterator[tuple[int | str, int, bytes]]:
        """Finds the changes since the last call.

        :return: for each change the base of the region, the offset, and the new bytes
        """
        for region, copies in self._regions:
            view = region.view
            for start, end in region.extents():
                for page in _existing_pages(region.fd, start, end):
                    copy = copies.get(page)
                    if copy is None:
                        copy = copies[page] = bytearray(PAGE)
                    # A bytearray is compared with a buffer at the speed of memcmp.
                    if copy != view[page : page + PAGE]:
                        now = bytes(view[page : page + PAGE])
                        for first, last in _differences(copy, now):
                            yield region.base, page + first, now[first:last]
                        copy[:] = now


def _existing_pages(fd: int, start: int, end: int) -> Iterator[int]:
    """The pages in a range of a file that have been touched."""
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
