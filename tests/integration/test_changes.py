"""Replies remembered between polls never hide a change."""

from __future__ import annotations

import random
from typing import Any

import pytest

from exporter.connection import ErrorClass, RedisFailure, Replies
from tests.support.pages import Samples, every, value
from tests.support.queue_changes import CHANGES, LEFT, NAMES, SEEDS, build, job, now_ms, shown
from tests.support.redis_data import add_event
from tests.support.servers import FakeServer, Server
from tests.support.stopped_clock import StoppedClock
from tests.support.waiting import LIMIT_SECONDS
from tests.support.watch import Watch

Any_ = Server | FakeServer


def test_no_job_of_an_unchanged_queue_is_read(real_server: Server) -> None:
    client = real_server.client()
    build(client)
    watch = Watch(real_server.url)
    watch.discover_and_poll()
    watch.poll()
    before = {name: stats["calls"] for name, stats in client.info("commandstats").items()}
    for _ in range(3):
        watch.poll()
    calls = {
        name.removeprefix("cmdstat_"): (stats["calls"] - before.get(name, 0)) / 3 / len(NAMES)
        for name, stats in client.info("commandstats").items()
    }
    # ten counts, both ends of wait and active, first entries of three sets, and the rate limit
    assert calls["llen"] + calls["zcard"] <= 9
    assert calls["lrange"] == calls["pttl"] == 1
    assert calls["lindex"] == 3
    assert calls["zrange"] == 3
    # another priority is looked up together with the settings
    assert calls.get("zrangebyscore", 0) < 1
    # settings of a twelfth of the queues, and nothing of a job
    assert calls.get("hmget", 0) < 1
    assert calls.get("zcount", 0) < 1


def test_where_a_stream_begins_is_rarely_looked_up_while_it_stays_the_same(
    real_server: Server,
) -> None:
    """Every ten minutes, and within the next one after its length has changed."""
    client = real_server.client()
    build(client)
    for name in NAMES:
        for number in range(5):
            add_event(client, "added", number, queue=name)
    watch = Watch(real_server.url)
    watch.discover_and_poll()
    minute = 12
    for _ in range(2 * minute):
        watch.poll_unseen()

    def looked_up(polls: int) -> int:
        def calls() -> int:
            stats: dict[str, Any] = client.info("commandstats")
            return sum(each["calls"] for name, each in stats.items() if "_xinfo" in name)

        before = calls()
        for _ in range(polls):
            watch.poll_unseen()
        return calls() - before

    assert looked_up(10 * minute) == len(NAMES)
    client.xtrim("bull:b:events", maxlen=2, approximate=False)
    assert 1 <= looked_up(minute) <= len(NAMES) + 1


def test_ages_of_unchanged_queues_grow(any_server: Any_, clock: StoppedClock) -> None:
    client = any_server.client()
    build(client)
    watch = Watch(any_server.url)
    watch.discover_and_poll()
    first = watch.poll()
    clock.move(20)
    later = watch.poll()
    for family in ("bullmq_queue_oldest_waiting_seconds", "bullmq_queue_oldest_active_seconds"):
        before, after = (value(samples, family, queue="a") for samples in (first, later))
        assert before is not None
        assert after is not None
        assert after - before == pytest.approx(20)


