"""Jobs that are kept: when the oldest and the newest failed, and whether they fill the memory."""

from __future__ import annotations

import pytest

from exporter.findings import verdict_of
from exporter.views.moment import moment_of
from exporter.views.overview import overview
from tests.support.pages import Samples, value
from tests.support.redis_data import add_queues
from tests.support.servers import FakeServer, Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch


def times(samples: Samples) -> tuple[float | None, float | None]:
    """The times of the oldest and of the newest failed job."""
    oldest, newest = (
        value(samples, f"bullmq_queue_{which}_failed_timestamp_seconds")
        for which in ("oldest", "newest")
    )
    return oldest, newest


def test_times_of_failed_jobs(any_server: Server | FakeServer) -> None:
    client = any_server.client()
    add_queues(client, "mail")
    watch = Watch(any_server.url)
    assert times(watch.discover_and_poll()) == (None, None)
    client.zadd("bull:mail:failed", {"1": 1_700_000_000_500})
    assert times(watch.poll()) == (1_700_000_000.5, 1_700_000_000.5)
    client.zadd("bull:mail:failed", {"2": 1_700_000_009_000, "3": 1_700_000_002_000})
    assert times(watch.poll()) == (1_700_000_000.5, 1_700_000_009)
    client.zrem("bull:mail:failed", "1", "2")
    assert times(watch.poll()) == (1_700_000_002, 1_700_000_002)
    client.delete("bull:mail:failed")
    assert times(watch.poll()) == (None, None)


def test_a_replaced_job_is_seen_within_a_minute(any_server: Server | FakeServer) -> None:
    """`removeOnFail` with a number: each failure removes the oldest one."""
    client = any_server.client()
    add_queues(client, "mail")
    client.zadd("bull:mail:failed", {"1": 1_700_000_000_000})
    watch = Watch(any_server.url)
    watch.discover_and_poll()
    client.delete("bull:mail:failed")
    client.zadd("bull:mail:failed", {"2": 1_700_000_005_000})
    interval = watch.config.poll.interval_seconds
    for _ in range(round(60 / interval)):
        samples = watch.poll()
    assert times(samples) == (1_700_000_005, 1_700_000_005)


def test_unreadable_times_are_absent(server: Server) -> None:
    client = server.client()
    add_queues(client, "mail")
    client.zadd("bull:mail:failed", {"1": 1_700_000_000_000})
    rules = ("limited", "reset", "on", ">pass", "~*", "+@all", "-zrange")
    client.execute_command("ACL", "SETUSER", *rules)
    watch = Watch(server.url.replace("://", "://limited:pass@"))
    samples = watch.discover_and_poll()
    assert times(samples) == (None, None)
    assert value(samples, "bullmq_queue_size", state="failed") == 1


def test_kept_jobs_that_fill_the_memory(server: Server, clock: StoppedClock) -> None:
    client = server.client()
    add_queues(client, "mail", "etl")
    client.config_set("maxmemory", "1gb")
    watch = Watch(server.url)
    watch.discover_and_poll()
    for minute in range(31):
        pipe = client.pipeline()
        for number in range(60):
            job = f"{minute}-{number}"
            pipe.zadd("bull:mail:completed", {job: 1_700_000_000_000})
            pipe.hset(f"bull:mail:{job}", "data", "x" * 5000)
        pipe.execute()
        clock.move(60)
        watch.poll_unseen()
    client.config_set("maxmemory", 0)
    moment = moment_of(watch.store, watch.config)
    found = [each for each in verdict_of(moment).findings if each.name == "KeptJobsFillMemory"]
    assert [each.labels["queue"] for each in found] == ["mail"]
    assert "more finished jobs are kept than" in found[0].explanation
    rates = {view.queue: view.kept_completed_per_minute for view in overview(moment).queues}
    assert rates == {"mail": pytest.approx(60), "etl": 0}
