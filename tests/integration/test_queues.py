"""The traps: markers, paused lists, leftovers, wrong types, queues that go."""

from __future__ import annotations

import time

import pytest
import redis

from exporter.collectors.queues import COUNTS
from exporter.views.moment import moment_of
from exporter.views.overview import overview
from tests.support.pages import Samples, every, jobs, value
from tests.support.redis_data import add_queues
from tests.support.servers import FakeServer, Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch


def waiting(samples: Samples, queue: str = "q") -> int | None:
    return jobs(samples).get((queue, "waiting"))


def declare(client: redis.Redis, version: str | None = None) -> None:
    client.set("bull:q:id", 1)
    if version:
        client.hset("bull:q:meta", "version", f"bullmq:{version}")


class TestMarkers:
    @pytest.mark.parametrize("version", [None, "4.18.3"])
    @pytest.mark.parametrize(
        ("entries", "jobs"),
        [
            (["0:1795489200000"], 0),
            (["0:0"], 0),
            (["0:1795489200000", "2"], 1),
            (["2", "0:1795489200000.25"], 1),
            (["3", "2", "1"], 3),
            (["0"], 0),
            (["2", "0"], 1),
        ],
    )
    @pytest.mark.parametrize("kept_in", ["wait", "paused"])
    def test_are_not_counted(
        self, any_server: Server, version: str | None, entries: list[str], jobs: int, kept_in: str
    ) -> None:
        client = any_server.client()
        declare(client, version)
        client.rpush(f"bull:q:{kept_in}", *entries)
        watch = Watch(any_server.url)
        assert waiting(watch.discover_and_poll()) == jobs
        assert waiting(watch.poll()) == jobs

    @pytest.mark.parametrize("marker", ["0", "0:1795489200000"])
    def test_block_no_queue(self, server: Server, clock: StoppedClock, marker: str) -> None:
        """A delayed job whose time has not come, as BullMQ 2 and 3 leave it."""
        client = server.client()
        declare(client)
        client.zadd("bull:q:delayed", {"1": (time.time() + 1e5) * 1000 * 4096})
        client.rpush("bull:q:wait", marker)
        watch = Watch(server.url)
        watch.discover_and_poll()
        for _ in range(3):
            clock.move(60)
            samples = watch.poll()
        assert jobs(samples)[("q", "delayed")] == 1
        assert waiting(samples) == 0
        assert value(samples, "bullmq_queue_oldest_waiting_seconds") == 0
        assert not every(samples, "bullmq_queue_blocked")

    def test_in_active(self, any_server: Server) -> None:
        client = any_server.client()
        declare(client)
        client.rpush("bull:q:active", "0:0", "1")
        samples = Watch(any_server.url).discover_and_poll()
        assert jobs(samples)[("q", "active")] == 1

    def test_left_over_by_an_upgrade_to_5(self, any_server: Server) -> None:
        client = any_server.client()
        declare(client, "5.81.5")
        client.rpush("bull:q:wait", "1", "0:1795489200000")
        watch = Watch(any_server.url)
        assert waiting(watch.discover_and_poll()) == 1
        # it is remembered: the next polls see it too
        assert [waiting(watch.poll()) for _ in range(3)] == [1, 1, 1]
        client.lrem("bull:q:wait", 0, "0:1795489200000")
        assert waiting(watch.poll()) == 1

    @pytest.mark.parametrize("kept_in", ["wait", "paused", "active"])
    def test_of_an_old_worker_on_a_new_version(self, any_server: Server, kept_in: str) -> None:
        client = any_server.client()
        declare(client, "5.81.5")
        client.rpush(f"bull:q:{kept_in}", "1")
        watch = Watch(any_server.url)
        watch.discover_and_poll()
        client.rpush(f"bull:q:{kept_in}", "0:1795489200000")
        watch.poll()  # it is met
        state = "active" if kept_in == "active" else "waiting"
        assert [jobs(watch.poll())[("q", state)] for _ in range(2)] == [1, 1]

    def test_are_not_looked_for_where_there_are_none(self, server: Server) -> None:
        """From 5 on, a list costs no more than its length."""
        client = server.client()
        declare(client, "6.7.0")
        client.rpush("bull:q:wait", *range(1, 11))
        watch = Watch(server.url)
        watch.discover_and_poll()
        client.config_resetstat()
        for _ in range(11):
            watch.poll()
        calls = client.info("commandstats")["cmdstat_llen"]["calls"]
        assert calls == 11 * sum(count.command.name == "LLEN" for count in COUNTS)


