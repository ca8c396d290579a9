"""Ages and counters of real BullMQ jobs where the ID and the hash are not enough."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.actors import Actors, part
from tests.support.pages import Samples, value
from tests.support.servers import Server
from tests.support.waiting import wait_for
from tests.support.watch import Watch

DAYS_AGO = 3 * 86_400


@pytest.fixture
def act(server: Server) -> Iterator[Actors]:
    """Starts producers and workers on the server."""
    actors = Actors(server.port)
    yield actors
    actors.close()


def watched(server: Server) -> Watch:
    """A poller whose `discover_and_poll` always runs a pass."""
    watch = Watch(server.url, discovery_interval_seconds=1e-6)
    watch.discover_and_poll()
    return watch


def counted(samples: Samples, *kinds: str) -> list[float | None]:
    return [value(samples, f"bullmq_queue_jobs_{kind}_total", queue="mail") for kind in kinds]


def test_age_of_a_job_that_is_retried_at_once(server: Server, act: Actors) -> None:
    """The age is that of the current attempt, although the ID stays the same."""
    client = server.client()
    act("producer", count=1, options={"attempts": 1000})
    act("worker", ms=100, failing=1)
    watch, seen = watched(server), set()

    def attempts_are_seen() -> bool:
        before = client.hget("bull:mail:1", "processedOn")
        age = value(watch.poll(), "bullmq_queue_oldest_active_seconds", queue="mail")
        if before is not None and age is not None:
            # an attempt that began during the poll is younger still
            assert age <= time.time() - int(before) / 1000 + 0.01
            seen.add(before)
        return len(seen) >= 5

    wait_for(attempts_are_seen, "five attempts")


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_a_job_that_starves_behind_eight_priorities(
    server: Server, act: Actors, library: str
) -> None:
    created = int((time.time() - 7200) * 1000)
    act.play(
        *(part("producer", count=3, options={"priority": priority}) for priority in range(1, 9)),
        part("producer", count=1, options={"priority": 50, "timestamp": created}),
        library=library,
    )
    samples = watched(server).samples()
    age = value(samples, "bullmq_queue_oldest_waiting_seconds", queue="mail")
    assert age is not None
    assert 7200 <= age <= time.time() - created / 1000 + 0.01
    band = {"queue": "mail", "band": "1-10"}
    assert value(samples, "bullmq_queue_priority_jobs", **band) == 24


@pytest.mark.parametrize("library", ["bullmq5", "bullmq6"])
def test_age_of_jobs_retried_by_hand(server: Server, act: Actors, library: str) -> None:
    """They have been waiting since the retry, not since they were added."""
    client = server.client()
    act("producer", count=5, library=library)
    worker = act("worker", failing=1, library=library)
    wait_for(lambda: client.zcard("bull:mail:failed") == 5, "five failures")
    worker.kill()
    worker.wait()
    for job in range(1, 6):
        client.hset(f"bull:mail:{job}", "timestamp", int((time.time() - DAYS_AGO) * 1000))
    watch = watched(server)
    put_back_at = time.time()
    act("admin", call="pause", library=library)
    act("admin", call="retryJobs", args=[{"state": "failed"}], library=library)
    oldest = "bullmq_queue_oldest_waiting_seconds"
    for _ in range(3):
        age = value(watch.poll(), oldest, queue="mail")
        assert age is not None
        assert age <= time.time() - put_back_at + 0.01
    event, *_ = [
        entry_id
        for entry_id, fields in client.xrange("bull:mail:events")
        if fields.get(b"prev") == b"failed"
    ]
    since = int(event.split(b"-")[0]) / 1000
    before = time.time() - since
    age = value(watch.poll(), oldest, queue="mail")
    assert age is not None
    assert before - 0.01 <= age <= time.time() - since + 0.01


def test_finished_schedulers_are_not_overdue(server: Server, act: Actors) -> None:
    client = server.client()
    soon = int(time.time() * 1000) + 8000
    options = {
        "three": {"every": 300, "limit": 3},
        "ends": {"every": 300, "endDate": soon},
        "late": {"every": 3_600_000},
    }
    calls = [part("admin", call="upsertJobScheduler", args=[*each]) for each in options.items()]
    act.play(part("worker"), *calls)

    def finished() -> bool:
        return client.zrange("bull:mail:delayed", 0, -1) == [
            b"repeat:late:%d" % int(client.zscore("bull:mail:repeat", "late"))
        ]

    wait_for(finished, "both schedulers are finished")
    last = max(client.zscore("bull:mail:repeat", name) for name in ("three", "ends"))
    wait_for(lambda: time.time() * 1000 > last + 6000, "they are past the grace")
    names = ("schedulers", "schedulers_overdue", "schedulers_overdue_seconds")
    watch = watched(server)
    samples = watch.poll()
    assert [value(samples, f"bullmq_queue_{n}", queue="mail") for n in names] == [3, 0, 0]
    client.zadd("bull:mail:repeat", {"late": (time.time() - 60) * 1000})
    samples = watch.poll()
    assert [value(samples, f"bullmq_queue_{n}", queue="mail") for n in names[:2]] == [3, 1]


def test_the_first_jobs_of_a_new_queue_count(server: Server, act: Actors) -> None:
    watch, client = watched(server), server.client()
    act("worker")
    act("producer", count=20)
    wait_for(lambda: client.zcard("bull:mail:completed") == 20, "twenty jobs")
    samples = watch.discover_and_poll()
    assert counted(samples, "added", "completed", "failed") == [0, 0, 0]
    samples = watch.poll()
    assert counted(samples, "added", "completed", "failed") == [20, 20, 0]
    assert value(samples, "bullmq_queue_events_lost_total", queue="mail") == 0