@pytest.mark.usefixtures("clock")
def test_an_interrupted_poll_hides_no_change(
    any_server: Any_, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read the changed lists but not their jobs, so the next poll reads both again."""
    client = any_server.client()
    build(client)
    watch = Watch(any_server.url)
    watch.discover_and_poll()
    watch.poll()
    client.delete("bull:a:wait", "bull:a:active")
    client.lpush("bull:a:wait", job(client, "a", 91, age_ms=500_000))
    client.lpush("bull:a:active", job(client, "a", 92, age_ms=400_000))
    poll_until(watch, b"bull:a:91\r\n", monkeypatch)
    samples = watch.poll()
    for family, age in (("waiting", 500), ("active", 400)):
        found = value(samples, f"bullmq_queue_oldest_{family}_seconds", queue="a")
        assert found == pytest.approx(age)


@pytest.mark.usefixtures("clock")
class TestOtherJobsWithTheSameIds:
    """A waiting and an active job are replaced by younger ones, with events that do not say since
    when these are ready or active."""

    @pytest.fixture
    def watch(self, any_server: Any_) -> Watch:
        client = any_server.client()
        client.hset("bull:a:meta", mapping={"version": "bullmq:6.7.0", "opts.maxLenEvents": 3})
        client.lpush("bull:a:wait", job(client, "a", 91, age_ms=500_000))
        client.lpush("bull:a:active", job(client, "a", 92, age_ms=400_000))
        for number in range(3):
            add_event(client, "progress", number, queue="a")
        watch = Watch(any_server.url)
        watch.discover_and_poll()
        watch.poll()
        for number, age_ms in ((91, 50_000), (92, 40_000)):
            job(client, "a", number, age_ms)
            add_event(client, "progress", number, queue="a")
        return watch

    @staticmethod
    def check(samples: Samples) -> None:
        for family, age in (("waiting", 50), ("active", 40)):
            found = value(samples, f"bullmq_queue_oldest_{family}_seconds", queue="a")
            assert found == pytest.approx(age), family

    def test_though_a_poll_broke_off_before_it_read_their_times(
        self, watch: Watch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        poll_until(watch, b"HMGET\r\n$9\r\nbull:a:9", monkeypatch)
        self.check(watch.poll())

    @pytest.mark.parametrize(
        "interrupted",
        [
            pytest.param([], id="by the number of events"),
            pytest.param([b"XINFO"], id="though reading them broke off"),
            pytest.param([b":completed"] * 2, id="though polls broke off meanwhile"),
        ],
    )
    def test_though_the_stream_keeps_its_length(
        self,
        any_server: Any_,
        watch: Watch,
        monkeypatch: pytest.MonkeyPatch,
        interrupted: list[bytes],
    ) -> None:
        any_server.client().xtrim("bull:a:events", maxlen=3, approximate=False)
        for text in interrupted:
            poll_until(watch, text, monkeypatch)
        if not interrupted:
            watch.poll()  # the events are read after the jobs
        self.check(watch.poll())


def poll_until(watch: Watch, text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll, but interrupt the poll before it sends commands that contain the text."""
    ask, interrupted = watch.client.batch, False

    def interrupt(packed: bytes, *more: int) -> Replies:
        nonlocal interrupted
        if text in packed:
            interrupted = True
            raise RedisFailure(ErrorClass.TIMEOUT, "interrupted")
        return ask(packed, *more)

    with monkeypatch.context() as patch:
        patch.setattr(watch.client, "batch", interrupt)
        watch.poll()
    assert interrupted


@pytest.mark.usefixtures("clock")
def test_a_job_taken_during_the_poll_has_no_age(
    any_server: Any_, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was counted, but is gone when its ID is read: no earlier job's age is shown."""
    client = any_server.client()
    build(client)
    client.delete("bull:a:wait", "bull:a:prioritized")
    client.lpush("bull:a:wait", job(client, "a", 91, age_ms=500_000))
    watch = Watch(any_server.url)
    watch.discover_and_poll()
    client.delete("bull:a:wait")
    watch.poll()
    client.lpush("bull:a:wait", job(client, "a", 92))
    ask = watch.client.batch

    def take_first(packed: bytes, *more: int) -> Replies:
        if b"LRANGE" in packed:
            client.delete("bull:a:wait")
        return ask(packed, *more)

    monkeypatch.setattr(watch.client, "batch", take_first)
    samples = watch.poll()
    assert value(samples, "bullmq_queue_size", queue="a", state="waiting") == 1
    assert value(samples, "bullmq_queue_oldest_waiting_seconds", queue="a") is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_long_lived_poller_shows_what_a_new_exporter_shows(
    any_server: Any_, clock: StoppedClock, seed: int
) -> None:
    """After each of several random changes, and after none."""
    rng = random.Random(seed)  # noqa: S311 - to repeat a failure
    client = any_server.client()
    build(client)
    watch = Watch(any_server.url)
    watch.discover_and_poll()
    for step in range(15):
        clock.move(rng.choice((0, 0, 7)))
        change = rng.choice(CHANGES) if step % 3 else None
        if change is not None:
            change(client, rng.choice(NAMES), rng)
        ours = shown(watch.poll())
        fresh = shown(Watch(any_server.url).discover_and_poll())
        # a TTL decreases between two polls
        left, less = (every(samples, LEFT) for samples in (ours, fresh))
        assert left == pytest.approx(less, abs=LIMIT_SECONDS), change
        assert ours | left == fresh | left, change


def test_a_job_becomes_overdue_without_a_change(any_server: Any_, clock: StoppedClock) -> None:
    """Nothing in Redis changes, but a delayed job becomes overdue."""
    client = any_server.client()
    client.hset("bull:a:meta", "version", "bullmq:6.7.0")
    client.set("bull:a:id", 1)
    # a job is overdue after five seconds of grace
    client.zadd("bull:a:delayed", {"1": (now_ms() - 2_500) << 12})
    watch = Watch(any_server.url)
    assert value(watch.discover_and_poll(), "bullmq_queue_delayed_overdue_jobs") == 0
    assert value(watch.poll(), "bullmq_queue_delayed_overdue_jobs") == 0
    clock.move(3)
    samples = watch.poll()
    assert value(samples, "bullmq_queue_delayed_overdue_jobs") == 1
    assert value(samples, "bullmq_queue_delayed_overdue_seconds") == pytest.approx(5.5)
