"""Writes jobs of one queue to Redis as BullMQ's scripts do, with their events."""

from __future__ import annotations

from typing import Any

import redis

from tests.support.redis_data import add_event


class Jobs:
    """A queue whose jobs a test moves by hand; each step writes what BullMQ 6 writes."""

    def __init__(self, client: redis.Redis, queue: str = "q", *, max_events: int = 10_000) -> None:
        self.client = client
        self.queue = queue
        self.base = f"bull:{queue}:"
        self._last = 0
        settings: Any = {"opts.maxLenEvents": max_events, "version": "bullmq:6.7.0"}
        client.hset(self.base + "meta", mapping=settings)

    def add(self, number: int = 1, *, delay: bool = False) -> list[str]:
        """Add jobs, ready or delayed; returns their IDs."""
        jobs = [str(self._last + place + 1) for place in range(number)]
        self._last += number
        self.client.set(self.base + "id", self._last)
        for job in jobs:
            self._store(job, delay=delay)
        return jobs

    def schedule(self, job: str, replaced: str = "") -> None:
        """Add the next job of a scheduler, which may replace one without an event."""
        if replaced:
            self.client.zrem(self.base + "delayed", replaced)
            self.client.delete(self.base + replaced)
        self._store(job, delay=True)

    def _store(self, job: str, *, delay: bool) -> None:
        self.client.hset(self.base + job, mapping={"timestamp": 1, "name": "x"})
        self.event("added", job, name="x")
        if delay:
            self.client.zadd(self.base + "delayed", {job: 1 << 54})
            self.event("delayed", job, delay="1")
        else:
            self.client.lpush(self.base + "wait", job)
            self.event("waiting", job)

    def start(self) -> str:
        """Start the next ready job; returns its ID."""
        job: Any = self.client.lmove(self.base + "wait", self.base + "active", "RIGHT", "LEFT")
        self.event("active", job.decode(), prev="waiting")
        return str(job.decode())

    def finish(self, job: str, outcome: str = "completed") -> None:
        """Let an active job complete, or fail for good."""
        self.client.lrem(self.base + "active", 0, job)
        self.client.zadd(self.base + outcome, {job: 1})
        self.event(outcome, job, prev="active")

    def retry(self, job: str) -> None:
        """Put an active job back after a failed attempt."""
        self.client.lrem(self.base + "active", 0, job)
        self.client.lpush(self.base + "wait", job)
        self.event("waiting", job, prev="active")

    def retry_failed(self, job: str) -> None:
        """Put a job back that has failed for good."""
        self.client.zrem(self.base + "failed", job)
        self.client.lpush(self.base + "wait", job)
        self.event("waiting", job, prev="failed")

    def remove(self, job: str) -> None:
        """Remove a job that waits."""
        self.client.lrem(self.base + "wait", 0, job)
        self.client.delete(self.base + job)
        self.event("removed", job, prev="wait")

    def clean(self, key: str) -> None:
        """Remove all jobs of a state."""
        list_ = self.client.type(self.base + key) == b"list"
        read = self.client.lrange if list_ else self.client.zrange
        jobs: Any = read(self.base + key, 0, -1)
        self.client.delete(self.base + key, *[self.base + job.decode() for job in jobs])
        self.client.xadd(self.base + "events", {"event": "cleaned", "count": len(jobs)})

    def drain(self, *, delayed: bool = False) -> None:
        """Remove all ready jobs without an event, and the delayed ones if asked to."""
        jobs: Any = self.client.lrange(self.base + "wait", 0, -1)
        if delayed:
            later: Any = self.client.zrange(self.base + "delayed", 0, -1)
            jobs = [*jobs, *later]
            self.client.delete(self.base + "delayed")
        self.client.delete(self.base + "wait", *[self.base + job.decode() for job in jobs])

    def event(self, event: str, job: str, **more: str) -> None:
        """Append an event."""
        add_event(self.client, event, job, self.queue, **more)
