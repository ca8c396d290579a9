"""Data that vanish: FLUSHALL, ten thousand keys at once, a Redis that comes back empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporter.collectors.queues import STATES
from tests.support.daemon import Daemon
from tests.support.fault_harness import Fault, Harness, harness
from tests.support.live import Written
from tests.support.pages import jobs
from tests.support.redis_data import add_queues
from tests.support.servers import redis_server
from tests.support.waiting import wait_for

MANY = [f"many-{number}" for number in range(100)]
JOBS = 97
"""Of each of these queues, so that with `meta`, `id` and `wait` it has a hundred keys."""
LATER_JOBS = 20
"""That are done after the data have vanished."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, idle: Daemon) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("data")
    with redis_server() as server:
        client = server.client()
        with client.pipeline(transaction=False) as pipeline:
            add_queues(pipeline, *MANY)
            for name in MANY:
                for job in range(JOBS):
                    pipeline.hset(f"bull:{name}:{job + 1}", mapping={"name": "task", "data": "{}"})
            pipeline.execute()
        with harness(folder, idle, server, Written(server)) as made:
            yield made


def shown(found: Harness) -> set[str]:
    return {queue for queue, _ in jobs(found.samples)}


def work_continues(found: Harness, fault: Fault, counted: int) -> None:
    """Jobs are done in what is empty now; they must be counted on top of those that were."""
    done = found.live.completed
    wait_for(lambda: found.live.completed >= done + LATER_JOBS, "work continues")
    # the last of `done` may have vanished with the rest, before its writer had confirmed it
    fault.done = counted + found.live.completed - done - 1


def test_ten_thousand_keys_deleted_at_once(found: Harness) -> None:
    client = found.server.client()
    keys = list(client.scan_iter("bull:many-*", 1000))
    assert len(keys) == 10_000
    assert len(shown(found)) == 102
    with found.fault("10,000 keys deleted", loses_keys=True):
        client.delete(*keys)
        wait_for(lambda: shown(found) == {"live", "still"}, "the queues are gone")
    assert len(jobs(found.samples)) == 2 * len(STATES)


def test_flushall(found: Harness) -> None:
    """The queue at rest goes, the live one is back with its next job, and counts continue."""
    with found.fault("FLUSHALL", loses_keys=True) as fault:
        counted = found.completed(found.last)
        found.server.client().flushall()
        work_continues(found, fault, counted)
        wait_for(lambda: shown(found) == {"live"}, "the queue at rest is gone")


def test_restarted_without_its_data(found: Harness) -> None:
    with found.fault("restarted empty", "connection", loses_keys=True) as fault:
        counted = found.completed(found.last)
        found.server.kill()
        fault.is_seen("connection")
        fault.outlasts_the_samples()
        found.server.start()
        work_continues(found, fault, counted)


def test_no_job_was_counted_twice(found: Harness) -> None:
    """Events that went with the data before they were read are not known to anybody."""
    found.live.stop()
    done = found.live.completed + found.live.unconfirmed
    assert found.completed(found.last) <= done
