# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the pydriver authors
"""The report of a run: as a table for people, as JSON for programs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydriver.trace import LevelSummary

__all__ = (
    "CORRECT",
    "QueueCounters",
    "RunReport",
    "counter",
    "format_size",
    "table",
)

CORRECT = "correct"
LEVELS = ("isr", "dpc", "work_item")
GUIDED = ("isr", "dpc")
"""Levels with a guideline for their time: 25 us and 100 us [Bug Check 0x133]."""


@dataclass(frozen=True)
class QueueCounters:
    """Counts of one hardware queue.

    A field's metadata has its heading in the table, and whether it is in the JSON object. A column
    that is there only for repairs is left out when there were none.
    """


def counter(heading: str, *, json: bool = True, repair: bool = False) -> int:
    """A field of a subclass of :class:`QueueCounters`, which is 0 by default."""
    return field(default=0, metadata={"heading": heading, "json": json, "repair": repair})


@dataclass
class RunReport:
    """One run.

    :ivar verdict: ``correct``, or a description of what is wrong
    :ivar size: bytes that went through and were right
    :ivar seconds: the time from the first request to the last, or of doing nothing
    :ivar queues: the counts of each hardware queue
    :ivar levels: the times by level: ``isr``, ``dpc`` and ``work_item``
    :ivar row: the name of what each of `queues` counts for
    """

    verdict: str = CORRECT
    size: int = 0
    seconds: float = 0.0
    queues: Sequence[QueueCounters] = ()
    levels: "Mapping[str, LevelSummary]" = field(default_factory=dict)
    row: str = "queue"

    def json(self) -> str:
        """One object on one line."""
        import json

        return json.dumps(
            {
                "verdict": self.verdict,
                "bytes": self.size,
                "seconds": round(self.seconds, 6),
                f"{self.row}s": [
                    {
                        each.name: getattr(queue, each.name)
                        for each in fields(queue)
                        if each.metadata["json"]
                    }
                    for queue in self.queues
                ],
                "levels": {name: _level(_summary(self.levels, name)) for name in LEVELS},
            }
        )

    def text(self) -> str:
        """Both tables, the throughput and the verdict."""
        parts = []
        if self.queues:
            parts += [table(_queue_rows(self.row, self.queues)), ""]
        if self.levels:
            parts += [table(_level_rows(self.levels)), ""]
        if self.size and self.seconds:
            rate = format_size(self.size / self.seconds)
            parts.append(f"{format_size(self.size)} in {self.seconds:.2f} s, {rate}/s")
        parts.append(f"verdict: {self.verdict}")
        return "\n".join(parts)


def format_size(size: float) -> str:
    """``52.4 MB``: decimal units, as throughputs are given."""
    unit = ""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"


def _level(summary: "LevelSummary") -> dict[str, float]:
    return {
        "count": summary.count,
        "mean_us": round(summary.mean_us, 3),
        "p50_us": round(summary.p50_us, 3),
        "p99_us": round(summary.p99_us, 3),
        "max_us": round(summary.max_us, 3),
    }


def _queue_rows(title: str, queues: Sequence[QueueCounters]) -> list[list[str]]:
    columns = {
        each.name: each.metadata["heading"]
        for each in fields(queues[0])
        if not each.metadata["repair"] or any(getattr(queue, each.name) for queue in queues)
    }
    rows = [[title, *columns.values()]]
    values = [[getattr(queue, name) for name in columns] for queue in queues]
    rows += [[str(index), *map(_number, row)] for index, row in enumerate(values)]
    if len(queues) > 1:
        totals = [None if None in column else sum(column) for column in zip(*values, strict=True)]
        rows.append(["all", *map(_number, totals)])
    return rows


def _number(value: int | None) -> str:
    return "?" if value is None else str(value)


def _summary(levels: "Mapping[str, LevelSummary]", name: str) -> "LevelSummary":
    """The summary of a level; zeros if nothing has run at it."""
    from pydriver.trace import LevelSummary

    return levels.get(name) or LevelSummary(0, 0.0, 0.0, 0.0, 0.0)


def _level_rows(levels: "Mapping[str, LevelSummary]") -> list[list[str]]:
    rows = [["level", "count", "mean us", "p50 us", "p99 us", "longest us", "too long"]]
    for name in LEVELS:
        level = _summary(levels, name)
        times = (level.mean_us, level.p50_us, level.p99_us, level.max_us)
        over = str(level.over) if name in GUIDED else ""
        rows.append([name, str(level.count), *(f"{time:.1f}" for time in times), over])
    return rows


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns under each other, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(lines)


def _line(row: Iterable[str], widths: Iterable[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return "  ".join(cells).rstrip()
