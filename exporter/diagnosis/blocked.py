"""Finds blocked queues: takes the facts of all databases, returns one reason per blocked queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from exporter.bullmq import Queue
from exporter.collectors.queues.subjects.active import ACTIVE
from exporter.collectors.queues.subjects.existence import HAS_ID
from exporter.collectors.queues.subjects.flows import WAITING_CHILDREN
from exporter.collectors.queues.subjects.limits import (
    LEFT_IN_PAUSED_SINCE,
    PAUSED,
    RATE_LIMIT_REMAINING,
    RATE_LIMITED,
)
from exporter.collectors.queues.subjects.liveness import ACTIVE_LOCKED, WORKER_ALIVE
from exporter.collectors.queues.subjects.movement import READY_SINCE, STILL_SINCE
from exporter.collectors.queues.subjects.prioritized import PRIORITIZED
from exporter.collectors.queues.subjects.scheduled import DELAYED
from exporter.collectors.queues.subjects.settings import CONCURRENCY_LIMIT, LIBRARY_VERSION
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING, WAITING
from exporter.diagnosis.names import alike
from exporter.state.queue_table import QueueTable
from exporter.state.workers import WorkerCount, WorkerFacts


class Reason(StrEnum):
    """All reasons in order of precedence: the first that applies is reported."""

    PAUSED = "paused"
    WRITES_REFUSED = "writes_refused"
    REDIS_READONLY = "redis_readonly"
    WORKER_ISOLATED = "worker_isolated"
    NO_WORKERS = "no_workers"
    LEFT_IN_PAUSED = "left_in_paused"
    RATE_LIMITED = "rate_limited"
    CONCURRENCY_LIMIT = "concurrency_limit"
    WORKERS_IDLE = "workers_idle"


INTENDED: Final = frozenset({Reason.PAUSED, Reason.RATE_LIMITED, Reason.CONCURRENCY_LIMIT})
"""Reasons that somebody has set: no fault by themselves."""


@dataclass(frozen=True)
class Database:
    """A keyspace as last read through the connection that owns it."""

    connection: str
    role: str
    table: QueueTable
    workers: WorkerFacts | None
    """None if unknown."""
    writes_refused: str = ""
    """Why Redis refuses writes, in its own words; empty if it does not, as far as is known."""

    @cached_property
    def queues_with_workers(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Prefix and name of the queues with workers, watched or not, by `alike` of their name."""
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        if self.workers is not None:
            known = {(q.prefix, q.name): count for q, count in self.workers.counts.items()}
            known |= self.workers.elsewhere
            for (prefix, name), count in known.items():
                if count.total:
                    found[alike(name)].append((prefix, name))
        return found


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
    paused: bool | None
    left_in_paused: bool
    """Whether jobs have been in the list `paused` for a while although the queue is not paused."""
    rate_limited: bool | None
    """Whether the limit of the current window is reached."""
    rate_window_open: bool
    """Whether a rate limit window is open: if `rate_limited` is None, a worker's own limit."""
    settings_known: bool
    concurrency_limit: int | None
    """None also means that there is no limit, if `settings_known`."""
    has_id: bool
    """Whether a job was ever added."""
    workers: WorkerCount | None
    """According to CLIENT LIST."""
    unnamed: int
    """Connections in CLIENT LIST that wait as idle workers do, but do not say for which queue."""
    worker_alive: bool | None
    """According to the queue's `stalled-check` key, which a worker renews."""
    active_locked: bool | None
    """Whether a worker still holds the lock of an active job."""
    moves: bool
    """Whether a ready job was seen to be taken recently."""
    watched: bool
    """Whether ready jobs were observed without movement for as long as it takes to be sure."""

    @property
    def has_workers(self) -> bool | None:
        """Whether the queue has a worker, from all signs there are.

        Each sign proves that there is one; the absence of one proves little. A worker without a
        client name is missing from CLIENT LIST, one with `skipStalledCheck` does not renew
        `stalled-check`, and one without a job holds no lock. Therefore the answer is False only if
        nothing moves, and if either all signs could be read and are absent, or the queue was
        watched long enough.
        """
        if (self.workers is not None and self.workers.total) or self.active_locked:
            return True
        if self.worker_alive:
            return True if self.workers is None else None
        if self.moves:
            return None
        if self.watched:
            return None if self.workers is None and self.worker_alive is None else False
        certain = self.workers is not None and self.worker_alive is False and not self.unnamed
        return False if certain else None

    @property
    def known_workers(self) -> WorkerCount | None:
        """The number of workers; None if CLIENT LIST shows none, but there may be one.

        Without ready or active jobs, nothing shows whether there is one, and nothing needs one.
        """
        if self.workers is None or self.workers.total or not (self.ready or self.active):
            return self.workers
        return None if self.has_workers is not False else self.workers


