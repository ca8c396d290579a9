"""Why nothing moves, with live BullMQ: each reason, and none where all is well."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.acl import published_acls
from tests.support.actors import Actors, part
from tests.support.command import command
from tests.support.daemon import Daemon, daemon, environment
from tests.support.pages import Samples, every, value
from tests.support.servers import Server, valkey
from tests.support.waiting import LIMIT_SECONDS, wait_for

BLOCKED_AFTER = 2.0
CONFIG = """
poll: {{interval_seconds: 0.25, stale_after_seconds: 10, blocked_after_seconds: 2}}
queues: {{discovery_interval_seconds: 0.5}}
connections: {{{connections}}}
"""
LONG_MS = 600_000
"""Longer than any test."""
POLLS = 40
"""A healthy system is watched for: five times as long as it takes to count as blocked."""
NO_SWEEP = {"skipStalledCheck": True}
"""A worker that does not write `stalled-check`, which is believed for 75 s after its end."""
SHORT_LOCK = {"lockDuration": 1500}
"""The lock of a job expires soon after its worker was killed."""
LAST_SUCCESS = "bullmq_exporter_collector_last_success_timestamp_seconds"
QUEUES_SECONDS = "bullmq_exporter_collector_duration_seconds"


@dataclass
class Stage:
    """An exporter on a server where each case has a queue of its own, all at the same time."""

    server: Server
    running: Daemon
    act: Actors
    frozen: subprocess.Popen[str]
    """The worker of `frozen`, stopped by SIGSTOP."""
    scheduled: subprocess.Popen[str]
    """The worker of `scheduled`."""
    restricted: Daemon
    """An exporter without CLIENT LIST."""

    def value(self, name: str, queue: str, **labels: str) -> float | None:
        """The newest value of a queue's metric."""
        return value(self.running.samples(), name, queue=queue, **labels)

    def becomes(self, queue: str, reason: str) -> None:
        wait_for(lambda: reasons(self.running).get(queue) == reason, f"{queue} is {reason}")

    def clears(self, queue: str) -> None:
        wait_for(lambda: queue not in reasons(self.running), f"{queue} is not blocked any more")

    def view(self, queue: str) -> dict[str, Any]:
        """What `/health/queues` says of it."""
        views = self.running.get("/health/queues").json["queues"]
        (found,) = (view for view in views if view["queue"] == queue)
        return dict(found)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The work of all cases is ready before their tests begin, so that they wait side by side."""
    with ExitStack() as stack:
        server = stack.enter_context(valkey())
        act = Actors(server.port)
        stack.callback(act.close)
        frozen = act("worker", "frozen")
        frozen.send_signal(signal.SIGSTOP)
        scheduler = ["tick", {"every": 500}, {"name": "tick"}]
        scheduled = act.play(
            part("admin", "scheduled", call="upsertJobScheduler", args=scheduler),
            part("worker", "scheduled"),
        )
        lose_workers(server, act, "killed", signal.SIGKILL)
        lose_workers(server, act, "stopped", signal.SIGSTOP)
        running = stack.enter_context(exporter(tmp_path_factory, server.url))
        user = ("monitor", "on", ">password", *published_acls()[0], "-client|list")
        server.client().execute_command("ACL", "SETUSER", *user)
        login = server.url.replace("://", "://monitor:password@")
        restricted = stack.enter_context(exporter(tmp_path_factory, login))
        paused = ("worker", {}), ("admin", {"call": "pause"}), ("producer", {"count": 3})
        act.play(*(part(role, "paused5", **more) for role, more in paused), library="bullmq5")
        act.play(
            *(part(role, "paused6", **more) for role, more in paused),
            part("producer", "orphan", count=3),
            part("producer", "frozen", count=3),
            part("worker", "limited", limiter={"max": 1, "duration": LONG_MS}),
            part("producer", "limited", count=3),
            # a worker without a limit of its own does not look at it
            part("admin", "throttled", call="rateLimit", args=[LONG_MS]),
            part("worker", "throttled", limiter={"max": 1000, "duration": 1000}),
            part("producer", "throttled", count=3),
            part("admin", "narrow", call="setGlobalConcurrency", args=[1]),
            part("worker", "narrow", concurrency=5, ms=LONG_MS),
            part("producer", "narrow", count=3),
            part("worker", "long", ms=LONG_MS),
            part("producer", "long", count=3),
            part("producer", "long", count=1, options={"delay": 100}),
        )
        yield Stage(server, running, act, frozen, scheduled, restricted)


def lose_workers(server: Server, act: Actors, fate: str, number: int) -> None:
    """Send a signal to workers that hold a job each, in queues with a limit."""
    narrow, limited = f"concurrency-{fate}", f"rate-{fate}"
    more = {"ms": LONG_MS, "options": SHORT_LOCK | NO_SWEEP}
    workers = act.play(
        part("admin", narrow, call="setGlobalConcurrency", args=[1]),
        part("worker", narrow, **more),
        part("worker", limited, limiter={"max": 1000, "duration": LONG_MS}, **more),
        part("producer", narrow, count=5),
        part("producer", limited, count=5),
    )
    client = server.client()
    for queue in (narrow, limited):
        wait_for(lambda key=f"bull:{queue}:active": client.llen(key) == 1, "a job is held")
    workers.send_signal(number)


@contextmanager
def exporter(folders: pytest.TempPathFactory, url: str) -> Iterator[Daemon]:
    """An exporter with one connection, `api`."""
    config = CONFIG.format(connections=f'api: {{url: "{url}"}}')
    with daemon(folders.mktemp("exporter"), config) as running:
        yield running


def reasons(found: Daemon) -> dict[str, str]:
    """Queue → reason."""
    blocked = every(found.samples(), "bullmq_queue_blocked")
    return {dict(labels)["queue"]: dict(labels)["reason"] for _, labels in blocked}


def test_no_workers_and_then_one(stage: Stage) -> None:
    stage.becomes("orphan", "no_workers")
    assert stage.value("bullmq_queue_workers", "orphan") == 0
    assert stage.view("orphan")["hint"].startswith("no worker is")
    stage.act("worker", "orphan")
    stage.clears("orphan")
    wait_for(lambda: stage.value("bullmq_queue_workers", "orphan") == 1, "a worker")
    assert stage.view("orphan")["reason"] is None


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_paused(stage: Stage, library: str) -> None:
    queue = library.replace("bullmq", "paused")
    stage.becomes(queue, "paused")
    stage.act("admin", queue, library=library, call="resume")
    stage.clears(queue)


def test_a_workers_rate_limit(stage: Stage) -> None:
    stage.becomes("limited", "rate_limited")
    shown = stage.value("bullmq_queue_rate_limit_remaining_seconds", "limited")
    left = stage.server.client().pttl("bull:limited:limiter")
    assert shown is not None
    assert left / 1000 <= shown <= LONG_MS / 1000


def test_a_manual_rate_limit(stage: Stage) -> None:
    stage.becomes("throttled", "rate_limited")


def test_global_concurrency(stage: Stage) -> None:
    stage.becomes("narrow", "concurrency_limit")
    assert stage.value("bullmq_queue_concurrency_limit", "narrow") == 1


def test_a_frozen_worker(stage: Stage) -> None:
    stage.becomes("frozen", "workers_idle")
    assert stage.value("bullmq_queue_workers", "frozen") == 1
    stage.frozen.send_signal(signal.SIGCONT)
    stage.clears("frozen")


def test_a_worker_that_is_busy_for_long_is_no_fault(stage: Stage) -> None:
    """Its other jobs wait for more than the five seconds after which a delayed one is overdue."""
    overdue = "bullmq_queue_delayed_overdue_jobs"
    wait_for(lambda: stage.value(overdue, "long") == 1, "an overdue delayed job")
    samples, client = stage.running.samples(), stage.server.client()
    ((_, score),) = client.zrange("bull:long:delayed", 0, 0, withscores=True)
    due_ms = int(score) >> 12  # its low bits are the job's id
    seconds, microseconds = client.time()
    late = value(samples, "bullmq_queue_delayed_overdue_seconds", queue="long")
    assert late is not None
    assert 5 <= late <= seconds + microseconds / 1e6 - due_ms / 1000
    assert "long" not in reasons(stage.running)
    assert (value(samples, "bullmq_queue_oldest_active_seconds", queue="long") or 0) > BLOCKED_AFTER


@pytest.mark.parametrize("limit", ["concurrency", "rate"])
@pytest.mark.parametrize(
    ("fate", "reason"), [("killed", "no_workers"), ("stopped", "workers_idle")]
)
def test_a_limit_hides_no_outage(stage: Stage, limit: str, fate: str, reason: str) -> None:
    """A limit is set, but the worker that holds a job was killed, or stands still."""
    stage.becomes(f"{limit}-{fate}", reason)


def test_jobs_left_in_paused(stage: Stage) -> None:
    """BullMQ before 6 keeps the jobs of a paused queue in a list of their own."""
    client = stage.server.client()
    stage.act("worker", "left", library="bullmq5")
    stage.act("producer", "left", library="bullmq5", count=1)
    client.lpush("bull:left:paused", 101, 102)
    for job in (101, 102):
        client.hset(f"bull:left:{job}", mapping={"name": "task", "timestamp": 1, "data": "{}"})
    stage.becomes("left", "left_in_paused")
    assert "resume" in stage.view("left")["hint"]
    # pausing first moves the jobs back, as resuming alone does in a queue that is paused
    stage.act("admin", "left", library="bullmq5", call="pause")
    stage.act("admin", "left", library="bullmq5", call="resume")
    stage.clears("left")


def test_movement_without_any_sign_of_a_worker(stage: Stage) -> None:
    """No CLIENT LIST, no sweep, and a backlog: the queue moves, so it is not blocked."""
    stage.act("producer", "no-sign", count=200)
    worker = stage.act(
        "worker", "no-sign", ms=50, options=SHORT_LOCK | NO_SWEEP | {"name": "a name"}
    )
    before = stage.restricted.samples()
    for _ in range(POLLS // 2):
        before = next_poll(stage.restricted, polled_at(before))
        assert "no-sign" not in reasons(stage.restricted)
        assert "no-sign" not in reasons(stage.running)
    worker.kill()
    stage.act("producer", "no-sign", count=1)
    wait_for(lambda: reasons(stage.restricted).get("no-sign") == "no_workers", "no worker")


def test_a_scheduler_without_a_worker(stage: Stage) -> None:
    overdue = "bullmq_queue_schedulers_overdue"
    wait_for(lambda: stage.value("bullmq_queue_schedulers", "scheduled") == 1, "a scheduler")
    wait_for(lambda: stage.value(overdue, "scheduled") == 0, "its iterations are on time")
    stage.scheduled.kill()
    wait_for(lambda: stage.value(overdue, "scheduled") == 1, "an overdue scheduler")
    assert (stage.value("bullmq_queue_schedulers_overdue_seconds", "scheduled") or 0) >= 5


def test_the_founding_case(newest_server: Server, tmp_path: Path) -> None:
    """An API adds jobs, the worker waits for ever: they reach different Redis servers."""
    with ExitStack() as stack:
        other = stack.enter_context(valkey())
        act = Actors(newest_server.port)
        stack.callback(act.close)
        worker = act("worker", port=other.port)
        connections = f'api: {{url: "{newest_server.url}"}}, worker: {{url: "{other.url}"}}'
        running = stack.enter_context(daemon(tmp_path, CONFIG.format(connections=connections)))
        act("producer", count=3)
        name, waiting = "bullmq_worker_isolation", "bullmq_queue_oldest_waiting_seconds"
        samples = wait_for(lambda: every(s := running.samples(), name) and s, "the isolation")
        # the jobs were not blocked as soon as they were there
        assert (value(samples, waiting, connection="api") or 0) > BLOCKED_AFTER / 2
        labels = {"queue": "mail", "producer_connection": "api", "worker_connection": "worker"}
        assert value(samples, name, **labels) == 1
        assert reasons(running) == {"mail": "worker_isolated"}
        page = running.get("/health/queues").json
        assert page["isolations"] == [
            {"prefix": "bull", "queue": "mail", "producer": "api", "worker": "worker"}
        ]
        isolated = "Jobs and workers in different Redis databases: bull:mail"
        assert page["verdict"] == isolated
        assert "give both services the same Redis URL" in page["findings"][0]["detail"]
        # the worker is pointed right
        worker.kill()
        act("worker")
        wait_for(lambda: not every(running.samples(), name), "the isolation is over")
        wait_for(lambda: not reasons(running), "nothing is blocked any more")
        # what is left is the cause: the two services still reach different servers

        def left() -> set[str | None]:
            findings = running.get("/health/queues").json["findings"]
            return {each["alert"] for each in findings}

        # what is unknown for a moment has no alert
        wait_for(lambda: left() == {"BullMQSyncTestFailing"}, "only the cause is left")


# --- a healthy system ----------------------------------------------------------------------------


def next_poll(running: Daemon, after: float) -> Samples:
    """The page of a poll that ended after that Unix time."""
    page: Samples = wait_for(
        lambda: polled_at(samples := running.samples()) > after and samples, "another poll"
    )
    return page


def polled_at(samples: Samples) -> float:
    """When the queues were read, by the exporter's clock."""
    return value(samples, LAST_SUCCESS, collector="queues") or 0


