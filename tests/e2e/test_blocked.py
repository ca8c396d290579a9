"""Why nothing moves, with live BullMQ: each reason, and none where all is well."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.actors import Act
from tests.support.daemon import Daemon, command, daemon, environment
from tests.support.pages import every, value
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for

BLOCKED_AFTER = 2.0
CONFIG = """
poll: {{interval_seconds: 0.25, stale_after_seconds: 2, blocked_after_seconds: 2}}
queues: {{discovery_interval_seconds: 0.5}}
connections: {{{connections}}}
"""


@pytest.fixture
def running(server: Server, tmp_path: Path) -> Iterator[Daemon]:
    """An exporter with `blocked_after` of two seconds."""
    with daemon(tmp_path, CONFIG.format(connections=f'api: {{url: "{server.url}"}}')) as found:
        yield found


def reasons(found: Daemon) -> dict[str, str]:
    """Queue → reason."""
    blocked = every(found.samples(), "bullmq_queue_blocked")
    return {dict(labels)["queue"]: dict(labels)["reason"] for _, labels in blocked}


def becomes(found: Daemon, reason: str, queue: str = "mail") -> None:
    wait_for(lambda: reasons(found).get(queue) == reason, reason)


def clears(found: Daemon) -> None:
    wait_for(lambda: not reasons(found), "nothing is blocked any more")


def test_no_workers_and_then_one(running: Daemon, act: Act) -> None:
    act("producer", count=3)
    wait_for(lambda: value(running.samples(), "bullmq_queue_workers") == 0)
    assert not reasons(running)  # new work is not blocked work
    becomes(running, "no_workers")
    page = running.get("/health/queues").json
    assert page["verdict"].startswith("1 of 1 queue blocked: mail (no_workers: no worker is")
    act("worker")
    clears(running)
    assert value(running.samples(), "bullmq_queue_workers") == 1
    assert running.get("/health/queues").json["verdict"] == "1 queue, none blocked"


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_paused(running: Daemon, act: Act, library: str) -> None:
    act("worker", library=library)
    act("admin", library=library, call="pause")
    act("producer", library=library, count=3)
    becomes(running, "paused")
    act("admin", library=library, call="resume")
    clears(running)


def test_a_workers_rate_limit(running: Daemon, act: Act) -> None:
    act("worker", limiter={"max": 1, "duration": 60_000})
    act("producer", count=3)
    becomes(running, "rate_limited")
    left = value(running.samples(), "bullmq_queue_rate_limit_remaining_seconds")
    assert left is not None
    assert 40 < left <= 60


def test_a_manual_rate_limit(running: Daemon, act: Act) -> None:
    """A worker without a limit of its own does not look at it."""
    act("admin", call="rateLimit", args=[30_000])
    act("worker", limiter={"max": 1000, "duration": 1000})
    act("producer", count=3)
    becomes(running, "rate_limited")


def test_global_concurrency(running: Daemon, act: Act) -> None:
    act("admin", call="setGlobalConcurrency", args=[1])
    act("worker", concurrency=5, ms=60_000)
    act("producer", count=3)
    becomes(running, "concurrency_limit")
    assert value(running.samples(), "bullmq_queue_concurrency_limit") == 1


def test_a_frozen_worker(running: Daemon, act: Act) -> None:
    worker = act("worker")
    worker.send_signal(signal.SIGSTOP)
    try:
        act("producer", count=3)
        becomes(running, "workers_idle")
        assert value(running.samples(), "bullmq_queue_workers") == 1
    finally:
        worker.send_signal(signal.SIGCONT)
    clears(running)


def test_a_worker_that_is_busy_for_long_is_no_fault(running: Daemon, act: Act) -> None:
    act("worker", ms=60_000)
    act("producer", count=3)
    act("producer", count=1, options={"delay": 100})
    overdue = "bullmq_queue_delayed_overdue_jobs"
    wait_for(lambda: value(running.samples(), overdue) == 1, "an overdue delayed job")
    late = value(running.samples(), "bullmq_queue_delayed_overdue_seconds")
    assert late is not None
    assert 5 <= late < 10
    assert not reasons(running)
    assert (value(running.samples(), "bullmq_queue_oldest_active_seconds") or 0) > 3


def test_a_scheduler_without_a_worker(running: Daemon, act: Act) -> None:
    act("admin", call="upsertJobScheduler", args=["tick", {"every": 500}, {"name": "tick"}])
    worker = act("worker")
    wait_for(lambda: value(running.samples(), "bullmq_queue_schedulers") == 1)
    assert value(running.samples(), "bullmq_queue_schedulers_overdue") == 0
    worker.kill()
    name = "bullmq_queue_schedulers_overdue"
    wait_for(lambda: value(running.samples(), name) == 1, "an overdue scheduler")
    assert (value(running.samples(), "bullmq_queue_schedulers_overdue_seconds") or 0) >= 5


def test_the_founding_case(real_server: Server, act: Act, tmp_path: Path) -> None:
    """An API adds jobs, the worker waits for ever: they reach different Redis servers."""
    with ExitStack() as stack:
        other = stack.enter_context(valkey())
        connections = f'api: {{url: "{real_server.url}"}}, worker: {{url: "{other.url}"}}'
        running = stack.enter_context(daemon(tmp_path, CONFIG.format(connections=connections)))
        worker = act("worker", port=other.port)
        began = time.monotonic()
        act("producer", port=real_server.port, count=3)
        name = "bullmq_worker_isolation"
        wait_for(lambda: every(running.samples(), name), "the isolation")
        assert time.monotonic() - began >= BLOCKED_AFTER - 0.5
        labels = {"queue": "mail", "producer_connection": "api", "worker_connection": "worker"}
        assert value(running.samples(), name, **labels) == 1
        assert reasons(running) == {"mail": "worker_isolated"}
        page = running.get("/health/queues").json
        assert page["isolations"] == [
            {"prefix": "bull", "queue": "mail", "producer": "api", "worker": "worker"}
        ]
        assert (
            "its workers listen on the Redis of worker; give both the same URL" in page["verdict"]
        )
        # the worker is pointed right
        worker.kill()
        act("worker", port=real_server.port)
        wait_for(lambda: not every(running.samples(), name), "the isolation is over")
        clears(running)


def test_a_healthy_busy_system_raises_no_alarm(running: Daemon, act: Act) -> None:
    """A minute of traffic, with more work than the workers can do at once."""
    act("worker", queue="fast", concurrency=5, ms=5)
    act("producer", queue="fast", every=3)
    act("worker", queue="slow", ms=900)
    act("producer", queue="slow", every=700)
    act("worker", queue="failing", ms=20, failing=0.5)
    backoff = {"attempts": 3, "backoff": {"type": "fixed", "delay": 300}}
    act("producer", queue="failing", every=50, options=backoff)
    act("worker", queue="urgent", ms=50)
    act("producer", queue="urgent", every=60, options={"priority": 3, "removeOnComplete": True})
    act("producer", queue="urgent", every=150, options={"lifo": True, "removeOnComplete": True})
    wait_for(lambda: len(every(running.samples(), "bullmq_queue_workers")) == 4)
    until = time.monotonic() + 60
    seen_waiting = 0.0
    while time.monotonic() < until:
        samples = running.samples()
        assert not every(samples, "bullmq_queue_blocked")
        waiting = value(samples, "bullmq_queue_jobs", queue="slow", state="waiting")
        seen_waiting = max(seen_waiting, waiting or 0)
        time.sleep(0.25)
    assert seen_waiting > 3  # there was work that waited


def test_ages_agree_with_bullmqs_own_times(running: Daemon, act: Act, server: Server) -> None:
    act("producer", count=1)
    act("producer", count=1, options={"priority": 2})
    time.sleep(1)
    client = server.client()
    created = min(float(client.hget(f"bull:mail:{job}", "timestamp")) for job in (1, 2))
    shown = value(running.samples(), "bullmq_queue_oldest_waiting_seconds")
    assert shown is not None
    assert abs(shown - (time.time() - created / 1000)) < 0.25 + 0.2
    act("worker", ms=30_000)
    wait_for(lambda: client.llen("bull:mail:active") == 1)
    time.sleep(1)
    job = client.lindex("bull:mail:active", -1).decode()
    started = float(client.hget(f"bull:mail:{job}", "processedOn"))
    shown = value(running.samples(), "bullmq_queue_oldest_active_seconds")
    assert shown is not None
    assert abs(shown - (time.time() - started / 1000)) < 0.25 + 0.2


class TestQueuesCommand:
    def test_the_table(self, act: Act, server: Server) -> None:
        act("producer", count=3)
        act("producer", queue="images", count=1)
        act("worker", queue="images")
        done = command("queues", "--once", "--sort", "ready", REDIS_URL=server.url)
        assert done.returncode == 0
        lines = done.stdout.splitlines()
        heads = "QUEUE WAITING PRIO ACTIVE DELAYED CHILDREN DONE FAILED OLDEST WORKERS REASON"
        assert lines[0].split() == heads.split()
        assert lines[1].split()[:2] == ["bull:mail", "3"]
        assert lines[1].split()[-2:] == ["0", "no_workers"]
        assert lines[2].split()[-4:] == ["-", "1", "(1", "idle)"]
        assert lines[-1].startswith("1 of 2 queues blocked: mail (no_workers: no worker")
        assert "\x1b" not in done.stdout  # not a terminal

    def test_json_filter_and_blocked(self, act: Act, server: Server) -> None:
        act("producer", count=3)
        act("producer", queue="images", count=1)
        done = command("queues", "--json", "--filter", "im*", REDIS_URL=server.url)
        found = json.loads(done.stdout)
        assert [view["queue"] for view in found["queues"]] == ["images"]
        assert found["queues"][0]["reason"] == "no_workers"
        act("worker", queue="images")
        done = command("queues", "--json", "--blocked", REDIS_URL=server.url)
        assert [view["queue"] for view in json.loads(done.stdout)["queues"]] == ["mail"]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_live_table_ends_with_a_signal(self, server: Server, number: int) -> None:
        server.client().set("bull:mail:id", 1)
        process = subprocess.Popen(
            [sys.executable, "-m", "exporter", "queues", "--watch"],
            env=environment({"REDIS_URL": server.url}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("QUEUE")
        process.send_signal(number)
        _, err = process.communicate(timeout=5)
        assert (process.returncode, err) == (0, "")

    def test_where_redis_is_not_there(self) -> None:
        done = command("queues", "--once", REDIS_URL="redis://127.0.0.1:1")
        assert done.returncode == 1
        assert done.stdout.endswith("0 queues, none blocked\n")
        assert "Connection refused" in done.stderr
