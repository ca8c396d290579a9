"""Counters and durations against what live producers and workers counted themselves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.actors import Act
from tests.support.daemon import Daemon, daemon
from tests.support.pages import value
from tests.support.requirements import node_modules
from tests.support.servers import Server
from tests.support.waiting import wait_for

CONFIG = """
poll: {{interval_seconds: 0.3, stale_after_seconds: 3}}
queues: {{discovery_interval_seconds: 0.5}}
connections: {{api: {{url: "{url}"}}}}
"""
KINDS = ("added", "started", "completed", "failed", "retried")


@pytest.fixture
def running(server: Server, tmp_path: Path) -> Iterator[Daemon]:
    with daemon(tmp_path, CONFIG.format(url=server.url)) as found:
        yield found


def counted(running: Daemon, queue: str = "traffic") -> dict[str, int]:
    samples = running.samples()
    kinds = (*KINDS, "stalled")
    found = {kind: value(samples, f"bullmq_jobs_{kind}_total", queue=queue) for kind in kinds}
    return {kind: int(count) for kind, count in found.items() if count is not None}


def run_traffic(running: Daemon, *arguments: str) -> dict[str, float]:
    """The traffic's own count; it begins when the exporter knows the queue."""
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        wait_for(lambda: value(running.samples(), "bullmq_queue_paused") == 0, "discovered")
        time.sleep(0.7)  # and its stream looked up
        process.stdin.write("go\n")
        process.stdin.flush()
        found: dict[str, float] = json.loads(process.stdout.readline())
        return found
    finally:
        process.kill()
        process.wait()


def agree(running: Daemon, own: dict[str, float], unseen_waits: int = 0) -> None:
    expected = {kind: int(own[kind]) for kind in KINDS}

    def found() -> dict[str, int]:
        return {kind: count for kind, count in counted(running).items() if kind in expected}

    wait_for(lambda: found() == expected, f"{expected}, not {found()}")
    samples = running.samples()
    assert value(samples, "bullmq_events_lost_total") == 0
    assert value(samples, "bullmq_jobs_stalled_total") == 0
    run = {
        outcome: value(samples, "bullmq_job_run_seconds_count", outcome=outcome)
        for outcome in ("completed", "failed", "retried")
    }
    assert run == {outcome: expected[outcome] for outcome in run}
    total = value(samples, "bullmq_job_run_seconds_sum", outcome="completed")
    assert total is not None
    # the workers' own clocks, within 50 ms a job
    assert abs(total - own["completedMs"] / 1000) < 0.05 * expected["completed"]
    waits = value(samples, "bullmq_job_wait_seconds_count")
    assert waits == expected["started"] - unseen_waits
    wait = value(samples, "bullmq_job_wait_seconds_sum")
    assert wait is not None
    assert 0 < wait < 60


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_node(running: Daemon, server: Server, library: str) -> None:
    script = str(node_modules().parent / "traffic.mjs")
    agree(running, run_traffic(running, "node", script, library, str(server.port)))


def test_python(running: Daemon, server: Server) -> None:
    module = "tests.e2e.python_traffic"
    own = run_traffic(running, sys.executable, "-m", module, str(server.port))
    # one job was waiting before the exporter saw the queue: its wait cannot be known
    agree(running, own, unseen_waits=1)


def test_a_worker_that_is_killed_stalls_its_job(running: Daemon, act: Act) -> None:
    act("admin", queue="traffic", call="waitUntilReady")
    wait_for(lambda: value(running.samples(), "bullmq_queue_paused") == 0, "discovered")
    short = {"lockDuration": 1000, "stalledInterval": 1000}
    first = act("worker", queue="traffic", ms=60_000, options=short)
    act("producer", queue="traffic", count=1)
    wait_for(lambda: counted(running).get("started") == 1, "the job is started")
    first.send_signal(signal.SIGKILL)
    act("worker", queue="traffic", ms=10, options=short)
    expected = {"added": 1, "started": 2, "completed": 1, "failed": 0, "retried": 0, "stalled": 1}
    wait_for(lambda: counted(running) == expected, f"{expected}, not {counted(running)}")
    # the run that died has no duration
    assert value(running.samples(), "bullmq_job_run_seconds_sum", outcome="completed") < 1


def test_obliterate(running: Daemon, act: Act) -> None:
    act("admin", queue="traffic", call="waitUntilReady")
    wait_for(lambda: value(running.samples(), "bullmq_queue_paused") == 0, "discovered")
    act("producer", queue="traffic", count=5)
    wait_for(lambda: counted(running).get("added") == 5, "five jobs")
    act("admin", queue="traffic", call="obliterate", args=[{"force": True}])
    wait_for(lambda: not counted(running), "the queue is gone")
    # the queue may have been forgotten meanwhile; then it is a new one and begins at 0
    act("producer", queue="traffic", count=2)
    wait_for(lambda: counted(running), "it is back")
    time.sleep(1)
    before = counted(running)["added"]
    assert before in (0, 2, 7)
    act("producer", queue="traffic", count=3)
    wait_for(lambda: counted(running)["added"] == before + 3, "three more")
    assert value(running.samples(), "bullmq_events_lost_total") == 0
