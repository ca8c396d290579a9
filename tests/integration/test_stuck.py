"""Stuck jobs: what proves them, when they are named, and what clears them."""

from __future__ import annotations

import time

import pytest

from exporter.collectors.queues.subjects.flows import STUCK_PARENTS
from exporter.collectors.queues.subjects.scheduled import DEAD_SCHEDULER_EXAMPLES
from exporter.collectors.queues.subjects.stuck_active import STUCK_ACTIVE
from exporter.collectors.queues.suspects import LOOK_SECONDS
from exporter.state.queue_table import Column, QueueTable
from exporter.state.stuck import StuckJobs
from tests.support.pages import Samples, value
from tests.support.redis_data import add_queues
from tests.support.servers import FakeServer, Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch

Any_ = Server | FakeServer


class Looks:
    """A poller that is moved on until every queue was looked at again."""

    def __init__(self, server: Any_, clock: StoppedClock) -> None:
        self.watch = Watch(server.url)
        self._clock = clock
        self._interval = self.watch.config.poll.interval_seconds
        self.first = self.watch.discover_and_poll()
        """The page of the first poll, which may be a look."""

    def look(self, times: int = 1) -> Samples:
        """Poll for as long as that many looks take."""
        for _ in range(round(times * LOOK_SECONDS / self._interval)):
            self._clock.move(self._interval)
            samples = self.watch.poll()
        return samples

    def stuck(self, column: Column[StuckJobs]) -> StuckJobs:
        """The stuck jobs of the only queue."""
        table = self.watch.snapshot.facts[QueueTable].facts
        assert isinstance(table, QueueTable)
        return table.value(column, 0) or ()


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
