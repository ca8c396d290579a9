"""The queues as people look at them: one entry a queue, with what is wrong in words."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from exporter.bullmq import Queue
from exporter.collectors.queues import STATES
from exporter.collectors.queues.subjects.active import OLDEST_ACTIVE
from exporter.collectors.queues.subjects.limits import PAUSED
from exporter.collectors.queues.subjects.scheduled import DELAYED_OVERDUE_JOBS
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING
from exporter.config import Poll
from exporter.diagnosis import Database, Diagnosis, Isolation, databases_of, diagnose, hint, row_of
from exporter.state.keyspaces import keyspace_owners
from exporter.state.rates import Rates, rates
from exporter.state.snapshots import EventFacts, Snapshot
from exporter.state.store import SnapshotStore
from exporter.views.formatting import counted, printable


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue; None where a fact is not known."""

    connection: str
    prefix: str
    queue: str
    jobs: dict[str, int | None]
    """By state."""
    paused: bool | None
    oldest_waiting_seconds: float | None
    oldest_active_seconds: float | None
    delayed_overdue_jobs: int | None
    workers: int | None
    idle_workers: int | None
    added_per_minute: float | None
    """As the other two, of the last minute's events."""
    completed_per_minute: float | None
    failed_per_minute: float | None
    reason: str | None
    """Why its work is not moving, if it is not."""
    hint: str | None

    @property
    def ready(self) -> int:
        """Jobs that a worker could take now."""
        return (self.jobs["waiting"] or 0) + (self.jobs["prioritized"] or 0)


@dataclass(frozen=True, slots=True)
class Overview:
    """All queues, and the isolations among them."""

    queues: tuple[QueueView, ...]
    isolations: tuple[Isolation, ...]

    def as_json(self, views: Sequence[QueueView] | None = None) -> dict[str, Any]:
        """Plain values: of all queues, or of those views."""
        chosen = self.queues if views is None else views
        return {
            "verdict": self.verdict,
            "queues": [asdict(view) for view in chosen],
            "isolations": [asdict(isolation) for isolation in self.isolations],
        }

    @property
    def blocked(self) -> list[QueueView]:
        """Those whose work is not moving."""
        return [view for view in self.queues if view.reason is not None]

    @property
    def verdict(self) -> str:
        """One line."""
        blocked = self.blocked
        if not blocked:
            return f"{counted(len(self.queues), 'queue')}, none is blocked"
        first = blocked[0]
        return (
            f"{len(blocked)} of {counted(len(self.queues), 'queue')} blocked: "
            f"{printable(first.queue)} ({first.reason}: {first.hint})"
            + (f" and {len(blocked) - 1} more" if len(blocked) > 1 else "")
        )


def overview(store: SnapshotStore, poll: Poll, blocked_after: float | None = None) -> Overview:
    """Everything in the store that is fresh now; `blocked_after` replaces the configuration's."""
    now, snapshots = time.monotonic(), store.snapshots()
    owners = keyspace_owners(snapshots, now, poll.stale_after_seconds, store.sync)
    databases = databases_of(snapshots, owners, now, poll.stale_after_seconds)
    patience = poll.blocked_after_seconds if blocked_after is None else blocked_after
    diagnosis = diagnose(databases, now, patience)
    known = {snapshot.connection: snapshot for snapshot in snapshots}
    views = []
    for database in databases:
        grown = _rates(store, known[database.connection], now, poll.stale_after_seconds)
        for index, queue in enumerate(database.table.queues):
            views.append(_view(database, index, diagnosis, now, grown.get(queue)))
    return Overview(tuple(views), diagnosis.isolations)


def _rates(
    store: SnapshotStore, snapshot: Snapshot, now: float, stale_after: float
) -> dict[Queue, Rates | None]:
    """Of the queues that keep events, unless what is known of them is too old."""
    facts = snapshot.get(EventFacts, now, stale_after)
    if facts is None:
        return {}
    past, at = store.past(snapshot.connection), snapshot.facts[EventFacts].at
    return {queue: rates(past, at, queue, events) for queue, events in facts.queues.items()}


def _view(
    database: Database, index: int, diagnosis: Diagnosis, now: float, grown: Rates | None
) -> QueueView:
    row, table = row_of(database, index, now), database.table
    reason = diagnosis.blocked.get((database.connection, row.queue))
    return QueueView(
        connection=database.connection,
        prefix=row.queue.prefix,
        queue=row.queue.name,
        jobs={state: table.value(column, index) for state, column in STATES.items()},
        paused=table.flag(PAUSED, index),
        oldest_waiting_seconds=table.value(OLDEST_WAITING, index),
        oldest_active_seconds=table.value(OLDEST_ACTIVE, index),
        delayed_overdue_jobs=table.value(DELAYED_OVERDUE_JOBS, index),
        workers=row.workers.total if row.workers is not None else None,
        idle_workers=row.workers.idle if row.workers is not None else None,
        added_per_minute=grown.added if grown is not None else None,
        completed_per_minute=grown.completed if grown is not None else None,
        failed_per_minute=grown.failed if grown is not None else None,
        reason=reason.value if reason is not None else None,
        hint=hint(reason, database, row, diagnosis.isolations) if reason is not None else None,
    )