def diagnose(databases: Sequence[Database], now: float, blocked_after: float) -> Diagnosis:
    """Find the blocked queues and the isolations at monotonic time `now`.

    A queue is examined if a job has been ready for `blocked_after` seconds, by the job's own times
    or because the exporter has watched it that long. Most reasons also need that nothing moved
    while it was watched.
    """
    blocked: dict[tuple[str, Queue], Reason] = {}
    isolations: list[Isolation] = []
    worker_only = _worker_only_queues(databases, now, blocked_after)
    for database in databases:
        for row in _late_queues(database, now, blocked_after):
            isolated = _isolations(database, row, worker_only)
            isolations += isolated
            reason = _reason(database, row, isolated=bool(isolated))
            if reason is not None:
                blocked[(database.connection, row.queue)] = reason
    return Diagnosis(blocked, tuple(isolations))


def reason_of(
    databases: Sequence[Database], database: Database, index: int, now: float, blocked_after: float
) -> Reason | None:
    """Why one queue, a row of a database's table, is blocked, as `diagnose` finds; None if not."""
    table = database.table
    times = (table.value(READY_SINCE, index), table.value(OLDEST_WAITING, index))
    row = queue_facts(database, index, now, blocked_after)
    if not (row.ready and _is_late(*times, now, blocked_after)):
        return None
    worker_only = {}
    if row.has_workers is False:  # else it has no isolation
        worker_only = _worker_only_queues(databases, now, blocked_after)
    return _reason(database, row, isolated=bool(_isolations(database, row, worker_only)))


def _reason(database: Database, row: QueueFacts, *, isolated: bool) -> Reason | None:
    limit = row.concurrency_limit
    # a limit is a wish, but only of workers that are there and work
    obeyed = row.watched and row.has_workers is not False and row.active_locked is not False
    # also in the window of a limit that only the workers know
    frozen = row.active_locked is False and row.worker_alive is False
    nothing_to_wait_for = (
        row.paused is False and (row.rate_limited is not None or frozen) and row.settings_known
    )
    applies = {
        Reason.PAUSED: bool(row.paused),
        Reason.WRITES_REFUSED: bool(database.writes_refused) and not row.moves,
        Reason.REDIS_READONLY: database.role == "slave" and row.watched,
        Reason.WORKER_ISOLATED: isolated,
        Reason.NO_WORKERS: row.has_workers is False,
        Reason.LEFT_IN_PAUSED: row.left_in_paused,
        Reason.RATE_LIMITED: obeyed and (bool(row.rate_limited) or _waits_for_window(row)),
        Reason.CONCURRENCY_LIMIT: obeyed and limit is not None and (row.active or 0) >= limit,
        Reason.WORKERS_IDLE: (
            row.watched and bool(row.has_workers) and nothing_to_wait_for and not _all_busy(row)
        ),
    }
    return next((reason for reason in Reason if applies[reason]), None)


def _waits_for_window(row: QueueFacts) -> bool:
    """Whether workers seem to wait for the end of a window whose limit only they know.

    Such a worker does not block in Redis for jobs, as an idle one does, and renews `stalled-check`,
    which a frozen one does not.
    """
    idle = row.workers is not None and row.workers.idle
    return row.rate_window_open and row.rate_limited is None and bool(row.worker_alive) and not idle


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


