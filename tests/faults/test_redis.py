"""Faults that Redis survives: it hangs, is busy or full, or accepts no clients."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
import redis

from tests.support.busy_script import busy_script
from tests.support.daemon import Daemon
from tests.support.fault_harness import TIMEOUT, Harness, harness
from tests.support.live import Written
from tests.support.pages import value
from tests.support.servers import redis_server
from tests.support.waiting import wait_for


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, idle: Daemon) -> Iterator[Harness]:
    folder = tmp_path_factory.mktemp("redis")
    with redis_server() as server, harness(folder, idle, server, Written(server)) as made:
        yield made


@pytest.fixture
def admin(found: Harness) -> redis.Redis:
    client = found.server.client()
    client.ping()
    return client


def until_sync(found: Harness, success: float) -> None:
    wait_for(lambda: value(found.samples, "bullmq_sync_success") == success, "the sync test")


def test_frozen(found: Harness) -> None:
    """SIGSTOP: the kernel still accepts connections, but Redis does not reply."""
    with found.fault("frozen process", "timeout") as fault:
        found.server.signal(signal.SIGSTOP)
        try:
            fault.wait_until_reported("timeout")
            fault.wait_until_stale()
        finally:
            found.server.signal(signal.SIGCONT)


def test_client_pause(found: Harness, admin: redis.Redis) -> None:
    with found.fault("CLIENT PAUSE", "timeout") as fault:
        # no command ends it, not even UNPAUSE; it lasts much longer than a poll with its timeout
        admin.client_pause(round(3 * TIMEOUT * 1000), all=True)
        fault.wait_until_reported("timeout")
        fault.wait_until_stale()
        admin.ping()


def test_busy_script(found: Harness) -> None:
    """Redis replies BUSY once a script has run longer than `busy-reply-threshold`."""
    with (
        found.fault("busy script", "loading") as fault,
        busy_script(found.server, threshold_ms=200),
    ):
        fault.wait_until_reported("loading")
        fault.wait_until_stale()


def test_out_of_memory(found: Harness, admin: redis.Redis) -> None:
    """Queues are still read; only the writes of the sync test fail."""
    with found.fault("OOM"):
        admin.config_set("maxmemory", 1)
        path, why = "/health/redis/sync", "OOM command not allowed"
        wait_for(lambda: why in found.running.get(path).text, "the sync test's reason")
        until_sync(found, 0)
        wait_for(lambda: value(found.samples, "bullmq_redis_memory_max_bytes") == 1, "the limit")
        admin.config_set("maxmemory", 0)
    until_sync(found, 1)


def test_maxclients_reached(found: Harness, admin: redis.Redis) -> None:
    """The exporter loses its connection and cannot connect again."""
    most = int(admin.config_get("maxclients")["maxclients"])
    with found.fault("maxclients reached", "connection") as fault:
        admin.config_set("maxclients", 1)
        for client in admin.client_list():
            if client["name"].startswith("bullmq-exporter:"):
                admin.client_kill_filter(_id=client["id"])
        fault.wait_until_reported("connection")
        wait_for(lambda: "max number of clients" in str(fault.last_error()), "the reason")
        fault.wait_until_stale()
        admin.config_set("maxclients", most)


def test_every_job_was_counted_once(found: Harness) -> None:
    found.end()