def finished(samples: Samples, queue: str) -> float:
    """Attempts that have ended so far."""
    names = ("completed", "failed", "retried")
    return sum(
        sum(every(samples, f"bullmq_queue_jobs_{n}_total", queue=queue).values()) for n in names
    )


def test_a_healthy_busy_system_raises_no_alarm(stage: Stage) -> None:
    """There is always more work than the workers can do at once, and it moves.

    On a busy machine, a worker may really make no progress. So an alarm is false where
    attempts have ended later than it says, in the exporter's own time: up to a poll after the last
    page without them, and with half a second for the page to be made.
    """
    backoff = {"attempts": 3, "backoff": {"type": "fixed", "delay": 300}}
    removed = {"removeOnComplete": True}
    stage.act.play(
        part("worker", "fast", concurrency=5, ms=40),
        part("producer", "fast", every=15),
        part("worker", "slow", ms=900),
        part("producer", "slow", every=400),
        part("worker", "failing", ms=20, failing=0.5),
        part("producer", "failing", every=50, options=backoff),
        part("worker", "urgent", ms=50),
        part("producer", "urgent", every=60, options={"priority": 3} | removed),
        part("producer", "urgent", every=150, options={"lifo": True} | removed),
    )
    queues = ("fast", "slow", "failing", "urgent")
    wait_for(
        lambda: [stage.value("bullmq_queue_workers", queue) for queue in queues] == [1] * 4,
        "workers",
    )
    before = first = stage.running.samples()
    moved = dict.fromkeys(queues, 0.0)
    most_waiting = 0.0
    for _ in range(POLLS):
        samples = next_poll(stage.running, polled_at(before))
        for queue in queues:
            if finished(samples, queue) > finished(before, queue):
                moved[queue] = polled_at(before)
            if every(samples, "bullmq_queue_blocked", queue=queue):
                assert polled_at(samples) - moved[queue] > BLOCKED_AFTER - 0.5, queue
        waiting = value(samples, "bullmq_queue_size", queue="slow", state="waiting")
        most_waiting, before = max(most_waiting, waiting or 0), samples
    assert most_waiting > 3  # there was work that waited
    assert all(finished(before, queue) > finished(first, queue) for queue in queues)


