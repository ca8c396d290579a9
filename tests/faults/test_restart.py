"""Redis restarts: with its data, while loading them, and after a short outage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon
from tests.support.fault_harness import Harness, config, harness
from tests.support.live import Written
from tests.support.pages import every, jobs, value
from tests.support.proxy import Proxy
from tests.support.redis_data import add_queues
from tests.support.servers import redis_server, valkey
from tests.support.waiting import wait_for

# each write is on disk before it is confirmed
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
# hidden options of Redis: 20 ms per key, with replies to clients in between
SLOW_LOADING = ("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
KEYS = 3000
"""Loading takes about a minute; the test ends it earlier."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, idle: Daemon) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("restart")
    with redis_server(*DURABLE) as server, harness(folder, idle, server, Written(server)) as made:
        yield made


def test_killed_and_restarted(found: Harness) -> None:
    before = found.samples
    # the exporter may reconnect while Redis is loading its data
    with found.fault("killed and restarted", "connection", perhaps="loading") as fault:
        found.server.kill()
        fault.wait_until_reported("connection")
        fault.wait_until_stale()
        for gone in ("bullmq_redis_keys", "bullmq_exporter_queues", "bullmq_connection_info"):
            assert not every(found.samples, gone)
        found.server.start()
    reconnects = "bullmq_connection_reconnects_total"
    assert value(found.samples, reconnects) == (value(before, reconnects) or 0) + 1
    assert "REDIS lost connection=api error=connection" in found.running.log
    assert "REDIS reconnected connection=api" in found.running.log


def test_loading(found: Harness) -> None:
    client = found.server.client()
    client.mset({f"filler:{number}": "x" * 100 for number in range(KEYS)})
    with found.fault("LOADING", "connection", "loading") as fault:
        client.shutdown(save=True)
        found.server.kill()
        fault.wait_until_reported("connection")
        found.server.start(*SLOW_LOADING, "--appendonly", "no")
        fault.wait_until_reported("loading")
        fault.wait_until_stale()
        client.config_set("key-load-delay", 0)
        wait_for(lambda: client.info("persistence")["loading"] == 0, "loaded")


def test_every_job_was_counted_once(found: Harness) -> None:
    found.end()


def test_a_short_outage_ends_before_the_next_poll(tmp_path: Path) -> None:
    """A connection lost after a poll is restored long before the next poll is due."""
    with valkey() as server:
        add_queues(server.client(), "mail")
        proxy = Proxy(server)

        def refuse(reply: bytes) -> bytes:
            if b"bull:mail:meta" in reply:
                proxy.corrupt = None
                proxy.refuse()
            return reply

        proxy.corrupt = refuse  # during discovery, after the first poll
        with daemon(tmp_path, config(proxy.url, interval=3600, stale_after=7200)) as running:
            wait_for(lambda: "connection-test failed" in running.log, "an outage")
            assert not jobs(running.samples())
            proxy.accept_again()
            wait_for(lambda: jobs(running.samples()), "queues on the page")
            assert "REDIS reconnected" in running.log
        proxy.close()
