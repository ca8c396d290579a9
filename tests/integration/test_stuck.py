"""Stuck jobs: what proves them, when they are named, and what clears them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from exporter.bullmq import PRIORITY_BAND, delayed_score
from exporter.collectors.queues.subjects.deduplication import LEFT_DEDUPLICATIONS
from exporter.collectors.queues.subjects.flows import STUCK_PARENTS
from exporter.collectors.queues.subjects.poison import POISON
from exporter.collectors.queues.subjects.scheduled import (
    DEAD_SCHEDULER_EXAMPLES,
    FIRST_SCHEDULERS,
    STUCK_DELAYED,
)
from exporter.collectors.queues.subjects.starving import STARVING
from exporter.collectors.queues.subjects.stuck_active import STUCK_ACTIVE
from exporter.collectors.queues.suspects import LOOK_SECONDS
from exporter.state.queue_table import Column
from exporter.state.schedulers import SchedulerRun, SchedulerState
from exporter.state.stuck import StuckJobs
from tests.support.pages import Samples, every, value
from tests.support.redis_data import add_event, add_queues
from tests.support.servers import FakeServer, Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch

Any_ = Server | FakeServer


class Looks:
    """A poller that is moved on until every queue was looked at again."""

    def __init__(self, server: Any_, clock: StoppedClock, *, user: str = "", **queues: Any) -> None:
        self.watch = Watch(server.url.replace("://", f"://{user}"), **queues)
        self._clock = clock
        self._interval = self.watch.config.poll.interval_seconds
        self.first = self.watch.discover_and_poll()
        """The page of the first poll, which may be a look."""

    def look(self, times: int = 1) -> Samples:
        """Poll for as long as that many looks take."""
        for _ in range(round(times * LOOK_SECONDS / self._interval)):
            self._clock.move(self._interval)
            self.watch.poll_unseen()
        return self.watch.samples()

    def stuck(self, column: Column[StuckJobs]) -> StuckJobs:
        """The stuck jobs of the only queue."""
        return self.watch.table.value(column, 0) or ()


def number(samples: Samples, kind: str) -> float | None:
    return value(samples, "bullmq_queue_stuck_jobs", kind=kind)


def now_ms() -> int:
    return int(time.time() * 1000)


class TestParents:
    @pytest.fixture
    def server_with_parent(self, any_server: Any_) -> Any_:
        """A parent with two children in another queue; both have failed."""
        client = any_server.client()
        add_queues(client, "mail")
        client.zadd("bull:mail:waiting-children", {"p": now_ms() - 60_000})
        client.sadd("bull:mail:p:dependencies", "bull:x:1", "bull:x:2")
        for child in (1, 2):
            client.hset(f"bull:x:{child}", mapping={"timestamp": 1, "finishedOn": 2})
        return any_server

    def test_is_named_by_the_second_look(
        self, server_with_parent: Any_, clock: StoppedClock
    ) -> None:
        looks = Looks(server_with_parent, clock)
        assert number(looks.first, "parent") is None
        assert number(looks.look(3), "parent") == 1
        (job,) = looks.stuck(STUCK_PARENTS)
        assert (job.id, job.proof) == ("p", "of its children, 2 failed for good")
        assert job.since == pytest.approx(time.time() - 90, abs=60)

    def test_children_that_are_gone(self, server_with_parent: Any_, clock: StoppedClock) -> None:
        server_with_parent.client().delete("bull:x:1")
        looks = Looks(server_with_parent, clock)
        looks.look(3)
        (job,) = looks.stuck(STUCK_PARENTS)
        assert job.proof == "of its children, 1 failed for good and 1 do not exist any more"

    def test_one_living_child_is_enough(
        self, server_with_parent: Any_, clock: StoppedClock
    ) -> None:
        client = server_with_parent.client()
        client.sadd("bull:mail:p:dependencies", *(f"bull:x:{n}" for n in range(3, 40)))
        for child in range(3, 40):
            client.hset(f"bull:x:{child}", mapping={"timestamp": 1, "finishedOn": 2})
        client.hdel("bull:x:39", "finishedOn")
        looks = Looks(server_with_parent, clock)
        assert number(looks.look(12), "parent") is None

    def test_many_children_are_looked_at_in_turn(
        self, server_with_parent: Any_, clock: StoppedClock
    ) -> None:
        client = server_with_parent.client()
        client.sadd("bull:mail:p:dependencies", *(f"bull:x:{n}" for n in range(3, 301)))
        looks = Looks(server_with_parent, clock)
        samples = looks.look(80)
        assert number(samples, "parent") == 1
        (job,) = looks.stuck(STUCK_PARENTS)
        assert job.proof.startswith("of its children, 2 failed for good and ")

    def test_a_retried_child_clears_it(self, server_with_parent: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_parent, clock)
        assert number(looks.look(3), "parent") == 1
        server_with_parent.client().hdel("bull:x:2", "finishedOn")
        assert number(looks.look(2), "parent") == 0

    def test_a_parent_that_went_on_clears_it(
        self, server_with_parent: Any_, clock: StoppedClock
    ) -> None:
        looks = Looks(server_with_parent, clock)
        assert number(looks.look(3), "parent") == 1
        client = server_with_parent.client()
        client.zadd("bull:mail:waiting-children", {"other": now_ms()})
        client.sadd("bull:mail:other:dependencies", "bull:x:9")
        client.hset("bull:x:9", "timestamp", 1)
        client.zrem("bull:mail:waiting-children", "p")
        assert number(looks.look(2), "parent") == 0

    def test_every_parent_is_looked_at(self, any_server: Any_, clock: StoppedClock) -> None:
        client = any_server.client()
        add_queues(client, "mail")
        client.hset("bull:x:1", "timestamp", 1)
        for parent in range(8):
            client.zadd("bull:mail:waiting-children", {str(parent): parent})
            client.sadd(f"bull:mail:{parent}:dependencies", "bull:x:1")
        client.srem("bull:mail:5:dependencies", "bull:x:1")
        looks = Looks(any_server, clock)
        assert number(looks.look(20), "parent") == 1
        (job,) = looks.stuck(STUCK_PARENTS)
        assert (job.id, job.proof) == ("5", "it waits for no child")


class TestActive:
    @pytest.fixture
    def server_with_job(self, any_server: Any_) -> Any_:
        """An active job whose lock has expired."""
        client = any_server.client()
        add_queues(client, "mail")
        client.rpush("bull:mail:active", "7")
        client.hset("bull:mail:7", "processedOn", now_ms() - 120_000)
        return any_server

    def test_is_named_by_the_second_look(self, server_with_job: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_job, clock)
        assert number(looks.first, "active") is None
        assert number(looks.look(2), "active") == 1
        (job,) = looks.stuck(STUCK_ACTIVE)
        assert (job.id, job.proof) == (
            "7",
            "no worker holds its lock, and none looks for such jobs",
        )
        assert job.since == pytest.approx(time.time() - 150, abs=60)

    def test_a_lock_clears_it(self, server_with_job: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_job, clock)
        assert number(looks.look(3), "active") == 1
        server_with_job.client().set("bull:mail:7:lock", "token")
        assert number(looks.look(2), "active") == 0

    def test_the_end_of_the_job_clears_it(self, server_with_job: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_job, clock)
        assert number(looks.look(3), "active") == 1
        server_with_job.client().delete("bull:mail:active")
        assert number(looks.look(2), "active") == 0

    def test_a_sweep_has_time_to_put_it_back(
        self, server_with_job: Any_, clock: StoppedClock
    ) -> None:
        server_with_job.client().set("bull:mail:stalled-check", now_ms())
        looks = Looks(server_with_job, clock)
        assert number(looks.look(12), "active") is None
        assert number(looks.look(6), "active") == 1
        assert looks.stuck(STUCK_ACTIVE)[0].proof == "no worker holds its lock"

    def test_of_many_at_most_ten_are_named(self, any_server: Any_, clock: StoppedClock) -> None:
        client = any_server.client()
        add_queues(client, "mail")
        client.rpush("bull:mail:active", *range(100))
        looks = Looks(any_server, clock)
        assert number(looks.look(8), "active") == 10
        assert looks.stuck(STUCK_ACTIVE)[0].id == "99"


class TestSchedulers:
    @pytest.fixture
    def server_with_scheduler(self, any_server: Any_) -> Any_:
        """A scheduler that is due, and whose next job does not exist."""
        client = any_server.client()
        add_queues(client, "mail")
        client.hset("bull:mail:repeat:tick", mapping={"name": "tick", "every": 1000, "ic": 3})
        client.zadd("bull:mail:repeat", {"tick": 1_700_000_000_000})
        return any_server

    def test_is_named(self, server_with_scheduler: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_scheduler, clock)
        assert number(looks.look(2), "scheduler") == 1
        (job,) = looks.stuck(DEAD_SCHEDULER_EXAMPLES)
        assert (job.id, job.since) == ("tick", 1_700_000_000)
        assert job.proof == "its next job, repeat:tick:1700000000000, does not exist"
        first = looks.watch.table.value(FIRST_SCHEDULERS, 0)
        assert first is not None
        assert first.runs() == (SchedulerRun("tick", SchedulerState.DEAD, 1_700_000_000),)

    def test_a_late_one_is_not(self, server_with_scheduler: Any_, clock: StoppedClock) -> None:
        server_with_scheduler.client().hset(
            "bull:mail:repeat:tick:1700000000000", "timestamp", 1_700_000_000_000
        )
        assert number(Looks(server_with_scheduler, clock).look(2), "scheduler") is None

    def test_nor_is_a_finished_one(self, server_with_scheduler: Any_, clock: StoppedClock) -> None:
        server_with_scheduler.client().hset("bull:mail:repeat:tick", "limit", 3)
        assert number(Looks(server_with_scheduler, clock).look(2), "scheduler") is None

    def test_nor_one_of_an_old_version(self, any_server: Any_, clock: StoppedClock) -> None:
        client = any_server.client()
        add_queues(client, "mail")
        client.zadd("bull:mail:repeat", {"tick::::* * * * *": 1_700_000_000_000})
        assert number(Looks(any_server, clock).look(2), "scheduler") is None

    def test_a_new_schedule_clears_it(
        self, server_with_scheduler: Any_, clock: StoppedClock
    ) -> None:
        looks = Looks(server_with_scheduler, clock)
        assert number(looks.look(2), "scheduler") == 1
        server_with_scheduler.client().zadd("bull:mail:repeat", {"tick": now_ms() + 3_600_000})
        assert number(looks.look(), "scheduler") == 0


class TestDeduplication:
    @pytest.fixture
    def server_with_key(self, any_server: Any_) -> Any_:
        """A deduplication key without expiry, whose job is gone."""
        client = any_server.client()
        add_queues(client, "mail")
        add_event(client, "added", 1, queue="mail")
        client.set("bull:mail:de:order", "7")
        return any_server

    def ignored_add(self, server: Any_, deduplication: str = "order") -> None:
        add_event(
            server.client(),
            "deduplicated",
            7,
            queue="mail",
            deduplicationId=deduplication,
            deduplicatedJobId="8",
        )

    def test_is_named_after_an_ignored_add(
        self, server_with_key: Any_, clock: StoppedClock
    ) -> None:
        looks = Looks(server_with_key, clock)
        assert number(looks.look(3), "deduplication") is None
        self.ignored_add(server_with_key)
        assert number(looks.look(3), "deduplication") == 1
        (job,) = looks.stuck(LEFT_DEDUPLICATIONS)
        assert (job.id, job.since) == ("order", None)
        assert job.proof == "its key has no expiry, and its job 7 is gone"

    def test_a_finished_job(self, server_with_key: Any_, clock: StoppedClock) -> None:
        server_with_key.client().hset(
            "bull:mail:7", mapping={"timestamp": 1, "finishedOn": 1_700_000_000_000}
        )
        looks = Looks(server_with_key, clock)
        self.ignored_add(server_with_key)
        looks.look(3)
        (job,) = looks.stuck(LEFT_DEDUPLICATIONS)
        assert (job.since, job.proof[-21:]) == (1_700_000_000, "its job 7 is finished")

    def test_a_living_job_holds_its_key(self, server_with_key: Any_, clock: StoppedClock) -> None:
        server_with_key.client().hset("bull:mail:7", "timestamp", 1)
        looks = Looks(server_with_key, clock)
        self.ignored_add(server_with_key)
        assert number(looks.look(3), "deduplication") is None

    def test_a_key_that_expires_is_not_stuck(
        self, server_with_key: Any_, clock: StoppedClock
    ) -> None:
        server_with_key.client().expire("bull:mail:de:order", 3600)
        looks = Looks(server_with_key, clock)
        self.ignored_add(server_with_key)
        assert number(looks.look(3), "deduplication") is None

    def test_its_removal_clears_it(self, server_with_key: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_key, clock)
        self.ignored_add(server_with_key)
        assert number(looks.look(3), "deduplication") == 1
        server_with_key.client().delete("bull:mail:de:order")
        assert number(looks.look(2), "deduplication") == 0


class TestPoison:
    @pytest.fixture
    def looks(self, any_server: Any_, clock: StoppedClock) -> Looks:
        """Of a queue with a job that is active."""
        client = any_server.client()
        add_queues(client, "mail")
        add_event(client, "added", 1, queue="mail")
        client.rpush("bull:mail:active", "7")
        client.set("bull:mail:7:lock", "token")
        client.hset("bull:mail:7", mapping={"timestamp": 1_700_000_000_000, "ats": 3, "atm": 0})
        return Looks(any_server, clock)

    @staticmethod
    def returns(server: Any_, times: int, *, stalled: bool) -> None:
        """The job's events, that many times."""
        for _ in range(times):
            add_event(server.client(), "active", 7, queue="mail", prev="waiting")
            if stalled:
                add_event(server.client(), "waiting", 7, queue="mail", prev="active")
                add_event(server.client(), "stalled", 7, queue="mail")
            else:
                add_event(server.client(), "delayed", 7, queue="mail", delay="1")

    def test_a_job_that_stalls_again_is_named(self, any_server: Any_, looks: Looks) -> None:
        any_server.client().hset("bull:mail:7", "stc", 2)
        self.returns(any_server, 2, stalled=True)
        assert number(looks.look(3), "poison") == 1
        (job,) = looks.stuck(POISON)
        assert (job.id, job.since) == ("7", 1_700_000_000)
        assert job.proof == "it stalled 2 times, in 3 starts"

    def test_the_counter_of_older_versions(self, any_server: Any_, looks: Looks) -> None:
        any_server.client().hset("bull:mail:7", "stalledCounter", 4)
        self.returns(any_server, 2, stalled=True)
        looks.look(3)
        assert looks.stuck(POISON)[0].proof == "it stalled 4 times, in 3 starts"

    def test_a_storm_of_retries(self, any_server: Any_, looks: Looks) -> None:
        any_server.client().hset("bull:mail:7", "atm", 12)
        self.returns(any_server, 3, stalled=False)
        looks.look(3)
        assert looks.stuck(POISON)[0].proof == "it failed 12 times"

    def test_a_few_retries_are_ordinary(self, any_server: Any_, looks: Looks) -> None:
        any_server.client().hset("bull:mail:7", "atm", 4)
        self.returns(any_server, 4, stalled=False)
        assert number(looks.look(3), "poison") is None

    def test_a_job_that_moves_itself_to_delayed(self, any_server: Any_, looks: Looks) -> None:
        any_server.client().hset("bull:mail:7", "ats", 50)
        self.returns(any_server, 50, stalled=False)
        assert number(looks.look(3), "poison") is None

    def test_its_end_clears_it(self, any_server: Any_, looks: Looks) -> None:
        any_server.client().hset("bull:mail:7", "stc", 2)
        self.returns(any_server, 2, stalled=True)
        assert number(looks.look(3), "poison") == 1
        any_server.client().hset("bull:mail:7", "finishedOn", now_ms())
        assert number(looks.look(2), "poison") == 0


