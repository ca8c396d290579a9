"""The queues as people see them: one entry per queue, with the reason if it is blocked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any, Final

from exporter.bullmq import Queue
from exporter.collectors.queues import STATES, STUCK
from exporter.collectors.queues.subjects.active import OLDEST_ACTIVE
from exporter.collectors.queues.subjects.groups import GROUPS
from exporter.collectors.queues.subjects.limits import PAUSED
from exporter.collectors.queues.subjects.retry_reasons import RETRY_REASONS
from exporter.collectors.queues.subjects.scheduled import DELAYED_OVERDUE_JOBS
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING
from exporter.diagnosis import (
    INTENDED,
    STUCK_HINTS,
    WORKER_HINTS,
    Database,
    Diagnosis,
    Isolation,
    hint,
    odd_workers,
    queue_facts,
)
from exporter.parsing import id_text
from exporter.state.failures import Failures, example
from exporter.state.history import Rates, kept_rates, rates
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import EventFacts, Snapshot
from exporter.state.workers import Worker
from exporter.views.moment import Moment

_RECENT_SECONDS: Final = 3600.0
"""Tables show the failures of this time; JSON, all since the start."""


@dataclass(frozen=True, slots=True)
class StuckView:
    """A job that will not go on by itself."""

    kind: str
    id: str
    since: float | None
    """Unix time in seconds; None if unknown."""
    proof: str
    remedy: str


@dataclass(frozen=True, slots=True)
class OddWorkersView:
    """Workers that differ from the others of their queue."""

    kind: str
    proof: str
    remedy: str


@dataclass(frozen=True, slots=True)
class FailureView:
    """Failed jobs of one class, or failed attempts that were retried."""

    name: str
    """What their reasons have in common."""
    count: int
    """Since the exporter first saw the queue."""
    first_seen: float
    """Unix time in seconds, like the next one."""
    last_seen: float
    job: str
    """The ID of the one that failed last, truncated."""
    recent: bool
    """Whether that was within the last hour."""
    example: str
    """Its reason; `…` stands for what may be a part of the payload, unless
    `web.show_failure_texts` is on."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue; None means unknown, except for `reason` and `hint`."""

    connection: str
    prefix: str
    queue: str
    jobs: dict[str, int | None]
    """By state."""
    paused: bool | None
    oldest_waiting_seconds: float | None
    oldest_active_seconds: float | None
    delayed_overdue_jobs: int | None
    groups: int | None
    """Groups of BullMQ Pro with waiting jobs, which are not counted; None also if there is none."""
    workers: int | None
    idle_workers: int | None
    worker_connections: tuple[Worker, ...] | None
    """Up to ten of the workers, fewer if very many queues are watched."""
    odd_workers: tuple[OddWorkersView, ...]
    """Workers that do nothing while others work, and versions that differ."""
    kept_completed_per_minute: float | None
    """By how much the completed jobs that are kept have grown, over up to half an hour; negative if
    more were removed."""
    kept_failed_per_minute: float | None
    added_per_minute: float | None
    """From the events of the last minute, like the next two."""
    completed_per_minute: float | None
    failed_per_minute: float | None
    stuck: tuple[StuckView, ...]
    """Jobs that will not go on by themselves, up to ten of a kind."""
    failures: tuple[FailureView, ...]
    """By class, those of the last hour first, then the most frequent ones; empty if
    `events.failure_classes` is off."""
    retries: tuple[FailureView, ...]
    """The same of attempts that were retried: a sample, of which the times are those of the looks
    at these jobs."""
    reason: str | None
    """Why the queue is blocked; None if it is not."""
    hint: str | None
    """The likely cause and remedy; None if the queue is not blocked."""

    @property
    def ready(self) -> int | None:
        """Jobs that a worker could take now; None if a part of it is unknown."""
        waiting, prioritized = self.jobs["waiting"], self.jobs["prioritized"]
        return None if waiting is None or prioritized is None else waiting + prioritized

    @property
    def is_intended(self) -> bool:
        """Whether the queue is blocked because somebody has paused or limited it."""
        return self.reason in INTENDED

    @property
    def impact(self) -> float:
        """Ready jobs times the age of the oldest in seconds, at least one; 0 if unknown."""
        return (self.ready or 0) * max(self.oldest_waiting_seconds or 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Overview:
    """All queues and isolations."""

    queues: tuple[QueueView, ...]
    isolations: tuple[Isolation, ...]

    def as_json(self, views: Sequence[QueueView] | None = None) -> dict[str, Any]:
        """The overview as plain values, with all queues or only those in `views`."""
        chosen = self.queues if views is None else views
        return {
            "queues": [asdict(view) for view in chosen],
            "isolations": [asdict(isolation) for isolation in self.isolations],
        }


def overview(moment: Moment) -> Overview:
    """Every queue with fresh facts."""
    views = [
        queue_view(moment, database, row)
        for database in moment.databases
        for row in range(len(database.table.queues))
    ]
    return Overview(tuple(views), moment.diagnosis.isolations)


def last_known(moment: Moment) -> list[QueueView]:
    """The queues of the connections without fresh facts, as they were when these were last read.

    Without anything that would be a statement about now: reason, proofs, failures, rates.
    """
    fresh = {database.connection for database in moment.databases}
    then = replace(moment, stale_after=inf)
    return [
        _without_proofs(queue_view(then, database, row, Diagnosis()))
        for database in then.databases
        if database.connection not in fresh
        for row in range(len(database.table.queues))
    ]


def last_read(moment: Moment) -> dict[str, float]:
    """When the connections that cannot be read now were last read, as Unix times."""
    return {
        each.connection: moment.time - (moment.now - each.facts[QueueTable].at)
        for each in moment.snapshots
        if QueueTable in each.facts
        and (not moment.is_up(each) or moment.facts(each, QueueTable) is None)
    }


def _without_proofs(view: QueueView) -> QueueView:
    return replace(
        view,
        odd_workers=(),
        kept_completed_per_minute=None,
        kept_failed_per_minute=None,
        added_per_minute=None,
        completed_per_minute=None,
        failed_per_minute=None,
        stuck=(),
        failures=(),
        retries=(),
    )


def _events(
    moment: Moment, snapshot: Snapshot, queue: Queue
) -> tuple[Rates | None, tuple[FailureView, ...]]:
    """The rates and the failures of a queue, if its event facts are fresh."""
    facts = moment.facts(snapshot, EventFacts)
    events = facts.queues.get(queue) if facts is not None else None
    if events is None:
        return None, ()
    at = snapshot.facts[EventFacts].at
    per_minute = rates(moment.past(snapshot), at, queue, events)
    return per_minute, _failures(moment, events.failures)


def _failures(moment: Moment, classes: Failures) -> tuple[FailureView, ...]:
    since_ms = (moment.time - _RECENT_SECONDS) * 1000
    found = sorted(classes.items(), key=lambda each: (each[1].last_ms < since_ms, -each[1].count))
    return tuple(
        FailureView(
            name=name,
            count=each.count,
            first_seen=each.first_ms / 1000,
            last_seen=each.last_ms / 1000,
            job=id_text(each.job),
            recent=each.last_ms >= since_ms,
            example=example(each, in_full=moment.config.web.show_failure_texts),
        )
        for name, each in found
    )


def queue_view(
    moment: Moment, database: Database, index: int, diagnosis: Diagnosis | None = None
) -> QueueView:
    """The queue in the row `index` of the database's table; by default with its diagnosis."""
    snapshot = moment.known[database.connection]
    per_minute, failures = _events(moment, snapshot, database.table.queues[index])
    row = queue_facts(database, index, moment.now, moment.blocked_after)
    table, workers = database.table, row.known_workers
    diagnosis = moment.diagnosis if diagnosis is None else diagnosis
    kept = kept_rates(moment.past(snapshot), moment.now, table, index)
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
        groups=table.value(GROUPS, index),
        workers=workers.total if workers is not None else None,
        idle_workers=workers.idle if workers is not None else None,
        worker_connections=workers.examples if workers is not None else None,
        odd_workers=tuple(
            OddWorkersView(odd.oddity, odd.proof, WORKER_HINTS[odd.oddity])
            for odd in odd_workers(row)
        ),
        kept_completed_per_minute=kept.completed if kept is not None else None,
        kept_failed_per_minute=kept.failed if kept is not None else None,
        added_per_minute=per_minute.added if per_minute is not None else None,
        completed_per_minute=per_minute.completed if per_minute is not None else None,
        failed_per_minute=per_minute.failed if per_minute is not None else None,
        stuck=tuple(
            StuckView(job.kind, job.id, job.since, job.proof, STUCK_HINTS[job.kind])
            for column in STUCK.values()
            for job in table.value(column, index) or ()
        ),
        failures=failures,
        retries=_failures(moment, table.value(RETRY_REASONS, index) or {}),
        reason=reason.value if reason is not None else None,
        hint=hint(reason, database, row, diagnosis.isolations) if reason is not None else None,
    )
