"""Reading event streams: first polls, bursts, losses, resets, limits and job names."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from exporter.bullmq import queue_of
from exporter.collectors import Context, EventsCollector
from exporter.collectors.events import positions
from exporter.collectors.events.aggregator import EventAggregator
from exporter.collectors.events.by_job_name import TotalAggregator
from exporter.collectors.events.streams import Limit, Stream, StreamReader
from exporter.config.models import Events, Slo
from exporter.connection import (
    Client,
    ClientRegistry,
    ErrorClass,
    NodeError,
    RedisFailure,
    Replies,
)
from exporter.state.oldest_jobs import OldestJobs
from exporter.state.snapshots import EventFacts, QueueEvents, SloCounts
from tests.support.keyspaces import keyspace
from tests.support.proxy import Proxy
from tests.support.redis_data import add_event
from tests.support.servers import FakeServer, Server, valkey
from tests.support.waiting import LIMIT_SECONDS, wait_for
from tests.support.watch import config_for

Any_ = Server | FakeServer


@pytest.fixture
def without_entries_added(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server that does not report `entries-added`, as before Redis 7."""
    end = positions._end
    monkeypatch.setattr(positions, "_end", lambda reply: end(reply)._replace(added=None))
    return server


class Follower:
    """The events collector with fixed queues."""

    def __init__(
        self, server: Any_, *names: str, slos: Sequence[Slo] = (), **options: object
    ) -> None:
        config = config_for(server.url)
        self.client: Client = ClientRegistry().get(config.connections["default"], "t")
        self.client.connect()
        self.queues = tuple(queue_of("bull", name) for name in names)
        self._collector = EventsCollector(
            Events(**options), 5.0, lambda name: slos if name == "q" else (), 15.0
        )
        self._collector._budget = LIMIT_SECONDS

        self.all_queues = True
        self.reading_since = 0.0
        self.now = 0.0
        """Monotonic time; where it matters, a test moves it."""
        self.oldest = OldestJobs()

    @property
    def since_ms(self) -> float:
        """Unix ms since when it has been reading from this server."""
        return self._collector._since_ms

    @property
    def passes_per_check(self) -> int:
        """Number of passes in which every stream is checked once, with or without new events."""
        return self._collector._shares

    def collect(self) -> EventFacts:
        self.context = Context(
            self.client,
            self.now,
            self.queues,
            all_queues=self.all_queues,
            oldest=self.oldest,
            reading_since=self.reading_since,
        )
        return self._collector.collect(self.context)

    def queue(self, place: int = 0) -> QueueEvents:
        return self.collect().queues[self.queues[place]]


def server_ms(server: Any_) -> int:
    seconds, micros = server.client().time()
    return int(seconds) * 1000 + int(micros) // 1000


LONG_AGO = "1-*"
"""An entry ID before all present ones; IDs are times, and two streams may have equal ones."""


def test_events_before_the_start_do_not_count(any_server: Any_) -> None:
    client = any_server.client()
    add_event(client, "added")
    follower = Follower(any_server, "q")
    assert follower.queue().jobs[""].added == 0
    add_event(client, "added", 2)
    found = follower.queue()
    assert (found.jobs[""].added, found.read, found.lost) == (1, 1, 0)
    assert follower.queue().jobs[""].added == 1


@pytest.mark.parametrize("job_names", [False, True])
def test_time_of_the_last_added_job(any_server: Any_, *, job_names: bool) -> None:
    """Events before the start are not read; the last one may have been an added job."""
    client = any_server.client()
    start = 1_700_000_000_000
    add_event(client, "added", entry_id=f"{start - 5}-0")
    add_event(client, "completed", entry_id=f"{start}-0")
    follower = Follower(any_server, "q", job_names=job_names)
    assert follower.queue().last_added == start / 1000
    add_event(client, "waiting", entry_id=f"{start + 5}-0")
    assert follower.queue().last_added == start / 1000
    add_event(client, "added", 2, entry_id=f"{start + 6}-0", name="resize")
    assert follower.queue().last_added == (start + 6) / 1000
    last = server_ms(any_server) + 60_000
    add_event(client, "added", 3, entry_id=f"{last}-0", name="welcome")
    add_event(client, "waiting", 3)
    assert follower.queue().last_added == last / 1000
    add_event(client, "completed", 3)
    assert follower.queue().last_added == last / 1000


@pytest.mark.parametrize("job_names", [False, True])
def test_a_queue_without_events_is_silent_since_it_is_watched(
    any_server: Any_, *, job_names: bool
) -> None:
    before = int(time.time())
    any_server.client().hset("bull:q:meta", "opts.maxLenEvents", 10_000)
    follower = Follower(any_server, "q", job_names=job_names)
    last_added = follower.queue().last_added
    assert last_added is not None
    assert before <= last_added <= time.time()