class TestDelayed:
    @pytest.fixture
    def server_with_job(self, any_server: Any_) -> Any_:
        """A delayed job that has been due for a minute."""
        client = any_server.client()
        add_queues(client, "mail")
        client.zadd("bull:mail:delayed", {"7": delayed_score(now_ms() - 60_000)})
        client.zadd("bull:mail:delayed", {"8": delayed_score(now_ms() + 3_600_000)})
        return any_server

    def test_is_named(self, server_with_job: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_job, clock)
        assert number(looks.look(3), "delayed") == 1
        (job,) = looks.stuck(STUCK_DELAYED)
        assert (job.id, job.proof) == ("7", "it is due, and no worker has promoted it")
        assert job.since == pytest.approx(time.time() - 90, abs=60)

    def test_not_in_a_paused_queue(self, server_with_job: Any_, clock: StoppedClock) -> None:
        server_with_job.client().hset("bull:mail:meta", "paused", 1)
        assert number(Looks(server_with_job, clock).look(3), "delayed") is None

    def test_not_while_the_rate_limit_lasts(
        self, server_with_job: Any_, clock: StoppedClock
    ) -> None:
        server_with_job.client().set("bull:mail:limiter", 1, px=3_600_000)
        assert number(Looks(server_with_job, clock).look(3), "delayed") is None

    def test_not_while_workers_are_busy(self, server_with_job: Any_, clock: StoppedClock) -> None:
        client = server_with_job.client()
        client.rpush("bull:mail:active", "9")
        client.set("bull:mail:9:lock", "token")
        assert number(Looks(server_with_job, clock).look(3), "delayed") is None

    def test_its_promotion_clears_it(self, server_with_job: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_job, clock)
        assert number(looks.look(3), "delayed") == 1
        server_with_job.client().zrem("bull:mail:delayed", "7")
        assert number(looks.look(2), "delayed") == 0

    def test_of_many_at_most_ten_are_named(
        self, server_with_job: Any_, clock: StoppedClock
    ) -> None:
        server_with_job.client().zadd(
            "bull:mail:delayed", {f"j{n}": delayed_score(now_ms() - 60_000 + n) for n in range(30)}
        )
        assert number(Looks(server_with_job, clock).look(3), "delayed") == 10


