"""A server that answers PING with MISCONF is up, and its queues are read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from exporter.connection import ErrorClass
from exporter.findings import verdict_of
from exporter.views.moment import moment_of
from exporter.web.background import Known
from exporter.web.health import redis_health
from tests.support.pages import jobs, value
from tests.support.redis_data import add_queues
from tests.support.servers import Server, redis_server, valkey
from tests.support.waiting import wait_for
from tests.support.watch import Watch


@pytest.fixture(params=[valkey, redis_server], ids=["valkey", "redis"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server whose snapshots fail after `break_snapshots`."""
    folder = tmp_path / "data"
    folder.mkdir()
    with request.param("--dir", str(folder), "--save", "3600 1") as found:
        yield found


def break_snapshots(server: Server, folder: Path) -> None:
    shutil.rmtree(folder)
    client = server.client()
    client.bgsave()

    def refused() -> bool:
        try:
            client.ping()
        except redis.ResponseError as error:
            return "MISCONF" in str(error)
        return False

    wait_for(refused, "PING returns MISCONF")


def test_a_server_with_failed_snapshots_is_read(server: Server, tmp_path: Path) -> None:
    add_queues(server.client(), "mail")
    watch = Watch(server.url)
    watch.discover_and_poll()
    break_snapshots(server, tmp_path / "data")
    for _ in range(3):
        samples = watch.poll()
        assert value(samples, "bullmq_up") == 1
        assert value(samples, "bullmq_connection_reconnects_total") == 0
        assert jobs(samples)["mail", "waiting"] == 1
        assert value(samples, "bullmq_redis_persistence_ok", kind="rdb") == 0
    refusal = watch.snapshot.ping_refusal
    assert refusal is not None
    assert refusal.kind is ErrorClass.WRITES_REFUSED
    moment = moment_of(watch.store, watch.config)
    health, up = redis_health(Known(moment))
    assert up
    assert health["connections"]["default"]["ping_refusal"]["detail"].startswith("MISCONF")
    found = verdict_of(moment)
    assert found.findings[0].headline == "Redis refuses writes: default"
    assert found.findings[0].explanation.startswith("MISCONF")

    server.client().config_set("stop-writes-on-bgsave-error", "no")
    watch.poll()
    assert watch.snapshot.ping_refusal is None
