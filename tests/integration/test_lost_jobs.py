"""Jobs that vanish are reported within two polls; what BullMQ does without an event is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.data import wait_a_millisecond
from exporter.bullmq import Queue, queue_of
from exporter.collectors import (
    Context,
    EventsCollector,
    QueueCollector,
    ServerCollector,
)
from exporter.config.models import Events
from exporter.connection import Client, ClientRegistry
from exporter.state.event_times import EventTimes
from exporter.state.snapshots import EventFacts
from exporter.state.unfinished_jobs import Audit, Rebase, UnfinishedJobs
from tests.support.jobs import Jobs
from tests.support.servers import FakeServer, Server, valkey
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import config_for

Any_ = Server | FakeServer


class Auditing:
    """The collectors that audit, on one queue."""

    def __init__(
        self, server: Any_, *, queue: str = "q", always_counts: bool = False, **options: object
    ) -> None:
        """`always_counts`: as if something had happened to the queue while it was read, so that
        the counts of the queue collector prove nothing."""
        self._always_counts = always_counts
        config = config_for(server.url)
        self.client: Client = ClientRegistry().get(config.connections["default"], "t")
        self.client.connect()
        self._redis = server.client()
        self.reading_since = 0.0
        self.queues: tuple[Queue, ...] = (queue_of("bull", queue),)
        self._queue = self.queues[0]
        self._events = EventsCollector(Events(**options), 5.0)
        info = (ServerCollector(),) if isinstance(server, Server) else ()  # fakeredis has no INFO
        self._others = (*info, QueueCollector(5.0, 0.01))
        self._times, self._unfinished = EventTimes(), UnfinishedJobs()

    def poll(self) -> Audit:
        """One poll; returns what the audit found."""
        context = Context(
            self.client,
            0.0,
            self.queues,
            event_times=self._times,
            unfinished=self._unfinished,
            reading_since=self.reading_since,
        )
        if not self._always_counts:
            wait_a_millisecond(self._redis)
        for collector in self._others:
            collector.collect(context)
        if self._always_counts:
            self._unfinished.after_ms = 0.0
        self.facts: EventFacts = self._events.collect(context)
        events = self.facts.queues.get(self._queue)
        return Audit() if events is None or events.audit is None else events.audit

    def two_polls(self) -> Audit:
        self.poll()
        return self.poll()


@pytest.fixture(params=[False, True], ids=["total", "job_names, always_counts"])
def auditing(any_server: Any_, request: pytest.FixtureRequest) -> Auditing:
    return Auditing(any_server, job_names=request.param, always_counts=request.param)


@pytest.fixture
def jobs(any_server: Any_) -> Jobs:
    return Jobs(any_server.client())


def test_ordinary_jobs_are_accounted_for(jobs: Jobs, auditing: Auditing) -> None:
    jobs.add(5)
    assert auditing.poll() == Audit(0)
    assert auditing.poll() == Audit(0)
    jobs.add(3)
    jobs.add(2, delay=True)
    assert auditing.poll() == Audit(0)
    for outcome in ("completed", "failed", "failed"):
        jobs.finish(jobs.start(), outcome)
    jobs.retry(jobs.start())
    jobs.retry_failed("2")
    jobs.remove("6")
    assert auditing.poll() == Audit(0)
    assert auditing.two_polls() == Audit(0)


def test_jobs_that_were_gone_before_the_first_poll(jobs: Jobs, auditing: Auditing) -> None:
    jobs.add(5)
    jobs.client.delete("bull:q:wait")
    assert auditing.poll() == Audit(0)
    assert auditing.two_polls() == Audit(0)


def delete_ready(jobs: Jobs, job: str) -> None:
    jobs.client.delete(f"bull:q:{job}")
    jobs.client.lrem("bull:q:wait", 1, job)


LOSSES: dict[str, tuple[Callable[[Jobs], Any], int]] = {
    "the next one": (lambda jobs: delete_ready(jobs, "2"), 1),
    "the newest": (lambda jobs: delete_ready(jobs, "4"), 1),
    "wait": (lambda jobs: jobs.client.delete("bull:q:wait"), 3),
    "delayed": (lambda jobs: jobs.client.zpopmin("bull:q:delayed"), 1),
    "all delayed": (lambda jobs: jobs.client.delete("bull:q:delayed"), 2),
    "active": (lambda jobs: jobs.client.delete("bull:q:active"), 1),
}


@pytest.mark.parametrize("known", [True, False], ids=["seen", "older"])
@pytest.mark.parametrize("loss", LOSSES)
def test_vanished_jobs(jobs: Jobs, auditing: Auditing, loss: str, *, known: bool) -> None:
    """Within two polls, whether the exporter has seen their events or not."""
    if known:
        auditing.poll()
    jobs.add(4)
    jobs.add(2, delay=True)
    jobs.start()
    auditing.two_polls()
    delete, number = LOSSES[loss]
    delete(jobs)
    found = auditing.two_polls()
    assert (found.unaccounted, found.rebases) == (number, {})
    assert found.since is not None


def test_losses_in_traffic_add_up(jobs: Jobs, auditing: Auditing) -> None:
    jobs.add(10, delay=True)
    auditing.poll()
    jobs.client.zrem("bull:q:delayed", "1")
    jobs.add(3)
    auditing.poll()
    jobs.finish(jobs.start())
    assert auditing.poll().unaccounted == 1
    jobs.client.zrem("bull:q:delayed", "2", "3")
    jobs.finish(jobs.start(), "failed")
    auditing.poll()
    jobs.add(1)
    assert auditing.poll().unaccounted == 3


def test_jobs_that_come_back(jobs: Jobs, auditing: Auditing) -> None:
    jobs.add(3, delay=True)
    auditing.poll()
    jobs.client.zrem("bull:q:delayed", "1", "2")
    assert auditing.two_polls().unaccounted == 2
    jobs.client.zadd("bull:q:delayed", {"1": 1})
    assert auditing.poll().unaccounted == 1
    jobs.client.zadd("bull:q:delayed", {"2": 1})
    assert auditing.poll() == Audit(0)


def test_jobs_that_nobody_added(jobs: Jobs, auditing: Auditing) -> None:
    jobs.add(3)
    auditing.poll()
    jobs.client.lpush("bull:q:wait", "new")
    found = auditing.two_polls()
    assert (found.unaccounted, found.rebases) == (0, {Rebase.SURPLUS: 1})
    jobs.client.lrem("bull:q:wait", 1, "new")
    assert auditing.two_polls().unaccounted == 1


@pytest.mark.parametrize("state", ["wait", "delayed", "completed"])
def test_clean(jobs: Jobs, auditing: Auditing, state: str) -> None:
    auditing.poll()
    jobs.add(3)
    jobs.add(3, delay=True)
    jobs.finish(jobs.start())
    auditing.poll()
    jobs.clean(state)
    found = auditing.two_polls()
    assert found.unaccounted == 0
    assert found.rebases == ({} if state == "completed" else {Rebase.CLEAN: 1})


@pytest.mark.parametrize("known", [True, False], ids=["seen", "older"])
@pytest.mark.parametrize("delayed", [False, True], ids=["ready", "delayed"])
def test_drain(jobs: Jobs, auditing: Auditing, *, delayed: bool, known: bool) -> None:
    """It removes jobs without an event, also while others are added."""
    if known:
        auditing.poll()
    jobs.add(3)
    jobs.add(2, delay=True)
    jobs.start()
    auditing.poll()
    jobs.drain(delayed=delayed)
    jobs.add(2)
    found = auditing.two_polls()
    assert (found.unaccounted, found.rebases) == (0, {Rebase.DRAIN: 1})
    jobs.client.delete("bull:q:wait")
    assert auditing.two_polls().unaccounted == 2


def test_a_drained_job_does_not_excuse_a_later_loss(jobs: Jobs, auditing: Auditing) -> None:
    auditing.poll()
    jobs.add(3)
    auditing.poll()
    jobs.drain()
    auditing.two_polls()
    jobs.add(2, delay=True)
    auditing.poll()
    jobs.client.zrem("bull:q:delayed", "4")
    found = auditing.two_polls()
    assert (found.unaccounted, found.rebases) == (1, {Rebase.DRAIN: 1})


def test_a_scheduler_replaces_its_next_job(jobs: Jobs, auditing: Auditing) -> None:
    jobs.schedule("repeat:s:1")
    auditing.poll()
    jobs.schedule("repeat:s:2", replaced="repeat:s:1")
    assert auditing.poll() == Audit(0, rebases={Rebase.SCHEDULER: 1})
    # the next one is added once this one is started: nothing may be missing then
    jobs.client.zrem("bull:q:delayed", "repeat:s:2")
    jobs.client.lpush("bull:q:wait", "repeat:s:2")
    jobs.event("waiting", "repeat:s:2", prev="delayed")
    jobs.start()
    jobs.schedule("repeat:s:3")
    jobs.add(1, delay=True)
    auditing.poll()
    jobs.client.zrem("bull:q:delayed", "1")
    assert auditing.two_polls() != Audit(0, rebases={Rebase.SCHEDULER: 1})


def test_obliterate(jobs: Jobs, auditing: Auditing) -> None:
    jobs.add(3)
    auditing.poll()
    jobs.client.flushall()
    assert auditing.two_polls().unaccounted in {0, None}
    again = Jobs(jobs.client)
    again.add(2)
    assert auditing.two_polls() == Audit(0, rebases={Rebase.OBLITERATE: 1})
    jobs.client.delete("bull:q:wait")
    assert auditing.two_polls().unaccounted == 2


def obliterate(jobs: Jobs) -> Jobs:
    jobs.client.flushall()
    return Jobs(jobs.client)


@pytest.mark.parametrize("before", [3, 0], ids=["with jobs", "without jobs"])
def test_obliterate_between_two_polls(real_server: Server, before: int) -> None:
    """The stream is another one, which Redis 6 does not say; it has no events in common."""
    jobs, auditing = Jobs(real_server.client()), Auditing(real_server)
    jobs.add(before or 1)
    if not before:
        jobs.finish(jobs.start())
    auditing.poll()
    obliterate(jobs).add(2)
    assert auditing.two_polls() == Audit(0, rebases={Rebase.OBLITERATE: 1})
    jobs.client.delete("bull:q:wait")
    assert auditing.two_polls().unaccounted == 2


def test_a_stream_trimmed_by_hand(real_server: Server) -> None:
    """No job is gone, so it was no obliterate."""
    jobs, auditing = Jobs(real_server.client()), Auditing(real_server)
    lose_events(jobs, auditing)
    assert auditing.poll() == Audit(0, rebases={Rebase.LOST_EVENTS: 1})


def test_a_deleted_stream(jobs: Jobs, auditing: Auditing) -> None:
    jobs.add(3)
    auditing.poll()
    jobs.client.delete("bull:q:events")
    assert auditing.two_polls() == Audit(0, rebases={Rebase.STREAM_DELETED: 1})


def lose_events(jobs: Jobs, auditing: Auditing) -> None:
    """Add jobs of which three events are trimmed before they are read."""
    jobs.add(3)
    auditing.poll()
    jobs.add(3)
    jobs.client.xtrim("bull:q:events", maxlen=0, approximate=False)
    jobs.add(1)
    auditing.poll()


def test_lost_events(jobs: Jobs, auditing: Auditing) -> None:
    lose_events(jobs, auditing)
    assert auditing.poll() == Audit(0, rebases={Rebase.LOST_EVENTS: 1})
    jobs.client.delete("bull:q:wait")
    assert auditing.two_polls().unaccounted == 7


@pytest.mark.parametrize("idle", [True, False])
def test_rollback(server: Server, *, idle: bool) -> None:
    """An older copy of the data is restored, as from a snapshot."""
    jobs, auditing = Jobs(server.client()), Auditing(server)
    jobs.add(5)
    auditing.poll()
    client: Any = jobs.client
    copy = [(key, client.dump(key)) for key in client.keys("*")]
    jobs.add(3)
    auditing.poll()
    jobs.client.flushall()
    for key, value in copy:
        client.restore(key, 0, value)
    if not idle:
        jobs.add(1)
    found = auditing.two_polls()
    assert (found.unaccounted, found.rebases) == (0, {Rebase.ROLLBACK: 1})
    assert found.rolled_back is not None


def test_another_exporter_has_read_meanwhile(jobs: Jobs, auditing: Auditing) -> None:
    jobs.add(3, delay=True)
    auditing.poll()
    jobs.client.zrem("bull:q:delayed", "1")
    auditing.poll()
    auditing.reading_since = 1.0
    assert auditing.poll() == Audit(0, rebases={Rebase.RESTART: 1})
    jobs.client.zrem("bull:q:delayed", "2")
    assert auditing.two_polls().unaccounted == 1


@pytest.fixture
def evicting() -> Iterator[Server]:
    with valkey("--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru") as server:
        yield server


def test_evicted_jobs(evicting: Server) -> None:
    """Redis evicts what was not used for the longest time: here, all of the queue."""
    client = evicting.client()
    jobs, auditing = Jobs(client), Auditing(evicting)
    jobs.add(5)
    auditing.poll()
    number = 0
    while client.exists("bull:q:wait"):
        number += 1
        client.set(f"other:{number}", b"x" * 100_000)
        client.xlen("bull:q:events")  # the stream is in use
        client.hexists("bull:q:meta", "x")
    found = auditing.two_polls()
    assert found.unaccounted == 5
    assert found.evicted > 0


def test_reported_for_an_hour(server: Server, clock: StoppedClock) -> None:
    jobs, auditing = Jobs(server.client()), Auditing(server)
    jobs.add(3, delay=True)
    auditing.poll()
    jobs.client.zrem("bull:q:delayed", "1")
    assert auditing.two_polls().unaccounted == 1
    clock.move(3599)
    assert auditing.poll().unaccounted == 1
    clock.move(2)
    assert auditing.poll() == Audit(0, rebases={Rebase.REPORTED: 1})
    jobs.client.zrem("bull:q:delayed", "2")
    assert auditing.two_polls().unaccounted == 1


def test_a_report_of_a_queue_that_is_gone(server: Server, clock: StoppedClock) -> None:
    """It does not bring the queue back when it ends."""
    jobs, auditing = Jobs(server.client()), Auditing(server)
    jobs.add(3, delay=True)
    auditing.poll()
    jobs.client.zrem("bull:q:delayed", "1")
    assert auditing.two_polls().unaccounted == 1
    auditing.queues = ()
    auditing.poll()
    clock.move(3601)
    auditing.poll()
    assert auditing.facts.queues == {}


def test_markers_are_no_jobs(any_server: Any_) -> None:
    """Versions 3 and 4 put them into lists, and take them out, without an event."""
    jobs, auditing = Jobs(any_server.client()), Auditing(any_server)
    jobs.client.hdel("bull:q:meta", "version")
    jobs.add(2, delay=True)
    jobs.client.lpush("bull:q:wait", "0:1795489200000")
    assert auditing.two_polls() == Audit(0)
    jobs.client.delete("bull:q:wait")
    assert auditing.two_polls() == Audit(0)
    jobs.client.lpush("bull:q:wait", "0:0")
    assert auditing.two_polls() == Audit(0)


def test_groups_are_not_audited(any_server: Any_) -> None:
    """BullMQ Pro keeps jobs of groups in lists of their own."""
    jobs, auditing = Jobs(any_server.client()), Auditing(any_server)
    jobs.client.zadd("bull:q:groups", {"g": 1})
    jobs.add(3)
    assert auditing.two_polls() == Audit()


def test_groups_that_appear_end_the_audit(any_server: Any_) -> None:
    jobs, auditing = Jobs(any_server.client()), Auditing(any_server)
    jobs.add(3)
    assert auditing.two_polls() == Audit(0)
    jobs.client.zadd("bull:q:groups", {"g": 1})
    jobs.client.lpop("bull:q:wait")
    assert auditing.two_polls() == Audit()


def test_without_events(any_server: Any_) -> None:
    """Absent, not 0: nobody knows how many jobs there should be."""
    jobs, auditing = Jobs(any_server.client(), max_events=0), Auditing(any_server)
    jobs.add(3)
    assert auditing.two_polls() == Audit()
    bull = Auditing(any_server, queue="bull4")
    any_server.client().lpush("bull:bull4:wait", "1", "2")
    any_server.client().set("bull:bull4:id", 2)
    assert bull.two_polls() == Audit()


def test_a_refused_command_ends_the_audit(server: Server) -> None:
    jobs = Jobs(server.client())
    jobs.add(3)
    server.client().acl_setuser(
        "default", enabled=True, nopass=True, keys=["*"], categories=["+@all"], commands=["-exists"]
    )
    try:
        auditing = Auditing(server)
        assert auditing.poll() == Audit(0)
        jobs.client.delete("bull:q:wait")
        # whether `drain` removed them cannot be seen
        assert auditing.two_polls().unaccounted == 3
        server.client().acl_setuser(
            "default", enabled=True, nopass=True, keys=["*"], commands=["-llen"]
        )
        assert Auditing(server).two_polls() == Audit()
    finally:
        server.client().acl_setuser(
            "default", enabled=True, nopass=True, keys=["*"], categories=["+@all"]
        )