def age_at_poll(samples: Samples, since_ms: float) -> tuple[float, float]:
    """The least and the most seconds that may be shown for something that began then.

    By when the poll began and ended; the clock of the exporter is that of Redis and BullMQ here.
    """
    ended, seconds = polled_at(samples), value(samples, QUEUES_SECONDS, collector="queues") or 0
    # rounding of milliseconds
    return ended - seconds - since_ms / 1000 - 0.002, ended - since_ms / 1000 + 0.002


def test_ages_agree_with_bullmqs_own_times(stage: Stage) -> None:
    client = stage.server.client()
    stage.act.play(
        part("producer", "aging", count=1),
        part("producer", "aging", count=1, options={"priority": 2}),
    )
    created = min(float(client.hget(f"bull:aging:{job}", "timestamp")) for job in (1, 2))
    name = "bullmq_queue_oldest_waiting_seconds"
    wait_for(lambda: (stage.value(name, "aging") or 0) > 1, "an age of a second")
    samples = stage.running.samples()
    # a job is ready when it has been added, a moment after the producer wrote its timestamp
    entries = client.xrange("bull:aging:events")
    added = max(float(entry.split(b"-")[0]) for entry, _ in entries)
    least, most = age_at_poll(samples, added)[0], age_at_poll(samples, created)[1]
    assert least <= (value(samples, name, queue="aging") or 0) <= most
    stage.act("worker", "aging", ms=LONG_MS)
    wait_for(lambda: client.llen("bull:aging:active") == 1, "an active job")
    job = client.lindex("bull:aging:active", -1).decode()
    started = float(client.hget(f"bull:aging:{job}", "processedOn"))
    name = "bullmq_queue_oldest_active_seconds"
    wait_for(lambda: (stage.value(name, "aging") or 0) > 1, "an age of a second")
    samples = stage.running.samples()
    least, most = age_at_poll(samples, started)
    assert least <= (value(samples, name, queue="aging") or 0) <= most


