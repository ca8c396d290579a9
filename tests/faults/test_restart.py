"""Redis dies and comes back: with its data, while it loads them, and without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import daemon
from tests.support.fault_harness import Harness, config, scene
from tests.support.live import Written
from tests.support.pages import every, value
from tests.support.servers import redis_server, valkey
from tests.support.waiting import wait_for

# each write is on disk before it is confirmed
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
# hidden options of Redis: 2 ms a key, and clients are answered in between
SLOW_LOADING = ("--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("restart")
    with redis_server(*DURABLE) as server, scene(folder, server, Written(server)) as made:
        yield made


def test_killed_and_restarted(found: Harness) -> None:
    before = found.samples
    with found.fault("killed and restarted", "connection") as fault:
        found.server.kill()
        fault.is_seen("connection")
        fault.outlasts_the_samples()
        for gone in ("bullmq_redis_keys", "bullmq_exporter_queues", "bullmq_connection_info"):
            assert not every(found.samples, gone)
        found.server.start()
    reconnects = "bullmq_connection_reconnects_total"
    assert value(found.samples, reconnects) == (value(before, reconnects) or 0) + 1
    assert "REDIS lost connection=api error=connection" in found.running.log
    assert "REDIS reconnected connection=api" in found.running.log


def test_loading(found: Harness) -> None:
    client = found.server.client()
    client.mset({f"filler:{number}": "x" * 100 for number in range(1500)})
    with found.fault("LOADING", "connection", "loading") as fault:
        client.shutdown(save=True)
        found.server.kill()
        fault.is_seen("connection")
        found.server.start(*SLOW_LOADING, "--appendonly", "no")
        fault.is_seen("loading")
        fault.outlasts_the_samples()
        wait_for(lambda: client.info("persistence")["loading"] == 0, "loaded")


def test_every_job_was_counted_once(found: Harness) -> None:
    found.end()


def test_a_short_outage_is_over_before_the_next_poll(tmp_path: Path) -> None:
    interval = 5.0
    with valkey() as server, daemon(tmp_path, config(server.url, interval, 15)) as running:

        def up() -> float | None:
            return value(running.samples(), "bullmq_up")

        wait_for(lambda: up() == 1, "bullmq_up 1")
        server.kill()
        wait_for(lambda: up() == 0, "the next poll")
        server.start()
        wait_for(lambda: up() == 1, "back before the poll after it")
