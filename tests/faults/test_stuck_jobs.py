"""Stuck and lost jobs of live BullMQ: each kind is named with its proof, and clears when cured."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from subprocess import Popen
from typing import Any

import pytest

from tests.support.actors import Actors, part
from tests.support.daemon import Daemon, daemon
from tests.support.pages import value
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

LIBRARIES = ("bullmq5", "bullmq6")
LONG_MS = 600_000
SHORT_LOCK = {"lockDuration": 1500, "skipStalledCheck": True}
LOSES_JOBS = {
    "lockDuration": 1000,
    "stalledInterval": 500,
    "maxStalledCount": 1000,
    "skipLockRenewal": True,
}
"""The lock of each job expires, so that the worker's own sweep finds it stalled."""
HOUR_AGO = {"timestamp": int(time.time() * 1000) - 3_600_000}
DEDUPLICATION = {"deduplication": {"id": "order"}}
YEARLY = {"pattern": "0 0 1 1 *"}


@dataclass
class Stage:
    """An exporter on a server; each library has a queue for each kind, all stuck from the start."""

    server: Server
    exporter: Daemon
    act: Actors
    poisoned: dict[str, Popen[str]]
    """The worker that loses its jobs, by library."""

    def stuck(self, queue: str) -> list[dict[str, Any]]:
        """The stuck jobs of a queue in `/health/queues`."""
        views = self.exporter.get("/health/queues").json["queues"]
        return [job for view in views if view["queue"] == queue for job in view["stuck"]]

    def named(self, queue: str) -> dict[str, Any]:
        """The queue's only stuck job."""
        (job,) = wait_for(lambda: self.stuck(queue), f"{queue} has a stuck job")
        return dict(job)

    def clears(self, queue: str, kind: str) -> None:
        """Wait until the metric is 0 again."""
        name = "bullmq_queue_stuck_jobs"
        wait_for(
            lambda: value(self.exporter.samples(), name, queue=queue, kind=kind) == 0,
            f"{queue} is cured",
        )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        server = stack.enter_context(valkey())
        act = Actors(server.port)
        stack.callback(act.close)
        poisoned = {}
        for library in LIBRARIES:
            poisoned[library] = make_stuck(server, act, library)
        folder = tmp_path_factory.mktemp("stuck")
        config = f"connections: {{api: {{url: '{server.url}'}}}}\npoll: {{interval_seconds: 1}}\n"
        yield Stage(server, stack.enter_context(daemon(folder, config)), act, poisoned)


