"""Synthetic queues in the format of BullMQ 6; deterministic for a given number."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import redis

SCORED = ("delayed", "prioritized", "waiting-children", "completed", "failed")

PRIORITY_BAND = 1 << 32
_MINUTE_MS = 60_000
_DAY_MS = 24 * 60 * _MINUTE_MS


def bases(queues: int) -> list[str]:
    """The key prefix of each queue."""
    return [f"bull:svc{index % 50:02d}-tasks-{index:05d}:" for index in range(queues)]


def fill(port: int, queues: int) -> None:
    """Create queues with 0 to 50 jobs in every state.

    Half of them use two priorities, a fifth have schedulers, and in a twentieth the delayed jobs
    and the schedulers are overdue.
    """
    rng = random.Random(1)
    client = redis.Redis(port=port)
    for chunk in _chunks(bases(queues), 200):
        pipe = client.pipeline(transaction=False)
        for base in chunk:
            _queue(pipe, rng, base)
        pipe.execute()
    client.close()


def add_noise(port: int, keys: int) -> None:
    """Add keys that do not belong to BullMQ."""
    client = redis.Redis(port=port)
    for start in range(0, keys, 10_000):
        end = min(keys, start + 10_000)
        client.mset({f"session:{number}": b"x" for number in range(start, end)})
    client.close()


def add_workers(port: int, queues: int) -> list[redis.Redis]:
    """Open a connection named like a worker for each of the first `queues` queues."""
    workers = []
    for base in bases(queues):
        prefix, name, _ = base.split(":")
        worker = redis.Redis(port=port, single_connection_client=True)
        worker.client_setname(f"{prefix}:{name}")
        workers.append(worker)
    return workers


def _chunks(bases: list[str], size: int) -> Iterator[list[str]]:
    return (bases[start : start + size] for start in range(0, len(bases), size))


def _queue(pipe: redis.client.Pipeline, rng: random.Random, base: str) -> None:
    now = int(time.time() * 1000)
    pipe.hset(base + "meta", mapping={"opts.maxLenEvents": 10000, "version": "bullmq:6.2.0"})
    pipe.set(base + "id", 500)
    for name in ("wait", "active"):
        if count := rng.randint(0, 50):
            _list(pipe, base, name, count, now - _MINUTE_MS)
    late = rng.random() < 0.05
    due = now - _MINUTE_MS if late else now + _DAY_MS
    score = _scores(now, due, priorities=rng.choice((1, 2)))
    for name in SCORED:
        if count := rng.randint(0, 50):
            pipe.zadd(base + name, {str(job): score[name](job) for job in range(1, count + 1)})
            if name == "waiting-children":
                _child(pipe, base, count, now)
    if rng.random() < 0.2:
        pipe.zadd(base + "repeat", {f"tick{n}": due + n for n in range(rng.randint(1, 5))})
    pipe.xadd(base + "events", {"event": "added", "jobId": "1", "name": "task"})


def _list(pipe: redis.client.Pipeline, base: str, name: str, count: int, added: int) -> None:
    """Create that many jobs in a list, with the hashes of those at its ends, and their locks."""
    # IDs begin at 1, as BullMQ's do: 0 is a wake-up marker
    pipe.rpush(base + name, *range(1, count + 1))
    for job in {1, *range(max(1, count - 3), count + 1)}:
        pipe.hset(f"{base}{job}", mapping=_job(added, added + 1))
        if name == "active":
            pipe.set(f"{base}{job}:lock", "held")


def _child(pipe: redis.client.Pipeline, base: str, parents: int, now: int) -> None:
    """Create a job for which that many parents wait."""
    pipe.hset(base + "child", mapping=_job(now, now))
    for job in range(1, parents + 1):
        pipe.sadd(f"{base}{job}:dependencies", base + "child")


def _job(added: int, started: int) -> dict[Any, Any]:
    """The hash of a job; times are Unix milliseconds."""
    return {"timestamp": added, "processedOn": started, "opts": '{"attempts":0}'}


def _scores(now: int, due: int, priorities: int) -> dict[str, Callable[[int], int]]:
    return {
        "delayed": lambda job: (due + job) << 12,
        "prioritized": lambda job: (1 + job % priorities) * PRIORITY_BAND + job,
        "waiting-children": lambda job: now + job,
        "completed": lambda job: now + job,
        "failed": lambda job: now + job,
    }