class TestQueuesCommand:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def config(self, server: Server) -> str:
        """A file with which a second of watching is enough."""
        file = self.folder / "config.yaml"
        poll = "{interval_seconds: 0.5, blocked_after_seconds: 0.5}"
        file.write_text(f"connections: {{default: {{url: {server.url}}}}}\npoll: {poll}")
        return str(file)

    def test_the_table(self, act: Actors, server: Server) -> None:
        act.play(part("producer", count=3), part("producer", "images", count=1))
        act("worker", "images")
        done_jobs = "bull:images:completed"
        wait_for(lambda: server.client().zcard(done_jobs) == 1, "the worker is idle")
        done = command("queues", "--once", "--sort", "ready", "--config", self.config(server))
        assert done.returncode == 0
        lines = done.stdout.splitlines()
        heads = "QUEUE WAITING PRIO ACTIVE DELAYED CHILDREN DONE FAILED OLDEST WORKERS REASON"
        assert lines[0].split() == heads.split()
        assert lines[1].split()[:2] == ["bull:mail", "3"]
        assert lines[1].split()[-2:] == ["0", "no_workers"]
        assert lines[2].split()[-4:] == ["-", "1", "(1", "idle)"]
        assert lines[-1] == "No worker connected: bull:mail on default (3 pending)"
        assert "\x1b" not in done.stdout  # not a terminal

    def test_json_filter_and_blocked(self, act: Actors, server: Server) -> None:
        act.play(part("producer", count=3), part("producer", "images", count=1))
        done = command("queues", "--json", "--filter", "im*", "--config", self.config(server))
        found = json.loads(done.stdout)
        assert [view["queue"] for view in found["queues"]] == ["images"]
        assert found["queues"][0]["reason"] == "no_workers"
        act("worker", queue="images")
        done = command("queues", "--json", "--blocked", "--config", self.config(server))
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
        _, err = process.communicate(timeout=LIMIT_SECONDS)
        assert (process.returncode, err) == (0, "")

    def test_where_redis_is_not_there(self) -> None:
        done = command("queues", "--once", REDIS_URL="redis://127.0.0.1:1")
        assert done.returncode == 1
        assert done.stdout.endswith("Redis unreachable: default\n")
        assert "Connection refused" in done.stderr
