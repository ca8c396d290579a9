"""The columns of the table, and which of them fit a width. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final

from exporter.top.rows import Row
from exporter.top.text import count
from exporter.views.formatting import age, clock, rate

GAP: Final = 1
"""Blanks between two columns."""
MIN_NAME: Final = 12
_GOOD_NAME: Final = 30
"""A name of this width comes before the less important columns."""
TREND: Final = "TREND"
REASON: Final = "BLOCKED BY"
_MAX_TREND: Final = 40
_MAX_REASON: Final = 17


@dataclass(frozen=True, slots=True)
class Column:
    """A column besides the name."""

    header: str
    width: int
    text: Callable[[Row], str]
    sort: str = ""
    """The order that this column shows; empty if there is none by it."""
    is_left: bool = False
    """Whether it is aligned on the left."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that are shown, from left to right, and their widths."""

    name: int
    columns: tuple[tuple[Column, int], ...]

    @property
    def trend(self) -> int:
        """The width of the trend; 0 if it is not shown."""
        return next((width for each, width in self.columns if each.header == TREND), 0)

    @property
    def sorts(self) -> list[str]:
        """The orders to choose from: those of the columns that are shown."""
        shown = (each.sort for each, _ in self.columns if each.sort)
        return list(dict.fromkeys(("impact", "name", *shown)))


def drain(row: Row) -> str:
    """When the backlog is gone."""
    seconds = row.outlook.drain_seconds
    return "never" if seconds == inf else age(seconds)


def last_seen(at: float) -> str:
    """When a queue that cannot be read now was last read, in the width of its column."""
    return f"as of {clock(at).removesuffix(' UTC')}"


def _reason(row: Row) -> str:
    if row.view.reason is None and row.seen is not None:
        return last_seen(row.seen)
    return (row.view.reason or "").replace("_", " ")


_READY = Column("READY", 7, lambda row: count(row.view.ready), "ready")
_TREND = Column(TREND, 8, lambda _: "")
_OLDEST = Column("OLDEST", 6, lambda row: age(row.view.oldest_waiting_seconds), "oldest")
_DRAIN = Column("DRAIN", 5, drain)
_ACTIVE = Column("ACTIVE", 6, lambda row: count(row.view.jobs["active"]), "active")
_LONGEST = Column("LONGEST", 7, lambda row: age(row.view.oldest_active_seconds), "longest")
_DELAYED = Column("DELAYED", 7, lambda row: count(row.view.jobs["delayed"]), "delayed")
_CHILDREN = Column("CHILDREN", 8, lambda row: count(row.view.jobs["waiting-children"]), "children")
_FAILED = Column("FAILED", 7, lambda row: count(row.view.jobs["failed"]), "failed")
_COMPLETED = Column("COMPLETED", 9, lambda row: count(row.view.jobs["completed"]), "completed")
_ADDED_RATE = Column("ADDED/m", 7, lambda row: rate(row.view.added_per_minute), "added-rate")
_DONE_RATE = Column("DONE/m", 7, lambda row: rate(row.view.completed_per_minute), "completed-rate")
_FAILED_RATE = Column("FAIL/m", 7, lambda row: rate(row.view.failed_per_minute), "failed-rate")
_WORKERS = Column("WORKERS", 7, lambda row: count(row.view.workers), "workers")
_REASON = Column(REASON, 14, _reason, "impact", is_left=True)

_IN_ORDER: Final = (
    *(_READY, _TREND, _OLDEST, _DRAIN, _ACTIVE, _LONGEST, _DELAYED, _CHILDREN, _FAILED),
    *(_COMPLETED, _ADDED_RATE, _DONE_RATE, _FAILED_RATE, _WORKERS, _REASON),
)
"""From left to right."""
_BY_IMPORTANCE: Final[tuple[Column | None, ...]] = (
    *(_READY, _OLDEST, _REASON, _TREND, _WORKERS, _DRAIN, _ACTIVE, _FAILED),
    None,  # room for the name
    *(_DONE_RATE, _ADDED_RATE, _DELAYED, _FAILED_RATE, _CHILDREN, _LONGEST, _COMPLETED),
)
"""The first that does not fit ends the choice, so that a wider screen shows all that a narrower
one does."""


def layout(width: int, longest_name: int) -> Layout:
    """The columns for a table of `width` cells, with names of up to `longest_name` cells."""
    name = min(longest_name, MIN_NAME)
    left, shown = width - name, set()
    for column in _BY_IMPORTANCE:
        if column is None:
            wanted = min(longest_name, _GOOD_NAME) - name
            name, left = name + min(wanted, left), left - min(wanted, left)
        elif column.width + GAP <= left:
            shown.add(column.header)
            left -= column.width + GAP
        else:
            break
    widths = {each.header: each.width for each in _IN_ORDER if each.header in shown}
    more = min(left, longest_name - name)
    name, left = name + more, left - more
    for header, most in ((REASON, _MAX_REASON), (TREND, _MAX_TREND)):
        if header in widths:
            more = min(left, most - widths[header])
            widths[header], left = widths[header] + more, left - more
    columns = tuple((each, widths[each.header]) for each in _IN_ORDER if each.header in widths)
    return Layout(max(name, 1), columns)
