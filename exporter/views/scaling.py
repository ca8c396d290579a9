"""What becomes of each backlog, and how many workers it needs, from the moment and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues.subjects.active import ACTIVE
from exporter.collectors.queues.subjects.limits import PAUSED, RATE_LIMITED
from exporter.collectors.queues.subjects.scheduled import DELAYED_OVERDUE_JOBS
from exporter.collectors.queues.subjects.settings import CONCURRENCY_LIMIT, LIBRARY_VERSION
from exporter.diagnosis import Database, Reason, queue_facts, reason_of
from exporter.diagnosis.drain import IDLE, MIN_SECONDS, Load, Outlook, Trend, outlook, trend_of
from exporter.state.queue_history import FIELDS, HOUR_SECONDS, Ring
from exporter.state.snapshots import EventFacts, QueueEvents
from exporter.views.moment import Moment

_LOAD: Final = (ACTIVE, DELAYED_OVERDUE_JOBS, CONCURRENCY_LIMIT, PAUSED, RATE_LIMITED)
"""Columns whose values are part of a queue's `Load`, or say why more workers do not help."""
_NO_HELP: Final = frozenset(Reason) - {Reason.NO_WORKERS}


@dataclass(frozen=True, slots=True)
class Scaling:
    """A queue as an autoscaler needs it."""

    load: Load
    trend: Trend | None
    """None while too little is known."""
    outlook: Outlook


class OutlookCache:
    """The outlooks of a connection's queues, each computed again only if what it rests on differs.

    The last outlooks are the same object as long as none of them differs.
    """

    def __init__(self) -> None:
        self._queues: Sequence[Queue] = ()
        self._common: tuple[object, ...] = ()
        self._keys: list[tuple[Any, ...]] = []
        """For each queue, all that its outlook rests on, besides `_common`."""
        self._outlooks: list[Outlook] = []
        self._rings: list[tuple[Ring | None, Trend | None]] = []
        """The points of each queue with their trend."""
        self._trends: list[Trend | None] = []
        self._trends_of: tuple[object, ...] = ()
        self._trends_until = 0.0
        """Monotonic time at which the points of a queue become too old."""
        self._events: Mapping[Queue, QueueEvents] = {}
        self._runs: list[tuple[QueueEvents | None, float | None]] = []
        """The events of each queue with the mean run time of its jobs."""

    def outlooks(
        self, moment: Moment, database: Database, workers: Sequence[int | None]
    ) -> Sequence[Outlook]:
        """The outlook of each queue of the database's table, given its workers."""
        table, target = database.table, moment.config.scaling.drain_seconds
        if table.queues is not self._queues:
            self._queues, self._common, self._trends_of, self._events = table.queues, (), (), {}
            self._rings = [(None, None)] * len(table.queues)
            self._runs = [(None, None)] * len(table.queues)
        self._note_trends(moment, database)
        self._note_runs(_events(moment, database))
        common = (target, database.role, bool(database.writes_refused))
        keys = list(
            zip(
                self._trends,
                [mean for _, mean in self._runs],
                workers,
                moment.diagnosis.reasons[database.connection],
                [count and count.idle for count in database.worker_counts],
                table.ready,
                *[table.column(column) for column in _LOAD],
                [version is not None for version in table.column(LIBRARY_VERSION)],
                strict=True,
            )
        )
        if common != self._common:
            self._common, self._keys, self._outlooks = common, [], []
        if keys == self._keys:
            return self._outlooks
        known = zip(self._keys, self._outlooks, strict=True)
        found: list[Outlook] = []
        for row, key in enumerate(keys):
            last, kept = next(known, (None, None))
            if kept is None or key != last:
                trend, run, count, reason, *_ = key
                kept = outlook(_load(database, row, count, reason, run), trend, target)
            found.append(kept)
        self._keys, self._outlooks = keys, found
        return found

    def _note_trends(self, moment: Moment, database: Database) -> None:
        """Bring the trends up to date; they change with new points, or when these are too old."""
        histories, name = moment.stored.histories, database.connection
        source = (histories.recorded_at(name), moment.stale_after)
        if source == self._trends_of and moment.now <= self._trends_until:
            return
        left = inf
        rings, trends = list(self._rings), []
        for row, queue in enumerate(self._queues):
            ring = histories.ring(name, queue)
            if ring is None:
                rings[row] = (None, None)
                trends.append(_idle_trend(moment, name, queue))
                continue
            late = _seconds_too_old(moment, name, ring)
            if late > 0:
                trends.append(None)
                continue
            if rings[row][0] is not ring:
                rings[row] = (ring, _trend(ring))
            trends.append(rings[row][1])
            left = min(left, -late)
        self._rings, self._trends, self._trends_of = rings, trends, source
        self._trends_until = moment.now + left

    def _note_runs(self, events: Mapping[Queue, QueueEvents]) -> None:
        """Bring the mean run times up to date."""
        if events is self._events:
            return
        found = map(events.get, self._queues)
        self._events = events
        self._runs = [
            known if each is known[0] else (each, mean_run_seconds(each))
            for each, known in zip(found, self._runs, strict=True)
        ]


