"""Random operations of real BullMQ: no job is missed that did not vanish, and each that did is."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from exporter.state.snapshots import EventFacts
from exporter.state.unfinished_jobs import Audit, Rebase
from tests.support.requirements import node_modules
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for
from tests.support.watch import Watch

OPERATIONS = int(os.environ.get("OPERATIONS", "600"))
"""Number of random operations in each test; `make losses` does more."""
SEEDS = range(int(os.environ.get("SEEDS", "1")))
LIBRARIES = ("bullmq5", "bullmq6")
QUEUES = ("mail", "children")
WITHOUT_EVENT = ("clean", "drain", "obliterate", "scheduler", "repeatable")
"""Operations that may remove jobs without an exact event."""
OBLITERATED = {Rebase.OBLITERATE, Rebase.STREAM_DELETED}
EXPLAINED = {Rebase.CLEAN, Rebase.DRAIN, *OBLITERATED}
MAY_DOUBT = {Rebase.SCHEDULER, Rebase.RETRY}
DRAIN_OR_SCHEDULERS = (("drain",), ("scheduler", "repeatable"))
"""Not both: `drain` is to keep the next job of a scheduler, but it trims `wait` by the number of
jobs that it removed, so it may cut off that job instead of another one. Then a job did vanish."""


class Operations:
    """A process that does random operations on two queues while its workers process them."""

    def __init__(self, server: Server, library: str, seed: int, without: tuple[str, ...]) -> None:
        script = node_modules().parent / "random_operations.mjs"
        words = ["node", str(script), library, str(server.port), str(seed), json.dumps(without)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.done: Counter[str] = Counter()
        """Number of operations by name."""
        assert self._read() == "ready\n"

    def begin(self, number: int) -> None:
        """Do that many operations."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Wait until they are done."""
        self.done.update(json.loads(self._read()))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Audited:
    """An exporter that is polled while operations are going on."""

    def __init__(self, server: Server, operations: Operations) -> None:
        self.watch = Watch(server.url)
        self._operations = operations
        client = server.client()
        wait_for(
            lambda: all(client.exists(f"bull:{name}:meta") for name in QUEUES), "both queues exist"
        )
        self.watch.discover_and_poll()
        self.watch.poll_unseen()

    def run(self, number: int = 20) -> None:
        """Poll in the midst of some operations, and after them."""
        self._operations.begin(number)
        self.watch.poll_unseen()
        self._operations.end()
        self.watch.poll_unseen()

    @property
    def audits(self) -> dict[str, Audit]:
        """What was found, by queue."""
        facts: Any = self.watch.snapshot.facts[EventFacts].facts
        return {queue.name: found.audit or Audit() for queue, found in facts.queues.items()}


@pytest.fixture
def redis_() -> Iterator[Server]:
    with valkey() as found:
        yield found


def started(server: Server, library: str, seed: int, *without: str) -> Operations:
    return Operations(server, library, seed, without)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("without", DRAIN_OR_SCHEDULERS, ids=" ".join)
def test_nothing_vanishes_in_random_operations(
    redis_: Server, library: str, seed: int, without: tuple[str, ...]
) -> None:
    """With every operation, also those without an exact event."""
    operations = started(redis_, library, seed, *without)
    try:
        audited = Audited(redis_, operations)
        for _ in range(OPERATIONS // 20):
            audited.run()
            for name, audit in audited.audits.items():
                assert not audit.unaccounted, (name, audit, operations.done)
                allowed = EXPLAINED | MAY_DOUBT
                if audit.rebases.keys() & OBLITERATED:
                    # children finish meanwhile, and put IDs of removed parents back; and the
                    # stream may be deleted while a poll reads it
                    allowed |= {Rebase.SURPLUS, Rebase.LOST_EVENTS}
                assert audit.rebases.keys() <= allowed, (name, audit)
    finally:
        operations.close()
    assert len(operations.done) > 20


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_every_loss_is_found_in_random_operations(redis_: Server, library: str, seed: int) -> None:
    """Exactly the jobs that were deleted, within two polls, and without any rebase."""
    operations = started(redis_, library, seed, *WITHOUT_EVENT)
    chosen = random.Random(seed)  # noqa: S311 - to repeat a failure
    lost: Counter[str] = Counter()
    try:
        audited = Audited(redis_, operations)
        audited.run()
        for _ in range(OPERATIONS // 40):
            queue = chosen.choice(QUEUES)
            lost[queue] += delete_jobs(redis_.client(), queue, chosen)
            audited.run(10)
            audited.run(10)
            found = {name: audit.unaccounted for name, audit in audited.audits.items()}
            assert found == {name: lost[name] for name in QUEUES}, operations.done
            assert {*audited.audits["mail"].rebases, *audited.audits["children"].rebases} == set()
    finally:
        operations.close()
    assert sum(lost.values()) > 0


def delete_jobs(client: redis.Redis, queue: str, chosen: random.Random) -> int:
    """Delete some jobs without BullMQ; returns their number."""
    base = f"bull:{queue}:"

    def delete(pipeline: Any) -> None:
        delayed = pipeline.zrange(base + "delayed", 0, -1)
        ready = pipeline.lrange(base + "wait", 0, -1)
        active = pipeline.lrange(base + "active", 0, -1)
        pipeline.multi()
        number = 0
        for kind in chosen.sample(("wait", "one ready", "delayed", "all delayed", "active"), 5):
            number = delete_kind(pipeline, base, kind, chosen, ready, delayed, active)
            if number:
                break
        counted.append(number)

    counted: list[int] = []
    client.transaction(delete, base + "delayed", base + "wait", base + "active")
    return counted[-1]


def delete_kind(
    pipeline: Any,
    base: str,
    kind: str,
    chosen: random.Random,
    ready: list[bytes],
    delayed: list[bytes],
    active: list[bytes],
) -> int:
    """Delete jobs in one way; returns their number, 0 if there are none."""
    if kind == "wait":
        pipeline.delete(base + "wait")
        return len(ready)
    if kind == "all delayed":
        pipeline.delete(base + "delayed")
        return len(delayed)
    if kind == "delayed" and delayed:
        pipeline.zrem(base + "delayed", chosen.choice(delayed))
        return 1
    jobs, state = (active, "active") if kind == "active" else (ready, "wait")
    if not jobs:
        return 0
    job = chosen.choice(jobs).decode()
    pipeline.lrem(base + state, 0, job)
    if kind == "active":
        pipeline.delete(base + job, f"{base}{job}:lock")
    # a ready job keeps its hash: without it, and if the others are started meanwhile, it looks like
    # one that `drain` removed
    return 1
