"""A private redis-server with synthetic queues."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

import redis

from exporter.connection import pack

SCORED = ("delayed", "prioritized", "waiting-children", "completed", "failed")

# the year 2100: of delayed jobs and schedulers that are late a poll asks more
_LATER = 4_102_444_800_000
_SCORES = dict.fromkeys(SCORED, 1_750_000_000_000) | {"delayed": _LATER << 12}


@contextlib.contextmanager
def private_redis() -> Iterator[int]:
    """The port of a redis-server that keeps nothing."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("the benchmarks need redis-server; install it and try again")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [binary, "--port", str(port), "--save", "", "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        with contextlib.suppress(PermissionError):
            # what else runs on the machine shall not count as a long command
            os.setpriority(os.PRIO_PROCESS, process.pid, -15)
        try:
            _wait(port)
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit("redis-server did not start")


def fill(port: int, queues: int) -> None:
    """Queues as BullMQ 6 keeps them, with 0 to 50 jobs a state, the same for the same number.

    Half of those with prioritized jobs have two priorities, a fifth has schedulers.
    """
    rng = random.Random(1)
    client = redis.Redis(port=port)
    for start in range(0, queues, 200):
        pipe = client.pipeline(transaction=False)
        for index in range(start, min(queues, start + 200)):
            _queue(pipe, rng, f"bull:svc{index % 50:02d}-tasks-{index:05d}:")
        pipe.execute()
    client.close()


def add_noise(port: int, keys: int) -> None:
    """Keys of somebody else."""
    client = redis.Redis(port=port)
    for start in range(0, keys, 10_000):
        end = min(keys, start + 10_000)
        client.mset({f"session:{number}": b"x" for number in range(start, end)})
    client.close()


def _queue(pipe: redis.client.Pipeline, rng: random.Random, base: str) -> None:
    pipe.hset(base + "meta", mapping={"opts.maxLenEvents": 10000, "version": "bullmq:6.2.0"})
    pipe.set(base + "id", 500)
    for name in ("wait", "active"):
        if count := rng.randint(0, 50):
            pipe.rpush(base + name, *range(count))
            for job in {0, *range(max(0, count - 4), count)}:
                times = {"timestamp": 1_750_000_000_000, "processedOn": 1_750_000_000_001}
                pipe.hset(f"{base}{job}", mapping=times | {"opts": '{"attempts":0}'})
    for name in SCORED:
        if count := rng.randint(0, 50):
            pipe.zadd(base + name, {str(job): _SCORES[name] + job for job in range(count)})
            if name == "prioritized" and count > 1 and rng.random() < 0.5:
                pipe.zadd(base + name, {"0": 1 << 32})
    if rng.random() < 0.2:
        pipe.zadd(base + "repeat", {f"s{number}": _LATER + number for number in range(3)})
    pipe.xadd(base + "events", {"event": "added", "jobId": "1", "name": "task"})


def floor_batches(port: int, commands_a_batch: int = 500) -> list[tuple[bytes, int]]:
    """The least that a reader must send: nine counts a queue, packed beforehand."""
    client = redis.Redis(port=port)
    bases = sorted(
        key.decode().removesuffix("meta") for key in client.scan_iter("bull:*:meta", count=5000)
    )
    client.close()
    commands = []
    for base in bases:
        commands += [pack("LLEN", base + name) for name in ("wait", "active", "paused")]
        commands += [pack("ZCARD", base + name) for name in SCORED]
        commands.append(pack("HEXISTS", base + "meta", "paused"))
    chunks = [commands[i : i + commands_a_batch] for i in range(0, len(commands), commands_a_batch)]
    return [(b"".join(chunk), len(chunk)) for chunk in chunks]
