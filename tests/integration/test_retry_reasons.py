"""Why attempts are retried: which reasons are read, and that no look repeats itself."""

from __future__ import annotations

import pytest

from exporter.collectors.queues.looks import LOOK_SECONDS
from exporter.collectors.queues.subjects.retry_reasons import RETRY_REASONS
from exporter.config.models import Events
from exporter.state.queue_table import QueueTable
from exporter.views.moment import moment_of
from exporter.views.overview import FailureView, overview
from tests.support.redis_data import add_event, add_queues
from tests.support.servers import FakeServer, Server
from tests.support.stopped_clock import StoppedClock
from tests.support.watch import Watch

Any_ = Server | FakeServer


class Retries:
    """Retries of one queue, `q`, and the exporter that looks at them."""

    def __init__(self, server: Any_, clock: StoppedClock, *, wanted: bool = True) -> None:
        self.client = server.client()
        self._clock = clock
        add_queues(self.client, "q")
        self.watch = Watch(server.url, events=Events(failure_classes=wanted))
        self.watch.discover_and_poll()

    def retry(self, job: object, reason: str | None, attempts: int = 1) -> None:
        """A job that was started, and put back after its attempt failed."""
        if reason is not None:
            fields = {"failedReason": reason, "atm": attempts, "timestamp": 1}
            self.client.hset(f"bull:q:{job}", mapping=fields)
        add_event(self.client, "active", job, prev="waiting")
        add_event(self.client, "waiting", job, prev="active")
        add_event(self.client, "drained")
        add_event(self.client, "active", "other", prev="waiting")

    def look(self) -> list[tuple[str, int]]:
        """The classes with their numbers after the next look."""
        for _ in range(round(2 * LOOK_SECONDS / self.watch.config.poll.interval_seconds)):
            self._clock.move(self.watch.config.poll.interval_seconds)
            self.watch.poll_unseen()
        return [(view.name, view.count) for view in self.views]

    @property
    def views(self) -> tuple[FailureView, ...]:
        (queue,) = overview(moment_of(self.watch.store, self.watch.config)).queues
        return queue.retries


@pytest.fixture
def retries(any_server: Any_, clock: StoppedClock) -> Retries:
    return Retries(any_server, clock)


def test_the_reasons_of_retried_jobs(retries: Retries) -> None:
    assert retries.look() == []
    retries.retry(1, "connect ECONNREFUSED 10.0.0.1:5432")
    retries.retry(2, "connect ECONNREFUSED 10.0.0.2:5432")
    retries.retry(3, "TypeError: x is not a function")
    assert retries.look() == [("connect ECONNREFUSED", 2), ("TypeError: … is not a function", 1)]
    assert "10.0.0" not in str(retries.views)


def test_the_same_attempt_counts_once_and_the_next_one_again(retries: Retries) -> None:
    retries.retry(1, "timeout")
    retries.look()
    retries.retry(1, "timeout")  # a job that moved itself to delayed keeps its old reason
    assert retries.look() == [("timeout", 1)]
    retries.retry(1, "timeout", attempts=2)
    assert retries.look() == [("timeout", 2)]


def test_of_many_retries_the_most_recent_are_sampled(retries: Retries) -> None:
    for job in range(50):
        retries.retry(job, "timeout")
    assert retries.look() == [("timeout", 3)]
    assert retries.views[0].job == "49"


@pytest.mark.parametrize(
    ("job", "reason"), [(7, None), (7, ""), (7, "timeout " * 2000), ("x" * 300, "timeout")]
)
def test_what_is_not_counted(job: object, reason: str | None, retries: Retries) -> None:
    """A job that is gone, one without a reason, a huge reason, and an ID that is too long."""
    retries.retry(job, reason)
    assert retries.look() == []


def test_nothing_is_read_unless_classes_are_wanted(server: Server, clock: StoppedClock) -> None:
    retries = Retries(server, clock, wanted=False)
    retries.client.config_resetstat()
    retries.retry(1, "timeout")
    assert retries.look() == []
    assert "cmdstat_hstrlen" not in retries.client.info("commandstats")


def test_a_refused_command_leaves_it_out(server: Server, clock: StoppedClock) -> None:
    rules = ("limited", "reset", "on", ">pass", "~*", "+@all", "-hstrlen")
    server.client().execute_command("ACL", "SETUSER", *rules)
    retries = Retries(server, clock)
    retries.watch = Watch(
        server.url.replace("://", "://limited:pass@"), events=Events(failure_classes=True)
    )
    retries.watch.discover_and_poll()
    retries.retry(1, "timeout")
    assert retries.look() == []
    table = retries.watch.snapshot.facts[QueueTable].facts
    assert isinstance(table, QueueTable)
    assert table.value(RETRY_REASONS, 0) is None
