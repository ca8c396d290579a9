"""How late: waiting, active, overdue, schedulers; against BullMQ's own times."""

from __future__ import annotations

import time

import pytest
import redis

from exporter.collectors.queues.subjects.limits import RATE_LIMITED
from exporter.state.queue_table import QueueTable
from tests.support.pages import Samples, value
from tests.support.redis_data import add_queues
from tests.support.servers import Server
from tests.support.watch import Watch

OLDEST = "bullmq_queue_oldest_waiting_seconds"


def job(client: redis.Redis, job_id: str, age: float, **fields: object) -> None:
    """A job's hash, created so many seconds ago."""
    created = {"timestamp": int((time.time() - age) * 1000)}
    client.hset(f"bull:q:{job_id}", mapping=created | {"opts": "{}"} | fields)


def ago(seconds: float) -> int:
    return int((time.time() - seconds) * 1000)


def watched(server: Server) -> Samples:
    return Watch(server.url).discover_and_poll()


def near(found: float | None, expected: float) -> bool:
    """But for the milliseconds that BullMQ's own times are rounded to."""
    return found is not None and abs(found - expected) < 0.01


def test_the_age_is_by_the_servers_clock(any_server: Server) -> None:
    client, start = any_server.client(), time.time()
    client.set("bull:q:id", 1)
    client.rpush("bull:q:wait", 1)
    job(client, "1", 1000)
    found = value(watched(any_server), OLDEST)
    assert found is not None
    assert 1000 <= found <= 1000.01 + time.time() - start


@pytest.mark.usefixtures("clock")
class TestOldestWaiting:
    def declare(self, server: Server, *ids: str) -> redis.Redis:
        client = server.client()
        client.set("bull:q:id", len(ids))
        client.rpush("bull:q:wait", *ids)
        return client

    def test_the_next_job_is_the_oldest(self, any_server: Server) -> None:
        client = self.declare(any_server, *"98765432", "1")
        for number in range(1, 10):
            job(client, str(number), 100 - number)
        assert near(value(watched(any_server), OLDEST), 99)

    def test_lifo(self, any_server: Server) -> None:
        """Pushed at the end where they are taken: the oldest is at the other end."""
        client = self.declare(any_server, *"123456789")
        for number in range(1, 10):
            job(client, str(number), 100 - number)
        assert near(value(watched(any_server), OLDEST), 99)

    def test_a_few_put_in_front_of_the_oldest(self, any_server: Server) -> None:
        client = self.declare(any_server, *"5432", "1", "7", "8", "9")
        for number in range(1, 10):
            job(client, str(number), 100 - number)
        assert near(value(watched(any_server), OLDEST), 99)

    def test_a_deliberate_delay_does_not_count(self, any_server: Server) -> None:
        client = self.declare(any_server, "1")
        job(client, "1", 100, opts='{"attempts":3,"delay":70000,"backoff":{"delay":5}}')
        assert near(value(watched(any_server), OLDEST), 30)

    def test_a_backoff_is_no_delay_of_the_job(self, any_server: Server) -> None:
        client = self.declare(any_server, "1")
        job(client, "1", 100, opts='{"backoff":{"type":"fixed","delay":70000}}')
        assert near(value(watched(any_server), OLDEST), 100)

    def test_a_retry_counts_from_its_last_start(self, any_server: Server) -> None:
        client = self.declare(any_server, "1")
        job(client, "1", 100, processedOn=ago(20))
        assert near(value(watched(any_server), OLDEST), 20)

    def test_an_iteration_of_a_schedule_has_its_time_in_its_id(self, any_server: Server) -> None:
        client = self.declare(any_server, f"repeat:nightly:{ago(40)}")
        job(client, f"repeat:nightly:{ago(40)}", 3600)
        assert near(value(watched(any_server), OLDEST), 40)

    def test_jobs_of_a_paused_list(self, any_server: Server) -> None:
        client = any_server.client()
        client.hset("bull:q:meta", "paused", 1)
        client.rpush("bull:q:paused", "1")
        job(client, "1", 50)
        assert near(value(watched(any_server), OLDEST), 50)

    def test_markers_have_no_age(self, any_server: Server) -> None:
        self.declare(any_server, "0:0")
        assert value(watched(any_server), OLDEST) == 0

    def test_nothing_ready(self, any_server: Server) -> None:
        any_server.client().set("bull:q:id", 1)
        assert value(watched(any_server), OLDEST) == 0

    def test_a_job_without_a_hash_is_unknown(self, any_server: Server) -> None:
        self.declare(any_server, "1")
        assert value(watched(any_server), OLDEST) is None

    def test_every_priority_is_looked_at_in_the_end(self, any_server: Server) -> None:
        client = any_server.client()
        client.set("bull:q:id", 1)
        band = 1 << 32
        client.zadd("bull:q:prioritized", {"a": band + 5, "b": 2 * band + 1, "c": 9 * band + 2})
        for name, age in (("a", 5), ("b", 50), ("c", 500)):
            job(client, name, age)
        watch = Watch(any_server.url)
        watch.discover_and_poll()
        watch.poll()
        assert near(value(watch.poll(), OLDEST), 500)
        client.zrem("bull:q:prioritized", "c")
        assert near(value(watch.poll(), OLDEST), 50)

    def test_jobs_that_stay_are_asked_for_once(self, server: Server) -> None:
        client = self.declare(server, *"4321")
        client.hset("bull:q:meta", "version", "bullmq:6.7.0")
        for number in "4321":
            job(client, number, 10)
        watch = Watch(server.url)
        watch.discover_and_poll()
        client.config_resetstat()
        ages = [value(watch.poll(), OLDEST) for _ in range(3)]
        assert all(near(age, 10) for age in ages)
        assert client.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"] <= 1


