"""Lost data: FLUSHALL, ten thousand deleted keys, a Redis that restarts empty."""

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
"""Jobs of each of these queues; with `meta`, `id` and `wait` it has a hundred keys."""
LATER_JOBS = 20
"""Jobs that complete after the data were lost."""


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
    """Wait until jobs complete after the loss; they must count in addition to the earlier ones."""
    done = found.live.completed
    wait_for(lambda: found.live.completed >= done + LATER_JOBS, "work continues")
    # the last of `done` may have been lost before its writer had confirmed it
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
    """The idle queue disappears, the live one returns with its next job, and counters continue."""
    with found.fault("FLUSHALL", loses_keys=True) as fault:
        counted = found.completed(found.last)
        found.server.client().flushall()
        work_continues(found, fault, counted)
        wait_for(lambda: shown(found) == {"live"}, "the idle queue has disappeared")


def test_restarted_without_its_data(found: Harness) -> None:
    with found.fault("restarted empty", "connection", loses_keys=True) as fault:
        counted = found.completed(found.last)
        found.server.kill()
        fault.wait_until_reported("connection")
        fault.wait_until_stale()
        found.server.start()
        work_continues(found, fault, counted)


def test_no_job_was_counted_twice(found: Harness) -> None:
    """Events that were lost before they were read are not counted."""
    found.live.stop()
    done = found.live.completed + found.live.unconfirmed
    assert found.completed(found.last) <= done
