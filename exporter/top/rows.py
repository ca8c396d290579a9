"""What is known at one time, as rows of the table. Pure: no I/O."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from exporter.bullmq import Queue, queue_of
from exporter.diagnosis.drain import Outlook
from exporter.state.queue_history import Point
from exporter.views.find_queue import QueueKey
from exporter.views.moment import Moment
from exporter.views.overview import QueueView, last_read
from exporter.views.scaling import OutlookCache
from exporter.views.sorting import in_order
from exporter.web.background import Known

_READY: Final = Point._fields.index("ready")
_UNKNOWN: Final = Outlook(None, None, None, None)


@dataclass(frozen=True, slots=True)
class Row:
    """A queue, and what becomes of its backlog."""

    queue: Queue
    view: QueueView
    outlook: Outlook
    seen: float | None
    """When it was last read, as a Unix time, if it cannot be read now; None if it can."""

    @property
    def key(self) -> QueueKey:
        """Connection, prefix and name."""
        return (self.view.connection, self.view.prefix, self.view.queue)


@dataclass(frozen=True)
class Look:
    """A moment with what the screen shows of it."""

    known: Known
    rows: dict[QueueKey, Row]

    @property
    def moment(self) -> Moment:
        """What is known."""
        return self.known.moment

    @cached_property
    def several_connections(self) -> bool:
        """Whether there are queues of more than one connection."""
        return len({key[0] for key in self.rows}) > 1

    @cached_property
    def several_prefixes(self) -> bool:
        """Whether there are queues with more than one prefix."""
        return len({key[1] for key in self.rows}) > 1

    def ready_points(self, row: Row) -> tuple[Sequence[float], int]:
        """Ready jobs in the last hour, oldest first, and the seconds between two points; none if
        the queue cannot be read now."""
        moment = self.moment
        if row.seen is not None:
            return (), 0
        histories, connection = moment.stored.histories, row.view.connection
        history = histories.of(connection, row.queue, moment.now, moment.time)
        if history is None:
            return (), 0
        return [point[_READY] for point in history.points], history.step_seconds


def look_at(moment: Moment, caches: dict[str, OutlookCache]) -> Look:
    """Everything that the screen needs of a moment; `caches` has one for each connection."""
    known, rows = Known(moment), {}
    seen, views = last_read(moment), iter(known.overview.queues)
    for database in moment.databases:
        workers = moment.worker_totals[database.connection]
        cache = caches.setdefault(database.connection, OutlookCache())
        found = cache.outlooks(moment, database, workers)
        for queue, outlook in zip(database.table.queues, found, strict=True):
            row = Row(queue, next(views), outlook, seen.get(database.connection))
            rows[row.key] = row
    for view in known.last_known:
        queue = queue_of(view.prefix, view.queue)
        row = Row(queue, view, _UNKNOWN, seen.get(view.connection))
        rows[row.key] = row
    known.verdict  # noqa: B018 - cached, so that drawing does not wait for it
    return Look(known, rows)


def matches(name: str, pattern: str) -> bool:
    """Whether a queue's name contains the text, or matches the glob, in either case."""
    name, pattern = name.casefold(), pattern.casefold()
    if any(char in pattern for char in "*?["):
        return fnmatch.fnmatchcase(name, pattern)
    return pattern in name


def chosen(look: Look, pattern: str, sort: str, *, reverse: bool, blocked: bool) -> list[Row]:
    """The rows that match, in order."""
    views = [
        row.view
        for row in look.rows.values()
        if matches(row.view.queue, pattern) and (row.view.reason is not None or not blocked)
    ]
    ordered = in_order(views, sort, reverse=reverse)
    return [look.rows[view.connection, view.prefix, view.queue] for view in ordered]