def test_a_lost_event_may_be_an_added_job(server: Server) -> None:
    client = server.client()
    start = 1_700_000_000_000
    add_event(client, "added", entry_id=f"{start}-0")
    follower = Follower(server, "q")
    follower.queue()
    add_event(client, "added", 2, entry_id=f"{start + 5}-0")
    add_event(client, "completed", 2, entry_id=f"{start + 9}-0")
    client.xtrim("bull:q:events", maxlen=0)
    for _ in range(follower.passes_per_check):
        found = follower.queue()
    assert (found.lost, found.last_added) == (2, (start + 9) / 1000)


def test_a_later_stream_is_read_from_its_first_entry(any_server: Any_) -> None:
    follower = Follower(any_server, "q")
    assert follower.collect().queues == {}
    add_event(any_server.client(), "added")
    assert follower.queue().jobs[""].added == 1


def test_a_queue_without_a_stream_has_no_samples(any_server: Any_) -> None:
    """As in Bull 4."""
    any_server.client().rpush("bull:q:wait", 1)
    follower = Follower(any_server, "q")
    follower.collect()
    assert follower.collect().queues == {}


def test_a_queue_before_its_first_event_shows_zero(any_server: Any_) -> None:
    """Its first jobs are then an increase; a series that starts at their number shows none."""
    client = any_server.client()
    client.hset("bull:q:meta", "opts.maxLenEvents", "10000")
    follower = Follower(any_server, "q")
    found = follower.queue()
    assert (found.jobs[""].added, found.read) == (0, 0)
    add_event(client, "added")
    assert follower.queue().jobs[""].added == 1


def test_a_queue_with_events_turned_off_has_no_samples(any_server: Any_) -> None:
    client = any_server.client()
    client.hset("bull:q:meta", "opts.maxLenEvents", 0)
    add_event(client, "added")
    follower = Follower(any_server, "q")
    assert follower.collect().queues == {}
    add_event(client, "added", 2)
    assert follower.collect().queues == {}


def test_a_busy_stream_does_not_delay_the_others(any_server: Any_) -> None:
    client = any_server.client()
    follower = Follower(any_server, "flood", *(f"q{i}" for i in range(30)))
    follower.collect()
    pipe = client.pipeline(transaction=False)
    for job in range(3000):
        pipe.xadd("bull:flood:events", {"event": "added", "jobId": job})
    pipe.execute()
    for place in range(30):
        add_event(client, "added", queue=f"q{place}")
    found = follower.collect()
    assert found.queues[follower.queues[0]].jobs[""].added == 3000
    assert [found.queues[queue].jobs[""].added for queue in follower.queues[1:]] == [1] * 30
    assert found.lag_seconds == 0


def test_unread_events_are_reported_as_lag(server: Server) -> None:
    client = server.client()
    pipe = client.pipeline(transaction=False)
    for job in range(2500):
        pipe.xadd("bull:q:events", {"event": "added", "jobId": job}, id=f"{job + 1}-0")
    follower = Follower(server, "q")
    follower.collect()
    follower._collector._budget = 0.0
    pipe.execute()
    found = follower.collect()
    assert found.queues[follower.queues[0]].read < 2500
    assert found.lag_seconds > 1e6
    follower._collector._budget = LIMIT_SECONDS
    found = follower.collect()
    assert found.queues[follower.queues[0]].read == 2500
    assert (found.lag_seconds, found.queues[follower.queues[0]].lost) == (0, 0)


