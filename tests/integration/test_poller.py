"""The poller: a failing collector affects only itself; connections to replicas."""

from __future__ import annotations

import pytest

from exporter.collectors import Context, Scope, collectors_for
from exporter.connection import ClientRegistry
from exporter.exposition import Format, PageWriter, Variant
from exporter.polling import Poller
from exporter.state.store import SnapshotStore
from exporter.views.moment import moment_of
from tests.support.pages import jobs, parse, value
from tests.support.redis_data import add_queues
from tests.support.servers import Server, valkey
from tests.support.waiting import wait_for
from tests.support.watch import Watch, config_for


class Broken:
    """A collector with a bug."""

    name = "broken"
    scope = Scope.CONNECTION

    def collect(self, _: Context) -> object:
        raise KeyError("a bug")


def test_a_bug_in_a_collector_affects_only_that_collector(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    add_queues(server.client(), "mail")
    config, store = config_for(server.url), SnapshotStore(["default"])
    client = ClientRegistry().get(config.connections["default"], "default")
    collectors = (Broken(), *collectors_for(config))
    poller = Poller(config, ["default"], client, collectors, store)

    assert poller.poll_once()
    client.close()

    page = PageWriter().write(moment_of(store, config))
    samples = parse(page.body(Variant(Format.TEXT, gzip=False)).decode())
    assert jobs(samples)[("mail", "waiting")] == 1
    success = "bullmq_exporter_collector_success"
    assert value(samples, success, collector="broken") == 0
    assert value(samples, success, collector="queues") == 1
    errors = "bullmq_exporter_collector_errors_total"
    assert value(samples, errors, collector="broken", error="internal") == 2
    assert "broken: unexpected error; this is a bug, please report it" in caplog.text


def test_a_connection_may_lead_to_a_replica(server: Server) -> None:
    add_queues(server.client(), "mail")
    with valkey("--replicaof", "127.0.0.1", str(server.port)) as replica:
        link = "master_link_status"
        wait_for(lambda: replica.client().info("replication")[link] == "up", "it follows")
        samples = Watch(replica.url).discover_and_poll()
    assert jobs(samples)[("mail", "waiting")] == 1
    assert value(samples, "bullmq_connection_info", role="slave") == 1
    assert value(samples, "bullmq_redis_master_link_up") == 1
    # workers are connected to the master
    assert value(samples, "bullmq_queue_workers") is None
