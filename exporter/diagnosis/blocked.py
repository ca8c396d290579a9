"""Finds blocked queues: takes the facts of all databases, returns one reason per blocked queue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from itertools import compress
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
    def worker_counts(self) -> Sequence[WorkerCount | None]:
        """The workers of each queue of the table, according to CLIENT LIST; None if unknown."""
        queues = self.table.queues
        if self.workers is None:
            return [None] * len(queues)
        return list(map(self.workers.of, queues))

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


@dataclass(frozen=True)
class Diagnosis:
    """Blocked queues and isolations of all databases."""

    databases: Sequence[Database] = ()
    reasons: Mapping[str, Sequence[Reason | None]] = field(default_factory=dict)
    """Of each row of a database's table, by the database's connection; None if not blocked."""
    isolations: tuple[Isolation, ...] = ()

    @cached_property
    def blocked(self) -> Mapping[tuple[str, Queue], Reason]:
        """The reasons of the blocked queues, by connection and queue."""
        return {
            (database.connection, queue): reason
            for database in self.databases
            for queue, reason in zip(
                database.table.queues, self.reasons[database.connection], strict=True
            )
            if reason is not None
        }


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
    worker_only = _worker_only_queues(databases, now, blocked_after)
    reasons: dict[str, Sequence[Reason | None]] = {}
    isolations: list[Isolation] = []
    for database in databases:
        found = _reasons(database, now, blocked_after)
        if worker_only:
            isolations += _isolate(database, found, worker_only, now, blocked_after)
        reasons[database.connection] = found
    return Diagnosis(databases, reasons, tuple(isolations))


def reason_of(
    databases: Sequence[Database], database: Database, index: int, now: float, blocked_after: float
) -> Reason | None:
    """Why one queue, a row of a database's table, is blocked, as `diagnose` finds; None if not."""
    table = database.table
    since, ages = (table.value(READY_SINCE, index),), (table.value(OLDEST_WAITING, index),)
    row = queue_facts(database, index, now, blocked_after)
    if not (row.ready and _are_late(since, ages, now, blocked_after)[0]):
        return None
    worker_only = {}
    if row.has_workers is False:  # else it has no isolation
        worker_only = _worker_only_queues(databases, now, blocked_after, row.queue)
    return _reason(database, row, isolated=bool(_isolations(database, row, worker_only)))


def _reasons(database: Database, now: float, blocked_after: float) -> list[Reason | None]:
    """The reason of each row without regard to isolation, None where it is not blocked.

    Rows of which `_signs` are the same have the same reason, and most of ten thousand blocked
    queues are alike. So a few of them are looked at, as `reason_of` looks at one.
    """
    late = _late_rows(database.table, now, blocked_after)
    found: list[Reason | None] = [None] * len(late)
    if not any(late):
        return found
    known: dict[tuple[object, ...], Reason | None] = {}
    for row, signs in compress(enumerate(_signs(database, now, blocked_after)), late):
        if signs not in known:
            facts = queue_facts(database, row, now, blocked_after)
            known[signs] = _reason(database, facts, isolated=False) if facts.ready else None
        found[row] = known[signs]
    return found


def _isolate(
    database: Database,
    reasons: list[Reason | None],
    worker_only: Mapping[_Name, list[str]],
    now: float,
    blocked_after: float,
) -> Iterator[Isolation]:
    """The isolations of the database's queues; each is a reason."""
    late = _late_rows(database.table, now, blocked_after)
    for row, queue in compress(enumerate(database.table.queues), late):
        if (queue.prefix, queue.name) not in worker_only:
            continue
        facts = queue_facts(database, row, now, blocked_after)
        if facts.ready and (found := _isolations(database, facts, worker_only)):
            reasons[row] = _reason(database, facts, isolated=True)
            yield from found


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


def _late_rows(table: QueueTable, now: float, blocked_after: float) -> list[bool]:
    """`_are_late` of all queues."""
    return _are_late(table.column(READY_SINCE), table.column(OLDEST_WAITING), now, blocked_after)


def _signs(database: Database, now: float, blocked_after: float) -> Iterator[tuple[object, ...]]:
    """For each row, all of its facts on which `_reason` and `known_workers` depend.

    Each is reduced to the few values that make a difference, so that few rows differ.
    """
    table = database.table
    active = table.column(ACTIVE)
    return zip(
        map(bool, active),
        _are_ready(table),
        *_movement(table, now, blocked_after),
        _are_past(table.column(LEFT_IN_PAUSED_SINCE), now, blocked_after),
        table.column(PAUSED),
        table.column(RATE_LIMITED),
        map(bool, table.column(RATE_LIMIT_REMAINING)),
        [version is not None for version in table.column(LIBRARY_VERSION)],
        _limit_reached(table.column(CONCURRENCY_LIMIT), active),
        table.column(WORKER_ALIVE),
        table.column(ACTIVE_LOCKED),
        [count and (count.total > 0, count.idle > 0) for count in database.worker_counts],
        strict=True,
    )


