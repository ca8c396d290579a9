"""Writes queues and events to Redis in BullMQ's format."""

from __future__ import annotations

import redis


def add_queues(client: redis.Redis, *names: str | bytes, prefix: str = "bull") -> None:
    """Create queues with one waiting job each, as after an `add`."""
    for name in names:
        raw = name if isinstance(name, bytes) else name.encode()
        base = prefix.encode() + b":" + raw + b":"
        client.hset(base + b"meta", "opts.maxLenEvents", 10000)
        client.set(base + b"id", 1)
        client.rpush(base + b"wait", 1)


def add_event(
    client: redis.Redis,
    event: str,
    job: object = 1,
    queue: str = "q",
    entry_id: str = "*",
    **more: str,
) -> None:
    """Append an event to a queue's stream."""
    fields = {"event": event, "jobId": job} | more
    client.xadd(f"bull:{queue}:events", fields, id=entry_id)
