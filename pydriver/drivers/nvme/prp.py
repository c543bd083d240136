# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""PRP entries, with which a command describes its data's addresses [NVM Express 1.4, 4.3]."""

import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pydriver.drivers.nvme.spec import PAGE

if TYPE_CHECKING:
    from pydriver.wdf import ScatterGatherElement

__all__ = ("PrpList", "prp_list_pages")

ENTRY = 8
PER_PAGE = PAGE // ENTRY


def prp_list_pages(transfer: int) -> int:
    """The number of pages of a PRP list for any transfer of up to a number of bytes.

    The last entry of a page that is not the last page points to the next page.

    :param transfer: bytes; the data may begin anywhere in a page
    """
    entries = (transfer + PAGE - 1) // PAGE
    return max(1, -(-(entries - 1) // (PER_PAGE - 1)))


class PrpList:
    """The memory for one command's PRP list.

    :param view: the pages
    :param address: their address for the controller
    """

    def __init__(self, view: memoryview, address: int) -> None:
        self.view = view
        self.address = address

    def build(self, elements: "Iterable[ScatterGatherElement]") -> tuple[int, int]:
        """Makes the entries for a transfer.

        :param elements: elements of its scatter/gather list; only the first may begin, and only
            the last may end, within a page
        :return: PRP entries 1 and 2 of the command
        """
        first, *rest = _pages(elements)
        if len(rest) < 2:
            return first, rest[0] if rest else 0
        place = 0
        while len(rest) > PER_PAGE:
            place += PAGE
            self._store(place - PAGE, [*rest[: PER_PAGE - 1], self.address + place])
            del rest[: PER_PAGE - 1]
        self._store(place, rest)
        return first, self.address

    def _store(self, place: int, entries: list[int]) -> None:
        struct.pack_into(f"<{len(entries)}Q", self.view, place, *entries)


def _pages(elements: "Iterable[ScatterGatherElement]") -> Iterator[int]:
    """The address at which each page of the data begins."""
    for each in elements:
        yield each.address
        yield from range((each.address & -PAGE) + PAGE, each.address + each.length, PAGE)
