"""Counters and durations equal those of live producers and workers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.support.actors import Actors, part
from tests.support.daemon import Daemon, daemon
from tests.support.pages import value
from tests.support.polls import wait_for_polls
from tests.support.requirements import node_modules
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

CONFIG = """
poll: {{interval_seconds: 0.3, stale_after_seconds: 5}}
queues: {{discovery_interval_seconds: 0.5}}
connections: {{api: {{url: "{url}"}}}}
"""
KINDS = ("added", "started", "completed", "failed", "retried")
CONCURRENCY = 3
"""Concurrency of the traffic's worker."""


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    """A server on which each test has its own queue."""
    with valkey() as found:
        yield found


@pytest.fixture(scope="module")
def running(redis: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with daemon(tmp_path_factory.mktemp("events"), CONFIG.format(url=redis.url)) as found:
        yield found


@pytest.fixture
def act(redis: Server) -> Iterator[Actors]:
    """Starts producers and workers on that server."""
    actors = Actors(redis.port)
    yield actors
    actors.close()


def counted(running: Daemon, queue: str) -> dict[str, int]:
    samples = running.samples()
    kinds = (*KINDS, "stalled")
    found = {kind: value(samples, f"bullmq_queue_jobs_{kind}_total", queue=queue) for kind in kinds}
    return {kind: int(count) for kind, count in found.items() if count is not None}


def wait_until_followed(running: Daemon, queue: str) -> None:
    """Wait until the queue is discovered and its stream is followed."""
    read = "bullmq_queue_events_read_total"
    wait_for(lambda: value(running.samples(), read, queue=queue) is not None, "discovered")


def run_traffic(running: Daemon, queue: str, *arguments: str) -> dict[str, float]:
    """The traffic's own counts, and its `seconds`; it starts once the exporter has the queue."""
    process = subprocess.Popen(
        [*arguments, queue], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        wait_until_followed(running, queue)
        began = time.monotonic()
        process.stdin.write("go\n")
        process.stdin.flush()
        found: dict[str, float] = json.loads(process.stdout.readline())
        return found | {"seconds": time.monotonic() - began}
    finally:
        process.kill()
        process.wait()


def assert_equal_counts(running: Daemon, queue: str, own: dict[str, float]) -> None:
    expected = {kind: int(own[kind]) for kind in KINDS}

    def found() -> dict[str, int]:
        return {k: count for k, count in counted(running, queue).items() if k in expected}

    wait_for(lambda: found() == expected, f"{expected}, not {found()}")
    samples = running.samples()
    assert value(samples, "bullmq_queue_events_lost_total", queue=queue) == 0
    assert value(samples, "bullmq_queue_jobs_stalled_total", queue=queue) == 0
    run = {
        outcome: value(samples, "bullmq_queue_job_run_seconds_count", outcome=outcome, queue=queue)
        for outcome in ("completed", "failed", "retried")
    }
    assert run == {outcome: expected[outcome] for outcome in run}
    total = value(samples, "bullmq_queue_job_run_seconds_sum", outcome="completed", queue=queue)
    assert total is not None
    # a run starts before the worker reads its clock and ends after it; both are cut to 1 ms
    rounded = 0.002 * expected["completed"]
    assert own["completedMs"] / 1000 - rounded < total < CONCURRENCY * own["seconds"]
    waits = value(samples, "bullmq_queue_job_wait_seconds_count", queue=queue)
    assert waits == expected["started"]
    wait = value(samples, "bullmq_queue_job_wait_seconds_sum", queue=queue)
    assert wait is not None
    assert 0 < wait < waits * own["seconds"]


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_counters_of_bullmq_for_node(running: Daemon, redis: Server, library: str) -> None:
    script = str(node_modules().parent / "traffic.mjs")
    assert_equal_counts(
        running, library, run_traffic(running, library, "node", script, library, str(redis.port))
    )


def test_counters_of_bullmq_for_python(running: Daemon, redis: Server) -> None:
    module = ("-m", "tests.e2e.python_traffic")
    queues = "bullmq_exporter_queues"
    wait_for(lambda: value(running.samples(), queues) is not None, "the first discovery")
    # it adds one job before the queue is discovered; that job counts, because the queue is new
    own = run_traffic(running, "python", sys.executable, *module, str(redis.port))
    assert_equal_counts(running, "python", own)


def test_the_job_of_a_killed_worker_stalls(running: Daemon, act: Actors) -> None:
    queue = "stalls"
    act("admin", queue=queue, call="waitUntilReady")
    wait_until_followed(running, queue)
    # only the second worker checks for stalled jobs
    short = {"lockDuration": 1000, "skipStalledCheck": True}
    first = act("worker", queue=queue, ms=3_600_000, options=short)
    act("producer", queue=queue, count=1)
    wait_for(lambda: counted(running, queue).get("started") == 1, "the job is started")
    first.send_signal(signal.SIGKILL)
    act("worker", queue=queue, ms=10, options={"stalledInterval": 1000})
    expected = {"added": 1, "started": 2, "completed": 1, "failed": 0, "retried": 0, "stalled": 1}
    wait_for(
        lambda: counted(running, queue) == expected,
        f"{expected}, not {counted(running, queue)}",
    )
    runs = value(
        running.samples(), "bullmq_queue_job_run_seconds_count", outcome="completed", queue=queue
    )
    assert runs == 1, "the lost run has no duration"


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_adds_that_are_ignored(running: Daemon, act: Actors, library: str) -> None:
    queue = f"duplicates-{library}"
    act("admin", queue=queue, library=library, call="waitUntilReady")
    wait_until_followed(running, queue)
    replaced = {"id": "later", "ttl": 600_000, "replace": True, "extend": True}
    parts = (
        # one is added, and four are ignored
        part("producer", queue, count=5, options={"jobId": "same"}),
        # one is added, and three are ignored
        part("producer", queue, count=4, options={"deduplication": {"id": "once"}}),
        # three are added, of which two replace the one before
        part("producer", queue, count=3, options={"delay": 600_000, "deduplication": replaced}),
    )
    act.play(*parts, library=library)
    act("worker", queue=queue, library=library)
    wait_for(lambda: counted(running, queue).get("completed") == 2, "both are completed")
    # it is kept under its ID
    act.play(parts[0], library=library)
    names = ("added", "completed", "duplicated", "deduplicated")
    expected = dict(zip(names, (5, 2, 9, 5), strict=True))

    def found() -> dict[str, float | None]:
        samples = running.samples()
        return {
            name: value(samples, f"bullmq_queue_jobs_{name}_total", queue=queue) for name in names
        }

    wait_for(lambda: found() == expected, f"{expected}, not {found()}")


def test_counters_of_an_obliterated_queue(running: Daemon, act: Actors) -> None:
    queue = "obliterated"
    act("admin", queue=queue, call="waitUntilReady")
    wait_until_followed(running, queue)
    act("producer", queue=queue, count=5)
    wait_for(lambda: counted(running, queue).get("added") == 5, "five jobs")
    act("admin", queue=queue, call="obliterate", args=[{"force": True}])
    wait_for(lambda: not counted(running, queue), "the queue is gone")
    # the queue may have been forgotten in between; then it is new and starts at 0
    act("producer", queue=queue, count=2)
    wait_for(lambda: counted(running, queue), "it is back")
    wait_for_polls(running, "api")
    before = counted(running, queue)["added"]
    assert before in (0, 2, 7)
    act("producer", queue=queue, count=3)
    wait_for(lambda: counted(running, queue)["added"] == before + 3, "three more")
    assert value(running.samples(), "bullmq_queue_events_lost_total", queue=queue) == 0
