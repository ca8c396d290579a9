"""Hints for people on blocked queues; some are too uncertain for an alert."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.diagnosis.blocked import Database, Isolation, QueueFacts, Reason

_HINTS = {
    Reason.PAUSED: "the queue is paused; resume it if that is not intended",
    Reason.RATE_LIMITED: "the rate limit is reached; jobs wait until its window ends",
    Reason.CONCURRENCY_LIMIT: "the global concurrency limit is reached",
    Reason.NO_WORKERS: "no worker is connected; start one on this Redis with this prefix",
    Reason.WORKERS_IDLE: "workers are connected but take no jobs; they hang or missed a wake-up",
    Reason.REDIS_READONLY: "this Redis is a read-only replica",
}


def hint(
    reason: Reason, database: Database, row: QueueFacts, isolations: Sequence[Isolation]
) -> str:
    """The likely cause and remedy for a blocked queue, in one sentence."""
    if reason is Reason.WORKER_ISOLATED:
        isolation = next(
            i for i in isolations if (i.producer, i.queue) == (database.connection, row.queue.name)
        )
        return (
            f"its jobs are in the Redis of {isolation.producer}, but its workers listen on the "
            f"Redis of {isolation.worker}; give both the same URL"
        )
    elsewhere = _other_prefixes(database, row) if reason is Reason.NO_WORKERS else []
    if elsewhere:
        names = ", ".join(elsewhere)
        return f"no worker is connected here, but there are workers under the prefix {names}"
    return _HINTS[reason]


def _other_prefixes(database: Database, row: QueueFacts) -> list[str]:
    """Prefixes under which a queue of the same name has workers, in the same database."""
    if database.workers is None:
        return []
    return [
        queue.prefix
        for queue, count in database.workers.counts.items()
        if count.total and queue.name == row.queue.name and queue.prefix != row.queue.prefix
    ]