def make_stuck(server: Server, act: Actors, library: str) -> Popen[str]:
    """A parent of failed children, a job of a killed worker, a scheduler without its next job, a
    due job without a worker, one that is always overtaken, and one that stalls again and again; and
    jobs to be deleted later."""
    parent, active, scheduler, delayed, priority, poison, deduplication, lost = (
        f"{kind}-{library}"
        for kind in ("parent", "active", "scheduler", "delayed", "priority", "poison")
        + ("deduplication", "lost")
    )
    killed = act.play(
        part("worker", f"{parent}-children", failing=1),
        part("flow", parent, children=2),
        part("worker", active, ms=LONG_MS, options=SHORT_LOCK),
        part("producer", active, count=1),
        part("admin", scheduler, call="upsertJobScheduler", args=["tick", YEARLY]),
        part("producer", delayed, count=1, options={"delay": 1}),
        part("producer", priority, count=1, options={"priority": 100} | HOUR_AGO),
        part("producer", poison, count=1),
        part("producer", deduplication, count=1, options=DEDUPLICATION),
        part("producer", lost, count=3, options={"delay": LONG_MS}),
        library=library,
    )
    client = server.client()
    wait_for(lambda: client.zcard(f"bull:{parent}-children:failed") == 2, "both children failed")
    wait_for(lambda: client.llen(f"bull:{active}:active") == 1, "the job is active")
    killed.send_signal(signal.SIGKILL)
    act.play(
        part("producer", priority, every=100, options={"priority": 1}),
        part("worker", priority, ms=200),
        library=library,
    )
    poisoned = act("worker", poison, library, ms=LONG_MS, concurrency=1000, options=LOSES_JOBS)
    (job,) = client.zrange(f"bull:{scheduler}:delayed", 0, -1)
    client.delete(f"bull:{scheduler}:delayed", f"bull:{scheduler}:{job.decode()}")
    # as if the year was over
    client.zadd(f"bull:{scheduler}:repeat", {"tick": 1_700_000_000_000})
    return poisoned


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_parent_of_failed_children(stage: Stage, library: str) -> None:
    queue = f"parent-{library}"
    job = stage.named(queue)
    (parent,) = stage.server.client().zrange(f"bull:{queue}:waiting-children", 0, -1)
    assert (job["kind"], job["id"]) == ("parent", parent.decode())
    assert job["proof"] == "of its children, 2 failed for good"
    stage.act("admin", f"{queue}-children", library=library, call="retryJobs")
    stage.clears(queue, "parent")


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_job_of_a_killed_worker(stage: Stage, library: str) -> None:
    queue = f"active-{library}"
    job = stage.named(queue)
    assert (job["kind"], job["id"]) == ("active", "1")
    assert job["proof"] == "no worker holds its lock, and none looks for such jobs"
    stage.act("worker", queue, library=library, options={"stalledInterval": 500})
    stage.clears(queue, "active")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_scheduler_without_its_next_job(stage: Stage, library: str) -> None:
    queue = f"scheduler-{library}"
    job = stage.named(queue)
    assert (job["kind"], job["id"]) == ("scheduler", "tick")
    assert job["proof"].startswith("its next job, repeat:tick:1700000000000,")
    stage.act(
        *("admin", queue, library), call="upsertJobScheduler", args=["tick", {"every": 3_600_000}]
    )
    stage.clears(queue, "scheduler")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_due_job_that_nobody_promotes(stage: Stage, library: str) -> None:
    queue = f"delayed-{library}"
    job = stage.named(queue)
    assert (job["kind"], job["id"]) == ("delayed", "1")
    assert job["proof"] == "it is due, and no worker has promoted it"
    stage.act("worker", queue, library)
    stage.clears(queue, "delayed")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_job_that_is_always_overtaken(stage: Stage, library: str) -> None:
    queue = f"priority-{library}"
    job = stage.named(queue)
    assert (job["kind"], job["id"]) == ("priority", "1")
    assert job["proof"].startswith("its priority is 100, and the next job, ")
    stage.act("admin", queue, library, call="remove", args=["1"])
    stage.clears(queue, "priority")


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_job_that_stalls_again_and_again(stage: Stage, library: str) -> None:
    queue = f"poison-{library}"
    job = stage.named(queue)
    assert (job["kind"], job["id"]) == ("poison", "1")
    assert job["proof"].startswith("it stalled ")
    stage.poisoned[library].kill()
    stage.act("admin", queue, library, call="obliterate", args=[{"force": True}])
    wait_for(lambda: not stage.stuck(queue), "no stuck job")


def test_a_deduplication_key_without_a_job(stage: Stage) -> None:
    """BullMQ 6 replaces such a key by itself, and then nothing is stuck."""
    client = stage.server.client()
    queue, replaced = (f"deduplication-{library}" for library in LIBRARIES)
    for library in reversed(LIBRARIES):
        base = f"bull:deduplication-{library}"
        client.delete(f"{base}:1", f"{base}:wait")
        stage.act("producer", f"deduplication-{library}", library, count=1, options=DEDUPLICATION)
    job = stage.named(queue)
    assert (job["kind"], job["id"]) == ("deduplication", "order")
    assert job["proof"] == "its key has no expiry, and its job 1 is gone"
    assert (client.llen(f"bull:{replaced}:wait"), stage.stuck(replaced)) == (1, [])
    stage.act("admin", queue, "bullmq5", call="removeDeduplicationKey", args=["order"])
    stage.clears(queue, "deduplication")


@pytest.mark.parametrize("library", LIBRARIES)
def test_deleted_jobs(stage: Stage, library: str) -> None:
    queue, client = f"lost-{library}", stage.server.client()

    def missing(number: int) -> bool:
        found = value(stage.exporter.samples(), "bullmq_queue_jobs_unaccounted", queue=queue)
        return found == number

    wait_for(lambda: missing(0), "the audit has begun")
    ((job, score),) = client.zpopmin(f"bull:{queue}:delayed")
    wait_for(lambda: missing(1), "a job is missing")
    assert wait_for(lambda: vanished(stage, queue), "a finding").startswith("1 job vanished ")
    client.zadd(f"bull:{queue}:delayed", {job: score})
    wait_for(lambda: missing(0) and not vanished(stage, queue), "the job is back")


def vanished(stage: Stage, queue: str) -> str:
    """What the finding about vanished jobs of a queue says; empty without one."""
    found = stage.exporter.get("/health/queues").json["findings"]
    details = {each["headline"]: each["detail"] for each in found}
    return str(details.get(f"Jobs vanished: bull:{queue} on api", ""))