class TestPaused:
    def test_before_6_the_list_is_renamed(self, any_server: Server) -> None:
        client = any_server.client()
        declare(client, "5.81.5")
        client.hset("bull:q:meta", "paused", 1)
        client.rpush("bull:q:paused", 1, 2)
        samples = Watch(any_server.url).discover_and_poll()
        assert waiting(samples) == 2
        assert value(samples, "bullmq_queue_paused") == 1

    def test_leftovers_of_an_upgrade_to_6_are_counted(self, any_server: Server) -> None:
        client = any_server.client()
        declare(client, "6.7.0")
        client.hset("bull:q:meta", "paused", 1)
        client.rpush("bull:q:paused", 1, 2)
        client.rpush("bull:q:wait", 3)
        assert waiting(Watch(any_server.url).discover_and_poll()) == 3

    def test_resume_deletes_the_field(self, any_server: Server) -> None:
        client = any_server.client()
        declare(client, "6.7.0")
        client.hset("bull:q:meta", "paused", 0)  # whatever its value
        watch = Watch(any_server.url)
        assert value(watch.discover_and_poll(), "bullmq_queue_paused") == 1
        client.hdel("bull:q:meta", "paused")
        assert value(watch.poll(), "bullmq_queue_paused") == 0


def test_prioritized_jobs_of_bull_and_bullmq_3_are_counted_once(any_server: Server) -> None:
    client = any_server.client()
    declare(client)
    client.rpush("bull:q:wait", 1, 2)
    client.zadd("bull:q:priority", {"1": 5, "2": 1})
    found = jobs(Watch(any_server.url).discover_and_poll())
    assert (found[("q", "waiting")], found[("q", "prioritized")]) == (2, 0)


class TestSettings:
    def test_limits_and_version(self, any_server: Server) -> None:
        client = any_server.client()
        declare(client, "6.7.0")
        client.hset("bull:q:meta", mapping={"concurrency": 7, "max": 10, "duration": 1000})
        add_queues(client, "plain")
        samples = Watch(any_server.url).discover_and_poll()
        assert value(samples, "bullmq_queue_concurrency_limit", queue="q") == 7
        assert value(samples, "bullmq_queue_concurrency_limit", queue="plain") is None
        assert value(samples, "bullmq_queue_info", queue="q", library_version="bullmq:6.7.0") == 1
        assert value(samples, "bullmq_queue_info", queue="plain", library_version="") == 1

    def test_a_change_is_seen_within_a_minute_of_polls(self, any_server: Server) -> None:
        client = any_server.client()
        declare(client, "6.7.0")
        watch = Watch(any_server.url)
        watch.discover_and_poll()
        client.hset("bull:q:meta", "concurrency", 3)
        polls = [value(watch.poll(), "bullmq_queue_concurrency_limit") for _ in range(12)]
        assert polls[-1] == 3

    def test_the_rate_limit_window(self, any_server: Server) -> None:
        client = any_server.client()
        add_queues(client, "limited", "free", "global")
        client.set("bull:limited:limiter", 5, px=600_000)
        client.hset("bull:global:meta", mapping={"max": 10, "duration": 1000})
        samples = Watch(any_server.url).discover_and_poll()
        name = "bullmq_queue_rate_limit_remaining_seconds"
        left = value(samples, name, queue="limited")
        assert left is not None
        assert 300 < left <= 600
        assert value(samples, name, queue="free") is None
        assert value(samples, name, queue="global") == 0


def test_the_length_of_the_event_stream(any_server: Server) -> None:
    client = any_server.client()
    add_queues(client, "q")
    for _ in range(3):
        client.xadd("bull:q:events", {"event": "added"})
    samples = Watch(any_server.url).discover_and_poll()
    assert value(samples, "bullmq_queue_events_stream_length") == 3


class TestMemoryOfEvents:
    NAME = "bullmq_queue_events_stream_bytes"

    def test_large_events(self, real_server: Server) -> None:
        client = real_server.client()
        add_queues(client, "large", "none")
        for _ in range(10):
            client.xadd("bull:large:events", {"event": "completed", "returnvalue": "x" * 100_000})
        samples = Watch(real_server.url).discover_and_poll()
        large = value(samples, self.NAME, queue="large")
        assert large is not None
        assert 1_000_000 < large < 2_000_000
        assert value(samples, self.NAME, queue="none") is None

    def test_a_stream_that_was_trimmed_to_nothing(self, real_server: Server) -> None:
        client = real_server.client()
        add_queues(client, "q")
        client.xadd("bull:q:events", {"event": "added"})
        watch = Watch(real_server.url)
        assert value(watch.discover_and_poll(), self.NAME) is not None
        client.xtrim("bull:q:events", 0)
        assert value(watch.poll(), self.NAME) is None

    def test_a_server_that_does_not_tell(self, fake_server: FakeServer) -> None:
        client = fake_server.client()
        add_queues(client, "q")
        client.xadd("bull:q:events", {"event": "added"})
        watch = Watch(fake_server.url)
        samples = watch.discover_and_poll()
        assert value(samples, self.NAME) is None
        assert value(samples, "bullmq_queue_events_stream_length") == 1
        assert watch.snapshot.reports["queues"].not_available == ("memory",)


