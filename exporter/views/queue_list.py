"""All queues as columns, to choose and sort thousands of which a page shows a hundred. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues.subjects.active import OLDEST_ACTIVE
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING
from exporter.diagnosis import INTENDED
from exporter.views.moment import Moment
from exporter.views.overview import QueueRows, QueueView, last_known_rows

_Numbers = Sequence[float | None]


def _jobs(state: str) -> Callable[[QueueRows], _Numbers]:
    return lambda rows: rows.jobs[state]


def _rate(name: str) -> Callable[[QueueRows], _Numbers]:
    value_of = attrgetter(name)

    def column(rows: QueueRows) -> _Numbers:
        found = map(rows.rates, range(len(rows)))
        return [None if each is None else value_of(each) for each in found]

    return column


_COLUMNS: Final[dict[str, Callable[[QueueRows], _Numbers]]] = {
    "ready": lambda rows: rows.table.ready,
    "oldest": lambda rows: rows.table.column(OLDEST_WAITING),
    "longest": lambda rows: rows.table.column(OLDEST_ACTIVE),
    "waiting": _jobs("waiting"),
    "prioritized": _jobs("prioritized"),
    "active": _jobs("active"),
    "delayed": _jobs("delayed"),
    "children": _jobs("waiting-children"),
    "completed": _jobs("completed"),
    "failed": _jobs("failed"),
    "workers": lambda rows: rows.workers,
    "added-rate": _rate("added"),
    "completed-rate": _rate("completed"),
    "failed-rate": _rate("failed"),
}
"""The columns of the sorts in descending order, as in `sorting.py`."""


class QueueList:
    """Every queue has a number, its place among those of all connections."""

    def __init__(self, moment: Moment) -> None:
        self.fresh = [QueueRows(moment, database) for database in moment.databases]
        """The queues that can be read now."""
        self._parts = [*self.fresh, *last_known_rows(moment)]
        self._readable = sum(map(len, self.fresh))

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def prefixes(self) -> set[str]:
        """Of all queues."""
        return {queue.prefix for rows in self._parts for queue in rows.table.queues}

    def view(self, number: int) -> QueueView:
        """What is known of a queue."""
        rows, row = self._place(number)
        return rows.view(row)

    def queue(self, number: int) -> Queue | None:
        """The queue itself; None if it cannot be read now."""
        rows, row = self._place(number)
        return rows.table.queues[row] if number < self._readable else None

    def _place(self, number: int) -> tuple[QueueRows, int]:
        for rows in self._parts:
            if number < len(rows):
                return rows, number
            number -= len(rows)
        raise IndexError(number)

    def matching(
        self, text: str = "", connection: str = "", prefix: str = "", *, blocked: bool = False
    ) -> list[int]:
        """The numbers of the queues whose name contains the text in either case; empty ones match
        all."""
        text = text.casefold()
        first, found = 0, []
        for rows in self._parts:
            if connection in ("", rows.connection):
                chosen: Iterator[int] = iter(range(len(rows)))
                queues, reasons = rows.table.queues, rows.reasons
                if text:
                    chosen = (row for row in chosen if text in queues[row].name.casefold())
                if prefix:
                    chosen = (row for row in chosen if queues[row].prefix == prefix)
                if blocked:
                    chosen = (row for row in chosen if reasons[row] is not None)
                found += [first + row for row in chosen]
            first += len(rows)
        return found

    def in_order(self, numbers: Sequence[int], sort: str, *, reverse: bool = False) -> list[int]:
        """As `sorting.in_order`, the numbers of queues."""
        names = self._column(_names)
        if sort == "name":
            return sorted(numbers, key=names.__getitem__, reverse=reverse)
        by_name = sorted(numbers, key=names.__getitem__)
        if sort == "impact":
            return self._by_impact(by_name, reverse=reverse)
        values = self._column(_COLUMNS[sort])
        known = [number for number in by_name if values[number] is not None]
        known.sort(key=values.__getitem__, reverse=not reverse)
        return known + [number for number in by_name if values[number] is None]

    def _by_impact(self, numbers: Sequence[int], *, reverse: bool) -> list[int]:
        reasons, impacts = self._column(lambda rows: rows.reasons), self._column(_impacts)
        blocked = [number for number in numbers if reasons[number] is not None]
        groups = [
            [number for number in blocked if reasons[number] not in INTENDED],
            [number for number in blocked if reasons[number] in INTENDED],
            [number for number in numbers if reasons[number] is None],
        ]
        for group in groups:
            group.sort(key=impacts.__getitem__, reverse=not reverse)
        return [*chain(*(reversed(groups) if reverse else groups))]

    def _column(self, column_of: Callable[[QueueRows], Sequence[Any]]) -> Sequence[Any]:
        """The values of all queues, by number."""
        if len(self._parts) == 1:
            return column_of(self._parts[0])
        return [*chain(*map(column_of, self._parts))]


def _names(rows: QueueRows) -> Sequence[tuple[str, str, str]]:
    connection = rows.connection
    return [(connection, queue.prefix, queue.name) for queue in rows.table.queues]


def _impacts(rows: QueueRows) -> Sequence[float]:
    """As `QueueView.impact`."""
    pairs = zip(rows.table.ready, rows.table.column(OLDEST_WAITING), strict=True)
    return [(ready or 0) * max(age or 0.0, 1.0) for ready, age in pairs]