class TestPriority:
    @pytest.fixture
    def server_with_jobs(self, any_server: Any_) -> Any_:
        """A job of low priority that has waited for an hour, and one of high priority."""
        client = any_server.client()
        add_queues(client, "mail")
        client.delete("bull:mail:wait")
        self.add(any_server, "low", 100, 3600)
        self.add(any_server, "high", 1, 1)
        return any_server

    @staticmethod
    def add(server: Any_, job: str, priority: int, age: float) -> None:
        client = server.client()
        client.zadd("bull:mail:prioritized", {job: priority * PRIORITY_BAND + 1})
        client.hset(f"bull:mail:{job}", "timestamp", now_ms() - round(age * 1000))

    def starts(self, server: Any_) -> None:
        """A worker takes the most urgent job, and another one is added."""
        client = server.client()
        ((job, _),) = client.zpopmin("bull:mail:prioritized")
        add_event(client, "active", job, queue="mail", prev="waiting")
        self.add(server, f"{job.decode()}x", 1, 0)

    def test_is_named(self, server_with_jobs: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_jobs, clock)
        for _ in range(3):
            self.starts(server_with_jobs)
            looks.look()
        (job,) = looks.stuck(STARVING)
        assert job.id == "low"
        assert job.since == pytest.approx(time.time() - 3600, abs=60)
        assert job.proof.startswith("its priority is 100, and the next job, highxx")

    def test_not_if_nothing_is_started(self, server_with_jobs: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_jobs, clock)
        assert number(looks.look(20), "priority") is None

    def test_not_if_the_more_urgent_jobs_are_older(
        self, server_with_jobs: Any_, clock: StoppedClock
    ) -> None:
        looks = Looks(server_with_jobs, clock)
        client = server_with_jobs.client()
        for number_ in range(4):
            client.zpopmin("bull:mail:prioritized")
            self.add(server_with_jobs, f"older{number_}", 1, 7200)
            add_event(client, "active", number_, queue="mail", prev="waiting")
            samples = looks.look()
        assert number(samples, "priority") is None

    def test_its_start_clears_it(self, server_with_jobs: Any_, clock: StoppedClock) -> None:
        looks = Looks(server_with_jobs, clock)
        for _ in range(3):
            self.starts(server_with_jobs)
            samples = looks.look()
        assert number(samples, "priority") == 1
        server_with_jobs.client().zrem("bull:mail:prioritized", "low")
        self.starts(server_with_jobs)
        assert number(looks.look(2), "priority") == 0


