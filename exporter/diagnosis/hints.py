"""What may help a person, but is not certain enough for an alarm."""

from __future__ import annotations

from collections.abc import Sequence

from exporter.diagnosis.blocked import Database, Isolation, QueueFacts, Reason

_WORDS = {
    Reason.PAUSED: "the queue is paused; resume it when that is no longer wanted",
    Reason.RATE_LIMITED: "its rate limit holds jobs back until the window ends",
    Reason.CONCURRENCY_LIMIT: "as many jobs are active as its global concurrency allows",
    Reason.NO_WORKERS: "no worker is connected; start one, on this Redis and this prefix",
    Reason.WORKERS_IDLE: "workers are connected and take nothing; they hang, or missed a wake-up",
    Reason.REDIS_READONLY: "this Redis is a read-only replica",
}


def hint(
    reason: Reason, database: Database, row: QueueFacts, isolations: Sequence[Isolation]
) -> str:
    """One sentence on a blocked queue."""
    if reason is Reason.WORKER_ISOLATED:
        found = next(
            i for i in isolations if (i.producer, i.queue) == (database.connection, row.queue.name)
        )
        return (
            f"its jobs are in the Redis of {found.producer}, its workers listen in that of "
            f"{found.worker}; give both the same URL"
        )
    elsewhere = _other_prefixes(database, row) if reason is Reason.NO_WORKERS else []
    if elsewhere:
        names = ", ".join(elsewhere)
        return f"no worker is connected, but there are some under the prefix {names}"
    return _WORDS[reason]


def _other_prefixes(database: Database, row: QueueFacts) -> list[str]:
    """Prefixes under which a queue of the same name has workers, in the same database."""
    if database.workers is None:
        return []
    return [
        queue.prefix
        for queue, count in database.workers.counts.items()
        if count.total and queue.name == row.queue.name and queue.prefix != row.queue.prefix
    ]
