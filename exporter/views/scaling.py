"""What becomes of each backlog, and how many workers it needs, from the moment and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

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

_NO_HELP: Final = frozenset(Reason) - {Reason.NO_WORKERS}


@dataclass(frozen=True, slots=True)
class Scaling:
    """A queue as an autoscaler needs it."""

    load: Load
    trend: Trend | None
    """None while too little is known."""
    outlook: Outlook


class TrendCache:
    """The trends of a connection's queues, each computed once for each new point."""

    def __init__(self) -> None:
        self._known: dict[Queue, tuple[Ring, Trend | None]] = {}

    def of(self, queue: Queue, ring: Ring) -> Trend | None:
        """The trend of the queue with these points."""
        cached = self._known.get(queue)
        if cached is None or cached[0] is not ring:
            cached = self._known[queue] = (ring, _trend(ring))
        return cached[1]

    def keep(self, queues: Sequence[Queue]) -> None:
        """Forget all other queues."""
        if len(self._known) > len(queues):
            known = set(queues)
            self._known = {q: found for q, found in self._known.items() if q in known}


def outlooks(
    moment: Moment, database: Database, workers: Sequence[int | None], trends: TrendCache
) -> list[Outlook]:
    """The outlook of each queue of the database's table, given its workers."""
    target = moment.config.scaling.drain_seconds
    queues = database.table.queues
    trends.keep(queues)
    events, found = _events(moment, database), []
    for row, (queue, count) in enumerate(zip(queues, workers, strict=True)):
        trend = trend_now(moment, database, queue, trends)
        reason = moment.diagnosis.blocked.get((database.connection, queue))
        found.append(outlook(_load(database, row, count, reason, events), trend, target))
    return found


def scaling(moment: Moment, database: Database, row: int, target_seconds: float) -> Scaling:
    """The scaling of one queue, a row of the database's table."""
    queue = database.table.queues[row]
    facts = queue_facts(database, row, moment.now, moment.blocked_after)
    workers = facts.known_workers
    # the diagnosis of all queues takes much longer than that of one
    reason = reason_of(moment.databases, database, row, moment.now, moment.blocked_after)
    total = workers.total if workers is not None else None
    load = _load(database, row, total, reason, _events(moment, database))
    trend = trend_now(moment, database, queue, TrendCache())
    return Scaling(load, trend, outlook(load, trend, target_seconds))


def trend_now(moment: Moment, database: Database, queue: Queue, trends: TrendCache) -> Trend | None:
    """How the queue did lately; None if too little is known."""
    histories, name = moment.stored.histories, database.connection
    ring = histories.ring(name, queue)
    if ring is not None:
        # points that end long ago say nothing of now
        if histories.age_seconds(name, ring, moment.now) > _step(ring) + moment.stale_after:
            return None
        return trends.of(queue, ring)
    idle = histories.idle_seconds(name, queue)
    return IDLE if idle is not None and idle >= MIN_SECONDS else None


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
    events: Mapping[Queue, QueueEvents],
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
        mean_run_seconds=mean_run_seconds(events.get(queue)),
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