def _late_queues(database: Database, now: float, blocked_after: float) -> Iterator[QueueFacts]:
    """Queues of which a job has been ready for `blocked_after` seconds."""
    table = database.table
    times = zip(table.column(READY_SINCE), table.column(OLDEST_WAITING), strict=True)
    for index, (ready_since, age) in enumerate(times):
        if not _is_late(ready_since, age, now, blocked_after):
            continue
        row = queue_facts(database, index, now, blocked_after)
        if row.ready:
            yield row


def _is_late(
    ready_since: float | None, age: float | None, now: float, blocked_after: float
) -> bool:
    """Whether a job has been ready for `blocked_after` seconds, as watched or by its own times."""
    return ready_since is not None and max(now - ready_since, age or 0.0) >= blocked_after


def queue_facts(database: Database, index: int, now: float, blocked_after: float) -> QueueFacts:
    """The facts of the table's row `index` at monotonic time `now`."""
    table = database.table
    queue = table.queues[index]
    active = table.value(ACTIVE, index)
    ready_since, still_since = table.value(READY_SINCE, index), table.value(STILL_SINCE, index)
    still = None if still_since is None else now - still_since
    left_since = table.value(LEFT_IN_PAUSED_SINCE, index)
    ready = (table.value(WAITING, index) or 0) + (table.value(PRIORITIZED, index) or 0)
    later = (table.value(DELAYED, index) or 0) + (table.value(WAITING_CHILDREN, index) or 0)
    return QueueFacts(
        queue=queue,
        ready=ready,
        pending=ready + later + (active or 0),
        active=active,
        paused=table.flag(PAUSED, index),
        left_in_paused=left_since is not None and now - left_since >= blocked_after,
        rate_limited=table.flag(RATE_LIMITED, index),
        rate_window_open=bool(table.value(RATE_LIMIT_REMAINING, index)),
        settings_known=table.value(LIBRARY_VERSION, index) is not None,
        concurrency_limit=table.value(CONCURRENCY_LIMIT, index),
        has_id=table.flag(HAS_ID, index) is not False,
        workers=database.workers.of(queue) if database.workers is not None else None,
        unnamed=database.workers.unnamed if database.workers is not None else 0,
        worker_alive=table.flag(WORKER_ALIVE, index),
        active_locked=table.flag(ACTIVE_LOCKED, index),
        moves=still is not None and still < blocked_after and still_since != ready_since,
        watched=still is not None and still >= blocked_after,
    )


def known_workers(database: Database, now: float, blocked_after: float) -> list[int | None]:
    """The number of workers of each queue, as `QueueFacts.known_workers`."""
    table, workers = database.table, database.workers
    if workers is None:
        return [None] * len(table.queues)
    totals: list[int | None] = [workers.of(queue).total for queue in table.queues]
    signs = zip(
        totals,
        table.column(READY_SINCE),
        table.column(STILL_SINCE),
        table.column(ACTIVE),
        table.column(WORKER_ALIVE),
        table.column(ACTIVE_LOCKED),
        strict=True,
    )
    for index, (total, ready_since, still_since, active, alive, locked) in enumerate(signs):
        if total or not (ready_since is not None or active):
            continue
        # fast path for many queues without a worker: every sign was read, and there is none
        if alive == 0 and not locked and still_since == ready_since and not workers.unnamed:
            continue
        row = queue_facts(database, index, now, blocked_after)
        totals[index] = None if row.known_workers is None else row.known_workers.total
    return totals


# --- isolation -----------------------------------------------------------------------------------

_Name = tuple[str, str]


def _worker_only_queues(
    databases: Sequence[Database], now: float, blocked_after: float
) -> dict[_Name, list[str]]:
    """Queues with workers to which no job was ever added, with the connections that see them."""
    connections: dict[_Name, list[str]] = {}
    for database in databases:
        for index, has_id in enumerate(database.table.column(HAS_ID)):
            if has_id != 0:
                continue
            row = queue_facts(database, index, now, blocked_after)
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
