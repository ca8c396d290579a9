"""Synthetic queues, the same for the same number, as BullMQ 6 keeps them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import redis

SCORED = ("delayed", "prioritized", "waiting-children", "completed", "failed")
_BAND = 1 << 32
_HOUR_MS = 3_600_000


def busy(port: int, queues: int) -> list[str]:
    """Queues with 0 to 50 jobs in every state, and with all that can be read of them.

    Half of them use two priorities, a fifth has schedulers, a twentieth has overdue jobs.
    """
    return _fill(port, _names("busy", queues), _busy)


def idle(port: int, queues: int) -> list[str]:
    """Queues where only finished jobs are left, of which nothing but the counts is to be read."""
    return _fill(port, _names("idle", queues), _idle)


def noise(port: int, keys: int) -> None:
    """Keys that belong to no queue."""
    client = redis.Redis(port=port)
    for start in range(0, keys, 5000):
        pairs = {f"session:{n:08d}:data": "x" for n in range(start, min(keys, start + 5000))}
        client.mset(pairs)
    client.close()


def workers(port: int, bases: list[str]) -> list[redis.Connection]:
    """A connection that is named as a worker's for each of these queues."""
    found = []
    for base in bases:
        prefix, name, _ = base.split(":")
        connection = redis.Connection(port=port)
        connection.connect()
        connection.send_command("CLIENT", "SETNAME", f"{prefix}:{name}")
        connection.read_response()
        found.append(connection)
    return found


def _names(prefix: str, queues: int) -> list[str]:
    return [f"{prefix}:svc{index % 50:02d}-tasks-{index:05d}:" for index in range(queues)]


def _fill(
    port: int, bases: list[str], fill: Callable[[redis.client.Pipeline, random.Random, str], None]
) -> list[str]:
    rng = random.Random(1)
    client = redis.Redis(port=port)
    for chunk in _chunks(bases, 200):
        pipe = client.pipeline(transaction=False)
        for base in chunk:
            fill(pipe, rng, base)
        pipe.execute()
    client.close()
    return bases


def _chunks(bases: list[str], size: int) -> Iterator[list[str]]:
    return (bases[start : start + size] for start in range(0, len(bases), size))


def _idle(pipe: redis.client.Pipeline, rng: random.Random, base: str) -> None:
    pipe.hset(base + "meta", mapping={"opts.maxLenEvents": 10000, "version": "bullmq:6.2.0"})
    pipe.set(base + "id", 500)
    pipe.zadd(base + "completed", _scored(rng.randint(1, 50), lambda job: job))
    pipe.xadd(base + "events", {"event": "added", "jobId": "1", "name": "task"})


def _busy(pipe: redis.client.Pipeline, rng: random.Random, base: str) -> None:
    _idle(pipe, rng, base)
    now = int(time.time() * 1000)
    for name in ("wait", "active"):
        if count := rng.randint(0, 50):
            pipe.rpush(base + name, *range(count))
            for job in {0, *range(max(0, count - 4), count)}:
                times = {"timestamp": now - 60_000, "processedOn": now - 59_000}
                pipe.hset(f"{base}{job}", mapping=times | {"opts": '{"attempts":0}'})
    priorities, late = rng.choice((1, 2)), rng.random() < 0.05
    due = now - _HOUR_MS if late else now + _HOUR_MS
    scores: dict[str, Callable[[int], int]] = {
        "delayed": lambda job: (due + job) * 4096,
        "prioritized": lambda job: (1 + job % priorities) * _BAND + job,
        "waiting-children": lambda job: now + job,
        "failed": lambda job: now + job,
    }
    for name, score in scores.items():
        if count := rng.randint(0, 50):
            pipe.zadd(base + name, _scored(count, score))
    if rng.random() < 0.2:
        pipe.zadd(base + "repeat", _scored(rng.randint(1, 5), lambda job: due + job))


def _scored(count: int, score: Callable[[int], int]) -> dict[str, int]:
    return {f"j{job}": score(job) for job in range(count)}
