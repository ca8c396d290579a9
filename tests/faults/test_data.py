"""Data that vanish: FLUSHALL, ten thousand keys at once, a Redis that comes back empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporter.collectors.queues import STATES
from tests.integration.test_discovery import add
from tests.support.fault_harness import Harness, scene
from tests.support.live import Written
from tests.support.pages import jobs
from tests.support.servers import redis_server
from tests.support.waiting import wait_for

MANY = [f"many-{number}" for number in range(100)]
JOBS = 97
"""Of each of these queues, so that with `meta`, `id` and `wait` it has a hundred keys."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("data")
    with redis_server() as server:
        client = server.client()
        with client.pipeline(transaction=False) as pipeline:
            add(pipeline, *MANY)
            for name in MANY:
                for job in range(JOBS):
                    pipeline.hset(f"bull:{name}:{job + 1}", mapping={"name": "task", "data": "{}"})
            pipeline.execute()
        with scene(folder, server, Written(server)) as made:
            yield made


def shown(found: Harness) -> set[str]:
    return {queue for queue, _ in jobs(found.samples)}


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
    """The queue at rest goes, the live one is there again with its next job, and counts on."""
    with found.fault("FLUSHALL", loses_keys=True) as fault:
        fault.done = found.completed(found.look) + 20
        found.server.client().flushall()
        wait_for(lambda: shown(found) == {"live"}, "the queue at rest is gone")


def test_restarted_without_its_data(found: Harness) -> None:
    with found.fault("restarted empty", "connection", loses_keys=True) as fault:
        fault.done = found.completed(found.look) + 20
        found.server.kill()
        fault.is_seen("connection")
        fault.outlasts_the_samples()
        found.server.start()
        wait_for(lambda: found.server.client().exists("bull:live:id"), "work goes on")


def test_no_job_was_counted_twice(found: Harness) -> None:
    """Events that went with the data before they were read are not known to anybody."""
    found.live.stop()
    assert found.completed(found.look) <= found.live.completed
