# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The drawing that the page and the picture share: rows, nesting, arrows, colours and ticks."""

from itertools import pairwise

import pytest

from pydriver.timeline.drawing import (
    STYLES,
    TICK_PIXELS,
    Drawing,
    Head,
    LevelRow,
    SliceRow,
    irql_colour,
    ticks,
)
from pydriver.timeline.timeline import Category, Counter, Group, Slice, Timeline


def test_each_processor_is_above_its_irql_in_the_order_of_their_numbers() -> None:
    timeline = Timeline()
    timeline.add_track(Group.VECTORS, "vector 0x60")
    for number in reversed(range(12)):
        timeline.add_track(Group.PROCESSORS, f"processor {number}")
        timeline.counters.append(Counter(number))
    first, *rows = Drawing(timeline).rows
    assert first == Head(Group.PROCESSORS)
    processors = rows[:24]
    expected = [f"{what}processor {n}" for n in range(12) for what in ("", "IRQL of ")]
    assert [row.label for row in processors if not isinstance(row, Head)] == expected
    assert all(isinstance(row, LevelRow) for row in processors[1::2])
    assert rows[24] == Head(Group.VECTORS)


def test_lane_has_the_label_of_what_is_on_it() -> None:
    timeline = Timeline()
    for lane in (1, 0):
        timeline.add_track(Group.VECTORS, "vector 0x60", lane)
    timeline.slices = [Slice(0, Category.IN_SERVICE, "", 5, 9), Slice(1, Category.ISR, "isr", 0, 3)]
    _, *rows = Drawing(timeline).rows
    assert [row.label for row in rows if isinstance(row, SliceRow)] == ["vector 0x60", "in service"]


def test_slice_is_below_those_that_enclose_it() -> None:
    timeline = Timeline()
    timeline.add_track(Group.PROCESSORS, "processor 0")
    timeline.slices = [
        Slice(0, Category.ISR, "inner", 20, 30),
        Slice(0, Category.EVENT, "moment", 25),
        Slice(0, Category.DPC, "outer", 20, 50),
        Slice(0, Category.DPC, "next", 50, 60),
    ]
    _, row = Drawing(timeline).rows
    assert isinstance(row, SliceRow)
    names = [each.name for each in row.slices]
    assert list(zip(names, row.depths, strict=True)) == [
        ("outer", 0),
        ("inner", 1),
        ("moment", 2),
        ("next", 0),
    ]
    assert row.depth == 3


def test_arrow_leads_from_cause_to_effect_though_the_effect_is_above_it() -> None:
    timeline = Timeline()
    timeline.add_track(Group.PROCESSORS, "processor 0")
    timeline.add_track(Group.VECTORS, "vector 0x60", 1)
    timeline.slices = [
        Slice(1, Category.PENDING, "pending", 0, 10, flows=[1]),
        Slice(0, Category.ISR, "isr", 10, 20, flows=[1, 2]),  # the effect of 2 is not there
    ]
    assert Drawing(timeline).arrows == [(1, 0)]


def test_every_category_has_a_look_and_every_irql_a_colour() -> None:
    assert set(STYLES) == set(Category)
    below = {irql_colour(level) for level in range(3)}
    above = {irql_colour(level) for level in range(3, 16)}
    assert len(below) == len(above) == 1
    assert below != above


@pytest.mark.parametrize("span", [0.7, 95.0, 544.7, 32_681.0, 9e5, 7.5e7])
@pytest.mark.parametrize("width", [400, 1222])
def test_ticks_are_round_and_their_labels_differ(span: float, width: int) -> None:
    found = list(ticks(span, width))
    labels = [label for _, label in found]
    assert len(set(labels)) == len(labels) >= 2
    assert found[0][0] == 0
    assert found[-1][0] <= span
    for (before, _), (after, label) in pairwise(found):
        assert (after - before) / span * width >= TICK_PIXELS - 1e-6
        value, unit = label.split()
        assert float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit] == pytest.approx(after)
    assert float(f"{found[1][0]:e}".split("e")[0]) in {1, 2, 5}