class TestBudget:
    QUEUES = 24

    @pytest.fixture
    def server_with_parents(self, any_server: Any_) -> Any_:
        """Queues of which each has a parent without children."""
        names = [f"queue-{number}" for number in range(self.QUEUES)]
        add_queues(any_server.client(), "bull", *names)
        client = any_server.client()
        for name in names:
            client.zadd(f"bull:{name}:waiting-children", {"7": now_ms()})
        return any_server

    def test_looks_that_it_cuts_are_made_later(
        self, server_with_parents: Any_, clock: StoppedClock
    ) -> None:
        looks = Looks(server_with_parents, clock, stuck_jobs_redis_share=5e-6)
        first = looks.look(4)
        named = number_named(first)
        assert named < self.QUEUES
        assert (value(first, "bullmq_exporter_stuck_looks_cut_total") or 0) > 0
        spent = value(first, "bullmq_exporter_stuck_looks_redis_seconds_total") or 0
        assert 0 < spent < 1e-3
        for _ in range(40):
            last = looks.look()
        assert number_named(last) == self.QUEUES

    def test_by_default_it_cuts_none(self, server_with_parents: Any_, clock: StoppedClock) -> None:
        last = Looks(server_with_parents, clock).look(4)
        assert number_named(last) == self.QUEUES
        assert value(last, "bullmq_exporter_stuck_looks_cut_total") == 0


