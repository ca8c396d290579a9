"""The queues as people see them: one entry per queue, with the reason if it is blocked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from math import inf
from operator import attrgetter
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
    Isolation,
    Reason,
    hint,
    odd_workers,
    queue_facts,
)
from exporter.parsing import id_text
from exporter.state.failures import Failures, example
from exporter.state.history import (
    MINUTE_SECONDS,
    Past,
    Rates,
    kept_rates,
    rates_within,
    window,
)
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import EventFacts, QueueEvents
from exporter.state.stuck import StuckJobs
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

    def as_json(self) -> dict[str, Any]:
        """The queue as plain values: as `asdict`, which takes ten times as long."""
        found = dict(zip(_FIELDS, _VALUES(self), strict=True))
        for name in _NESTED:
            if found[name]:
                found[name] = [asdict(each) for each in found[name]]
        return found

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


_FIELDS: Final = tuple(field.name for field in fields(QueueView))
_VALUES: Final = attrgetter(*_FIELDS)
_NESTED: Final = ("worker_connections", "odd_workers", "stuck", "failures", "retries")


@dataclass(frozen=True, slots=True)
class Overview:
    """All queues and isolations."""

    queues: tuple[QueueView, ...]
    isolations: tuple[Isolation, ...]

    def as_json(self, views: Sequence[QueueView] | None = None) -> dict[str, Any]:
        """The overview as plain values, with all queues or only those in `views`."""
        chosen = self.queues if views is None else views
        return {
            "queues": [view.as_json() for view in chosen],
            "isolations": [asdict(isolation) for isolation in self.isolations],
        }


def overview(moment: Moment) -> Overview:
    """Every queue with fresh facts."""
    views = [
        rows.view(row)
        for rows in (QueueRows(moment, database) for database in moment.databases)
        for row in range(len(rows))
    ]
    return Overview(tuple(views), moment.diagnosis.isolations)


def last_known_rows(moment: Moment) -> list[QueueRows]:
    """The rows of the connections without fresh facts, as they were when these were last read.

    Without anything that would be a statement about now: reason, proofs, failures, rates.
    """
    fresh = {database.connection for database in moment.databases}
    if all(owner in fresh for owner in moment.owners.values()):
        return []
    then = replace(moment, stale_after=inf)
    return [
        QueueRows(then, database, last_known=True)
        for database in then.databases
        if database.connection not in fresh
    ]


def last_known(moment: Moment) -> list[QueueView]:
    """The queues of `last_known_rows`."""
    return [rows.view(row) for rows in last_known_rows(moment) for row in range(len(rows))]


def last_read(moment: Moment) -> dict[str, float]:
    """When the connections that cannot be read now were last read, as Unix times."""
    return {
        each.connection: moment.time - (moment.now - each.facts[QueueTable].at)
        for each in moment.snapshots
        if QueueTable in each.facts
        and (not moment.is_up(each) or moment.facts(each, QueueTable) is None)
    }


def queue_view(moment: Moment, database: Database, row: int) -> QueueView:
    """The queue in a row of the database's table."""
    return QueueRows(moment, database).view(row)