class TestLoss:
    def test_losses_are_exact_with_entries_added(self, redis7_server: Server) -> None:
        client = redis7_server.client()
        follower = Follower(redis7_server, "q")
        for job in range(10):
            add_event(client, "added", job)
        follower.collect()
        for job in range(1000):
            add_event(client, "added", job)
        client.xtrim("bull:q:events", maxlen=300, approximate=False)
        found = follower.queue()
        assert (found.read, found.lost) == (300, 700)
        add_event(client, "added", 1)
        found = follower.queue()
        assert (found.read, found.lost) == (301, 700)

    def test_trimming_read_entries_is_no_loss(self, real_server: Server) -> None:
        client = real_server.client()
        follower = Follower(real_server, "q")
        follower.collect()
        for job in range(100):
            add_event(client, "added", job)
        follower.collect()
        client.xtrim("bull:q:events", maxlen=10, approximate=False)
        add_event(client, "added", 1)
        assert follower.queue().lost == 0

    @pytest.mark.parametrize("removed", ["trimmed", "deleted"])
    def test_deleting_read_entries_is_no_loss_before_redis_7(
        self, without_entries_added: Server, removed: str
    ) -> None:
        """It must not count as a loss at each poll."""
        client = without_entries_added.client()
        follower = Follower(without_entries_added, "q")
        follower.collect()
        for number in range(5):
            add_event(client, "added", number)
            follower.collect()
            if removed == "trimmed":
                client.xtrim("bull:q:events", maxlen=0, approximate=False)
            else:
                client.xdel("bull:q:events", *(i for i, _ in client.xrange("bull:q:events")))
        assert (follower.queue().read, follower.queue().lost) == (5, 0)

    def test_an_emptied_stream_is_a_loss_before_redis_7(
        self, without_entries_added: Server
    ) -> None:
        """Counted once, when the stream is checked, not only at the next event."""
        client = without_entries_added.client()
        follower = Follower(without_entries_added, "q")
        add_event(client, "added", 0)
        follower.collect()
        for number in range(5):
            add_event(client, "added", number)
        client.xtrim("bull:q:events", maxlen=0, approximate=False)
        found = [follower.queue().lost for _ in range(3 * follower.passes_per_check)]
        assert sorted(set(found)) in ([0, 1], [1])
        assert found[follower.passes_per_check :] == [1] * 2 * follower.passes_per_check
        add_event(client, "added", 5)
        assert (follower.queue().read, follower.queue().lost) == (1, 1)

    def test_more_events_than_the_stream_keeps_are_a_loss_before_redis_7(
        self, without_entries_added: Server
    ) -> None:
        client = without_entries_added.client()
        client.hset("bull:q:meta", "opts.maxLenEvents", 50)
        follower = Follower(without_entries_added, "q")
        add_event(client, "added", 0)
        follower.collect()
        for number in range(300):
            client.xadd("bull:q:events", {"event": "added", "jobId": number}, maxlen=50)
        assert [follower.queue().lost for _ in range(3)] == [1, 1, 1]

    def test_a_deleted_stream_is_read_from_its_new_start(self, any_server: Any_) -> None:
        client = any_server.client()
        follower = Follower(any_server, "q")
        follower.collect()
        add_event(client, "waiting", entry_id="1-1")
        assert follower.queue().read == 1
        client.delete("bull:q:events")
        follower.collect()
        add_event(client, "active")  # another job with the same ID
        found = follower.queue()
        assert (found.jobs[""].started, found.lost) == (1, 0)

    def test_events_written_during_the_restart_are_read_once(
        self, redis7_server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = redis7_server.client()
        for job in range(5):
            add_event(client, "added", job, entry_id=LONG_AGO)
        follower = Follower(redis7_server, "q")
        follower.collect()
        client.flushall()
        add_event(client, "added", 1)
        read_all = StreamReader.read_all

        def then_add_events(*arguments: Any) -> None:
            read_all(*arguments)
            add_event(client, "added", 2)

        with monkeypatch.context() as patched:
            patched.setattr(StreamReader, "read_all", then_add_events)
            assert follower.queue().jobs[""].added == 2
        found = follower.queue()
        assert (found.jobs[""].added, found.lost) == (2, 0)

    def test_losses_are_exact_under_steady_traffic(
        self, redis7_server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Events are written and trimmed before each round trip, without a quiet moment."""
        client = redis7_server.client()
        follower = Follower(redis7_server, "q")
        follower.collect()
        batch, moments = follower.client.batch, [0]

        def after_a_burst(packed: bytes, count: int, limit: int) -> Any:
            pipe = client.pipeline(transaction=False)
            for job in range(60):
                pipe.xadd("bull:q:events", {"event": "added", "jobId": job})
            pipe.xtrim("bull:q:events", maxlen=50, approximate=False)
            pipe.execute()
            moments.append(moments[-1] + 60)
            return batch(packed, count, limit)

        with monkeypatch.context() as patched:
            patched.setattr(follower.client, "batch", after_a_burst)
            for _ in range(5):
                before = moments[-1]
                found = follower.queue()
                assert found.lost > 0
                assert before < found.read + found.lost <= moments[-1]
        found = follower.queue()
        assert found.read + found.lost == moments[-1]
        assert found.jobs[""].added == found.read

    @pytest.mark.parametrize("max_length", [10, 100])
    def test_losses_of_a_burst_are_exact(self, redis7_server: Server, max_length: int) -> None:
        """An absent stream had no entries, so everything in it is new when it is first seen."""
        client = redis7_server.client()
        follower = Follower(redis7_server, "q")
        follower.collect()
        for job in range(100):
            add_event(client, "added", job)
        client.xtrim("bull:q:events", maxlen=max_length, approximate=False)
        found = follower.queue()
        assert (found.read, found.lost) == (max_length, 100 - max_length)

    def test_losses_are_shown_even_if_nothing_was_read(self, redis7_server: Server) -> None:
        client = redis7_server.client()
        follower = Follower(redis7_server, "q")
        add_event(client, "added")
        follower.collect()
        for job in range(10):
            add_event(client, "added", job)
        client.xtrim("bull:q:events", maxlen=0, approximate=False)
        for _ in range(12):  # checked once a minute
            found = follower.queue()
        assert (found.read, found.lost) == (0, 10)

    @pytest.mark.parametrize(("at", "turn"), [(b"XINFO", 1), (b"XREAD", 2)])
    def test_results_of_an_interrupted_pass_are_shown_by_the_next_one(
        self, redis7_server: Server, monkeypatch: pytest.MonkeyPatch, at: bytes, turn: int
    ) -> None:
        """Its events are not read again, so showing them must not wait for the next event."""
        client = redis7_server.client()
        follower = Follower(redis7_server, "q", "other")
        add_event(client, "added")
        add_event(client, "added", queue="other")
        follower.collect()
        for job in range(1000):
            add_event(client, "added", job)
        client.xtrim("bull:q:events", maxlen=900, approximate=False)
        batch, calls = follower.client.batch, [0]

        def interrupt(packed: bytes, count: int, limit: int) -> Any:
            calls[0] += at in packed
            if at in packed and calls[0] == turn:
                raise RedisFailure(ErrorClass.TIMEOUT, "interrupted")
            return batch(packed, count, limit)

        with monkeypatch.context() as patched:
            patched.setattr(follower.client, "batch", interrupt)
            with pytest.raises(RedisFailure):
                follower.collect()
        found = follower.queue()
        assert (found.read, found.lost, found.jobs[""].added) == (900, 100, 900)

    def test_events_written_while_turned_off_do_not_count(self, real_server: Server) -> None:
        """They are neither read nor lost, because the queue keeps none."""
        client = real_server.client()
        follower = Follower(real_server, "q")
        add_event(client, "added")
        follower.collect()
        client.hset("bull:q:meta", "opts.maxLenEvents", 0)
        for _ in range(12):
            follower.collect()
        for job in range(10):
            add_event(client, "added", job)
        client.hset("bull:q:meta", "opts.maxLenEvents", 1000)
        for _ in range(13):
            follower.collect()
        add_event(client, "added", 11)
        found = follower.queue()
        assert (found.read, found.lost) == (1, 0)

    def test_a_failover_to_a_replica_without_the_newest_entries(self, real_server: Server) -> None:
        """IDs and counts are then lower than the last ones read."""
        client = real_server.client()
        client.xadd("bull:q:events", {"event": "added", "jobId": 1}, id="5000-0")
        follower = Follower(real_server, "q")
        follower.collect()
        client.delete("bull:q:events")
        client.xadd("bull:q:events", {"event": "added", "jobId": 1}, id="4000-0")
        for _ in range(12):  # checked once a minute
            follower.collect()
        client.xadd("bull:q:events", {"event": "added", "jobId": 2}, id="4001-0")
        assert follower.queue().jobs[""].added == 1


class TestNewQueue:
    """Queues that appear while the exporter runs."""

    def burst(self, client: Any, queue: str = "q") -> None:
        pipe = client.pipeline(transaction=False)
        for job in range(40):
            for event in ("added", "waiting", "active", "failed" if job % 2 else "completed"):
                pipe.xadd(f"bull:{queue}:events", {"event": event, "jobId": job})
        pipe.execute()

    def appear(self, follower: Follower, *names: str) -> None:
        follower.queues = (*follower.queues, *(queue_of("bull", name) for name in names))

    def test_the_first_jobs_of_a_new_queue_count(self, any_server: Any_) -> None:
        follower = Follower(any_server, "other")
        follower.collect()
        wait_for(lambda: server_ms(any_server) > follower.since_ms, "the next millisecond")
        self.burst(any_server.client())
        self.appear(follower, "q")
        found = follower.queue(1)
        jobs = found.jobs[""]
        assert (jobs.added, jobs.completed, jobs.failed) == (40, 20, 20)
        assert (found.read, found.lost) == (160, 0)

    def test_the_first_jobs_that_were_trimmed_are_lost(self, redis7_server: Server) -> None:
        client = redis7_server.client()
        follower = Follower(redis7_server, "other")
        follower.collect()
        wait_for(lambda: server_ms(redis7_server) > follower.since_ms, "the next millisecond")
        self.burst(client)
        client.xtrim("bull:q:events", maxlen=50, approximate=False)
        self.appear(follower, "q")
        found = follower.queue(1)
        assert (found.read, found.lost) == (50, 110)

    def test_the_stream_of_an_older_queue_is_history(self, any_server: Any_) -> None:
        """For example, of a queue that was not watched because of `queues.max`."""
        client = any_server.client()
        add_event(client, "added", entry_id=LONG_AGO)
        follower = Follower(any_server, "other")
        follower.collect()
        self.burst(client)
        self.appear(follower, "q")
        found = follower.queue(1)
        assert (found.read, found.lost) == (0, 0)

    def test_streams_found_by_the_first_discovery_pass_are_history(self, any_server: Any_) -> None:
        follower = Follower(any_server, "other")
        follower.all_queues = False
        follower.collect()
        wait_for(lambda: server_ms(any_server) > follower.since_ms, "the next millisecond")
        self.burst(any_server.client())
        follower.all_queues = True
        self.appear(follower, "q")
        assert follower.queue(1).read == 0

    def test_a_queue_that_returns(self, any_server: Any_) -> None:
        """The same stream is not read again; a new stream is."""
        follower = Follower(any_server, "q")
        follower.collect()
        self.burst(any_server.client())
        assert follower.queue().read == 160
        queues = follower.queues
        follower.queues = ()
        follower.collect()
        follower.queues = queues
        assert follower.queue().read == 0
        follower.queues = ()
        follower.collect()
        any_server.client().delete("bull:q:events")
        last = server_ms(any_server)
        wait_for(lambda: server_ms(any_server) > last, "the next millisecond")
        self.burst(any_server.client())
        follower.queues = queues
        assert follower.queue().read == 160


class TestAnotherServer:
    """The address leads to another server after a restore, a failover or a blue-green switch."""

    @pytest.fixture
    def follower(self, server: Server) -> Iterator[Follower]:
        self.proxy = Proxy(server)
        follower = Follower(server, "q", "new")
        follower.client = ClientRegistry().get(
            config_for(self.proxy.url).connections["default"], "t"
        )
        follower.client.connect()
        yield follower
        self.proxy.close()

    def switch(self, follower: Follower, server: Server) -> None:
        self.proxy.target = server.port
        follower.client.close()
        follower.client.connect()

    def test_history_of_another_server_is_neither_new_nor_lost(
        self, server: Server, follower: Follower
    ) -> None:
        for job in range(30):
            add_event(server.client(), "added", job)
        follower.collect()
        with valkey() as other:
            client = other.client()
            for job in range(500):
                add_event(client, "added", job)
                add_event(client, "added", job, queue="new")
            client.xtrim("bull:q:events", maxlen=100, approximate=False)
            self.switch(follower, other)
            for queue in (0, 1):
                found = follower.queue(queue)
                assert (found.read, found.lost) == (0, 0)
            add_event(client, "added", 1)
            found = follower.queue()
            assert (found.read, found.lost) == (1, 0)
            self.switch(follower, server)
            assert follower.queue().read == 1

    def test_reading_continues_on_a_promoted_replica(
        self, server: Server, follower: Follower
    ) -> None:
        """Entries up to the last position were read from the previous master; others are new."""
        add_event(server.client(), "added", 1)
        follower.collect()
        add_event(server.client(), "added", 2)
        follower.collect()
        with valkey("--replicaof", "127.0.0.1", str(server.port)) as other:
            client = other.client()
            wait_for(lambda: client.info("replication")["master_link_status"] == "up", "it follows")
            client.replicaof("NO", "ONE")
            add_event(client, "added", 3)
            self.switch(follower, other)
            found = follower.queue()
            assert (found.read, found.lost) == (2, 0)

    def test_an_error_defers_locating_the_streams(
        self, server: Server, follower: Follower, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Streams of a node that does not reply are not read, and located at the next pass."""
        add_event(server.client(), "added")
        follower.collect()
        with valkey() as other:
            add_event(other.client(), "added")
            self.switch(follower, other)
            batch = follower.client.batch

            def refuse(packed: bytes, count: int, limit: int) -> Replies:
                if b"XINFO" not in packed and b"XREAD" not in packed:
                    return batch(packed, count, limit)
                error = NodeError(ErrorClass.CONNECTION, "node h:1: refused")
                return Replies([error] * count, tuple(range(count)))

            with monkeypatch.context() as patched:
                patched.setattr(follower.client, "batch", refuse)
                follower.collect()
            assert follower.queue().read == 0


class TestLimits:
    def test_a_pass_reads_a_limited_number_of_events(self, real_server: Server) -> None:
        """A backlog of events must not delay the other collectors."""
        client = real_server.client()
        follower = Follower(real_server, *(f"q{i}" for i in range(5)))
        follower.collect()
        pipe = client.pipeline(transaction=False)
        for job in range(5000):
            pipe.xadd(f"bull:q{job % 5}:events", {"event": "added", "jobId": job})
        pipe.execute()
        follower._collector._max_events = 1000
        totals = []
        for _ in range(8):
            found = follower.collect()
            totals.append(sum(events.read for events in found.queues.values()))
            assert (found.lag_seconds > 0) == (totals[-1] < 5000)
        steps = [after - before for before, after in zip([0, *totals], totals, strict=False)]
        assert 0 < max(steps) < 2000
        assert totals[-1] == 5000
        assert all(events.lost == 0 for events in found.queues.values())

    def test_every_stream_is_read_in_turn(self, real_server: Server) -> None:
        client = real_server.client()
        follower = Follower(real_server, *(f"q{i}" for i in range(300)))
        follower.collect()
        follower._collector._max_events = 1
        follower._collector._reader._entry_bytes = 100_000.0  # forty streams per page
        for place in range(300):
            add_event(client, "added", queue=f"q{place}")
        for _ in range(20):
            found = follower.collect()
        assert sum(events.read for events in found.queues.values()) == 300

    def test_remembered_jobs_are_limited(self, any_server: Any_) -> None:
        client = any_server.client()
        follower = Follower(any_server, "a", "b", max_inflight=10)
        follower.collect()
        for job in range(20):
            add_event(client, "active", job, queue="a")
            add_event(client, "active", job, queue="b")
        found = follower.collect()
        assert found.inflight_dropped == 30
        add_event(client, "completed", 19, queue="b")
        add_event(client, "completed", 0, queue="b")
        found = follower.collect()
        completed = found.queues[follower.queues[1]].jobs[""].runs["completed"]
        assert completed.count == 1  # the newest are remembered

    def test_pages_of_large_entries_become_smaller(self, server: Server) -> None:
        client = server.client()
        client_ = Follower(server, "q").client
        stream = Stream(
            queue_of("bull", "q"),
            b"bull:q:events",
            TotalAggregator(lambda: EventAggregator((1.0,), (1.0,)), {}),
            position=b"0-0",
        )
        for job in range(300):
            add_event(client, "completed", job, returnvalue="x" * 100_000)
        reader = StreamReader(page_bytes=1_000_000)
        client.config_resetstat()
        limit = Limit(1000, float("inf"))
        reader.read_all(Context(client_, 0.0), [stream], limit)
        reader.read_on(Context(client_, 0.0), [stream], limit)
        assert (stream.read, stream.drained, limit.entries) == (300, True, 700)
        calls = client.info("commandstats")["cmdstat_xread"]["calls"]
        assert calls >= 15  # about ten entries per page once their size is known

    def test_no_read_requests_more_than_a_thousand_entries(self, server: Server) -> None:
        follower = Follower(server, *(f"q{i}" for i in range(250)))
        follower.collect()
        with server.client().monitor() as watching:
            follower.collect()
            server.client().ping()
            lines = []
            while not (line := watching.next_command()["command"]).startswith("PING"):
                lines.append(line.split())
        reads = [line for line in lines if line[0] == "XREAD"]
        streams = [(len(line) - 4) // 2 for line in reads]
        assert sum(streams) == 250
        requested = [int(line[2]) * n for line, n in zip(reads, streams, strict=True)]
        assert max(requested) <= 1000


def test_a_key_of_another_type_affects_only_its_queue(real_server: Server) -> None:
    client = real_server.client()
    client.set("bull:bad:events", "x")
    follower = Follower(real_server, "bad", "q")
    follower.collect()
    add_event(client, "added")
    found = follower.collect()
    assert found.queues[follower.queues[1]].jobs[""].added == 1
    assert follower.context.errors.classes


def test_counters_survive_a_reconnect(any_server: Any_) -> None:
    client = any_server.client()
    follower = Follower(any_server, "q")
    follower.collect()
    add_event(client, "added", 1)
    follower.collect()
    follower.client.close()
    add_event(client, "added", 2)
    follower.client.connect()
    assert follower.queue().jobs[""].added == 2


def test_removed_queues_are_forgotten(any_server: Any_) -> None:
    client = any_server.client()
    follower = Follower(any_server, "a", "b")
    follower.collect()
    add_event(client, "active", queue="a")
    add_event(client, "active", queue="b")
    follower.collect()
    follower.queues = follower.queues[1:]
    assert list(follower.collect().queues) == list(follower.queues)
    assert len(follower._collector._streams) == 1


@pytest.mark.parametrize("name", ["bullmq-5.81.5"])
def test_totals_of_a_captured_stream_equal_bullmqs_own(any_server: Any_, name: str) -> None:
    """The whole stream is replayed; the totals equal what the library counted at its end."""
    captured = keyspace(name)
    follower = Follower(any_server, "audio-analyzer")
    follower.collect()
    key = "bull:audio-analyzer:events"
    entries = next(entry for entry in captured["keys"] if entry["key"] == key)["value"]
    for entry_id, fields in entries:
        any_server.client().xadd(key, fields, id=entry_id)
    found = follower.queue().jobs[""]
    expected = captured["expected_counts"]["audio-analyzer"]
    assert (found.completed, found.failed) == (expected["completed"], expected["failed"])
    assert found.started == found.completed + found.failed + found.retried + expected["active"]


class TestJobNames:
    def by_name(self, follower: Follower) -> dict[str, int]:
        return {name: jobs.completed for name, jobs in follower.queue().jobs.items()}

    def test_the_name_comes_from_the_event_or_the_job(self, any_server: Any_) -> None:
        client = any_server.client()
        client.hset("bull:q:2", "name", "resize")
        follower = Follower(any_server, "q", job_names=True)
        follower.collect()
        add_event(client, "added", 1, name="welcome")
        for job in (1, 2, 3):  # 2 was added before, 3 has been removed
            add_event(client, "active", job)
            add_event(client, "completed", job)
        assert self.by_name(follower) == {"welcome": 1, "resize": 1, "__other__": 1}
        assert follower.queue().jobs["resize"].runs["completed"].count == 1

    def test_nothing_is_counted_under_an_empty_name(self, any_server: Any_) -> None:
        client = any_server.client()
        follower = Follower(any_server, "q", job_names=True)
        follower.collect()
        add_event(client, "added", 1, name="charge")
        add_event(client, "active", 1)
        add_event(client, "failed", 1)
        add_event(client, "retries-exhausted", 1, attemptsMade="1")
        add_event(client, "progress", 7)
        assert self.by_name(follower).keys() == {"charge"}

    def test_names_above_the_maximum_count_as_other(self, any_server: Any_) -> None:
        client = any_server.client()
        follower = Follower(any_server, "q", job_names=True, max_job_names=2)
        follower.collect()
        for job, name in enumerate("abcd"):
            add_event(client, "added", job, name=name)
            add_event(client, "completed", job)
        assert self.by_name(follower) == {"a": 1, "b": 1, "__other__": 2}

    def test_names_are_forgotten_with_their_jobs(self, any_server: Any_) -> None:
        client = any_server.client()
        follower = Follower(any_server, "q", job_names=True)
        follower.collect()
        for job, last in enumerate(("completed", "failed", "removed", "delayed")):
            add_event(client, "added", job, name="x")
            add_event(client, last, job)
        follower.collect()
        stream = follower._collector._streams[follower.queues[0]]
        assert stream.aggregator._names == {}

    def test_ignored_adds_count_for_the_name_of_the_existing_job(self, any_server: Any_) -> None:
        client = any_server.client()
        client.hset("bull:q:2", "name", "report")  # finished long ago, and kept
        follower = Follower(any_server, "q", job_names=True)
        follower.collect()
        add_event(client, "added", 1, name="welcome")
        add_event(client, "waiting", 1)
        for job in (1, 2, 2):
            add_event(client, "duplicated", job)
            add_event(client, "deduplicated", job, deduplicationId="x", deduplicatedJobId="9")
        follower.collect()
        jobs = follower.queue().jobs
        assert {name: each.duplicated for name, each in jobs.items()} == {"welcome": 1, "report": 2}
        assert {name: each.deduplicated for name, each in jobs.items()} == {
            "welcome": 1,
            "report": 2,
        }
        # a job in flight keeps its name, the other one is looked up when it is needed again
        stream = follower._collector._streams[follower.queues[0]]
        assert stream.aggregator._names == {b"1": "welcome"}

    def test_a_job_that_is_restarted_between_two_polls(self, any_server: Any_) -> None:
        client = any_server.client()
        follower = Follower(any_server, "q", job_names=True)
        follower.collect()
        ends = ("delayed", "waiting-children", "failed")
        for job in range(len(ends)):
            add_event(client, "added", job, name="charge")
            add_event(client, "active", job)
        follower.collect()
        for job, end in enumerate(ends):
            for event in (end, "waiting", "active", "completed", "progress"):
                add_event(client, event, job)
        assert self.by_name(follower) == {"charge": 3}
        stream = follower._collector._streams[follower.queues[0]]
        assert stream.aggregator._names == {}

    def test_the_name_of_a_delayed_job_is_read_again(self, any_server: Any_) -> None:
        client = any_server.client()
        client.hset("bull:q:1", "name", "later")
        follower = Follower(any_server, "q", job_names=True)
        follower.collect()
        add_event(client, "added", 1, name="later")
        add_event(client, "delayed", 1, delay="5")
        follower.collect()
        add_event(client, "waiting", 1, prev="delayed")
        add_event(client, "active", 1)
        add_event(client, "completed", 1)
        assert self.by_name(follower) == {"later": 1}


class Judged(Follower):
    """The events collector with an SLO of the queue `q`, and the ages of its oldest jobs."""

    def __init__(self, server: Any_, **options: object) -> None:
        server.client().hset("bull:q:meta", "opts.maxLenEvents", 10_000)
        slo = Slo(match="q", start_within="30s", objective=99.5)
        super().__init__(server, "q", "other", slos=[slo], **options)
        self.poll(0)
        self.poll(0)

    @property
    def counts(self) -> SloCounts:
        """The counts of the last poll."""
        ((facts,),) = self.found.slos.values()
        return facts.counts

    def poll(self, waiting: float | None, after: float = 5.0, *, ages: bool = True) -> SloCounts:
        """The counts after a poll that many seconds later, in which the oldest job is this old."""
        self.now += after
        if ages:
            oldest = self.oldest
            oldest.at, oldest.queues = self.now, self.queues
            oldest.waiting, oldest.overdue, oldest.active = [waiting, 0], [0, 0], [0, 0]
        self.found = self.collect()
        assert list(self.found.slos) == [self.queues[0]]
        return self.counts


class TestSlos:
    """The time between two polls that are both known, and the jobs in between."""

    def test_a_stalled_queue_is_late_while_no_job_starts(self, server: Server) -> None:
        judged = Judged(server)
        assert judged.poll(28) == (0, 0, 10, 0)
        assert judged.poll(33) == (0, 0, 15, 3)
        assert judged.poll(38) == (0, 0, 20, 8)

    def test_a_job_that_starts_late_is_late_and_the_time_is_not(self, server: Server) -> None:
        judged, client = Judged(server), server.client()
        begin = server_ms(server)
        add_event(client, "waiting", entry_id=f"{begin}-0")
        add_event(client, "active", entry_id=f"{begin + 31_000}-0")
        assert judged.poll(60) == (1, 1, 10, 0)

    @pytest.mark.parametrize("job_names", [False, True])
    def test_a_start_after_an_unknown_wait_is_not_judged(
        self, server: Server, *, job_names: bool
    ) -> None:
        judged = Judged(server, job_names=job_names)
        add_event(server.client(), "active")
        assert judged.poll(60) == (0, 0, 10, 0)

    def test_lost_events_make_the_time_unknown(self, server: Server) -> None:
        """One of them may be the start of a job."""
        judged, client = Judged(server), server.client()
        add_event(client, "waiting", 1)
        judged.poll(20)
        add_event(client, "active", 1)
        add_event(client, "waiting", 2)
        client.xtrim("bull:q:events", maxlen=0)
        for _ in range(judged.passes_per_check):
            before, after = judged.counts, judged.poll(20)
            if judged.found.queues[judged.queues[0]].lost:
                break
        assert after == before
        assert judged.poll(20).seconds == after.seconds + 5

    def test_a_gap_between_polls_is_unknown(self, server: Server) -> None:
        judged = Judged(server)
        assert judged.poll(60, after=15.5) == (0, 0, 5, 0)
        assert judged.poll(60, after=15) == (0, 0, 20, 15)

    def test_a_poll_without_ages_is_unknown(self, server: Server) -> None:
        """The queue collector failed, or Redis refuses its commands."""
        judged = Judged(server)
        assert judged.poll(60, ages=False) == (0, 0, 5, 0)
        assert judged.poll(None) == (0, 0, 5, 0)
        assert judged.poll(60) == (0, 0, 10, 5)

    def test_another_reader_makes_the_time_unknown(self, server: Server) -> None:
        judged = Judged(server)
        judged.reading_since = 1.0
        assert judged.poll(60) == (0, 0, 5, 0)

    def test_a_queue_without_events_has_no_slo(self, server: Server) -> None:
        judged = Judged(server)
        server.client().hset("bull:q:meta", "opts.maxLenEvents", 0)
        for _ in range(judged.passes_per_check):
            found = judged.collect()
        assert found.slos == {}