def number_named(samples: Samples) -> int:
    """The number of queues with a stuck parent."""
    return sum(every(samples, "bullmq_queue_stuck_jobs", kind="parent").values())


class TestRefusedLooks:
    """What a refused command leaves unknown is looked at again, without another event."""

    @pytest.fixture
    def looks(self, server: Server, clock: StoppedClock) -> Looks:
        """By a user whose permissions change."""
        client = server.client()
        add_queues(client, "mail")
        add_event(client, "added", 1, queue="mail")
        client.set("bull:mail:de:order", "7")
        client.hset("bull:mail:9", mapping={"timestamp": 1_700_000_000_000, "stc": 2})
        self.permit(server, "+@all")
        return Looks(server, clock, user="limited:pass@")

    @staticmethod
    def permit(server: Server, *rules: str) -> None:
        base = ("limited", "on", ">pass", "~*", *rules)
        server.client().execute_command("ACL", "SETUSER", *base)

    @pytest.mark.parametrize("command", ["get", "pttl", "hmget"])
    def test_a_deduplication_key(self, command: str, server: Server, looks: Looks) -> None:
        self.permit(server, f"-{command}")
        TestDeduplication().ignored_add(server)
        assert number(looks.look(3), "deduplication") is None
        self.permit(server, f"+{command}")
        assert number(looks.look(3), "deduplication") == 1
        self.permit(server, f"-{command}")
        assert number(looks.look(3), "deduplication") == 1

    def test_a_poison_job(self, server: Server, looks: Looks) -> None:
        self.permit(server, "-hmget")
        for _ in range(2):
            add_event(server.client(), "active", 9, queue="mail", prev="waiting")
            add_event(server.client(), "waiting", 9, queue="mail", prev="active")
            add_event(server.client(), "stalled", 9, queue="mail")
        assert number(looks.look(3), "poison") is None
        self.permit(server, "+hmget")
        assert number(looks.look(3), "poison") == 1
