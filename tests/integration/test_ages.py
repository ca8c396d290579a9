"""How late: waiting, active, overdue, schedulers; against BullMQ's own times."""

from __future__ import annotations

import time

import pytest
import redis

from exporter.collectors.queues.subjects.active import OLDEST_ACTIVE_JOB
from exporter.collectors.queues.subjects.limits import RATE_LIMITED
from exporter.collectors.queues.subjects.movement import STILL_SINCE
from exporter.collectors.queues.subjects.scheduled import FIRST_SCHEDULERS
from exporter.collectors.queues.subjects.waiting import OLDEST_WAITING_JOB
from exporter.connection import Replies, ReplyError
from tests.support.pages import Samples, value
from tests.support.redis_data import add_event, add_queues
from tests.support.servers import Server
from tests.support.stopped_clock import StoppedClock
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
        watch = Watch(any_server.url)
        assert near(value(watch.discover_and_poll(), OLDEST), 99)
        assert watch.table.value(OLDEST_WAITING_JOB, 0) == b"1"

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
        client = self.declare(any_server, "1")
        job(client, "1", 100)
        watch = Watch(any_server.url)
        watch.discover_unseen()
        client.delete("bull:q:wait")
        assert value(watch.poll(), OLDEST) == 0
        assert watch.table.value(OLDEST_WAITING_JOB, 0) is None

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
        watch.discover_unseen()
        watch.poll_unseen()
        assert near(value(watch.poll(), OLDEST), 500)
        assert watch.table.value(OLDEST_WAITING_JOB, 0) == b"c"
        client.zrem("bull:q:prioritized", "c")
        assert near(value(watch.poll(), OLDEST), 50)
        assert watch.table.value(OLDEST_WAITING_JOB, 0) == b"b"

    def test_jobs_that_stay_are_asked_for_once(self, server: Server) -> None:
        client = self.declare(server, *"4321")
        settings = {"version": "bullmq:6.7.0", "opts.maxLenEvents": 10000}
        client.hset("bull:q:meta", mapping=settings)
        for number in "4321":
            job(client, number, 10)
        watch = Watch(server.url)
        watch.discover_unseen()
        watch.poll_unseen()
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
        watch = Watch(any_server.url)
        assert near(value(watch.discover_and_poll(), self.NAME), 60)
        assert watch.table.value(OLDEST_ACTIVE_JOB, 0) == b"1"
        client.delete("bull:q:active")
        assert value(watch.poll(), self.NAME) == 0
        assert watch.table.value(OLDEST_ACTIVE_JOB, 0) is None

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


class TestSameId:
    """A job that is started, retried or added again under its ID is another attempt."""

    ACTIVE = "bullmq_queue_oldest_active_seconds"

    @pytest.fixture(params=["no events", "events"])
    def events(self, request: pytest.FixtureRequest) -> bool:
        return bool(request.param == "events")

    def queue(self, server: Server, *, events: bool) -> redis.Redis:
        client = server.client()
        client.set("bull:q:id", 1)
        if events:
            settings = {"version": "bullmq:6.7.0", "opts.maxLenEvents": 10000}
            client.hset("bull:q:meta", mapping=settings)
        return client

    def happens(self, client: redis.Redis, *, events: bool) -> None:
        if events:
            add_event(client, "waiting")
            add_event(client, "active")

    def still_seconds(self, watch: Watch) -> float:
        since = watch.table.value(STILL_SINCE, 0)
        assert since is not None
        return time.monotonic() - since

    def test_active(self, any_server: Server, clock: StoppedClock, events: bool) -> None:
        client = self.queue(any_server, events=events)
        client.rpush("bull:q:active", "1")
        client.rpush("bull:q:wait", "2")
        job(client, "1", 100, processedOn=ago(0))
        job(client, "2", 100)
        watch = Watch(any_server.url)
        watch.discover_unseen()
        for _ in range(4):
            clock.move(10)
            job(client, "1", 100, processedOn=ago(1))
            self.happens(client, events=events)
            assert near(value(watch.poll(), self.ACTIVE), 1)
            assert near(self.still_seconds(watch), 0)
        clock.move(10)
        assert near(value(watch.poll(), self.ACTIVE), 11)
        assert self.still_seconds(watch) >= 9

    def test_waiting(self, any_server: Server, clock: StoppedClock, events: bool) -> None:
        client = self.queue(any_server, events=events)
        client.rpush("bull:q:wait", "2", "1")
        watch = Watch(any_server.url)
        job(client, "1", 50)
        job(client, "2", 40)
        watch.discover_unseen()
        watch.poll_unseen()
        for _ in range(4):
            clock.move(10)
            job(client, "1", 3)
            job(client, "2", 2)
            self.happens(client, events=events)
            assert near(value(watch.poll(), OLDEST), 3)
            assert near(self.still_seconds(watch), 0)
        clock.move(10)
        assert near(value(watch.poll(), OLDEST), 13)

    def test_a_start_in_the_stream_is_movement(
        self, any_server: Server, clock: StoppedClock
    ) -> None:
        """A job that is too fast to be seen, among jobs that stay."""
        client = self.queue(any_server, events=True)
        client.rpush("bull:q:wait", "1")
        job(client, "1", 5)
        watch = Watch(any_server.url)
        watch.discover_unseen()
        watch.poll_unseen()
        clock.move(30)
        watch.poll_unseen()
        assert near(self.still_seconds(watch), 30)
        add_event(client, "active", entry_id=f"{ago(2)}-0")
        watch.poll_unseen()
        watch.poll_unseen()
        assert near(self.still_seconds(watch), 2)