def test_settings_that_cannot_be_read_any_more_are_unknown(any_server: Server) -> None:
    """The former ones do not stay."""
    client = any_server.client()
    add_queues(client, "q")
    settings = {"concurrency": 3, "max": 5, "version": "bullmq:5.1.0"}
    client.hset("bull:q:meta", mapping=settings)
    watch = Watch(any_server.url)
    families = (
        "bullmq_queue_concurrency_limit",
        "bullmq_queue_info",
        "bullmq_queue_rate_limit_remaining_seconds",
    )
    samples = watch.discover_and_poll()
    assert [len(every(samples, family)) for family in families] == [1, 1, 1]
    client.delete("bull:q:meta", "bull:q:wait")
    client.set("bull:q:meta", "no hash")
    polls_per_minute = round(60 / watch.config.poll.interval_seconds)
    for _ in range(polls_per_minute):
        samples = watch.poll()
    assert [len(every(samples, family)) for family in families] == [0, 0, 0]


def test_groups_of_bullmq_pro(any_server: Server) -> None:
    client = any_server.client()
    add_queues(client, "pro", "other")
    client.zadd("bull:pro:groups", {"g1": 1, "g2": 2})
    watch = Watch(any_server.url)
    samples = watch.discover_and_poll()
    assert value(samples, "bullmq_queue_groups", queue="pro") == 2
    assert value(samples, "bullmq_queue_groups", queue="other") is None
    views = overview(moment_of(watch.store, watch.config)).queues
    assert {view.queue: view.groups for view in views} == {"pro": 2, "other": None}


class TestWrongTypes:
    @pytest.mark.parametrize("suffix", ["wait", "active", "completed", "meta", "events"])
    def test_cost_their_own_fact_alone(self, any_server: Server, suffix: str) -> None:
        client = any_server.client()
        add_queues(client, "good", "q")
        client.delete(f"bull:q:{suffix}")
        client.set(f"bull:q:{suffix}", "a string")
        watch = Watch(any_server.url)
        samples = watch.discover_and_poll()
        assert waiting(samples, "good") == 1
        assert len(every(samples, "bullmq_queue_size", queue="good")) == 7
        facts = len(every(samples, "bullmq_queue_size", queue="q"))
        assert facts == (6 if suffix in ("wait", "active", "completed") else 7)
        assert (value(samples, "bullmq_queue_paused", queue="q") is None) is (suffix == "meta")
        errors = value(
            samples,
            "bullmq_exporter_collector_errors_total",
            collector="queues",
            error="protocol",
        )
        assert errors
        assert value(samples, "bullmq_exporter_collector_success", collector="queues") == 1

    def test_are_named_in_the_log_once(
        self, any_server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = any_server.client()
        add_queues(client, "q")
        client.delete("bull:q:wait")
        client.set("bull:q:wait", "a string")
        watch = Watch(any_server.url)
        watch.discover_and_poll()
        watch.poll()
        told = [r.getMessage() for r in caplog.records if "LLEN" in r.getMessage()]
        assert len(told) == 1
        assert told[0].startswith("queues: LLEN b'bull:q:wait': WRONGTYPE")


class TestLife:
    def test_a_queue_without_jobs_is_at_0(self, any_server: Server) -> None:
        any_server.client().hset("bull:q:meta", "version", "bullmq:6.7.0")
        found = jobs(Watch(any_server.url).discover_and_poll())
        assert len(found) == 7
        assert set(found.values()) == {0}

    def test_a_queue_that_is_gone_goes_with_the_next_poll(self, any_server: Server) -> None:
        client = any_server.client()
        add_queues(client, "q", "stays")
        watch = Watch(any_server.url)
        assert waiting(watch.discover_and_poll()) == 1
        client.delete("bull:q:meta", "bull:q:id", "bull:q:wait")
        samples = watch.poll()
        assert waiting(samples) is None
        assert waiting(samples, "stays") == 1
        assert not every(samples, "bullmq_queue_info", queue="q")

    def test_and_returns_with_its_first_job(self, any_server: Server) -> None:
        client = any_server.client()
        add_queues(client, "q")
        watch = Watch(any_server.url)
        watch.discover_and_poll()
        client.flushall()
        assert waiting(watch.poll()) is None
        add_queues(client, "q")
        assert waiting(watch.poll()) == 1

    def test_a_ghost_stays_while_its_stalled_check_flickers(self, any_server: Server) -> None:
        client = any_server.client()
        client.set("bull:q:stalled-check", 1)
        watch = Watch(any_server.url)
        assert waiting(watch.discover_and_poll()) == 0
        client.delete("bull:q:stalled-check")
        assert waiting(watch.poll()) == 0

    def test_more_queues_than_a_batch(self, server: Server) -> None:
        """The rows keep their queues."""
        client = server.client()
        pipe = client.pipeline(transaction=False)
        for index in range(900):
            pipe.set(f"bull:q{index:04}:id", 1)
            pipe.rpush(f"bull:q{index:04}:wait", *range(1, index % 7 + 2))
        pipe.execute()
        found = jobs(Watch(server.url).discover_and_poll())
        assert {i: found[(f"q{i:04}", "waiting")] for i in range(900)} == {
            i: i % 7 + 1 for i in range(900)
        }
