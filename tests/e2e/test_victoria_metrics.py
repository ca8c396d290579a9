"""A real VictoriaMetrics scrapes the exporter and evaluates the expression of every rule.

It counts what a series begins with as an increase, if that is less than ten; Prometheus does not.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import redis

from exporter.metrics import CATALOGUE
from exporter.rules import ALERTS, RECORDINGS
from exporter.rules.render import groups
from tests.support.daemon import Daemon, daemon
from tests.support.prometheus import Prometheus, victoria_metrics
from tests.support.redis_data import add_event, add_queues
from tests.support.servers import Server, valkey
from tests.support.verdicts import disagreement
from tests.support.waiting import wait_for

CONFIG = """
poll: {interval_seconds: 0.5}
queues: {discovery_interval_seconds: 1}
"""
BEFORE = 5
"""Enough for BullMQJobsStalled, and less than ten."""
COUNTED = (
    "bullmq_queue_jobs_added_total",
    "bullmq_queue_jobs_started_total",
    "bullmq_queue_jobs_failed_total",
    "bullmq_queue_jobs_stalled_total",
    "bullmq_queue_events_read_total",
    "bullmq_queue_events_lost_total",
)

RULES = [rule for group in groups(ALERTS)["groups"] for rule in group["rules"]]
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES if "alert" in rule}


@dataclass
class Old:
    """An exporter that was started on a Redis with a history."""

    server: Server
    running: Daemon
    asked: Prometheus

    def holds(self, alert: str) -> bool:
        """Whether the alert's expression has a result."""
        return bool(self.asked.query(EXPRESSIONS[f"BullMQ{alert}"]))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Old]:
    folder = tmp_path_factory.mktemp("victoria-metrics")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(valkey("--maxmemory-policy", "volatile-ttl"))
        client = server.client()
        add_queues(client, "q")
        for job in range(BEFORE):
            for event in ("added", "active", "stalled", "active", "failed"):
                add_event(client, event, job, prev="active", failedReason="x")
        evict(client, BEFORE)
        reject(server, client, BEFORE)
        assert client.info("stats")["evicted_keys"] == BEFORE
        assert client.info("stats")["rejected_connections"] == BEFORE
        running = stack.enter_context(daemon(folder, CONFIG, REDIS_URL=server.url))
        asked = stack.enter_context(victoria_metrics(folder, {"bullmq": [running.port]}))
        wait_for(lambda: asked.query("count_over_time(bullmq_queue_events_read_total[5m]) > 2"))
        yield Old(server, running, asked)


def evict(client: redis.Redis, count: int) -> None:
    """Make the server delete keys that have a TTL to free memory."""
    goal = client.info("stats")["evicted_keys"] + count
    for number in range(count):
        client.set(f"cached{number}", "x" * 1_000_000, ex=600)
    while (done := client.info("stats")["evicted_keys"]) < goal:
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 500_000)
        with contextlib.suppress(redis.OutOfMemoryError):
            client.set("more", "x")
        assert client.info("stats")["evicted_keys"] > done
    client.config_set("maxmemory", 0)


def reject(server: Server, client: redis.Redis, count: int) -> None:
    """Make the server refuse connections because there are too many."""
    client.config_set("maxclients", 1)
    for _ in range(count):
        with socket.create_connection((server.host, server.port)) as refused:
            assert b"max number of clients" in refused.recv(100)
    client.config_set("maxclients", 1000)


def test_the_past_is_no_increase(old: Old) -> None:
    """What happened before the exporter was started, or before the first scrape."""
    for name in COUNTED:
        found = old.asked.query(f"increase({name}[5m])")
        assert {value for _, value in found} == {0}, (name, found)
    assert old.asked.value("bullmq_redis_evicted_keys_total") == BEFORE
    assert old.asked.value("bullmq_redis_rejected_connections_total") == BEFORE
    for alert in ("RedisKeysEvicted", "RedisClientsRejected", "JobsStalled"):
        assert not old.holds(alert), alert
    wait_for(
        lambda: not disagreement(old.running.get("/health/queues").json, old.asked),
        "the exporter's verdict agrees",
    )


def test_what_happens_now_is_an_increase(old: Old) -> None:
    client = old.server.client()
    evict(client, 1)
    for job in range(BEFORE):
        add_event(client, "stalled", job)
    wait_for(lambda: old.holds("RedisKeysEvicted"), "an evicted key")
    wait_for(lambda: old.holds("JobsStalled"), "a stalled job")
    assert not old.holds("RedisClientsRejected")


def test_every_expression_is_accepted(old: Old) -> None:
    assert len(RULES) == len(ALERTS) + len(RECORDINGS)
    for rule in RULES:
        old.asked.query(rule["expr"])
    for family in CATALOGUE:
        old.asked.query(family.example)