@pytest.mark.usefixtures("clock")
class TestPutBack:
    """`retry` and `retryJobs` delete the times of a job's attempts."""

    def failed_job(self, client: redis.Redis, **fields: object) -> None:
        client.hset("bull:q:meta", "opts.maxLenEvents", 10000)
        client.set("bull:q:id", 1)
        client.rpush("bull:q:wait", "1")
        job(client, "1", 3 * 86_400, atm=3, **fields)

    @pytest.mark.parametrize("attempts_are_reset", [False, True])
    def test_counts_from_its_event(self, any_server: Server, *, attempts_are_reset: bool) -> None:
        client = any_server.client()
        client.hset("bull:q:meta", "opts.maxLenEvents", 10000)
        watch = Watch(any_server.url)
        watch.discover_unseen()
        add_event(client, "waiting", entry_id=f"{ago(7)}-0", prev="failed")
        self.failed_job(client)
        if attempts_are_reset:
            client.hdel("bull:q:1", "atm")
        watch.poll_unseen()
        assert near(value(watch.poll(), OLDEST), 7)

    def test_without_its_event_at_least_since_it_was_seen(
        self, any_server: Server, clock: StoppedClock
    ) -> None:
        client = any_server.client()
        self.failed_job(client)
        watch = Watch(any_server.url)
        assert near(value(watch.discover_and_poll(), OLDEST), 0)
        clock.move(5)
        assert near(value(watch.poll(), OLDEST), 5)
        client.lpush("bull:q:wait", "2")
        job(client, "2", 1)
        assert near(value(watch.poll(), OLDEST), 5)

    def test_bull_writes_when(self, any_server: Server) -> None:
        self.failed_job(any_server.client(), attemptsMade=3, retriedOn=ago(9))
        assert near(value(watched(any_server), OLDEST), 9)

    @pytest.mark.parametrize(
        ("backoff", "attempts", "age"),
        [
            ('{"type":"fixed","delay":70000}', 1, 30),
            ('{"type":"exponential","delay":20000}', 3, 20),
            ('{"type":"mine","delay":70000}', 1, 100),
            ("60000", 2, 40),
            ('{"type":"fixed","delay":70000}', 0, 100),
            ('{"type":"exponential","delay":1e308}', 400, 0),
        ],
    )
    def test_a_backoff_is_not_waiting(
        self, any_server: Server, backoff: str, attempts: int, age: float
    ) -> None:
        client = any_server.client()
        client.set("bull:q:id", 1)
        client.rpush("bull:q:wait", "1")
        opts = f'{{"attempts":5,"backoff":{backoff}}}'
        job(client, "1", 500, processedOn=ago(100), atm=attempts, opts=opts)
        assert near(value(watched(any_server), OLDEST), age)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("name", ["waiting", "active"])