class QueueRows:
    """The rows of a database's table, of which views are made one by one.

    A page shows a hundred of ten thousand queues: it chooses and sorts them by their columns.
    """

    def __init__(self, moment: Moment, database: Database, *, last_known: bool = False) -> None:
        """`last_known`: see `last_known_rows`."""
        self._moment = moment
        self._last_known = last_known
        self.database = database
        self.table = table = database.table
        self.connection = database.connection
        self.jobs = {state: table.column(column) for state, column in STATES.items()}
        """The number of jobs of each queue, by state."""
        self._past = () if last_known else moment.past(moment.known[database.connection])

    def __len__(self) -> int:
        return len(self.table.queues)

    @cached_property
    def reasons(self) -> Sequence[Reason | None]:
        """Why each queue is blocked; None if it is not."""
        if self._last_known:
            return [None] * len(self)
        return self._moment.diagnosis.reasons[self.connection]

    @property
    def workers(self) -> Sequence[int | None]:
        """As `QueueView.workers`."""
        return self._moment.worker_totals[self.connection]

    def rates(self, row: int) -> Rates | None:
        """What happened in the queue in the last minute; None if it is unknown."""
        queue = self.table.queues[row]
        events = self._events.get(queue)
        if events is None:
            return None
        return rates_within(self._last_minute, self._events_at, queue, events)

    @cached_property
    def _events(self) -> Mapping[Queue, QueueEvents]:
        moment = self._moment
        facts = moment.facts(moment.known[self.connection], EventFacts)
        return facts.queues if facts is not None and not self._last_known else {}

    @cached_property
    def _events_at(self) -> float:
        """Monotonic time of the events, if there are any."""
        return self._moment.known[self.connection].facts[EventFacts].at

    @cached_property
    def _last_minute(self) -> Past:
        return window(self._past, self._events_at, MINUTE_SECONDS)

    def view(self, row: int) -> QueueView:
        """The queue in that row."""
        moment, database, table = self._moment, self.database, self.table
        queue, reason = table.queues[row], self.reasons[row]
        columns = table.columns
        per_minute = self.rates(row)
        workers = database.worker_counts[row] if self.workers[row] is not None else None
        kept = kept_rates(self._past, moment.now, table, row) if self._past else None
        paused = columns[PAUSED][row]
        isolations = () if reason is None else moment.diagnosis.isolations
        stuck: tuple[StuckView, ...] = ()
        retries: tuple[FailureView, ...] = ()
        failures: tuple[FailureView, ...] = ()
        odd: tuple[OddWorkersView, ...] = ()
        if not self._last_known:
            stuck = tuple(
                [view for column in STUCK.values() for view in _stuck(columns[column][row])]
            )
            events, retried = self._events.get(queue), columns[RETRY_REASONS][row]
            failures = _failures(moment, events.failures) if events is not None else ()
            retries = _failures(moment, retried) if retried else ()
            odd = self._odd_workers(row)
        return QueueView(
            connection=self.connection,
            prefix=queue.prefix,
            queue=queue.name,
            jobs={state: column[row] for state, column in self.jobs.items()},
            paused=None if paused is None else bool(paused),
            oldest_waiting_seconds=columns[OLDEST_WAITING][row],
            oldest_active_seconds=columns[OLDEST_ACTIVE][row],
            delayed_overdue_jobs=columns[DELAYED_OVERDUE_JOBS][row],
            groups=columns[GROUPS][row],
            workers=workers.total if workers is not None else None,
            idle_workers=workers.idle if workers is not None else None,
            worker_connections=workers.examples if workers is not None else None,
            odd_workers=odd,
            kept_completed_per_minute=kept.completed if kept is not None else None,
            kept_failed_per_minute=kept.failed if kept is not None else None,
            added_per_minute=per_minute.added if per_minute is not None else None,
            completed_per_minute=per_minute.completed if per_minute is not None else None,
            failed_per_minute=per_minute.failed if per_minute is not None else None,
            stuck=stuck,
            failures=failures,
            retries=retries,
            reason=reason.value if reason is not None else None,
            hint=hint(reason, database, queue, isolations) if reason is not None else None,
        )

    def _odd_workers(self, row: int) -> tuple[OddWorkersView, ...]:
        count = self.database.worker_counts[row]
        if count is None or not count.total:
            return ()
        facts = queue_facts(self.database, row, self._moment.now, self._moment.blocked_after)
        return tuple(
            OddWorkersView(odd.oddity, odd.proof, WORKER_HINTS[odd.oddity])
            for odd in odd_workers(facts)
        )


def _stuck(jobs: StuckJobs | None) -> Iterator[StuckView]:
    for job in jobs or ():
        yield StuckView(job.kind, job.id, job.since, job.proof, STUCK_HINTS[job.kind])


def _failures(moment: Moment, classes: Failures) -> tuple[FailureView, ...]:
    if not classes:
        return ()
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
