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
_WHOLE_JOBS = 4
"""Jobs at the old end of a list that have a hash, and a lock if they are active."""
_DAY_MS = 24 * 60 * _MINUTE_MS


def bases(queues: int) -> list[str]:
    """The key prefix of each queue."""
    return [f"bull:{name}:" for name in names(queues)]


def names(queues: int) -> list[str]:
    """The names of the queues."""
    return [f"svc{index % 50:02d}-tasks-{index:05d}" for index in range(queues)]


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


def move(port: int, queues: int) -> None:
    """Change every queue: add a job, start one and complete one, with the events."""
    client = redis.Redis(port=port)
    for chunk in _chunks(bases(queues), 200):
        pipe = client.pipeline(transaction=False)
        for base in chunk:
            pipe.lindex(base + "wait", -1)
        for base, next_job in zip(chunk, pipe.execute(), strict=True):
            _step(pipe, base, int(time.time() * 1000), next_job)
        pipe.execute()
    client.close()


def calm(port: int, queues: int, parents_every: int) -> None:
    """Leave what no look finds suspect: jobs that have their hash and, if active, their lock; flow
    parents in every N-th queue, where N is `parents_every`."""
    client = redis.Redis(port=port)
    kept = set(bases(queues)[::parents_every])
    pipe = client.pipeline(transaction=False)
    for base in bases(queues):
        for name in ("wait", "active"):
            pipe.ltrim(base + name, -_WHOLE_JOBS, -1)
        if base not in kept:
            pipe.delete(base + "waiting-children")
    pipe.execute()
    client.close()


def fail(port: int, queues: int, every: int) -> None:
    """In every N-th queue a job fails permanently, and in the next one a job is retried; N is
    `every`."""
    client = redis.Redis(port=port)
    now = int(time.time() * 1000)
    pipe = client.pipeline(transaction=False)
    for base in bases(queues)[::every]:
        _fail(pipe, base, f"f{now}", now)
    for base in bases(queues)[1::every]:
        _retry(pipe, base, f"r{now}", now)
    pipe.execute()
    client.close()


def wait_a_millisecond(client: redis.Redis) -> None:
    """Wait until no event is of the server's present millisecond: real ones are seconds old."""

    def now_ms() -> int:
        found: Any = client.time()
        return int(found[0]) * 1000 + int(found[1]) // 1000

    written = now_ms()
    while now_ms() == written:
        time.sleep(0.001)


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
    for job in {1, *range(max(1, count - _WHOLE_JOBS + 1), count + 1)}:
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


def _fail(pipe: redis.client.Pipeline, base: str, job: str, now: int) -> None:
    pipe.hset(base + job, mapping=_job(now, now))
    pipe.zadd(base + "failed", {job: now})
    reason = f"Error: user {now} not found"
    _events(
        pipe,
        base,
        ("added", {"jobId": job, "name": "task"}),
        ("active", {"jobId": job, "prev": "waiting"}),
        ("failed", {"jobId": job, "failedReason": reason, "prev": "active"}),
    )


def _retry(pipe: redis.client.Pipeline, base: str, job: str, now: int) -> None:
    pipe.hset(base + job, mapping=_job(now, now) | {"failedReason": "ECONNRESET"})
    pipe.lpush(base + "wait", job)
    _events(
        pipe,
        base,
        ("added", {"jobId": job, "name": "task"}),
        ("active", {"jobId": job, "prev": "waiting"}),
        ("waiting", {"jobId": job, "prev": "active"}),
    )


def _step(pipe: redis.client.Pipeline, base: str, now: int, next_job: bytes | None) -> None:
    done, new = f"d{now}", f"n{now}"
    pipe.rpop(base + "active")
    pipe.zadd(base + "completed", {done: now})
    if next_job is not None:
        pipe.lmove(base + "wait", base + "active", "RIGHT", "LEFT")
        pipe.set(f"{base}{next_job.decode()}:lock", "held")
    pipe.hset(base + new, mapping=_job(now, now))
    pipe.lpush(base + "wait", new)
    _events(
        pipe,
        base,
        ("completed", {"jobId": done, "returnvalue": "null", "prev": "active"}),
        ("active", {"jobId": "1", "prev": "waiting"}),
        ("added", {"jobId": new, "name": "task"}),
        ("waiting", {"jobId": new}),
    )


def _events(pipe: redis.client.Pipeline, base: str, *events: tuple[str, dict[Any, Any]]) -> None:
    for event, fields in events:
        pipe.xadd(base + "events", {"event": event} | fields, maxlen=10_000)
