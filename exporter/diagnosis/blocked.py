"""Finds blocked queues: takes the facts of all databases, returns one reason per blocked queue."""

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
    """All reasons in order of precedence: the first that applies is reported."""

    PAUSED = "paused"
    RATE_LIMITED = "rate_limited"
    CONCURRENCY_LIMIT = "concurrency_limit"
    WORKER_ISOLATED = "worker_isolated"
    NO_WORKERS = "no_workers"
    WORKERS_IDLE = "workers_idle"
    REDIS_READONLY = "redis_readonly"


@dataclass(frozen=True, slots=True)
class Database:
    """A keyspace as last read through the connection that owns it."""

    connection: str
    role: str
    table: QueueTable
    workers: WorkerFacts | None
    """None if unknown."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """A queue whose jobs are in one database and whose workers listen on another."""

    prefix: str
    queue: str
    producer: str
    """The connection that reaches the jobs."""
    worker: str
    """The connection that reaches the workers."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Blocked queues and isolations of all databases."""

    blocked: Mapping[tuple[str, Queue], Reason]
    """By connection and queue."""
    isolations: tuple[Isolation, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """One queue's facts; None always means unknown."""

    queue: Queue
    ready: int
    """Waiting and prioritized jobs."""
    pending: int
    """Jobs that are neither completed nor failed."""
    active: int | None
    paused: bool
    rate_limited: bool
    concurrency_limit: int | None
    has_id: bool
    """Whether a job was ever added."""
    workers: WorkerCount | None
    worker_alive: bool | None
    """According to the queue's `stalled-check` key, which a worker renews."""
    active_locked: bool | None
    """Whether a worker still holds the lock of an active job."""
    still_seconds: float | None
    """How long no movement of ready jobs has been observed."""

    @property
    def has_workers(self) -> bool | None:
        """Whether a worker is connected, according to CLIENT LIST and `stalled-check`.

        A worker without a client name is missing from CLIENT LIST but renews `stalled-check`. If
        only `stalled-check` shows a worker, the answer is None.
        """
        if self.workers is None:
            return self.worker_alive
        if self.workers.total:
            return True
        return None if self.worker_alive else False


def diagnose(databases: Sequence[Database], now: float, blocked_after: float) -> Diagnosis:
    """Find the blocked queues and the isolations at monotonic time `now`.

    A queue is blocked if its ready jobs have not moved for `blocked_after` seconds, or, if it has
    no worker, if it has had ready jobs for that long.
    """
    blocked: dict[tuple[str, Queue], Reason] = {}
    isolations: list[Isolation] = []
    worker_only = _worker_only_queues(databases, now)
    for database in databases:
        for row in _stuck_queues(database, now, blocked_after):
            isolated = _isolations(database, row, worker_only)
            isolations += isolated
            reason = _reason(database, row, isolated=bool(isolated))
            if reason is not None:
                blocked[(database.connection, row.queue)] = reason
    return Diagnosis(blocked, tuple(isolations))


def _reason(database: Database, row: QueueFacts, *, isolated: bool) -> Reason | None:
    limit = row.concurrency_limit
    applies = {
        Reason.PAUSED: row.paused,
        Reason.RATE_LIMITED: row.rate_limited,
        Reason.CONCURRENCY_LIMIT: limit is not None and (row.active or 0) >= limit,
        Reason.WORKER_ISOLATED: isolated,
        Reason.NO_WORKERS: row.has_workers is False,
        Reason.WORKERS_IDLE: bool(row.has_workers) and not _all_busy(row),
        Reason.REDIS_READONLY: database.role == "slave",
    }
    return next((reason for reason in Reason if applies[reason]), None)


def _all_busy(row: QueueFacts) -> bool:
    """Whether no worker is idle and the active jobs are locked.

    Long jobs keep workers busy without any movement, which is not a fault. The lock of a frozen
    worker expires.
    """
    if not row.active:
        return False
    if row.workers is not None and row.workers.idle:
        return False
    return row.active_locked is not False


# --- facts of one queue --------------------------------------------------------------------------


def _stuck_queues(database: Database, now: float, blocked_after: float) -> Iterator[QueueFacts]:
    """Queues whose ready jobs do not move, or that have ready jobs and no worker."""
    for index, ready_since in enumerate(database.table.column(READY_SINCE)):
        if ready_since is None or now - ready_since < blocked_after:
            continue
        row = queue_facts(database, index, now)
        still = row.still_seconds is not None and row.still_seconds >= blocked_after
        if row.ready and (still or row.has_workers is False):
            yield row


def queue_facts(database: Database, index: int, now: float) -> QueueFacts:
    """The facts of the table's row `index` at monotonic time `now`."""
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


def _worker_only_queues(databases: Sequence[Database], now: float) -> dict[_Name, list[str]]:
    """Queues with workers to which no job was ever added, with the connections that see them."""
    connections: dict[_Name, list[str]] = {}
    for database in databases:
        for index, has_id in enumerate(database.table.column(HAS_ID)):
            if has_id != 0:
                continue
            row = queue_facts(database, index, now)
            if not row.pending and row.has_workers:
                name = (row.queue.prefix, row.queue.name)
                connections.setdefault(name, []).append(database.connection)
    return connections


def _isolations(
    database: Database, row: QueueFacts, worker_only: Mapping[_Name, list[str]]
) -> list[Isolation]:
    """The queue's isolations: it has no worker here, but workers in other databases."""
    if row.has_workers is not False or not row.has_id:
        return []
    prefix, name = row.queue.prefix, row.queue.name
    elsewhere = worker_only.get((prefix, name), [])
    return [
        Isolation(prefix, name, database.connection, connection)
        for connection in elsewhere
        if connection != database.connection
    ]