def test_an_age_that_failed_is_asked_for_again(
    any_server: Server, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Nothing changes but that Redis permits it."""
    client = any_server.client()
    client.hset("bull:q:meta", "opts.maxLenEvents", 10000)
    client.set("bull:q:id", 1)
    client.rpush("bull:q:wait" if name == "waiting" else "bull:q:active", "1")
    job(client, "1", 60, processedOn=ago(60))
    watch = Watch(any_server.url)
    batch = watch.client.batch

    def refuse(packed: bytes, count: int, limit: int) -> Replies:
        if b"bull:q:1\r\n" not in packed:
            return batch(packed, count, limit)
        error = ReplyError("NOPERM this user has no permissions to run the 'hmget' command")
        return Replies([error] * count, tuple(range(count)))

    oldest = f"bullmq_queue_oldest_{name}_seconds"
    with monkeypatch.context() as patch:
        patch.setattr(watch.client, "batch", refuse)
        watch.discover_unseen()
        for _ in range(3):
            assert value(watch.poll(), oldest) is None
    assert near(value(watch.poll(), oldest), 60)


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
        watch.discover_unseen()
        samples = watch.poll()
        assert value(samples, "bullmq_queue_schedulers", queue="q") == 2
        assert value(samples, "bullmq_queue_schedulers_overdue", queue="q") == 1
        late = value(samples, "bullmq_queue_schedulers_overdue_seconds", queue="q")
        assert near(late, 90)
        names = ("schedulers", "schedulers_overdue", "schedulers_overdue_seconds")
        assert [value(samples, f"bullmq_queue_{n}", queue="plain") for n in names] == [0, 0, 0]


@pytest.mark.usefixtures("clock")
class TestFinishedSchedulers:
    """At its limit or past its end, a scheduler stays in `repeat` with its last time."""

    NAMES = ("schedulers", "schedulers_overdue", "schedulers_overdue_seconds")

    def scheduler(self, client: redis.Redis, name: str, age: float, **fields: object) -> None:
        client.zadd("bull:q:repeat", {name: ago(age)})
        client.hset(f"bull:q:repeat:{name}", mapping={"name": name, "every": 300} | fields)

    def iteration(self, client: redis.Redis, name: str, age: float, **fields: object) -> None:
        client.hset(f"bull:q:repeat:{name}:{ago(age)}", mapping={"timestamp": ago(age)} | fields)

    def states(self, watch: Watch) -> dict[str, str]:
        """The states of the first schedulers, by ID."""
        first = watch.table.value(FIRST_SCHEDULERS, 0)
        return {run.id: run.state.value for run in first.runs()} if first is not None else {}

    def overdue(self, samples: Samples) -> list[float | None]:
        return [value(samples, f"bullmq_queue_{name}", queue="q") for name in self.NAMES]

    def test_do_not_count(self, any_server: Server) -> None:
        client = any_server.client()
        add_queues(client, "q")
        self.scheduler(client, "three", 900, limit=3, ic=3)
        self.iteration(client, "three", 900, processedOn=ago(899), finishedOn=ago(898))
        self.scheduler(client, "ended", 800, endDate=ago(700), ic=9)
        assert self.overdue(watched(any_server)) == [2, 0, 0]

    def test_do_not_hide_others(self, any_server: Server) -> None:
        client = any_server.client()
        add_queues(client, "q")
        self.scheduler(client, "three", 900, limit=3, ic=3)
        self.scheduler(client, "late", 90, limit=3, ic=2, endDate=ago(-900))
        self.scheduler(client, "old format", 80)
        client.delete("bull:q:repeat:old format")
        self.scheduler(client, "next", -60)
        watch = Watch(any_server.url)
        total, number, seconds = self.overdue(watch.discover_and_poll())
        assert (total, number) == (4, 2)
        assert near(seconds, 90)
        assert self.states(watch) == {
            "three": "finished",
            "late": "late",
            "old format": "late",
            "next": "scheduled",
        }
        for name in ("late", "old format"):
            self.scheduler(client, name, -60)
        watch.poll_unseen()
        assert set(self.states(watch).values()) == {"finished", "scheduled"}

    def test_a_last_iteration_that_waits_is_late(
        self, any_server: Server, clock: StoppedClock
    ) -> None:
        """`ic` is at the limit as soon as the last iteration is added."""
        client = any_server.client()
        add_queues(client, "q")
        self.scheduler(client, "three", 90, limit=3, ic=3)
        self.iteration(client, "three", 90)
        watch = Watch(any_server.url)
        assert self.overdue(watch.discover_and_poll())[1] == 1
        self.iteration(client, "three", 90, processedOn=ago(0))
        clock.move(10)  # a late scheduler is looked at every 10 s
        assert self.overdue(watch.poll()) == [1, 0, 0]

    def test_one_that_is_set_again(self, any_server: Server, clock: StoppedClock) -> None:
        client = any_server.client()
        add_queues(client, "q")
        self.scheduler(client, "three", 90, limit=3, ic=3)
        watch = Watch(any_server.url)
        assert self.overdue(watch.discover_and_poll()) == [1, 0, 0]
        self.scheduler(client, "three", -10, limit=5, ic=3)
        assert self.overdue(watch.poll()) == [1, 0, 0]
        clock.move(20)
        assert self.overdue(watch.poll())[1] == 1

    def test_many_are_looked_at_in_turn(self, any_server: Server) -> None:
        """Until then, how many are late is unknown."""
        client = any_server.client()
        add_queues(client, "q")
        for number in range(25):
            self.scheduler(client, f"s{number}", 100 - number, limit=1, ic=1)
        self.scheduler(client, "late", 50)
        watch = Watch(any_server.url)
        assert self.overdue(watch.discover_and_poll()) == [26, None, None]
        assert len(self.states(watch)) == 10
        watch.poll_unseen()
        total, number, seconds = self.overdue(watch.poll())
        assert (total, number) == (26, 1)
        assert near(seconds, 50)


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
        watch.discover_unseen()
        watch.poll_unseen()
        assert watch.table.column(RATE_LIMITED) == [used_up]
