"""Queues with jobs in every state, and changes of every kind to them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import redis

from tests.support.pages import Samples, every
from tests.support.redis_data import add_event

LEFT = "bullmq_queue_rate_limit_remaining_seconds"
FAMILIES = (
    "bullmq_queue_size",
    "bullmq_queue_paused",
    "bullmq_queue_oldest_waiting_seconds",
    "bullmq_queue_oldest_active_seconds",
    "bullmq_queue_delayed_overdue_jobs",
    "bullmq_queue_delayed_overdue_seconds",
    "bullmq_queue_schedulers",
    "bullmq_queue_schedulers_overdue",
    "bullmq_queue_schedulers_overdue_seconds",
    LEFT,
    "bullmq_queue_events_stream_length",
)
NAMES = ("a", "b", "c")
SEEDS = range(int(os.environ.get("SEEDS", "2")))
"""Seeds of random changes; `make compare` tries more."""


def now_ms() -> int:
    return int(time.time() * 1000)


def job(client: redis.Redis, queue: str, number: int, age_ms: int = 0) -> int:
    """Write a job's hash. Returns the job's number."""
    at = now_ms() - age_ms
    client.hset(f"bull:{queue}:{number}", mapping={"timestamp": at, "processedOn": at})
    return number


def build(client: redis.Redis) -> None:
    """Create queues with jobs in every state, without anything that changes by itself."""
    for queue in NAMES:
        base = f"bull:{queue}:"
        client.hset(base + "meta", mapping={"version": "bullmq:6.7.0", "opts.maxLenEvents": 10000})
        client.set(base + "id", 100)
        for number in range(1, 8):
            client.lpush(base + "wait", job(client, queue, number, age_ms=60_000 - number))
        for number in (11, 12):
            client.lpush(base + "active", job(client, queue, number, age_ms=30_000 - number))
            client.set(f"{base}{number}:lock", "held")
        client.zadd(base + "prioritized", {str(job(client, queue, 21)): 1 << 32})
        client.zadd(base + "delayed", {"31": (now_ms() + 3_600_000) << 12})
        client.zadd(base + "repeat", {"tick": now_ms() + 3_600_000})
        client.zadd(base + "completed", {"41": now_ms()})


def shown(samples: Samples) -> Samples:
    """The samples that the changes affect."""
    found: Samples = {}
    for family in FAMILIES:
        found |= every(samples, family)
    return found


def replace_in_wait(client: redis.Redis, queue: str, rng: random.Random) -> None:
    client.rpop(f"bull:{queue}:wait")
    client.lpush(f"bull:{queue}:wait", job(client, queue, rng.randrange(1000, 9999)))


def replace_active(client: redis.Redis, queue: str, rng: random.Random) -> None:
    client.rpop(f"bull:{queue}:active")
    client.lpush(f"bull:{queue}:active", job(client, queue, rng.randrange(1000, 9999)))


def replace_prioritized(client: redis.Redis, queue: str, rng: random.Random) -> None:
    key = f"bull:{queue}:prioritized"
    client.zpopmin(key)
    number = job(client, queue, rng.randrange(1000, 9999), age_ms=rng.randrange(90_000))
    client.zadd(key, {str(number): rng.randrange(1, 4) << 32})


def replace_delayed(client: redis.Redis, queue: str, rng: random.Random) -> None:
    key = f"bull:{queue}:delayed"
    client.zpopmin(key)
    due = now_ms() + rng.choice((-60_000, 3_600_000))
    client.zadd(key, {str(rng.randrange(1000, 9999)): due << 12})


def move_schedule(client: redis.Redis, queue: str, rng: random.Random) -> None:
    client.zadd(f"bull:{queue}:repeat", {"tick": now_ms() + rng.choice((-60_000, 3_600_000))})


def toggle_pause(client: redis.Redis, queue: str, _: random.Random) -> None:
    if not client.hdel(f"bull:{queue}:meta", "paused"):
        client.hset(f"bull:{queue}:meta", "paused", 1)


def add_a_job(client: redis.Redis, queue: str, rng: random.Random) -> None:
    client.lpush(f"bull:{queue}:wait", job(client, queue, rng.randrange(1000, 9999)))


def empty_wait(client: redis.Redis, queue: str, _: random.Random) -> None:
    client.delete(f"bull:{queue}:wait")


def toggle_rate_limit(client: redis.Redis, queue: str, _: random.Random) -> None:
    key = f"bull:{queue}:limiter"
    if not client.delete(key):
        client.set(key, 1, px=600_000)


def start_again(client: redis.Redis, queue: str, _: random.Random) -> None:
    """Start the active job again, as after a retry without back-off or a stall."""
    active = client.lindex(f"bull:{queue}:active", -1)
    if active is not None:
        happens(client, queue, job(client, queue, int(active)), "waiting", "active")


def add_again(client: redis.Redis, queue: str, _: random.Random) -> None:
    """Add the waiting job again under the same ID, as after its removal on completion."""
    waiting = client.lindex(f"bull:{queue}:wait", -1)
    if waiting is not None:
        events = ("active", "completed", "added", "waiting")
        happens(client, queue, job(client, queue, int(waiting)), *events)


def happens(client: redis.Redis, queue: str, number: int, *events: str) -> None:
    """Add events of a job at the current time of the test's clock."""
    for event in events:
        add_event(client, event, number, queue, entry_id=f"{now_ms()}-*")


CHANGES: tuple[Callable[[redis.Redis, str, random.Random], None], ...] = (
    replace_in_wait,
    replace_active,
    replace_prioritized,
    replace_delayed,
    move_schedule,
    toggle_pause,
    add_a_job,
    empty_wait,
    toggle_rate_limit,
    start_again,
    add_again,
)
"""Each takes a client, a queue of `NAMES` and a random generator."""
