"""Queues whose jobs all have their hashes, and the three loads: at rest, blocked, moving."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterable, Iterator
from itertools import islice

import hiredis

from benchmarks.data import PRIORITY_BAND, SCORED, bases
from exporter.connection import pack

JOBS_A_STEP = 5
"""Jobs that each queue gets in a step, starts and completes: with four events each."""

_HOUR_MS = 3_600_000
_FAR = 100_000
"""Jobs in sorted sets have IDs from here on, so that they are no IDs of waiting jobs."""
_BATCH = 2000


class Jobs:
    """Queues in one Redis. They begin at rest; `block` once, then `move` as often as wanted."""

    def __init__(self, port: int, queues: int) -> None:
        self._queues = [queue.encode() for queue in bases(queues)]
        self._rng = random.Random(1)
        self._waiting = [self._rng.randint(1, 50) for _ in self._queues]
        self._steps = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._reader = hiredis.Reader()

    def rest(self) -> None:
        """Create the queues: jobs that wait for their time or for children, and finished ones."""
        self._send(command for base in self._queues for command in self._queue(base))

    def block(self) -> None:
        """Add jobs that were added an hour ago and that no worker takes."""
        self._send(
            command
            for base, number in zip(self._queues, self._waiting, strict=True)
            for command in self._ready(base, number)
        )

    def move(self) -> None:
        """Add, start and complete `JOBS_A_STEP` jobs of every queue; the oldest are started."""
        self._send(
            command
            for base, number in zip(self._queues, self._waiting, strict=True)
            for command in self._step(base, number)
        )
        self._steps += 1

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _queue(self, base: bytes) -> Iterator[bytes]:
        now = _now_ms()
        yield pack("HSET", base + b"meta", "opts.maxLenEvents", 10000, "version", "bullmq:6.2.0")
        yield pack("SET", base + b"id", 500)
        first = _FAR
        for state in SCORED:
            if state == "prioritized":
                continue
            jobs = range(first, first + self._rng.randint(1, 50))
            first += _FAR
            score = (now + 24 * _HOUR_MS) << 12 if state == "delayed" else now - _HOUR_MS
            yield _sorted_set(base + state.encode(), jobs, score)
            yield from _hashes(base, jobs, now - _HOUR_MS)
            if state == "waiting-children":
                child = b"%s%d" % (base, _FAR)  # a delayed job
                for job in jobs:
                    yield pack("SADD", b"%s%d:dependencies" % (base, job), child)
        yield _event(base, 1, b"added")

    def _ready(self, base: bytes, number: int) -> Iterator[bytes]:
        now = _now_ms()
        yield pack("LPUSH", base + b"wait", *range(1, number + 1))
        yield from _hashes(base, range(1, number + 1), now - _HOUR_MS)
        jobs = range(9 * _FAR, 9 * _FAR + self._rng.randint(1, 50))
        yield _sorted_set(base + b"prioritized", jobs, PRIORITY_BAND)
        yield from _hashes(base, jobs, now - _HOUR_MS)

    def _step(self, base: bytes, number: int) -> Iterator[bytes]:
        now, done = _now_ms(), self._steps * JOBS_A_STEP
        new = range(number + done + 1, number + done + JOBS_A_STEP + 1)
        started = range(done + 1, done + JOBS_A_STEP + 1)
        finished = range(max(done - JOBS_A_STEP, 0) + 1, done + 1)
        yield from _hashes(base, new, now)
        yield pack("LPUSH", base + b"wait", *new)
        yield pack("RPOP", base + b"wait", JOBS_A_STEP)
        yield pack("DEL", base + b"active", *[b"%s%d:lock" % (base, job) for job in finished])
        yield pack("LPUSH", base + b"active", *started)
        yield pack("MSET", *[part for job in started for part in (b"%s%d:lock" % (base, job), "1")])
        for job in started:
            yield pack("HSET", b"%s%d" % (base, job), "processedOn", now)
        if finished:
            yield _sorted_set(base + b"completed", finished, now)
        for jobs, event in (
            (finished, b"completed"),
            (new, b"added"),
            (new, b"waiting"),
            (started, b"active"),
        ):
            for job in jobs:
                yield _event(base, job, event)

    def _send(self, commands: Iterable[bytes]) -> None:
        rest = iter(commands)
        while batch := list(islice(rest, _BATCH)):
            self._socket.sendall(b"".join(batch))
            for _ in batch:
                self._reply()

    def _reply(self) -> None:
        while (reply := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(1 << 18))
        if isinstance(reply, hiredis.ReplyError):
            raise reply


def _now_ms() -> int:
    return int(time.time() * 1000)


def _sorted_set(key: bytes, jobs: range, score: int) -> bytes:
    return pack("ZADD", key, *[part for job in jobs for part in (score + job, job)])


def _hashes(base: bytes, jobs: range, added: int) -> Iterator[bytes]:
    for job in jobs:
        yield pack(
            "HSET",
            b"%s%d" % (base, job),
            "name",
            "task",
            "data",
            '{"customer":4711,"template":"welcome"}',
            "opts",
            '{"attempts":3}',
            "timestamp",
            added,
            "delay",
            0,
            "priority",
            0,
        )


_FIELDS = {
    b"added": ("name", "task"),
    b"waiting": (),
    b"active": ("prev", "waiting"),
    b"completed": ("returnvalue", "null", "prev", "active"),
}


def _event(base: bytes, job: int, event: bytes) -> bytes:
    stream = base + b"events"
    more = _FIELDS[event]
    return pack("XADD", stream, "MAXLEN", "~", 10000, "*", "event", event, "jobId", job, *more)