def _are_ready(table: QueueTable) -> Sequence[bool]:
    """For each row, whether there are ready jobs."""
    pairs = zip(table.column(WAITING), table.column(PRIORITIZED), strict=True)
    return [bool(waiting or prioritized) for waiting, prioritized in pairs]


def _movement(table: QueueTable, now: float, blocked_after: float) -> Iterator[Sequence[bool]]:
    """`QueueFacts.watched` of each row, and `QueueFacts.moves`."""
    ready_since, still_since = table.column(READY_SINCE), table.column(STILL_SINCE)
    yield _are_past(still_since, now, blocked_after)
    yield _are_moving(ready_since, still_since, now, blocked_after)


def _limit_reached(limits: Sequence[int | None], active: Sequence[int | None]) -> Sequence[bool]:
    return [
        limit is not None and (number or 0) >= limit
        for limit, number in zip(limits, active, strict=True)
    ]


_Times = Sequence[float | None]
"""By queue. A call for each of ten thousand queues would take longer than what it computes."""


def _are_past(times: _Times, now: float, seconds: float) -> list[bool]:
    """Whether each time is known, and at least this many seconds ago."""
    return [since is not None and now - since >= seconds for since in times]


def _are_moving(
    ready_since: _Times, still_since: _Times, now: float, blocked_after: float
) -> list[bool]:
    """Whether a ready job was seen to be taken within the last `blocked_after` seconds."""
    return [
        still is not None and now - still < blocked_after and still != ready
        for ready, still in zip(ready_since, still_since, strict=True)
    ]


def _are_late(ready_since: _Times, ages: _Times, now: float, blocked_after: float) -> list[bool]:
    """Whether a job has been ready for `blocked_after` seconds, as watched or by its own times."""
    return [
        since is not None and max(now - since, age or 0.0) >= blocked_after
        for since, age in zip(ready_since, ages, strict=True)
    ]


def queue_facts(database: Database, index: int, now: float, blocked_after: float) -> QueueFacts:
    """The facts of the table's row `index` at monotonic time `now`."""
    table = database.table
    queue = table.queues[index]
    active = table.value(ACTIVE, index)
    ready_since, still_since = table.value(READY_SINCE, index), table.value(STILL_SINCE, index)
    left_since = table.value(LEFT_IN_PAUSED_SINCE, index)
    left_is_past, still_is_past = _are_past((left_since, still_since), now, blocked_after)
    ready = (table.value(WAITING, index) or 0) + (table.value(PRIORITIZED, index) or 0)
    later = (table.value(DELAYED, index) or 0) + (table.value(WAITING_CHILDREN, index) or 0)
    return QueueFacts(
        queue=queue,
        ready=ready,
        pending=ready + later + (active or 0),
        active=active,
        paused=table.flag(PAUSED, index),
        left_in_paused=left_is_past,
        rate_limited=table.flag(RATE_LIMITED, index),
        rate_window_open=bool(table.value(RATE_LIMIT_REMAINING, index)),
        settings_known=table.value(LIBRARY_VERSION, index) is not None,
        concurrency_limit=table.value(CONCURRENCY_LIMIT, index),
        has_id=table.flag(HAS_ID, index) is not False,
        workers=database.workers.of(queue) if database.workers is not None else None,
        unnamed=database.workers.unnamed if database.workers is not None else 0,
        worker_alive=table.flag(WORKER_ALIVE, index),
        active_locked=table.flag(ACTIVE_LOCKED, index),
        moves=_are_moving((ready_since,), (still_since,), now, blocked_after)[0],
        watched=still_is_past,
    )


def known_workers(database: Database, now: float, blocked_after: float) -> list[int | None]:
    """The number of workers of each queue, as `QueueFacts.known_workers`."""
    totals = [None if count is None else count.total for count in database.worker_counts]
    if database.workers is None:
        return totals
    # a total of zero is known where nothing needs a worker, and unknown by the same signs elsewhere
    known: dict[tuple[object, ...], int | None] = {}
    signs = _signs(database, now, blocked_after)
    rows = zip(totals, _are_ready(database.table), database.table.column(ACTIVE), strict=True)
    needy = [not total and (ready or active) for total, ready, active in rows]
    for row, seen in compress(enumerate(signs), needy):
        if seen not in known:
            workers = queue_facts(database, row, now, blocked_after).known_workers
            known[seen] = None if workers is None else workers.total
        totals[row] = known[seen]
    return totals


# --- isolation -----------------------------------------------------------------------------------

_Name = tuple[str, str]


def _worker_only_queues(
    databases: Sequence[Database], now: float, blocked_after: float, only: Queue | None = None
) -> dict[_Name, list[str]]:
    """Queues with workers to which no job was ever added, with the connections that see them.

    All queues, or `only` those of the same prefix and name. Of interest only beside other
    databases.
    """
    connections: dict[_Name, list[str]] = {}
    if len(databases) < 2:
        return connections
    for database in databases:
        for index, has_id in enumerate(database.table.column(HAS_ID)):
            if has_id != 0 or not (only is None or database.table.queues[index].key == only.key):
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