def scaling(moment: Moment, database: Database, row: int, target_seconds: float) -> Scaling:
    """The scaling of one queue, a row of the database's table."""
    queue = database.table.queues[row]
    facts = queue_facts(database, row, moment.now, moment.blocked_after)
    workers = facts.known_workers
    # the diagnosis of all queues takes much longer than that of one
    reason = reason_of(moment.databases, database, row, moment.now, moment.blocked_after)
    total = workers.total if workers is not None else None
    run_seconds = mean_run_seconds(_events(moment, database).get(queue))
    load = _load(database, row, total, reason, run_seconds)
    trend = trend_now(moment, database, queue)
    return Scaling(load, trend, outlook(load, trend, target_seconds))


def trend_now(moment: Moment, database: Database, queue: Queue) -> Trend | None:
    """How the queue did lately; None if too little is known."""
    ring = moment.stored.histories.ring(database.connection, queue)
    if ring is None:
        return _idle_trend(moment, database.connection, queue)
    return None if _seconds_too_old(moment, database.connection, ring) > 0 else _trend(ring)


def _idle_trend(moment: Moment, connection: str, queue: Queue) -> Trend | None:
    """The trend of a queue without points."""
    idle = moment.stored.histories.idle_seconds(connection, queue)
    return IDLE if idle is not None and idle >= MIN_SECONDS else None


def _seconds_too_old(moment: Moment, connection: str, ring: Ring) -> float:
    """Since when the points say nothing of now; negative while they do."""
    age = moment.stored.histories.age_seconds(connection, ring, moment.now)
    return age - _step(ring) - moment.stale_after


def mean_run_seconds(events: QueueEvents | None) -> float | None:
    """The mean time of all runs that the exporter has seen, whatever their outcome."""
    if events is None:
        return None
    runs = [run for jobs in events.jobs.values() for run in jobs.runs.values()]
    count = sum(run.count for run in runs)
    return sum(run.sum for run in runs) / count if count else None


def obstacle(database: Database, row: int, reason: Reason | None) -> Reason | None:
    """Why more workers do not help the queue, as far as is known; None also if they do."""
    if reason in _NO_HELP:
        return reason
    table = database.table
    if table.columns[PAUSED][row]:
        return Reason.PAUSED
    if database.writes_refused:
        return Reason.WRITES_REFUSED
    if database.role == "slave":
        return Reason.REDIS_READONLY
    if table.columns[RATE_LIMITED][row]:
        return Reason.RATE_LIMITED
    limit = table.columns[CONCURRENCY_LIMIT][row]
    if limit is not None and (table.columns[ACTIVE][row] or 0) >= limit:
        return Reason.CONCURRENCY_LIMIT
    return None


def _events(moment: Moment, database: Database) -> Mapping[Queue, QueueEvents]:
    facts = moment.facts(moment.known[database.connection], EventFacts)
    return facts.queues if facts is not None else {}


def _load(
    database: Database,
    row: int,
    workers: int | None,
    reason: Reason | None,
    run_seconds: float | None,
) -> Load:
    table = database.table
    queue, columns = table.queues[row], table.columns
    counted = database.workers.of(queue) if database.workers is not None else None
    return Load(
        ready=table.ready[row],
        active=columns[ACTIVE][row],
        overdue=columns[DELAYED_OVERDUE_JOBS][row],
        workers=workers,
        free_workers=counted.idle if counted is not None and workers else workers,
        mean_run_seconds=run_seconds,
        concurrency_limit=columns[CONCURRENCY_LIMIT][row],
        reason=reason,
        obstacle=obstacle(database, row, reason),
        obstacle_known=columns[PAUSED][row] is not None
        and columns[LIBRARY_VERSION][row] is not None,
    )


def _step(ring: Ring) -> int:
    return HOUR_SECONDS * FIELDS // len(ring.values)


def _trend(ring: Ring) -> Trend | None:
    return trend_of(ring.values, _step(ring))
