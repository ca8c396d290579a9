"""Why a queue's work is not moving: facts of all databases in, one reason a queue out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from exporter.bullmq import Queue
from exporter.collectors.queues.subjects.active import ACTIVE
from exporter.collectors.queues.subjects.existence import HAS_ID
from exporter.collectors.queues.subjects.flows import WAITING_CHILDREN
from exporter.collectors.queues.subjects.limits import PAUSED, RATE_LIMITED
from exporter.collectors.queues.subjects.liveness import ACTIVE_LOCKED, WORKER_ALIVE
from exporter.collectors.queues.subjects.movement import READY_SINCE, STILL_SINCE
from exporter.collectors.queues.subjects.prioritized import PRIORITIZED
from exporter.collectors.queues.subjects.scheduled import DELAYED
from exporter.collectors.queues.subjects.settings import CONCURRENCY_LIMIT
from exporter.collectors.queues.subjects.waiting import WAITING
from exporter.state.queue_table import QueueTable
from exporter.state.snapshots import WorkerCount, WorkerFacts


class Reason(StrEnum):
    """The closed list, in the order in which they are tried: the first that holds is given."""

    PAUSED = "paused"
    RATE_LIMITED = "rate_limited"
    CONCURRENCY_LIMIT = "concurrency_limit"
    WORKER_ISOLATED = "worker_isolated"
    NO_WORKERS = "no_workers"
    WORKERS_IDLE = "workers_idle"
    REDIS_READONLY = "redis_readonly"


@dataclass(frozen=True, slots=True)
class Database:
    """A keyspace as its reader last saw it."""

    connection: str
    role: str
    table: QueueTable
    workers: WorkerFacts | None
    """None where nothing is known of workers."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """Jobs of a queue in one database, and its workers in another."""

    prefix: str
    queue: str
    producer: str
    """The connection that reaches the jobs."""
    worker: str
    """The connection that reaches the workers."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong, over all databases."""

    blocked: Mapping[tuple[str, Queue], Reason]
    """By connection and queue."""
    isolations: tuple[Isolation, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """One queue's facts; None is unknown throughout."""

    queue: Queue
    ready: int
    """Waiting and prioritized jobs."""
    pending: int
    """Jobs in any state that is not an end."""
    active: int | None
    paused: bool
    rate_limited: bool
    concurrency_limit: int | None
    has_id: bool
    """Whether a job was ever added."""
    workers: WorkerCount | None
    worker_alive: bool | None
    """By its `stalled-check`, where CLIENT LIST does not tell."""
    active_locked: bool | None
    """Whether a worker still holds an active job."""
    still_seconds: float | None
    """Since when ready work has not been seen to move."""

    @property
    def has_workers(self) -> bool | None:
        """Whether anyone works on it, by CLIENT LIST and by `stalled-check`.

        A worker that has no name is not in the list, but its `stalled-check` lives: then nothing
        is certain.
        """
        if self.workers is None:
            return self.worker_alive
        if self.workers.total:
            return True
        return None if self.worker_alive else False


def diagnose(databases: Sequence[Database], now: float, blocked_after: float) -> Diagnosis:
    """The reasons and the isolations at that monotonic time.

    A queue counts as blocked when ready work has not moved for `blocked_after` seconds; where it
    has no worker, when there has been ready work for so long.
    """
    blocked: dict[tuple[str, Queue], Reason] = {}
    isolations: list[Isolation] = []
    workshops = _workshops(databases, now)
    for database in databases:
        for row in _stuck_rows(database, now, blocked_after):
            found = _isolated(database, row, workshops)
            isolations += found
            reason = _reason(database, row, isolated=bool(found))
            if reason is not None:
                blocked[(database.connection, row.queue)] = reason
    return Diagnosis(blocked, tuple(isolations))


def _reason(database: Database, row: QueueFacts, *, isolated: bool) -> Reason | None:
    limit = row.concurrency_limit
    holds = {
        Reason.PAUSED: row.paused,
        Reason.RATE_LIMITED: row.rate_limited,
        Reason.CONCURRENCY_LIMIT: limit is not None and (row.active or 0) >= limit,
        Reason.WORKER_ISOLATED: isolated,
        Reason.NO_WORKERS: row.has_workers is False,
        Reason.WORKERS_IDLE: bool(row.has_workers) and not _working(row),
        Reason.REDIS_READONLY: database.role == "slave",
    }
    return next((reason for reason in Reason if holds[reason]), None)


def _working(row: QueueFacts) -> bool:
    """Whether its workers are busy rather than idle: every one of them, with a job that is held.

    A long job moves nothing for a while and is no fault. A frozen worker's lock expires.
    """
    if not row.active:
        return False
    if row.workers is not None and row.workers.idle:
        return False
    return row.active_locked is not False


# --- rows ----------------------------------------------------------------------------------------


def _stuck_rows(database: Database, now: float, blocked_after: float) -> Iterator[QueueFacts]:
    """The rows with ready work that does not move, or that nobody could move."""
    for index, moment in enumerate(database.table.column(READY_SINCE)):
        if moment is None or now - moment < blocked_after:
            continue
        row = row_of(database, index, now)
        still = row.still_seconds is not None and row.still_seconds >= blocked_after
        if row.ready and (still or row.has_workers is False):
            yield row


def row_of(database: Database, index: int, now: float) -> QueueFacts:
    """A row of the table as facts."""
    table = database.table
    queue = table.queues[index]
    active, still_since = table.value(ACTIVE, index), table.value(STILL_SINCE, index)
    ready = (table.value(WAITING, index) or 0) + (table.value(PRIORITIZED, index) or 0)
    later = (table.value(DELAYED, index) or 0) + (table.value(WAITING_CHILDREN, index) or 0)
    return QueueFacts(
        queue=queue,
        ready=ready,
        pending=ready + later + (active or 0),
        active=active,
        paused=bool(table.flag(PAUSED, index)),
        rate_limited=bool(table.flag(RATE_LIMITED, index)),
        concurrency_limit=table.value(CONCURRENCY_LIMIT, index),
        has_id=table.flag(HAS_ID, index) is not False,
        workers=database.workers.of(queue) if database.workers is not None else None,
        worker_alive=table.flag(WORKER_ALIVE, index),
        active_locked=table.flag(ACTIVE_LOCKED, index),
        still_seconds=None if still_since is None else now - still_since,
    )


# --- isolation -----------------------------------------------------------------------------------

_Name = tuple[str, str]


def _workshops(databases: Sequence[Database], now: float) -> dict[_Name, list[str]]:
    """Queues on which workers listen and to which no job was ever added, with who sees them."""
    found: dict[_Name, list[str]] = {}
    for database in databases:
        for index, has_id in enumerate(database.table.column(HAS_ID)):
            if has_id != 0:
                continue
            row = row_of(database, index, now)
            if not row.pending and row.has_workers:
                name = (row.queue.prefix, row.queue.name)
                found.setdefault(name, []).append(database.connection)
    return found


def _isolated(
    database: Database, row: QueueFacts, workshops: Mapping[_Name, list[str]]
) -> list[Isolation]:
    """Where this queue's workers are, if they are elsewhere only."""
    if row.has_workers is not False or not row.has_id:
        return []
    prefix, name = row.queue.prefix, row.queue.name
    elsewhere = workshops.get((prefix, name), [])
    return [
        Isolation(prefix, name, database.connection, connection)
        for connection in elsewhere
        if connection != database.connection
    ]