@pytest.mark.usefixtures("clock")
class TestOldestActive:
    NAME = "bullmq_queue_oldest_active_seconds"

    def test_the_one_that_was_started_first(self, any_server: Server) -> None:
        client = any_server.client()
        client.set("bull:q:id", 2)
        client.rpush("bull:q:active", "2", "1")
        job(client, "1", 100, processedOn=ago(60))
        job(client, "2", 100, processedOn=ago(10))
        assert near(value(watched(any_server), self.NAME), 60)

    def test_none_active(self, any_server: Server) -> None:
        any_server.client().set("bull:q:id", 2)
        assert value(watched(any_server), self.NAME) == 0

    def test_a_start_that_is_not_written_yet(self, any_server: Server) -> None:
        client = any_server.client()
        client.set("bull:q:id", 1)
        client.rpush("bull:q:active", "1")
        job(client, "1", 100)
        watch = Watch(any_server.url)
        assert value(watch.discover_and_poll(), self.NAME) is None
        client.hset("bull:q:1", "processedOn", ago(3))
        assert near(value(watch.poll(), self.NAME), 3)


@pytest.mark.usefixtures("clock")
class TestOverdue:
    def test_delayed_jobs(self, any_server: Server) -> None:
        client = any_server.client()
        client.set("bull:q:id", 4)
        ages = {"a": 100, "b": 50, "within the grace": 2, "later": -100}
        client.zadd("bull:q:delayed", {k: ago(age) * 4096 + 1 for k, age in ages.items()})
        samples = watched(any_server)
        assert value(samples, "bullmq_queue_delayed_overdue_jobs") == 2
        assert near(value(samples, "bullmq_queue_delayed_overdue_seconds"), 100)

    def test_delayed_jobs_that_are_not_due(self, any_server: Server) -> None:
        client = any_server.client()
        client.set("bull:q:id", 1)
        client.zadd("bull:q:delayed", {"later": ago(-100) * 4096})
        samples = watched(any_server)
        assert value(samples, "bullmq_queue_delayed_overdue_jobs") == 0
        assert value(samples, "bullmq_queue_delayed_overdue_seconds") == 0

    def test_schedulers(self, any_server: Server) -> None:
        client = any_server.client()
        add_queues(client, "q", "plain")
        client.zadd("bull:q:repeat", {"late": ago(90), "later": ago(-90)})
        watch = Watch(any_server.url)
        watch.discover_and_poll()
        samples = watch.poll()
        assert value(samples, "bullmq_queue_schedulers", queue="q") == 2
        assert value(samples, "bullmq_queue_schedulers_overdue", queue="q") == 1
        late = value(samples, "bullmq_queue_schedulers_overdue_seconds", queue="q")
        assert near(late, 90)
        names = ("schedulers", "schedulers_overdue", "schedulers_overdue_seconds")
        assert [value(samples, f"bullmq_queue_{n}", queue="plain") for n in names] == [0, 0, 0]


class TestRateLimit:
    @pytest.mark.parametrize(
        ("limiter", "most", "used_up"),
        [("5", "5", 1), ("4", "5", 0), ("3", None, None), ("9007199254740991", "5", 1)],
    )
    def test_used_up(
        self, any_server: Server, limiter: str, most: str | None, used_up: int | None
    ) -> None:
        client = any_server.client()
        add_queues(client, "q")
        client.set("bull:q:limiter", limiter, ex=60)
        if most:
            client.hset("bull:q:meta", "max", most)
        watch = Watch(any_server.url)
        watch.discover_and_poll()
        watch.poll()
        table = watch.snapshot.facts[QueueTable].facts
        assert isinstance(table, QueueTable)
        assert table.column(RATE_LIMITED) == [used_up]
