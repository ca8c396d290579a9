"""Hints for people on blocked queues; some are too uncertain for an alert."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from typing import Final

from exporter.bullmq import Queue
from exporter.diagnosis.blocked import Database, Isolation, Reason
from exporter.diagnosis.names import alike
from exporter.state.stuck import StuckKind
from exporter.state.workers import WorkerOddity

_HINTS = {
    Reason.PAUSED: "the queue is paused; resume it if that is not intended",
    Reason.REDIS_READONLY: "this Redis is a read-only replica; connect services to the master",
    Reason.NO_WORKERS: "no worker is connected; start one on this Redis with this prefix",
    Reason.LEFT_IN_PAUSED: (
        "jobs are left in the list `paused`, where no worker looks, although the queue is not "
        "paused; call queue.resume()"
    ),
    Reason.RATE_LIMITED: "the rate limit is reached; jobs wait until its window ends",
    Reason.CONCURRENCY_LIMIT: "the global concurrency limit is reached",
    Reason.WORKERS_IDLE: "workers are connected but take no jobs; they hang or missed a wake-up",
}


STUCK_HINTS: Final = {
    StuckKind.PARENT: "retry the children that failed, or remove the parent",
    StuckKind.ACTIVE: "start a worker that sweeps (without skipStalledCheck); it puts the job back",
    StuckKind.SCHEDULER: "call upsertJobScheduler again, or remove the scheduler",
    StuckKind.DEDUPLICATION: "adds with this ID are ignored; call removeDeduplicationKey",
    StuckKind.DELAYED: "start a worker on this queue; workers promote delayed jobs",
    StuckKind.PRIORITY: "add workers, or call changePriority with a more urgent one",
    StuckKind.POISON: "fix what it does to its workers, or remove the job",
}
"""What to do about a stuck job, by kind."""

WORKER_HINTS: Final = {
    WorkerOddity.SILENT: (
        "restart those that hang; others were paused with worker.pause(), were never run, or wait "
        "for a rate limit of their own"
    ),
    WorkerOddity.VERSIONS: (
        "run the same release of the application everywhere; this is the version of the Redis "
        "client, not of BullMQ, which no connection shows"
    ),
}
"""What to do about odd workers."""


def hint(reason: Reason, database: Database, queue: Queue, isolations: Sequence[Isolation]) -> str:
    """The likely cause and remedy for a blocked queue, in one sentence."""
    if reason is Reason.WORKER_ISOLATED:
        isolation = next(
            i for i in isolations if (i.producer, i.queue) == (database.connection, queue.name)
        )
        return (
            f"its jobs are in the Redis of {isolation.producer}, but its workers listen on the "
            f"Redis of {isolation.worker}; give both services the same Redis URL"
        )
    if reason is Reason.WRITES_REFUSED:
        return f"this Redis refuses writes, so no job can start: {database.writes_refused}"
    found = twins(database, queue) if reason is Reason.NO_WORKERS else []
    if found:
        return f"no worker is connected here, but there are workers for {_named(found)}"
    return _HINTS[reason]


def twins(database: Database, queue: Queue) -> list[tuple[str, str]]:
    """Prefix and name of the queues with workers in the same database whose names are like this.

    Prefixes may differ. The exact name under another prefix comes first.
    """
    if not database.queues_with_workers:
        return []
    own = (queue.prefix, queue.name)
    found = [
        other for other in database.queues_with_workers.get(alike(queue.name), ()) if other != own
    ]
    return sorted(found, key=lambda other: (other[1] != queue.name, other[0] != queue.prefix))


def _named(found: Sequence[tuple[str, str]]) -> str:
    """Queues with their prefixes, quoted so that blanks are visible."""
    names = [quoted(f"{prefix}:{name}") for prefix, name in found[:_MAX_NAMED]]
    return " and ".join(names)


_MAX_NAMED: Final = 3


def quoted(name: str) -> str:
    """A name in quotes, with blanks at its ends and what cannot be seen visible."""
    composed = unicodedata.is_normalized("NFC", name)
    return "".join(
        char
        if char.isprintable() and (composed or not unicodedata.combining(char))
        else json.dumps(char)[1:-1]
        for char in json.dumps(name, ensure_ascii=False)
    )
