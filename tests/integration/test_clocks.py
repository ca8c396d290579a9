"""Producers whose clock differs from the clock of Redis."""

from __future__ import annotations

import time

import pytest
import redis

from exporter.findings import verdict_of
from exporter.views.moment import moment_of
from tests.support.pages import value
from tests.support.redis_data import add_event, add_queues
from tests.support.servers import Server
from tests.support.watch import Watch

AGE = "bullmq_queue_oldest_waiting_seconds"


def add_job(client: redis.Redis, job: int, ahead: float) -> None:
    """Add a job like a producer whose clock is this many seconds ahead."""
    client.hset(f"bull:q:{job}", mapping={"timestamp": int((time.time() + ahead) * 1000)})
    client.lpush("bull:q:wait", job)
    add_event(client, "added", job)
    add_event(client, "waiting", job)


def headlines(watch: Watch) -> list[str]:
    findings = verdict_of(moment_of(watch.store, watch.config)).findings
    return [each.headline for each in findings if "Clocks" in each.headline]


@pytest.mark.parametrize("ahead", [600, -600])
def test_events_correct_a_wrong_producer_clock(real_server: Server, ahead: float) -> None:
    client = real_server.client()
    add_queues(client, "q")
    client.delete("bull:q:wait")
    watch = Watch(real_server.url)
    watch.discover_and_poll()
    add_job(client, 2, ahead)
    watch.poll_unseen()
    samples = watch.poll()
    age = value(samples, AGE, queue="q")
    assert age is not None
    assert age < 300
    (headline,) = headlines(watch)
    assert "600 s ahead of" in headline or "600 s behind" in headline


def test_a_future_timestamp_without_events_is_an_unknown_age(real_server: Server) -> None:
    client = real_server.client()
    add_queues(client, "q")
    add_job(client, 1, ahead=600)
    client.ltrim("bull:q:wait", 0, 0)
    watch = Watch(real_server.url)
    samples = watch.discover_and_poll()
    assert value(samples, AGE, queue="q") is None
    assert headlines(watch)[0].startswith("Clocks differ: a producer of q is ")


def test_a_small_clock_difference_is_not_reported(real_server: Server) -> None:
    client = real_server.client()
    add_queues(client, "q")
    watch = Watch(real_server.url)
    watch.discover_and_poll()
    add_job(client, 2, ahead=-2)
    watch.poll_unseen()
    assert value(watch.poll(), AGE, queue="q") is not None
    assert headlines(watch) == []


ACTIVE = "bullmq_queue_oldest_active_seconds"


def start_job(client: redis.Redis, job: int, ahead: float) -> None:
    """Start a job like a worker whose clock is this many seconds ahead."""
    client.hset(f"bull:q:{job}", mapping={"processedOn": int((time.time() + ahead) * 1000)})
    client.lpush("bull:q:active", job)


@pytest.mark.parametrize("ahead", [600, -600])
def test_events_correct_a_wrong_worker_clock(real_server: Server, ahead: float) -> None:
    client = real_server.client()
    add_queues(client, "q")
    watch = Watch(real_server.url)
    watch.discover_and_poll()
    start_job(client, 1, ahead)
    add_event(client, "active", 1)
    watch.poll_unseen()
    age = value(watch.poll(), ACTIVE, queue="q")
    assert age is not None
    assert 0 < age < 300


def test_a_future_start_without_events_is_an_unknown_age(real_server: Server) -> None:
    client = real_server.client()
    add_queues(client, "q")
    start_job(client, 1, ahead=600)
    watch = Watch(real_server.url)
    assert value(watch.discover_and_poll(), ACTIVE, queue="q") is None


def test_a_new_attempt_is_not_as_old_as_the_last(real_server: Server) -> None:
    """Its event has not been read yet, that of the attempt before has."""
    client = real_server.client()
    add_queues(client, "q")
    watch = Watch(real_server.url)
    watch.discover_and_poll()
    milliseconds = int((time.time() - 300) * 1000)
    add_event(client, "active", 1, entry_id=f"{milliseconds}-0")
    start_job(client, 1, ahead=-300)
    watch.poll_unseen()
    client.hset("bull:q:1", "processedOn", int(time.time() * 1000))
    add_event(client, "retries", 1)
    age = value(watch.poll(), ACTIVE, queue="q")
    assert age is not None
    assert age < 60
