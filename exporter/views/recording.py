"""Records the history of the queues from the moments that are rendered."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan

from exporter.bullmq import Queue
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING
from exporter.diagnosis import Database
from exporter.state.history import Past, Rates, rates_within, window
from exporter.state.queue_history import Point
from exporter.state.snapshots import Dated, EventFacts
from exporter.views.moment import Moment


def record_histories(moment: Moment) -> None:
    """Add what is known now to the histories, where the next point is due."""
    histories, max_bytes = moment.stored.histories, moment.config.history.max_bytes
    for database in moment.databases:
        snapshot, name = moment.known[database.connection], database.connection
        reasons = moment.diagnosis.reasons[name]
        blocked = {
            queue: reason.value
            for queue, reason in zip(database.table.queues, reasons, strict=True)
            if reason is not None
        }
        histories.note_verdicts(name, snapshot.at, moment.time, blocked, max_bytes)
        seconds = histories.due(name, snapshot.at)
        if seconds is not None and database.table.queues:  # none before the first discovery
            histories.record(
                name,
                snapshot.at,
                moment.time,
                _points(moment, database, seconds),
                valid_seconds=moment.stale_after,
                max_bytes=max_bytes,
            )


def _points(moment: Moment, database: Database, seconds: float) -> Mapping[Queue, Point]:
    table, snapshot = database.table, moment.known[database.connection]
    events = snapshot.facts.get(EventFacts) if moment.facts(snapshot, EventFacts) else None
    flows = _rates(moment.past(snapshot), events, seconds)
    unknown = Rates(nan, nan, nan)
    rows = zip(
        table.queues,
        table.ready,
        table.column(OLDEST_WAITING),
        moment.worker_totals[database.connection],
        strict=True,
    )
    return {
        queue: Point(
            nan if ready is None else ready,
            nan if oldest is None else oldest,
            *_per_minute(flows.get(queue, unknown)),
            nan if workers is None else workers,
        )
        for queue, ready, oldest, workers in rows
    }


def _per_minute(flow: Rates) -> tuple[float, float, float]:
    return flow.added, flow.completed, flow.failed


def _rates(past: Past, events: Dated | None, seconds: float) -> Mapping[Queue, Rates]:
    """The rates of the queues of which they are known, over the last `seconds`."""
    if events is None or not isinstance(events.facts, EventFacts):
        return {}
    # entries and points are due at the same distance, but not at the same time
    at_least = 0.7 * seconds
    recent = window(past, events.at, at_least)
    found = {}
    for queue, each in events.facts.queues.items():
        flow = rates_within(recent, events.at, queue, each)
        if flow is not None:
            found[queue] = flow
    return found
