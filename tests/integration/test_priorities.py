"""The oldest job among any number of priorities, and the number of jobs by priority."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.bullmq import PRIORITY_BAND
from tests.support.pages import Samples, every, value
from tests.support.redis_data import add_event
from tests.support.servers import FakeServer, Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch

Any_ = Server | FakeServer
OLDEST = "bullmq_queue_oldest_waiting_seconds"
KEY = "bull:q:prioritized"
ENOUGH_POLLS = 12
"""Until a thousand priorities are searched."""
TURN = 12
"""Polls in a minute: each queue has its turn in one of them."""
TURNS = 2


class Jobs:
    """A queue `q` with prioritized jobs; the numbers of its jobs begin at 1."""

    def __init__(self, server: Any_, *, events: bool = True) -> None:
        self.client = server.client()
        self.client.flushall()
        version = {"version": "bullmq:6.7.0"} if events else {}
        maximum = {"opts.maxLenEvents": 10000 if events else 0}
        self.client.hset("bull:q:meta", mapping=version | maximum)
        self._created: list[int] = [0]
        """Unix ms, by number."""

    def add(self, *jobs: tuple[int, float], put_back: bool = False) -> None:
        """Add jobs: the priority and the age in seconds of each, in this order."""
        pipeline = self.client.pipeline(transaction=False)
        for priority, age in jobs:
            number, created = len(self._created), int((time.time() - age) * 1000)
            self._created.append(created)
            pipeline.hset(f"bull:q:{number}", mapping={"timestamp": created, "opts": "{}"})
            place = 0 if put_back else number
            pipeline.zadd(KEY, {str(number): priority * PRIORITY_BAND + place})
        pipeline.set("bull:q:id", len(self._created) - 1)
        pipeline.execute()

    def true_age(self) -> float:
        """The age of the oldest job, of all that are left; 0 without a job."""
        created = (self._created[int(job)] for job in self.client.zrange(KEY, 0, -1))
        return max((time.time() - ms / 1000 for ms in created), default=0.0)


def age(samples: Samples) -> float:
    found = value(samples, OLDEST)
    assert found is not None
    return found


def polls(watch: Watch, number: int) -> Iterator[float]:
    for _ in range(number):
        yield age(watch.poll())


def poll_unseen(watch: Watch, number: int) -> None:
    for _ in range(number):
        watch.poll_unseen()


@pytest.mark.usefixtures("clock")
class TestOldest:
    def test_a_starving_job_behind_eight_priorities(self, any_server: Any_) -> None:
        jobs = Jobs(any_server)
        jobs.add(*((1 + number // 3, 14) for number in range(24)), (50, 7200))
        assert age(Watch(any_server.url).discover_and_poll()) == pytest.approx(7200, abs=0.01)

    def test_a_starving_job_in_the_middle(self, any_server: Any_) -> None:
        jobs = Jobs(any_server)
        jobs.add((30, 7200), *((priority, 14) for priority in range(1, 51)))
        assert age(Watch(any_server.url).discover_and_poll()) == pytest.approx(7200, abs=0.01)

    def test_a_starving_job_among_many_jobs_of_each_priority(self, any_server: Any_) -> None:
        jobs = Jobs(any_server)
        jobs.add((23, 7200), *((1 + number % 40, 14) for number in range(4000)))
        watch = Watch(any_server.url)
        watch.discover_unseen()
        assert max(polls(watch, 4)) == pytest.approx(7200, abs=0.01)

    def test_the_least_urgent_priority_is_read_at_once(self, any_server: Any_) -> None:
        jobs = Jobs(any_server)
        jobs.add((1000, 7200), *((1 + number % 1000, 14) for number in range(3000)))
        assert age(Watch(any_server.url).discover_and_poll()) == pytest.approx(7200, abs=0.01)

    def test_a_job_that_was_put_back_hides_no_older_one(self, any_server: Any_) -> None:
        jobs = Jobs(any_server)
        jobs.add((3, 500), (4, 700))
        jobs.add((3, 10), (4, 10), put_back=True)
        assert age(Watch(any_server.url).discover_and_poll()) == pytest.approx(700, abs=0.01)

    def test_when_it_is_taken_the_next_is_the_oldest(self, any_server: Any_) -> None:
        jobs = Jobs(any_server)
        jobs.add(*((priority, 1000 - priority) for priority in range(1, 200)))
        watch = Watch(any_server.url)
        watch.discover_unseen()
        for _ in range(20):
            oldest = min(jobs.client.zrange(KEY, 0, -1), key=int)
            jobs.client.zrem(KEY, oldest)
            assert age(watch.poll()) <= jobs.true_age() + 0.01
        assert max(polls(watch, ENOUGH_POLLS)) == pytest.approx(jobs.true_age(), abs=0.01)

    def test_a_job_with_another_priority(self, any_server: Any_) -> None:
        """No event says so."""
        jobs = Jobs(any_server)
        jobs.add(*((priority, 14) for priority in range(1, 100)), (150, 7200))
        watch = Watch(any_server.url)
        watch.discover_unseen()
        poll_unseen(watch, ENOUGH_POLLS)
        jobs.client.zadd(KEY, {"100": 50 * PRIORITY_BAND + 101})
        jobs.client.zrem(KEY, "50")
        poll_unseen(watch, ENOUGH_POLLS)
        assert age(watch.poll()) == pytest.approx(7200, abs=0.01)

    def test_a_more_urgent_job_hides_no_older_one(self, any_server: Any_) -> None:
        jobs = Jobs(any_server)
        jobs.add((5, 7200), (5, 10), (6, 14))
        watch = Watch(any_server.url)
        watch.discover_unseen()
        watch.poll_unseen()
        jobs.client.zrem(KEY, "2")
        jobs.add((2, 1))
        assert age(watch.poll()) == pytest.approx(7200, abs=0.01)


@pytest.mark.parametrize("priorities", [1, 2, 4, 5, 40, 1000])
def test_a_queue_in_which_nothing_happens_is_not_searched(
    real_server: Server, priorities: int
) -> None:
    """At most four first jobs are read, as for a queue with few priorities."""
    jobs = Jobs(real_server)
    jobs.add(*((1 + number % priorities, 14) for number in range(2 * priorities)))
    jobs.client.xadd("bull:q:events", {"event": "added", "jobId": "1"})
    watch = Watch(real_server.url)
    watch.discover_unseen()
    # the first search begins before the events are read, and is repeated at the queue's turn
    poll_unseen(watch, TURN + ENOUGH_POLLS)
    jobs.client.config_resetstat()
    poll_unseen(watch, TURNS * TURN)
    calls = jobs.client.info("commandstats")

    def called(command: str) -> int:
        found: int = calls.get(f"cmdstat_{command}", {"calls": 0})["calls"]
        return found

    first_jobs = min(priorities, 4)
    assert called("zrange") + called("zrangebyscore") <= TURNS * (TURN * first_jobs + 5)
    assert called("hmget") <= 2 * TURNS  # the settings


def test_a_queue_that_is_searched_reads_a_bounded_number_of_jobs(real_server: Server) -> None:
    """With new jobs at every poll, and far more priorities than are read in one."""
    jobs = Jobs(real_server)
    jobs.add(*((1 + number, 14) for number in range(3000)))
    watch = Watch(real_server.url)
    watch.discover_unseen()
    for _ in range(ENOUGH_POLLS):
        jobs.add((1500, 0))
        jobs.client.config_resetstat()
        watch.poll_unseen()
        calls = jobs.client.info("commandstats")
        assert calls["cmdstat_zrangebyscore"]["calls"] <= 256 + 3
        assert calls.get("cmdstat_hmget", {"calls": 0})["calls"] <= 256 + 10


@st.composite
def contents(draw: st.DrawFn) -> list[tuple[int, float]]:
    """Priorities, up to a thousand of them, with the ages of their jobs."""
    rng = random.Random(draw(st.integers(0, 1 << 32)))  # noqa: S311 - to repeat a failure
    number = draw(st.sampled_from((1, 3, 4, 5, 30, 300, 1000)))
    largest = draw(st.sampled_from((number, 5 * number, 2**21 - 1)))
    priorities = rng.sample(range(1, max(largest, number) + 1), number)
    each = draw(st.sampled_from((1, 3))) if number > 100 else draw(st.integers(1, 90))
    oldest = {priority: rng.uniform(1, 10_000) for priority in priorities}
    # within a priority, the first job is the oldest
    return [(p, oldest[p] * (1 - turn / each)) for turn in range(each) for p in priorities]


@settings(
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(added=contents(), events=st.booleans(), seed=st.integers(0, 1 << 32))
def test_what_is_shown_becomes_the_age_of_the_oldest_job_and_is_never_more(
    server: Server, clock: StoppedClock, added: list[tuple[int, float]], events: bool, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - to repeat a failure
    jobs = Jobs(server, events=events)
    jobs.add(*added)
    jobs.add(*((p, rng.uniform(0, 9000)) for p in {p for p, _ in added[:5]}), put_back=True)
    watch = Watch(server.url)
    shown = age(watch.discover_and_poll())
    assert shown <= jobs.true_age() + 0.01
    for _ in range(6):
        clock.move(5)
        change(jobs, rng, [priority for priority, _ in added])
        assert age(watch.poll()) <= jobs.true_age() + 0.01
    # nothing says that jobs were removed or got another priority: wait for the queue's turn
    for _ in range(TURN + ENOUGH_POLLS):
        clock.move(5)
        shown = age(watch.poll())
        assert shown <= jobs.true_age() + 0.01
    assert shown == pytest.approx(jobs.true_age(), abs=0.01)


def change(jobs: Jobs, rng: random.Random, priorities: list[int]) -> None:
    """Take, remove or add some jobs, as workers and producers do."""
    what = rng.randrange(4)
    if what == 0:
        jobs.client.zpopmin(KEY, rng.randrange(1, 8))
    elif what == 1:
        kept = jobs.client.zrange(KEY, 0, -1)
        for job in rng.sample(kept, min(3, len(kept))):
            jobs.client.zrem(KEY, job)
    elif what == 2:
        jobs.add(*((rng.choice(priorities), 0.0) for _ in range(5)))
    jobs.client.xadd("bull:q:events", {"event": "active", "jobId": "1"})


class TestBands:
    FAMILY = "bullmq_queue_priority_jobs"

    def shown(self, samples: Samples) -> Mapping[str, float]:
        found = every(samples, self.FAMILY)
        return {dict(labels)["band"]: number for (_, labels), number in found.items()}

    def test_every_job_is_in_one_band(self, any_server: Any_) -> None:
        jobs = Jobs(any_server)
        edges = (1, 10, 11, 100, 101, 1000, 1001, 10_000, 10_001, 2**21 - 1)
        jobs.add(*((priority, 10) for priority in edges), (3, 10))
        jobs.add((11, 10), put_back=True)
        assert self.shown(Watch(any_server.url).discover_and_poll()) == {
            "1-10": 3,
            "11-100": 3,
            "101-1000": 2,
            "1001-10000": 2,
            "10001+": 2,
        }

    def test_a_queue_without_prioritized_jobs_has_none(self, any_server: Any_) -> None:
        jobs = Jobs(any_server)
        watch = Watch(any_server.url)
        assert self.shown(watch.discover_and_poll()) == {}
        jobs.add((5, 10))
        assert self.shown(watch.poll())["1-10"] == 1
        jobs.client.delete(KEY)
        assert self.shown(watch.poll()) == {}

    @pytest.mark.parametrize("events", [True, False])
    def test_it_is_read_once_a_minute(self, any_server: Any_, *, events: bool) -> None:
        jobs = Jobs(any_server, events=events)
        jobs.add((5, 10))
        watch = Watch(any_server.url)
        watch.discover_unseen()
        watch.poll_unseen()
        jobs.add((7, 10))
        if events:
            add_event(jobs.client, "added", 2)
        numbers = [self.shown(watch.poll())["1-10"] for _ in range(TURN)]
        assert (numbers[0], numbers[-1]) == (1, 2)

    def test_it_is_not_read_while_nothing_happens(self, real_server: Server) -> None:
        jobs = Jobs(real_server)
        jobs.add((5, 10))
        add_event(jobs.client, "added", 1)
        watch = Watch(real_server.url)
        watch.discover_unseen()
        watch.poll_unseen()
        watch.poll_unseen()
        jobs.client.config_resetstat()
        poll_unseen(watch, TURN)
        assert "cmdstat_zcount" not in jobs.client.info("commandstats")
