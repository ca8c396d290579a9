"""A server that refuses writes says why in INFO, also if the sync test is off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from exporter.diagnosis.blocked import Reason, diagnose
from exporter.findings import verdict_of
from exporter.views.moment import moment_of
from tests.support.pages import value
from tests.support.redis_data import add_queues
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for
from tests.support.watch import Watch

REFUSED = "bullmq_connection_writes_refused"
SETTINGS = {"maxmemory": 1, "min-replicas-to-write": 1}
"""Settings that make a server without replicas refuse writes."""


@contextmanager
def refusing(client: redis.Redis, setting: str) -> Iterator[None]:
    client.config_set(setting, SETTINGS[setting])
    try:
        yield
    finally:
        client.config_set(setting, 0)


@pytest.mark.parametrize(
    ("setting", "error", "why"),
    [
        ("maxmemory", "used memory", "its memory is full: "),
        ("min-replicas-to-write", "NOREPLICAS|enough good", "fewer replicas are connected than "),
    ],
)
def test_a_server_that_refuses_writes(
    real_server: Server, setting: str, error: str, why: str
) -> None:
    client = real_server.client()
    add_queues(client, "mail")
    watch = Watch(real_server.url)
    assert value(watch.discover_and_poll(), REFUSED) == 0
    with refusing(client, setting):
        with pytest.raises(redis.RedisError, match=error):
            client.set("x", 1)
        assert value(watch.poll(), REFUSED) == 1
        moment = moment_of(watch.store, watch.config)
        (database,) = moment.databases
        assert database.writes_refused.startswith(why)
        finding = verdict_of(moment).findings[0]
        assert finding.headline == "Redis refuses writes: default"
        # the jobs wait for Redis, and not for workers
        late = moment.now + 1000
        assert set(diagnose([database], late, 60).blocked.values()) == {Reason.WRITES_REFUSED}
    assert value(watch.poll(), REFUSED) == 0


def test_a_replica_does_not_need_replicas(server: Server) -> None:
    """It refuses writes for another reason, which its role shows."""
    add_queues(server.client(), "mail")
    more = ("--replicaof", f"{server.host} {server.port}", "--min-replicas-to-write", "1")
    with valkey(*more) as replica:
        client = replica.client()
        wait_for(lambda: client.info("replication")["master_link_status"] == "up", "the replica")
        assert value(Watch(replica.url).discover_and_poll(), REFUSED) == 0
